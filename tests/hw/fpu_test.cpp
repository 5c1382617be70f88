// The float unit on its own against the oracle and the host: values and flags of every operation,
// in every rounding mode.
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>

#include "dv/fpu_bench.hpp"

namespace espalier::hw::dv {

// What ctest shows as the parameter of a case.
std::ostream& operator<<(std::ostream& out, const FloatOperation& operation) {
  return out << operation.name;
}

namespace {

#ifdef ESPALIER_SLOW_TESTS
// At least so many on the host, which has four of the five modes and leaves a few operands open.
constexpr std::size_t kHostCount = 10'000'000;
#else
constexpr std::size_t kHostCount = 60'000;
#endif
constexpr std::size_t kCount = kHostCount / 4 * 5 + kHostCount / 10;

class Fpu : public ::testing::TestWithParam<FloatOperation> {};

TEST_P(Fpu, AgreesWithOracleAndHost) {
  const FpuComparison comparison = compare_operation(GetParam(), kCount, 17);
  EXPECT_EQ(comparison.mismatch, "");
  EXPECT_GE(comparison.compared_with_oracle, kCount);
  EXPECT_GE(comparison.compared_with_host, kHostCount);
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
