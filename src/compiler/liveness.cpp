#include "espalier/compiler/liveness.hpp"

#include <algorithm>

namespace espalier::compiler {
namespace {

// As ESP_PLANE_SLACK and esp_plane_extent of the runtime.
constexpr std::int64_t kPlaneSlack = 8;
std::int64_t plane_extent(int in, int pad, int out, int stride, int kernel) {
  return std::max((out - 1) * stride + kernel, in + pad);
}

}  // namespace

std::int64_t scratch_bytes(const TrainingGraph& graph, const Node& node) {
  const ir::Graph& forward = *graph.forward;
  const ir::Conv2D* conv =
      conv_of(forward, node.kind == NodeKind::kStreamForward ? node.operand : node.op);
  if (conv == nullptr) return 0;
  const ir::Op& op = forward.ops[static_cast<std::size_t>(
      node.kind == NodeKind::kStreamForward ? node.operand : node.op)];
  const ir::Shape& in = forward.tensor(op.inputs[0]).shape;
  const ir::Shape& out = forward.tensor(op.output).shape;
  const ir::Window& w = conv->window;
  const std::int64_t taps = std::int64_t{w.kernel_h} * w.kernel_w;
  const std::int64_t plane_width =
      plane_extent(in.width, w.pad_left, out.width, w.stride_w, w.kernel_w);
  const bool depthwise = is_plain_depthwise(*conv);
  switch (node.kind) {
    case NodeKind::kConvForward:
      if (depthwise) {
        return plane_width *
                   plane_extent(in.height, w.pad_top, out.height, w.stride_h, w.kernel_h) +
               kPlaneSlack;
      }
      // The windows of four outputs.
      return conv->groups == 1 && !is_pointwise(forward, node.op) ? 4 * taps * in.channels : 0;
    case NodeKind::kStreamForward:
      return std::int64_t{w.kernel_h} * in.width * in.channels + w.kernel_h * plane_width +
             kPlaneSlack;
    case NodeKind::kDepthwiseBackward:
      return 4 * (std::int64_t{in.height + w.kernel_h - 1} * (in.width + w.kernel_w - 1) + 4 +
                  2 * taps);
    case NodeKind::kInputGradient: {
      if (!depthwise) return 0;
      const auto extent = [](int in_extent, int pad, int out_extent, int stride, int kernel) {
        return std::int64_t{std::max((in_extent - 1 + pad) / stride + 1, out_extent) +
                            (kernel - 1) / stride + 1};
      };
      return 4 * (extent(in.height, w.pad_top, out.height, w.stride_h, w.kernel_h) *
                      extent(in.width, w.pad_left, out.width, w.stride_w, w.kernel_w) +
                  taps);
    }
    default:
      return 0;
  }
}

void assign_scratch(TrainingGraph& graph) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    Node& node = graph.nodes[i];
    const std::int64_t bytes = scratch_bytes(graph, node);
    if (bytes == 0) continue;
    node.scratch = static_cast<ValueId>(graph.values.size());
    // Forward and backward of one op are told apart by `part`.
    const int part = static_cast<int>(i) < graph.backward_begin ? 0 : 1;
    graph.values.push_back({Role::kScratch, Element::kBytes, node.op, part, bytes, -1});
  }
}

ArenaProblem arena_problem(const TrainingGraph& graph) {
  ArenaProblem result;
  result.problem.steps = static_cast<int>(graph.nodes.size());
  result.problem.alignment = kArenaAlignment;
  result.buffer_of_value.assign(graph.values.size(), -1);
  const auto touch = [&](ValueId id, int step) {
    if (id < 0) return;
    const ValueId owner = graph.buffer(id);
    int& buffer = result.buffer_of_value[static_cast<std::size_t>(owner)];
    if (buffer < 0) {
      buffer = static_cast<int>(result.problem.buffers.size());
      result.problem.buffers.push_back({graph.value(owner).bytes(), step, step});
      result.value_of_buffer.push_back(owner);
    }
    result.problem.buffers[static_cast<std::size_t>(buffer)].last = step;
    result.buffer_of_value[static_cast<std::size_t>(id)] = buffer;
  };
  if (result.problem.steps > 0) touch(graph.input, 0);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    const int step = static_cast<int>(i);
    for (const ValueId id : node.inputs) touch(id, step);
    for (const ValueId id : node.outputs) touch(id, step);
    touch(node.scratch, step);
  }
  return result;
}

}  // namespace espalier::compiler
