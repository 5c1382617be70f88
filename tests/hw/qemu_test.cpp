// Random user-mode programs on the core and under qemu-riscv32: the same file, and the same memory
// at the end, which holds all registers. Skipped where there is no qemu-riscv32.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

#include "dv/program_generator.hpp"
#include "tb/simulator.hpp"

namespace espalier::hw::dv {
namespace {

std::vector<std::uint8_t> output_of(const std::string& command) {
  std::vector<std::uint8_t> output;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(::popen(command.c_str(), "r"),
                                                             ::pclose);
  if (!pipe) return output;
  std::uint8_t buffer[4096];
  std::size_t got = 0;
  while ((got = std::fread(buffer, 1, sizeof buffer, pipe.get())) > 0) {
    output.insert(output.end(), buffer, buffer + got);
  }
  return output;
}

bool have_qemu() { return std::system("qemu-riscv32 --version > /dev/null 2>&1") == 0; }

void compare_programs(GeneratorOptions options, std::uint64_t wanted_instructions) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() /
      ("espalier-hw-qemu-" + std::to_string(options.seed) + "-" + std::to_string(::getpid()));
  options.user_mode = true;
  std::uint64_t instructions = 0;
  for (; instructions < wanted_instructions; ++options.seed) {
    const GeneratedProgram program = generate_program(options);
    const std::vector<std::uint8_t> elf = write_elf(program.image);
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(elf.data()), static_cast<std::streamsize>(elf.size()));
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    const std::vector<std::uint8_t> expected = output_of("qemu-riscv32 " + path.string());

    Simulator simulator;
    ASSERT_EQ(simulator.load_elf(elf), std::nullopt);
    simulator.reset(program.machine_entry);
    const RunResult result = simulator.run(100'000'000);
    // The first system call is the one that writes the memory out.
    ASSERT_EQ(result.outcome, Outcome::kTrapped) << result.describe();
    ASSERT_EQ(result.trap.cause, 11u) << "seed " << options.seed << ": " << result.describe();
    std::vector<std::uint8_t> actual(kDataBytes);
    ASSERT_TRUE(simulator.read_memory(kDataAddress, actual));
    ASSERT_EQ(expected.size(), actual.size()) << "seed " << options.seed;
    for (std::size_t i = 0; i < actual.size(); ++i) {
      ASSERT_EQ(actual[i], expected[i]) << "seed " << options.seed << ", byte " << i;
    }
    instructions += result.instructions;
  }
  std::filesystem::remove(path);
  ::testing::Test::RecordProperty("instructions", std::to_string(instructions));
}

#ifdef ESPALIER_SLOW_TESTS
TEST(QemuSlow, TenMillionInstructions) {
  if (!have_qemu()) GTEST_SKIP() << "needs qemu-riscv32";
  compare_programs({.seed = 50'000, .body_instructions = 2000, .loops = 20}, 10'000'000);
}
TEST(QemuSlow, ManyShortPrograms) {
  if (!have_qemu()) GTEST_SKIP() << "needs qemu-riscv32";
  compare_programs({.seed = 60'000, .body_instructions = 200, .loops = 2}, 500'000);
}
#else
TEST(Qemu, Mixed) {
  if (!have_qemu()) GTEST_SKIP() << "needs qemu-riscv32";
  compare_programs({.seed = 1}, 200'000);
}
TEST(Qemu, Integer) {
  if (!have_qemu()) GTEST_SKIP() << "needs qemu-riscv32";
  compare_programs({.seed = 5'000, .floats = false}, 50'000);
}
#endif

}  // namespace
}  // namespace espalier::hw::dv
