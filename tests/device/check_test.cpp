// The check of compiled folders: passes where bits agree, and says what is wrong where they do not.
#include "espalier/device/check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <utility>

#include "espalier/compiler/compile.hpp"
#include "espalier/engine/calibrate.hpp"
#include "espalier/engine/emit_recorded.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/plan/published.hpp"
#include "espalier/support/file.hpp"
#include "espalier/support/folder.hpp"
#include "espalier/train/session.hpp"
#include "support/temp_folder.hpp"
#include "testing/embedded.hpp"
#include "testing/npy.hpp"
#include "testing/published_plans.hpp"
#include "testing/quick_compiler.hpp"
#include "testing/random_graph.hpp"
#include "testing/random_plan.hpp"

namespace espalier::device {
namespace {

using testing::embedded;
using ::testing::HasSubstr;

codegen::EmitOptions options_for(const char* target) {
  codegen::EmitOptions options;
  options.target = codegen::target_named(target);
  return options;
}

// Plain kernels on the core.
codegen::EmitOptions plain() {
  codegen::EmitOptions options = options_for("rv32imf");
  options.target.overlays.clear();
  return options;
}

class DeviceCheck : public ::testing::Test {
 protected:
  // Compiles a plan and leaves the folder at folder().
  void compile(const ir::Graph& graph, const plan::UpdatePlan& plan,
               codegen::EmitOptions options = plain(), int accumulate = 1,
               compiler::Element gradient = compiler::Element::kFloat32, bool fed = false) {
    compiler::CompileOptions compile;
    compile.fed = fed;
    compile.accumulate = accumulate;
    compile.gradient = gradient;
    Result<compiler::Program> program = compiler::compile(graph, plan, compile);
    ASSERT_TRUE(program.ok()) << program.error().message();
    engine::calibrate(*program);
    const Status written =
        write_folder(folder(), engine::emit_recorded(*program, plan, options), true);
    ASSERT_TRUE(written.ok()) << written.error().message();
  }
  [[nodiscard]] std::filesystem::path folder() const { return temporary_.path() / "c"; }

  // Replaces text in the emitted file with this suffix.
  void tamper(const std::string& suffix, const std::string& from, const std::string& to) const {
    const std::filesystem::path file = folder() / ("random" + suffix);
    std::string text = *read_file(file);
    const std::size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    ASSERT_TRUE(write_file_atomic(file, text).ok());
  }

  // Expects the same bits, the promised SRAM and constants to the byte, and a sane profile.
  void expect_proof(const CheckOptions& options, double least_share = 0.9) const {
    const Result<CheckReport> report = check(folder(), options);
    ASSERT_TRUE(report.ok()) << report.error().message();
    EXPECT_TRUE(verdict(*report).ok()) << verdict(*report).error().message();
    EXPECT_EQ(report->mismatch, "");
    EXPECT_EQ(report->used_sram, report->promised_sram);
    EXPECT_EQ(report->used_parameters, report->promised_parameters);
    EXPECT_GE(report->compared_arrays, 2);
    EXPECT_GT(report->stack_used.count, 0);
    EXPECT_LE(report->stack_used, report->stack_allowed);
    EXPECT_EQ(report->stack_allowed.count % 16, 0);
    EXPECT_GT(report->used_flash, report->promised_parameters);
    double kernels = 0;
    for (const KernelCycles& kernel : report->kernels) kernels += kernel.cycles;
    EXPECT_GT(kernels, least_share * report->cycles_per_step);
    EXPECT_LT(kernels, 1.001 * report->cycles_per_step);
  }

