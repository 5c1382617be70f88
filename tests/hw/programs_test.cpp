// C programs through the start-up code, the linker script and the C library. Skipped where there is
// no cross compiler.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tb/simulator.hpp"

namespace espalier::hw {
namespace {

using ::testing::HasSubstr;

// Compiles with hw/sw/build.sh; empty if there is no compiler.
std::vector<std::uint8_t> compile(const std::string& source, const std::string& flags = "",
                                  const std::string& before = "") {
  static const bool installed =
      std::system("riscv64-unknown-elf-gcc --version > /dev/null 2>&1") == 0;
  if (!installed) return {};
  const std::filesystem::path output =
      std::filesystem::temp_directory_path() /
      ("espalier-hw-program-" + std::to_string(::getpid()) + ".elf");
  const std::string command = std::string(ESPALIER_HW_DIR "/sw/build.sh ") + before + " " +
                              output.string() + " " + source + " " + flags;
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
  std::ifstream in(output, std::ios::binary);
  std::vector<std::uint8_t> bytes((std::istreambuf_iterator<char>(in)),
                                  std::istreambuf_iterator<char>());
  std::filesystem::remove(output);
  return bytes;
}

struct Finished {
  RunResult result;
  std::string console;
};

Finished run(const std::vector<std::uint8_t>& elf, std::uint64_t max_cycles = 20'000'000) {
  Simulator simulator;
  EXPECT_EQ(simulator.load_elf(elf), std::nullopt);
  Finished finished;
  finished.result = simulator.run(max_cycles);
  finished.console = simulator.console();
  return finished;
}

const std::string kExamples = ESPALIER_HW_DIR "/sw/examples/";
const std::string kPrograms = ESPALIER_HW_TEST_DIR "/programs/";

TEST(Programs, Hello) {
  const auto elf = compile(kExamples + "hello.c");
  if (elf.empty()) GTEST_SKIP() << "needs riscv64-unknown-elf-gcc";
  const Finished finished = run(elf);
  EXPECT_EQ(finished.result.outcome, Outcome::kExited) << finished.result.describe();
  EXPECT_EQ(finished.result.exit_code, 0u);
  EXPECT_EQ(finished.console, "hello from the core\nit has 32 registers\n");
}

TEST(Programs, HelloWithoutFloat) {
  const auto elf = compile(kExamples + "hello.c", "", "-i");
  if (elf.empty()) GTEST_SKIP() << "needs riscv64-unknown-elf-gcc";
  EXPECT_EQ(run(elf).console, "hello from the core\nit has 32 registers\n");
}

TEST(Programs, MixedWork) {
  const auto elf = compile(kExamples + "mixed.c");
  if (elf.empty()) GTEST_SKIP() << "needs riscv64-unknown-elf-gcc";
  const Finished finished = run(elf);
  EXPECT_EQ(finished.result.describe(), "exited with code 0") << finished.console;
}

TEST(Programs, DataAndBssAreReadyAtMain) {
  const auto elf = compile(kPrograms + "startup.c");
  if (elf.empty()) GTEST_SKIP() << "needs riscv64-unknown-elf-gcc";
  EXPECT_EQ(run(elf).result.describe(), "exited with code 0");
}

TEST(Programs, TheLoadFusedWithTheDotProductIsAssembled) {
  const auto elf = compile(kPrograms + "load_dot.c");
  if (elf.empty()) GTEST_SKIP() << "needs riscv64-unknown-elf-gcc";
  EXPECT_EQ(run(elf).result.describe(), "exited with code 0");
}

TEST(Programs, FaultsAreReportedByTheStartUpCode) {
  const auto elf = compile(kPrograms + "fault.c", "-DFAULT=0");
  if (elf.empty()) GTEST_SKIP() << "needs riscv64-unknown-elf-gcc";
  const Finished flash = run(elf);
  EXPECT_EQ(flash.result.outcome, Outcome::kTrapped);
  EXPECT_THAT(flash.result.describe(), HasSubstr("store access fault at pc 0x08"));
  EXPECT_THAT(flash.result.describe(), HasSubstr("value 0x08"));
  EXPECT_EQ(flash.console, "before\n");

  const Finished jump = run(compile(kPrograms + "fault.c", "-DFAULT=1"));
  EXPECT_EQ(jump.result.describe(), "instruction access fault at pc 0x40000000, value 0x40000000");

  const Finished overflow = run(compile(kPrograms + "fault.c", "-DFAULT=2"));
  EXPECT_EQ(overflow.result.outcome, Outcome::kStackOverflow) << overflow.result.describe();

  const Finished endless = run(compile(kPrograms + "fault.c", "-DFAULT=3"), 100'000);
  EXPECT_EQ(endless.result.outcome, Outcome::kCycleLimit);

  const Finished null = run(compile(kPrograms + "fault.c", "-DFAULT=4"));
  EXPECT_THAT(null.result.describe(), HasSubstr("load access fault"));
  EXPECT_EQ(null.result.trap.value, 0x10u);
}

TEST(Programs, StackSizeIsTheLinkersToSay) {
  const auto elf =
      compile(kPrograms + "fault.c", "-DFAULT=5 -Wl,--defsym=ESPALIER_STACK_SIZE=0x4000");
  if (elf.empty()) GTEST_SKIP() << "needs riscv64-unknown-elf-gcc";
  const Finished enough = run(elf);
  EXPECT_EQ(enough.result.describe(), "exited with code 0");
  EXPECT_GT(enough.result.sram.stack_bytes, 8192u);
  EXPECT_EQ(run(compile(kPrograms + "fault.c", "-DFAULT=5")).result.outcome,
            Outcome::kStackOverflow);
}

}  // namespace
}  // namespace espalier::hw
