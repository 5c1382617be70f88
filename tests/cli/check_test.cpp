// espalier check from the command line: what it proves, what it refuses, and how it ends.
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "testing/quick_compiler.hpp"
#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class CheckTest : public Workspace {
 protected:
  CheckTest() {
    make_model("model.onnx", 1, 4);  // of little to simulate
    make_plan("plan.json", {"--last", "2"});
    succeed({"compile", "model.onnx", "--plan", "plan.json", "--target", "rv32imf", "--out",
             "a folder", "--kernels", "plain"});
  }

  // A check with compilers that optimise little.
  static Arguments quick(const Arguments& more) {
    return Arguments{"check",          "a folder",    "--host-cc",
                     quick_tool("cc"), "--target-cc", quick_tool("riscv64-unknown-elf-gcc")} +
           more;
  }

  // Replaces text in a file of the folder.
  void tamper(const std::string& file, const std::string& from, const std::string& to) const {
    std::string text = read("a folder/" + file);
    const std::size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    write("a folder/" + file, text.replace(at, from.size(), to));
  }
};

TEST_F(CheckTest, ReportsAsTableAndJson) {
  const Finished table = succeed(quick({"--steps", "2", "--json", "report.json"}));
  EXPECT_THAT(table.out,
              AllOf(HasSubstr("the same bits"), HasSubstr(" nodes"), HasSubstr("cycles/MAC"),
                    HasSubstr("written of"), HasSubstr("esp_pointwise_forward")));
  const Json report = read_json("report.json");
  EXPECT_EQ(report["schema"], "espalier.check/1");
  EXPECT_EQ(report["equal"], true);
  EXPECT_EQ(report["failure"], nullptr);
  EXPECT_EQ(report["steps"], 2);
  EXPECT_EQ(report["sram"]["written"], report["sram"]["promised"]);
  EXPECT_EQ(report["sram"]["promised"], read_json("a folder/program.json")["sram_bytes"]);
  EXPECT_EQ(report["flash"]["used_parameters"], report["flash"]["promised_parameters"]);
  // Biases and weights of two convs, weights and bias of the head.
  EXPECT_EQ(report["compared"]["arrays"], 6);
  EXPECT_GT(report["compared"]["nodes"], 10);
  EXPECT_GT(report["cycles_per_instruction"].get<double>(), 1.0);
  double cycles = 0;
  for (const Json& kernel : report["kernels"]) cycles += kernel["cycles"].get<double>();
  EXPECT_LE(cycles, report["cycles_per_step"].get<double>() * 1.001);
}

TEST_F(CheckTest, SamplesOfTheUser) {
  const auto size = read_json("a folder/program.json")["input_bytes"].get<std::size_t>();
  write("samples.bin", std::string(2 * size, '\7'));
  // With the compilers that the folder names, on a program that is soon compiled.
  make_plan("head.json", {"--head-only"});
  succeed({"compile", "model.onnx", "--plan", "head.json", "--target", "rv32imf", "--out",
           "a folder", "--kernels", "plain", "--force"});
  const Finished table = succeed({"check", "a folder", "--steps", "2", "--inputs", "samples.bin",
                                  "--labels", "1,3", "--no-nodes"});
  EXPECT_THAT(table.out, AllOf(HasSubstr("the same bits"), Not(HasSubstr(" nodes"))));
  fail(65, {"check", "a folder", "--steps", "3", "--inputs", "samples.bin", "--labels", "1,3,0"},
       {"there are 2 samples and 3 labels"});
  write("torn.bin", std::string(2 * size - 1, '\7'));
  fail(65, {"check", "a folder", "--steps", "1", "--inputs", "torn.bin", "--labels", "1"},
       {"torn.bin: " + std::to_string(2 * size - 1) + " bytes are not a whole number"});
  fail(66, {"check", "a folder", "--inputs", "none.bin", "--labels", "1,2,3"}, {"none.bin"});
  fail(2, {"check", "a folder", "--inputs", "samples.bin"}, {"--inputs and --labels go together"});
  fail(2, {"check", "a folder", "--steps", "1", "--inputs", "samples.bin", "--labels", "4"},
       {"label 4 must lie in 0..3"});
}

