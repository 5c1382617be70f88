// Sums, products, joins, clips, changes of quantisation, and what may stand behind the classifier.
#include <fmt/format.h>

#include <functional>
#include <limits>
#include <utility>

#include "tflite/context.hpp"

namespace espalier::tflite_detail {
namespace {

// ADD, SUB and MUL of a constant: one number, or one a channel along the last axis.
struct WithConstant {
  std::size_t operand = 0;  // which input is not the constant
  Numbers constant;
  Dims dims;
};

// nullopt when both inputs are activations, or after a diagnostic, which leaves `ok` false.
std::optional<WithConstant> with_constant(Context& c, const Node& node, bool& ok) {
  ok = true;
  for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
    const int index = node.input(i);
    if (!std::holds_alternative<Stored>(c.value(index))) continue;
    const std::optional<Numbers> numbers = c.numbers(node, i, "its constant", 0);
    ok = numbers.has_value() && numbers->scales.size() == 1;
    if (!ok && numbers) c.refuse(node, "its constant is not quantised per tensor", kInt8Next);
    if (!ok) return std::nullopt;
    return WithConstant{1 - i, *numbers, c.dims(index)};
  }
  return std::nullopt;
}

// y = x * factor + offset for the numbers of a constant, either of which it may be.
Value affine(Context& c, const Node& node, const WithConstant& with,
             const std::function<std::pair<float, float>(float)>& of,
             tflite::Activation activation) {
  const std::optional<Operand> x = c.activation(node, with.operand);
  const std::optional<Operand> own = x ? c.builder.settled(node.where, *x) : std::nullopt;
  if (!own) return Unknown{};
  import_detail::ChannelNumbers numbers{.factors = {}, .offsets = {}};
  for (std::size_t i = 0; i < with.constant.count(); ++i) {
    const auto [factor, offset] = of(static_cast<float>(with.constant.real(i, 0)));
    numbers.factors.push_back(factor);
    numbers.offsets.push_back(offset);
  }
  if (numbers.factors.size() == 1) {
    const ir::Quantization in = c.builder.tensor(x->tensor).quantization;
    const auto table = [numbers, in](const ir::Quantization& out) {
      return import_detail::line_table(numbers.factor(0), numbers.offset(0), in, out);
    };
    return c.finish(node, c.builder.function(node.where, *x, table), activation);
  }
  if (!import_detail::along_channels(with.dims, own->view,
                                     c.builder.tensor(own->tensor).shape.channels)) {
    return c.refuse(node, "its constant has not one number a channel",
                    "fold it into the layer before it, ahead of conversion");
  }
  return c.finish(
      node,
      c.builder.scale_tensor(node.where, *x, std::move(numbers), ir::HalfRounding::kAwayFromZero),
      activation);
}

Value add(Context& c, const Node& node) {
  const auto* options = node.op.options_as_AddOptions();
  const tflite::Activation activation =
      options == nullptr ? tflite::Activation::NONE : options->activation();
  bool ok = false;
  if (const auto with = with_constant(c, node, ok)) {
    return affine(
        c, node, *with, [](float b) { return std::pair(1.0F, b); }, activation);
  }
  if (!ok) return Unknown{};
  const std::optional<Operand> a = c.activation(node, 0);
  const std::optional<Operand> b = c.activation(node, 1);
  if (!a || !b) return Unknown{};
  return c.finish(node, c.builder.add(node.where, *a, *b), activation);
}

Value subtract(Context& c, const Node& node) {
  const auto* options = node.op.options_as_SubOptions();
  const tflite::Activation activation =
      options == nullptr ? tflite::Activation::NONE : options->activation();
  bool ok = false;
  const auto with = with_constant(c, node, ok);
  if (!ok) return Unknown{};
  if (!with) {
    return c.refuse(node, "subtracts two tensors",
                    "add them, the sign being in the layer before one of them");
  }
  const bool from_constant = with->operand == 1;
  return affine(
      c, node, *with,
      [&](float b) { return from_constant ? std::pair(-1.0F, b) : std::pair(1.0F, -b); },
      activation);
}

Value multiply(Context& c, const Node& node) {
  const auto* options = node.op.options_as_MulOptions();
  const tflite::Activation activation =
      options == nullptr ? tflite::Activation::NONE : options->activation();
  bool ok = false;
  if (const auto with = with_constant(c, node, ok)) {
    return affine(
        c, node, *with, [](float b) { return std::pair(b, 0.0F); }, activation);
  }
  if (!ok) return Unknown{};
  const std::optional<Operand> a = c.activation(node, 0);
  const std::optional<Operand> b = c.activation(node, 1);
  if (!a || !b) return Unknown{};
  return c.finish(node, c.builder.multiply(node.where, *a, *b), activation);
}

Value concatenation(Context& c, const Node& node) {
  const auto* options = node.op.options_as_ConcatenationOptions();
  const std::size_t count = node.op.inputs()->size();
  if (options == nullptr || count == 0) {
    return c.refuse(node, "its options or inputs are missing", kDamagedNext);
  }
  std::vector<Operand> operands;
  for (std::size_t i = 0; i < count; ++i) {
    if (std::holds_alternative<ShapeArithmetic>(c.value(node.input(i)))) return ShapeArithmetic{};
    const std::optional<Operand> x = c.activation(node, i);
    if (!x) return Unknown{};
    operands.push_back(*x);
  }
  const auto rank = static_cast<int>(operands.front().view.rank()) + 1;
  const int axis = options->axis() < 0 ? options->axis() + rank : options->axis();
  if (axis < 1 || axis >= rank) {
    return c.refuse(node, fmt::format("joins along axis {}, the batch or none", options->axis()),
                    "join branches along channels");
  }
  return c.finish(node,
                  c.builder.concat(node.where, operands, static_cast<std::size_t>(axis - 1),
                                   ir::HalfRounding::kAwayFromZero),
                  options->activation());
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

// The lesser or the greater of a tensor and one number: a clip.
Value extremum(Context& c, const Node& node) {
  bool ok = false;
  const auto with = with_constant(c, node, ok);
  if (!ok) return Unknown{};
  if (!with || with->constant.count() != 1) {
    return c.refuse(node, "compares with more than one number",
                    "clip by one number, or rewrite the network without it");
  }
  const std::optional<Operand> x = c.activation(node, with->operand);
  if (!x) return Unknown{};
  std::optional<Draft> draft = c.builder.rescale(node.where, *x);
  if (draft) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const double bound = with->constant.real(0, 0);
    const bool least = node.code == BuiltinOperator::MAXIMUM;
    draft->clip(least ? bound : -kInfinity, least ? kInfinity : bound);
  }
  return c.finish(node, std::move(draft), tflite::Activation::NONE);
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
  if (c.builder.tensor(x->operand.tensor).quantization == *to) {
    return Activation{x->operand, false, x->rows};
  }
  // Zeros around an image stay zeros, other values do not.
  if (x->operand.lowest_pads) {
    return c.refuse(node,
                    "changes the quantisation of a tensor padded with another value than zero",
                    "pad with zeros");
  }
  Operand bare = x->operand;
  bare.pads.clear();
  std::optional<Draft> rescaled = c.builder.rescale(node.where, bare);
  if (!rescaled) return Unknown{};
  Operand made = c.builder.finish(*std::move(rescaled), *to, c.tensor_name(node.output()));
  made.pads = x->operand.pads;
  return Activation{std::move(made), false, x->rows};
}

Value dequantize(Context& c, const Node& node) {
  const Value& value = c.value(node.input(0));
  if (const auto* logits = std::get_if<Logits>(&value)) return *logits;
  if (const auto* x = std::get_if<Activation>(&value)) return Activation{x->operand, true, x->rows};
  c.report_not_activation(node, node.input(0));
  return Unknown{};
}

}  // namespace

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

