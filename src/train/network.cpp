#include "espalier/train/network.hpp"

#include <set>
#include <utility>

#include "espalier/kernels/simd.hpp"

namespace espalier::train {

Network::Network(ir::Graph graph) : graph_(std::move(graph)), convs_(ir::conv_ops(graph_)) {
  int conv_index = 0;
  for (const ir::Op& op : graph_.ops) {
    PreparedOp prepared;
    const ir::Shape in = graph_.tensor(op.inputs[0]).shape;
    const ir::Shape out = graph_.tensor(op.output).shape;
    if (const auto* conv = std::get_if<ir::Conv2D>(&op.params)) {
      prepared.conv = conv_index++;
      prepared.geometry = {in,           out,         stride(op.inputs[0]), stride(op.output),
                           conv->window, conv->groups};
      const std::vector<float> weights(conv->weights.begin(), conv->weights.end());
      prepared.weights.pack(prepared.geometry, weights, true);
      prepared.requantization = kernels::make_requantization(graph_, op);
    } else {
      prepared.map = {in,
                      out,
                      stride(op.inputs[0]),
                      stride(op.output),
                      stride(op.inputs.back()),
                      ir::is_gate(graph_, op)};
      if (ir::saturates(graph_, op)) {
        prepared.elementwise = kernels::make_elementwise(graph_, op);
      }
    }
    ops_.push_back(std::move(prepared));
  }
}

int Network::stride(ir::TensorId tensor) const {
  const int channels = graph_.tensor(tensor).shape.channels;
  return tensor == graph_.input ? channels : kernels::padded(channels);
}

std::size_t Network::elements(ir::TensorId tensor) const {
  return static_cast<std::size_t>(graph_.tensor(tensor).shape.pixels()) *
         static_cast<std::size_t>(stride(tensor));
}

std::vector<ir::TensorId> Network::live_at(int cut) const {
  std::set<ir::TensorId> read{graph_.features};
  std::set<ir::TensorId> written;
  for (std::size_t i = static_cast<std::size_t>(cut); i < graph_.ops.size(); ++i) {
    const ir::Op& op = graph_.ops[i];
    for (const ir::TensorId id : op.inputs) read.insert(id);
    written.insert(op.output);
  }
  std::vector<ir::TensorId> live;
  for (const ir::TensorId id : read) {
    if (written.count(id) == 0) live.push_back(id);
  }
  return live;
}

}  // namespace espalier::train