// Gradients that are added up are not all that a program does.
TEST_F(CheckTest, EndsWithAnUpdateOrSaysThatItMakesNone) {
  const auto compile = [&](const std::string& samples) {
    succeed({"compile", "model.onnx", "--plan", "plan.json", "--target", "rv32imf", "--out",
             "a folder", "--kernels", "plain", "--force", "--accumulate", samples});
  };
  const Arguments brief = quick({"--no-nodes", "--stack", "8KiB", "--json", "report.json"});
  const auto made = [&](int steps, int updates) {
    const Json report = read_json("report.json");
    EXPECT_EQ(report["steps"], steps);
    EXPECT_EQ(report["updates"], updates);
    return report["accumulate"].get<int>();
  };
  compile("4");
  const Finished whole = succeed(brief);
  EXPECT_EQ(made(4, 1), 4);
  EXPECT_THAT(whole.out,
              HasSubstr("4 training steps (4 samples to an update) on the host and on the core"));
  EXPECT_THAT(whole.err, Not(HasSubstr("an update takes")));
  const Finished part = succeed(brief + Arguments{"--steps", "2"});
  EXPECT_EQ(made(2, 0), 4);
  EXPECT_THAT(part.err, AllOf(HasSubstr("a folder: an update takes 4 samples, so that none of 2 "),
                              HasSubstr("; --steps 4 makes one")));
  // No more steps than there are samples of the user's.
  const auto size = read_json("a folder/program.json")["input_bytes"].get<std::size_t>();
  write("samples.bin", std::string(3 * size, '\7'));
  succeed(brief + Arguments{"--inputs", "samples.bin", "--labels", "1,3,0"});
  EXPECT_EQ(made(3, 0), 4);
  compile("9");
  EXPECT_THAT(succeed(brief).err, HasSubstr("; --steps 9 makes one"));
  EXPECT_EQ(made(3, 0), 9);
}

TEST_F(CheckTest, NamesTheFirstDifferenceAndEndsWith4) {
  // On the core alone, one trained weight changes behind the last step.
  tamper("model.c", "  return sram.state.loss;",
         "#ifdef __riscv\n  sram.state.conv6_weights[7] ^= 1;\n#endif\n  return sram.state.loss;");
  const Finished finished = run(quick({"--steps", "1", "--no-nodes", "--json", "report.json"}));
  EXPECT_EQ(finished.exit_code, 4);
  EXPECT_THAT(finished.err, HasSubstr("conv 6 weights[7]: byte 7 is 0x"));
  const Json report = read_json("report.json");
  EXPECT_EQ(report["equal"], false);
  EXPECT_THAT(report["mismatch"].get<std::string>(), HasSubstr("conv 6 weights[7]"));
}

TEST_F(CheckTest, ReportsProgramsThatGoWrong) {
  const std::string good = read("a folder/model.c");
  const std::pair<const char*, const char*> cases[] = {
      {"((void (*)(void))0x40000000u)();", "instruction access fault at pc 0x40000000"},
      {"for (;;) __asm__ volatile(\"\");", "still running after 1200000 cycles"},
      {"{ volatile char deep[9000]; deep[0] = 1; deep[8999] = deep[0]; }", "stack overflow"},
  };
  for (const auto& [code, says] : cases) {
    write("a folder/model.c", good);
    tamper("model.c", "  return sram.state.loss;",
           "#ifdef __riscv\n  " + std::string(code) + "\n#endif\n  return sram.state.loss;");
    const Arguments check = quick({"--steps", "1", "--no-nodes", "--max-cycles", "1200000"});
    const Finished finished = run(check + Arguments{"--json", "report.json"});
    EXPECT_EQ(finished.exit_code, 4);
    EXPECT_EQ(finished.out, "");
    EXPECT_THAT(finished.err, HasSubstr(says));
    const Json report = read_json("report.json");
    EXPECT_EQ(report["schema"], "espalier.check/1");
    EXPECT_THAT(report["failure"].get<std::string>(), HasSubstr(says));
    EXPECT_EQ(report["equal"], false);
    EXPECT_EQ(report["losses"].size(), 1);
    EXPECT_GT(report["sram"]["written"].get<int>(), 0);
    EXPECT_GT(report["stack"]["used"].get<int>(), 0);
    EXPECT_GT(report["flash"]["used"].get<int>(), 0);
    std::filesystem::remove(path("report.json"));
  }
}

