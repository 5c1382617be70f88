// Sums, clips, changes of quantisation, and what may stand behind the classifier.
#include <limits>
#include <utility>

#include "tflite/context.hpp"

namespace espalier::tflite_detail {
namespace {

Value add(Context& c, const Node& node) {
  const std::optional<Operand> a = c.activation(node, 0);
  const std::optional<Operand> b = c.activation(node, 1);
  if (!a || !b) return Unknown{};
  const auto* options = node.op.options_as_AddOptions();
  return c.finish(node, c.builder.add(node.where, *a, *b),
                  options == nullptr ? tflite::Activation::NONE : options->activation());
}

Value clip(Context& c, const Node& node) {
  const std::optional<Operand> x = c.activation(node, 0);
  if (!x) return Unknown{};
  const tflite::Activation function = node.code == BuiltinOperator::RELU ? tflite::Activation::RELU
                                      : node.code == BuiltinOperator::RELU6
                                          ? tflite::Activation::RELU6
                                          : tflite::Activation::RELU_N1_TO_1;
  return c.finish(node, c.builder.rescale(node.where, *x), function);
}

Value quantize(Context& c, const Node& node) {
  const int index = node.input(0);
  const Value& value = c.value(index);
  if (const auto* logits = std::get_if<Logits>(&value)) return *logits;
  const std::optional<ir::Quantization> to = c.quantization(node, node.output());
  if (!to) return Unknown{};
  if (const auto* input = std::get_if<FloatInput>(&value)) {
    if (!c.builder.has_input()) {
      c.builder.open_input(c.tensor_name(node.output()), c.input_dims,
                           c.input_dims.size() == 3   ? kChannelsLast
                           : c.input_dims.size() == 2 ? ImageAxes{-1, 0, 1}
                                                      : ImageAxes{-1, -1, 0},
                           *to, ir::InputElement::kFloat);
    } else if (!(c.builder.tensor(c.builder.graph().input).quantization == *to)) {
      return c.refuse(node, "the network's input is quantised twice, with different parameters",
                      "quantise it once and let every reader use the quantised tensor");
    }
    return Activation{Operand{c.builder.graph().input, input->view, input->pads}};
  }
  const auto* x = std::get_if<Activation>(&value);
  if (x == nullptr) {
    c.report_not_activation(node, index);
    return Unknown{};
  }
  if (c.builder.tensor(x->operand.tensor).quantization == *to) return Activation{x->operand};
  // Zeros around an image stay zeros.
  Operand bare = x->operand;
  bare.pads.clear();
  std::optional<Draft> rescaled = c.builder.rescale(node.where, bare);
  if (!rescaled) return Unknown{};
  Operand made = c.builder.finish(*std::move(rescaled), *to, c.tensor_name(node.output()));
  made.pads = x->operand.pads;
  return Activation{std::move(made)};
}

Value dequantize(Context& c, const Node& node) {
  const Value& value = c.value(node.input(0));
  if (const auto* logits = std::get_if<Logits>(&value)) return *logits;
  if (const auto* x = std::get_if<Activation>(&value)) return Activation{x->operand, true};
  c.report_not_activation(node, node.input(0));
  return Unknown{};
}

// SOFTMAX, LOG_SOFTMAX and LOGISTIC do not change which class wins.
Value behind_classifier(Context& c, const Node& node) {
  Value value = c.value(node.input(0));
  if (c.averages && std::holds_alternative<Activation>(value)) {
    value = c.averaged_scores(node.where, value);
  }
  if (const auto* logits = std::get_if<Logits>(&value)) {
    return Logits{logits->view, true, logits->logistic || node.code == BuiltinOperator::LOGISTIC};
  }
  if (std::holds_alternative<Unknown>(value)) return Unknown{};
  return c.refuse(node, "not supported inside the body",
                  "only one behind the classifier can be dropped, so rewrite the network without "
                  "it");
}

}  // namespace

std::span<const Handler> elementwise_handlers() {
  static constexpr Handler kHandlers[]{{BuiltinOperator::ADD, &add},
                                       {BuiltinOperator::DEQUANTIZE, &dequantize},
                                       {BuiltinOperator::LOGISTIC, &behind_classifier},
                                       {BuiltinOperator::LOG_SOFTMAX, &behind_classifier},
                                       {BuiltinOperator::QUANTIZE, &quantize},
                                       {BuiltinOperator::RELU, &clip},
                                       {BuiltinOperator::RELU6, &clip},
                                       {BuiltinOperator::RELU_N1_TO_1, &clip},
                                       {BuiltinOperator::SOFTMAX, &behind_classifier}};
  return kHandlers;
}

}  // namespace espalier::tflite_detail
