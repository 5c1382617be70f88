// Activation functions against formulas in double and their central differences, and the rounding
// of tables.
#include "espalier/ir/curve.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <ostream>
#include <string>
#include <vector>

namespace espalier::ir {
namespace {

struct Function {
  std::string name;
  RealFunction function;
  double (*formula)(double);
  std::vector<double> kinks = {};
};

std::ostream& operator<<(std::ostream& out, const Function& f) { return out << f.name; }

double softplus_of(double x) { return std::log(1 + std::exp(x)); }

const Function kFunctions[]{
    {"Affine", affine(-0.5F, 2), [](double x) { return 2 - 0.5 * x; }},
    {"Clip", clip(-1, 2), [](double x) { return std::clamp(x, -1.0, 2.0); }, {-1, 2}},
    {"Sigmoid", sigmoid(), [](double x) { return 1 / (1 + std::exp(-x)); }},
    {"Tanh", hyperbolic_tangent(), [](double x) { return std::tanh(x); }},
    {"HardSigmoid",
     hard_sigmoid(0.2F, 0.5F),
     [](double x) { return std::clamp(0.2 * x + 0.5, 0.0, 1.0); },
     {-2.5, 2.5}},
    {"HardSwish",
     hard_swish(),
     [](double x) { return x * std::clamp(x + 3, 0.0, 6.0) / 6; },
     {-3, 3}},
    {"LeakyRelu", leaky_relu(0.1F), [](double x) { return x < 0 ? 0.1 * x : x; }, {0}},
    {"Elu",
     exponential_linear(1.5F, 1, 1),
     [](double x) { return x < 0 ? 1.5 * (std::exp(x) - 1) : x; },
     {0}},
    {"Selu",
     exponential_linear(1.67326319F, 1.05070102F, 1),
     [](double x) { return 1.05070102 * (x < 0 ? 1.67326319 * (std::exp(x) - 1) : x); },
     {0}},
    {"Celu",
     exponential_linear(2, 1, 2),
     [](double x) { return x < 0 ? 2 * (std::exp(x / 2) - 1) : x; },
     {0}},
    {"Gelu", gelu(false), [](double x) { return x * std::erfc(-x / std::sqrt(2.0)) / 2; }},
    {"GeluTanh", gelu(true),
     [](double x) {
       return 0.5 * x *
              (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * std::pow(x, 3))));
     }},
    {"Softplus", softplus(), softplus_of},
    {"Softsign", softsign(), [](double x) { return x / (1 + std::abs(x)); }},
    {"Mish", mish(), [](double x) { return x * std::tanh(softplus_of(x)); }},
    {"Erf", error_function(), [](double x) { return std::erf(x); }},
    {"Abs", absolute(), [](double x) { return std::abs(x); }, {0}},
};

class Functions : public ::testing::TestWithParam<Function> {};

TEST_P(Functions, HaveTheValuesOfTheirFormula) {
  const Function& f = GetParam();
  for (double x = -9; x <= 9; x += 0.0371) {
    const auto single = static_cast<float>(x);
    const double expected = f.formula(double{single});
    EXPECT_NEAR(f.function.value(single), expected, 2e-6 * (1 + std::abs(expected))) << x;
  }
}

TEST_P(Functions, HaveTheSlopesOfCentralDifferences) {
  const Function& f = GetParam();
  constexpr double kStep = 1e-5;
  for (double x = -9; x <= 9; x += 0.0371) {
    const bool at_kink = std::any_of(f.kinks.begin(), f.kinks.end(),
                                     [&](double kink) { return std::abs(x - kink) < 2 * kStep; });
    if (at_kink) continue;
    const double slope = (f.formula(x + kStep) - f.formula(x - kStep)) / (2 * kStep);
    EXPECT_NEAR(f.function.derivative(x), slope, 1e-6) << x;
  }
}

// Tables: derivatives in int8 units from differences of the unrounded function, none where outputs
// are cut off.
TEST_P(Functions, AreTabulated) {
  const Function& f = GetParam();
  const Quantization in{0.05F, 12};
  const Quantization out{0.02F, -20};
  const Lookup table = quantized(then(identity(in), f.function), in, out, HalfRounding::kToEven);
  const auto units = [&](double q) {
    return f.formula((q - in.zero_point) * in.scale) / out.scale + out.zero_point;
  };
  for (int q = -128; q <= 127; ++q) {
    const auto x = static_cast<std::int8_t>(q);
    EXPECT_NEAR(table.output(x), std::clamp(units(q), -128.0, 127.0), 0.5001) << q;
    if (units(q) < -128.6 || units(q) > 127.6) {
      EXPECT_EQ(table.derivative(x), 0) << q;
    } else if (units(q) > -128.4 && units(q) < 127.4) {
      constexpr double kStep = 1e-4;
      const double real = (q - in.zero_point) * static_cast<double>(in.scale);
      const bool at_kink = std::any_of(f.kinks.begin(), f.kinks.end(),
                                       [&](double kink) { return std::abs(real - kink) < 1e-4; });
      const double slope = (units(q + kStep) - units(q - kStep)) / (2 * kStep);
      if (at_kink) continue;
      EXPECT_NEAR(table.derivative(x), slope, 1e-4 * (1 + std::abs(slope))) << q;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Functions, ::testing::ValuesIn(kFunctions),
                         [](const auto& tested) { return tested.param.name; });

TEST(Curve, ProductsAndSumsFollowTheirRules) {
  const Quantization q{0.03F, 5};
  const Curve x = identity(q);
  const Curve swish = product(x, then(x, sigmoid()));
  const Curve twice = sum(x, swish);
  for (std::size_t i = 0; i < 256; ++i) {
    const double v = (static_cast<double>(i) - 128 - 5) * static_cast<double>(q.scale);
    const double s = 1 / (1 + std::exp(-v));
    EXPECT_NEAR(swish.values[i], v * s, 1e-6);
    EXPECT_NEAR(swish.slopes[i], s + v * s * (1 - s), 1e-6);
    EXPECT_NEAR(twice.values[i], v + v * s, 1e-6);
    EXPECT_NEAR(twice.slopes[i], 1 + s + v * s * (1 - s), 1e-6);
  }
}

TEST(Curve, HalvesRoundAsTheFormatsSay) {
  const Quantization in{1, 0};
  const Quantization out{2, 0};
  const Lookup even = quantized(identity(in), in, out, HalfRounding::kToEven);
  const Lookup away = quantized(identity(in), in, out, HalfRounding::kAwayFromZero);
  EXPECT_EQ(even.output(1), 0);
  EXPECT_EQ(even.output(3), 2);
  EXPECT_EQ(even.output(-1), 0);
  EXPECT_EQ(away.output(1), 1);
  EXPECT_EQ(away.output(3), 2);
  EXPECT_EQ(away.output(-1), -1);
}

TEST(Curve, ClampsCutDerivativesOffToo) {
  const Quantization q{1, 0};
  Lookup table = quantized(identity(q), q, q, HalfRounding::kToEven);
  clamp(table, -3, 4);
  EXPECT_EQ(table.output(-128), -3);
  EXPECT_EQ(table.derivative(-4), 0);
  EXPECT_EQ(table.derivative(-3), 1);
  EXPECT_EQ(table.derivative(4), 1);
  EXPECT_EQ(table.derivative(5), 0);
  EXPECT_EQ(table.output(127), 4);
}

}  // namespace
}  // namespace espalier::ir
