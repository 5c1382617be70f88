// Compiled folders on emulated Cortex-M parts: the host's bits, the memory promised, instructions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "espalier/codegen/target.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/device/check.hpp"
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

namespace espalier::device {
namespace {

using ::testing::HasSubstr;

// Blocked kernels take most of the time of a build.
#ifdef ESPALIER_SLOW_TESTS
constexpr bool kPlainKernels = false;
#else
constexpr bool kPlainKernels = true;
#endif

class Emulator : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("command -v qemu-system-arm arm-none-eabi-gcc >/dev/null 2>&1") != 0) {
      GTEST_SKIP() << "needs qemu-system-arm and arm-none-eabi-gcc; tools/setup.sh installs them";
    }
  }
  void compile(const ir::Graph& graph, const plan::UpdatePlan& plan, const std::string& target,
               int accumulate = 1, bool plain_kernels = kPlainKernels,
               compiler::Element gradient = compiler::Element::kFloat32,
               bool extern_arena = false) {
    compiler::CompileOptions compile;
    compile.accumulate = accumulate;
    compile.gradient = gradient;
    Result<compiler::Program> program = compiler::compile(graph, plan, compile);
    ASSERT_TRUE(program.ok()) << program.error().message();
    engine::calibrate(*program);
    codegen::EmitOptions options;
    options.target = codegen::target_named(target);
    if (plain_kernels) options.target.overlays.clear();
    options.stochastic = true;
    options.extern_arena = extern_arena;
    ASSERT_TRUE(write_folder(folder(), engine::emit_recorded(*program, plan, options), true).ok());
  }
  [[nodiscard]] std::filesystem::path folder() const { return temporary_.path() / "c"; }

  // Builds for the target as the folder says.
  static CheckOptions optimised(int steps) {
    CheckOptions options;
    options.steps = steps;
    options.host_compiler = testing::quick_compiler("cc");
    return options;
  }
  // Builds quickly, where it matters little what compilers make of kernels.
  static CheckOptions quick(int steps) {
    CheckOptions options = optimised(steps);
    options.target_compiler = testing::quick_compiler("arm-none-eabi-gcc");
    options.stack = Bytes{16384};
    return options;
  }
  // And where losses and parameters show all that matters; the slow tier compares every node.
  static CheckOptions brief(int steps) {
    CheckOptions options = quick(steps);
#ifndef ESPALIER_SLOW_TESTS
    options.nodes = false;
#endif
    return options;
  }

  void expect_proof(const CheckOptions& options) const {
    const Result<CheckReport> report = check(folder(), options);
    ASSERT_TRUE(report.ok()) << report.error().message();
    EXPECT_TRUE(verdict(*report).ok()) << verdict(*report).error().message();
    EXPECT_EQ(report->machine, "the emulated part");
    EXPECT_EQ(report->used_sram, report->promised_sram);
    EXPECT_EQ(report->used_parameters, report->promised_parameters);
    EXPECT_GT(report->stack_used.count, 0);
    EXPECT_GT(report->used_flash, report->promised_parameters);
    EXPECT_GT(report->instructions_per_step, 1000);
    EXPECT_EQ(report->cycles_per_step, 0);
    EXPECT_GE(report->compared_arrays, 2);
  }

 private:
  testing::TempFolder temporary_;
};

// The embedded default on a part of the picture, one kind of plan on each part but those that are
// met elsewhere: AccumulatedUpdatesOnM4 and codegen's Example.BoardLearnsWhatTheHostDoes, which
// trains this network on an M4. The slow tier has all of the picture, and every kind on every part,
// as the folder says to build it.
TEST_F(Emulator, EmbeddedDefaultOnEveryCortexM) {
#ifdef ESPALIER_SLOW_TESTS
  const ir::Graph graph = testing::embedded();
#else
  const ir::Graph graph = testing::embedded_on(2);
#endif
  plan::UpdatePlan sparse = *plan::bias_only(graph, 9);
  for (const int conv : {12, 14, 16}) {
    sparse.weights.push_back(plan::make_weight_update(graph, conv, 0.25));
  }
  const plan::UpdatePlan plans[] = {plan::head_only(graph), sparse, plan::full(graph),
                                    *plan::bias_only(graph, 9)};
  std::size_t targets = 0;
  for (const codegen::Target& target : codegen::targets()) {
    if (target.compiler_prefix != "arm-none-eabi-") continue;
#ifndef ESPALIER_SLOW_TESTS
    if (target.name == "cortex-m4f" || target.name == "cortex-m33") continue;  // much like the M7
#endif
    SCOPED_TRACE(target.name);
#ifdef ESPALIER_SLOW_TESTS
    for (const plan::UpdatePlan& plan : plans) {
      CheckOptions options = optimised(1);
      options.nodes = false;  // as BlockedKernelsOnM7 compares them
      compile(graph, plan, target.name);
      expect_proof(options);
    }
#else
    compile(graph, plans[targets], target.name);
    expect_proof(brief(1));
#endif
    ++targets;
  }
  EXPECT_GE(targets, 3);
}

