// espalier-sim as its users run it: exit status, messages, files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "hw/program_builder.hpp"

namespace espalier::hw {
namespace {

namespace fs = std::filesystem;
using dv::Word;
using ::testing::HasSubstr;
using testing::kFlash;
using testing::kMmio;
using testing::kSram;
using testing::ProgramBuilder;

constexpr std::uint32_t kSuiteBase = 0x8000'0000;
const std::string kSuiteMemory = " --mem-base 0x80000000 --mem-size 0x200000";

struct Finished {
  int status = -1;  // 128 and more: ended by a signal
  std::string out;
  std::string err;
};

std::string contents(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

class EspalierSim : public ::testing::Test {
 protected:
  EspalierSim() {
    folder_ = fs::temp_directory_path() / ("espalier sim " + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  ~EspalierSim() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  [[nodiscard]] fs::path path(const std::string& name) const { return folder_ / name; }

  void write(const std::string& name, const std::vector<std::uint8_t>& bytes) const {
    std::ofstream(path(name), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }

  // `arguments` are for the shell, run in the folder. Anything that hangs is ended by timeout, 124.
  [[nodiscard]] Finished run(const std::string& arguments) const {
    const std::string command = "cd '" + folder_.string() + "' && timeout 60 '" ESPALIER_SIM "' " +
                                arguments + " > out.txt 2> err.txt";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            contents(path("out.txt")), contents(path("err.txt"))};
  }

 private:
  fs::path folder_;
};

// A program as the RISC-V suites have them: a signature, and `value` in tohost again and again.
ProgramBuilder suite_program(std::uint32_t value) {
  ProgramBuilder program(kSuiteBase);
  program.symbol("tohost", kSuiteBase + 0x1000);
  program.symbol("begin_signature", kSuiteBase + 0x2000);
  program.symbol("end_signature", kSuiteBase + 0x200c);
  program.li(1, kSuiteBase + 0x1000).li(2, kSuiteBase + 0x2000).li(3, 0xDEAD'BEEF).li(4, value);
  program.add({dv::sw(3, 2, 0), dv::sb(3, 2, 5)});
  program.add({dv::sw(4, 1, 0), dv::sw(0, 1, 4), dv::jal(0, -8)});
  return program;
}

TEST_F(EspalierSim, TohostAndSignatureOfTheTestSuites) {
  write("pass.elf", suite_program(1).elf());
  const Finished pass = run("pass.elf --signature signature.txt" + kSuiteMemory);
  EXPECT_EQ(pass.status, 0) << pass.err;
  EXPECT_EQ(contents(path("signature.txt")), "deadbeef\n0000ef00\n00000000\n");
  EXPECT_THAT(pass.err, HasSubstr("cycles per instruction"));
  EXPECT_THAT(pass.err, HasSubstr("SRAM: "));
  write("fail.elf", suite_program(7 << 1 | 1).elf());
  EXPECT_EQ(run("fail.elf" + kSuiteMemory).status, 7);
  write("fail.elf", suite_program(1000 << 1 | 1).elf());
  EXPECT_EQ(run("fail.elf" + kSuiteMemory).status, 125);
  // Without the memory that it is linked for.
  const Finished outside = run("pass.elf");
  EXPECT_EQ(outside.status, 127);
  EXPECT_THAT(outside.err, HasSubstr("lies outside flash and SRAM"));
}

TEST_F(EspalierSim, WritesTraceAndStatistics) {
  write("pass.elf", suite_program(1).elf());
  EXPECT_EQ(run("pass.elf --trace trace.txt --stats stats.json" + kSuiteMemory).status, 0);
  EXPECT_THAT(contents(path("trace.txt")), HasSubstr("x3=deadbeef"));
  EXPECT_THAT(contents(path("trace.txt")), HasSubstr("[80002000]=deadbeef/f"));
  EXPECT_THAT(contents(path("stats.json")), HasSubstr("\"outcome\": \"exited\""));
  EXPECT_THAT(contents(path("stats.json")), HasSubstr("\"cycles_per_instruction\": "));
  EXPECT_THAT(contents(path("stats.json")), HasSubstr("\"bytes_written\": 9,"));
}

TEST_F(EspalierSim, SaysWhatItCannotWrite) {
  write("pass.elf", suite_program(1).elf());
  for (const char* option : {"--signature", "--trace", "--stats"}) {
    for (const char* file : {"no/such/folder", "/dev/full"}) {
      const Finished finished = run(std::string("pass.elf ") + option + " " + file + kSuiteMemory);
      EXPECT_EQ(finished.status, 127) << option << " " << file;
      EXPECT_THAT(finished.err, HasSubstr(std::string(file) + ": cannot be written"));
    }
  }
  ProgramBuilder bare;
  write("bare.elf", bare.add(dv::addi(3, 0, 0)).exit_with(3).elf());
  EXPECT_THAT(run("bare.elf --signature x").err, HasSubstr("no symbols begin_signature"));
  bare.symbol("begin_signature", kSram).symbol("end_signature", 0xffff'fff0);
  write("bare.elf", bare.elf());
  const Finished large = run("bare.elf --signature x");
  EXPECT_EQ(large.status, 127);
  EXPECT_THAT(large.err, HasSubstr("the signature lies outside memory"));
}

TEST_F(EspalierSim, RefusesWhatItCannotRun) {
  const std::vector<std::uint8_t> good = suite_program(1).elf();
  write("empty.elf", {});
  write("short.elf", {good.begin(), good.begin() + 100});
  std::vector<std::uint8_t> bad = good;
  bad[4] = 2;
  write("wide.elf", bad);
  bad = good;
  bad[18] = 62;
  write("other.elf", bad);
  const std::pair<const char*, const char*> cases[] = {
      {"missing.elf", "cannot be read"},
      {".", "cannot be read"},
      {"empty.elf", "not a 32-bit little-endian ELF file"},
      {"short.elf", "outside the file"},
      {"wide.elf", "not a 32-bit little-endian ELF file"},
      {"other.elf", "not a RISC-V program"},
  };
  for (const auto& [file, message] : cases) {
    const Finished finished = run(file + kSuiteMemory);
    EXPECT_EQ(finished.status, 127) << file;
    EXPECT_THAT(finished.err, HasSubstr(message)) << file;
  }
}

TEST_F(EspalierSim, RefusesMemoriesThatCannotBe) {
  write("pass.elf", suite_program(1).elf());
  for (const char* options :
       {"--mem-base 0x8000000", "--mem-base 0x80000002", "--mem-base 0xfffffff0",
        "--mem-size 0xfffffffc", "--mem-size -4", "--mem-base 0x10000000", "--max-cycles many"}) {
    EXPECT_EQ(run(std::string("pass.elf ") + options).status, 127) << options;
  }
}

TEST_F(EspalierSim, ReportsEveryKindOfEnd) {
  const std::pair<ProgramBuilder, const char*> cases[] = {
      {ProgramBuilder().li(1, 0x4000'0000).add(dv::jalr(0, 1, 0)),
       "instruction access fault at pc 0x40000000"},
      {ProgramBuilder().li(1, kFlash).add(dv::sw(0, 1, 0)), "store access fault at pc 0x08000008"},
      {ProgramBuilder().add(dv::jal(0, 0)), "still running after 100000 cycles"},
      {ProgramBuilder()
           .symbol("__stack_bottom", kSram)
           .symbol("__stack_top", kSram + 256)
           .li(2, kSram + 256)
           .add({dv::addi(2, 2, -64), dv::jal(0, -4)}),
       "stack overflow at pc 0x08000008"},
      {ProgramBuilder().add(0), "illegal instruction"},
      // A handler that traps itself.
      {ProgramBuilder().li(1, kSram).add({dv::csrrw(0, 0x305, 1), dv::kEcall}),
       "inside a trap handler"},
  };
  for (const auto& [program, message] : cases) {
    write("program.elf", program.elf());
    const Finished finished = run("program.elf --max-cycles 100000");
    EXPECT_EQ(finished.status, 126) << message;
    EXPECT_THAT(finished.err, HasSubstr(message));
  }
}

TEST_F(EspalierSim, SlowMemoriesTakeMoreCycles) {
  write("pass.elf", suite_program(1).elf());
  const auto cycles = [&](const std::string& options) {
    const Finished finished = run("pass.elf --stats stats.json" + kSuiteMemory + options);
    EXPECT_EQ(finished.status, 0) << finished.err;
    const std::string stats = contents(path("stats.json"));
    return std::stoi(stats.substr(stats.find("\"cycles\": ") + 10));
  };
  const int at_once = cycles("");
  EXPECT_EQ(cycles(" --flash-wait 5 --flash-line 32"), at_once);  // it runs from the other memory
  EXPECT_GT(cycles(" --sram-wait 1"), at_once);
  EXPECT_GT(cycles(" --sram-wait 2"), cycles(" --sram-wait 1"));
  EXPECT_GT(cycles(" --random-wait 1"), at_once);
  EXPECT_EQ(run("pass.elf --flash-wait 16" + kSuiteMemory).status, 127);
  EXPECT_EQ(run("pass.elf --flash-line 12" + kSuiteMemory).status, 127);
}

TEST_F(EspalierSim, Help) {
  const Finished help = run("--help");
  EXPECT_EQ(help.status, 0);
  for (const char* option :
       {"--max-cycles", "--trace", "--signature", "--mem-base", "--mem-size", "--stats"}) {
    EXPECT_THAT(help.out, HasSubstr(option));
  }
  EXPECT_EQ(run("").status, 127);
}

}  // namespace
}  // namespace espalier::hw
