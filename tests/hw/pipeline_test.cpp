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
    addresses.push_back(retirement.pc);
    return true;
  }
  bool late_float(std::uint8_t, std::uint32_t) override { return true; }

  std::vector<std::uint64_t> cycles;
  std::vector<std::uint32_t> addresses;
};

struct PipelineCase {
  const char* name;
  std::vector<Word> code;  // x1 = SRAM, x2 = 7, x3 = 3; f1 = 1.5, f2 = 0
  std::size_t executed;    // instructions of `code` that retire
  std::uint64_t cycles;    // that they take together
};

std::ostream& operator<<(std::ostream& out, const PipelineCase& row) { return out << row.name; }

class Pipeline : public ::testing::TestWithParam<PipelineCase> {};

// `code` behind a start that sets what PipelineCase names; `before` is the number of instructions
// that retire before it.
ProgramBuilder program_of(const std::vector<Word>& code, std::size_t& before) {
  ProgramBuilder program;
  program.enable_float().li(1, kSram).add({dv::addi(2, 0, 7), dv::addi(3, 0, 3)});
  program.add({dv::lui(5, 0x3fc00), dv::encode_r(0x78, 0, 5, 0, 1, 0x53)});
  program.add({dv::encode_r(0x78, 0, 0, 0, 2, 0x53), dv::kNop, dv::kNop, dv::kNop});
  before = (program.here() - kFlash) / 4;
  for (const Word word : code) program.add(word);
  program.add({dv::kNop, dv::kNop, dv::kNop, dv::kNop, dv::kNop, dv::kNop}).exit_with(0);
  return program;
}

