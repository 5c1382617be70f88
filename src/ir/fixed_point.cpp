#include "espalier/ir/fixed_point.hpp"

#include <cmath>

namespace espalier::ir {
namespace {

constexpr int kMaxShift = 62;

// Shift that puts `factor` into [2^30, 2^31), or the largest shift allowed.
int shift_for(double factor) {
  if (factor <= 0) return 31;
  int exponent = 0;
  std::frexp(factor, &exponent);  // factor = m * 2^exponent, m in [0.5, 1)
  return std::min(31 - exponent, kMaxShift);
}

std::int64_t scaled(double factor, int shift) { return std::llround(std::ldexp(factor, shift)); }

}  // namespace

FixedPoint make_fixed_point(double factor) {
  const FixedPointPair pair = make_fixed_point_pair(factor, 0);
  return {pair.multiplier_a, pair.shift};
}

FixedPointPair make_fixed_point_pair(double factor_a, double factor_b) {
  const double largest = std::max(factor_a, factor_b);
  int shift = shift_for(largest);
  // Rounding can carry a mantissa of all ones into 2^31.
  if (scaled(largest, shift) > INT32_MAX) --shift;
  return {static_cast<std::int32_t>(scaled(factor_a, shift)),
          static_cast<std::int32_t>(scaled(factor_b, shift)), shift};
}

}  // namespace espalier::ir
