// The list of kernel_cases.c on the simulated core, where blocked kernels are assembly in part.
// Skipped where there was no cross compiler when this was built.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <iterator>
#include <vector>

#include "tb/simulator.hpp"

namespace espalier::codegen {
namespace {

#ifdef ESPALIER_SLOW_TESTS
constexpr std::uint8_t kLayers = 250;  // of each kernel
#else
constexpr std::uint8_t kLayers = 5;
#endif

TEST(CoreKernels, ComputeWhatPlainOnesDo) {
  std::ifstream in(ESPALIER_KERNEL_CASES_ELF, std::ios::binary);
  if (!in) GTEST_SKIP() << "needs riscv64-unknown-elf-gcc";
  const std::vector<std::uint8_t> elf((std::istreambuf_iterator<char>(in)),
                                      std::istreambuf_iterator<char>());
  hw::SimulatorConfig config;
  config.sram_size = 1U << 20;
  hw::Simulator simulator(config);
  ASSERT_EQ(simulator.load_elf(elf), std::nullopt);
  const std::optional<std::uint32_t> layers = simulator.symbol("kernel_layers");
  ASSERT_TRUE(layers.has_value());
  ASSERT_TRUE(simulator.write_memory(*layers, std::array<std::uint8_t, 4>{kLayers}));
  const hw::RunResult result = simulator.run(kLayers * 50'000'000ULL);
  EXPECT_EQ(result.describe(), "exited with code 0") << simulator.console();
}

}  // namespace
}  // namespace espalier::codegen
