// Training in device numerics from a cached prefix, which the host's fast kernels compute, against
// the engine that computes everything as the emitted C does.
#include "espalier/engine/device_trainer.hpp"

#include <gtest/gtest.h>

#include "testing/random_graph.hpp"
#include "testing/random_inputs.hpp"
#include "testing/random_plan.hpp"

namespace espalier::engine {
namespace {

constexpr int kSamples = 5;

// Parameters and losses after training every sample in the recipe's order, from the input.
struct Expected {
  ir::Graph tuned;
  double loss = 0;
};

Expected train_from_input(const compiler::Program& program, const testing::RandomInputs& data,
                          const train::Recipe& recipe, const EngineOptions& options) {
  Engine engine(program, options);
  Expected expected;
  const std::int64_t steps = kSamples * recipe.epochs / recipe.batch;
  std::int64_t sample = 0;
  for (int epoch = 0; epoch < recipe.epochs; ++epoch) {
    const bool head_alone = epoch < recipe.head_epochs;
    bool waits = epoch > recipe.head_epochs;  // for its turn, which ends an update
    expected.loss = 0;
    for (const std::uint32_t i : train::epoch_order(recipe, epoch, kSamples)) {
      if (waits && sample % recipe.batch == 0) waits = !engine.next_turn();
      const float rate = train::learning_rate_at(
          recipe, std::min<std::int64_t>(sample++ / recipe.batch, steps - 1), steps,
          kSamples / recipe.batch);
      engine.set_learning_rate(rate * 256.0F / static_cast<float>(recipe.batch));
      std::copy(data.inputs[i].begin(), data.inputs[i].end(), engine.input());
      const int label = data.labels[i];
      expected.loss +=
          static_cast<double>(head_alone ? engine.train_head(label) : engine.train_step(label));
    }
  }
  expected.loss /= kSamples;
  expected.tuned = engine.tuned_graph();
  return expected;
}

class CachedPrefix : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(CachedPrefix, OfAnyLengthTrainsAsTheEmittedCDoes) {
  const ir::Graph graph = testing::random_network(GetParam());
  Rng rng{GetParam(), 8};
  plan::UpdatePlan plan = testing::random_plan(graph, rng);
  const bool turns = GetParam() % 2 == 0;
  if (turns) plan = testing::with_random_turns(plan, graph, rng);
  compiler::CompileOptions compile;
  compile.accumulate = GetParam() % 3 == 0 ? 2 : 1;
  compile.fed = GetParam() % 5 == 1;
  Result<compiler::Program> program = compiler::compile(graph, plan, compile);
  if (!program.ok() && compile.fed) {
    compile.fed = false;  // not every network's input can come by rows
    program = compiler::compile(graph, plan, compile);
  }
  ASSERT_TRUE(program.ok()) << program.error().message();
  train::Recipe recipe;
  recipe.head_epochs = GetParam() % 7 < 3 ? 1 : 0;
  recipe.epochs = recipe.head_epochs + (turns ? 3 : 1);
  recipe.batch = compile.accumulate;
  recipe.warmup_epochs = GetParam() % 4 == 0 ? 0.5 : 0;
  recipe.schedule = GetParam() % 4 < 2 ? train::Schedule::kPublished : train::Schedule::kStandard;
  recipe.learning_rate = 0.3;
  recipe.clip = GetParam() % 3 == 1 ? 2 : 0;
  const EngineOptions options{.stochastic = GetParam() % 2 == 0, .seed = 5, .clip = recipe.clip};
  const testing::RandomInputs data(graph, kSamples, GetParam());
  const Expected expected = train_from_input(*program, data, recipe, options);
  const train::Network network(graph);
  const auto inputs = data.store(network);
  const int deepest = compile.fed ? 0 : plan::training_cut(plan, graph);
  for (int cut = 0; cut <= deepest; ++cut) {
    SCOPED_TRACE(cut);
    const auto store = inputs->advance(network, cut, 1);
    Engine engine(*program, options);
    const Result<train::TrainResult> result =
        train(engine, *program, network, plan, *store, *store, recipe, {});
    ASSERT_TRUE(result.ok()) << result.error().message();
    ASSERT_EQ(result->epochs.back().train.loss, expected.loss);
    const ir::Graph tuned = engine.tuned_graph();
    ASSERT_EQ(tuned.head.weights, expected.tuned.head.weights);
    for (const int op : ir::conv_ops(graph)) {
      ASSERT_EQ(ir::conv(tuned, op).weights, ir::conv(expected.tuned, op).weights);
      ASSERT_EQ(ir::conv(tuned, op).bias, ir::conv(expected.tuned, op).bias);
    }
  }
}

// What firmware does with samples whose classes come in turn, and with a replay memory: every
// sample from the input, then steps from the memory.
struct Streamed {
  ir::Graph tuned;
  std::vector<int> kept;
  int turns = 0;
  std::int64_t steps = 0;
};

Streamed stream_from_input(const compiler::Program& program, const testing::RandomInputs& data,
                           const train::Recipe& recipe, const EngineOptions& options,
                           const Stream& stream) {
  Engine engine(program, options);
  Replay replay(program, stream.replay_bytes, static_cast<std::uint32_t>(recipe.seed));
  const int classes = program.graph.forward->head.classes;
  const std::int64_t epoch = std::max(1, kSamples * (1 + stream.replays) / recipe.batch);
  const std::int64_t steps =
      std::max(1, kSamples * (1 + stream.replays) * recipe.epochs / recipe.batch);
  Streamed result;
  const auto pace = [&] {
    const float rate = train::learning_rate_at(
        recipe, std::min(result.steps++ / recipe.batch, steps - 1), steps, epoch);
    engine.set_learning_rate(rate * 256.0F / static_cast<float>(recipe.batch));
  };
  for (int first = 0; first < classes; first += stream.classes_in_turn) {
    bool any = false;
    for (int e = 0; e < recipe.epochs; ++e) {
      for (const std::uint32_t i : train::epoch_order(recipe, e, kSamples)) {
        const int label = data.labels[i];
        if (label / stream.classes_in_turn != first / stream.classes_in_turn) continue;
        any = true;
        std::copy(data.inputs[i].begin(), data.inputs[i].end(), engine.input());
        pace();
        replay.train_step_kept(engine, label);
        for (int k = 0; k < stream.replays; ++k) {
          pace();
          replay.train_replay(engine);
        }
      }
    }
    result.turns += any ? 1 : 0;
  }
  result.kept = replay.kept();
  result.tuned = engine.tuned_graph();
  return result;
}

TEST_P(CachedPrefix, ClassesInTurnAndAReplayMemoryTrainAsFirmwareDoes) {
  if (GetParam() % 3 != 0) return;
  const ir::Graph graph = testing::random_network(GetParam());
  Rng rng{GetParam(), 8};
  const plan::UpdatePlan plan = testing::random_plan(graph, rng);
  compiler::CompileOptions compile;
  compile.accumulate = 1 + static_cast<int>(GetParam() / 3 % 2);
  const compiler::Program program = *compiler::compile(graph, plan, compile);
  train::Recipe recipe;
  recipe.epochs = 2;
  recipe.batch = compile.accumulate;
  recipe.learning_rate = 0.3;
  recipe.seed = GetParam();
  Stream stream;
  stream.classes_in_turn = 1 + static_cast<int>(GetParam() / 3 % 2);
  stream.replays = 1 + static_cast<int>(GetParam() / 6 % 2);
  const std::int64_t latent = codegen::replay_layout(program, 0).latent_bytes;
  stream.replay_bytes = codegen::replay_layout(program, 0).bytes + 3 * (latent + 8);
  const EngineOptions options{true, 5};
  const testing::RandomInputs data(graph, kSamples, GetParam());
  const Streamed expected = stream_from_input(program, data, recipe, options, stream);
  const train::Network network(graph);
  const auto store = data.store(network)->advance(network, plan::training_cut(plan, graph), 1);
  Engine engine(program, options);
  const Result<train::TrainResult> result =
      train(engine, program, network, plan, *store, *store, recipe, {}, nullptr, stream);
  ASSERT_TRUE(result.ok()) << result.error().message();
  EXPECT_EQ(result->kept, expected.kept);
  EXPECT_EQ(static_cast<int>(result->turns.size()), expected.turns);
  EXPECT_EQ(static_cast<int>(result->epochs.size()), 2 * expected.turns);
  EXPECT_EQ(result->images, expected.steps);
  const ir::Graph tuned = engine.tuned_graph();
  EXPECT_EQ(tuned.head.weights, expected.tuned.head.weights);
  for (const int op : ir::conv_ops(graph)) {
    EXPECT_EQ(ir::conv(tuned, op).weights, ir::conv(expected.tuned, op).weights);
  }
}

// Of updates that take two epochs: one turn each, as for firmware that asks behind every epoch.
TEST(DeviceTrainer, LeavesNoTurnOutWhereAnUpdateTakesEpochs) {
  const ir::Graph graph = testing::random_network(3000);
  const auto convs = static_cast<int>(ir::conv_ops(graph).size());
  plan::UpdatePlan plan = *plan::bias_only(graph, convs);
  for (int conv = 0; conv < convs; ++conv) {
    plan::WeightUpdate update = plan::make_weight_update(graph, conv, 0.25);
    if (!update.channels.empty()) plan.weights.push_back(update);
  }
  plan::add_rotation(plan, graph);
  ASSERT_TRUE(plan::rotates(plan));
  compiler::CompileOptions compile;
  compile.accumulate = 2 * kSamples;
  const Result<compiler::Program> program = compiler::compile(graph, plan, compile);
  ASSERT_TRUE(program.ok()) << program.error().message();
  const train::Recipe recipe{.epochs = 6, .batch = compile.accumulate, .warmup_epochs = 0};
  const testing::RandomInputs data(graph, kSamples, 1);
  const train::Network network(graph);
  const auto store = data.store(network);
  Engine engine(*program, {});
  ASSERT_TRUE(train(engine, *program, network, plan, *store, *store, recipe, {}).ok());
  EXPECT_EQ(engine.turn(), 2);
}

INSTANTIATE_TEST_SUITE_P(Seeds, CachedPrefix, ::testing::Range<std::uint64_t>(3000, 3080));

}  // namespace
}  // namespace espalier::engine
