// A network run by the scalar reference kernels, tensor by tensor.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "espalier/ir/graph.hpp"
#include "espalier/kernels/reference.hpp"

namespace espalier::testing {

struct Activations {
  std::vector<std::vector<std::int8_t>> tensors;  ///< by id, channels last
  std::vector<double> logits;
};

/// Logits of the features of a sample.
inline std::vector<double> head(const ir::Graph& graph, std::span<const std::int8_t> features) {
  const ir::Quantization q = graph.tensor(graph.features).quantization;
  std::vector<double> logits;
  for (std::size_t c = 0; c < static_cast<std::size_t>(graph.head.classes); ++c) {
    double sum = graph.head.bias[c];
    for (std::size_t i = 0; i < features.size(); ++i) {
      sum += static_cast<double>(features[i] - q.zero_point) * q.scale *
             graph.head.weights[c * features.size() + i];
    }
    logits.push_back(sum);
  }
  return logits;
}

/// One sample, channels last, through the whole network and its head.
inline Activations forward(const ir::Graph& graph, std::span<const std::int8_t> input) {
  Activations all;
  all.tensors.resize(graph.tensors.size());
  all.tensors[static_cast<std::size_t>(graph.input)].assign(input.begin(), input.end());
  for (const ir::Op& op : graph.ops) {
    std::vector<std::vector<std::int8_t>> inputs;
    for (const ir::TensorId id : op.inputs) {
      inputs.push_back(all.tensors[static_cast<std::size_t>(id)]);
    }
    all.tensors[static_cast<std::size_t>(op.output)] =
        kernels::reference::forward(graph, op, inputs).output;
  }
  all.logits = head(graph, all.tensors[static_cast<std::size_t>(graph.features)]);
  return all;
}

}  // namespace espalier::testing
