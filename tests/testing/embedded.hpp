// The embedded default model, for test programs that link `import`.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <utility>

#include "espalier/import/importer.hpp"

namespace espalier::testing {

[[nodiscard]] std::filesystem::path embedded_model();

/// The graph with the model's own head. Throws std::runtime_error when it cannot be read.
inline ir::Graph embedded() {
  Result<ir::Graph> graph = import_model(embedded_model());
  if (!graph.ok()) throw std::runtime_error(graph.error().message());
  return std::move(graph).value();
}

}  // namespace espalier::testing
