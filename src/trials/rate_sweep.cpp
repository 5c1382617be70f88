#include "espalier/trials/rate_sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "espalier/trials/sets.hpp"

namespace espalier::trials {
namespace {

constexpr int kEpochs = 3;
constexpr double kLowest = 0.0125;
constexpr int kRates = 10;  // each twice the one before

// A balanced part of the samples, split by the recipe's seed.
Result<SampleSets> parts_of(const data::Samples& samples, std::uint64_t seed) {
  const std::int64_t most = kUsualTraining + kUsualValidation;
  data::SubsetOptions part;
  part.limit = samples.size() > most ? most : 0;
  part.seed = seed;
  ESPALIER_TRY(data::Dataset taken, data::subset(samples.dataset(), part));
  const std::int64_t share = std::max<std::int64_t>(1, taken.size() / 3);
  ESPALIER_TRY(data::Split split, data::split(std::move(taken), share, seed));
  return SampleSets{{std::move(split.train), samples.pipeline()},
                    {std::move(split.validation), samples.pipeline()}};
}

}  // namespace

Result<RateSweep> sweep_rates(const train::Network& network, const data::Samples& samples,
                              const Trial& trial, const RunOptions& options) {
  ESPALIER_TRY(const SampleSets sets, parts_of(samples, trial.recipe.seed));
  std::vector<Trial> trials;
  double rate = kLowest;
  for (int i = 0; i < kRates; ++i, rate *= 2) {
    Trial one = trial;
    one.test_every_epoch = false;
    one.recipe.learning_rate = rate;
    one.recipe.epochs = std::min(trial.recipe.epochs, kEpochs);
    one.recipe.head_epochs = std::min(trial.recipe.head_epochs, std::max(0, one.recipe.epochs - 2));
    one.recipe.warmup_epochs =
        std::min(trial.recipe.warmup_epochs,
                 static_cast<double>(one.recipe.epochs - one.recipe.head_epochs));
    trials.push_back(std::move(one));
  }
  ESPALIER_TRY(const auto results,
               run_trials(network, sets.training, sets.validation, trials, options));
  RateSweep sweep;
  sweep.epochs = trials.front().recipe.epochs;
  sweep.training = sets.training.size();
  sweep.validation = sets.validation.size();
  const RateSweep::Tried* best = nullptr;
  for (std::size_t i = 0; i < trials.size(); ++i) {
    sweep.tried.push_back({trials[i].recipe.learning_rate, results[i]->diverged, results[i]->test});
  }
  for (const RateSweep::Tried& tried : sweep.tried) {
    if (tried.diverged) continue;
    if (best == nullptr || tried.validation.loss < best->validation.loss) best = &tried;
  }
  if (best == nullptr) {
    return Error{ErrorKind::kUsage,
                 fmt::format("training diverged at every rate from {} to {}; train fewer "
                             "layers",
                             sweep.tried.front().rate, sweep.tried.back().rate)};
  }
  sweep.best = best->rate;
  return sweep;
}

Json to_json(const RateSweep& sweep) {
  Json tried = Json::array();
  for (const RateSweep::Tried& one : sweep.tried) {
    Json row{{"learning_rate", one.rate}};
    if (one.diverged) {
      row["diverged"] = true;
    } else {
      row["loss"] = one.validation.loss;
      row["accuracy"] = one.validation.accuracy;
    }
    tried.push_back(std::move(row));
  }
  return {{"epochs", sweep.epochs},
          {"training", sweep.training},
          {"validation", sweep.validation},
          {"tried", std::move(tried)},
          {"chosen", sweep.best}};
}

}  // namespace espalier::trials
