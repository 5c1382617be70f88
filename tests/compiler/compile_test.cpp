#include "espalier/compiler/compile.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "espalier/compiler/memory_validator.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/plan/published.hpp"
#include "testing/npy.hpp"
#include "testing/published_plans.hpp"
#include "testing/random_graph.hpp"
#include "testing/random_plan.hpp"

namespace espalier::compiler {
namespace {

using ::testing::HasSubstr;

TEST(Compile, SramIsArenaAndState) {
  const ir::Graph graph = testing::small_network(2);
  const Program program = *compile(graph, plan::full(graph));
  std::int64_t items = kControlBytes;
  for (const StateItem& item : program.state.items) items += (item.bytes() + 3) / 4 * 4;
  EXPECT_EQ(program.state.bytes, items);
  EXPECT_EQ(program.sram_bytes().count, program.arena_bytes().count + items);
  EXPECT_EQ(program.arena_bytes().count % 4, 0);
}

// The search and the compiler must mean the same number.
TEST(PlannedMemory, EqualsWhatCompileReserves) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const ir::Graph graph = testing::random_network(seed);
    Rng rng{seed, 2};
    const plan::UpdatePlan plan = testing::random_plan(graph, rng);
    const int accumulate = seed % 3 == 0 ? 8 : 1;
    CompileOptions options;
    options.accumulate = accumulate;
    options.gradient = seed % 2 == 0 ? Element::kFloat32 : Element::kInt8;
    const Program program = *compile(graph, plan, options);
    const PlannedMemory memory = *planned_memory(graph, plan, accumulate, options.gradient);
    EXPECT_EQ(memory.arena, program.arena_bytes());
    EXPECT_EQ(memory.total(), program.sram_bytes());
  }
}

TEST(Compile, NoTwoLiveValuesShareMemory) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const ir::Graph graph = testing::random_network(seed);
    Rng rng{seed, 5};
    CompileOptions options;
    options.gradient = seed % 2 == 0 ? Element::kInt16 : Element::kFloat32;
    const Program program = *compile(graph, testing::random_plan(graph, rng), options);
    EXPECT_TRUE(validate(program.arena.problem, program.placement).ok()) << seed;
    EXPECT_GE(program.placement.peak, program.placement.lower_bound);
  }
}

TEST(Compile, RefusesExtentsBeyondDescriptors) {
  testing::GraphBuilder b(1, {1, 40000, 1});
  const ir::TensorId x = b.conv(b.input(), 1, testing::window(1, 1, 0));
  const ir::Graph graph = b.finish(b.global_pool(x), 2);
  const auto refused = compile(graph, plan::full(graph));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(refused.error().message(), HasSubstr("too large for the device"));
}

TEST(Compile, NamesWhatIsAliveAtThePeak) {
  const ir::Graph graph = testing::small_network(2);
  const Program program = *compile(graph, plan::full(graph));
  const std::vector<std::string> lines = alive_at_peak(program);
  ASSERT_GE(lines.size(), 2U);
  EXPECT_THAT(lines[0], HasSubstr("at step "));
  std::int64_t sum = 0;
  for (std::size_t i = 1; i < lines.size(); ++i) sum += (std::stoll(lines[i]) + 3) / 4 * 4;
  EXPECT_EQ(sum, program.placement.lower_bound);
}

// The published plans of about 100 KB must train within 256 KiB of SRAM, and each stage of the
// method must save about what the paper says it saves.
class PublishedNetworks : public ::testing::TestWithParam<const char*> {};

TEST_P(PublishedNetworks, TrainWithin256KiB) {
  ESPALIER_SHARED_DATA_OR_SKIP(shared);
  Result<ir::Graph> imported =
      import_model(shared / "models" / (std::string(GetParam()) + ".onnx"));
  ASSERT_TRUE(imported.ok());
  ir::Graph graph = std::move(imported).value();
  graph.head.classes = 10;
  graph.head.weights.assign(static_cast<std::size_t>(graph.head.features) * 10, 0.0F);
  graph.head.bias.assign(10, 0.0F);
  const plan::UpdatePlan plan = *plan::from_published(graph, testing::published_plan(GetParam()));
  const auto sram = [&](const plan::UpdatePlan& trained, PassSet set) {
    CompileOptions options;
    options.passes = set;
    return static_cast<double>(compile(graph, trained, options)->sram_bytes().count);
  };
  const std::string_view pruning[] = {"prune", "slice"};
  const double full = sram(plan::full(graph), 0);
  const double pruned = sram(plan, *only(pruning));
  const double all = sram(plan, kAllPasses);
  EXPECT_LE(all, 262144);
  EXPECT_GT(full / pruned, 6);
  EXPECT_GT(pruned / all, 2.0);
  EXPECT_GT(full / all, 15);
}

INSTANTIATE_TEST_SUITE_P(Hundred, PublishedNetworks,
                         ::testing::Values("mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3"));

}  // namespace
}  // namespace espalier::compiler
