// Random update plans for tests of the compiler.
#pragma once

#include <algorithm>
#include <vector>

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

/// Has the channels of most partly trained convolutions take turns, in sets that may overlap.
inline plan::UpdatePlan with_random_turns(plan::UpdatePlan plan, const ir::Graph& graph, Rng& rng) {
  const std::vector<int> convs = ir::conv_ops(graph);
  for (plan::WeightUpdate& update : plan.weights) {
    const int in = ir::conv(graph, convs[static_cast<std::size_t>(update.conv)]).in_channels;
    if (static_cast<int>(update.channels.size()) == in || rng.chance(0.2)) continue;
    for (std::uint64_t sets = 1 + rng.below(3); sets > 0; --sets) {
      std::vector<int>& set = update.next_channels.emplace_back();
      while (set.size() < update.channels.size()) {
        const auto channel = static_cast<int>(rng.below(static_cast<std::uint64_t>(in)));
        if (std::find(set.begin(), set.end(), channel) == set.end()) set.push_back(channel);
      }
      std::sort(set.begin(), set.end());
    }
  }
  return plan;
}

}  // namespace espalier::testing
