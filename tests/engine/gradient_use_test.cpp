// What is said of integer gradients' ranges, where exponents make the answer known.
#include "espalier/engine/gradient_use.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "espalier/compiler/narrow.hpp"
#include "runtime/espalier_integer.h"
#include "testing/random_graph.hpp"
#include "testing/random_plan.hpp"

namespace espalier::engine {
namespace {

// One step with all exponents of gradients of maps at `exponent`. `also` is called behind each
// node.
std::vector<GradientUse> watched_step(const compiler::Program& program, const ir::Graph& graph,
                                      std::uint64_t seed, int exponent,
                                      const std::function<void(Engine&, int)>& also = nullptr) {
  Engine engine(program, {});
  GradientWatch watch(program);
  Rng rng{seed, 31};
  const std::vector<std::int8_t> input = testing::random_int8(
      rng, static_cast<std::size_t>(graph.tensor(graph.input).shape.elements()));
  std::copy(input.begin(), input.end(), engine.input());
  const esp_q_range range{static_cast<std::int16_t>(exponent), 0};
  for (int r = compiler::kFirstAdaptive; r < program.graph.gradient_ranges; ++r) {
    std::memcpy(engine.item(compiler::StateRole::kRanges, -1).data() +
                    sizeof range * static_cast<std::size_t>(r),
                &range, sizeof range);
  }
  engine.watch([&](int node) {
    watch.look(engine, node);
    if (also) also(engine, node);
  });
  engine.train_step(0);
  return watch.found();
}

class GradientUses : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(GradientUses, TellZerosFromWhatIsCutOff) {
  const ir::Graph graph = testing::small_network(GetParam());
  const auto convs = static_cast<int>(ir::conv_ops(graph).size());
  const plan::UpdatePlan plan = *plan::bias_only(graph, convs);
  compiler::CompileOptions options;
  options.gradient = GetParam() % 2 == 0 ? compiler::Element::kInt8 : compiler::Element::kInt16;
  if (GetParam() % 3 == 0) options.passes = 0;  // masks of bytes
  const Result<compiler::Program> program = compiler::compile(graph, plan, options);
  ASSERT_TRUE(program.ok()) << program.error().message();
  const auto coarse = watched_step(*program, graph, GetParam(), 90);
  const auto fine = watched_step(*program, graph, GetParam(), -90);
  ASSERT_EQ(coarse.size(), static_cast<std::size_t>(convs));
  ASSERT_EQ(fine.size(), coarse.size());
  for (std::size_t k = 0; k < coarse.size(); ++k) {
    EXPECT_EQ(coarse[k].conv, static_cast<int>(k));
    EXPECT_EQ(coarse[k].exponent, 90);
    EXPECT_GT(coarse[k].elements, 0);
    EXPECT_EQ(coarse[k].zero, coarse[k].elements);
    EXPECT_EQ(coarse[k].saturated, 0);
    EXPECT_EQ(fine[k].elements, coarse[k].elements);
  }
  // The gradient of the last convolution comes from the head, far above such a range; those before
  // it come from gradients of the same one.
  EXPECT_GT(fine.back().saturated, 0);
  EXPECT_EQ(fine.back().zero + fine.back().saturated, fine.back().elements);
}

// Elements of scaled gradients, one after the other: those that the masks let pass, and zeros.
TEST_P(GradientUses, CountWhatThereIs) {
  const ir::Graph graph = testing::random_network(GetParam());
  const plan::UpdatePlan plan =
      *plan::bias_only(graph, static_cast<int>(ir::conv_ops(graph).size()));
  compiler::CompileOptions options;
  options.gradient = compiler::Element::kInt8;
  if (GetParam() % 3 == 0) options.passes = 0;  // masks of bytes
  const Result<compiler::Program> program = compiler::compile(graph, plan, options);
  ASSERT_TRUE(program.ok()) << program.error().message();
  std::int64_t elements = 0;
  std::int64_t zero = 0;
  const auto count = [&](Engine& engine, int at) {
    const compiler::Node& node = program->graph.nodes[static_cast<std::size_t>(at)];
    if (node.outputs[0] < 0) return;
    const compiler::Value& made = program->graph.value(node.outputs[0]);
    if (made.role != compiler::Role::kScaledGradient || made.range < compiler::kFirstAdaptive) {
      return;
    }
    const bool alone = node.kind == compiler::NodeKind::kMaskScale;
    const compiler::ValueId masked = node.inputs[alone ? 1 : 2];
    const auto* mask = reinterpret_cast<const std::uint8_t*>(engine.activation(masked));
    const int bits = program->graph.value(masked).element == compiler::Element::kBitMask ? 1 : 0;
    for (std::int32_t i = 0; i < made.elements; ++i) {
      if (esp_get_mask(mask, i, bits) == 0) continue;
      ++elements;
      if (engine.activation(node.outputs[0])[i] == 0) ++zero;
    }
  };
  for (const int exponent : {0, 3, 6}) {
    elements = zero = 0;
    const auto uses = watched_step(*program, graph, GetParam(), exponent, count);
    std::int64_t all = 0;
    std::int64_t of_nothing = 0;
    for (const GradientUse& use : uses) {
      all += use.elements;
      of_nothing += use.zero;
    }
    EXPECT_EQ(all, elements);
    EXPECT_EQ(of_nothing, zero);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, GradientUses, ::testing::Range<std::uint64_t>(0, 12));

TEST(GradientUses, OfFloatsThereAreNone) {
  const ir::Graph graph = testing::small_network(1);
  const Result<compiler::Program> program = compiler::compile(graph, *plan::bias_only(graph, 2));
  ASSERT_TRUE(program.ok());
  EXPECT_TRUE(GradientWatch(*program).found().empty());
}

}  // namespace
}  // namespace espalier::engine