// Every kernel in the form that a part with registers to spare gets, as the folder says to build
// it.
TEST_F(Emulator, BlockedKernelsOnM7) {
  const ir::Graph graph = testing::small_network(3);
  compile(graph, plan::full(graph), "cortex-m7", 1, false);
  expect_proof(brief(1));
}

#ifdef ESPALIER_SLOW_TESTS
// The published 100 KB plan in the memories of the STM32F746, with gradients in float and in int8.
TEST_F(Emulator, PublishedPlanOfMcunetOnM7) {
  ESPALIER_SHARED_DATA_OR_SKIP(shared);
  ir::Graph graph = std::move(import_model(shared / "models/mcunet-5fps.onnx")).value();
  graph.head = train::fresh_head(graph.head.features, 10, 3);
  const plan::UpdatePlan plan =
      *plan::from_published(graph, testing::published_plan("mcunet-5fps"));
  CheckOptions options = optimised(2);
  options.device = *cost::find_device("stm32f746");
  options.device_named = true;
  for (const compiler::Element gradient : {compiler::Element::kFloat32, compiler::Element::kInt8}) {
    compile(graph, plan, "cortex-m7", 1, false, gradient);
    expect_proof(options);
  }
}
#endif

TEST_F(Emulator, AccumulatedUpdatesOnM4) {
  const ir::Graph graph = testing::small_network(5);
  compile(graph, plan::full(graph), "cortex-m4f", 2);
  expect_proof(brief(5));
}

TEST_F(Emulator, AnArenaThatTheFirmwareGives) {
  const ir::Graph graph = testing::small_network(5);
  compile(graph, *plan::bias_only(graph, 3), "cortex-m0plus", 1, kPlainKernels,
          compiler::Element::kInt8, true);
  expect_proof(brief(1));
}

// Flash lies elsewhere on each board.
TEST_F(Emulator, ChannelsThatTakeTurnsOnEveryBoard) {
  const ir::Graph graph = testing::small_network(5);
  plan::UpdatePlan plan = *plan::bias_only(graph, static_cast<int>(ir::conv_ops(graph).size()));
  for (int conv = 0; conv < plan.bias_depth; ++conv) {
    const plan::WeightUpdate update = plan::make_weight_update(graph, conv, 0.5);
    if (!update.channels.empty()) plan.weights.push_back(update);
  }
  plan::add_rotation(plan, graph);
  for (const char* target : {"cortex-m0plus", "cortex-m33", "cortex-m55"}) {
    SCOPED_TRACE(target);
    compile(graph, plan, target, 1, kPlainKernels,
            target == std::string("cortex-m33") ? compiler::Element::kFloat32
                                                : compiler::Element::kInt8);
    expect_proof(brief(3));
  }
}

// The kernels take most of a step, and no more than all of it.
TEST_F(Emulator, CountsInstructionsByKernel) {
  const ir::Graph graph = testing::small_network(3);
  compile(graph, plan::head_only(graph), "cortex-m7");
  CheckOptions options = brief(1);
  options.nodes = false;
  options.kernel_instructions = true;
  const Result<CheckReport> report = check(folder(), options);
  ASSERT_TRUE(report.ok()) << report.error().message();
  EXPECT_TRUE(verdict(*report).ok()) << verdict(*report).error().message();
  double all = 0;
  bool convolution = false;
  for (const KernelCycles& kernel : report->kernels) {
    EXPECT_GT(kernel.instructions, 10) << kernel.name;
    EXPECT_EQ(kernel.cycles, 0);
    if (kernel.macs) {
      EXPECT_GT(kernel.instructions, *kernel.macs / 2) << kernel.name;
      convolution = true;
    }
    all += kernel.instructions;
  }
  EXPECT_TRUE(convolution);
  EXPECT_GT(all, 0.8 * report->instructions_per_step);
  EXPECT_LT(all, 1.01 * report->instructions_per_step);  // calls are compiled otherwise
}

