// How long the trainings of an analysis take on this machine: a few short measurements spread over
// the depth of the network, and multiply-accumulates in between.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "espalier/contribution/analysis.hpp"
#include "espalier/train/network.hpp"

namespace espalier::contribution {

/// Multiply-accumulates of a trial from its cached prefix, on one sample.
struct TrialMacs {
  double step = 0;     ///< one training step
  double forward = 0;  ///< its forward pass, which is also that of the validation
};

TrialMacs trial_macs(const ir::Graph& graph, const TrialSpec& spec);

class TrialTimes {
 public:
  /// Measures a few chunks of samples forward and backward at each of nine depths.
  TrialTimes(const train::Network& network, const AnalysisOptions& options);

  /// Seconds of one thread for a trial.
  [[nodiscard]] double seconds(const TrialSpec& spec, std::int64_t training_samples,
                               std::int64_t validation_samples) const;
  /// Seconds of one thread for the whole network forward, on one sample.
  [[nodiscard]] double whole_forward() const { return forward_.back().second; }

 private:
  using Curve = std::vector<std::pair<double, double>>;  // MACs and seconds of a sample, ascending

  void measure(const TrialSpec& spec);
  static double at(const Curve& curve, double macs);

  const train::Network& network_;
  const train::Recipe& recipe_;
  Curve step_;
  Curve forward_;
};

}  // namespace espalier::contribution
