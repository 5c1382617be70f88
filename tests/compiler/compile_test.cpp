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
  EXPECT_FALSE(planned_memory(graph, plan::full(graph)).ok());  // of what cannot be compiled
}

// A stride of 65536 would be one of 0 there, by which kernels divide.
TEST(Compile, RefusesWindowsBeyondDescriptors) {
  const auto refuses = [](const ir::Graph& graph) {
    ASSERT_TRUE(ir::verify(graph).ok());
    const auto refused = compile(graph, plan::full(graph));
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(refused.error().message(), HasSubstr("more than the 32767 of the device"));
    EXPECT_FALSE(planned_memory(graph, plan::full(graph)).ok());
  };
  testing::GraphBuilder b(1, {4, 4, 2});
  ir::TensorId x = b.conv(b.input(), 2, testing::window(3, 1, 1));
  x = b.conv(x, 2, testing::window(3, 65536, 0), 2);
  refuses(b.finish(b.global_pool(x), 2));
  testing::GraphBuilder pooled(1, {4, 4, 2});
  x = pooled.conv(pooled.input(), 2, testing::window(3, 1, 1));
  refuses(pooled.finish(pooled.max_pool(x, testing::window(4, 40000, 0)), 2));
}

// Only what adds up over a map is bounded by int32: biases of it, and what is frozen, are not.
TEST(Compile, RefusesMapsTooLargeForIntegerSumsWhereTheyAreTrained) {
  testing::GraphBuilder b(1, {260, 260, 1});
  ir::TensorId x = b.conv(b.input(), 2, testing::window(3, 1, 1));
  x = b.conv(x, 2, testing::window(3, 1, 1), 2);  // depthwise: its two gradients are one node
  x = b.conv(x, 2, testing::window(3, 8, 1));
  const ir::Graph graph = b.finish(b.global_pool(x), 2);
  CompileOptions options;
  options.gradient = Element::kInt8;
  for (const int depth : {0, 1, 3}) {
    const Result<Program> program = compile(graph, *plan::bias_only(graph, depth), options);
    EXPECT_TRUE(program.ok()) << program.error().message();
  }
  for (const int conv : {0, 1, 2}) {
    plan::UpdatePlan plan = *plan::bias_only(graph, 3);
    plan.weights.push_back(plan::make_weight_update(graph, conv, 1.0));
    options.gradient = Element::kInt8;
    const Result<Program> program = compile(graph, plan, options);
    EXPECT_EQ(program.ok(), conv == 2) << conv;
    if (program.ok()) continue;
    EXPECT_EQ(program.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(program.error().message(), HasSubstr("sums 67600 pixels, more than the 66311"));
    options.gradient = Element::kInt16;
    EXPECT_TRUE(compile(graph, plan, options).ok()) << conv;
  }
  // Without pruning all gradients are computed.
  options.gradient = Element::kInt8;
  options.passes = *without(kAllPasses, "prune");
  EXPECT_FALSE(compile(graph, *plan::bias_only(graph, 1), options).ok());
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

// Masks that are not kept but made again: only as much as must be, and refused where that is not
// enough.
TEST(Compile, RecomputesWhatDoesNotFit) {
  testing::GraphBuilder b(4, {12, 12, 3});
  ir::TensorId x = b.conv(b.input(), 8, testing::window(3, 2, 1));
  for (int block = 0; block < 3; ++block) {
    const ir::TensorId before = x;
    x = b.conv(x, 48, testing::window(1, 1, 0));
    x = b.conv(x, 48, testing::window(3, 1, 1), 48);
    x = b.conv(x, 8, testing::window(1, 1, 0));
    x = b.add(before, x);
  }
  const ir::Graph graph = b.finish(b.global_pool(x), 3);
  const plan::UpdatePlan plan = *plan::bias_only(graph, 9);
  CompileOptions options;
  options.gradient = Element::kInt8;
  const Program whole = *compile(graph, plan, options);
  options.sram = whole.sram_bytes();
  EXPECT_TRUE(compile(graph, plan, options)->recomputed.empty());
  options.sram = Bytes{whole.sram_bytes().count - 250};
  const Result<Program> smaller = compile(graph, plan, options);
  ASSERT_TRUE(smaller.ok()) << smaller.error().message();
  EXPECT_LE(smaller->sram_bytes(), *options.sram);
  ASSERT_FALSE(smaller->recomputed.empty());
  EXPECT_GT(macs(graph, smaller->recomputed.front()), 0);
  EXPECT_EQ(smaller->state.bytes, whole.state.bytes);
  EXPECT_THAT(to_text(smaller->graph), HasSubstr(":again mask1["));
  options.sram = Bytes{whole.state.bytes + 1000};
  const Result<Program> none = compile(graph, plan, options);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().kind, ErrorKind::kInfeasible);
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
