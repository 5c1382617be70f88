#include "backward_reach.hpp"

#include <algorithm>

namespace espalier::cost {
namespace {

bool is_conv(const ir::Op& op) { return std::holds_alternative<ir::Conv2D>(op.params); }

}  // namespace

std::vector<bool> reaches_head(const ir::Graph& graph) {
  std::vector<bool> live(graph.tensors.size(), false);
  live[static_cast<std::size_t>(graph.features)] = true;
  for (auto op = graph.ops.rbegin(); op != graph.ops.rend(); ++op) {
    if (!live[static_cast<std::size_t>(op->output)]) continue;
    for (const ir::TensorId id : op->inputs) live[static_cast<std::size_t>(id)] = true;
  }
  std::vector<bool> reaches;
  for (const ir::Op& op : graph.ops) {
    if (is_conv(op)) reaches.push_back(live[static_cast<std::size_t>(op.output)]);
  }
  return reaches;
}

std::vector<int> deepest_ancestor(const ir::Graph& graph) {
  std::vector<int> of_tensor(graph.tensors.size(), -1);
  std::vector<int> of_conv;
  for (const ir::Op& op : graph.ops) {
    int deepest = -1;
    for (const ir::TensorId id : op.inputs) {
      deepest = std::max(deepest, of_tensor[static_cast<std::size_t>(id)]);
    }
    if (is_conv(op)) {
      // Conv indices ascend in execution order, so the conv itself is its output's deepest one.
      of_tensor[static_cast<std::size_t>(op.output)] = static_cast<int>(of_conv.size());
      of_conv.push_back(deepest);
    } else {
      of_tensor[static_cast<std::size_t>(op.output)] = deepest;
    }
  }
  return of_conv;
}

}  // namespace espalier::cost
