#include "espalier/compiler/kernel_choice.hpp"

#include <fmt/format.h>

#include <algorithm>
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

// The form for the graph's bits of a kernel given in that of 8 bits: both lists are alike.
Kernel in_bits(const TrainingGraph& graph, Kernel eight) {
  constexpr int kDistance = static_cast<int>(Kernel::esp_adapt_ranges_q16) -
                            static_cast<int>(Kernel::esp_adapt_ranges_q8);
  return graph.gradient == Element::kInt16
             ? static_cast<Kernel>(static_cast<int>(eight) + kDistance)
             : eight;
}

// True where the operand that a product's gradient is of is a gate.
bool is_gate_gradient(const TrainingGraph& graph, const Node& node) {
  return node.operand == 1 &&
         ir::is_gate(*graph.forward, graph.forward->ops[static_cast<std::size_t>(node.op)]);
}

// Of nodes that make gradients or parameters from gradients of integers.
Kernel integer_kernel(const TrainingGraph& graph, const Node& node) {
  const auto choose = [&](Kernel eight) { return in_bits(graph, eight); };
  switch (node.kind) {
    case NodeKind::kQuantizeGradient:
      return choose(Kernel::esp_quantize_gradient_q8);
    case NodeKind::kMaskScale:
    case NodeKind::kGradientSum:
      return choose(Kernel::esp_pass_gradient_q8);
    case NodeKind::kBiasGradient:
      return choose(Kernel::esp_bias_gradient_q8);
    case NodeKind::kWeightGradient:
      return choose(by_form(graph, node, Kernel::esp_weight_gradient_q8,
                            Kernel::esp_weight_gradient_q8,
                            Kernel::esp_depthwise_weight_gradient_q8));
    case NodeKind::kInputGradient:
      return choose(by_form(graph, node, Kernel::esp_input_gradient_q8,
                            Kernel::esp_pointwise_input_gradient_q8,
                            Kernel::esp_depthwise_input_gradient_q8));
    case NodeKind::kDepthwiseBackward:
      return choose(Kernel::esp_depthwise_backward_q8);
    case NodeKind::kMulGradient:
      return choose(is_gate_gradient(graph, node) ? Kernel::esp_gate_gradient_q8
                                                  : Kernel::esp_mul_gradient_q8);
    case NodeKind::kConcatGradient:
      return choose(Kernel::esp_take_gradients_q8);
    case NodeKind::kSelectGradient:
      return choose(Kernel::esp_spread_gradients_q8);
    case NodeKind::kLookupGradient:
      return choose(Kernel::esp_lookup_gradient_q8);
    case NodeKind::kPoolGradient:
      return choose(Kernel::esp_pool_gradient_q8);
    case NodeKind::kMaxPoolGradient:
      return choose(Kernel::esp_max_pool_gradient_q8);
    case NodeKind::kApplyWeights:
      return choose(Kernel::esp_apply_weights_q8);
    case NodeKind::kApplyBias:
      return choose(Kernel::esp_apply_bias_q8);
    case NodeKind::kAdaptRanges:
      return choose(Kernel::esp_adapt_ranges_q8);
    default:
      throw std::logic_error(fmt::format("{} has no kernel of integers", node_name(graph, node)));
  }
}

// True for the nodes whose kernels differ with the gradients' element.
bool depends_on_gradients(NodeKind kind) {
  switch (kind) {
    case NodeKind::kConvForward:
    case NodeKind::kAddForward:
    case NodeKind::kRescaleForward:
    case NodeKind::kMulForward:
    case NodeKind::kConcatForward:
    case NodeKind::kSelectForward:
    case NodeKind::kLookupForward:
    case NodeKind::kAveragePoolForward:
    case NodeKind::kMaxPoolForward:
    case NodeKind::kSaveChannels:
    case NodeKind::kHeadForward:
    case NodeKind::kLossGradient:
    case NodeKind::kHeadInputGradient:
    case NodeKind::kHeadGradient:
    case NodeKind::kApplyHead:
      return false;
    default:
      return true;
  }
}

}  // namespace

Kernel kernel_of(const TrainingGraph& graph, const Node& node) {
  if (is_integer(graph) && depends_on_gradients(node.kind)) return integer_kernel(graph, node);
  switch (node.kind) {
    case NodeKind::kConvForward:
      return by_form(graph, node, Kernel::esp_conv_forward, Kernel::esp_pointwise_forward,
                     Kernel::esp_depthwise_forward);
    case NodeKind::kAddForward:
    case NodeKind::kRescaleForward:
      return Kernel::esp_add_forward;
    case NodeKind::kMulForward:
      return Kernel::esp_mul_forward;
    case NodeKind::kConcatForward:
      return Kernel::esp_put_channels;
    case NodeKind::kLookupForward:
      return Kernel::esp_lookup_forward;
    case NodeKind::kAveragePoolForward:
      return ir::requantizes_mean(*graph.forward,
                                  graph.forward->ops[static_cast<std::size_t>(node.op)])
                 ? Kernel::esp_average_pool_requantized
                 : Kernel::esp_average_pool_forward;
    case NodeKind::kMaxPoolForward:
      return Kernel::esp_max_pool_forward;
    case NodeKind::kSelectForward:
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
    case NodeKind::kMulGradient:
      return is_gate_gradient(graph, node) ? Kernel::esp_gate_gradient : Kernel::esp_mul_gradient;
    case NodeKind::kConcatGradient:
      return Kernel::esp_take_gradients;
    case NodeKind::kSelectGradient:
      return Kernel::esp_spread_gradients;
    case NodeKind::kLookupGradient:
      return Kernel::esp_lookup_gradient;
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
    case NodeKind::kQuantizeGradient:
    case NodeKind::kAdaptRanges:
      break;  // of integer gradients alone
  }
  throw std::logic_error("unknown kind of node");
}

