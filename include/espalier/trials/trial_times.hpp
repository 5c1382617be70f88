// How long trainings take on this machine: a few short measurements spread over the depth of the
// network, and multiply-accumulates in between.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "espalier/plan/update_plan.hpp"
#include "espalier/train/network.hpp"
#include "espalier/train/recipe.hpp"

namespace espalier::trials {

/// Multiply-accumulates of a training from its cached prefix, on one sample.
struct TrialMacs {
  double step = 0;     ///< one training step
  double forward = 0;  ///< its forward pass, which is also that of the validation
};

TrialMacs trial_macs(const ir::Graph& graph, const plan::UpdatePlan& plan);

class TrialTimes {
 public:
  /// Measures a few chunks of samples forward and backward at each of nine depths, in simulation
  /// numerics with the recipe's batch.
  TrialTimes(const train::Network& network, const train::Recipe& recipe);

  /// Seconds of one thread for a training of so many epochs.
  [[nodiscard]] double seconds(const plan::UpdatePlan& plan, int epochs,
                               std::int64_t training_samples,
                               std::int64_t validation_samples) const;
  /// Seconds of one thread for the whole network forward, on one sample.
  [[nodiscard]] double whole_forward() const { return forward_.back().second; }

 private:
  using Curve = std::vector<std::pair<double, double>>;  // MACs and seconds of a sample, ascending

  void measure(const plan::UpdatePlan& plan, const train::Recipe& recipe);
  static double at(const Curve& curve, double macs);

  const train::Network& network_;
  Curve step_;
  Curve forward_;
};

}  // namespace espalier::trials
