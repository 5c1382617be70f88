#include "espalier/ir/curve.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace espalier::ir {
namespace {

double logistic(double x) { return 1 / (1 + std::exp(-x)); }
double log_of_one_plus_exp(double x) {
  return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
}

// In double, rounded to single precision once.
RealFunction smooth(double (*value)(double), double (*derivative)(double)) {
  return {[value](float x) { return static_cast<float>(value(x)); }, derivative};
}

template <typename Function>
Curve combine(const Curve& a, const Curve& b, Function function) {
  Curve result;
  for (std::size_t i = 0; i < result.values.size(); ++i) {
    function(i, a, b, result.values[i], result.slopes[i]);
  }
  return result;
}

}  // namespace

RealFunction affine(float factor, float offset) {
  return {[=](float x) { return x * factor + offset; }, [=](double) { return double{factor}; }};
}

RealFunction clip(float low, float high) {
  return {[=](float x) { return std::min(std::max(x, low), high); },
          [=](double x) { return x >= low && x <= high ? 1.0 : 0.0; }};
}

RealFunction sigmoid() {
  return smooth(logistic, [](double x) { return logistic(x) * logistic(-x); });
}

RealFunction hyperbolic_tangent() {
  return smooth([](double x) { return std::tanh(x); },
                [](double x) { return 1 - std::tanh(x) * std::tanh(x); });
}

RealFunction hard_sigmoid(float alpha, float beta) {
  return {[=](float x) { return std::max(0.0F, std::min(1.0F, alpha * x + beta)); },
          [=](double x) {
            const double y = double{alpha} * x + beta;
            return y > 0 && y < 1 ? double{alpha} : 0.0;
          }};
}

RealFunction hard_swish() {
  const RealFunction gate = hard_sigmoid(1.0F / 6, 0.5F);
  return {[gate](float x) { return x * gate.value(x); },
          [](double x) { return x <= -3  ? 0.0
                                : x >= 3 ? 1.0
                                         : x / 3 + 0.5; }};
}

RealFunction leaky_relu(float slope) {
  return {[=](float x) { return x < 0 ? x * slope : x; },
          [=](double x) { return x < 0 ? double{slope} : 1.0; }};
}

RealFunction exponential_linear(float alpha, float gamma, float width) {
  return {[=](float x) {
            if (x >= 0) return gamma * x;
            return static_cast<float>(double{gamma} * alpha * std::expm1(double{x} / width));
          },
          [=](double x) {
            return double{gamma} * (x >= 0 ? 1.0 : double{alpha} / width * std::exp(x / width));
          }};
}

RealFunction gelu(bool approximate) {
  if (approximate) {
    constexpr double kCubic = 0.044715;
    static constexpr auto kInner = [](double x) {
      return std::sqrt(2 / std::numbers::pi) * (x + kCubic * x * x * x);
    };
    return smooth([](double x) { return 0.5 * x * (1 + std::tanh(kInner(x))); },
                  [](double x) {
                    const double t = std::tanh(kInner(x));
                    const double inner = std::sqrt(2 / std::numbers::pi) * (1 + 3 * kCubic * x * x);
                    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner;
                  });
  }
  return smooth([](double x) { return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2)); },
                [](double x) {
                  const double density = std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
                  return 0.5 * (1 + std::erf(x / std::numbers::sqrt2)) + x * density;
                });
}

RealFunction softplus() { return smooth(log_of_one_plus_exp, logistic); }

RealFunction softsign() {
  return smooth([](double x) { return x / (1 + std::abs(x)); },
                [](double x) { return 1 / ((1 + std::abs(x)) * (1 + std::abs(x))); });
}

RealFunction mish() {
  return smooth([](double x) { return x * std::tanh(log_of_one_plus_exp(x)); },
                [](double x) {
                  const double t = std::tanh(log_of_one_plus_exp(x));
                  return t + x * (1 - t * t) * logistic(x);
                });
}

RealFunction error_function() {
  return smooth([](double x) { return std::erf(x); },
                [](double x) { return 2 / std::sqrt(std::numbers::pi) * std::exp(-x * x); });
}

