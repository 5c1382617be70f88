#include "espalier/train/trainer.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "espalier/support/interrupt.hpp"
#include "testing/random_graph.hpp"

namespace espalier::train {
namespace {

using espalier::testing::small_network;

// Images whose class shows in their brightness per channel, plus noise.
data::Samples toy_samples(const ir::Graph& graph, std::int64_t count, std::uint64_t seed) {
  const ir::Tensor& input = graph.tensor(graph.input);
  Rng rng{seed, 21};
  data::Dataset dataset;
  dataset.classes = 4;
  dataset.spec = "toy";
  dataset.sha256 = "toy";
  dataset.class_names = {"0", "1", "2", "3"};
  for (std::int64_t i = 0; i < count; ++i) {
    const auto label = static_cast<int>(i % 4);
    data::Image image{input.shape.height, input.shape.width, input.shape.channels, {}};
    for (std::int64_t p = 0; p < input.shape.elements(); ++p) {
      const int base = p % 3 == label % 3 ? 170 + label * 12 : 70;
      image.pixels.push_back(static_cast<std::uint8_t>(base + static_cast<int>(rng.below(60)) - 30));
    }
    dataset.images.push_back(std::move(image));
    dataset.labels.push_back(label);
  }
  data::Preprocess preprocess;
  preprocess.identity = true;
  return {std::move(dataset),
          *data::make_pipeline(preprocess, input.shape.height, input.shape.width,
                               input.shape.channels, input.quantization.scale,
                               input.quantization.zero_point)};
}

struct Task {
  explicit Task(std::uint64_t seed = 2)
      : graph(small_network(seed)),
        network(graph),
        training(*SampleStore::from_samples(network, toy_samples(graph, 61, 1), 1)),
        test(*SampleStore::from_samples(network, toy_samples(graph, 40, 2), 1)) {}

  TrainResult run(const plan::UpdatePlan& plan, Recipe recipe, int jobs, int cut = -1,
                  ir::Graph* tuned = nullptr) const {
    Session session(network, plan, fresh_head(graph.head.features, 4, recipe.seed), cut);
    const auto train_store = training->advance(network, session.cut(), jobs);
    const auto test_store = test->advance(network, session.cut(), jobs);
    const Result<TrainResult> result =
        train(session, *train_store, *test_store, recipe, {.jobs = jobs, .test_every_epoch = true});
    EXPECT_TRUE(result.ok());
    if (tuned != nullptr) *tuned = session.tuned_graph();
    return *result;
  }

  ir::Graph graph;
  Network network;
  std::shared_ptr<const SampleStore> training;
  std::shared_ptr<const SampleStore> test;
};

const Recipe kRecipe{.epochs = 3, .batch = 20, .learning_rate = 0.5, .warmup_epochs = 1, .seed = 4};

plan::UpdatePlan sparse_plan(const ir::Graph& graph) {
  plan::UpdatePlan plan = *plan::bias_only(graph, 4);
  plan.weights.push_back(plan::make_weight_update(graph, 4, 1.0));
  plan.weights.push_back(plan::make_weight_update(graph, 6, 0.5));
  return plan;
}

TEST(Trainer, LearnsAToyTask) {
  const Task task;
  const TrainResult result = task.run(
      sparse_plan(task.graph),
      {.epochs = 12, .batch = 20, .learning_rate = 1.0, .warmup_epochs = 1, .seed = 1}, 1);
  EXPECT_FALSE(result.diverged);
  EXPECT_GT(result.test.accuracy, 0.7);
  EXPECT_LT(result.epochs.back().train.loss, result.epochs.front().train.loss);
  EXPECT_EQ(result.images, 12 * 61);
}

TEST(Trainer, SameBytesForAnyNumberOfJobs) {
  const Task task;
  for (const plan::UpdatePlan& plan : {sparse_plan(task.graph), plan::full(task.graph)}) {
    ir::Graph one;
    ir::Graph three;
    const TrainResult a = task.run(plan, kRecipe, 1, -1, &one);
    const TrainResult b = task.run(plan, kRecipe, 3, -1, &three);
    EXPECT_EQ(ir::to_text(one), ir::to_text(three));
    EXPECT_EQ(one.head.weights, three.head.weights);
    EXPECT_EQ(std::memcmp(&a.test, &b.test, sizeof(a.test)), 0);
    for (std::size_t e = 0; e < a.epochs.size(); ++e) {
      EXPECT_EQ(a.epochs[e].train.loss, b.epochs[e].train.loss);
    }
  }
}

TEST(Trainer, CachedPrefixChangesNothing) {
  const Task task;
  ir::Graph whole;
  ir::Graph cached;
  const plan::UpdatePlan plan = sparse_plan(task.graph);
  const TrainResult a = task.run(plan, kRecipe, 1, 0, &whole);
  const TrainResult b = task.run(plan, kRecipe, 1, -1, &cached);
  EXPECT_EQ(ir::to_text(whole), ir::to_text(cached));
  EXPECT_EQ(a.test.loss, b.test.loss);
}

TEST(Trainer, EveryCutGivesTheSameEvaluation) {
  const Task task;
  const plan::UpdatePlan plan = plan::head_only(task.graph);
  std::vector<double> losses;
  for (int cut = 0; cut <= static_cast<int>(task.graph.ops.size()); ++cut) {
    const Session session(task.network, plan, task.graph.head, cut);
    const auto store = task.test->advance(task.network, cut, 2);
    losses.push_back(evaluate(session, *store, 2).loss);
  }
  for (const double loss : losses) EXPECT_EQ(loss, losses.front());
}

TEST(Trainer, SeedsDiffer) {
  const Task task;
  Recipe other = kRecipe;
  other.seed = 5;
  EXPECT_NE(task.run(sparse_plan(task.graph), kRecipe, 1).test.loss,
            task.run(sparse_plan(task.graph), other, 1).test.loss);
}

TEST(Trainer, WildLearningRateIsReportedAsDivergence) {
  const Task task;
  Recipe wild = kRecipe;
  wild.learning_rate = 1e12;
  const TrainResult result = task.run(plan::full(task.graph), wild, 1);
  EXPECT_TRUE(result.diverged);
  EXPECT_GE(result.diverged_step, 0);
}

TEST(Trainer, StopsWhenAsked) {
  const Task task;
  Session session(task.network, plan::head_only(task.graph), task.graph.head, 0);
  set_interrupted(true);
  const Result<TrainResult> result = train(session, *task.training, *task.test, kRecipe, {});
  set_interrupted(false);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, ErrorKind::kInterrupted);
}

TEST(SampleStore, AffordableCutRespectsTheLimit) {
  const Task task;
  const int end = static_cast<int>(task.graph.ops.size());
  EXPECT_EQ(affordable_cut(task.network, end, 100, 1 << 30), end);
  const int cut = affordable_cut(task.network, 3, 100, 100 * 300);
  EXPECT_LE(SampleStore::sample_bytes(task.network, cut), 300U);
  EXPECT_EQ(affordable_cut(task.network, 3, 100, 0), 0);
}

}  // namespace
}  // namespace espalier::train
