// The embedded default model, for test programs that link `import`.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <utility>
#include <variant>
#include <vector>

#include "espalier/import/importer.hpp"

namespace espalier::testing {

[[nodiscard]] std::filesystem::path embedded_model();

/// The graph with the model's own head. Throws std::runtime_error when it cannot be read.
inline ir::Graph embedded() {
  Result<ir::Graph> graph = import_model(embedded_model());
  if (!graph.ok()) throw std::runtime_error(graph.error().message());
  return std::move(graph).value();
}

/// The same network on a smaller picture, for machines that are simulated: every layer with its
/// weights, of less height and width.
inline ir::Graph embedded_on(int side) {
  ir::Graph graph = embedded();
  const auto shape = [&](ir::TensorId id) -> ir::Shape& {
    return graph.tensors[static_cast<std::size_t>(id)].shape;
  };
  shape(graph.input).height = shape(graph.input).width = side;
  for (ir::Op& op : graph.ops) {
    std::vector<ir::Shape> inputs;
    for (const ir::TensorId id : op.inputs) inputs.push_back(shape(id));
    if (auto* pool = std::get_if<ir::AveragePool>(&op.params)) {
      pool->window.kernel_h = inputs[0].height;
      pool->window.kernel_w = inputs[0].width;
    }
    shape(op.output) = ir::infer_shape(op.params, inputs).value();
  }
  graph.input_format = {};
  if (const Status status = ir::verify(graph); !status.ok()) {
    throw std::runtime_error(status.error().message());
  }
  return graph;
}

}  // namespace espalier::testing