RealFunction absolute() {
  return {[](float x) { return std::abs(x); }, [](double x) { return x < 0 ? -1.0 : 1.0; }};
}

RealFunction exponential() {
  return smooth([](double x) { return std::exp(x); }, [](double x) { return std::exp(x); });
}

RealFunction logarithm() {
  return smooth([](double x) { return std::log(x); }, [](double x) { return 1 / x; });
}

RealFunction power(float exponent) {
  const double e = exponent;
  return {[e](float x) { return static_cast<float>(std::pow(double{x}, e)); },
          [e](double x) {
            // A root's tangent at zero is upright.
            return x == 0 && e > 0 && e < 1 ? 0.0 : e * std::pow(x, e - 1);
          }};
}

RealFunction thresholded(float threshold) {
  return {[=](float x) { return x > threshold ? x : 0.0F; },
          [=](double x) { return x > threshold ? 1.0 : 0.0; }};
}

bool Curve::finite() const {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }) &&
         std::all_of(slopes.begin(), slopes.end(), [](double s) { return std::isfinite(s); });
}

Curve identity(const Quantization& quantization) {
  Curve curve;
  for (int q = -128; q <= 127; ++q) {
    const auto i = static_cast<std::size_t>(q + 128);
    curve.values[i] = static_cast<float>(q - quantization.zero_point) * quantization.scale;
    curve.slopes[i] = 1;
  }
  return curve;
}

Curve then(const Curve& curve, const RealFunction& function) {
  Curve result;
  for (std::size_t i = 0; i < result.values.size(); ++i) {
    result.values[i] = function.value(curve.values[i]);
    result.slopes[i] = function.derivative(curve.values[i]) * curve.slopes[i];
  }
  return result;
}

Curve product(const Curve& left, const Curve& right) {
  return combine(left, right,
                 [](std::size_t i, const Curve& a, const Curve& b, float& value, double& slope) {
                   value = a.values[i] * b.values[i];
                   slope = a.slopes[i] * b.values[i] + b.slopes[i] * a.values[i];
                 });
}

Curve sum(const Curve& left, const Curve& right) {
  return combine(left, right,
                 [](std::size_t i, const Curve& a, const Curve& b, float& value, double& slope) {
                   value = a.values[i] + b.values[i];
                   slope = a.slopes[i] + b.slopes[i];
                 });
}

Curve difference(const Curve& left, const Curve& right) {
  return combine(left, right,
                 [](std::size_t i, const Curve& a, const Curve& b, float& value, double& slope) {
                   value = a.values[i] - b.values[i];
                   slope = a.slopes[i] - b.slopes[i];
                 });
}

Curve quotient(const Curve& left, const Curve& right) {
  return combine(left, right,
                 [](std::size_t i, const Curve& a, const Curve& b, float& value, double& slope) {
                   const double divisor = b.values[i];
                   value = a.values[i] / b.values[i];
                   slope = (a.slopes[i] - a.values[i] / divisor * b.slopes[i]) / divisor;
                 });
}

Lookup quantized(const Curve& curve, const Quantization& in, const Quantization& out,
                 HalfRounding rounding) {
  const float reciprocal = 1.0F / out.scale;
  Lookup table;
  for (std::size_t i = 0; i < table.outputs.size(); ++i) {
    const float units = rounding == HalfRounding::kToEven
                            ? std::nearbyint(curve.values[i] / out.scale)
                            : std::round(curve.values[i] * reciprocal);
    const double unclamped = double{units} + out.zero_point;
    const double clamped = std::clamp(unclamped, -128.0, 127.0);
    table.outputs[i] = static_cast<std::int8_t>(clamped);
    table.derivatives[i] =
        unclamped == clamped ? static_cast<float>(curve.slopes[i] * in.scale / out.scale) : 0.0F;
  }
  return table;
}

void clamp(Lookup& table, int low, int high) {
  for (std::size_t i = 0; i < table.outputs.size(); ++i) {
    const int clamped = std::clamp<int>(table.outputs[i], low, high);
    if (clamped != table.outputs[i]) table.derivatives[i] = 0.0F;
    table.outputs[i] = static_cast<std::int8_t>(clamped);
  }
}

}  // namespace espalier::ir
