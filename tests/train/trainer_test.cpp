#include "espalier/train/trainer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "espalier/kernels/simd.hpp"
#include "espalier/support/interrupt.hpp"
#include "testing/kernel_choice.hpp"
#include "testing/random_graph.hpp"
#include "testing/toy_data.hpp"

namespace espalier::train {
namespace {

using espalier::testing::KernelChoice;
using espalier::testing::small_network;
using espalier::testing::toy_samples;

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
  const TrainResult result =
      task.run(sparse_plan(task.graph),
               {.epochs = 12, .batch = 20, .learning_rate = 1.0, .warmup_epochs = 1, .seed = 1}, 1);
  EXPECT_FALSE(result.diverged);
  EXPECT_GT(result.test.accuracy, 0.7);
  EXPECT_LT(result.epochs.back().train.loss, result.epochs.front().train.loss);
  EXPECT_EQ(result.images, 12 * 61);
}

// As that one, with channels that take turns.
plan::UpdatePlan rotating_plan(const ir::Graph& graph) {
  plan::UpdatePlan plan = *plan::bias_only(graph, 4);
  for (const int conv : {4, 5, 6}) {
    plan.weights.push_back(plan::make_weight_update(graph, conv, 0.5));
  }
  plan.weights[2] = plan::make_weight_update(graph, 6, 0.25);
  plan::add_rotation(plan, graph);
  return plan;
}

TEST(Trainer, ChannelsTakeTurnsEpochByEpoch) {
  const Task task;
  const plan::UpdatePlan plan = rotating_plan(task.graph);
  for (int epochs = 1; epochs <= 6; ++epochs) {
    Recipe recipe{.epochs = epochs, .batch = 20, .learning_rate = 2, .warmup_epochs = 0, .seed = 4};
    recipe.schedule = Schedule::kConstant;
    ir::Graph tuned;
    task.run(plan, recipe, 1, -1, &tuned);
    for (const plan::WeightUpdate& update : plan.weights) {
      const int op = ir::conv_ops(task.graph)[static_cast<std::size_t>(update.conv)];
      const ir::Conv2D& before = ir::conv(task.graph, op);
      const ir::Conv2D& after = ir::conv(tuned, op);
      std::set<int> turn_came;
      for (int turn = 0; turn < epochs; ++turn) {
        const auto set = *plan::trained_channels(plan, update.conv, turn);
        turn_came.insert(set.begin(), set.end());
      }
      const int per_group = before.in_per_group();
      std::set<int> moved;
      for (std::size_t i = 0; i < before.weights.size(); ++i) {
        if (before.weights[i] == after.weights[i]) continue;
        const int in_group = static_cast<int>(i) % per_group;
        const int out =
            static_cast<int>(i) / per_group / (before.window.kernel_h * before.window.kernel_w);
        moved.insert(out / (before.out_channels / before.groups) * per_group + in_group);
      }
      // Those of dead outputs, or that nothing reaches, stay where they are.
      EXPECT_TRUE(std::includes(turn_came.begin(), turn_came.end(), moved.begin(), moved.end()))
          << "conv " << update.conv << ", " << epochs << " epochs";
      const auto newest = *plan::trained_channels(plan, update.conv, epochs - 1);
      EXPECT_TRUE(std::any_of(newest.begin(), newest.end(),
                              [&](int channel) { return moved.count(channel) != 0; }))
          << "conv " << update.conv << ", " << epochs << " epochs";
    }
  }
}

TEST(Trainer, EpochsOfTheHeadAreThoseOfAHeadOnlyPlan) {
  const Task task;
  const plan::UpdatePlan plan = rotating_plan(task.graph);
  Recipe recipe{.epochs = 2, .batch = 20, .learning_rate = 2, .warmup_epochs = 0, .seed = 4};
  recipe.schedule = Schedule::kConstant;
  const TrainResult head = task.run(plan::head_only(task.graph), recipe, 1);
  for (int more = 1; more <= 4; ++more) {
    Recipe behind = recipe;
    behind.head_epochs = 2;
    behind.epochs = 2 + more;
    ir::Graph tuned;
    const TrainResult both = task.run(plan, behind, 1, -1, &tuned);
    ASSERT_EQ(both.epochs.size(), static_cast<std::size_t>(behind.epochs));
    for (std::size_t epoch = 0; epoch < 2; ++epoch) {
      EXPECT_EQ(both.epochs[epoch].train.loss, head.epochs[epoch].train.loss);
      EXPECT_EQ(both.epochs[epoch].test->loss, head.epochs[epoch].test->loss);
    }
    // Turns begin behind them.
    const int op = ir::conv_ops(task.graph)[6];
    const ir::Conv2D& before = ir::conv(task.graph, op);
    const ir::Conv2D& after = ir::conv(tuned, op);
    std::set<int> turn_came;
    for (int turn = 0; turn < more; ++turn) {
      const auto set = *plan::trained_channels(plan, 6, turn);
      turn_came.insert(set.begin(), set.end());
    }
    bool moved = false;
    for (std::size_t i = 0; i < before.weights.size(); ++i) {
      if (before.weights[i] == after.weights[i]) continue;
      moved = true;
      EXPECT_TRUE(turn_came.contains(static_cast<int>(i) % before.in_channels));
    }
    EXPECT_TRUE(moved);
  }
}

TEST(Trainer, SameBytesForAnyNumberOfJobs) {
  const Task task;
  for (const plan::UpdatePlan& plan :
       {sparse_plan(task.graph), rotating_plan(task.graph), plan::full(task.graph)}) {
    ir::Graph one;
    ir::Graph three;
    const TrainResult a = task.run(plan, kRecipe, 1, -1, &one);
    const TrainResult b = task.run(plan, kRecipe, 3, -1, &three);
    EXPECT_EQ(ir::to_text(one), ir::to_text(three));
    EXPECT_EQ(one.head.weights, three.head.weights);
    EXPECT_EQ(a.test.loss, b.test.loss);
    EXPECT_EQ(a.test.accuracy, b.test.accuracy);
    EXPECT_EQ(a.test.confusion.counts, b.test.confusion.counts);
    for (std::size_t e = 0; e < a.epochs.size(); ++e) {
      EXPECT_EQ(a.epochs[e].train.loss, b.epochs[e].train.loss);
    }
  }
}

TEST(Trainer, SameBytesForAnyInstructionSet) {
  const Task task;
  const kernels::KernelTables all = kernels::all_kernels();
  std::vector<double> losses;
  std::vector<std::string> texts;
  for (int i = 0; i < all.count; ++i) {
    const KernelChoice choice(*all.tables[i]);
    ir::Graph tuned;
    losses.push_back(task.run(plan::full(task.graph), kRecipe, 1, -1, &tuned).test.loss);
    texts.push_back(ir::to_text(tuned));
  }
  for (int i = 1; i < all.count; ++i) {
    EXPECT_EQ(losses[static_cast<std::size_t>(i)], losses[0]) << all.tables[i]->name;
    EXPECT_EQ(texts[static_cast<std::size_t>(i)], texts[0]) << all.tables[i]->name;
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

TEST(Trainer, FiniteButAbsurdLossIsDivergence) {
  const Task task;
  Recipe wild = kRecipe;
  wild.learning_rate = 1e10;
  EXPECT_TRUE(task.run(plan::head_only(task.graph), wild, 1).diverged);
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
  EXPECT_EQ(affordable_cut(task.network, 3, 100, 0), -1);  // not even inputs
}

}  // namespace
}  // namespace espalier::train
