// What the code generator and the host engine both need to know of a node to call its kernel.
#pragma once

#include <cstdint>

#include "espalier/compiler/compile.hpp"
#include "runtime/espalier_runtime.h"

namespace espalier::codegen {

struct KernelChoice {
  std::int64_t pixels_in = 0;
  std::int64_t channels_in = 0;
  std::int64_t pixels_out = 0;
  std::int64_t channels_out = 0;
  int mask_bits = 0;  ///< kMaskScale
  float factor = 0;   ///< kMaskScale of an add or a rescaling: s_operand / s_y
};

inline KernelChoice choose_kernel(const compiler::Program& program, const compiler::Node& node) {
  KernelChoice choice;
  if (node.op < 0) return choice;
  const ir::Graph& graph = *program.graph.forward;
  const ir::Op& op = graph.ops[static_cast<std::size_t>(node.op)];
  const ir::Tensor& in = graph.tensor(op.inputs[0]);
  const ir::Tensor& out = graph.tensor(op.output);
  choice.pixels_in = in.shape.pixels();
  choice.channels_in = in.shape.channels;
  choice.pixels_out = out.shape.pixels();
  choice.channels_out = out.shape.channels;
  if (node.kind == compiler::NodeKind::kMaskScale) {
    choice.mask_bits =
        program.graph.value(node.inputs[1]).element == compiler::Element::kBitMask ? 1 : 0;
    const ir::Tensor& operand = graph.tensor(op.inputs[static_cast<std::size_t>(node.operand)]);
    choice.factor = static_cast<float>(static_cast<double>(operand.quantization.scale) /
                                       static_cast<double>(out.quantization.scale));
  }
  return choice;
}

/// Multiply-accumulates of a node; 0 for element-wise work.
inline std::int64_t node_macs(const compiler::Program& program, const compiler::Node& node) {
  using compiler::NodeKind;
  const ir::Graph& graph = *program.graph.forward;
  const auto forward = [&](int op) {
    return ir::forward_macs(graph.ops[static_cast<std::size_t>(op)], graph);
  };
  // Of a weight gradient: the share of the trained channels.
  const auto weights = [&] {
    const compiler::TrainedConv* trained = program.graph.trained_conv(node.op);
    const int in = compiler::conv_of(graph, node.op)->in_channels;
    const int kept =
        trained == nullptr || !trained->sliced ? in : static_cast<int>(trained->channels.size());
    return forward(node.op) * kept / in;
  };
  const std::int64_t head = std::int64_t{graph.head.features} * graph.head.classes;
  switch (node.kind) {
    case NodeKind::kConvForward:
    case NodeKind::kInputGradient:
      return forward(node.op);
    case NodeKind::kStreamForward:
      return forward(node.op) + forward(node.operand);
    case NodeKind::kWeightGradient:
      return weights();
    case NodeKind::kDepthwiseBackward:
      return forward(node.op) + (node.inputs[1] >= 0 ? weights() : 0);
    case NodeKind::kHeadForward:
    case NodeKind::kHeadInputGradient:
    case NodeKind::kHeadGradient:
      return head;
    default:
      return 0;
  }
}

/// Keys that tell the random numbers of one tensor from another's.
inline std::uint32_t weight_key(int op) { return 2U * static_cast<std::uint32_t>(op) + 1U; }
inline std::uint32_t bias_key(int op) { return 2U * static_cast<std::uint32_t>(op) + 2U; }

}  // namespace espalier::codegen
