#include "espalier/compiler/latent.hpp"

#include <set>

namespace espalier::compiler {
namespace {

// Whether a forward node belongs to what comes before the first trained convolution.
bool is_frozen(const TrainingGraph& graph, const Node& node) {
  if (node.op < 0) return false;  // the head is always trained
  if (graph.trained.empty()) return true;
  return node.op < graph.trained.front().op;
}

}  // namespace

Latent latent_of(const TrainingGraph& graph) {
  Latent latent;
  while (latent.first < graph.backward_begin &&
         is_frozen(graph, graph.nodes[static_cast<std::size_t>(latent.first)])) {
    ++latent.first;
  }
  // A chain runs as one.
  for (const Chain& chain : graph.chains) {
    if (chain.first < latent.first && latent.first <= chain.last) latent.first = chain.first;
  }
  std::set<ValueId> made{graph.input};
  std::set<ValueId> read;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const bool frozen = static_cast<int>(i) < latent.first;
    for (const ValueId id : graph.nodes[i].inputs) {
      if (!frozen && made.contains(id)) read.insert(id);
    }
    for (const ValueId id : graph.nodes[i].outputs) {
      if (frozen && id >= 0) made.insert(id);
    }
  }
  latent.values.assign(read.begin(), read.end());
  for (const ValueId id : latent.values) latent.bytes += graph.value(id).bytes();
  return latent;
}

}  // namespace espalier::compiler
