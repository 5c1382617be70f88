// The stall cycles of docs/core-pipeline.md, measured: for every row, the cycles from one
// retirement to that of a later instruction.
#include <gtest/gtest.h>

#include <ostream>
#include <vector>

#include "hw/program_builder.hpp"

namespace espalier::hw {
namespace {

using dv::Word;
using testing::kFlash;
using testing::kSram;
using testing::ProgramBuilder;

class RetirementCycles : public Observer {
 public:
  bool retired(const Retirement& retirement) override {
    cycles.push_back(retirement.cycle);
    return true;
  }
  bool late_float(std::uint8_t, std::uint32_t) override { return true; }

  std::vector<std::uint64_t> cycles;
};

struct PipelineCase {
  const char* name;
  std::vector<Word> code;  // x1 = SRAM, x2 = 7, x3 = 3; f1 = 1.5, f2 = 0
  std::size_t executed;    // instructions of `code` that retire
  std::uint64_t cycles;    // that they take together
};

std::ostream& operator<<(std::ostream& out, const PipelineCase& row) { return out << row.name; }

class Pipeline : public ::testing::TestWithParam<PipelineCase> {};

TEST_P(Pipeline, TakesTheCyclesThatTheManualSays) {
  const PipelineCase& row = GetParam();
  ProgramBuilder program;
  program.enable_float().li(1, kSram).add({dv::addi(2, 0, 7), dv::addi(3, 0, 3)});
  program.add({dv::lui(5, 0x3fc00), dv::encode_r(0x78, 0, 5, 0, 1, 0x53)});
  program.add({dv::encode_r(0x78, 0, 0, 0, 2, 0x53), dv::kNop, dv::kNop, dv::kNop});
  const std::size_t before = (program.here() - kFlash) / 4;
  for (const Word word : row.code) program.add(word);
  program.add({dv::kNop, dv::kNop, dv::kNop, dv::kNop, dv::kNop, dv::kNop}).exit_with(0);

  Simulator simulator;
  ASSERT_EQ(simulator.load_elf(program.elf()), std::nullopt);
  RetirementCycles observer;
  simulator.set_observer(&observer);
  const RunResult result = simulator.run(10'000);
  ASSERT_EQ(result.outcome, Outcome::kExited) << result.describe();
  ASSERT_GT(observer.cycles.size(), before + row.executed);
  EXPECT_EQ(observer.cycles[before + row.executed] - observer.cycles[before], row.cycles);
}

constexpr Word fma(Word rd, Word rs1, Word rs2, Word rs3) {
  return rs3 << 27 | dv::encode_r(0, rs2, rs1, 0, rd, 0x43);
}
constexpr Word fadd(Word rd, Word rs1, Word rs2) { return dv::encode_r(0, rs2, rs1, 0, rd, 0x53); }
constexpr Word fdiv(Word rd, Word rs1, Word rs2) {
  return dv::encode_r(0x0c, rs2, rs1, 0, rd, 0x53);
}
constexpr Word fsgnj(Word rd, Word rs1, Word rs2) {
  return dv::encode_r(0x10, rs2, rs1, 0, rd, 0x53);
}

// Cycles run from the retirement of the first instruction to that of the one behind the last, so a
// single instruction of one cycle counts 1.
INSTANTIATE_TEST_SUITE_P(
    All, Pipeline,
    ::testing::Values(
        PipelineCase{"Alu", {dv::add(4, 2, 3), dv::add(4, 4, 4), dv::add(4, 4, 4)}, 3, 3},
        PipelineCase{"Multiply", {dv::encode_r(1, 2, 3, 1, 4, 0x33), dv::add(4, 4, 4)}, 2, 2},
        PipelineCase{"Dot", {dv::pm4adda_b(4, 2, 3), dv::pm4adda_b(4, 4, 4)}, 2, 2},
        PipelineCase{"Divide", {dv::kNop, dv::encode_r(1, 2, 3, 4, 4, 0x33)}, 2, 35},
        PipelineCase{"Load", {dv::lw(4, 1, 0), dv::kNop, dv::add(5, 4, 4)}, 3, 3},
        PipelineCase{"LoadUse", {dv::lw(4, 1, 0), dv::add(5, 4, 4)}, 2, 3},
        PipelineCase{"LoadUseByDotAccumulator", {dv::lw(4, 1, 0), dv::pm4adda_b(4, 2, 3)}, 2, 3},
        PipelineCase{"LoadThenOverwrite", {dv::lw(4, 1, 0), dv::addi(4, 0, 1)}, 2, 2},
        PipelineCase{"Store", {dv::sw(2, 1, 0), dv::lw(4, 1, 0), dv::kNop}, 3, 3},
        PipelineCase{"BranchNotTaken", {dv::beq(2, 3, 8), dv::kNop}, 2, 2},
        PipelineCase{"BranchTaken", {dv::bne(2, 3, 8), dv::kNop}, 1, 2},
        PipelineCase{"Jal", {dv::jal(4, 8), dv::kNop}, 1, 2},
        PipelineCase{"Jalr", {dv::auipc(4, 0), dv::jalr(4, 4, 12), dv::kNop}, 2, 3},
        PipelineCase{"Csr", {dv::csrrs(4, 0x340, 0), dv::add(4, 4, 4)}, 2, 2},
        PipelineCase{"Fence", {dv::kFence, dv::kNop}, 2, 2},
        PipelineCase{"FenceI", {dv::kFenceI, dv::kNop}, 2, 3},
        PipelineCase{"Trap",
                     {dv::auipc(4, 0), dv::addi(4, 4, 16), dv::csrrw(0, 0x305, 4), dv::kEcall},
                     4,
                     5},
        PipelineCase{
            "Mret", {dv::auipc(4, 0), dv::addi(4, 4, 16), dv::csrrw(0, 0x341, 4), dv::kMret}, 4, 5},
        PipelineCase{"Wfi", {dv::kWfi, dv::kNop}, 2, 2},
        PipelineCase{"ConvertThenUse", {dv::encode_r(0x68, 0, 2, 0, 4, 0x53), fadd(5, 4, 4)}, 2, 2},
        PipelineCase{"FmaIndependent",
                     {fma(4, 1, 1, 1), fma(5, 1, 1, 1), fma(6, 1, 1, 1), fma(7, 1, 1, 1)},
                     4,
                     4},
        PipelineCase{"FmaChain", {fma(4, 1, 1, 1), fma(4, 1, 1, 4), dv::kNop}, 3, 5},
        PipelineCase{"FaddThenUse", {fadd(4, 1, 1), fsgnj(5, 4, 4)}, 2, 4},
        PipelineCase{"FaddThenUseOneLater", {fadd(4, 1, 1), dv::kNop, fsgnj(5, 4, 4)}, 3, 4},
        PipelineCase{
            "FaddThenUseTwoLater", {fadd(4, 1, 1), dv::kNop, dv::kNop, fsgnj(5, 4, 4)}, 4, 4},
        PipelineCase{"FaddThenOverwrite", {fadd(4, 1, 1), fsgnj(4, 1, 1)}, 2, 3},
        PipelineCase{"FaddThenStore", {fadd(4, 1, 1), dv::fsw(4, 1, 0)}, 2, 4},
        PipelineCase{"FaddThenReadFlags", {fadd(4, 1, 1), dv::csrrs(4, 0x001, 0)}, 2, 4},
        PipelineCase{"SingleCycleFloatThenUse", {fsgnj(4, 1, 1), fadd(5, 4, 4)}, 2, 2},
        PipelineCase{
            "FloatCompareThenUse", {dv::encode_r(0x50, 1, 1, 2, 4, 0x53), dv::add(4, 4, 4)}, 2, 2},
        PipelineCase{"FloatLoadUse", {dv::flw(4, 1, 0), fadd(5, 4, 4)}, 2, 3},
        PipelineCase{"FloatDivide", {dv::kNop, fdiv(4, 1, 1)}, 2, 30},
        PipelineCase{"FloatDivideSpecial", {dv::kNop, fdiv(4, 1, 2)}, 2, 3},
        PipelineCase{"FloatDivideThenUse", {dv::kNop, fdiv(4, 1, 1), fadd(5, 4, 4)}, 3, 32},
        PipelineCase{"FloatSquareRoot", {dv::kNop, dv::encode_r(0x2c, 0, 1, 0, 4, 0x53)}, 2, 30}),
    [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace espalier::hw
