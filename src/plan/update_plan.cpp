#include "espalier/plan/update_plan.hpp"

#include <algorithm>

namespace espalier::plan {

int first_trained_conv(const UpdatePlan& plan, const ir::Graph& graph) {
  return static_cast<int>(ir::conv_ops(graph).size()) - plan.bias_depth;
}

int training_cut(const UpdatePlan& plan, const ir::Graph& graph) {
  const std::vector<int> convs = ir::conv_ops(graph);
  const auto first = static_cast<std::size_t>(first_trained_conv(plan, graph));
  return first < convs.size() ? convs[first] : static_cast<int>(graph.ops.size());
}

bool trains_bias(const UpdatePlan& plan, const ir::Graph& graph, int conv) {
  return conv >= first_trained_conv(plan, graph);
}

bool rotates(const UpdatePlan& plan) {
  return std::any_of(plan.weights.begin(), plan.weights.end(),
                     [](const WeightUpdate& update) { return !update.next_channels.empty(); });
}

namespace {

const WeightUpdate* update_of(const UpdatePlan& plan, int conv) {
  const auto entry =
      std::lower_bound(plan.weights.begin(), plan.weights.end(), conv,
                       [](const WeightUpdate& update, int wanted) { return update.conv < wanted; });
  return entry == plan.weights.end() || entry->conv != conv ? nullptr : &*entry;
}

}  // namespace

std::int64_t turns(const UpdatePlan& plan, int conv) {
  const WeightUpdate* update = update_of(plan, conv);
  return update == nullptr ? 0 : static_cast<std::int64_t>(update->next_channels.size()) + 1;
}

std::optional<std::span<const int>> trained_channels(const UpdatePlan& plan, int conv,
                                                     std::int64_t turn) {
  const WeightUpdate* update = update_of(plan, conv);
  if (update == nullptr) return std::nullopt;
  const auto set = static_cast<std::size_t>(turn % turns(plan, conv));
  return std::span<const int>(set == 0 ? update->channels : update->next_channels[set - 1]);
}

}  // namespace espalier::plan
