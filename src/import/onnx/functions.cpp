// Activation functions: real functions of one tensor between its DequantizeLinear and the next
// QuantizeLinear, tabulated however many nodes they take; and tables as Espalier exports them.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "espalier/import/metadata.hpp"
#include "onnx/context.hpp"

namespace espalier::onnx_detail {
namespace {

using ir::Curve;
using ir::RealFunction;

// A function of input 0, or Unknown after a diagnostic.
Value apply(Context& c, const Node& node, const RealFunction& function) {
  const std::optional<Mapped> x = c.mapped(node, 0);
  if (!x) return Unknown{};
  return Context::mapping(x->x, ir::then(x->curve, function), node);
}

Value hard_swish(Context& c, const Node& node) { return apply(c, node, ir::hard_swish()); }
Value hyperbolic_tangent(Context& c, const Node& node) {
  return apply(c, node, ir::hyperbolic_tangent());
}
Value softplus(Context& c, const Node& node) { return apply(c, node, ir::softplus()); }
Value softsign(Context& c, const Node& node) { return apply(c, node, ir::softsign()); }
Value mish(Context& c, const Node& node) { return apply(c, node, ir::mish()); }
Value error_function(Context& c, const Node& node) { return apply(c, node, ir::error_function()); }
Value absolute(Context& c, const Node& node) { return apply(c, node, ir::absolute()); }
Value exponential(Context& c, const Node& node) { return apply(c, node, ir::exponential()); }
Value logarithm(Context& c, const Node& node) { return apply(c, node, ir::logarithm()); }
Value square_root(Context& c, const Node& node) { return apply(c, node, ir::power(0.5F)); }
Value reciprocal(Context& c, const Node& node) { return apply(c, node, ir::power(-1)); }
Value negate(Context& c, const Node& node) { return apply(c, node, ir::affine(-1, 0)); }

Value hard_sigmoid(Context& c, const Node& node) {
  return apply(
      c, node,
      ir::hard_sigmoid(node.real("alpha").value_or(0.2F), node.real("beta").value_or(0.5F)));
}
float leaky_slope(const Node& node) { return node.real("alpha").value_or(0.01F); }
Value leaky_relu(Context& c, const Node& node) {
  return apply(c, node, ir::leaky_relu(leaky_slope(node)));
}
Value elu(Context& c, const Node& node) {
  return apply(c, node, ir::exponential_linear(node.real("alpha").value_or(1.0F), 1, 1));
}
Value selu(Context& c, const Node& node) {
  return apply(c, node,
               ir::exponential_linear(node.real("alpha").value_or(1.67326319F),
                                      node.real("gamma").value_or(1.05070102F), 1));
}
Value celu(Context& c, const Node& node) {
  const float alpha = node.real("alpha").value_or(1.0F);
  return apply(c, node, ir::exponential_linear(alpha, 1, alpha));
}
Value gelu(Context& c, const Node& node) {
  return apply(c, node, ir::gelu(node.string("approximate").value_or("none") == "tanh"));
}

Value thresholded_relu(Context& c, const Node& node) {
  return apply(c, node, ir::thresholded(node.real("alpha").value_or(1.0F)));
}

Value power(Context& c, const Node& node) {
  const Value* exponent = c.resolve(node, 1);
  if (exponent == nullptr || std::holds_alternative<Unknown>(*exponent)) return Unknown{};
  const std::vector<double> real = real_elements(*exponent);
  if (real.size() != 1) {
    return c.refuse(node, "its exponent is not one constant float", "raise to one number");
  }
  return apply(c, node, ir::power(static_cast<float>(real[0])));
}

// One slope, or one a channel.
Value parametric_relu(Context& c, const Node& node) {
  const Value* slopes = c.resolve(node, 1);
  if (slopes == nullptr || std::holds_alternative<Unknown>(*slopes)) return Unknown{};
  const std::vector<double> real = real_elements(*slopes);
  if (real.empty()) return c.refuse(node, "its slopes are not constant numbers", kDamagedNext);
  if (!std::all_of(real.begin(), real.end(), [&](double r) { return r == real[0]; })) {
    const std::optional<Activation> x = c.activation(node, 0);
    const std::optional<Operand> own =
        x ? c.builder.settled(node.where(), x->operand) : std::nullopt;
    if (!own) return Unknown{};
    if (!along_channels(*constant_dims(*slopes), own->view,
                        c.builder.tensor(own->tensor).shape.channels)) {
      return c.refuse(node, fmt::format("it has {} slopes, not one a channel", real.size()),
                      "share the slopes of a channel over rows and columns");
    }
    return Context::waiting(c.builder.leaky_channels(node.where(), x->operand, real));
  }
  return apply(c, node, ir::leaky_relu(static_cast<float>(real[0])));
}

// Behind the classifier it only says that there are two classes; elsewhere it is a function.
Value sigmoid(Context& c, const Node& node) {
  const Value* value = c.resolve(node, 0);
  if (value == nullptr) return Unknown{};
  const bool scores = std::holds_alternative<Logits>(*value) || c.averages_end_at(node);
  return scores ? behind_classifier(c, node) : apply(c, node, ir::sigmoid());
}

// x, x_scale, x_zero, y_scale, y_zero.
Value apply_to_integers(Context& c, const Node& node, const RealFunction& function) {
  const std::optional<Activation> x = integer_activation(c, node, 0, 1);
  if (!x) return Unknown{};
  const std::optional<Parameters> parameters = activation_parameters(c, node, 3, x->is_unsigned);
  if (!parameters) return Unknown{};
  const Curve curve =
      ir::then(ir::identity(c.builder.tensor(x->operand.tensor).quantization), function);
  std::optional<Draft> draft =
      c.builder.function(node.where(), x->operand, curve, ir::HalfRounding::kToEven);
  if (!draft) return Unknown{};
  return Activation{
      c.builder.finish(*std::move(draft), parameters->quantization, std::string(node.output())),
      true, parameters->is_unsigned};
}

Value integer_leaky_relu(Context& c, const Node& node) {
  return apply_to_integers(c, node, ir::leaky_relu(leaky_slope(node)));
}
Value integer_sigmoid(Context& c, const Node& node) {
  const Value* value = c.resolve(node, 0);
  if (value == nullptr) return Unknown{};
  const bool scores = std::holds_alternative<Logits>(*value) || c.averages_end_at(node);
  return scores ? behind_classifier(c, node) : apply_to_integers(c, node, ir::sigmoid());
}

}  // namespace

Value look_up(Context& c, const Node& node, const Constant& table, const Activation& index) {
  const auto refused = [&](std::string_view why) {
    return c.refuse(node, why, "only tables of 256 int8 values over int8 activations are known");
  };
  if (table.element != Element::kInt8 || table.dims != Dims{256} ||
      node.integer("axis").value_or(0) != 0) {
    return refused("gathers from another constant than 256 int8 values");
  }
  if (index.is_unsigned) return refused("gathers by a uint8 activation");
  ir::Lookup made;
  for (std::size_t i = 0; i < made.outputs.size(); ++i) {
    // The table begins with the output of 0; indices below it count from the end.
    made.outputs[i] = static_cast<std::int8_t>(table.ints[(i + 128) % made.outputs.size()]);
  }
  if (const auto known = c.derivatives(node.output())) {
    made.derivatives = *known;
  } else {
    for (std::size_t i = 0; i < made.outputs.size(); ++i) {
      const std::size_t below = i == 0 ? 0 : i - 1;
      const std::size_t above = std::min<std::size_t>(i + 1, 255);
      made.derivatives[i] = static_cast<float>(made.outputs[above] - made.outputs[below]) /
                            static_cast<float>(above - below);
    }
  }
  std::optional<Draft> draft = c.builder.function(node.where(), index.operand,
                                                  [made](const ir::Quantization&) { return made; });
  if (!draft) return Unknown{};
  // Scale and zero point come with the DequantizeLinear behind it.
  return std::make_unique<Table>(Table{*std::move(draft), std::string(node.output())});
}

std::span<const Handler> function_handlers() {
  static constexpr Handler kHandlers[]{
      {"Abs", &absolute},
      {"Celu", &celu},
      {"Elu", &elu},
      {"Erf", &error_function},
      {"Exp", &exponential},
      {"Gelu", &gelu},
      {"HardSigmoid", &hard_sigmoid},
      {"HardSwish", &hard_swish},
      {"LeakyRelu", &leaky_relu},
      {"Log", &logarithm},
      {"Mish", &mish},
      {"Neg", &negate},
      {"PRelu", &parametric_relu},
      {"Pow", &power},
      {"QLinearLeakyRelu", &integer_leaky_relu},
      {"QLinearSigmoid", &integer_sigmoid},
      {"Reciprocal", &reciprocal},
      {"Selu", &selu},
      {"Sigmoid", &sigmoid},
      {"Softplus", &softplus},
      {"Softsign", &softsign},
      {"Sqrt", &square_root},
      {"Tanh", &hyperbolic_tangent},
      {"ThresholdedRelu", &thresholded_relu},
  };
  return kHandlers;
}

}  // namespace espalier::onnx_detail
