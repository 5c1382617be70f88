// Random programs on the core and on the instruction-set simulator, instruction by instruction.
#include "dv/lockstep.hpp"

#include <gtest/gtest.h>

#include <cstdio>

#include "dv/program_generator.hpp"
#include "hw/program_builder.hpp"

namespace espalier::hw::dv {
namespace {

void expect_agreement(GeneratorOptions options, std::uint64_t wanted_instructions,
                      MemoryTiming timing = {}) {
  std::uint64_t instructions = 0;
  InstructionMix mix;
  while (instructions < wanted_instructions) {
    const GeneratedProgram program = generate_program(options);
    const LockstepResult result =
        run_lockstep(program.image, program.machine_entry, 50'000'000, {}, timing);
    ASSERT_EQ(result.mismatch, "") << "seed " << options.seed;
    // A user program ends with a system call, for which there is no handler here.
    ASSERT_EQ(result.run.outcome, options.user_mode ? Outcome::kTrapped : Outcome::kExited)
        << "seed " << options.seed << ": " << result.run.describe();
    instructions += result.run.instructions;
    mix.multiply += result.mix.multiply;
    mix.floats += result.mix.floats;
    mix.csr += result.mix.csr;
    mix.dot += result.mix.dot;
    mix.load_dot += result.mix.load_dot;
    ++options.seed;
    if (timing.random_seed != 0) ++timing.random_seed;
  }
  // No extension is left out, or a matter of a few instructions.
  EXPECT_GT(mix.multiply, instructions / 50);
  EXPECT_GT(mix.csr, instructions / 100);
  EXPECT_GE(mix.floats, options.floats ? instructions / 10 : 0);
  EXPECT_GE(mix.dot, options.user_mode ? 0 : instructions / 200);
  EXPECT_GE(mix.load_dot, options.load_dot ? instructions / 25 : 0);
  ::testing::Test::RecordProperty("instructions", std::to_string(instructions));
  std::printf(
      "%llu instructions: %llu of M, %llu of F, %llu of Zicsr, %llu pm4adda.b, "
      "%llu esp.lwdota.b\n",
      static_cast<unsigned long long>(instructions), static_cast<unsigned long long>(mix.multiply),
      static_cast<unsigned long long>(mix.floats), static_cast<unsigned long long>(mix.csr),
      static_cast<unsigned long long>(mix.dot), static_cast<unsigned long long>(mix.load_dot));
}

#ifdef ESPALIER_SLOW_TESTS
TEST(LockstepSlow, TenMillionInstructions) {
  expect_agreement({.seed = 1000, .body_instructions = 3000, .loops = 20}, 6'000'000);
  expect_agreement({.seed = 2000, .body_instructions = 300, .loops = 5}, 2'000'000);
  expect_agreement({.seed = 3000, .loops = 20, .floats = false}, 2'000'000);
  expect_agreement({.seed = 4000, .loops = 20, .user_mode = true}, 2'000'000);
  expect_agreement({.seed = 5000, .loops = 20}, 2'000'000, {.random_seed = 1});
  expect_agreement({.seed = 6000, .loops = 20}, 1'000'000, {.flash_wait = 4, .random_seed = 1});
}
TEST(LockstepSlow, LoadDot) {
  expect_agreement({.seed = 7000, .loops = 20, .load_dot = true}, 2'000'000);
  expect_agreement({.seed = 8000, .loops = 20, .floats = false, .load_dot = true}, 2'000'000);
  expect_agreement({.seed = 9000, .body_instructions = 300, .loops = 5, .load_dot = true},
                   1'000'000);
  expect_agreement({.seed = 10'000, .loops = 20, .load_dot = true}, 2'000'000, {.random_seed = 1});
  expect_agreement({.seed = 11'000, .loops = 20, .load_dot = true}, 1'000'000,
                   {.flash_wait = 4, .sram_wait = 2, .random_seed = 1});
}
#else
TEST(Lockstep, MachineMode) { expect_agreement({.seed = 1}, 250'000); }
TEST(Lockstep, ShortPrograms) {
  expect_agreement({.seed = 100, .body_instructions = 60, .loops = 2}, 50'000);
}
TEST(Lockstep, IntegerOnly) { expect_agreement({.seed = 200, .floats = false}, 100'000); }
TEST(Lockstep, UserMode) { expect_agreement({.seed = 300, .user_mode = true}, 100'000); }
TEST(Lockstep, RandomWaits) { expect_agreement({.seed = 400}, 100'000, {.random_seed = 1}); }
TEST(Lockstep, LoadDot) {
  expect_agreement({.seed = 600, .floats = false, .load_dot = true}, 100'000);
  expect_agreement({.seed = 700, .load_dot = true}, 50'000, {.random_seed = 1});
}
TEST(Lockstep, SlowMemories) {
  expect_agreement({.seed = 500}, 50'000, {.flash_wait = 3, .sram_wait = 1});
  expect_agreement({.seed = 510}, 50'000, {.flash_wait = 1, .flash_line_bytes = 4});
  expect_agreement({.seed = 520}, 50'000,
                   {.flash_wait = 15, .flash_line_bytes = 64, .sram_wait = 7, .random_seed = 9});
}

// Cycles of the default memories: a change of these is a change of every figure in the documents.
TEST(Lockstep, CyclesAreWhatTheyWere) {
  std::uint64_t instructions = 0;
  std::uint64_t cycles = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const GeneratedProgram program = generate_program({.seed = seed});
    const LockstepResult result = run_lockstep(program.image, program.machine_entry, 50'000'000);
    ASSERT_EQ(result.mismatch, "") << "seed " << seed;
    instructions += result.run.instructions;
    cycles += result.run.cycles;
  }
  EXPECT_EQ(instructions, 337'415u);
  EXPECT_EQ(cycles, 717'842u);
}

TEST(Lockstep, ExecutablesInMemoriesOfTheirOwn) {
  constexpr std::uint32_t kBase = 0x8000'0000;
  SimulatorConfig config;
  config.sram_base = kBase;
  config.sram_size = 1u << 16;
  testing::ProgramBuilder program(kBase);
  program.li(1, kBase + 0x1000).add({addi(2, 0, 77), sw(2, 1, 4), lw(3, 1, 4)}).exit_with(0);
  const LockstepResult result = run_lockstep(program.elf(), config, 1'000);
  EXPECT_EQ(result.mismatch, "");
  EXPECT_EQ(result.run.describe(), "exited with code 0");
  EXPECT_EQ(result.run.instructions, 7u);
  EXPECT_NE(run_lockstep(program.elf(), {}, 1'000).mismatch, "");  // not its memories
}

TEST(Lockstep, SameSeedSameProgram) {
  const GeneratedProgram a = generate_program({.seed = 9});
  const GeneratedProgram b = generate_program({.seed = 9});
  const GeneratedProgram c = generate_program({.seed = 10});
  EXPECT_EQ(write_elf(a.image), write_elf(b.image));
  EXPECT_NE(write_elf(a.image), write_elf(c.image));
}
#endif

}  // namespace
}  // namespace espalier::hw::dv
