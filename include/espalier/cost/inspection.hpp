// What a model holds and what training it would cost, as a document.
#pragma once

#include "espalier/ir/graph.hpp"
#include "espalier/support/json.hpp"

namespace espalier::cost {

inline constexpr const char* kInspectSchema = "espalier.inspect/1";

/// `espalier.inspect/1`: input, layers by conv index, and the cost of training the head, all biases
/// and everything.
Json inspection(const ir::Graph& graph);

}  // namespace espalier::cost