namespace {

// The class that wins, in place of the scores.
Value arg_max(Context& c, const Node& node) {
  const Value value = behind_classifier(c, node);
  const auto* logits = std::get_if<Logits>(&value);
  const std::vector<std::int32_t>* axes = c.integers(node, 1, "its axis");
  if (logits == nullptr || axes == nullptr) return Unknown{};
  Dims dims = logits->view.dims();
  const std::int64_t rank = static_cast<std::int64_t>(dims.size()) + 1;
  const std::int64_t axis = axes->size() != 1 ? 0 : (*axes)[0] + ((*axes)[0] < 0 ? rank : 0);
  if (axis < 1 || axis >= rank ||
      dims[static_cast<std::size_t>(axis) - 1] != import_detail::element_count(dims)) {
    return c.refuse(node,
                    fmt::format("compares along axis {}, which is not that of the classes", axis),
                    "cut it off, Espalier needs the scores");
  }
  dims.erase(dims.begin() + axis - 1);
  return Logits{View::row_major(dims), true, logits->logistic};
}

}  // namespace

std::span<const Handler> elementwise_handlers() {
  static constexpr Handler kHandlers[]{{BuiltinOperator::ADD, &add},
                                       {BuiltinOperator::ARG_MAX, &arg_max},
                                       {BuiltinOperator::CONCATENATION, &concatenation},
                                       {BuiltinOperator::DEQUANTIZE, &dequantize},
                                       {BuiltinOperator::LOG_SOFTMAX, &behind_classifier},
                                       {BuiltinOperator::MAXIMUM, &extremum},
                                       {BuiltinOperator::MINIMUM, &extremum},
                                       {BuiltinOperator::MUL, &multiply},
                                       {BuiltinOperator::QUANTIZE, &quantize},
                                       {BuiltinOperator::RELU, &clip},
                                       {BuiltinOperator::RELU6, &clip},
                                       {BuiltinOperator::RELU_N1_TO_1, &clip},
                                       {BuiltinOperator::SOFTMAX, &behind_classifier},
                                       {BuiltinOperator::SUB, &subtract}};
  return kHandlers;
}

}  // namespace espalier::tflite_detail
