// A learning rate from the training data alone: short trainings at rates a factor of two apart,
// judged on samples set aside. Deterministic: a function of model, samples and trial.
#pragma once

#include <vector>

#include "espalier/data/samples.hpp"
#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"
#include "espalier/train/network.hpp"
#include "espalier/trials/runner.hpp"
#include "espalier/trials/trial.hpp"

namespace espalier::trials {

struct RateSweep {
  struct Tried {
    double rate = 0;
    bool diverged = false;
    train::Evaluation validation;  ///< meaningless when diverged
  };
  std::vector<Tried> tried;  ///< ascending rates
  double best = 0;           ///< of the lowest validation loss; of equal ones the lower rate
  int epochs = 0;            ///< of each training
  std::int64_t training = 0, validation = 0;  ///< samples
};

/// Trains `trial` for at most three epochs at each of ten rates, 1/80 to 6.4, on at most
/// kUsualTraining of the samples; a third of what is taken, at most kUsualValidation, is set aside.
/// kUsage when every rate diverges. The store of `options` is used like that of any trials.
Result<RateSweep> sweep_rates(const train::Network& network, const data::Samples& samples,
                              const Trial& trial, const RunOptions& options);

Json to_json(const RateSweep& sweep);

}  // namespace espalier::trials
