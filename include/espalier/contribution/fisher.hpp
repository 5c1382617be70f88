// An early guess at contributions from one pass over the data that trains nothing but the head: the
// squared length of the mean gradient in the metric of the diagonal Fisher information, that is the
// sum over an update's parameters of (mean of g)^2 / mean of g^2, with g the gradient of one
// sample's loss. It does not depend on the scale of a parameter. How well it ranks updates is
// measured, not assumed: profiles hold it beside the gains, with their rank correlation (decision
// 8).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "espalier/ir/graph.hpp"
#include "espalier/support/result.hpp"
#include "espalier/train/network.hpp"
#include "espalier/train/sample_store.hpp"

namespace espalier::contribution {

struct FisherScores {
  std::int64_t samples = 0;
  std::vector<double> bias;                 ///< [depth]: biases of the last `depth` convs
  std::vector<std::vector<double>> weight;  ///< [conv][ratio]: the channels that a plan would train
  std::vector<std::vector<double>> channel;  ///< [conv][input channel]: all weights that read it
};

/// Passes once over `training`, which must be at cut 0, with `head` as classifier: one that has
/// been trained, for a fresh one's gradients say little. The result does not depend on `jobs`.
/// kInterrupted when the user asks to stop.
Result<FisherScores> fisher_scores(const train::Network& network,
                                   const train::SampleStore& training, const ir::Head& head,
                                   std::span<const double> ratios, int jobs);

}  // namespace espalier::contribution
