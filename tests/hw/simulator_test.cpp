// How programs end, what the simulator counts, and that nothing makes it hang or crash.
#include "tb/simulator.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <ostream>
#include <random>
#include <utility>

#include "hw/program_builder.hpp"

namespace espalier::hw {
namespace {

using dv::Word;
using ::testing::HasSubstr;
using testing::kFlash;
using testing::kMmio;
using testing::kSram;
using testing::ProgramBuilder;

constexpr std::uint64_t kPlenty = 100'000;

RunResult run(const ProgramBuilder& program, const SimulatorConfig& config = {}) {
  Simulator simulator(config);
  EXPECT_EQ(simulator.load_elf(program.elf()), std::nullopt);
  return simulator.run(kPlenty);
}

std::uint32_t word_at(const Simulator& simulator, std::uint32_t address) {
  std::array<std::uint8_t, 4> bytes{};
  EXPECT_TRUE(simulator.read_memory(address, bytes));
  return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | static_cast<std::uint32_t>(bytes[3]) << 24;
}

TEST(Simulator, ReportsExitCodeAndConsole) {
  ProgramBuilder program;
  program.add(dv::lui(1, kMmio >> 12));
  for (const char c : std::string("hi\n")) {
    program.add({dv::addi(2, 0, c), dv::sb(2, 1, 0)});
  }
  program.add({dv::addi(3, 0, 42), dv::sw(3, 1, 4)});
  Simulator simulator;
  ASSERT_EQ(simulator.load_elf(program.elf()), std::nullopt);
  const RunResult result = simulator.run(kPlenty);
  EXPECT_EQ(result.outcome, Outcome::kExited);
  EXPECT_EQ(result.exit_code, 42u);
  EXPECT_EQ(simulator.console(), "hi\n");
  EXPECT_EQ(result.instructions, 9u);
  EXPECT_EQ(result.describe(), "exited with code 42");
  // An ended program stays ended.
  EXPECT_EQ(simulator.run(2 * kPlenty).cycles, result.cycles);
}

TEST(Simulator, RunsTheSameProgramAgainAfterReset) {
  ProgramBuilder program;
  program.add({dv::addi(3, 0, 7)}).exit_with(3);
  Simulator simulator;
  ASSERT_EQ(simulator.load_elf(program.elf()), std::nullopt);
  const RunResult first = simulator.run(kPlenty);
  simulator.reset(kFlash);
  const RunResult second = simulator.run(kPlenty);
  EXPECT_EQ(first.cycles, second.cycles);
  EXPECT_EQ(second.exit_code, 7u);
}

// Takes `count` rounds of a loop, leaves the code 3.
ProgramBuilder countdown(int count) {
  ProgramBuilder program;
  program.add({dv::addi(1, 0, count), dv::addi(3, 0, 3)});
  program.add({dv::addi(1, 1, -1), dv::bne(1, 0, -4)});
  program.exit_with(3);
  return program;
}

TEST(Simulator, TwoOfThemRunSideBySide) {
  const std::uint64_t cycles = run(countdown(200)).cycles;
  const std::uint64_t more_cycles = run(countdown(300)).cycles;
  Simulator first;
  ASSERT_EQ(first.load_elf(countdown(200).elf()), std::nullopt);
  ASSERT_EQ(first.run(100).outcome, Outcome::kCycleLimit);
  Simulator second;
  ASSERT_EQ(second.load_elf(countdown(300).elf()), std::nullopt);
  // In turns, then each to its end, the later one first.
  for (std::uint64_t limit = 110; limit < 300; limit += 10) {
    ASSERT_EQ(second.run(limit).outcome, Outcome::kCycleLimit);
    ASSERT_EQ(first.run(limit).outcome, Outcome::kCycleLimit);
  }
  for (const auto& [simulator, expected] : {std::pair{&second, more_cycles}, {&first, cycles}}) {
    const RunResult result = simulator->run(kPlenty);
    EXPECT_EQ(result.describe(), "exited with code 3");
    EXPECT_EQ(result.cycles, expected);
  }
}

// The one that is left goes on.
TEST(Simulator, OutlivesAnother) {
  Simulator simulator;
  ASSERT_EQ(simulator.load_elf(countdown(200).elf()), std::nullopt);
  const RunResult first = simulator.run(100);
  EXPECT_EQ(run(countdown(300)).exit_code, 3u);
  EXPECT_EQ(first.outcome, Outcome::kCycleLimit);
  EXPECT_EQ(simulator.run(kPlenty).exit_code, 3u);
  simulator = Simulator();
  ASSERT_EQ(simulator.load_elf(countdown(200).elf()), std::nullopt);
  EXPECT_EQ(simulator.run(kPlenty).exit_code, 3u);
}

TEST(Simulator, StopsAtTheCycleLimitAndContinues) {
  ProgramBuilder program;
  program.add(dv::addi(1, 0, 400));
  program.add({dv::addi(1, 1, -1), dv::bne(1, 0, -4)});
  program.exit_with(1);
  Simulator simulator;
  ASSERT_EQ(simulator.load_elf(program.elf()), std::nullopt);
  const RunResult limited = simulator.run(100);
  EXPECT_EQ(limited.outcome, Outcome::kCycleLimit);
  EXPECT_EQ(limited.cycles, 100u);
  EXPECT_THAT(limited.describe(), HasSubstr("still running after 100 cycles, at pc 0x080000"));
  EXPECT_EQ(simulator.run(kPlenty).outcome, Outcome::kExited);
}

TEST(Simulator, EndsAProgramThatNeverEnds) {
  const RunResult result = run(ProgramBuilder().add(dv::jal(0, 0)));
  EXPECT_EQ(result.outcome, Outcome::kCycleLimit);
  EXPECT_EQ(result.trap.pc, kFlash);
}

struct FaultCase {
  const char* name;
  std::vector<Word> code;  // x1 = SRAM, x2 = flash; the last instruction is the one at fault
  std::uint32_t cause;
  std::uint32_t value;
};

std::ostream& operator<<(std::ostream& out, const FaultCase& fault) { return out << fault.name; }

constexpr std::uint32_t kInstruction = 0xffff'fff0;  // value: the instruction itself
constexpr std::uint32_t kPc = 0xffff'8000;           // value: its address, give or take 64 bytes

// What mtval holds for a fault at `pc`.
std::uint32_t value_of(const FaultCase& fault, std::uint32_t pc) {
  if (fault.value == kInstruction) return fault.code.back();
  const std::uint32_t distance = fault.value - (kPc - 64);
  return distance <= 128 ? pc + distance - 64 : fault.value;
}

class Faults : public ::testing::TestWithParam<FaultCase> {};

TEST_P(Faults, ArePreciseAndReported) {
  const FaultCase& fault = GetParam();
  // x3 counts: one before the fault, never one after it.
  ProgramBuilder program;
  program.add({dv::lui(1, kSram >> 12), dv::lui(2, kFlash >> 12), dv::addi(3, 0, 1)});
  for (const Word word : fault.code) program.add(word);
  const std::uint32_t pc = program.here() - 4;
  program.add({dv::addi(3, 3, 1), dv::sw(3, 1, 0)}).exit_with(3);

  Simulator simulator;
  ASSERT_EQ(simulator.load_elf(program.elf()), std::nullopt);
  const RunResult result = simulator.run(kPlenty);
  EXPECT_EQ(result.outcome, Outcome::kTrapped);
  EXPECT_EQ(result.trap.cause, fault.cause);
  const bool at_target = fault.cause == 1;  // the pc of a fetch that fails is where it jumped to
  EXPECT_EQ(result.trap.pc, at_target ? fault.value : pc);
  EXPECT_EQ(result.trap.value, value_of(fault, pc));
  EXPECT_FALSE(result.trap.nested);
  EXPECT_EQ(word_at(simulator, kSram), 0u);
  EXPECT_THAT(result.describe(), HasSubstr(std::string(cause_name(fault.cause)) + " at pc 0x"));
}

TEST_P(Faults, CanBeHandledAndResumed) {
  const FaultCase& fault = GetParam();
  ProgramBuilder program;
  program.add({dv::auipc(5, 0), dv::addi(5, 5, 16), dv::csrrw(0, 0x305, 5), dv::jal(0, 4 * 12)});
  // The handler keeps what it is told and goes on at x6, where the program wants.
  program.add({dv::csrrs(7, 0x342, 0), dv::sw(7, 1, 16), dv::csrrs(7, 0x341, 0), dv::sw(7, 1, 20),
               dv::csrrs(7, 0x343, 0), dv::sw(7, 1, 24), dv::csrrw(0, 0x341, 6), dv::kMret,
               dv::kNop, dv::kNop, dv::kNop});
  program.add({dv::lui(1, kSram >> 12), dv::lui(2, kFlash >> 12), dv::auipc(6, 0),
               dv::addi(6, 6, static_cast<std::int32_t>(8 + 4 * fault.code.size()))});
  for (const Word word : fault.code) program.add(word);
  const std::uint32_t pc = program.here() - 4;
  program.add(dv::addi(3, 0, 9)).exit_with(3);

  Simulator simulator;
  ASSERT_EQ(simulator.load_elf(program.elf()), std::nullopt);
  const RunResult result = simulator.run(kPlenty);
  EXPECT_EQ(result.outcome, Outcome::kExited) << result.describe();
  EXPECT_EQ(result.exit_code, 9u);
  EXPECT_EQ(word_at(simulator, kSram + 16), fault.cause);
  EXPECT_EQ(word_at(simulator, kSram + 20), fault.cause == 1 ? fault.value : pc);
  EXPECT_EQ(word_at(simulator, kSram + 24), value_of(fault, pc));
}

constexpr std::uint32_t kSramEnd = kSram + (256u << 10);

INSTANTIATE_TEST_SUITE_P(
    All, Faults,
    ::testing::Values(
        FaultCase{"LoadFromNull", {dv::lw(4, 0, 0)}, 5, 0},
        FaultCase{"LoadBelowSram", {dv::lw(4, 1, -4)}, 5, kSram - 4},
        FaultCase{"LoadAboveSram", {dv::lui(5, kSramEnd >> 12), dv::lw(4, 5, 0)}, 5, kSramEnd},
        FaultCase{
            "LoadByteAboveSram", {dv::lui(5, kSramEnd >> 12), dv::lbu(4, 5, 1)}, 5, kSramEnd + 1},
        FaultCase{"LoadBelowFlash", {dv::lh(4, 2, -2)}, 5, kFlash - 2},
        FaultCase{"LoadFromTheTop", {dv::lw(4, 0, -4)}, 5, 0xffff'fffc},
        FaultCase{
            "LoadBesideTheRegisters", {dv::lui(5, kMmio >> 12), dv::lw(4, 5, 32)}, 5, kMmio + 32},
        FaultCase{"StoreToNull", {dv::sw(3, 0, 0)}, 7, 0},
        FaultCase{"StoreToFlash", {dv::sw(3, 2, 64)}, 7, kFlash + 64},
        FaultCase{"StoreByteToFlash", {dv::sb(3, 2, 65)}, 7, kFlash + 65},
        FaultCase{"StoreBelowSram", {dv::sw(3, 1, -4)}, 7, kSram - 4},
        FaultCase{"StoreAboveSram", {dv::lui(5, kSramEnd >> 12), dv::sw(3, 5, 0)}, 7, kSramEnd},
        FaultCase{
            "StoreBesideTheRegisters", {dv::lui(5, kMmio >> 12), dv::sw(3, 5, 36)}, 7, kMmio + 36},
        FaultCase{"MisalignedLoadWord", {dv::lw(4, 1, 6)}, 4, kSram + 6},
        FaultCase{"MisalignedLoadHalf", {dv::lh(4, 1, 3)}, 4, kSram + 3},
        FaultCase{"MisalignedLoadOutside", {dv::lw(4, 0, 2)}, 4, 2},
        FaultCase{"MisalignedStoreWord", {dv::sw(3, 1, 1)}, 6, kSram + 1},
        FaultCase{"MisalignedStoreHalf", {dv::sh(3, 1, 5)}, 6, kSram + 5},
        FaultCase{"JumpToNull", {dv::jalr(0, 0, 0)}, 1, 0},
        FaultCase{"JumpIntoTheRegisters", {dv::lui(5, kMmio >> 12), dv::jalr(0, 5, 0)}, 1, kMmio},
        FaultCase{"JumpBelowFlash", {dv::jalr(0, 2, -4)}, 1, kFlash - 4},
        FaultCase{"JumpAboveSram", {dv::lui(5, kSramEnd >> 12), dv::jalr(0, 5, 0)}, 1, kSramEnd},
        FaultCase{"JumpBetweenInstructions", {dv::jalr(4, 2, 6)}, 0, kFlash + 6},
        FaultCase{"JumpAndLinkBetweenInstructions", {dv::auipc(5, 0), dv::jal(4, 6)}, 0, kPc + 6},
        FaultCase{"BranchBetweenInstructions", {dv::beq(0, 0, -6)}, 0, kPc - 6},
        FaultCase{"IllegalZero", {0x0000'0000}, 2, kInstruction},
        FaultCase{"IllegalOnes", {0xffff'ffff}, 2, kInstruction},
        FaultCase{"IllegalCompressed", {0x0000'4501}, 2, kInstruction},
        FaultCase{"IllegalDouble", {0x0220'8053}, 2, kInstruction},
        FaultCase{"IllegalAtomic", {0x1005'202f}, 2, kInstruction},
        FaultCase{"FloatWhileOff", {dv::encode_r(0, 1, 2, 0, 3, 0x53)}, 2, kInstruction},
        FaultCase{"FloatLoadWhileOff", {dv::flw(1, 1, 0)}, 2, kInstruction},
        FaultCase{"FloatStoreWhileOff", {dv::fsw(1, 1, 0)}, 2, kInstruction},
        FaultCase{"FloatCsrWhileOff", {dv::csrrs(4, 0x003, 0)}, 2, kInstruction},
        FaultCase{"RoundingModeReserved",
                  {dv::lui(5, 2), dv::csrrs(0, 0x300, 5), dv::encode_r(0, 1, 2, 5, 3, 0x53)},
                  2,
                  kInstruction},
        FaultCase{"RoundingModeReservedInFrm",
                  {dv::lui(5, 2), dv::csrrs(0, 0x300, 5), dv::csr(5, 0, 0x002, 6),
                   dv::encode_r(0, 1, 2, 7, 3, 0x53)},
                  2,
                  kInstruction},
        FaultCase{"CsrThatIsNotThere", {dv::csrrs(4, 0x7c0, 0)}, 2, kInstruction},
        FaultCase{"CsrOfSupervisor", {dv::csrrs(4, 0x100, 0)}, 2, kInstruction},
        FaultCase{"CsrReadOnly", {dv::csrrw(4, 0xf14, 3)}, 2, kInstruction},
        FaultCase{"CsrCycleReadOnly", {dv::csrrs(4, 0xc00, 3)}, 2, kInstruction},
        FaultCase{"Ebreak", {dv::kEbreak}, 3, kPc}, FaultCase{"Ecall", {dv::kEcall}, 11, 0}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(Simulator, ReadingTheRegistersYieldsZero) {
  ProgramBuilder program;
  program.add({dv::lui(1, kMmio >> 12), dv::addi(2, 0, 5), dv::lw(2, 1, 4)}).exit_with(2);
  EXPECT_EQ(run(program).exit_code, 0u);
}

// Byte by byte, each behind the one before; what is not flash stays as it is.
TEST(Simulator, ProgramsTheFlashThroughItsRegisters) {
  ProgramBuilder program;
  program.li(1, kMmio).li(4, kFlash + 0x1001).li(5, kSram + 4);
  program.add({dv::sw(4, 1, 24), dv::addi(2, 0, 0x11), dv::sw(2, 1, 28), dv::addi(2, 0, 0x22),
               dv::sb(2, 1, 28), dv::addi(2, 0, 0x33), dv::sw(5, 1, 24), dv::sw(2, 1, 28),
               dv::lw(3, 4, -1)});
  program.exit_with(3);
  Simulator simulator;
  ASSERT_EQ(simulator.load_elf(program.elf()), std::nullopt);
  EXPECT_EQ(simulator.run(1000).exit_code, 0x0022'1100u);
  std::array<std::uint8_t, 1> byte{};
  ASSERT_TRUE(simulator.read_memory(kSram + 4, byte));
  EXPECT_EQ(byte[0], 0);
}

TEST(Simulator, ReportsATrapInsideAHandler) {
  ProgramBuilder program;
  program.add({dv::auipc(5, 0), dv::addi(5, 5, 16), dv::csrrw(0, 0x305, 5), dv::kEcall});
  program.add({dv::kNop, dv::lw(4, 0, 8)});
  const RunResult result = run(program);
  EXPECT_EQ(result.outcome, Outcome::kTrapped);
  EXPECT_TRUE(result.trap.nested);
  EXPECT_EQ(result.trap.cause, 5u);
  EXPECT_EQ(result.trap.value, 8u);
  EXPECT_EQ(result.trap.pc, kFlash + 20);
}

TEST(Simulator, ReportsAHandlerThatIsNotThere) {
  ProgramBuilder program;
  program.add({dv::lui(5, 0x40000), dv::csrrw(0, 0x305, 5), dv::kEbreak});
  const RunResult result = run(program);
  EXPECT_EQ(result.outcome, Outcome::kTrapped);
  EXPECT_TRUE(result.trap.nested);
  EXPECT_EQ(result.trap.cause, 1u);
  EXPECT_EQ(result.trap.pc, 0x4000'0000u);
}

TEST(Simulator, TakesTheReportOfAHandler) {
  ProgramBuilder program;
  program.add({dv::lui(1, kMmio >> 12), dv::addi(2, 0, 7), dv::sw(2, 1, 8), dv::addi(2, 0, 64),
               dv::sw(2, 1, 12), dv::addi(2, 0, 99), dv::sw(2, 1, 16), dv::sw(0, 1, 20)});
  const RunResult result = run(program);
  EXPECT_EQ(result.outcome, Outcome::kTrapped);
  EXPECT_EQ(result.trap.cause, 7u);
  EXPECT_EQ(result.trap.pc, 64u);
  EXPECT_EQ(result.trap.value, 99u);
}

TEST(Simulator, ReportsAStackOverflow) {
  ProgramBuilder program;
  program.symbol("__stack_bottom", kSram + 0x100).symbol("__stack_top", kSram + 0x200);
  program.li(2, kSram + 0x200);
  // Recursion without end, 32 bytes a call.
  program.add({dv::addi(2, 2, -32), dv::sw(1, 2, 28), dv::jal(1, -8)});
  const RunResult result = run(program);
  EXPECT_EQ(result.outcome, Outcome::kStackOverflow);
  EXPECT_EQ(result.trap.pc, kFlash + 8);
  EXPECT_EQ(result.trap.value, kSram + 0x100 - 32);
  EXPECT_EQ(result.sram.bytes_written_outside_stack, 0u);
  EXPECT_THAT(result.describe(), HasSubstr("stack overflow at pc 0x08000008"));
}

TEST(Simulator, AStackThatLeavesTheSramFaultsWithoutSymbolsToo) {
  ProgramBuilder program;
  program.li(2, kSram + 0x80);
  program.add({dv::addi(2, 2, -32), dv::sw(1, 2, 28), dv::jal(1, -8)});
  const RunResult result = run(program);
  EXPECT_EQ(result.outcome, Outcome::kTrapped);
  EXPECT_EQ(result.trap.cause, 7u);
  EXPECT_EQ(result.trap.value, kSram - 4);
}

TEST(Simulator, KeepsTheHighWaterMark) {
  ProgramBuilder program;
  program.symbol("__stack_bottom", kSram).symbol("__stack_top", kSram + 0x100);
  program.li(2, kSram + 0x100).li(1, kSram);
  program.add({dv::addi(2, 2, -48), dv::sw(0, 2, 0), dv::sw(0, 2, 0), dv::sw(0, 1, 0x200),
               dv::sb(0, 1, 0x205), dv::sh(0, 1, 0x306), dv::lw(3, 1, 0x400)});
  const RunResult result = run(program.exit_with(0));
  EXPECT_EQ(result.outcome, Outcome::kExited);
  EXPECT_EQ(result.sram.bytes_written, 11u);
  EXPECT_EQ(result.sram.bytes_written_outside_stack, 7u);
  EXPECT_EQ(result.sram.lowest_written, kSram + 0x200);
  EXPECT_EQ(result.sram.highest_written, kSram + 0x307);
  EXPECT_EQ(result.sram.lowest_sp, kSram + 0x100 - 48);
  EXPECT_EQ(result.sram.stack_bytes, 48u);
}

TEST(Simulator, RunsTestSuiteProgramsWithTohost) {
  constexpr std::uint32_t kBase = 0x8000'0000;
  SimulatorConfig config;
  config.sram_base = kBase;
  config.sram_size = 2u << 20;
  ProgramBuilder program(kBase);
  program.symbol("tohost", kBase + 0x1000);
  program.li(1, kBase + 0x1000).add({dv::addi(2, 0, 11), dv::sw(2, 1, 0), dv::jal(0, 0)});
  const RunResult result = run(program, config);
  EXPECT_EQ(result.outcome, Outcome::kExited);
  EXPECT_EQ(result.exit_code, 5u);
}

// Reads both halves of a counter after writing the low half while the whole is about to carry.
TEST(Simulator, AWriteToACounterReplacesItsIncrement) {
  for (const Word counter : {0xb00u, 0xb02u}) {
    ProgramBuilder program;
    program.li(1, kSram).add({dv::addi(2, 0, -1), dv::csrrw(0, counter | 0x80, 0)});
    // The low half is all ones when the second write comes: no carry may reach the high half.
    program.add({dv::csrrw(0, counter, 2), dv::csrrw(0, counter, 0)});
    program.add({dv::csrrs(3, counter | 0x80, 0), dv::csrrs(4, counter, 0)});
    program.add({dv::sw(3, 1, 0), dv::sw(4, 1, 4)}).exit_with(0);
    Simulator simulator;
    ASSERT_EQ(simulator.load_elf(program.elf()), std::nullopt);
    ASSERT_EQ(simulator.run(kPlenty).outcome, Outcome::kExited);
    EXPECT_EQ(word_at(simulator, kSram), 0u) << std::hex << counter;
    EXPECT_EQ(word_at(simulator, kSram + 4), 1u) << std::hex << counter;
  }
}

TEST(Simulator, SmallMemoriesEndWhereTheyShould) {
  SimulatorConfig config;
  config.sram_size = 1024;
  ProgramBuilder program;
  program.li(1, kSram + 1020).add({dv::sw(0, 1, 0), dv::sw(0, 1, 4)});
  const RunResult result = run(program, config);
  EXPECT_EQ(result.trap.cause, 7u);
  EXPECT_EQ(result.trap.value, kSram + 1024);
}

TEST(Simulator, ExecutesFromSramAndSeesCodeThatChangesAfterFenceI) {
  // Writes `addi x3, x0, 1` and a return to SRAM, calls it, changes it, calls it again.
  ProgramBuilder program;
  program.li(1, kSram).li(4, dv::addi(3, 0, 1)).li(5, dv::jalr(0, 6, 0));
  program.add({dv::sw(4, 1, 0), dv::sw(5, 1, 4), dv::kFenceI, dv::jalr(6, 1, 0)});
  program.add(dv::add(7, 0, 3));
  program.li(4, dv::addi(3, 0, 2));
  program.add({dv::sw(4, 1, 0), dv::kFenceI, dv::jalr(6, 1, 0)});
  program.add({dv::encode_i(4, 7, 1, 7, 0x13), dv::add(3, 3, 7)});
  EXPECT_EQ(run(program.exit_with(3)).exit_code, 0x12u);
}

TEST(Simulator, AddsFourByteProducts) {
  ProgramBuilder program;
  program.li(1, 0x80ff'7f02).li(2, 0x80ff'7ffe).li(3, 100);
  program.add(dv::pm4adda_b(3, 1, 2)).exit_with(3);
  // -4 + 127 * 127 + 1 + 128 * 128 + 100
  EXPECT_EQ(run(program).exit_code, 32610u);
}

TEST(Simulator, AttributesCyclesToFunctions) {
  ProgramBuilder program;
  program.symbol("_start", kFlash);
  program.add({dv::addi(5, 0, 20), dv::jal(1, 4 * 4)});
  program.add(dv::kNop).exit_with(0);
  program.symbol("work", program.here());
  program.add({dv::addi(5, 5, -1), dv::bne(5, 0, -4), dv::jalr(0, 1, 0)});
  SimulatorConfig config;
  config.profile = true;
  Simulator simulator(config);
  ASSERT_EQ(simulator.load_elf(program.elf()), std::nullopt);
  const RunResult result = simulator.run(kPlenty);
  ASSERT_EQ(result.outcome, Outcome::kExited);
  const std::vector<FunctionProfile> profile = simulator.profile();
  ASSERT_EQ(profile.size(), 2u);
  EXPECT_EQ(profile[0].name, "work");
  EXPECT_EQ(profile[0].instructions, 41u);
  EXPECT_EQ(profile[1].name, "_start");
  EXPECT_EQ(profile[0].cycles + profile[1].cycles, result.cycles);
  EXPECT_EQ(profile[0].instructions + profile[1].instructions, result.instructions);
}

TEST(Simulator, RefusesFilesThatAreNotPrograms) {
  Simulator simulator;
  EXPECT_THAT(simulator.load_elf({}).value_or(""), HasSubstr("not a 32-bit"));
  std::vector<std::uint8_t> elf = ProgramBuilder().add(dv::kNop).elf();
  elf[18] = 40;
  EXPECT_THAT(simulator.load_elf(elf).value_or(""), HasSubstr("not a RISC-V program"));
  elf[18] = 243;
  elf[24] = 2;
  EXPECT_THAT(simulator.load_elf(elf).value_or(""), HasSubstr("not a multiple of 4"));
  EXPECT_THAT(simulator.load_elf(ProgramBuilder(0x9000'0000).add(dv::kNop).elf()).value_or(""),
              HasSubstr("lies outside flash and SRAM"));
}

// Fields of the first program header of write_elf()'s files, which begin with it at byte 52.
constexpr std::size_t kFileSize = 52 + 16;
constexpr std::size_t kMemorySize = 52 + 20;

void put_word(std::vector<std::uint8_t>& bytes, std::size_t at, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<std::uint8_t>(value >> 8 * i);
}

TEST(Simulator, ChecksTheSegmentsOfAFile) {
  Simulator simulator;
  const std::vector<std::uint8_t> good = ProgramBuilder().add({dv::kNop, dv::kNop}).elf();
  std::vector<std::uint8_t> elf = good;
  put_word(elf, kFileSize, 0x7fff'ffff);
  EXPECT_THAT(simulator.load_elf(elf).value_or(""), HasSubstr("lies outside the file"));
  elf = good;
  put_word(elf, kMemorySize, 4);
  EXPECT_THAT(simulator.load_elf(elf).value_or(""), HasSubstr("larger in the file"));
  // What the file leaves out, as .bss, needs memory too.
  put_word(elf, kMemorySize, 0xf000'0000);
  EXPECT_THAT(simulator.load_elf(elf).value_or(""), HasSubstr("lies outside flash and SRAM"));
  dv::ElfImage image;
  image.entry = kFlash;
  image.segments.push_back({kFlash + 4, dv::bytes_of({dv::kNop, dv::kNop}), false});
  image.segments.push_back({kFlash, dv::bytes_of({dv::kNop, dv::kNop}), false});
  EXPECT_THAT(simulator.load_elf(dv::write_elf(image)).value_or(""), HasSubstr("overlap"));
}

TEST(Simulator, ZeroesWhatAFileLeavesOut) {
  std::vector<std::uint8_t> elf = ProgramBuilder(kSram).add({dv::kNop, dv::kNop}).elf();
  put_word(elf, kMemorySize, 16);
  Simulator simulator;
  const std::array<std::uint8_t, 20> before = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                               1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  ASSERT_TRUE(simulator.write_memory(kSram, before));
  ASSERT_EQ(simulator.load_elf(elf), std::nullopt);
  EXPECT_EQ(word_at(simulator, kSram), dv::kNop);
  EXPECT_EQ(word_at(simulator, kSram + 8), 0u);
  EXPECT_EQ(word_at(simulator, kSram + 12), 0u);
  EXPECT_EQ(word_at(simulator, kSram + 16), 0x0101'0101u);
}

TEST(Simulator, ChecksItsMemories) {
  EXPECT_EQ(check(SimulatorConfig{}), std::nullopt);
  EXPECT_EQ(check({.sram_base = 0x8000'0000, .sram_size = 2u << 20}), std::nullopt);
  EXPECT_EQ(check({.flash_size = 0}), std::nullopt);
  EXPECT_THAT(check({.sram_base = 2}).value_or(""), HasSubstr("multiples of 4"));
  EXPECT_THAT(check({.sram_size = 0xffff'fffc}).value_or(""), HasSubstr("exceed"));
  EXPECT_THAT(check({.sram_base = 0xffff'fff0}).value_or(""), HasSubstr("address space"));
  EXPECT_THAT(check({.sram_base = kFlash + 64}).value_or(""), HasSubstr("overlaps flash"));
  EXPECT_THAT(check({.sram_base = kMmio - 4}).value_or(""), HasSubstr("overlaps"));
  EXPECT_THAT(check({.flash_base = kMmio + 16}).value_or(""), HasSubstr("overlaps"));
  EXPECT_EQ(check({.timing = {.flash_wait = 15, .flash_line_bytes = 256, .sram_wait = 15}}),
            std::nullopt);
  EXPECT_THAT(check({.timing = {.flash_wait = 16}}).value_or(""), HasSubstr("at most 15 cycles"));
  EXPECT_THAT(check({.timing = {.sram_wait = 16}}).value_or(""), HasSubstr("at most 15 cycles"));
  for (const std::uint32_t bytes : {0u, 2u, 12u, 512u}) {
    EXPECT_THAT(check({.timing = {.flash_line_bytes = bytes}}).value_or(""),
                HasSubstr("a power of two"));
  }
}

TEST(Simulator, SurvivesDamagedFiles) {
  ProgramBuilder program;
  program.symbol("_start", kFlash).add(dv::kNop).exit_with(0);
  const std::vector<std::uint8_t> good = program.elf();
  SimulatorConfig config;
  config.flash_size = 1u << 16;
  config.sram_size = 1u << 12;
  Simulator simulator(config);
  for (std::size_t size = 0; size < good.size(); size += 1 + size / 64) {
    (void)simulator.load_elf(std::span(good).first(size));
  }
  std::mt19937 random(5);
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::uint8_t> bad = good;
    // The headers are where damage matters.
    for (int n = 0; n < 3; ++n) bad[random() % 96] = static_cast<std::uint8_t>(random());
    bad[bad.size() - 1 - random() % 120] = static_cast<std::uint8_t>(random());
    if (simulator.load_elf(bad) == std::nullopt) (void)simulator.run(200);
  }
}

TEST(Simulator, ReadsAndWritesMemoryWithinOneRegionOnly) {
  Simulator simulator;
  std::vector<std::uint8_t> bytes = {1, 2, 3, 4};
  EXPECT_TRUE(simulator.write_memory(kSramEnd - 4, bytes));
  EXPECT_FALSE(simulator.write_memory(kSramEnd - 3, bytes));
  EXPECT_FALSE(simulator.write_memory(kMmio, bytes));
  std::vector<std::uint8_t> back(4);
  EXPECT_TRUE(simulator.read_memory(kSramEnd - 4, back));
  EXPECT_EQ(back, bytes);
  EXPECT_FALSE(simulator.read_memory(0xffff'fffe, back));
  EXPECT_EQ(simulator.symbol("anything"), std::nullopt);
}

TEST(Simulator, StopsWhenTheObserverAsks) {
  class StopAtThird : public Observer {
   public:
    bool retired(const Retirement&) override { return ++count_ < 3; }
    bool late_float(std::uint8_t, std::uint32_t) override { return true; }

   private:
    int count_ = 0;
  };
  Simulator simulator;
  ASSERT_EQ(simulator.load_elf(ProgramBuilder().add({dv::kNop, dv::kNop, dv::jal(0, 0)}).elf()),
            std::nullopt);
  StopAtThird observer;
  simulator.set_observer(&observer);
  const RunResult result = simulator.run(kPlenty);
  EXPECT_EQ(result.outcome, Outcome::kStopped);
  EXPECT_EQ(result.instructions, 3u);
}

}  // namespace
}  // namespace espalier::hw
