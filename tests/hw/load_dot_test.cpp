// esp.lwdota.b, the load fused with the dot product: what it computes, where it loads from, and
// what it leaves alone when it faults. Its cycles are in pipeline_test.cpp.
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "dv/iss.hpp"
#include "hw/program_builder.hpp"

namespace espalier::hw {
namespace {

using dv::esp_lwdota_b;
using dv::Word;
using testing::kFlash;
using testing::kMmio;
using testing::kSram;
using testing::ProgramBuilder;

constexpr std::uint32_t kResults = kSram + 0x1000;

void write_word(Simulator& simulator, std::uint32_t address, Word word) {
  EXPECT_TRUE(simulator.write_memory(address, dv::bytes_of({word})));
}

Word read_word(const Simulator& simulator, std::uint32_t address) {
  std::array<std::uint8_t, 4> bytes{};
  EXPECT_TRUE(simulator.read_memory(address, bytes));
  return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | static_cast<Word>(bytes[3]) << 24;
}

// The accumulator after `accumulator` += bytes of `loaded` times bytes of `factor`.
Word sum_of(Word accumulator, Word loaded, Word factor) {
  ProgramBuilder program;
  program.li(1, kSram).li(2, factor).li(3, accumulator).li(4, kResults);
  program.add({esp_lwdota_b(3, 2, 5, 1), dv::sw(3, 4, 0)}).exit_with(0);
  Simulator simulator;
  EXPECT_EQ(simulator.load_elf(program.elf()), std::nullopt);
  write_word(simulator, kSram + 20, loaded);
  EXPECT_EQ(simulator.run(1'000).outcome, Outcome::kExited);
  return read_word(simulator, kResults);
}

TEST(LoadDot, AddsFourProductsOfSignedBytes) {
  // -4 + 127 * 127 + 1 + 128 * 128 + 100
  EXPECT_EQ(sum_of(100, 0x80ff'7f02, 0x80ff'7ffe), 32610u);
  EXPECT_EQ(sum_of(0, 0x8080'8080, 0x8080'8080), 65536u);
  EXPECT_EQ(sum_of(0, 0x8080'8080, 0x7f7f'7f7f), static_cast<Word>(-4 * 128 * 127));
  EXPECT_EQ(sum_of(0xffff'ffff, 0x0000'0001, 0x0000'0002), 1u);  // modulo 2^32
  EXPECT_EQ(sum_of(0x7fff'ffff, 0x0100'0000, 0x0100'0000), 0x8000'0000u);
  EXPECT_EQ(sum_of(7, 0x0102'0304, 0), 7u);
  std::mt19937 random(1);
  for (int i = 0; i < 20; ++i) {
    const auto a = static_cast<Word>(random());
    const auto b = static_cast<Word>(random());
    EXPECT_EQ(sum_of(5, a, b), dv::byte_dot(5, a, b));
  }
}

// Word n of the SRAM holds n; every offset, one after the other, each into x3 and then stored.
TEST(LoadDot, ReachesEveryOffset) {
  ProgramBuilder program;
  program.li(1, kSram).li(4, kResults).add(dv::addi(2, 0, 1));
  for (Word words = 0; words < 128; ++words) {
    program.add({dv::addi(3, 0, 0), esp_lwdota_b(3, 2, words, 1)});
    program.add(dv::sw(3, 4, static_cast<std::int32_t>(4 * words)));
  }
  program.exit_with(0);
  Simulator simulator;
  ASSERT_EQ(simulator.load_elf(program.elf()), std::nullopt);
  for (Word n = 0; n < 129; ++n) write_word(simulator, kSram + 4 * n, n);
  ASSERT_EQ(simulator.run(10'000).outcome, Outcome::kExited);
  for (Word n = 0; n < 128; ++n) EXPECT_EQ(read_word(simulator, kResults + 4 * n), n) << n;
}

// The same register as base, factor and accumulator; results that the next instruction needs as
// each of these; a dot product of registers between; register 0 as destination.
TEST(LoadDot, TakesAndGivesRegistersInEveryRole) {
  ProgramBuilder program;
  program.li(1, kSram).li(4, kResults).li(2, 0x0102'0304).add(dv::addi(3, 0, 10));
  program.add({esp_lwdota_b(3, 2, 0, 1), esp_lwdota_b(3, 2, 0, 1), esp_lwdota_b(5, 3, 0, 1)});
  program.add({dv::pm4adda_b(5, 2, 2), esp_lwdota_b(6, 5, 1, 1), dv::pm4adda_b(7, 2, 2)});
  program.add({esp_lwdota_b(7, 2, 1, 1), dv::pm4adda_b(7, 2, 7), dv::add(8, 7, 7)});
  program.add({dv::add(9, 1, 0), esp_lwdota_b(9, 9, 0, 9)});
  program.add({esp_lwdota_b(0, 2, 0, 1), dv::add(10, 0, 0)});
  for (Word r = 3; r <= 10; ++r) {
    program.add(dv::sw(r, 4, static_cast<std::int32_t>(4 * r)));
  }
  program.exit_with(0);
  Simulator simulator;
  ASSERT_EQ(simulator.load_elf(program.elf()), std::nullopt);
  constexpr Word kFirst = 0x7f80'05fb;
  constexpr Word kSecond = 0x0102'fd80;
  write_word(simulator, kSram, kFirst);
  write_word(simulator, kSram + 4, kSecond);
  ASSERT_EQ(simulator.run(1'000).outcome, Outcome::kExited);
  constexpr Word kFactor = 0x0102'0304;
  const Word x3 = dv::byte_dot(dv::byte_dot(10, kFirst, kFactor), kFirst, kFactor);
  const Word x5 = dv::byte_dot(dv::byte_dot(0, kFirst, x3), kFactor, kFactor);
  const Word x6 = dv::byte_dot(0, kSecond, x5);
  Word x7 = dv::byte_dot(dv::byte_dot(0, kFactor, kFactor), kSecond, kFactor);
  x7 = dv::byte_dot(x7, kFactor, x7);
  EXPECT_EQ(read_word(simulator, kResults + 12), x3);
  EXPECT_EQ(read_word(simulator, kResults + 20), x5);
  EXPECT_EQ(read_word(simulator, kResults + 24), x6);
  EXPECT_EQ(read_word(simulator, kResults + 28), x7);
  EXPECT_EQ(read_word(simulator, kResults + 32), 2 * x7);
  EXPECT_EQ(read_word(simulator, kResults + 36), dv::byte_dot(kSram, kFirst, kSram));
  EXPECT_EQ(read_word(simulator, kResults + 40), 0u);
}

TEST(LoadDot, LoadsFromFlashAndFromTheRegistersOfTheTestBench) {
  ProgramBuilder program;
  program.li(1, kFlash).li(2, kMmio).li(4, kResults).add(dv::addi(3, 0, 1));
  program.add({esp_lwdota_b(5, 3, 0, 1), esp_lwdota_b(6, 3, 5, 2)});
  program.add({dv::sw(5, 4, 0), dv::sw(6, 4, 4)}).exit_with(0);
  Simulator simulator;
  ASSERT_EQ(simulator.load_elf(program.elf()), std::nullopt);
  ASSERT_EQ(simulator.run(1'000).outcome, Outcome::kExited);
  EXPECT_EQ(read_word(simulator, kResults), dv::byte_dot(0, dv::li_upper(1, kFlash), 1));
  EXPECT_EQ(read_word(simulator, kResults + 4), 0u);  // as every load from there
}

struct FaultCase {
  const char* name;
  std::uint32_t base;
  Word words;
  std::uint32_t cause;
};

std::ostream& operator<<(std::ostream& out, const FaultCase& row) { return out << row.name; }

class LoadDotFault : public ::testing::TestWithParam<FaultCase> {};

// The accumulator stays, nothing behind has happened, and the handler can go on behind it.
TEST_P(LoadDotFault, IsPreciseAndThatOfALoad) {
  const FaultCase& row = GetParam();
  for (const Word rd : {3u, 0u}) {
    ProgramBuilder program;
    const std::uint32_t handler = kFlash + 4 * 24;
    program.li(5, handler).add(dv::csrrw(0, 0x305, 5)).li(1, row.base).li(2, 0x0101'0101);
    program.li(3, 77).li(4, kResults);
    const std::uint32_t pc = program.here();
    program.add({esp_lwdota_b(rd, 2, row.words, 1), dv::sw(3, 4, 0)}).exit_with(0);
    while (program.here() < handler) program.add(dv::kNop);
    for (std::int32_t i = 0; i < 3; ++i) {
      program.add({dv::csrrs(6, static_cast<Word>(0x341 + i), 0), dv::sw(6, 4, 4 + 4 * i)});
    }
    program.add({dv::lw(7, 4, 0), dv::sw(7, 4, 16)});  // as yet nothing
    program.add({dv::csrrs(6, 0x341, 0), dv::addi(6, 6, 4), dv::csrrw(0, 0x341, 6), dv::kMret});
    Simulator simulator;
    ASSERT_EQ(simulator.load_elf(program.elf()), std::nullopt);
    const RunResult result = simulator.run(1'000);
    ASSERT_EQ(result.outcome, Outcome::kExited) << result.describe();
    EXPECT_EQ(read_word(simulator, kResults), 77u);
    EXPECT_EQ(read_word(simulator, kResults + 4), pc);
    EXPECT_EQ(read_word(simulator, kResults + 8), row.cause);
    EXPECT_EQ(read_word(simulator, kResults + 12), row.base + 4 * row.words);
    EXPECT_EQ(read_word(simulator, kResults + 16), 0u);
  }
}

constexpr std::uint32_t kSramEnd = kSram + (256u << 10);

INSTANTIATE_TEST_SUITE_P(All, LoadDotFault,
                         ::testing::Values(FaultCase{"MisalignedByOne", kSram + 1, 3, 4},
                                           FaultCase{"MisalignedByTwo", kSram + 2, 0, 4},
                                           FaultCase{"MisalignedByThree", kSram - 1, 127, 4},
                                           FaultCase{"MisalignedAndNowhere", 2, 127, 4},
                                           FaultCase{"Nowhere", 0, 127, 5},
                                           FaultCase{"BehindTheSram", kSramEnd - 4, 1, 5},
                                           FaultCase{"FarBehindTheSram", kSramEnd - 4, 127, 5},
                                           FaultCase{"BeforeTheSram", kSram - 8, 1, 5},
                                           FaultCase{"BehindTheRegisters", kMmio, 8, 5},
                                           FaultCase{"AroundTheEnd", 0xffff'fffc, 2, 5}),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(LoadDot, ReachesTheFirstAndTheLastWordOfTheSram) {
  EXPECT_EQ(sum_of(1, 2, 3), 7u);
  ProgramBuilder program;
  program.li(1, kSram - 4).li(2, kSramEnd - 4 * 128).add({dv::addi(3, 0, 1), dv::addi(5, 0, 0)});
  program.add({esp_lwdota_b(5, 3, 1, 1), esp_lwdota_b(5, 3, 127, 2)}).exit_with(5);
  Simulator simulator;
  ASSERT_EQ(simulator.load_elf(program.elf()), std::nullopt);
  write_word(simulator, kSram, 40);
  write_word(simulator, kSramEnd - 4, 2);
  EXPECT_EQ(simulator.run(1'000).describe(), "exited with code 42");
}

}  // namespace
}  // namespace espalier::hw
