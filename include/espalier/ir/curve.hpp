// Real functions of one int8 tensor as 256 numbers: what activation functions compute, and whatever
// chain of them lies between two quantisations. Values are in single precision, as runtimes compute
// them, derivatives in double.
#pragma once

#include <array>
#include <functional>

#include "espalier/ir/graph.hpp"

namespace espalier::ir {

/// A function of one real number and its derivative.
struct RealFunction {
  std::function<float(float)> value;
  std::function<double(double)> derivative;
};

/// x * factor + offset.
RealFunction affine(float factor, float offset);
/// x within [low, high].
RealFunction clip(float low, float high);
RealFunction sigmoid();
RealFunction hyperbolic_tangent();
/// alpha * x + beta within [0, 1].
RealFunction hard_sigmoid(float alpha, float beta);
/// x * hard_sigmoid(1/6, 1/2)(x).
RealFunction hard_swish();
/// x, below zero x * slope.
RealFunction leaky_relu(float slope);
/// gamma * x, below zero gamma * alpha * (exp(x / width) - 1): Elu, Selu and Celu.
RealFunction exponential_linear(float alpha, float gamma, float width);
/// x * Phi(x) of the normal distribution, or its approximation by a hyperbolic tangent.
RealFunction gelu(bool approximate);
RealFunction softplus();
RealFunction softsign();
/// x * tanh(softplus(x)).
RealFunction mish();
RealFunction error_function();
RealFunction absolute();
RealFunction exponential();
RealFunction logarithm();
/// x to the power of `exponent`; square root and reciprocal are such.
RealFunction power(float exponent);
/// x, 0 up to `threshold`.
RealFunction thresholded(float threshold);

/// A function on the values of a quantised tensor; element q + 128 belongs to the integer q.
struct Curve {
  std::array<float, 256> values{};
  std::array<double, 256> slopes{};  ///< by the tensor's real value

  /// False where something is infinite or not a number.
  [[nodiscard]] bool finite() const;
};

/// The values themselves, (q - zero_point) * scale.
Curve identity(const Quantization& quantization);
/// function(curve).
Curve then(const Curve& curve, const RealFunction& function);
Curve product(const Curve& a, const Curve& b);
Curve sum(const Curve& a, const Curve& b);
Curve difference(const Curve& a, const Curve& b);
Curve quotient(const Curve& a, const Curve& b);

/// The table from `in` to `out`. Halves go to even in the quotient by the output's scale, as ONNX
/// defines it, or away from zero in the product with its reciprocal, as TFLite computes it.
Lookup quantized(const Curve& curve, const Quantization& in, const Quantization& out,
                 HalfRounding rounding);

/// Cuts the outputs off at [low, high]; derivatives vanish beyond.
void clamp(Lookup& table, int low, int high);

}  // namespace espalier::ir
