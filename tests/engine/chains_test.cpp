// Running row by row changes no bit: with and without chains, the input resident and by rows.
#include <gtest/gtest.h>

#include "espalier/engine/engine.hpp"
#include "testing/random_graph.hpp"
#include "testing/random_plan.hpp"

namespace espalier::engine {
namespace {

constexpr int kSamples = 3;

struct Trained {
  std::vector<float> losses;
  std::vector<std::byte> state;
};

Trained train(const compiler::Program& program, std::uint64_t seed, bool plain) {
  const ir::Graph& graph = *program.graph.forward;
  const auto size = static_cast<std::size_t>(graph.tensor(graph.input).shape.elements());
  const int clip = seed % 3 == 0 ? 2 : 0;
  Engine engine(program, {true, 3, 5.0F, clip, plain});
  // What a step leaves behind must not matter to the next.
  std::fill(engine.arena().begin(), engine.arena().end(), 1e9F);
  Trained trained;
  Rng rng{seed, 11};
  for (int i = 0; i < kSamples; ++i) {
    const std::vector<std::int8_t> input = testing::random_int8(rng, size);
    std::copy(input.begin(), input.end(), engine.input());
    trained.losses.push_back(engine.train_step(i % graph.head.classes));
  }
  trained.state.assign(engine.state().begin(), engine.state().end());
  return trained;
}

class Chained : public ::testing::TestWithParam<int> {};

TEST_P(Chained, TrainsToTheSameBits) {
  const auto seed = static_cast<std::uint64_t>(GetParam());
  const ir::Graph graph = testing::random_tower(seed);
  Rng rng{seed, 5};
  const plan::UpdatePlan plan =
      seed % 4 == 0 ? plan::head_only(graph) : testing::random_plan(graph, rng);
  compiler::CompileOptions options;
  options.gradient = seed % 2 == 0 ? compiler::Element::kFloat32 : compiler::Element::kInt8;
  options.passes = *compiler::without(compiler::kAllPasses, "stream");
  const Trained expected = train(*compiler::compile(graph, plan, options), seed, true);
  options.passes = compiler::kAllPasses;
  for (const bool fed : {false, true}) {
    options.fed = fed;
    const Result<compiler::Program> program = compiler::compile(graph, plan, options);
    if (fed && !program.ok()) continue;  // see below how many those may be
    ASSERT_TRUE(program.ok()) << program.error().message();
    const Trained trained = train(*program, seed, fed);
    EXPECT_EQ(trained.losses, expected.losses) << "fed " << fed;
    EXPECT_EQ(trained.state, expected.state) << "fed " << fed;
  }
}

// But for trained first weights, and masks with rows of odd bits, inputs can come by rows.
TEST(Chained, MostInputsCanComeByRows) {
  int refused = 0;
  compiler::CompileOptions options;
  options.fed = true;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const ir::Graph graph = testing::random_tower(seed);
    Rng rng{seed, 5};
    const plan::UpdatePlan plan = testing::random_plan(graph, rng);
    if (!compiler::compile(graph, plan, options).ok()) ++refused;
    EXPECT_TRUE(compiler::compile(graph, plan::head_only(graph), options).ok()) << seed;
  }
  EXPECT_LT(refused, 20);
}

#ifdef ESPALIER_SLOW_TESTS
INSTANTIATE_TEST_SUITE_P(Seeds, Chained, ::testing::Range(100, 2200));
#else
INSTANTIATE_TEST_SUITE_P(Seeds, Chained, ::testing::Range(0, 30));
#endif

}  // namespace
}  // namespace espalier::engine
