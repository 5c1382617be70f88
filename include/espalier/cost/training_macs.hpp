// Multiply-accumulates of one training step on one sample: the forward pass of everything, the
// gradients of inputs down to the shallowest trained layer, the gradients of trained weights and
// the head. Sums of bias gradients and the update itself multiply next to nothing and are not
// counted.
#pragma once

#include <cstdint>

#include "espalier/ir/graph.hpp"
#include "espalier/plan/update_plan.hpp"

namespace espalier::cost {

/// Multiply-accumulates by phase.
struct TrainingMacs {
  std::int64_t forward = 0;          ///< body and head
  std::int64_t input_gradient = 0;   ///< dL/dx of the head and of convs behind a trained one
  std::int64_t weight_gradient = 0;  ///< dL/dw of the head and of the trained channels

  [[nodiscard]] std::int64_t total() const { return forward + input_gradient + weight_gradient; }
  bool operator==(const TrainingMacs&) const = default;
};

/// MACs of a plan that is valid for the graph.
TrainingMacs training_macs(const plan::UpdatePlan& plan, const ir::Graph& graph);

}  // namespace espalier::cost