 private:
  testing::TempFolder temporary_;
};

// Every kind of conv, and as little to simulate as may be.
ir::Graph tiny() { return testing::small_network(3, 4, 4); }

// Where train_step begins its work; forward has only the first two lines.
const std::string kStep = "  take_input(input);\n  run_forward();\n  run_backward(label, &sgd, 0);";

// The target's build as the folder says.
CheckOptions optimised(int steps) {
  CheckOptions options;
  options.steps = steps;
  options.host_compiler = testing::quick_compiler("cc");
  return options;
}

// Where it matters little what compilers make of kernels.
CheckOptions steps(int count) {
  CheckOptions options = optimised(count);
  options.target_compiler = testing::quick_compiler("riscv64-unknown-elf-gcc");
  options.stack = Bytes{8192};
  return options;
}
// Where losses and parameters show all that matters; the slow tier compares every node.
CheckOptions brief(int count) {
  CheckOptions options = steps(count);
#ifndef ESPALIER_SLOW_TESTS
  options.nodes = false;
#endif
  return options;
}

// The embedded default; in the fast tier on a part of the picture.
ir::Graph embedded_or_part(int side) {
#ifdef ESPALIER_SLOW_TESTS
  static_cast<void>(side);
  return embedded();
#else
  return testing::embedded_on(side);
#endif
}

TEST_F(DeviceCheck, EmbeddedDefaultSparse) {
  const ir::Graph graph = embedded_or_part(8);
  plan::UpdatePlan plan = *plan::bias_only(graph, 3);
  plan.weights.push_back(
      plan::make_weight_update(graph, static_cast<int>(ir::conv_ops(graph).size()) - 2, 0.25));
  codegen::EmitOptions options = options_for("rv32imf+pm4adda.b");
  options.stochastic = true;
  compile(graph, plan, options);
  expect_proof(brief(1));
}

// Half or a quarter of the channels of each kind of layer at a time, on cores with and without F.
TEST_F(DeviceCheck, EmbeddedDefaultWithChannelsThatTakeTurns) {
  const ir::Graph graph = embedded_or_part(2);
  plan::UpdatePlan plan = *plan::bias_only(graph, 6);
  const auto convs = static_cast<int>(ir::conv_ops(graph).size());
  for (int conv = convs - 5; conv < convs; ++conv) {
    plan.weights.push_back(plan::make_weight_update(graph, conv, conv % 2 == 0 ? 0.5 : 0.25));
  }
  plan::add_rotation(plan, graph);
  codegen::EmitOptions options = options_for("rv32imf+pm4adda.b");
  options.stochastic = true;
  compile(graph, plan, options);
  expect_proof(brief(3));
  options.target = codegen::target_named("rv32im");
  compile(graph, plan, options, 1, compiler::Element::kInt8);
  expect_proof(brief(3));
#ifdef ESPALIER_SLOW_TESTS
  compile(graph, plan, options);  // float32 without F: most of it is the compiler's library
  expect_proof(brief(3), 0.05);
  options.target = codegen::target_named("rv32imf");
  compile(graph, plan, options, 2, compiler::Element::kInt16);
  expect_proof(brief(5));
#endif
}

#ifdef ESPALIER_SLOW_TESTS
TEST_F(DeviceCheck, EmbeddedDefaultAccumulated) {
  const ir::Graph graph = embedded();
  Rng rng{4, 0};
  codegen::EmitOptions options = options_for("rv32imf+pm4adda.b");
  options.stochastic = true;
  compile(graph, testing::random_plan(graph, rng), options, 2);
  expect_proof(optimised(4));
}

TEST_F(DeviceCheck, EmbeddedDefaultHeadOnly) {
  const ir::Graph graph = embedded();
  compile(graph, plan::head_only(graph), options_for("rv32imf"));
  expect_proof(optimised(2));
  // Cycles that suffice for the steps suffice for a check of the nodes, which takes one step more.
  CheckOptions enough = optimised(1);
  enough.nodes = false;
  enough.max_cycles = static_cast<std::uint64_t>(1.1 * check(folder(), enough)->cycles_per_step);
  expect_proof(enough);
  enough.nodes = true;
  expect_proof(enough);
}

TEST_F(DeviceCheck, EmbeddedDefaultBiasOnly) {
  const ir::Graph graph = embedded();
  codegen::EmitOptions options = options_for("rv32imf");
  options.stochastic = true;
  compile(graph, *plan::bias_only(graph, 9), options);
  expect_proof(optimised(2));
}

TEST_F(DeviceCheck, EmbeddedDefaultFull) {
  const ir::Graph graph = embedded();
  compile(graph, plan::full(graph), options_for("rv32imf"));
  expect_proof(optimised(1));
}
#endif

// Integer gradients on the core without a float unit, every kind of plan; in the fast tier all
// layers with blocked kernels, and the plain ones on a smaller network.
TEST_F(DeviceCheck, EmbeddedDefaultInteger) {
  const ir::Graph graph = embedded_or_part(2);
  codegen::EmitOptions options = options_for("rv32im");
  options.stochastic = true;
#ifdef ESPALIER_SLOW_TESTS
  const plan::UpdatePlan everywhere = plan::full(graph);
#else
  // Gradients of every layer, and weights of each kind of layer.
  const auto convs = static_cast<int>(ir::conv_ops(graph).size());
  plan::UpdatePlan everywhere = *plan::bias_only(graph, convs);
  for (int conv = 0; conv < convs; conv += 4) {
    everywhere.weights.push_back(plan::make_weight_update(graph, conv, 0.34));
  }
#endif
  compile(graph, everywhere, options, 1, compiler::Element::kInt8);
  expect_proof(brief(1), 0.05);
#ifdef ESPALIER_SLOW_TESTS
  plan::UpdatePlan sparse = *plan::bias_only(graph, 3);
  sparse.weights.push_back(
      plan::make_weight_update(graph, static_cast<int>(ir::conv_ops(graph).size()) - 2, 0.25));
  for (const plan::UpdatePlan& plan :
       {plan::head_only(graph), *plan::bias_only(graph, 9), sparse}) {
    compile(graph, plan, options, 1, compiler::Element::kInt8);
    expect_proof(brief(1), 0.05);
  }
#else
  options.target.overlays.clear();
  compile(tiny(), plan::full(tiny()), options, 1, compiler::Element::kInt8);
  expect_proof(brief(1), 0.05);
#endif
}

// Lines of a disassembly, from those functions of the object that work on integer gradients.
std::vector<std::string> integer_code(const std::filesystem::path& folder,
                                      const std::string& flags) {
  std::string text;
  const std::string object = (folder / "body.o").string();
#ifdef ESPALIER_SLOW_TESTS
  const std::string optimise = "-O2";
#else
  const std::string optimise = "-O0";
#endif
  const std::string command = "riscv64-unknown-elf-gcc -std=c99 " + optimise +
                              " -ffp-contract=off --specs=picolibc.specs " + flags + " -c " +
                              (folder / "random.c").string() + " -o " + object +
                              " && riscv64-unknown-elf-objdump -dr " + object + " > " + object +
                              ".txt";
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
  std::istringstream lines(*read_file(object + ".txt"));
  std::vector<std::string> code;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with(">:") && line.find("<.L") == std::string::npos) {
      inside = line.find("_q8") != std::string::npos &&
               line.find("quantize") == std::string::npos;  // reads floats, as their bits
    }
    if (inside) code.push_back(line);
  }
  return code;
}

