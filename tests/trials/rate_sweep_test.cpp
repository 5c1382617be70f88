#include "espalier/trials/rate_sweep.hpp"

#include <gmock/gmock.h>

#include <algorithm>

#include "toy_trials.hpp"

namespace espalier::trials {
namespace {

TEST(RateSweep, ChoosesTheLowestValidationLossDeterministically) {
  const ToyTrials toy;
  for (const Numerics numerics : {Numerics::kSimulation, Numerics::kDevice}) {
    const Trial trial = toy.trial(2, 5, numerics);
    const auto one = sweep_rates(toy.network, toy.training, trial, {.jobs = 1});
    const auto four = sweep_rates(toy.network, toy.training, trial, {.jobs = 4});
    ASSERT_TRUE(one.ok()) << one.error().message();
    EXPECT_EQ(to_json(*one), to_json(*four));
    EXPECT_EQ(one->tried.size(), 10U);
    EXPECT_EQ(one->training + one->validation, toy.training.size());
    double lowest = 1e30;
    for (const RateSweep::Tried& tried : one->tried) {
      if (!tried.diverged) lowest = std::min(lowest, tried.validation.loss);
    }
    const auto best = std::find_if(one->tried.begin(), one->tried.end(),
                                   [&](const auto& tried) { return tried.rate == one->best; });
    ASSERT_NE(best, one->tried.end());
    EXPECT_EQ(best->validation.loss, lowest);
    // A rate far from both ends, or the sweep is too narrow for this task.
    EXPECT_GT(one->best, one->tried.front().rate);
  }
}

// Its part of the samples and epochs may make no update where the training would.
TEST(RateSweep, NeedsUpdates) {
  const ToyTrials toy;
  Trial trial = toy.trial(2, 5, Numerics::kDevice);
  trial.recipe.epochs = 6;
  trial.recipe.batch = 100;
  EXPECT_TRUE(check_updates(trial, toy.training.size()).ok());
  const auto sweep = sweep_rates(toy.network, toy.training, trial, {});
  ASSERT_FALSE(sweep.ok());
  EXPECT_THAT(sweep.error().message(),
              ::testing::HasSubstr("samples in 3 epochs make no update of 100"));
}

TEST(RateSweep, NeedsSamplesToSetAside) {
  const ToyTrials toy;
  const data::Samples few = espalier::testing::toy_samples(toy.network.graph(), 2, 1);
  EXPECT_FALSE(sweep_rates(toy.network, few, toy.trial(1, 5, Numerics::kSimulation), {}).ok());
}

}  // namespace
}  // namespace espalier::trials
