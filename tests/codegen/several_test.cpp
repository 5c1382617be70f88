// Several programs in one file: kernels are there once, and each learns as it does alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "emitted.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/support/folder.hpp"
#include "testing/random_graph.hpp"
#include "testing/random_inputs.hpp"
#include "testing/random_plan.hpp"

namespace espalier::codegen {
namespace {

using testing::EmittedProgram;
using ::testing::HasSubstr;
using testing::run_command;
using testing::TemporaryFolder;
using Files = std::map<std::string, std::string>;

constexpr std::uint64_t kSeeds[] = {1, 4};

ir::Graph network(std::uint64_t seed) { return testing::random_network(seed); }

Files program(const std::string& name, std::uint64_t seed, const std::string& overlay = "",
              compiler::Element gradient = compiler::Element::kInt8) {
  const ir::Graph graph = network(seed);
  compiler::CompileOptions compile;
  compile.gradient = gradient;
  EmitOptions options;
  options.name = name;
  options.learning_rate = 10.0F;
  options.stochastic = true;
  options.target.overlays.clear();
  if (!overlay.empty()) options.target.overlays = {overlay};
  const plan::UpdatePlan plan = plan::full(graph);
  return emit(*compiler::compile(graph, plan, compile), plan, options);
}

// One file that holds both, and one for their constants.
Files joined(const Files& a, const Files& b) {
  Files files = a;
  files.insert(b.begin(), b.end());
  files["both.c"] = "#include \"door.c\"\n#include \"kitchen.c\"\n";
  files["both_params.c"] = "#include \"door_params.c\"\n";
  return files;
}

// What a program with this name does in a few steps.
std::vector<float> trained(EmittedProgram& emitted, const std::string& name, std::uint64_t seed) {
  emitted.use(name);
  emitted.reset();
  const ir::Graph graph = network(seed);
  std::vector<float> losses;
  for (std::uint64_t i = 0; i < 6; ++i) {
    Rng rng{seed, 50 + i};
    const auto input = testing::random_int8(
        rng, static_cast<std::size_t>(graph.tensor(graph.input).shape.elements()));
    losses.push_back(emitted.train_step(input, static_cast<int>(i) % graph.head.classes));
  }
  return losses;
}

std::string errors_of(const Files& files) {
  const TemporaryFolder folder;
  EXPECT_TRUE(write_folder(folder.path() / "c", files, false).ok());
  std::string output;
  const int code = run_command(
      "cd " + (folder.path() / "c").string() + " && cc -std=c99 -E both.c -o /dev/null", output);
  EXPECT_EQ(code == 0, output.empty());
  return output;
}

TEST(SeveralPrograms, LearnInOneFileAsEachAlone) {
  for (const std::string overlay : {"", "blocked"}) {
    SCOPED_TRACE(overlay);
    const Files door = program("door", kSeeds[0], overlay);
    const Files kitchen = program("kitchen", kSeeds[1], overlay);
    EmittedProgram both(joined(door, kitchen), "both", "-O0 kitchen_params.c");
    EmittedProgram first(door, "door");
    EmittedProgram second(kitchen, "kitchen");
    EXPECT_EQ(trained(both, "door", kSeeds[0]), trained(first, "door", kSeeds[0]));
    EXPECT_EQ(trained(both, "kitchen", kSeeds[1]), trained(second, "kitchen", kSeeds[1]));
  }
}

TEST(SeveralPrograms, HoldEachKernelOnce) {
  const TemporaryFolder folder;
  const std::string sources = (folder.path() / "c").string();
  ASSERT_TRUE(write_folder(sources,
                           joined(program("door", kSeeds[0]), program("kitchen", kSeeds[1])), false)
                  .ok());
  std::string output;
  ASSERT_EQ(run_command("cd " + sources +
                            " && cc -std=c99 -Wall -Wextra -Werror -pedantic -O0 -c both.c door.c "
                            "kitchen.c && nm both.o | grep -c ' t esp_pointwise_forward' && size "
                            "both.o door.o kitchen.o | awk 'NR > 1 { print $1 }'",
                        output),
            0)
      << output;
  std::istringstream numbers(output);
  int kernels = 0;
  int both = 0;
  int door = 0;
  int kitchen = 0;
  numbers >> kernels >> both >> door >> kitchen;
  EXPECT_EQ(kernels, 1);
  EXPECT_LT(both, door + kitchen - 2000);
}

TEST(SeveralPrograms, OfOtherKernelsAreRefused) {
  const Files door = program("door", kSeeds[0]);
  EXPECT_EQ(errors_of(joined(door, program("kitchen", kSeeds[1]))), "");
  EXPECT_EQ(errors_of(joined(door, program("kitchen", kSeeds[1], "", compiler::Element::kFloat32))),
            "");
  EXPECT_THAT(errors_of(joined(door, program("kitchen", kSeeds[1], "blocked"))),
              HasSubstr("programs of one file need one --target"));
  EXPECT_THAT(errors_of(joined(door, program("kitchen", kSeeds[1], "", compiler::Element::kInt16))),
              HasSubstr("gradients of one --gradient-bits"));
}

}  // namespace
}  // namespace espalier::codegen