std::int64_t scratch_bytes(const TrainingGraph& graph, const Node& node) {
  const auto conv = [&](int op) {
    esp_conv d = describe_conv(*graph.forward, op);
    if (node.band_rows > 0) {  // it never sees more
      d.in_h = std::min(d.in_h, half(node.band_in_rows));
      d.out_h = std::min(d.out_h, half(node.band_rows));
    }
    return d;
  };
  switch (kernel_of(graph, node)) {
    case Kernel::esp_conv_forward: {
      const esp_conv d = conv(node.op);
      return esp_conv_forward_scratch(&d);
    }
    case Kernel::esp_depthwise_forward: {
      const esp_conv d = conv(node.op);
      return esp_depthwise_forward_scratch(&d);
    }
    case Kernel::esp_depthwise_backward: {
      const esp_conv d = conv(node.op);
      return esp_depthwise_backward_scratch(&d);
    }
    case Kernel::esp_depthwise_input_gradient: {
      const esp_conv d = conv(node.op);
      return esp_depthwise_input_gradient_scratch(&d);
    }
    case Kernel::esp_depthwise_backward_q8: {
      const esp_conv d = conv(node.op);
      return esp_depthwise_backward_q_scratch(&d, 1);
    }
    case Kernel::esp_depthwise_backward_q16: {
      const esp_conv d = conv(node.op);
      return esp_depthwise_backward_q_scratch(&d, 2);
    }
    case Kernel::esp_add_forward:
    case Kernel::esp_apply_bias:
    case Kernel::esp_apply_floats:
    case Kernel::esp_apply_weights:
    case Kernel::esp_average_pool_forward:
    case Kernel::esp_average_pool_requantized:
    case Kernel::esp_bias_gradient:
    case Kernel::esp_depthwise_weight_gradient:
    case Kernel::esp_gate_gradient:
    case Kernel::esp_gradient_sum:
    case Kernel::esp_head_forward:
    case Kernel::esp_head_gradient:
    case Kernel::esp_head_input_gradient:
    case Kernel::esp_head_update:
    case Kernel::esp_input_gradient:
    case Kernel::esp_lookup_forward:
    case Kernel::esp_lookup_gradient:
    case Kernel::esp_loss_gradient:
    case Kernel::esp_mask_scale:
    case Kernel::esp_mask_scale_channels:
    case Kernel::esp_max_pool_forward:
    case Kernel::esp_max_pool_gradient:
    case Kernel::esp_mul_forward:
    case Kernel::esp_mul_gradient:
    case Kernel::esp_pointwise_forward:
    case Kernel::esp_pointwise_input_gradient:
    case Kernel::esp_pool_gradient:
    case Kernel::esp_put_channels:
    case Kernel::esp_save_channels:
    case Kernel::esp_spread_gradients:
    case Kernel::esp_take_gradients:
    case Kernel::esp_weight_gradient:
#define ESPALIER_WITHOUT_SCRATCH(name) \
  case Kernel::name##_q8:              \
  case Kernel::name##_q16:
      ESPALIER_WITHOUT_SCRATCH(esp_adapt_ranges)
      ESPALIER_WITHOUT_SCRATCH(esp_apply_bias)
      ESPALIER_WITHOUT_SCRATCH(esp_apply_weights)
      ESPALIER_WITHOUT_SCRATCH(esp_bias_gradient)
      ESPALIER_WITHOUT_SCRATCH(esp_depthwise_input_gradient)
      ESPALIER_WITHOUT_SCRATCH(esp_depthwise_weight_gradient)
      ESPALIER_WITHOUT_SCRATCH(esp_gate_gradient)
      ESPALIER_WITHOUT_SCRATCH(esp_input_gradient)
      ESPALIER_WITHOUT_SCRATCH(esp_lookup_gradient)
      ESPALIER_WITHOUT_SCRATCH(esp_max_pool_gradient)
      ESPALIER_WITHOUT_SCRATCH(esp_mul_gradient)
      ESPALIER_WITHOUT_SCRATCH(esp_pass_gradient)
      ESPALIER_WITHOUT_SCRATCH(esp_pointwise_input_gradient)
      ESPALIER_WITHOUT_SCRATCH(esp_pool_gradient)
      ESPALIER_WITHOUT_SCRATCH(esp_quantize_gradient)
      ESPALIER_WITHOUT_SCRATCH(esp_spread_gradients)
      ESPALIER_WITHOUT_SCRATCH(esp_take_gradients)
      ESPALIER_WITHOUT_SCRATCH(esp_weight_gradient)
#undef ESPALIER_WITHOUT_SCRATCH
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
  d.gap_h = half(w.dilation_h - 1);
  d.gap_w = half(w.dilation_w - 1);
  d.groups = half(conv.groups);
  d.in_zero = half(input.quantization.zero_point);
  d.out_zero = half(output.quantization.zero_point);
  d.low = half(op.clamp_low);
  d.high = half(op.clamp_high);
  return d;
}

}  // namespace espalier::compiler