TEST_F(DeviceCheck, IntegerGradientsNeedNoFloatArithmetic) {
#ifdef ESPALIER_SLOW_TESTS
  const auto overlays = {"", "blocked"};
#else
  const auto overlays = {""};
#endif
  for (const char* overlay : overlays) {
    codegen::EmitOptions options = plain();
    if (*overlay != 0) options.target.overlays = {overlay};
    std::filesystem::remove_all(folder());
    compile(tiny(), plan::full(tiny()), options, 1, compiler::Element::kInt8);
    const std::vector<std::string> with_unit =
        integer_code(folder(), "-march=rv32imf -mabi=ilp32f");
    const std::vector<std::string> without =
        integer_code(folder(), "-march=rv32im -misa-spec=2.2 -mabi=ilp32");
    ASSERT_GT(with_unit.size(), 500U);
    const std::regex instruction("\\tf[a-z]+\\.[a-z.]+\\t|\\tfl[wd]\\t|\\tfs[wd]\\t");
    const std::regex routine("__[a-z]+[sd]f[a-z0-9]*");
    for (const std::string& line : with_unit) {
      EXPECT_FALSE(std::regex_search(line, instruction)) << line;
    }
    for (const std::string& line : without) EXPECT_FALSE(std::regex_search(line, routine)) << line;
  }
}

// What the check makes beside the program's files has names of its own.
TEST_F(DeviceCheck, ProgramsMayHaveTheNamesOfItsOwnFiles) {
#ifdef ESPALIER_SLOW_TESTS
  const auto names = {"driver", "check", "espalier", "crt0", "string", "device", "core"};
#else
  const auto names = {"driver", "string"};
#endif
  for (const char* name : names) {
    ir::Graph graph = tiny();
    graph.name = name;
    SCOPED_TRACE(name);
    std::filesystem::remove_all(folder());
    compile(graph, plan::head_only(graph));
    expect_proof(brief(1), 0.5);
  }
}

// In the fast tier with plain kernels, among which those for the dot product are the same program
// again; EmbeddedDefaultSparse and RandomNetworksInEveryForm have their own.
TEST_F(DeviceCheck, EveryTargetOfTheCore) {
  const ir::Graph graph = tiny();
#ifdef ESPALIER_SLOW_TESTS
  const plan::UpdatePlan soft = plan::full(graph);
#else
  const plan::UpdatePlan soft = *plan::bias_only(graph, 2);  // floats in software take their time
#endif
  int targets = 0;
  for (const codegen::Target& target : codegen::targets()) {
    if (target.machine != "core") continue;
    codegen::EmitOptions options = options_for(target.name.c_str());
#ifdef ESPALIER_SLOW_TESTS
    compile(graph, target.float_unit ? plan::full(graph) : soft, options);
#else
    if (target.dot_product) continue;
    options.target.overlays.clear();
    compile(graph, soft, options);
#endif
    // The routines of soft float take what kernels do not.
    expect_proof(brief(1), target.float_unit ? 0.8 : 0.05);
    ++targets;
  }
  EXPECT_GE(targets, 2);
}

#ifdef ESPALIER_SLOW_TESTS
constexpr std::uint64_t kFirstNetwork = 0;
constexpr std::uint64_t kNetworksEnd = 40;
#else
constexpr std::uint64_t kFirstNetwork = 3;  // which has every overlay
constexpr std::uint64_t kNetworksEnd = 4;
#endif

TEST_F(DeviceCheck, RandomNetworksInEveryForm) {
  for (std::uint64_t seed = kFirstNetwork; seed < kNetworksEnd; ++seed) {
    const ir::Graph graph = testing::random_network(seed);
    Rng rng{seed, 17};
    const codegen::EmitOptions options = seed % 8 == 3   ? options_for("rv32imf+pm4adda.b+lwdota.b")
                                         : seed % 4 == 3 ? options_for("rv32imf+pm4adda.b")
                                         : seed % 4 == 1 ? options_for("rv32imf")
                                                         : plain();
    const int accumulate = 1 + static_cast<int>(seed % 3);
    compile(graph, testing::random_plan(graph, rng), options, accumulate);
    // What quick builds do not inline counts as the kernels' no more.
    if (seed == 3) {
      expect_proof(steps(accumulate));
    } else {
      expect_proof(brief(accumulate), 0.5);
    }
  }
}

