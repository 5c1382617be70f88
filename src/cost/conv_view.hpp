// A convolution with the shapes around it: what both cost models count.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/ir/graph.hpp"

namespace espalier::cost {

struct ConvView {
  const ir::Op* op = nullptr;
  const ir::Conv2D* conv = nullptr;
  ir::Shape input;
  ir::Shape output;

  /// Trained weights when `channels` input channels are trained.
  [[nodiscard]] std::int64_t weights(std::int64_t channels) const {
    return conv->weights_per_input_channel() * channels;
  }
};

/// Element i is conv index i.
inline std::vector<ConvView> conv_views(const ir::Graph& graph) {
  std::vector<ConvView> views;
  for (const int position : ir::conv_ops(graph)) {
    const ir::Op& op = graph.ops[static_cast<std::size_t>(position)];
    views.push_back({&op, &ir::conv(graph, position), graph.tensor(op.inputs[0]).shape,
                     graph.tensor(op.output).shape});
  }
  return views;
}

}  // namespace espalier::cost
