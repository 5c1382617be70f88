#include "espalier/plan/update_plan.hpp"

#include <algorithm>

namespace espalier::plan {

int first_trained_conv(const UpdatePlan& plan, const ir::Graph& graph) {
  return static_cast<int>(ir::conv_ops(graph).size()) - plan.bias_depth;
}

bool trains_bias(const UpdatePlan& plan, const ir::Graph& graph, int conv) {
  return conv >= first_trained_conv(plan, graph);
}

std::optional<std::span<const int>> trained_channels(const UpdatePlan& plan, int conv) {
  const auto entry =
      std::lower_bound(plan.weights.begin(), plan.weights.end(), conv,
                       [](const WeightUpdate& update, int wanted) { return update.conv < wanted; });
  if (entry == plan.weights.end() || entry->conv != conv) return std::nullopt;
  return std::span<const int>(entry->channels);
}

}  // namespace espalier::plan