TEST_F(DeviceCheck, TakesSamplesFromAFile) {
  const ir::Graph graph = testing::small_network(3);
  compile(graph, plan::head_only(graph));
  const std::filesystem::path inputs = folder() / "inputs.bin";
  ASSERT_TRUE(write_file_atomic(inputs, std::string(3 * 8 * 8 * 2, '\5')).ok());
  CheckOptions options = brief(2);
  options.inputs = inputs.string();
  options.labels = {1, 3};
  expect_proof(options, 0.5);
  ASSERT_TRUE(write_file_atomic(inputs, std::string(3 * 8 * 8 * 2 + 1, '\5')).ok());
  const Result<CheckReport> torn = check(folder(), options);
  EXPECT_EQ(torn.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(torn.error().message(), HasSubstr("not a whole number of samples of 192 bytes"));
  ASSERT_TRUE(write_file_atomic(inputs, std::string(3 * 8 * 8, '\5')).ok());
  EXPECT_THAT(check(folder(), options).error().message(), HasSubstr("there are 1 samples"));
  ASSERT_TRUE(write_file_atomic(inputs, std::string(3 * 8 * 8 * 2, '\5')).ok());
  options.labels = {1};
  EXPECT_EQ(check(folder(), options).error().kind, ErrorKind::kBadInput);
  options.labels = {1, 4};
  EXPECT_EQ(check(folder(), options).error().kind, ErrorKind::kUsage);
}

// Row by row, the input too: as many bytes written as promised.
TEST_F(DeviceCheck, EmbeddedDefaultByRows) {
  const ir::Graph graph = embedded_or_part(8);
  codegen::EmitOptions options = options_for("rv32imf+pm4adda.b");
#ifndef ESPALIER_SLOW_TESTS
  options.target.overlays.clear();  // compiled in EmbeddedDefaultSparse
#endif
  compile(graph, *plan::bias_only(graph, 3), options, 1, compiler::Element::kInt8, true);
  expect_proof(brief(1), 0.5);
}

#ifdef ESPALIER_SLOW_TESTS
// The published networks within 128 KiB by rows, and with the input resident.
TEST_F(DeviceCheck, PublishedPlansByRows) {
  ESPALIER_SHARED_DATA_OR_SKIP(shared);
  for (const char* name : {"mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3"}) {
    ir::Graph graph =
        std::move(import_model(shared / "models" / (std::string(name) + ".onnx"))).value();
    graph.head = train::fresh_head(graph.head.features, 10, 3);
    const plan::UpdatePlan plan = *plan::from_published(graph, testing::published_plan(name));
    for (const bool fed : {false, true}) {
      SCOPED_TRACE(std::string(name) + (fed ? " by rows" : " resident"));
      compile(graph, plan, options_for("rv32imf+pm4adda.b"), 1, compiler::Element::kInt8, fed);
      expect_proof(optimised(2), 0.8);
      const Result<CheckReport> report = check(folder(), optimised(1));
      ASSERT_TRUE(report.ok());
      EXPECT_LE(report->promised_sram.count, fed ? 131072 : 131072 + 24576);
    }
  }
}

TEST_F(DeviceCheck, PublishedPlanOfMcunet) {
  ESPALIER_SHARED_DATA_OR_SKIP(shared);
  ir::Graph graph = std::move(import_model(shared / "models/mcunet-5fps.onnx")).value();
  graph.head = train::fresh_head(graph.head.features, 10, 3);
  for (const char* target : {"rv32imf", "rv32imf+pm4adda.b", "rv32imf+pm4adda.b+lwdota.b"}) {
    compile(graph, *plan::from_published(graph, testing::published_plan("mcunet-5fps")),
            options_for(target));
    expect_proof(optimised(3));
  }
  for (const char* target : {"rv32im", "rv32imf+pm4adda.b", "rv32imf+pm4adda.b+lwdota.b"}) {
    compile(graph, *plan::from_published(graph, testing::published_plan("mcunet-5fps")),
            options_for(target), 1, compiler::Element::kInt8);
    expect_proof(optimised(3), 0.8);
  }
}
#endif

// ---- What a check must notice ------------------------------------------------------------------

TEST_F(DeviceCheck, NamesTheFirstDifference) {
  const ir::Graph graph = tiny();
  compile(graph, plan::full(graph));
  // The core alone forgets to scale the steps of weights.
  tamper("_kernels.h", "weight - esp_round_step(step, sgd->weight_bound, sgd, key)",
         "weight - esp_round_step(step, sgd->weight_bound, sgd, key)\n"
         "#ifdef __riscv\n + 1\n#endif\n");
  const Result<CheckReport> report = check(folder(), brief(1));
  ASSERT_TRUE(report.ok()) << report.error().message();
  EXPECT_THAT(report->mismatch, HasSubstr("conv 0 weights[0]"));
  EXPECT_THAT(report->mismatch, HasSubstr("on the host"));
  EXPECT_EQ(verdict(*report).error().kind, ErrorKind::kMismatch);
  EXPECT_FALSE(to_json(*report)["equal"].get<bool>());
}

TEST_F(DeviceCheck, NamesTheFirstOutputThatDiffers) {
  const ir::Graph graph = tiny();
  compile(graph, plan::head_only(graph));
  // From the second step on, one weight of the classifier is another on the core alone.
  tamper(".c", kStep,
         std::string("#ifdef __riscv\n  if (sram.state.step == 1) sram.state.head_weights[5] += "
                     "1.0f;\n#endif\n") +
             kStep);
  const Result<CheckReport> report = check(folder(), brief(2));
  ASSERT_TRUE(report.ok()) << report.error().message();
  ASSERT_FALSE(verdict(*report).ok());
  EXPECT_THAT(verdict(*report).error().message(), HasSubstr("step 1: logits["));
}

TEST_F(DeviceCheck, HoldsProgramJsonAgainstTheCode) {
  const ir::Graph graph = tiny();
  compile(graph, plan::full(graph));
  const std::filesystem::path file = folder() / "program.json";
  const Json good = *read_json(file, "espalier.program/1");
  const auto expect = [&](const char* key, const Json& value, const char* says) {
    Json bad = good;
    bad[key] = value;
    ASSERT_TRUE(write_file_atomic(file, bad.dump()).ok());
    const Result<CheckReport> report = check(folder(), steps(1));
    ASSERT_FALSE(report.ok()) << key;
    EXPECT_EQ(report.error().kind, ErrorKind::kBadInput) << key;
    EXPECT_THAT(report.error().message(), HasSubstr(says)) << key;
  };
  // Fewer classes, features or convs would compare less; another size would promise another.
  for (const char* key :
       {"classes", "features", "convs", "input_bytes", "sram_bytes", "parameter_bytes"}) {
    expect(key, good[key].get<std::int64_t>() - 1, key);
    expect(key, -1, key);
    expect(key, std::int64_t{1} << 60, key);
    expect(key, "many", key);
  }
  Json trained = good["trained"];
  trained.erase(0);
  expect("trained", trained, "program.json does not say so");
  trained = good["trained"];
  trained.push_back({{"conv", 77}, {"bias", true}, {"weight_channels", 1}});
  expect("trained", trained, "the C has no such array");
  expect("kernel_macs", 5, "compile the folder again");
  expect("name", "../x", "compile the folder again");
}

// ---- What rounding hides -----------------------------------------------------------------------

class Hidden : public DeviceCheck {
 protected:
  // Expects that a change of the kernels on the core alone is found in the first step, by node.
  void expect_found(const std::string& from, const std::string& to, const std::string& node,
                    const CheckOptions& options = steps(1)) const {
    tamper("_kernels.h", from, "\n#ifdef __riscv\n" + to + "\n#else\n" + from + "\n#endif\n");
    const Result<CheckReport> report = check(folder(), options);
    ASSERT_TRUE(report.ok()) << report.error().message();
    EXPECT_THAT(report->mismatch, HasSubstr("step 0: node "));
    EXPECT_THAT(report->mismatch, HasSubstr(node));
    EXPECT_EQ(verdict(*report).error().kind, ErrorKind::kMismatch);
  }
};

TEST_F(Hidden, GradientsALittleTooLarge) {
  const ir::Graph graph = tiny();
  plan::UpdatePlan last = *plan::bias_only(graph, 1);
  last.weights.push_back(
      plan::make_weight_update(graph, static_cast<int>(ir::conv_ops(graph).size()) - 1, 1.0));
  compile(graph, last);
  expect_found("gradient * scale * sgd->rate", "gradient * 1.000015f * scale * sgd->rate", "conv");
}

TEST_F(Hidden, FusedProductsInOneGradientKernel) {
  const ir::Graph graph = tiny();
  compile(graph, *plan::bias_only(graph, 1));
  expect_found("ESP_KERNEL void esp_head_input_gradient(",
               "__attribute__((optimize(\"fp-contract=fast\")))\n"
               "ESP_KERNEL void esp_head_input_gradient(",
               "head", optimised(1));
}

// The same wrong C on every machine: only the host engine knows better.
TEST_F(DeviceCheck, WrongEverywhere) {
  const ir::Graph graph = tiny();
  for (const auto& [from, to] :
       {std::pair{"(void)esp_rate_per_sample(", "(void)esp_rate_per_sample(1.01f * "},
        std::pair{"memset(sram.state.conv1_bias_sum, 0", "memset(sram.state.conv1_bias_sum, 1"}}) {
    codegen::EmitOptions options = plain();
    options.stochastic = true;
    const auto convs = static_cast<int>(ir::conv_ops(graph).size());
    compile(graph, *plan::bias_only(graph, convs), options, 2);
    tamper(".c", from, to);
    const Result<CheckReport> report = check(folder(), brief(1));
    ASSERT_TRUE(report.ok()) << report.error().message();
    EXPECT_THAT(report->mismatch, ::testing::StartsWith("recorded step ")) << to;
    EXPECT_EQ(report->recorded_steps, 3);
  }
}

TEST_F(DeviceCheck, WantsTheRecordOfTheHostEngine) {
  const ir::Graph graph = tiny();
  compile(graph, plan::head_only(graph));
  std::string text = *read_file(folder() / "program.json");
  text.replace(text.find("\"recorded\""), 10, "\"reworded\"");
  ASSERT_TRUE(write_file_atomic(folder() / "program.json", text).ok());
  const Result<CheckReport> report = check(folder(), steps(1));
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(report.error().message(), HasSubstr("recorded"));
}

TEST_F(DeviceCheck, AnArenaThatTheFirmwareGives) {
  const ir::Graph graph = tiny();
  codegen::EmitOptions options = plain();
  options.extern_arena = true;
  compile(graph, *plan::bias_only(graph, 3), options);
  expect_proof(brief(1));
}

TEST_F(DeviceCheck, TracesEveryNode) {
  const ir::Graph graph = tiny();
  const plan::UpdatePlan plan = *plan::bias_only(graph, 3);
  compile(graph, plan, plain(), 2);
  CheckOptions asked = steps(2);
  double told = 0;
  asked.progress = [&told](double share) {
    EXPECT_GE(share, told);
    told = share;
    return true;
  };
  const Result<CheckReport> report = check(folder(), asked);
  // The runs that compare nodes are half of the work.
  EXPECT_GE(told, 0.5);
  EXPECT_LT(told, 1);
  ASSERT_TRUE(report.ok()) << report.error().message();
  EXPECT_TRUE(verdict(*report).ok()) << verdict(*report).error().message();
  compiler::CompileOptions options;
  options.accumulate = 2;
  const compiler::Program program = *compiler::compile(graph, plan, options);
  EXPECT_EQ(report->traced_nodes,
            static_cast<int>(program.graph.nodes.size() + program.graph.update.size()));
  EXPECT_EQ(report->traced_steps, 2);
}

// Two updates of two samples where nobody says how many steps.
TEST_F(DeviceCheck, StepsEndWithAnUpdate) {
  const ir::Graph graph = tiny();
  compile(graph, plan::head_only(graph), plain(), 2);
  const Result<CheckReport> report = check(folder(), brief(0));
  ASSERT_TRUE(report.ok()) << report.error().message();
  EXPECT_TRUE(verdict(*report).ok()) << verdict(*report).error().message();
  EXPECT_EQ(report->steps, 4);
  EXPECT_EQ(report->accumulate, 2);
  EXPECT_EQ(report->updates, 2);
}

TEST_F(DeviceCheck, TimesEveryNode) {
  const ir::Graph graph = tiny();
#ifdef ESPALIER_SLOW_TESTS
  const plan::UpdatePlan plan = plan::full(graph);
#else
  const plan::UpdatePlan plan = *plan::bias_only(graph, 2);
#endif
  compile(graph, plan);
  CheckOptions options = brief(2);
  options.node_cycles = true;
  const Result<CheckReport> report = check(folder(), options);
  ASSERT_TRUE(report.ok()) << report.error().message();
  EXPECT_TRUE(verdict(*report).ok()) << verdict(*report).error().message();
  EXPECT_EQ(report->nodes.size(), compiler::compile(graph, plan)->graph.nodes.size());
  double cycles = 0;
  for (const NodeCycles& node : report->nodes) {
    EXPECT_GT(node.cycles, 0) << node.name;
    cycles += node.cycles;
  }
  // Telling the time takes some of it.
  EXPECT_NEAR(cycles / report->cycles_per_step, 1, 0.05);
}

TEST_F(DeviceCheck, AnEmulatorTimesNoNodes) {
  compile(tiny(), plan::head_only(tiny()), options_for("cortex-m4f"));
  CheckOptions options = brief(1);
  options.node_cycles = true;
  const Result<CheckReport> report = check(folder(), options);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(report.error().message(), HasSubstr("emulator"));
}

TEST_F(DeviceCheck, TheCoreCountsInstructionsAnyway) {
  compile(tiny(), plan::head_only(tiny()));
  CheckOptions options = brief(1);
  options.kernel_instructions = true;
  const Result<CheckReport> report = check(folder(), options);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(report.error().message(), HasSubstr("leave it out"));
}

TEST_F(DeviceCheck, RefusesFilesOfDifferentPrograms) {
  const ir::Graph graph = tiny();
  compile(graph, plan::full(graph));
  std::map<std::string, std::string> full;
  for (const auto& entry : std::filesystem::directory_iterator(folder())) {
    full[entry.path().filename().string()] = *read_file(entry.path());
  }
  const auto put = [&](const char* name) {
    ASSERT_TRUE(write_file_atomic(folder() / name, full.at(name)).ok());
  };
  const auto expect = [&](const char* says) {
    const Result<CheckReport> report = check(folder(), steps(1));
    ASSERT_FALSE(report.ok()) << says;
    EXPECT_EQ(report.error().kind, ErrorKind::kBadInput);
    EXPECT_THAT(report.error().message(), HasSubstr(says));
  };
  // Parameters of one plan with the code of another.
  compile(graph, plan::head_only(graph));
  put("random_params.c");
  put("random_params.h");
  expect("different programs");
  compile(graph, plan::head_only(graph));
  put("program.json");
  expect("'program_hash' is");
  compile(graph, plan::head_only(graph));
  put("plan.json");
  expect("is not the plan that the folder was compiled from");
}

void expect_failure(const Result<CheckReport>& report, const std::string& says) {
  ASSERT_TRUE(report.ok()) << report.error().message();
  EXPECT_THAT(report->failure, HasSubstr(says));
  EXPECT_EQ(verdict(*report).error().kind, ErrorKind::kMismatch);
  EXPECT_EQ(verdict(*report).error().message(), report->failure);
  const Json json = to_json(*report);
  EXPECT_EQ(json["failure"], report->failure);
  EXPECT_EQ(json["equal"], false);
  EXPECT_EQ(json["mismatch"], nullptr);
  EXPECT_EQ(json["compared"]["arrays"], 0);
}

// Replaces the body of train_step on the core.
class Misbehaving : public DeviceCheck {
 protected:
  Result<CheckReport> run_with(const std::string& body, CheckOptions options = brief(1)) {
    const ir::Graph graph = tiny();
    compile(graph, plan::head_only(graph));
    tamper(".c", kStep, kStep + "\n#ifdef __riscv\n" + body + "\n#endif\n");
    return check(folder(), options);
  }
  void expect(const std::string& body, const std::string& says, CheckOptions options = brief(1)) {
    expect_failure(run_with(body, options), says);
  }
};

TEST_F(Misbehaving, JumpsIntoNowhere) {
  expect("  ((void (*)(void))0x40000000u)();", "instruction access fault");
}

TEST_F(Misbehaving, WritesToFlash) {
  expect("  *(volatile int*)&FLASH = 1;", "store access fault");
}

TEST_F(Misbehaving, ReadsOddAddresses) {
  expect(
      "  { volatile uintptr_t odd = (uintptr_t)&sram + 2; sram.state.loss = *(volatile float*)odd; "
      "}",
      "misaligned");
}

TEST_F(Misbehaving, NeverEnds) {
  CheckOptions options = brief(1);
  options.max_cycles = 2'000'000;
  expect("  for (;;) __asm__ volatile(\"\");", "cycle", options);
}

TEST_F(Misbehaving, OverflowsTheStack) {
  expect("  { volatile char deep[100000]; deep[0] = 1; deep[99999] = deep[0]; }", "stack");
}

TEST_F(Misbehaving, WritesBesideWhatItPromised) {
  // 64 bytes behind its own SRAM.
  const Result<CheckReport> report = run_with("  memset((char*)&sram + sizeof sram + 16, 1, 64);");
  ASSERT_TRUE(report.ok()) << report.error().message();
  EXPECT_THAT(verdict(*report).error().message(), HasSubstr("64 more than promised"));
}

#ifdef ESPALIER_SLOW_TESTS
TEST_F(Misbehaving, NeverEndsWithTheLimitOfItsSize) {
  // The limit that a check sets by itself, 50 million cycles and some.
  expect("  for (;;) __asm__ volatile(\"\");", "still running after 5");
}
#endif

TEST_F(DeviceCheck, EndsAHostBuildThatNeverEnds) {
  const ir::Graph graph = tiny();
  compile(graph, plan::head_only(graph));
  // Asleep: tests beside it have the processor.
  tamper(".c", kStep, "  for (;;) pause();\n" + kStep);
  tamper(".c", "#include", "extern int pause(void);\n#include");
  CheckOptions options = steps(1);
  options.host_limit = std::chrono::milliseconds{250};  // a step, of which three are recorded
  const Result<CheckReport> report = check(folder(), options);
  expect_failure(report, "on the host: ");
  expect_failure(report, "still running after 1 s");
  // The user need not wait for the limit.
  options.host_limit = std::chrono::hours{1};
  const auto start = std::chrono::steady_clock::now();
  options.progress = [&](double) {
    return std::chrono::steady_clock::now() - start < std::chrono::milliseconds{500};
  };
  EXPECT_EQ(check(folder(), options).error().kind, ErrorKind::kInterrupted);
}

TEST_F(DeviceCheck, ReportsAHostBuildThatCrashes) {
  const ir::Graph graph = tiny();
  compile(graph, plan::head_only(graph));
  tamper(".c", kStep, "  __builtin_trap();\n" + kStep);
  expect_failure(check(folder(), steps(1)), "on the host: ended by signal");
}

TEST_F(DeviceCheck, EndsAHostBuildThatPrintsWithoutEnd) {
  const ir::Graph graph = tiny();
  compile(graph, plan::head_only(graph));
  tamper(".c", kStep, "  for (;;) puts(\"and so on\");\n" + kStep);
  tamper(".c", "#include", "#include <stdio.h>\n#include");
  expect_failure(check(folder(), steps(1)), "host: printed more than");
}

TEST_F(DeviceCheck, TellsWhereAHostBuildMayExecute) {
  const ir::Graph graph = tiny();
  compile(graph, plan::head_only(graph));
  // Leaves a host program that may not be executed, as in a folder mounted so.
  const std::filesystem::path compiler = folder() / "cc.sh";
  ASSERT_TRUE(write_file_atomic(compiler, "#!/bin/sh\necho > host\n").ok());
  std::filesystem::permissions(compiler, std::filesystem::perms::owner_all);
  CheckOptions options = steps(1);
  options.host_compiler = compiler.string();
  const Result<CheckReport> report = check(folder(), options);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().kind, ErrorKind::kMissingInput);
  EXPECT_THAT(report.error().message(),
              HasSubstr("Permission denied; set TMPDIR to a folder that may execute"));
}

