// The float unit on its own against the oracle and the host: values and flags of every operation, in
// every rounding mode.
#include <gtest/gtest.h>

#include <algorithm>

#include "dv/fpu_bench.hpp"

namespace espalier::hw::dv {
namespace {

#ifdef ESPALIER_HW_SLOW
constexpr std::size_t kCount = 10'000'000;
#else
constexpr std::size_t kCount = 200'000;
#endif

class Fpu : public ::testing::TestWithParam<FloatOperation> {};

TEST_P(Fpu, AgreesWithOracleAndHost) {
  const FpuComparison comparison = compare_operation(GetParam(), kCount, 17);
  EXPECT_EQ(comparison.mismatch, "");
  EXPECT_GE(comparison.compared_with_oracle, kCount);
  EXPECT_GE(comparison.compared_with_host, kCount * 3 / 4);
}

INSTANTIATE_TEST_SUITE_P(Operations, Fpu,
                         ::testing::ValuesIn(float_operations().begin(), float_operations().end()),
                         [](const auto& row) {
                           std::string name = row.param.name;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

}  // namespace
}  // namespace espalier::hw::dv
