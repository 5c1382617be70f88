// Operators on integers, with scales and zero points of their own: ONNX Runtime's QOperator form.
#include <fmt/format.h>

#include <utility>

#include "onnx/context.hpp"

namespace espalier::onnx_detail {
namespace {

// Quantises what a node computed by the scale and zero point in its inputs.
Value finish(Context& c, const Node& node, Value computed, int scale, bool is_unsigned) {
  if (!std::holds_alternative<DraftPtr>(computed)) return computed;
  const std::optional<Parameters> parameters = activation_parameters(c, node, scale, is_unsigned);
  if (!parameters) return Unknown{};
  return Activation{c.builder.finish(Context::take(computed), parameters->quantization,
                                     std::string(node.output())),
                    true, parameters->is_unsigned};
}

// Constant weights in input `at`, scale and zero point behind it; Unknown after a diagnostic.
Value weights(Context& c, const Node& node, int at) {
  const Value* value = c.resolve(node, at);
  if (value == nullptr || std::holds_alternative<Unknown>(*value)) return Unknown{};
  const auto* plain = std::get_if<ConstantPtr>(value);
  if (plain == nullptr) {
    return c.refuse(node, "its weights are not constant",
                    "products of activations are not supported, so rewrite the network without "
                    "them");
  }
  if ((*plain)->element != Element::kInt8 && (*plain)->element != Element::kUint8) {
    return c.refuse(node, fmt::format("its weights are {}", element_name((*plain)->element)),
                    kInt8Next);
  }
  std::optional<QuantizedConstant> q = constant_parameters(c, node, at + 1, *plain);
  if (!q) return Unknown{};
  return std::make_shared<const QuantizedConstant>(*std::move(q));
}

// An int32 bias in the unit of the accumulator; false after a diagnostic.
bool read_bias(Context& c, const Node& node, int at, std::optional<Numbers>& bias) {
  if (!node.has_input(at)) return true;
  const Constant* values = c.constant(node, at, "the bias");
  if (values == nullptr) return false;
  if (values->element != Element::kInt32) {
    c.refuse(node, fmt::format("its bias is {}, not int32", element_name(values->element)),
             kDamagedNext);
    return false;
  }
  bias = Numbers{.integers = values->ints, .floats = {}, .scales = {}, .zeros = {}};
  return true;
}

// x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias.
Value convolution(Context& c, const Node& node) {
  std::optional<Numbers> bias;
  const std::optional<Activation> x = integer_activation(c, node, 0, 1);
  const Value w = weights(c, node, 3);
  const bool readable = read_bias(c, node, 8, bias);
  if (!x || std::holds_alternative<Unknown>(w) || !readable) return Unknown{};
  return finish(c, node, convolve(c, node, *x, w, bias), 6, x->is_unsigned);
}

// a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero.
Value matmul(Context& c, const Node& node) {
  const std::optional<Activation> x = integer_activation(c, node, 0, 1);
  const Value w = weights(c, node, 3);
  if (!x || std::holds_alternative<Unknown>(w)) return Unknown{};
  return finish(c, node, multiply(c, node, *x, w, false, std::nullopt), 6, x->is_unsigned);
}

// a, a_scale, a_zero, b, b_scale, b_zero, bias, y_scale, y_zero; a float result without y_scale.
Value gemm(Context& c, const Node& node) {
  if (node.real("alpha").value_or(1.0F) != 1.0F || node.integer("transA").value_or(0) != 0) {
    return c.refuse(node, "alpha must be 1 and transA 0", "fold them into the weights");
  }
  std::optional<Numbers> bias;
  const std::optional<Activation> x = integer_activation(c, node, 0, 1);
  const Value w = weights(c, node, 3);
  const bool readable = read_bias(c, node, 6, bias);
  if (!x || std::holds_alternative<Unknown>(w) || !readable) return Unknown{};
  Value computed = multiply(c, node, *x, w, node.integer("transB").value_or(0) != 0, bias);
  return node.has_input(7) ? finish(c, node, std::move(computed), 7, x->is_unsigned)
                           : std::move(computed);
}

// What becomes of a node of a, a_scale, a_zero, b, b_scale, b_zero of which one is constant;
// nullopt where none is.
using WithConstant = Value (*)(Context& c, const Node& node, int operand, const Value& constant);
std::optional<Value> with_constant(Context& c, const Node& node, WithConstant compute) {
  for (const int at : {0, 3}) {
    const int other = 3 - at;
    const Value* constant = c.resolve(node, other);
    if (c.resolve(node, at) == nullptr || constant == nullptr) return Unknown{};
    const auto* plain = std::get_if<ConstantPtr>(constant);
    if (plain == nullptr) continue;
    std::optional<QuantizedConstant> q = constant_parameters(c, node, other + 1, *plain);
    if (!q) return Unknown{};
    const Value values = std::make_shared<const QuantizedConstant>(*std::move(q));
    // Operands and result are of one type, which a zero point need not repeat.
    return finish(c, node, compute(c, node, at, values), 6, (*plain)->element == Element::kUint8);
  }
  return std::nullopt;
}

// a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero; one of the two may be constant.
Value add(Context& c, const Node& node) {
  if (std::optional<Value> made = with_constant(c, node, &add_constant)) return *std::move(made);
  const std::optional<Activation> a = integer_activation(c, node, 0, 1);
  const std::optional<Activation> b = integer_activation(c, node, 3, 4);
  if (!a || !b) return Unknown{};
  return finish(c, node, Context::waiting(c.builder.add(node.where(), a->operand, b->operand)), 6,
                a->is_unsigned);
}

// Likewise.
Value multiply_elements(Context& c, const Node& node) {
  if (std::optional<Value> made = with_constant(c, node, &multiply_constant)) {
    return *std::move(made);
  }
  const std::optional<Activation> a = integer_activation(c, node, 0, 1);
  const std::optional<Activation> b = integer_activation(c, node, 3, 4);
  if (!a || !b) return Unknown{};
  return finish(c, node, Context::waiting(c.builder.multiply(node.where(), a->operand, b->operand)),
                6, a->is_unsigned);
}

// y_scale, y_zero, then x, x_scale, x_zero of each operand.
Value concat(Context& c, const Node& node) {
  std::vector<Activation> operands;
  for (int at = 2; at + 2 < node.proto().input_size(); at += 3) {
    const std::optional<Activation> x = integer_activation(c, node, at, at + 1);
    if (!x) return Unknown{};
    operands.push_back(*x);
  }
  if (operands.empty()) return c.refuse(node, "joins nothing", kDamagedNext);
  return finish(c, node, join(c, node, operands), 0, operands.front().is_unsigned);
}

// x, x_scale, x_zero, y_scale, y_zero.
Value average_pool(Context& c, const Node& node) {
  const std::optional<Activation> x = integer_activation(c, node, 0, 1);
  if (!x) return Unknown{};
  return finish(c, node, Context::waiting(pool_window(c, node, x->operand, true)), 3,
                x->is_unsigned);
}

Value global_average_pool(Context& c, const Node& node) {
  const std::optional<Activation> x = integer_activation(c, node, 0, 1);
  if (!x) return Unknown{};
  const ImageAxes axes = image_axes(node, x->operand.view.rank());
  return finish(c, node, Context::waiting(pool_whole(c, node, x->operand, axes, true)), 3,
                x->is_unsigned);
}

}  // namespace

std::span<const Handler> integer_handlers() {
  static constexpr Handler kHandlers[]{
      {"QGemm", &gemm},
      {"QLinearAdd", &add},
      {"QLinearAveragePool", &average_pool},
      {"QLinearConcat", &concat},
      {"QLinearConv", &convolution},
      {"QLinearGlobalAveragePool", &global_average_pool},
      {"QLinearMatMul", &matmul},
      {"QLinearMul", &multiply_elements},
      {"QLinearSoftmax", &behind_classifier},
  };
  return kHandlers;
}

}  // namespace espalier::onnx_detail
