// Where the frozen prefix of a program ends: what has to be kept of a sample so that a training step
// can run from there.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/compiler/training_graph.hpp"

namespace espalier::compiler {

/// The latent of a sample: a few values of the arena, one behind the other. Usually one, the int8
/// input of the first trained convolution; more where a residual branch passes it by.
struct Latent {
  int first = 0;                ///< the forward node that a step from a latent begins with
  std::vector<ValueId> values;  ///< ascending
  std::int64_t bytes = 0;       ///< of all
};

/// The classifier's features when no convolution is trained, the input when the first is.
Latent latent_of(const TrainingGraph& graph);

}  // namespace espalier::compiler