// GNU dialects let the compiler fuse products; the sources forbid it where the processor could.
TEST_F(Emulator, NoDialectFusesProducts) {
  const ir::Graph graph = testing::small_network(5);
  compile(graph, plan::full(graph), "cortex-m7");
  const std::string here = "cd " + folder().string() + " && ";
  const std::string build =
      "arm-none-eabi-gcc -mthumb -mcpu=cortex-m7 -mfpu=fpv5-sp-d16 -mfloat-abi=hard "
      "-O1 -fexpensive-optimizations -c ";  // the least that fuses
  const std::string fused = " && arm-none-eabi-objdump -d x.o | grep -Eq 'vfm|vfnm'";
  std::ofstream(folder() / "control.c")
      << "float f(float a, float b, float c) { return a * b + c; }\n";
  ASSERT_EQ(std::system((here + build + "-std=gnu11 control.c -o x.o" + fused).c_str()), 0);
#ifdef ESPALIER_SLOW_TESTS
  const char* dialects[] = {"gnu11", "c99"};
#else
  const char* dialects[] = {"gnu11"};  // which fuses unless told
#endif
  for (const char* dialect : dialects) {
    const std::string source = std::string("-std=") + dialect + " " + graph.name + ".c -o x.o";
    ASSERT_EQ(std::system((here + build + source).c_str()), 0);
    EXPECT_NE(std::system((here + "true" + fused).c_str()), 0) << dialect;
  }
}

// A fault of the program is the program's, and told.
TEST_F(Emulator, FaultsAndDifferencesAreFound) {
  const ir::Graph graph = testing::small_network(3);
  compile(graph, plan::full(graph), "cortex-m7");
  const std::filesystem::path source = folder() / (graph.name + ".c");
  const std::string text = *read_file(source);
  const auto with = [&](const std::string& line) {
    std::string changed = text;
    const std::size_t at = changed.find("run_forward();\n  run_backward(");
    ASSERT_NE(at, std::string::npos);
    changed.insert(at, line);
    ASSERT_TRUE(write_file_atomic(source, changed).ok());
  };
  with("\n#ifdef __arm__\n  *(volatile int*)0xF0000000u = 1;\n#endif\n  ");
  Result<CheckReport> report = check(folder(), brief(1));
  ASSERT_TRUE(report.ok()) << report.error().message();
  EXPECT_THAT(report->failure, HasSubstr("on the emulated part: a fault"));
  with("\n#ifdef __arm__\n  random_input()[0] ^= 64;\n#endif\n  ");
  report = check(folder(), brief(1));
  ASSERT_TRUE(report.ok()) << report.error().message();
  EXPECT_THAT(report->mismatch, HasSubstr("the emulated part"));
}

// What start-up code copies to SRAM is written there, too.
TEST_F(Emulator, CountsInitialData) {
  const ir::Graph graph = testing::small_network(3);
  compile(graph, plan::head_only(graph), "cortex-m4f");
  const std::filesystem::path source = folder() / (graph.name + ".c");
  std::string text = *read_file(source);
  const std::string reset = "void random_reset(void) {\n";
  const std::size_t at = text.find(reset);
  ASSERT_NE(at, std::string::npos);
  text.replace(at, reset.size(),
               "static volatile uint32_t beside[16] = {1, 2, 3};\n\n" + reset + "  ++beside[5];\n");
  ASSERT_TRUE(write_file_atomic(source, text).ok());
  const Result<CheckReport> report = check(folder(), brief(1));
  ASSERT_TRUE(report.ok()) << report.error().message();
  ASSERT_FALSE(verdict(*report).ok());
  EXPECT_THAT(verdict(*report).error().message(), HasSubstr("64 more than promised"));
}

TEST_F(Emulator, RefusesDevicesThatAreNotMeant) {
  const ir::Graph graph = testing::small_network(3);
  compile(graph, plan::full(graph), "cortex-m7");
  CheckOptions options;
  options.device_named = true;  // the simulated RISC-V core
  Result<CheckReport> report = check(folder(), options);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().kind, ErrorKind::kInfeasible);
  EXPECT_THAT(report.error().message(), HasSubstr("compile it with another --target"));
  options.device.isa = "armv7e-m+fp";  // of an M4
  report = check(folder(), options);
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(report.error().message(), HasSubstr("instructions begin with 'armv7e-m+fpv5'"));
  options.device.isa = "armv7e-m+fp.dp";
  options.device.sram = Bytes{4096};
  report = check(folder(), options);
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(report.error().message(), HasSubstr("exceed 4096 bytes"));
}

}  // namespace
}  // namespace espalier::device
