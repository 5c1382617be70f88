#include "espalier/ir/fixed_point.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "espalier/support/rng.hpp"

namespace espalier::ir {
namespace {

TEST(FixedPoint, MantissaIsNormalised) {
  Rng rng{1};
  for (int i = 0; i < 20000; ++i) {
    const double factor = std::ldexp(rng.uniform(0.5, 1.0), static_cast<int>(rng.below(60)) - 31);
    if (factor >= kMaxFixedPointFactor) continue;
    const FixedPoint fixed = make_fixed_point(factor);
    EXPECT_GE(fixed.multiplier, 1 << 30);
    EXPECT_GE(fixed.shift, 1);
    EXPECT_LE(fixed.shift, 62);
    EXPECT_NEAR(std::ldexp(fixed.multiplier, -fixed.shift) / factor, 1.0, std::ldexp(1.0, -31));
  }
}

TEST(FixedPoint, AllOnesMantissaDoesNotOverflow) {
  const FixedPoint fixed = make_fixed_point(std::nextafter(1.0, 0.0));
  EXPECT_EQ(fixed, (FixedPoint{1 << 30, 30}));
  EXPECT_EQ(apply(fixed, 12345), 12345);
}

TEST(FixedPoint, TinyAndZeroFactorsAreSafe) {
  EXPECT_EQ(apply(make_fixed_point(0.0), INT32_MAX), 0);
  EXPECT_EQ(apply(make_fixed_point(1e-30), INT32_MIN), 0);
  EXPECT_NEAR(static_cast<double>(apply(make_fixed_point(1e-9), INT32_MAX)), 2.147, 0.5);
}

TEST(FixedPoint, RoundsTiesTowardsPlusInfinity) {
  const FixedPoint half = make_fixed_point(0.5);
  EXPECT_EQ(apply(half, 3), 2);
  EXPECT_EQ(apply(half, -3), -1);
  EXPECT_EQ(apply(half, 1), 1);
  EXPECT_EQ(apply(half, -1), 0);
}

TEST(FixedPoint, AddSaturates) {
  EXPECT_EQ(saturating_add(INT32_MAX, 1), INT32_MAX);
  EXPECT_EQ(saturating_add(INT32_MIN, -1), INT32_MIN);
  EXPECT_EQ(saturating_add(5, -7), -2);
}

TEST(FixedPoint, PairSharesItsShift) {
  const FixedPointPair pair = make_fixed_point_pair(0.75, 0.01);
  EXPECT_NEAR(std::ldexp(pair.multiplier_a, -pair.shift), 0.75, 1e-9);
  EXPECT_NEAR(std::ldexp(pair.multiplier_b, -pair.shift), 0.01, 1e-9);
}

}  // namespace
}  // namespace espalier::ir