TEST_F(DeviceCheck, SaysHowManyStepsFit) {
  const ir::Graph graph = testing::small_network(3);
  compile(graph, plan::head_only(graph));
  CheckOptions options = steps(2'000'000'000);
  const auto start = std::chrono::steady_clock::now();
  const Result<CheckReport> report = check(folder(), options);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds{1});
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().kind, ErrorKind::kInfeasible);
  // 3 MiB for program and driver, the rest up to the registers for samples of 192 bytes and labels.
  const std::int64_t fit = (std::int64_t{125} << 20) / 196;
  EXPECT_THAT(report.error().message(),
              HasSubstr("; " + std::to_string(fit) + " steps fit, lower --steps"));
  // Where the SRAM begins right behind the flash, none do.
  options.device.sram_base = *options.device.flash_base + (3u << 20);
  EXPECT_THAT(check(folder(), options).error().message(), HasSubstr("not even one step fits"));
}

TEST_F(DeviceCheck, CountsTheLibrariesThatTheProgramLinks) {
  const ir::Graph graph = tiny();
  codegen::EmitOptions plainly = options_for("rv32im");
  plainly.target.overlays.clear();
  compile(graph, plan::head_only(graph), plainly);
  CheckOptions options = brief(1);
  options.keep = folder() / "kept";
  const Result<CheckReport> report = check(folder(), options);
  ASSERT_TRUE(report.ok()) << report.error().message();
  const std::int64_t used = report->used_flash.count;
  // Section sizes of the program's own objects, which call __addsf3, __mulsf3 and others.
  const std::string sizes = "riscv64-unknown-elf-size -G kept/random.o kept/random_params.o";
  const std::string command = "cd " + folder().string() + " && " + sizes +
                              " | awk 'NR > 1 { n += $1 + $2 } END { print n }' > sizes.txt";
  ASSERT_EQ(std::system(command.c_str()), 0);
  const std::int64_t objects = std::stoll(*read_file(folder() / "sizes.txt"));
  EXPECT_GT(used, objects + 1000);
  EXPECT_LT(used, objects + 20000);
  options.device.flash = Bytes{used};
  EXPECT_TRUE(check(folder(), options).ok());
  options.device.flash = Bytes{used - 16};
  const Result<CheckReport> tight = check(folder(), options);
  ASSERT_FALSE(tight.ok());
  EXPECT_EQ(tight.error().kind, ErrorKind::kInfeasible);
  EXPECT_THAT(tight.error().message(), HasSubstr("bytes of flash by 16"));
}

