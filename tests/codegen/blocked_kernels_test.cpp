// The list of kernel_cases.c on the host: every blocked kernel against the plain one of its name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "kernel_cases.h"

namespace espalier::codegen {
namespace {

constexpr std::uint32_t kLayers = 3000;

class BlockedKernels : public ::testing::TestWithParam<int> {};

TEST_P(BlockedKernels, ComputeWhatPlainOnesDo) {
  for (std::uint32_t seed = 0; seed < kLayers; ++seed) {
    const char* failure = kernel_case_run(GetParam(), seed, 0);
    EXPECT_EQ(failure, nullptr) << failure << ", seed " << seed;
  }
}

int case_count() {
  int count = 0;
  while (kernel_case_name(count) != nullptr) ++count;
  return count;
}

INSTANTIATE_TEST_SUITE_P(All, BlockedKernels, ::testing::Range(0, case_count()),
                         [](const auto& case_info) {
                           return std::string(kernel_case_name(case_info.param));
                         });

}  // namespace
}  // namespace espalier::codegen
