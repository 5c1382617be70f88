// Requantisation: one integer-only semantics for host and device (a 31-bit multiplier, a 64-bit
// product and one rounding shift, ties towards plus infinity).
#pragma once

#include <algorithm>
#include <cstdint>

namespace espalier::ir {

/// real factor = multiplier / 2^shift, multiplier in [0, 2^31), shift in [1, 62].
struct FixedPoint {
  std::int32_t multiplier = 0;
  int shift = 31;
  bool operator==(const FixedPoint&) const = default;
};

/// Largest factor that can be represented; graphs with larger ones fail verification.
inline constexpr double kMaxFixedPointFactor = 1073741823.0;

/// The nearest fixed-point factor; 0 <= factor < kMaxFixedPointFactor. Factors below 2^-32 lose
/// mantissa bits instead of exceeding the largest shift.
FixedPoint make_fixed_point(double factor);

/// Two factors over one shift, for sums: a/2^shift and b/2^shift.
struct FixedPointPair {
  std::int32_t multiplier_a = 0;
  std::int32_t multiplier_b = 0;
  int shift = 31;
};
FixedPointPair make_fixed_point_pair(double factor_a, double factor_b);

/// acc + bias, saturated to int32: dead channels carry biases at the ends of the range.
inline std::int32_t saturating_add(std::int32_t a, std::int32_t b) {
  const std::int64_t sum = std::int64_t{a} + b;
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(sum, INT32_MIN, INT32_MAX));
}

/// round(product / 2^shift), ties towards plus infinity.
inline std::int64_t rounding_shift(std::int64_t product, int shift) {
  return (product + (std::int64_t{1} << (shift - 1))) >> shift;
}

/// round(value * factor).
inline std::int64_t apply(FixedPoint factor, std::int32_t value) {
  return rounding_shift(std::int64_t{value} * factor.multiplier, factor.shift);
}

}  // namespace espalier::ir