TEST_F(DeviceCheck, StopsWhenTheUserAsks) {
  const ir::Graph graph = tiny();
  compile(graph, plan::full(graph));
  CheckOptions options = steps(1);
  options.progress = [](double) { return false; };
  EXPECT_EQ(check(folder(), options).error().kind, ErrorKind::kInterrupted);
}

TEST_F(DeviceCheck, RefusesWhatDoesNotFit) {
  const ir::Graph graph = tiny();
  codegen::EmitOptions plainly = options_for("rv32imf+pm4adda.b+lwdota.b");
  plainly.target.overlays.clear();
  compile(graph, plan::head_only(graph), plainly);
  CheckOptions options = steps(1);
  options.device.sram = Bytes{4096};
  EXPECT_EQ(check(folder(), options).error().kind, ErrorKind::kInfeasible);
  options = steps(1);
  options.device.flash = Bytes{1024};
  EXPECT_EQ(check(folder(), options).error().kind, ErrorKind::kInfeasible);
  options = steps(1);
  options.device.sram_base = *options.device.flash_base + 4096;
  EXPECT_THAT(check(folder(), options).error().message(), HasSubstr("overlaps"));
  options = steps(1);
  options.device.isa = "rv32imf";
  EXPECT_THAT(check(folder(), options).error().message(),
              HasSubstr("uses pm4adda.b, which espalier-core has not; compile it with --target "
                        "rv32imf"));
  options.device.isa = "rv32imf+pm4adda.b";
  EXPECT_THAT(check(folder(), options).error().message(),
              HasSubstr("uses lwdota.b, which espalier-core has not; compile it with --target "
                        "rv32imf+pm4adda.b"));
  options.device.isa = "rv32imc+pm4adda.b+lwdota.b";
  EXPECT_THAT(check(folder(), options).error().message(),
              HasSubstr("uses a float unit, which espalier-core has not; compile it with --target "
                        "rv32im"));
  options = steps(1);
  options.stack = Bytes{0};
  EXPECT_EQ(check(folder(), options).error().kind, ErrorKind::kUsage);
  // What is kept to be replayed lies on the board beside the program.
  plainly.replay_bytes = 260'000;
  compile(graph, plan::head_only(graph), plainly);
  options = steps(1);
  options.device_named = true;
  EXPECT_THAT(check(folder(), options).error().message(),
              HasSubstr(" of replay memory and 8192 of stack exceed 262144 bytes by "));
}

