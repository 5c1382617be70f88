// What rewriting a training graph needs to know of its values.
#pragma once

#include <cstddef>
#include <vector>

#include "espalier/compiler/training_graph.hpp"

namespace espalier::compiler {

/// Positions of the nodes that read each value last, and that write it.
struct Uses {
  explicit Uses(const TrainingGraph& graph)
      : last(graph.values.size(), -1),
        count(graph.values.size(), 0),
        writer(graph.values.size(), -1) {
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      for (const ValueId id : graph.nodes[i].inputs) {
        if (id < 0) continue;
        last[static_cast<std::size_t>(id)] = static_cast<int>(i);
        ++count[static_cast<std::size_t>(id)];
      }
      for (const ValueId id : graph.nodes[i].outputs) {
        if (id >= 0) writer[static_cast<std::size_t>(id)] = static_cast<int>(i);
      }
    }
  }
  [[nodiscard]] bool dies_at(ValueId id, int node) const {
    return last[static_cast<std::size_t>(id)] == node;
  }
  std::vector<int> last;
  std::vector<int> count;
  std::vector<int> writer;
};

/// Removes the nodes marked, keeping backward_begin in place.
inline void erase_nodes(TrainingGraph& graph, const std::vector<bool>& dead) {
  std::size_t kept = 0;
  int begin = graph.backward_begin;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (dead[i]) {
      if (static_cast<int>(i) < graph.backward_begin) --begin;
      continue;
    }
    if (kept != i) graph.nodes[kept] = graph.nodes[i];
    ++kept;
  }
  graph.nodes.resize(kept);
  graph.backward_begin = begin;
}

}  // namespace espalier::compiler
