#include "espalier/compiler/kernel_choice.hpp"

#include <fmt/format.h>

#include <stdexcept>

#include "runtime/espalier_scratch.h"

namespace espalier::compiler {
namespace {

using runtime::Kernel;

enum class ConvForm : std::uint8_t { kGeneral, kPointwise, kDepthwise };

ConvForm form_of(const ir::Graph& graph, int op) {
  if (is_plain_depthwise(*conv_of(graph, op))) return ConvForm::kDepthwise;
  return is_pointwise(graph, op) ? ConvForm::kPointwise : ConvForm::kGeneral;
}

Kernel by_form(const TrainingGraph& graph, const Node& node, Kernel general, Kernel pointwise,
               Kernel depthwise) {
  switch (form_of(*graph.forward, node.op)) {
    case ConvForm::kGeneral:
      return general;
    case ConvForm::kPointwise:
      return pointwise;
    case ConvForm::kDepthwise:
      return depthwise;
  }
  throw std::logic_error("unknown form of convolution");
}

std::int16_t half(std::int64_t value) { return static_cast<std::int16_t>(value); }

// Every value a backward kernel reads or makes is of floats; another element needs kernels.
void check_elements(const TrainingGraph& graph, const Node& node) {
  for (const auto& ids : {node.inputs, node.outputs}) {
    for (const ValueId id : ids) {
      if (id < 0) continue;
      const Value& value = graph.value(id);
      const bool gradient = value.role != Role::kActivation && value.role != Role::kMask &&
                            value.role != Role::kWinners && value.role != Role::kSavedChannels &&
                            value.role != Role::kScratch;
      if (gradient && value.element != Element::kFloat32) {
        throw std::logic_error(fmt::format("{}: no kernel for gradients that are not float32",
                                           node_name(graph, node)));
      }
    }
  }
}

}  // namespace

Kernel kernel_of(const TrainingGraph& graph, const Node& node) {
  check_elements(graph, node);
  switch (node.kind) {
    case NodeKind::kConvForward:
      return by_form(graph, node, Kernel::esp_conv_forward, Kernel::esp_pointwise_forward,
                     Kernel::esp_depthwise_forward);
    case NodeKind::kStreamForward:
      return Kernel::esp_stream_forward;
    case NodeKind::kAddForward:
    case NodeKind::kRescaleForward:
      return Kernel::esp_add_forward;
    case NodeKind::kAveragePoolForward:
      return ir::requantizes_mean(*graph.forward,
                                  graph.forward->ops[static_cast<std::size_t>(node.op)])
                 ? Kernel::esp_average_pool_requantized
                 : Kernel::esp_average_pool_forward;
    case NodeKind::kMaxPoolForward:
      return Kernel::esp_max_pool_forward;
    case NodeKind::kSaveChannels:
      return Kernel::esp_save_channels;
    case NodeKind::kHeadForward:
      return Kernel::esp_head_forward;
    case NodeKind::kLossGradient:
      return Kernel::esp_loss_gradient;
    case NodeKind::kHeadInputGradient:
      return Kernel::esp_head_input_gradient;
    case NodeKind::kHeadGradient:
      return node.sink == Sink::kApply ? Kernel::esp_head_update : Kernel::esp_head_gradient;
    case NodeKind::kMaskScale:
      return conv_of(*graph.forward, node.op) != nullptr ? Kernel::esp_mask_scale_channels
                                                         : Kernel::esp_mask_scale;
    case NodeKind::kBiasGradient:
      return Kernel::esp_bias_gradient;
    case NodeKind::kWeightGradient:
      return by_form(graph, node, Kernel::esp_weight_gradient, Kernel::esp_weight_gradient,
                     Kernel::esp_depthwise_weight_gradient);
    case NodeKind::kInputGradient:
      return by_form(graph, node, Kernel::esp_input_gradient, Kernel::esp_pointwise_input_gradient,
                     Kernel::esp_depthwise_input_gradient);
    case NodeKind::kDepthwiseBackward:
      return Kernel::esp_depthwise_backward;
    case NodeKind::kPoolGradient:
      return Kernel::esp_pool_gradient;
    case NodeKind::kMaxPoolGradient:
      return Kernel::esp_max_pool_gradient;
    case NodeKind::kGradientSum:
      return Kernel::esp_gradient_sum;
    case NodeKind::kApplyWeights:
      return Kernel::esp_apply_weights;
    case NodeKind::kApplyBias:
      return Kernel::esp_apply_bias;
    case NodeKind::kApplyHead:
      return Kernel::esp_apply_floats;
  }
  throw std::logic_error("unknown kind of node");
}

std::int64_t scratch_bytes(const TrainingGraph& graph, const Node& node) {
  const auto conv = [&](int op) { return describe_conv(*graph.forward, op); };
  switch (kernel_of(graph, node)) {
    case Kernel::esp_conv_forward: {
      const esp_conv d = conv(node.op);
      return esp_conv_forward_scratch(&d);
    }
    case Kernel::esp_depthwise_forward: {
      const esp_conv d = conv(node.op);
      return esp_depthwise_forward_scratch(&d);
    }
    case Kernel::esp_stream_forward: {
      const esp_conv d = conv(node.operand);
      return esp_stream_forward_scratch(&d);
    }
    case Kernel::esp_depthwise_backward: {
      const esp_conv d = conv(node.op);
      return esp_depthwise_backward_scratch(&d);
    }
    case Kernel::esp_depthwise_input_gradient: {
      const esp_conv d = conv(node.op);
      return esp_depthwise_input_gradient_scratch(&d);
    }
    case Kernel::esp_add_forward:
    case Kernel::esp_apply_bias:
    case Kernel::esp_apply_floats:
    case Kernel::esp_apply_weights:
    case Kernel::esp_average_pool_forward:
    case Kernel::esp_average_pool_requantized:
    case Kernel::esp_bias_gradient:
    case Kernel::esp_depthwise_weight_gradient:
    case Kernel::esp_gradient_sum:
    case Kernel::esp_head_forward:
    case Kernel::esp_head_gradient:
    case Kernel::esp_head_input_gradient:
    case Kernel::esp_head_update:
    case Kernel::esp_input_gradient:
    case Kernel::esp_loss_gradient:
    case Kernel::esp_mask_scale:
    case Kernel::esp_mask_scale_channels:
    case Kernel::esp_max_pool_forward:
    case Kernel::esp_max_pool_gradient:
    case Kernel::esp_pointwise_forward:
    case Kernel::esp_pointwise_input_gradient:
    case Kernel::esp_pool_gradient:
    case Kernel::esp_save_channels:
    case Kernel::esp_weight_gradient:
      return 0;
  }
  throw std::logic_error("unknown kernel");
}

esp_conv describe_conv(const ir::Graph& graph, int position) {
  const ir::Op& op = graph.ops[static_cast<std::size_t>(position)];
  const auto& conv = std::get<ir::Conv2D>(op.params);
  const ir::Tensor& input = graph.tensor(op.inputs[0]);
  const ir::Tensor& output = graph.tensor(op.output);
  const ir::Window& w = conv.window;
  esp_conv d{};
  d.in_h = half(input.shape.height);
  d.in_w = half(input.shape.width);
  d.in_c = half(input.shape.channels);
  d.out_h = half(output.shape.height);
  d.out_w = half(output.shape.width);
  d.out_c = half(output.shape.channels);
  d.kernel_h = half(w.kernel_h);
  d.kernel_w = half(w.kernel_w);
  d.stride_h = half(w.stride_h);
  d.stride_w = half(w.stride_w);
  d.pad_top = half(w.pad_top);
  d.pad_left = half(w.pad_left);
  d.groups = half(conv.groups);
  d.in_zero = half(input.quantization.zero_point);
  d.out_zero = half(output.quantization.zero_point);
  d.low = half(op.clamp_low);
  d.high = half(op.clamp_high);
  return d;
}

}  // namespace espalier::compiler
