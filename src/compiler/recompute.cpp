#include "espalier/compiler/recompute.hpp"

#include <algorithm>
#include <iterator>

namespace espalier::compiler {
namespace {

// `part` of values that are made a second time.
constexpr int kSecond = 1 << 16;

bool is_within(const Node& node, Stretch stretch) {
  return stretch.first <= node.op && node.op <= stretch.last;
}

// The stretch once more, in front of the first node behind the forward pass that reads of it.
void recompute(TrainingGraph& graph, Stretch stretch) {
  const auto forward_end = graph.nodes.begin() + graph.backward_begin;
  std::vector<ValueId> second(graph.values.size(), -1);
  std::vector<Node> again;
  for (auto node = graph.nodes.begin(); node != forward_end; ++node) {
    if (!is_within(*node, stretch)) continue;
    Node copy = *node;
    for (ValueId& id : copy.inputs) {
      if (id >= 0 && second[static_cast<std::size_t>(id)] >= 0) {
        id = second[static_cast<std::size_t>(id)];
      }
    }
    for (ValueId& id : copy.outputs) {
      if (id < 0) continue;
      Value value = graph.value(id);
      value.part += kSecond;
      if (value.in_place_of >= 0) value.in_place_of = second[static_cast<std::size_t>(value.in_place_of)];
      second[static_cast<std::size_t>(id)] = static_cast<ValueId>(graph.values.size());
      id = static_cast<ValueId>(graph.values.size());
      graph.values.push_back(value);
    }
    again.push_back(copy);
  }
  auto at = graph.nodes.end();
  for (auto node = forward_end; node != graph.nodes.end(); ++node) {
    for (ValueId& id : node->inputs) {
      if (id < 0 || id >= static_cast<ValueId>(second.size())) continue;
      if (second[static_cast<std::size_t>(id)] < 0) continue;
      id = second[static_cast<std::size_t>(id)];
      at = std::min(at, node);
    }
  }
  if (at != graph.nodes.end()) graph.nodes.insert(at, again.begin(), again.end());
}

}  // namespace

void recompute(TrainingGraph& graph, const std::vector<Stretch>& stretches) {
  for (const Stretch& stretch : stretches) recompute(graph, stretch);
}

std::int64_t macs(const ir::Graph& graph, Stretch stretch) {
  std::int64_t sum = 0;
  for (int op = stretch.first; op <= stretch.last; ++op) {
    sum += ir::forward_macs(graph.ops[static_cast<std::size_t>(op)], graph);
  }
  return sum;
}

}  // namespace espalier::compiler
