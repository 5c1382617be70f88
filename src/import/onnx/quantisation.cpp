// QuantizeLinear and DequantizeLinear: where floats become tensors of the graph.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "onnx/context.hpp"

namespace espalier::onnx_detail {
namespace {

using import_detail::usable_scale;

constexpr std::int64_t kPerChannelOpset = 13;
// Scales and quantised copies of constants that one file may claim.
constexpr std::size_t kMaxConstants = std::size_t{64} << 20;

struct ScaleAndZero {
  const Constant* scale = nullptr;
  const Constant* zero = nullptr;  // nullptr: none
};

std::optional<ScaleAndZero> scale_and_zero(Context& c, const Node& node, int at) {
  if (node.integer("block_size").value_or(0) != 0) {
    c.refuse(node, "blocked quantisation is not supported", kInt8Next);
    return std::nullopt;
  }
  ScaleAndZero found{.scale = c.constant(node, at, "the scale")};
  const bool has_zero = node.has_input(at + 1);
  if (has_zero) found.zero = c.constant(node, at + 1, "the zero point");
  if (found.scale == nullptr || (has_zero && found.zero == nullptr)) return std::nullopt;
  return found;
}

// QuantizeLinear on float weights, as tools for quantisation-aware training write it.
Value quantize_constant(Context& c, const Node& node, const Constant& values) {
  if (!values.is_float())
    return c.refuse(node, "quantises a constant that is not float", kInt8Next);
  if (values.count() > kMaxConstants) return c.refuse(node, "is too large", kDamagedNext);
  auto quantized = std::make_shared<Constant>();
  quantized->dims = values.dims;
  quantized->element = Element::kUint8;
  if (node.has_input(2)) {
    const Constant* zero = c.constant(node, 2, "the zero point");
    if (zero == nullptr) return Unknown{};
    quantized->element = zero->element;
  }
  if (quantized->element != Element::kInt8 && quantized->element != Element::kUint8) {
    return c.refuse(node, "it quantises to another type than int8 or uint8", kInt8Next);
  }
  const std::optional<QuantizedConstant> parameters = constant_parameters(c, node, 1, quantized);
  if (!parameters) return Unknown{};
  const double low = quantized->element == Element::kUint8 ? 0 : -128;
  quantized->ints.reserve(values.count());
  for (std::size_t i = 0; i < values.count(); ++i) {
    const std::size_t s = scale_index(*parameters, i);
    const double q = std::nearbyint(static_cast<double>(values.floats[i]) / parameters->scales[s]) +
                     parameters->zero_points[s];
    if (std::isnan(q)) return c.refuse(node, "a weight is not a number", "train the model again");
    quantized->ints.push_back(static_cast<std::int32_t>(std::clamp(q, low, low + 255)));
  }
  return ConstantPtr(std::move(quantized));
}

// The network's input where it is quantised: float, or integers that were cast.
Value quantize_input(Context& c, const Node& node, const NetworkInput& input,
                     const Parameters& parameters) {
  if (c.input_type == onnx::TensorProto::FLOAT) {
    return open_input(c, node, input, parameters, std::string(node.output()));
  }
  // Integers cast to float keep their values only when they are quantised as they are.
  const bool unsigned_input = c.input_type == onnx::TensorProto::UINT8;
  if (!unsigned_input && c.input_type != onnx::TensorProto::INT8) {
    return c.refuse(node, "quantises an input that is not float",
                    "export the model with a float input, or an int8 or uint8 input and "
                    "DequantizeLinear");
  }
  const int offset = unsigned_input ? kUnsignedShift : 0;
  if (parameters.quantization.zero_point != -offset ||
      std::abs(static_cast<double>(parameters.quantization.scale) - 1) > 1e-6) {
    return c.refuse(node, "quantises an integer input to other integers",
                    "export the model with a float input, or an int8 or uint8 input and "
                    "DequantizeLinear");
  }
  return open_input(c, node, input, parameters, c.input_name);
}

Value quantize(Context& c, const Node& node) {
  Value* value = c.resolve(node, 0);
  if (value == nullptr) return Unknown{};
  if (const auto* values = std::get_if<ConstantPtr>(value)) {
    return quantize_constant(c, node, **values);
  }
  const std::optional<Parameters> parameters = activation_parameters(c, node, 1, true);
  if (!parameters) return Unknown{};
  if (const auto* input = std::get_if<NetworkInput>(value)) {
    return quantize_input(c, node, *input, *parameters);
  }
  if (std::holds_alternative<Logits>(*value)) return std::get<Logits>(*value);
  const std::string name(node.output());
  if (std::holds_alternative<PooledPtr>(*value)) {
    Pooled pooled = std::move(*std::get<PooledPtr>(*value));
    *value = Consumed{pooled.node, std::nullopt};
    std::optional<Draft> draft = pooled.pool(
        c, c.builder.finish(std::move(pooled.base), parameters->quantization, name + "_unpooled"));
    if (!draft) return Unknown{};
    const Activation written{c.builder.finish(*std::move(draft), parameters->quantization, name),
                             true, parameters->is_unsigned};
    *value = Consumed{pooled.node, written};
    return written;
  }
  if (std::holds_alternative<DraftPtr>(*value)) {
    const import_detail::Where where = std::get<DraftPtr>(*value)->node;
    const Activation written{
        c.builder.finish(Context::take(*value), parameters->quantization, name), true,
        parameters->is_unsigned};
    *value = Consumed{where, written};
    return written;
  }
  if (const auto* found = std::get_if<MappedPtr>(value); found != nullptr) {
    const MappedPtr function = *found;
    std::optional<Draft> draft = c.builder.function(node.where(), function->x.operand,
                                                    function->curve, ir::HalfRounding::kToEven);
    if (!draft) return Unknown{};
    draft->node = function->node;
    return Activation{c.builder.finish(*std::move(draft), parameters->quantization, name), true,
                      parameters->is_unsigned};
  }
  if (const auto* consumed = std::get_if<Consumed>(value); consumed != nullptr) {
    // Some tools quantise once for every reader.
    if (consumed->written && consumed->written->is_unsigned == parameters->is_unsigned &&
        c.builder.tensor(consumed->written->operand.tensor).quantization ==
            parameters->quantization) {
      return *consumed->written;
    }
  }
  const std::optional<Activation> x = c.activation(node, 0);
  if (!x) return Unknown{};
  if (c.builder.tensor(x->operand.tensor).quantization == parameters->quantization) {
    return Activation{x->operand, true, parameters->is_unsigned};
  }
  // Zeros around an image stay zeros.
  Operand bare = x->operand;
  bare.pads.clear();
  std::optional<Draft> rescale = c.builder.rescale(node.where(), bare);
  if (!rescale) return Unknown{};
  Activation written{c.builder.finish(*std::move(rescale), parameters->quantization, name), true,
                     parameters->is_unsigned};
  written.operand.pads = x->operand.pads;
  return written;
}

Value dequantize_constant(Context& c, const Node& node, const ConstantPtr& values) {
  if (values->is_float()) return c.refuse(node, "dequantises a float constant", kInt8Next);
  if (node.has_input(2)) {
    const Constant* point = c.constant(node, 2, "the zero point");
    if (point == nullptr) return Unknown{};
    if (point->element != values->element) {
      return c.refuse(node,
                      fmt::format("the constant is {} and its zero point {}",
                                  element_name(values->element), element_name(point->element)),
                      kDamagedNext);
    }
  }
  std::optional<QuantizedConstant> result = constant_parameters(c, node, 1, values);
  if (!result) return Unknown{};
  return std::make_shared<const QuantizedConstant>(*std::move(result));
}

Value dequantize_input(Context& c, const Node& node, const NetworkInput& input) {
  const bool is_unsigned = c.input_type == onnx::TensorProto::UINT8;
  if (!is_unsigned && c.input_type != onnx::TensorProto::INT8) {
    return c.refuse(node, "dequantises an input that is neither int8 nor uint8", kInt8Next);
  }
  const std::optional<Parameters> parameters = activation_parameters(c, node, 1, is_unsigned);
  if (!parameters) return Unknown{};
  if (parameters->is_unsigned != is_unsigned) {
    return c.refuse(node, "the zero point is of another type than the input", kDamagedNext);
  }
  Value opened = open_input(c, node, input, *parameters, c.input_name);
  if (auto* x = std::get_if<Activation>(&opened)) x->quantized = false;
  return opened;
}

Value dequantize(Context& c, const Node& node) {
  Value* value = c.resolve(node, 0);
  if (value == nullptr) return Unknown{};
  if (const auto* values = std::get_if<ConstantPtr>(value)) {
    return dequantize_constant(c, node, *values);
  }
  if (std::holds_alternative<Logits>(*value)) return std::get<Logits>(*value);
  if (std::holds_alternative<Unknown>(*value)) return Unknown{};
  if (const auto* input = std::get_if<NetworkInput>(value)) {
    return dequantize_input(c, node, *input);
  }
  if (std::holds_alternative<TablePtr>(*value) && !finish_table(c, std::string(node.input(0)))) {
    return Unknown{};
  }
  const auto* x = std::get_if<Activation>(value);
  if (x == nullptr || !x->quantized) {
    return c.refuse(node, "dequantises a float tensor", "put a QuantizeLinear before it");
  }
  const std::optional<Parameters> parameters = activation_parameters(c, node, 1, x->is_unsigned);
  if (!parameters) return Unknown{};
  if (parameters->is_unsigned != x->is_unsigned ||
      !(parameters->quantization == c.builder.tensor(x->operand.tensor).quantization)) {
    return c.refuse(node, "its scale, zero point or type differ from those of what was quantised",
                    "use the same parameters for both");
  }
  Activation real = *x;
  real.quantized = false;
  return real;
}

}  // namespace

std::size_t scale_index(const QuantizedConstant& q, std::size_t i) {
  if (q.per_tensor()) return 0;
  std::size_t inner = 1;
  for (std::size_t d = static_cast<std::size_t>(q.axis) + 1; d < q.values->dims.size(); ++d) {
    inner *= static_cast<std::size_t>(q.values->dims[d]);
  }
  return i / inner % q.scales.size();
}

bool finish_table(Context& c, const std::string& name) {
  for (int i = 0; i < c.model.node_size(); ++i) {
    const Node node(c.model.node(i), i);
    if (node.type() != "DequantizeLinear" || node.input(0) != name) continue;
    const std::optional<Parameters> parameters = activation_parameters(c, node, 1, false);
    Value* value = c.resolve(node, 0);
    if (!parameters || value == nullptr) return false;
    Table table = std::move(*std::get<TablePtr>(*value));
    *value =
        Activation{c.builder.finish(std::move(table.draft), parameters->quantization, table.output),
                   true, false};
    return true;
  }
  c.diagnostics.add(
      fmt::format("tensor '{}' is read by no DequantizeLinear, which would say its "
                  "scale; {}",
                  printable(name), kDamagedNext));
  return false;
}

std::optional<Parameters> activation_parameters(Context& c, const Node& node, int at,
                                                bool unsigned_default) {
  const std::optional<ScaleAndZero> found = scale_and_zero(c, node, at);
  if (!found) return std::nullopt;
  const auto refused = [&](std::string_view why, std::string_view next) {
    c.refuse(node, why, next);
    return std::nullopt;
  };
  const Constant& scale = *found->scale;
  if (!scale.is_float() || scale.count() != 1) {
    return refused(fmt::format("the scale of an activation is a {} of [{}], not one float",
                               element_name(scale.element), dims_text(scale.dims)),
                   "quantise activations per tensor");
  }
  if (!usable_scale(scale.floats[0])) {
    return refused(fmt::format("scale {} is not a positive number", scale.floats[0]),
                   "quantise the model again");
  }
  Parameters parameters{{scale.floats[0], 0}, unsigned_default};
  if (const Constant* zero = found->zero; zero != nullptr) {
    if ((zero->element != Element::kInt8 && zero->element != Element::kUint8) ||
        zero->count() != 1) {
      return refused(fmt::format("the zero point is a {} of [{}], not one int8 or uint8",
                                 element_name(zero->element), dims_text(zero->dims)),
                     kInt8Next);
    }
    parameters.is_unsigned = zero->element == Element::kUint8;
    parameters.quantization.zero_point = zero->ints[0];
  } else if (const auto type = node.integer("output_dtype"); type && *type != 0) {
    if (*type != onnx::TensorProto::INT8 && *type != onnx::TensorProto::UINT8) {
      return refused("it quantises to another type than int8 or uint8", kInt8Next);
    }
    parameters.is_unsigned = *type == onnx::TensorProto::UINT8;
  }
  if (parameters.is_unsigned) parameters.quantization.zero_point -= kUnsignedShift;
  return parameters;
}

std::optional<QuantizedConstant> constant_parameters(Context& c, const Node& node, int at,
                                                     ConstantPtr values) {
  const std::optional<ScaleAndZero> found = scale_and_zero(c, node, at);
  if (!found) return std::nullopt;
  const auto refused = [&](std::string_view why) {
    c.refuse(node, why, kInt8Next);
    return std::nullopt;
  };
  const Constant& scale = *found->scale;
  const Constant* zero = found->zero;
  if (!scale.is_float() || scale.count() == 0 || scale.dims.size() > 1) {
    return refused("the scale is not a float or a list of floats");
  }
  if (!std::all_of(scale.floats.begin(), scale.floats.end(), usable_scale)) {
    return refused("a scale is not a positive number");
  }
  QuantizedConstant result{std::move(values), scale.floats, {}, 0};
  if (scale.count() > 1) {
    const auto rank = static_cast<std::int64_t>(result.values->dims.size());
    std::int64_t axis = node.integer("axis").value_or(1);
    if (axis < 0) axis += rank;
    // Rank 1 leaves no choice, and some exporters leave the attribute out there.
    if (rank == 1) axis = 0;
    // Operators on integers have no axis: their scales go by outputs.
    if (at > 1)
      axis = node.type() == "QLinearConv" || node.integer("transB").value_or(0) != 0 ? 0 : rank - 1;
    if (axis < 0 || axis >= rank ||
        result.values->dims[static_cast<std::size_t>(axis)] !=
            static_cast<std::int64_t>(scale.count())) {
      return refused(fmt::format("{} scales do not fit axis {} of [{}]", scale.count(), axis,
                                 dims_text(result.values->dims)));
    }
    if (at == 1 && c.opset > 0 && c.opset < kPerChannelOpset &&
        is_standard_domain(node.proto().domain())) {
      return refused(
          fmt::format("opset {} has one scale a tensor, here are {}", c.opset, scale.count()));
    }
    result.axis = static_cast<int>(axis);
  }
  if (zero == nullptr) {
    result.zero_points.assign(scale.count(), 0);
  } else if (zero->is_float() || (zero->count() != scale.count() && zero->count() != 1)) {
    return refused("scale and zero point differ in size");
  } else if (zero->count() == 1) {
    result.zero_points.assign(scale.count(), zero->ints[0]);
  } else {
    result.zero_points = zero->ints;
  }
  return result;
}

Value open_input(Context& c, const Node& node, const NetworkInput& input,
                 const Parameters& parameters, const std::string& name) {
  if (!c.builder.has_input()) {
    using enum ir::InputElement;
    const ir::InputElement element = c.input_type == onnx::TensorProto::FLOAT   ? kFloat
                                     : c.input_type == onnx::TensorProto::UINT8 ? kUint8
                                                                                : kInt8;
    const ImageAxes axes = c.input_dims.size() == 1
                               ? ImageAxes{.rows = -1, .columns = -1, .channels = 0}
                               : channels_first(c.input_dims.size());
    c.builder.open_input(name, c.input_dims, axes, parameters.quantization, element);
  } else if (!(c.builder.tensor(c.builder.graph().input).quantization == parameters.quantization)) {
    return c.refuse(node, "the network's input is quantised twice, with different parameters",
                    "quantise it once and let every reader use the quantised tensor");
  }
  return Activation{Operand{c.builder.graph().input, input.view, input.pads}, true,
                    parameters.is_unsigned};
}

std::optional<Activation> integer_activation(Context& c, const Node& node, int x, int scale) {
  const Value* value = c.resolve(node, x);
  if (value == nullptr || std::holds_alternative<Unknown>(*value)) return std::nullopt;
  Value opened;
  if (const auto* input = std::get_if<NetworkInput>(value);
      input != nullptr && c.input_type != onnx::TensorProto::FLOAT) {
    const bool is_unsigned = c.input_type == onnx::TensorProto::UINT8;
    const std::optional<Parameters> parameters = activation_parameters(c, node, scale, is_unsigned);
    if (!parameters) return std::nullopt;
    opened = open_input(c, node, *input, *parameters, c.input_name);
    value = &opened;
    if (std::holds_alternative<Unknown>(opened)) return std::nullopt;
  }
  const auto* found = std::get_if<Activation>(value);
  if (found == nullptr) {
    c.report_not_activation(node, x, *value);
    return std::nullopt;
  }
  const std::optional<Parameters> parameters =
      activation_parameters(c, node, scale, found->is_unsigned);
  if (!parameters) return std::nullopt;
  if (!found->quantized) {
    c.refuse(node, "reads a float tensor, and is defined on integers", kQuantizeNext);
    return std::nullopt;
  }
  if (parameters->is_unsigned != found->is_unsigned ||
      !(parameters->quantization == c.builder.tensor(found->operand.tensor).quantization)) {
    c.refuse(node, "its scale, zero point or type differ from those of what was quantised",
             "use the same parameters for both");
    return std::nullopt;
  }
  return *found;
}

std::span<const Handler> quantisation_handlers() {
  static constexpr Handler kHandlers[]{{"QuantizeLinear", &quantize},
                                       {"DequantizeLinear", &dequantize}};
  return kHandlers;
}

}  // namespace espalier::onnx_detail
