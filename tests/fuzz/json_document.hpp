// Fuzzed text as a JSON document, and a graph for readers that need one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "espalier/ir/graph.hpp"
#include "espalier/support/json.hpp"
#include "ir/small_graph.hpp"

namespace espalier::fuzz {

/// Calls read(document) when the bytes parse.
template <typename Read>
void with_document(const std::uint8_t* data, std::size_t size, Read read) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Result<Json> document = parse_json(text, "document");
  if (document.ok()) read(*document);
}

inline const ir::Graph& graph() {
  static const ir::Graph kGraph = testing::graph_of_every_op();
  return kGraph;
}

}  // namespace espalier::fuzz
