// Which convolutions must pass a gradient on to their input.
#pragma once

#include <vector>

#include "espalier/ir/graph.hpp"

namespace espalier::cost {

/// For each conv index: whether the loss depends on its output. The others cost no backward work.
std::vector<bool> reaches_head(const ir::Graph& graph);

/// For each conv index j: the largest conv index whose output j's input depends on, or -1. With
/// convs first, first + 1, ... trained, j's input gradient is needed exactly when that index is at
/// least `first`. A parallel branch beside the trained layers needs none.
std::vector<int> deepest_ancestor(const ir::Graph& graph);

}  // namespace espalier::cost
