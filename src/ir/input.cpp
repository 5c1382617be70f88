#include "espalier/ir/input.hpp"

#include <cmath>
#include <utility>

namespace espalier::ir {
namespace {

bool normal(float scale) { return std::isnormal(scale) && scale > 0; }

// Tensors that hold the input's values, and the weights that read them.
struct Reach {
  std::vector<TensorId> tensors;
  std::vector<std::size_t> convs;
  bool head = false;
  bool blocked = false;
};

Reach reach(const Graph& graph) {
  Reach found;
  std::vector<bool> carries(graph.tensors.size(), false);
  const auto add = [&](TensorId id) {
    carries[static_cast<std::size_t>(id)] = true;
    found.tensors.push_back(id);
    if (id == graph.features) found.head = true;
  };
  add(graph.input);
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    const Op& op = graph.ops[i];
    bool reads = false;
    for (const TensorId id : op.inputs) reads = reads || carries[static_cast<std::size_t>(id)];
    if (!reads) continue;
    if (std::holds_alternative<Conv2D>(op.params)) {
      found.convs.push_back(i);
    } else if (std::holds_alternative<Lookup>(op.params)) {
      // Integers to integers, in whatever unit.
    } else if (op.inputs.size() == 1) {
      add(op.output);
    } else {
      found.blocked = true;
    }
  }
  return found;
}

bool can_divide(const Graph& graph, const Reach& found, float factor) {
  for (const TensorId id : found.tensors) {
    if (!normal(graph.tensor(id).quantization.scale / factor)) return false;
  }
  for (const std::size_t op : found.convs) {
    for (const float scale : std::get<Conv2D>(graph.ops[op].params).weight_scales) {
      if (!normal(scale) || !normal(scale * factor)) return false;
    }
  }
  return !found.blocked;
}

}  // namespace

Quantization file_input_quantization(const Graph& graph) {
  Quantization quantization = graph.tensor(graph.input).quantization;
  quantization.scale *= graph.input_format.unit;
  return quantization;
}

std::vector<std::int64_t> file_input_dims(const Graph& graph) {
  if (!graph.input_format.dims.empty()) return graph.input_format.dims;
  const Shape& shape = graph.tensor(graph.input).shape;
  return {shape.height, shape.width, shape.channels};
}

std::vector<std::int64_t> file_input_order(const Graph& graph) {
  const Shape& shape = graph.tensor(graph.input).shape;
  const InputFormat& format = graph.input_format;
  std::vector<std::int64_t> order;
  order.reserve(static_cast<std::size_t>(shape.elements()));
  for (std::int64_t row = 0; row < shape.height; ++row) {
    for (std::int64_t column = 0; column < shape.width; ++column) {
      for (std::int64_t channel = 0; channel < shape.channels; ++channel) {
        order.push_back(format.dims.empty() ? static_cast<std::int64_t>(order.size())
                                            : row * format.strides[0] + column * format.strides[1] +
                                                  channel * format.strides[2]);
      }
    }
  }
  return order;
}

bool divide_input_unit(Graph& graph, float factor) {
  const Reach found = reach(graph);
  if (!can_divide(graph, found, factor)) return false;
  for (const TensorId id : found.tensors) {
    graph.tensors[static_cast<std::size_t>(id)].quantization.scale /= factor;
  }
  for (const std::size_t op : found.convs) {
    for (float& scale : std::get<Conv2D>(graph.ops[op].params).weight_scales) scale *= factor;
  }
  if (found.head) {
    for (float& weight : graph.head.weights) weight *= factor;
  }
  graph.input_format.unit *= factor;
  return true;
}

void normalize_input_unit(Graph& graph) {
  constexpr double kSteps = 255;
  const double octaves = std::log2(graph.tensor(graph.input).quantization.scale * kSteps);
  if (!std::isfinite(octaves) || (octaves > -0.5 && octaves < 2.5)) return;
  divide_input_unit(graph, std::ldexp(1.0F, static_cast<int>(std::nearbyint(octaves))));
}

Graph in_file_units(Graph graph) {
  divide_input_unit(graph, 1.0F / graph.input_format.unit);
  return graph;
}

}  // namespace espalier::ir
