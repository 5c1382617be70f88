// Activation functions, as tables of what the runtime's own kernels compute.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "espalier/ir/curve.hpp"
#include "espalier/ir/fixed_point.hpp"
#include "tflite/context.hpp"

namespace espalier::tflite_detail {
namespace {

using ir::HalfRounding;
using ir::Quantization;
using ir::RealFunction;

// A function that the runtime tabulates itself: in single precision, halves away from zero.
Value tabulated(Context& c, const Node& node, const RealFunction& function) {
  const std::optional<Operand> x = c.activation(node, 0);
  if (!x) return Unknown{};
  const ir::Curve curve =
      ir::then(ir::identity(c.builder.tensor(x->tensor).quantization), function);
  return c.finish(node, c.builder.function(node.where, *x, curve, HalfRounding::kAwayFromZero),
                  tflite::Activation::NONE);
}

Value hyperbolic_tangent(Context& c, const Node& node) {
  return tabulated(c, node, ir::hyperbolic_tangent());
}
Value elu(Context& c, const Node& node) {
  return tabulated(c, node, ir::exponential_linear(1, 1, 1));
}
Value absolute(Context& c, const Node& node) { return tabulated(c, node, ir::absolute()); }
Value gelu(Context& c, const Node& node) {
  const auto* options = node.op.options_as_GeluOptions();
  return tabulated(c, node, ir::gelu(options != nullptr && options->approximate()));
}

// Behind the classifier it only says that there are two classes; elsewhere it is a function.
Value logistic(Context& c, const Node& node) {
  const bool scores = std::holds_alternative<Logits>(c.value(node.input(0))) ||
                      (c.averages && node.index > c.last_average);
  return scores ? behind_classifier(c, node) : tabulated(c, node, ir::sigmoid());
}

// The product of value and factor, rounded once.
std::int64_t scaled(std::int64_t value, double factor) {
  return ir::apply(ir::make_fixed_point(factor), static_cast<std::int32_t>(value));
}

// x, below zero x * slope, each by a fixed-point factor of its own. `negative` is that of the
// integers below zero.
Value leaky(Context& c, const Node& node, double slope) {
  const std::optional<Operand> x = c.activation(node, 0);
  if (!x) return Unknown{};
  const Quantization in = c.builder.tensor(x->tensor).quantization;
  const auto make = [in, slope](const Quantization& out) {
    const double factor = static_cast<double>(in.scale) / out.scale;
    const ir::Curve curve = ir::then(ir::identity(in), ir::leaky_relu(static_cast<float>(slope)));
    ir::Lookup table = ir::quantized(curve, in, out, HalfRounding::kAwayFromZero);
    for (int q = -128; q <= 127; ++q) {
      const int value = q - in.zero_point;
      // Factors have no sign.
      const std::int64_t units = value >= 0  ? scaled(value, factor)
                                 : slope < 0 ? scaled(-value, -slope * factor)
                                             : scaled(value, slope * factor);
      table.outputs[static_cast<std::size_t>(q + 128)] =
          static_cast<std::int8_t>(std::clamp<std::int64_t>(units + out.zero_point, -128, 127));
    }
    return table;
  };
  const std::optional<Quantization> out = c.quantization(node, node.output());
  if (!out) return Unknown{};
  const double factor = static_cast<double>(in.scale) / out->scale;
  if (!(std::max(1.0, std::abs(slope)) * factor < ir::kMaxFixedPointFactor)) {
    return c.refuse(node, "its scales or its slope are out of range", kDamagedNext);
  }
  return c.finish(node, c.builder.function(node.where, *x, make), tflite::Activation::NONE);
}

Value leaky_relu(Context& c, const Node& node) {
  const auto* options = node.op.options_as_LeakyReluOptions();
  if (options == nullptr) return c.refuse(node, "its options are missing", kDamagedNext);
  return leaky(c, node, options->alpha());
}

// One slope, or one a channel: its slopes are [1, 1, channels].
Value parametric_relu(Context& c, const Node& node) {
  const std::optional<Numbers> slopes = c.numbers(node, 1, "its slopes", 0);
  if (!slopes) return Unknown{};
  if (slopes->scales.empty() || slopes->count() == 0) {
    return c.refuse(node, "its slopes have no scale", kDamagedNext);
  }
  std::vector<double> real;
  for (std::size_t i = 0; i < slopes->count(); ++i) real.push_back(slopes->real(i, 0));
  if (std::all_of(real.begin(), real.end(), [&](double r) { return r == real[0]; })) {
    return leaky(c, node, real[0]);
  }
  const std::optional<Operand> x = c.activation(node, 0);
  const std::optional<Operand> own = x ? c.builder.settled(node.where, *x) : std::nullopt;
  if (!own) return Unknown{};
  const int channels = c.builder.tensor(own->tensor).shape.channels;
  if (!import_detail::along_channels(c.dims(node.input(1)), own->view, channels)) {
    return c.refuse(node,
                    fmt::format("its slopes of [{}] are not one a channel",
                                fmt::join(c.dims(node.input(1)), ",")),
                    "share the slopes of a channel over rows and columns (shared_axes=[1, 2])");
  }
  return c.finish(node, c.builder.leaky_channels(node.where, *x, real), tflite::Activation::NONE);
}

// ---- HARD_SWISH: the runtime computes it in 16-bit fixed point ----

std::int32_t saturate16(std::int64_t value) {
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(value, INT16_MIN, INT16_MAX));
}

// The upper half of twice the product, rounded or cut off.
std::int32_t high_product(std::int32_t a, std::int32_t b, bool round) {
  if (a == INT16_MIN && b == INT16_MIN) return INT16_MAX;
  const std::int32_t product = a * b;
  if (!round) return product / (1 << 15);
  return (product + (product >= 0 ? 1 << 14 : 1 - (1 << 14))) / (1 << 15);
}

// Divided by 2^exponent, halves away from zero.
std::int32_t divide_rounded(std::int32_t value, int exponent) {
  if (exponent == 0) return value;
  const std::int64_t half = std::int64_t{1} << (exponent - 1);
  const std::int64_t magnitude = (std::int64_t{std::abs(value)} + half) >> exponent;
  return static_cast<std::int32_t>(value < 0 ? -magnitude : magnitude);
}

// factor = multiplier / 2^15 * 2^exponent, multiplier in 16 bits.
struct ShortFactor {
  explicit ShortFactor(double factor) {
    const double mantissa = std::frexp(factor, &exponent);
    auto wide = static_cast<std::int64_t>(std::llround(std::ldexp(mantissa, 31)));
    if (wide == std::int64_t{1} << 31) {
      wide /= 2;
      ++exponent;
    }
    if (exponent < -31) {
      exponent = 0;
      wide = 0;
    }
    multiplier = wide >= INT32_MAX - (1 << 15)
                     ? INT16_MAX
                     : static_cast<std::int32_t>((wide + (1 << 15)) >> 16);
  }
  std::int32_t multiplier = 0;
  int exponent = 0;
};

std::int8_t hard_swish_of(int q, const Quantization& in, const Quantization& out,
                          const ShortFactor& to_output, const ShortFactor& to_gate) {
  const std::int32_t fine = (q - in.zero_point) * 128;
  const std::int32_t on_output_scale = high_product(fine, to_output.multiplier, true);
  // The gate x/6 + 1/2, where saturation cuts it off: shifted left in two steps, of which only the
  // last one's saturation counts.
  std::int32_t gate = fine;
  const auto shifted = [](std::int32_t value, int by) {
    return saturate16(std::int64_t{value} << std::min(by, 31));
  };
  if (to_gate.exponent > 0) gate = shifted(gate, to_gate.exponent - 1);
  gate = high_product(gate, to_gate.multiplier, true);
  if (to_gate.exponent > 0) gate = shifted(gate, 1);
  if (to_gate.exponent < 0) gate = divide_rounded(gate, -to_gate.exponent);
  gate = (gate + (1 << 15)) >> 1;
  const std::int32_t product = high_product(gate, on_output_scale, false);
  const std::int32_t units =
      saturate16(divide_rounded(product, -to_output.exponent) + std::int64_t{out.zero_point});
  return static_cast<std::int8_t>(std::clamp<std::int32_t>(units, -128, 127));
}

Value hard_swish(Context& c, const Node& node) {
  const std::optional<Operand> x = c.activation(node, 0);
  const std::optional<Quantization> out = c.quantization(node, node.output());
  if (!x || !out) return Unknown{};
  const Quantization in = c.builder.tensor(x->tensor).quantization;
  const float fine_scale = (1.0F / 128.0F) * in.scale;
  const ShortFactor to_output(fine_scale / out->scale);
  const ShortFactor to_gate(fine_scale / (3.0F / 32768.0F));
  if (to_output.exponent > 0) {
    return c.refuse(node, "its output has a scale below 1/128 of its input's",
                    "convert the model again; no runtime takes such a file");
  }
  const auto make = [=](const Quantization& to) {
    ir::Lookup table = ir::quantized(ir::then(ir::identity(in), ir::hard_swish()), in, to,
                                     HalfRounding::kAwayFromZero);
    for (int q = -128; q <= 127; ++q) {
      table.outputs[static_cast<std::size_t>(q + 128)] =
          hard_swish_of(q, in, to, to_output, to_gate);
    }
    return table;
  };
  return c.finish(node, c.builder.function(node.where, *x, make), tflite::Activation::NONE);
}

}  // namespace

std::span<const Handler> function_handlers() {
  static constexpr Handler kHandlers[]{{BuiltinOperator::ABS, &absolute},
                                       {BuiltinOperator::ELU, &elu},
                                       {BuiltinOperator::GELU, &gelu},
                                       {BuiltinOperator::HARD_SWISH, &hard_swish},
                                       {BuiltinOperator::LEAKY_RELU, &leaky_relu},
                                       {BuiltinOperator::LOGISTIC, &logistic},
                                       {BuiltinOperator::PRELU, &parametric_relu},
                                       {BuiltinOperator::TANH, &hyperbolic_tangent}};
  return kHandlers;
}

}  // namespace espalier::tflite_detail
