// Random update plans for tests of the compiler.
#pragma once

#include "espalier/ir/graph.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/support/rng.hpp"

namespace espalier::testing {

inline plan::UpdatePlan random_plan(const ir::Graph& graph, Rng& rng) {
  const auto convs = static_cast<int>(ir::conv_ops(graph).size());
  const int depth = static_cast<int>(rng.below(static_cast<std::uint64_t>(convs) + 1));
  plan::UpdatePlan plan = *plan::bias_only(graph, depth);
  for (int conv = convs - depth; conv < convs; ++conv) {
    if (rng.chance(0.4)) continue;
    const double ratios[] = {0.125, 0.25, 0.5, 1.0};
    plan::WeightUpdate update = plan::make_weight_update(graph, conv, ratios[rng.below(4)]);
    if (!update.channels.empty()) plan.weights.push_back(update);
  }
  return plan;
}

}  // namespace espalier::testing