TEST_F(DeviceCheck, PlacesTheProgramAsTheDeviceSays) {
  const ir::Graph graph = tiny();
  compile(graph, plan::head_only(graph));
  CheckOptions options = brief(1);
  options.device.name = "elsewhere";
  options.device.flash_base = 0x42000000;
  options.device.sram_base = 0x3fc80000;
  options.device.sram = Bytes{200 * 1024};
  options.stack = Bytes{4090};
  options.keep = folder() / "kept builds";
  expect_proof(options, 0.5);
  const std::string script = *read_file(options.keep / "device.ld");
  EXPECT_THAT(script, HasSubstr("Memories of elsewhere"));
  EXPECT_THAT(script, HasSubstr("ESPALIER_SRAM_BASE = 0x3fc80000;"));
  EXPECT_THAT(script, HasSubstr("ESPALIER_SRAM_SIZE = 0x32000;"));
  EXPECT_THAT(script, HasSubstr("ESPALIER_STACK_SIZE = 0x1000;"));
}

TEST_F(DeviceCheck, MemoryMayBeginRightBehindTheRegisters) {
  const ir::Graph graph = tiny();
  compile(graph, plan::head_only(graph));
  CheckOptions options = brief(1);
  options.device.sram_base = 0x10000020;
  options.stack = Bytes{4096};
  const Result<CheckReport> report = check(folder(), options);
  ASSERT_TRUE(report.ok()) << report.error().message();
  EXPECT_TRUE(verdict(*report).ok()) << verdict(*report).error().message();
  options.device.sram_base = 0x1000001C;
  EXPECT_THAT(check(folder(), options).error().message(), HasSubstr("overlaps"));
}

TEST_F(DeviceCheck, ReportsWhatIsMissing) {
  EXPECT_EQ(check(folder(), steps(1)).error().kind, ErrorKind::kMissingInput);
  const ir::Graph graph = tiny();
  compile(graph, plan::full(graph));
  CheckOptions options = steps(1);
  options.target_compiler = "no-such-gcc";
  const Result<CheckReport> report = check(folder(), options);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().kind, ErrorKind::kMissingInput);
  EXPECT_THAT(report.error().message(), HasSubstr("no-such-gcc: cannot be run"));
  EXPECT_THAT(report.error().message(), HasSubstr("--target-cc"));
  options.target_compiler = "/gcc/bin/clang";
  EXPECT_EQ(check(folder(), options).error().kind, ErrorKind::kUsage);
  EXPECT_THAT(check(folder(), options).error().message(),
              HasSubstr("--target-cc /gcc/bin/clang: its size tool cannot be told"));
  tamper(".c", "run_forward();", "run_forwards();");
  EXPECT_EQ(check(folder(), steps(1)).error().kind, ErrorKind::kBadInput);
}

}  // namespace
}  // namespace espalier::device
