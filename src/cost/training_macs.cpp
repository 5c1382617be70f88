#include "espalier/cost/training_macs.hpp"

#include "mac_parts.hpp"

namespace espalier::cost {

TrainingMacs training_macs(const plan::UpdatePlan& plan, const ir::Graph& graph) {
  const MacParts parts(graph);
  TrainingMacs macs;
  macs.forward = parts.forward();
  macs.input_gradient = parts.input_gradient(plan.bias_depth);
  macs.weight_gradient = parts.head();
  for (const plan::WeightUpdate& update : plan.weights) {
    const auto channels = static_cast<std::int64_t>(update.channels.size());
    macs.weight_gradient += parts.weight_gradient(update.conv, channels);
  }
  return macs;
}

}  // namespace espalier::cost
