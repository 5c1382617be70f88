// The example for a board without a library: built as its README says, run in an emulator, and held
// line by line against the same program on the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "emitted.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/data/preprocess.hpp"
#include "espalier/ir/input.hpp"
#include "espalier/support/file.hpp"
#include "espalier/support/folder.hpp"
#include "espalier/train/session.hpp"
#include "testing/embedded.hpp"
#include "testing/quick_compiler.hpp"

namespace espalier::codegen {
namespace {

namespace fs = std::filesystem;
using testing::run_command;
using testing::TemporaryFolder;

// What `espalier compile` of the README writes.
std::map<std::string, std::string> model() {
  ir::Graph graph = testing::embedded();
  graph.head = train::fresh_head(graph.head.features, 2, 0);
  plan::UpdatePlan plan = *plan::bias_only(graph, 3);
  const auto convs = static_cast<int>(ir::conv_ops(graph).size());
  for (int conv = convs - 3; conv < convs; ++conv) {
    plan.weights.push_back(plan::make_weight_update(graph, conv, 1.0));
  }
  const ir::Shape& shape = graph.tensor(graph.input).shape;
  const ir::Quantization quantization = ir::file_input_quantization(graph);
  const data::InputPipeline pipeline = *data::make_pipeline(
      {}, shape.height, shape.width, shape.channels, quantization.scale, quantization.zero_point);
  EmitOptions options;
  options.name = "model";
  options.target = target_named("cortex-m4f");
#ifndef ESPALIER_SLOW_TESTS
  options.target.overlays.clear();
#endif
  options.learning_rate = 0.5F;
  options.stochastic = true;
  options.replay_bytes = 16384;
  options.pixels = {pipeline.table(0)};
  const compiler::Program program = *compiler::compile(graph, plan);
  return emit(program, plan, options);
}

std::string output_of(const fs::path& folder, const std::string& command) {
  std::string output;
  EXPECT_EQ(run_command("cd " + folder.string() + " && " + command, output), 0) << output;
  std::erase(output, '\r');
  return output;
}

// What main.c prints on the host.
std::string host_output(const fs::path& folder, const std::string& compiler) {
  return output_of(folder,
                   compiler +
                       " -std=c99 -Og -ffp-contract=off -Wall -Wextra -Werror -I. -Imodel "
                       "main.c host.c model/model.c model/model_params.c -o host && ./host");
}

#ifndef ESPALIER_SLOW_TESTS
// Fewer pictures, which the emulator takes its time for: not enough to know them all.
void shorten(const fs::path& source) {
  std::string text = *read_file(source);
  const std::string counts = "EACH = 12, NEW = 20";
  ASSERT_NE(text.find(counts), std::string::npos);
  text.replace(text.find(counts), counts.size(), "EACH = 2, NEW = 2");
  ASSERT_TRUE(write_file_atomic(source, text).ok());
}
#endif

TEST(Example, BoardLearnsWhatTheHostDoes) {
  if (std::system("command -v qemu-system-arm arm-none-eabi-gcc >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "needs qemu-system-arm and arm-none-eabi-gcc; tools/setup.sh installs them";
  }
  const TemporaryFolder temporary;
  const fs::path folder = temporary.path() / "board";
  fs::copy(ESPALIER_EXAMPLES "/stm32f405", folder);
  ASSERT_TRUE(write_folder(folder / "model", model(), true).ok());
  std::ofstream(folder / "host.c") << "#include <stdio.h>\n#include \"board.h\"\n"
                                      "void board_start(void) {}\n"
                                      "void board_put(char c) { putchar(c); }\n"
                                      "void board_stop(void) {}\n";
  std::string host = host_output(folder, "cc");
  EXPECT_THAT(host, ::testing::EndsWith("\n20 of 20 new pictures known\n"));
#ifndef ESPALIER_SLOW_TESTS
  ASSERT_NO_FATAL_FAILURE(shorten(folder / "main.c"));
  host = host_output(folder, testing::quick_compiler("cc"));
#endif
  const std::string board = output_of(folder, "timeout 100 make -s run OPTIMISE=-Og");
  EXPECT_EQ(board, host);
#ifdef ESPALIER_SLOW_TESTS
  output_of(folder, "make -s");  // for the part itself
#endif
}

}  // namespace
}  // namespace espalier::codegen