TEST_F(CheckTest, TakesRiscVDevicesOnly) {
  const auto profile = [&](const std::string& isa, const std::string& bases) {
    write("device.json", R"({"schema": "espalier.device/1", "name": "part", "isa": ")" + isa +
                             R"(", "sram_bytes": 262144, "flash_bytes": 1000000,
                             "clock_hz": 1000000)" +
                             bases + "}");
  };
  const std::string bases = R"(, "sram_base": "0x3fc80000", "flash_base": "0x42000000")";
  const Arguments check = quick({"--steps", "1", "--no-nodes", "--device", "device.json"});
  for (const char* isa : {"armv7e-m+fp", "xtensa", "rv64imac", "rv32e", "rv32ic"}) {
    profile(isa, bases);
    fail(65, check,
         {"isa '" + std::string(isa) + "' is not what the simulated core can stand for"});
  }
  profile("rv32imc", "");
  fail(65, check, {"has no sram_base and flash_base"});
  profile("rv32imc", bases);
  fail(3, check, {"uses a float unit, which part has not; compile it with --target rv32im"});
  make_plan("head.json", {"--head-only"});
  const Arguments compile{"compile", "model.onnx", "--plan",  "head.json",
                          "--out",   "a folder",   "--force", "--target"};
  succeed(compile + Arguments{"rv32im", "--kernels", "plain"});
  const Json soft = report(check);
  succeed(compile + Arguments{"rv32imf+pm4adda.b"});
  profile("rv32imf+pm4adda.b", bases);
  const Json hard = report(check);
  // Floats in software take many more cycles.
  EXPECT_GT(soft["cycles_per_step"].get<double>(), 2 * hard["cycles_per_step"].get<double>());
  profile("rv32imf", bases);
  fail(3, check, {"uses pm4adda.b, which part has not"});
  profile("rv32imf+pm4adda.b", R"(, "sram_base": "0x10000000", "flash_base": "0x42000000")");
  fail(3, check, {"part: cannot be simulated with the samples of 1 steps"});
}

TEST_F(CheckTest, RefusesWhatIsNotAFolderOfCompile) {
  fail(66, {"check", "nowhere"},
       {"nowhere/program.json: cannot be opened: No such file or directory; name a folder that "
        "espalier compile wrote"});
  fail(2, {"check", "a folder", "--steps", "0"}, {"--steps"});
  fail(2, {"check", "a folder", "--stack", "0"}, {"--stack must be above 0"});
  fail(66, {"check", "a folder", "--host-cc", quick_tool("cc"), "--target-cc", "no-such-gcc"},
       {"no-such-gcc: cannot be run"});
  fail(66, {"check", "a folder", "--host-cc", "no-such-cc"}, {"another one with --host-cc"});
  fail(2, {"check", "a folder", "--target-cc", "clang"}, {"--target-cc clang: its size tool"});
  Json program = read_json("a folder/program.json");
  program["classes"] = 3;
  write("a folder/program.json", program.dump());
  fail(65, {"check", "a folder"}, {"'classes' is 3, which MODEL_CLASSES in model.h does not say"});
  write("a folder/program.json", "{");
  fail(65, {"check", "a folder"}, {"not valid JSON"});
  std::filesystem::remove(path("a folder/program.json"));
  fail(66, {"check", "a folder"}, {"cannot be opened"});
}

TEST_F(CheckTest, StopsAtOnceWhenAsked) {
  // As soon as what it is about to run is built.
  const auto interrupted = [&](const Arguments& arguments, const std::string& built) {
    const std::filesystem::path temporary = path("of " + built);
    std::filesystem::create_directory(temporary);
    RunOptions options;
    options.environment = {"TMPDIR=" + temporary.string()};
    options.interrupt_when = [temporary, built] {
      for (const auto& work : std::filesystem::directory_iterator(temporary)) {
        if (!std::filesystem::exists(work.path() / built)) continue;
        std::this_thread::sleep_for(std::chrono::milliseconds{100});
        return true;
      }
      return false;
    };
    const auto start = std::chrono::steady_clock::now();
    const Finished finished = run(arguments, options);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds{60});
    return finished;
  };
  // In the simulation, then in a host build that never ends.
  EXPECT_EQ(interrupted(quick({"--steps", "300"}), "core.elf").exit_code, 130);
  tamper("model.c", "  return sram.state.loss;",
         "  extern int pause(void);\n  for (;;) pause();\n  return sram.state.loss;");
  EXPECT_EQ(interrupted(quick({"--steps", "1"}), "host").exit_code, 130);
}

}  // namespace
}  // namespace espalier::testing
