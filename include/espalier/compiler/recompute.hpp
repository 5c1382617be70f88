// Recomputing what the backward pass reads instead of keeping it: a stretch of forward ops runs a
// second time, just before the first gradient that asks for its masks, winners or maps, from a map
// in front of it that is kept instead. Costs the MACs of the stretch and changes no bit.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/compiler/training_graph.hpp"

namespace espalier::compiler {

/// Forward ops first to last, inclusive.
struct Stretch {
  int first = 0;
  int last = 0;

  bool operator==(const Stretch&) const = default;
};

/// Of a graph as differentiate() or narrow() left it. Stretches do not overlap; one that nothing of
/// the backward pass reads changes nothing.
void recompute(TrainingGraph& graph, const std::vector<Stretch>& stretches);

/// MACs of running the ops once.
std::int64_t macs(const ir::Graph& graph, Stretch stretch);

}  // namespace espalier::compiler
