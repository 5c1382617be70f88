#include "espalier/compiler/state_layout.hpp"

#include <algorithm>

#include "espalier/compiler/narrow.hpp"

namespace espalier::compiler {
namespace {

enum class AfterUpdate : std::uint8_t { kKept, kCleared };

struct Row {
  ItemType type;
  std::string_view suffix;
  AfterUpdate after_update;
};

constexpr Row kRows[] = {
#define ESPALIER_STATE_ITEM(role, element, suffix, after_update, description) \
  {ItemType::element, suffix, AfterUpdate::after_update},
#include "espalier/compiler/state_items.def"
#undef ESPALIER_STATE_ITEM
};

const Row& row(StateRole role) { return kRows[static_cast<std::size_t>(role)]; }

}  // namespace

ItemType state_type(StateRole role) { return row(role).type; }
std::string_view state_suffix(StateRole role) { return row(role).suffix; }
StateRole bias_sum(bool integer) {
  return integer ? StateRole::kIntegerBiasSum : StateRole::kBiasSum;
}
StateRole weight_sum(bool integer) {
  return integer ? StateRole::kIntegerWeightSum : StateRole::kWeightSum;
}
bool is_cleared(StateRole role) { return row(role).after_update == AfterUpdate::kCleared; }

const StateItem* StateLayout::find(StateRole role, int op) const {
  const auto found = std::find_if(items.begin(), items.end(), [&](const StateItem& item) {
    return item.role == role && item.op == op;
  });
  return found == items.end() ? nullptr : &*found;
}

StateLayout state_layout(const TrainingGraph& graph) {
  StateLayout layout;
  std::int64_t at = 0;
  layout.items.reserve(10 + 5 * graph.trained.size());
  const auto put = [&](StateRole role, int op, std::int64_t elements) {
    layout.items.push_back({role, op, elements, at});
    at += (layout.items.back().bytes() + 3) / 4 * 4;
  };
  const ir::Head& head = graph.forward->head;
  const std::int64_t head_weights = std::int64_t{head.features} * head.classes;
  const bool sums = graph.accumulate > 1;
  put(StateRole::kLogits, -1, head.classes);
  put(StateRole::kHeadWeights, -1, head_weights);
  put(StateRole::kHeadBias, -1, head.classes);
  if (sums) {
    put(StateRole::kHeadWeightSum, -1, head_weights);
    put(StateRole::kHeadBiasSum, -1, head.classes);
  }
  if (range_count(graph) > 0) put(StateRole::kRanges, -1, range_count(graph));
  if (rotates(graph)) put(StateRole::kTurn, -1, 1);
  const bool integer = is_integer(graph);
  for (const TrainedConv& t : graph.trained) {
    const std::int64_t outputs = conv_of(*graph.forward, t.op)->out_channels;
    if (t.bias) put(StateRole::kBias, t.op, outputs);
    if (t.bias && sums) put(bias_sum(integer), t.op, outputs);
    if (t.weights && sums) put(weight_sum(integer), t.op, resident_weights(graph, t));
    if (t.rotates()) put(StateRole::kChannels, t.op, trained_channel_count(graph, t));
  }
  for (const TrainedConv& t : graph.trained) {
    if (t.weights) put(StateRole::kWeights, t.op, resident_weights(graph, t));
  }
  layout.bytes = kControlBytes + at;
  return layout;
}

}  // namespace espalier::compiler