RetirementCycles run(const ProgramBuilder& program, const MemoryTiming& timing = {}) {
  SimulatorConfig config;
  config.timing = timing;
  Simulator simulator(config);
  EXPECT_EQ(simulator.load_elf(program.elf()), std::nullopt);
  RetirementCycles observer;
  simulator.set_observer(&observer);
  const RunResult result = simulator.run(10'000);
  EXPECT_EQ(result.outcome, Outcome::kExited) << result.describe();
  return observer;
}

// Cycles that the first `executed` retirements of `code` take together.
std::uint64_t measure(const std::vector<Word>& code, std::size_t executed,
                      const MemoryTiming& timing = {}) {
  std::size_t before = 0;
  const ProgramBuilder program = program_of(code, before);
  const RetirementCycles observer = run(program, timing);
  if (observer.cycles.size() <= before + executed) return 0;
  return observer.cycles[before + executed] - observer.cycles[before];
}

TEST_P(Pipeline, TakesTheCyclesThatTheManualSays) {
  const PipelineCase& row = GetParam();
  EXPECT_EQ(measure(row.code, row.executed), row.cycles);
}

// Wait states add cycles and change nothing else: the same instructions retire in the same order.
TEST_P(Pipeline, RunsTheSameInstructionsWithRandomWaits) {
  std::size_t before = 0;
  const ProgramBuilder program = program_of(GetParam().code, before);
  const RetirementCycles at_once = run(program);
  for (std::uint32_t seed = 1; seed <= 8; ++seed) {
    const RetirementCycles waiting = run(program, {.random_seed = seed * 0x9e37'79b9u});
    EXPECT_EQ(waiting.addresses, at_once.addresses) << "seed " << seed;
    EXPECT_GT(waiting.cycles.back(), at_once.cycles.back()) << "seed " << seed;
  }
}

// From the SRAM.
constexpr Word lwdota(Word rd, Word rs2, Word base = 1) {
  return dv::esp_lwdota_b(rd, rs2, 1, base);
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

// Behind a load, before what needs the result, and before what needs the unit. Nothing is added to
// what then is an address.
INSTANTIATE_TEST_SUITE_P(
    LoadDot, Pipeline,
    ::testing::Values(
        PipelineCase{"LoadUseByLoadDotAccumulator", {dv::lw(4, 1, 0), lwdota(4, 2)}, 2, 3},
        PipelineCase{"LoadUseByLoadDotFactor", {dv::lw(4, 1, 0), lwdota(5, 4)}, 2, 3},
        PipelineCase{
            "LoadDotIndependent", {lwdota(4, 2), lwdota(5, 2), lwdota(6, 2), lwdota(7, 2)}, 4, 4},
        PipelineCase{"LoadDotAddressForwarded", {dv::add(4, 1, 0), lwdota(5, 2, 4)}, 2, 2},
        PipelineCase{"LoadDotFactorForwarded", {dv::addi(4, 0, 5), lwdota(5, 4)}, 2, 2},
        PipelineCase{"LoadDotAccumulatorForwarded", {dv::addi(5, 0, 5), lwdota(5, 2)}, 2, 2},
        PipelineCase{"LoadDotUse", {lwdota(4, 2), dv::add(5, 4, 4)}, 2, 3},
        PipelineCase{"LoadDotUseOneLater", {lwdota(4, 2), dv::kNop, dv::add(5, 4, 4)}, 3, 3},
        PipelineCase{"LoadDotStore", {lwdota(4, 2), dv::sw(4, 1, 0)}, 2, 3},
        PipelineCase{
            "LoadDotUseAsAddress", {dv::add(4, 1, 0), lwdota(4, 0), dv::lw(5, 4, 0)}, 3, 4},
        PipelineCase{"LoadDotChain", {lwdota(4, 2), lwdota(4, 2), lwdota(4, 2)}, 3, 5},
        PipelineCase{
            "LoadDotChainOfTwo", {lwdota(4, 2), lwdota(5, 2), lwdota(4, 2), lwdota(5, 2)}, 4, 4},
        PipelineCase{"LoadDotUseAsFactor", {lwdota(4, 2), lwdota(5, 4)}, 2, 3},
        PipelineCase{"LoadDotThenOverwrite", {lwdota(4, 2), dv::addi(4, 0, 1)}, 2, 2},
        PipelineCase{"LoadDotThenLoad", {lwdota(4, 2), dv::lw(5, 1, 0), dv::sw(2, 1, 4)}, 3, 3},
        PipelineCase{
            "LoadDotThenMultiply", {lwdota(4, 2), dv::encode_r(1, 2, 3, 0, 5, 0x33)}, 2, 2},
        PipelineCase{"LoadDotThenDot", {lwdota(4, 2), dv::pm4adda_b(5, 2, 3)}, 2, 3},
        PipelineCase{"LoadDotThenDotOfItsResult", {lwdota(4, 2), dv::pm4adda_b(4, 2, 3)}, 2, 3},
        PipelineCase{
            "LoadDotThenDotOneLater", {lwdota(4, 2), dv::kNop, dv::pm4adda_b(5, 2, 3)}, 3, 3},
        PipelineCase{"DotThenLoadDot", {dv::pm4adda_b(5, 2, 3), lwdota(4, 2)}, 2, 2},
        PipelineCase{"LoadDotsAndDotsInTurn",
                     {lwdota(4, 2), dv::pm4adda_b(5, 2, 3), lwdota(6, 2), dv::pm4adda_b(7, 2, 3)},
                     4,
                     6},
        PipelineCase{"LoadDotToNothingThenDot", {lwdota(0, 2), dv::pm4adda_b(5, 2, 3)}, 2, 3}),
    [](const auto& row) { return std::string(row.param.name); });

// ---- Every instruction, without waiting for operands ------------------------------------------

struct InstructionRow {
  std::uint64_t cycles;
  std::vector<Word> instructions;
};

constexpr Word op(Word funct7, Word funct3) { return dv::encode_r(funct7, 3, 2, funct3, 4, 0x33); }
constexpr Word op_imm(Word funct3, std::int32_t imm) {
  return dv::encode_i(imm, 2, funct3, 4, 0x13);
}
constexpr Word load(Word funct3) { return dv::encode_i(0, 1, funct3, 4, 0x03); }
constexpr Word op_fp(Word funct7, Word rs2, Word funct3) {
  return dv::encode_r(funct7, rs2, 1, funct3, 4, 0x53);
}
// Around the instruction behind: where they go matters only if they are taken.
constexpr Word branch(Word funct3, Word rs1, Word rs2) { return dv::encode_b(8, rs2, rs1, funct3); }

TEST(PipelineTable, EveryInstructionTakesTheCyclesOfItsRow) {
  // x2 = 7, x3 = 3, f1 = 1.5, f2 = 0; x4 and f4 are free.
  const std::vector<InstructionRow> table = {
      // Integer arithmetic, logic, shifts, lui, auipc.
      {1,
       {dv::lui(4, 1), dv::auipc(4, 1), op_imm(0, 5),     op_imm(1, 5), op_imm(2, 5), op_imm(3, 5),
        op_imm(4, 5),  op_imm(5, 5),    op_imm(5, 0x405), op_imm(6, 5), op_imm(7, 5), op(0, 0),
        op(0x20, 0),   op(0, 1),        op(0, 2),         op(0, 3),     op(0, 4),     op(0, 5),
        op(0x20, 5),   op(0, 6),        op(0, 7)}},
      // Multiplications.
      {1, {op(1, 0), op(1, 1), op(1, 2), op(1, 3), dv::pm4adda_b(4, 2, 3)}},
      // Divisions and remainders.
      {34, {op(1, 4), op(1, 5), op(1, 6), op(1, 7)}},
      // Loads and stores.
      {1,
       {load(0), load(1), load(2), load(4), load(5), dv::sb(2, 1, 0), dv::sh(2, 1, 0),
        dv::sw(2, 1, 0), dv::flw(4, 1, 0), dv::fsw(1, 1, 0), lwdota(4, 2)}},
      // Branches not taken, then taken; jumps.
      {1,
       {branch(0, 2, 3), branch(1, 2, 2), branch(4, 2, 3), branch(5, 3, 2), branch(6, 2, 3),
        branch(7, 3, 2)}},
      {2,
       {branch(0, 2, 2), branch(1, 2, 3), branch(4, 3, 2), branch(5, 2, 3), branch(6, 3, 2),
        branch(7, 2, 3), dv::jal(4, 8)}},
      // CSR instructions, fence, wfi.
      {1,
       {dv::csr(1, 4, 0x340, 2), dv::csr(2, 4, 0x340, 2), dv::csr(3, 4, 0x340, 2),
        dv::csr(5, 4, 0x340, 2), dv::csr(6, 4, 0x340, 2), dv::csr(7, 4, 0x340, 2),
        dv::csrrs(4, 0xb00, 0), dv::kFence, dv::kWfi}},
      {2, {dv::kFenceI}},
      // Multiply-adds.
      {1,
       {op_fp(0x00, 1, 0), op_fp(0x04, 1, 0), op_fp(0x08, 1, 0), fma(4, 1, 1, 1),
        fma(4, 1, 1, 1) ^ 4, fma(4, 1, 1, 1) ^ 8, fma(4, 1, 1, 1) ^ 12}},
      // Division and square root, with and without iterations.
      {29, {op_fp(0x0c, 1, 0), op_fp(0x2c, 0, 0)}},
      {2,
       {op_fp(0x0c, 2, 0), dv::encode_r(0x0c, 1, 2, 0, 4, 0x53),
        dv::encode_r(0x2c, 0, 2, 0, 4, 0x53)}},
      // Other float instructions.
      {1,
       {op_fp(0x10, 1, 0), op_fp(0x10, 1, 1), op_fp(0x10, 1, 2), op_fp(0x14, 1, 0),
        op_fp(0x14, 1, 1), op_fp(0x50, 1, 0), op_fp(0x50, 1, 1), op_fp(0x50, 1, 2),
        op_fp(0x60, 0, 0), op_fp(0x60, 1, 0), op_fp(0x68, 0, 0), op_fp(0x68, 1, 0),
        op_fp(0x70, 0, 0), op_fp(0x70, 0, 1), op_fp(0x78, 0, 0)}},
  };
  for (const InstructionRow& row : table) {
    for (const Word instruction : row.instructions) {
      // The instruction behind a nop, so that nothing before it is waited for.
      EXPECT_EQ(measure({dv::kNop, instruction, dv::kNop}, 2), 1 + row.cycles)
          << "instruction " << std::hex << instruction;
    }
  }
}

// ---- Wait states --------------------------------------------------------------------------------

// Cycles from the retirement of the first instruction of `code` to that of the last, in a program
// that is nothing else; addresses begin at a line of the flash.
std::uint64_t span(const std::vector<Word>& code, const MemoryTiming& timing) {
  ProgramBuilder program;
  for (const Word word : code) program.add(word);
  program.exit_with(0);
  const RetirementCycles observer = run(program, timing);
  return observer.cycles[code.size() - 1] - observer.cycles[0];
}

TEST(WaitStates, StraightCodeWaitsForWhatThePrefetchDoesNotHide) {
  const std::vector<Word> code(64, dv::kNop);
  // Four instructions a line are read ahead while four others run.
  for (const std::uint32_t wait : {0u, 1u, 2u, 3u}) {
    EXPECT_EQ(span(code, {.flash_wait = wait}), 63u) << wait;
  }
  EXPECT_EQ(span(code, {.flash_wait = 5}), 63u + 15u * 2u);
  EXPECT_EQ(span(code, {.flash_wait = 5, .flash_line_bytes = 32}), 63u);
  EXPECT_EQ(span(code, {.flash_wait = 2, .flash_line_bytes = 4}), 63u * 3u);
}

TEST(WaitStates, AJumpOutOfTheLineWaitsForAll) {
  // To the line after the next one, which no prefetch has.
  std::vector<Word> code(17, dv::kNop);
  code[0] = dv::jal(0, 48);
  for (const std::uint32_t wait : {0u, 2u, 5u, 15u}) {
    ProgramBuilder program;
    for (const Word word : code) program.add(word);
    program.exit_with(0);
    const RetirementCycles observer = run(program, {.flash_wait = wait});
    EXPECT_EQ(observer.cycles[1] - observer.cycles[0], 2 + wait);
  }
}

TEST(WaitStates, SramMakesLoadsAndStoresWait) {
  for (const std::uint32_t wait : {0u, 1u, 4u, 15u}) {
    const MemoryTiming timing{.sram_wait = wait};
    EXPECT_EQ(measure({dv::kNop, dv::lw(4, 1, 0), dv::kNop}, 2, timing), 2 + wait);
    EXPECT_EQ(measure({dv::kNop, dv::lw(4, 1, 0), dv::add(5, 4, 4)}, 2, timing), 3 + wait);
    EXPECT_EQ(measure({dv::lw(4, 1, 0), dv::add(5, 4, 4)}, 2, timing), 3u);
    EXPECT_EQ(measure({dv::kNop, dv::sw(2, 1, 0), dv::sb(2, 1, 5)}, 2, timing), 2 + 2 * wait);
    EXPECT_EQ(measure({dv::kNop, dv::fsw(1, 1, 0)}, 2, timing), 2 + wait);
  }
}

// A wait is in execute, whatever the instruction behind has to wait for afterwards.
TEST(WaitStates, SramMakesLoadsFusedWithTheDotProductWait) {
  for (const std::uint32_t wait : {0u, 1u, 4u, 15u}) {
    const MemoryTiming timing{.sram_wait = wait};
    EXPECT_EQ(measure({dv::kNop, lwdota(4, 2), dv::kNop}, 2, timing), 2 + wait);
    EXPECT_EQ(measure({dv::kNop, lwdota(4, 2), lwdota(5, 2)}, 2, timing), 2 + 2 * wait);
    EXPECT_EQ(measure({dv::kNop, lwdota(4, 2), lwdota(4, 2)}, 2, timing), 3 + 2 * wait);
    EXPECT_EQ(measure({dv::kNop, lwdota(4, 2), dv::add(5, 4, 4)}, 2, timing), 3 + wait);
    EXPECT_EQ(measure({lwdota(4, 2), dv::pm4adda_b(5, 2, 3)}, 2, timing), 3u);
    EXPECT_EQ(measure({dv::pm4adda_b(5, 2, 3), lwdota(4, 2)}, 2, timing), 2 + wait);
  }
}

TEST(WaitStates, DataFromFlashComeByLines) {
  // x6 = flash; loads of one line, then of the next.
  std::vector<Word> code = {dv::lui(6, kFlash >> 12)};
  for (std::int32_t i = 0; i < 8; ++i) code.push_back(dv::lw(7, 6, 4 * i));
  const std::uint64_t at_once = span(code, {});
  for (const std::uint32_t wait : {1u, 3u}) {
    EXPECT_EQ(span(code, {.flash_wait = wait}), at_once + 2 * wait);
  }
}

TEST(WaitStates, TheRegistersOfTheTestBenchAndFaultsDoNotWait) {
  const MemoryTiming slow{.sram_wait = 15};
  const std::vector<Word> console = {dv::lui(4, testing::kMmio >> 12), dv::lw(5, 4, 0)};
  EXPECT_EQ(measure(console, 2, slow), measure(console, 2));
  const std::vector<Word> fault = {dv::auipc(4, 0), dv::addi(4, 4, 16), dv::csrrw(0, 0x305, 4),
                                   dv::lw(5, 0, 0)};
  EXPECT_EQ(measure(fault, 4, slow), 5u);
}

}  // namespace
}  // namespace espalier::hw
