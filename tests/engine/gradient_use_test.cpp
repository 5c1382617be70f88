// What is said of integer gradients' ranges, where exponents make the answer known.
#include "espalier/engine/gradient_use.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "espalier/compiler/narrow.hpp"
#include "runtime/espalier_integer_types.h"
#include "testing/random_graph.hpp"
#include "testing/random_plan.hpp"

namespace espalier::engine {
namespace {

// One step with all exponents of gradients of maps at `exponent`.
std::vector<GradientUse> watched_step(const compiler::Program& program, const ir::Graph& graph,
                                      std::uint64_t seed, int exponent) {
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
  engine.watch([&](int node) { watch.look(engine, node); });
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

INSTANTIATE_TEST_SUITE_P(Seeds, GradientUses, ::testing::Range<std::uint64_t>(0, 12));

TEST(GradientUses, OfFloatsThereAreNone) {
  const ir::Graph graph = testing::small_network(1);
  const Result<compiler::Program> program = compiler::compile(graph, *plan::bias_only(graph, 2));
  ASSERT_TRUE(program.ok());
  EXPECT_TRUE(GradientWatch(*program).found().empty());
}

}  // namespace
}  // namespace espalier::engine
