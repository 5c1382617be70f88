// The core without F, without pm4adda.b and without both, all of them without esp.lwdota.b, and the
// core that lacks nothing but F: what is missing is illegal, precisely, and everything else is as
// it was. Built once for each core; the build says which one is linked.
#include <gtest/gtest.h>

#include <array>

#include "dv/lockstep.hpp"
#include "dv/program_generator.hpp"
#include "hw/program_builder.hpp"

namespace espalier::hw {
namespace {

using dv::Word;
using testing::kFlash;
using testing::kSram;
using testing::ProgramBuilder;

constexpr dv::Extensions kCore{
#ifdef ESPALIER_HW_NO_FLOAT
    .float_unit = false,
#endif
#ifdef ESPALIER_HW_NO_DOT
    .dot_product = false,
#endif
#ifdef ESPALIER_HW_NO_LOAD_DOT
    .load_dot = false,
#endif
};

RunResult run(const ProgramBuilder& program) {
  Simulator simulator;
  EXPECT_EQ(simulator.load_elf(program.elf()), std::nullopt);
  return simulator.run(10'000);
}

// One instruction after an attempt to switch the float unit on: legal or not, as `present` says.
void expect_presence(Word instruction, bool present) {
  ProgramBuilder program;
  program.enable_float().li(1, kSram).add(dv::addi(3, 0, 5));
  const std::uint32_t pc = program.here();
  program.add(instruction).add({dv::addi(3, 0, 9), dv::sw(3, 1, 0)}).exit_with(3);
  const RunResult result = run(program);
  if (present) {
    EXPECT_EQ(result.describe(), "exited with code 9") << std::hex << instruction;
    return;
  }
  EXPECT_EQ(result.outcome, Outcome::kTrapped) << std::hex << instruction;
  EXPECT_EQ(result.trap.cause, 2u);
  EXPECT_EQ(result.trap.pc, pc);
  EXPECT_EQ(result.trap.value, instruction);
  EXPECT_EQ(result.sram.bytes_written, 0u);
}

TEST(Extensions, FloatInstructionsAreThereOrIllegal) {
  const std::array<Word, 20> instructions = {
      dv::flw(1, 1, 0),
      dv::fsw(1, 1, 64),
      0x0020'8043u | 1u << 27,               // fmadd.s
      0x0020'8047u | 1u << 27,               // fmsub.s
      0x0020'804bu | 1u << 27,               // fnmsub.s
      0x0020'804fu | 1u << 27,               // fnmadd.s
      dv::encode_r(0x00, 1, 2, 0, 3, 0x53),  // fadd.s
      dv::encode_r(0x04, 1, 2, 0, 3, 0x53),  // fsub.s
      dv::encode_r(0x08, 1, 2, 0, 3, 0x53),  // fmul.s
      dv::encode_r(0x0c, 1, 2, 0, 3, 0x53),  // fdiv.s
      dv::encode_r(0x2c, 0, 2, 0, 3, 0x53),  // fsqrt.s
      dv::encode_r(0x10, 1, 2, 0, 3, 0x53),  // fsgnj.s
      dv::encode_r(0x14, 1, 2, 0, 3, 0x53),  // fmin.s
      dv::encode_r(0x50, 1, 2, 2, 4, 0x53),  // feq.s
      dv::encode_r(0x60, 0, 2, 0, 4, 0x53),  // fcvt.w.s
      dv::encode_r(0x68, 0, 1, 0, 3, 0x53),  // fcvt.s.w
      dv::encode_r(0x70, 0, 2, 0, 4, 0x53),  // fmv.x.w
      dv::encode_r(0x70, 0, 2, 1, 4, 0x53),  // fclass.s
      dv::encode_r(0x78, 0, 1, 0, 3, 0x53),  // fmv.w.x
      dv::csrrs(4, 0x003, 0),                // fcsr
  };
  for (const Word instruction : instructions) expect_presence(instruction, kCore.float_unit);
}

TEST(Extensions, TheDotProductIsThereOrIllegal) {
  expect_presence(dv::pm4adda_b(4, 1, 1), kCore.dot_product);
}

// Of its opcode one of eight encodings; the others are illegal everywhere.
TEST(Extensions, TheLoadFusedWithItIsThereOrIllegal) {
  for (const Word words : {0u, 1u, 64u, 127u}) {
    const Word instruction = dv::esp_lwdota_b(4, 1, words, 1);
    expect_presence(instruction, kCore.load_dot);
    for (Word funct3 = 1; funct3 < 8; ++funct3) expect_presence(instruction | funct3 << 12, false);
  }
  for (const Word opcode : {0x2bu, 0x5bu, 0x7bu}) {  // the other custom ones
    expect_presence(dv::encode_r(0, 1, 1, 0, 4, opcode), false);
  }
}

TEST(Extensions, MultiplicationAndDivisionAreAlwaysThere) {
  for (Word funct3 = 0; funct3 < 8; ++funct3) {
    expect_presence(dv::encode_r(1, 1, 1, funct3, 4, 0x33), true);
  }
}

TEST(Extensions, MisaAndFloatStatusTellWhatIsThere) {
  ProgramBuilder program;
  program.enable_float().li(1, kSram);
  program.add({dv::csrrs(4, 0x301, 0), dv::sw(4, 1, 0), dv::csrrs(4, 0x300, 0), dv::sw(4, 1, 4)});
  program.exit_with(0);
  Simulator simulator;
  ASSERT_EQ(simulator.load_elf(program.elf()), std::nullopt);
  ASSERT_EQ(simulator.run(10'000).outcome, Outcome::kExited);
  std::array<std::uint8_t, 8> bytes{};
  ASSERT_TRUE(simulator.read_memory(kSram, bytes));
  EXPECT_EQ((bytes[0] & 0x20) != 0, kCore.float_unit);
  EXPECT_EQ((bytes[2] & 0x80) != 0, kCore.dot_product);
  EXPECT_EQ(bytes[1], 0x11);  // I, M
  EXPECT_EQ(bytes[5] >> 5 & 3, kCore.float_unit ? 1 : 0);
}

// The programs use all extensions; the handler of the program steps over what is illegal here.
TEST(Extensions, RandomProgramsInLockstep) {
  std::uint64_t instructions = 0;
  std::uint64_t traps = 0;
  for (std::uint64_t seed = 7000; instructions < 100'000; ++seed) {
    const dv::GeneratedProgram program = dv::generate_program({.seed = seed, .load_dot = true});
    const dv::LockstepResult result =
        dv::run_lockstep(program.image, program.machine_entry, 50'000'000, kCore);
    ASSERT_EQ(result.mismatch, "") << "seed " << seed;
    ASSERT_EQ(result.run.outcome, Outcome::kExited) << result.run.describe();
    instructions += result.run.instructions;
    traps += result.traps;
    EXPECT_EQ(result.late_results > 0, kCore.float_unit);
  }
  EXPECT_GT(traps, kCore.float_unit ? 100u : 10'000u);
}

}  // namespace
}  // namespace espalier::hw
