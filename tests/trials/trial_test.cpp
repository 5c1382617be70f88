#include "espalier/trials/trial.hpp"

#include <gmock/gmock.h>

#include <functional>
#include <set>

#include "espalier/train/sample_store.hpp"
#include "espalier/trials/runner.hpp"
#include "espalier/trials/store.hpp"
#include "toy_trials.hpp"

namespace espalier::trials {
namespace {

using ::testing::HasSubstr;

std::string digest(const ToyTrials& toy, const Trial& trial) {
  return address_of(inputs_json(toy.network.graph(), trial, toy.training, toy.test)).digest;
}

// Whatever decides a result decides the address, and nothing else does.
TEST(Trial, IsAddressedByEverythingThatDecidesItsResult) {
  const ToyTrials toy;
  const Trial base = toy.trial(3, 5, Numerics::kDevice);
  const std::vector<std::function<void(Trial&)>> changes{
      [](Trial&) {},
      [](Trial& t) { t.plan.bias_depth = 4; },
      [](Trial& t) { t.plan.weights.pop_back(); },
      [](Trial& t) { t.plan.weights[0].channels.pop_back(); },
      [](Trial& t) { t.recipe.epochs = 2; },
      [](Trial& t) { t.recipe.batch = 2; },
      [](Trial& t) { t.recipe.learning_rate = 0.06; },
      [](Trial& t) { t.recipe.warmup_epochs = 0.5; },
      [](Trial& t) { t.recipe.schedule = train::Schedule::kPublished; },
      [](Trial& t) { t.recipe.qas = false; },
      [](Trial& t) { t.recipe.seed = 6; },
      [](Trial& t) { t.numerics = Numerics::kSimulation; },
      [](Trial& t) { t.stochastic = false; },
      [](Trial& t) { t.head = HeadStart::kKeep; },
      [](Trial& t) { t.test_every_epoch = true; }};
  std::set<std::string> digests;
  for (const auto& change : changes) {
    Trial trial = base;
    change(trial);
    digests.insert(digest(toy, trial));
  }
  EXPECT_EQ(digests.size(), changes.size());
  Trial same = base;  // where the plan comes from does not matter
  same.plan.solver = "exact";
  same.plan.memory["analytic"] = Bytes{5};
  EXPECT_TRUE(digests.contains(digest(toy, same)));
  const Json inputs = inputs_json(toy.network.graph(), base, toy.training, toy.test);
  ir::Graph other_model = toy.network.graph();
  other_model.sha256 = "other";
  const data::Samples other_data = espalier::testing::toy_samples(toy.network.graph(), 40, 9);
  EXPECT_NE(inputs, inputs_json(other_model, base, toy.training, toy.test));
  EXPECT_NE(inputs, inputs_json(toy.network.graph(), base, other_data, toy.test));
  EXPECT_NE(inputs, inputs_json(toy.network.graph(), base, toy.training, other_data));
}

// A store may be of a version that computed some trials otherwise.
TEST(Trial, HasAnotherAddressWhereAVersionComputedItOtherwise) {
  const ToyTrials toy;
  const auto revised = [&](Numerics numerics, int batch, int head_epochs, bool turns) {
    Trial trial = toy.trial(3, 5, numerics);
    trial.recipe.epochs = 3;
    trial.recipe.batch = batch;
    trial.recipe.head_epochs = head_epochs;
    plan::WeightUpdate& update = trial.plan.weights[0];
    if (turns) update.next_channels.push_back(update.channels);
    return inputs_json(toy.network.graph(), trial, toy.training, toy.test).contains("revision");
  };
  const auto samples = static_cast<int>(toy.training.size());
  EXPECT_TRUE(revised(Numerics::kDevice, samples - 1, 2, false));
  EXPECT_FALSE(revised(Numerics::kDevice, samples - 1, 1, false));
  EXPECT_FALSE(revised(Numerics::kDevice, samples, 2, false));
  EXPECT_FALSE(revised(Numerics::kSimulation, samples - 1, 2, false));
  EXPECT_TRUE(revised(Numerics::kInteger, samples + 1, 1, true));
  EXPECT_FALSE(revised(Numerics::kInteger, samples + 1, 1, false));
  EXPECT_FALSE(revised(Numerics::kInteger, samples - 1, 1, true));
  // A dead channel of the last conv.
  ir::Graph dead = toy.network.graph();
  const auto last = static_cast<std::size_t>(ir::conv_ops(dead).back());
  std::get<ir::Conv2D>(dead.ops[last].params).weight_scales[0] = 1e-25F;
  const auto unscaled = [&](Numerics numerics, bool qas, int bias_depth) {
    Trial trial = toy.trial(3, 5, numerics);
    trial.recipe.qas = qas;
    trial.plan.weights.clear();
    trial.plan.bias_depth = bias_depth;
    return inputs_json(dead, trial, toy.training, toy.test).contains("revision");
  };
  EXPECT_TRUE(unscaled(Numerics::kSimulation, true, 1));
  EXPECT_FALSE(unscaled(Numerics::kSimulation, true, 0));
  EXPECT_FALSE(unscaled(Numerics::kSimulation, false, 1));
  EXPECT_FALSE(unscaled(Numerics::kDevice, true, 1));
}

TEST(Trial, SaysWhatCannotBe) {
  const ToyTrials toy;
  Trial trial = toy.trial(3, 5, Numerics::kDevice);
  trial.recipe.qas = false;
  EXPECT_THAT(Training::make(toy.network, trial, 4).error().message(), HasSubstr("--no-qas"));
  trial = toy.trial(3, 5, Numerics::kSimulation);
  trial.head = HeadStart::kKeep;
  EXPECT_THAT(Training::make(toy.network, trial, 3).error().message(), HasSubstr("--head keep"));
  trial.recipe.epochs = 0;
  EXPECT_EQ(Training::make(toy.network, trial, 4).error().kind, ErrorKind::kUsage);
}

// On the device a sum over fewer samples than an update takes steps nothing.
TEST(Trial, NeedsAnUpdateOfWhatItTrains) {
  const ToyTrials toy;
  Trial trial = toy.trial(3, 5, Numerics::kDevice);
  trial.recipe.batch = 40;
  EXPECT_TRUE(check_updates(trial, 40).ok());
  trial.recipe.batch = 41;
  EXPECT_EQ(check_updates(trial, 40).error().message(),
            "40 samples in 1 epochs make no update of 41; give fewer to an update");
  EXPECT_FALSE(run_trial(toy.network, toy.training, toy.test, trial, {}, {}).ok());
  EXPECT_FALSE(run_trials(toy.network, toy.training, toy.test, {trial}, {}).ok());
  trial.stream = {.replay_bytes = 1 << 20, .replays = 1};
  EXPECT_TRUE(check_updates(trial, 40).ok());
  trial.stream = {};
  trial.numerics = Numerics::kSimulation;
  EXPECT_TRUE(check_updates(trial, 40).ok());
  // The only update ends before the last of three epochs, which trains more than the head.
  trial.numerics = Numerics::kDevice;
  trial.recipe = {.epochs = 3, .batch = 40, .warmup_epochs = 0, .head_epochs = 2};
  EXPECT_TRUE(check_updates(trial, 40).ok());
  trial.recipe.batch = 75;
  EXPECT_THAT(check_updates(trial, 40).error().message(),
              HasSubstr("in 1 epochs behind those of the head make no update of 75"));
  trial.plan = plan::head_only(toy.network.graph());
  EXPECT_TRUE(check_updates(trial, 40).ok());
}

// The same bytes from samples at any cut, in both numerics.
TEST(Trial, DoesNotDependOnWhereItsSamplesBegin) {
  const ToyTrials toy;
  for (const Numerics numerics : {Numerics::kSimulation, Numerics::kDevice}) {
    const Trial trial = toy.trial(2, 5, numerics);
    std::set<double> losses;
    const int deepest = Training::make(toy.network, trial, 4)->cut();
    EXPECT_GT(deepest, 0);
    for (int cut = 0; cut <= deepest; ++cut) {
      Training training = *Training::make(toy.network, trial, 4);
      const auto samples = *train::SampleStore::from_samples(toy.network, toy.training, 2, cut);
      const auto test = *train::SampleStore::from_samples(toy.network, toy.test, 2, cut);
      const auto result = training.run(*samples, *test, {});
      ASSERT_TRUE(result.ok()) << result.error().message();
      losses.insert(result->test.loss);
    }
    EXPECT_EQ(losses.size(), 1U);
  }
}

}  // namespace
}  // namespace espalier::trials
