// Models around an activation function, in one node or several.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <ostream>
#include <string>

#include "onnx_builder.hpp"

namespace espalier::testing {

inline constexpr float kIn = 0.04F;
inline constexpr int kInZero = 7;
inline constexpr float kOut = 0.03F;
inline constexpr int kOutZero = -40;

// [N,2,3,3] behind DequantizeLinear, whatever `nodes` makes of it, quantised, global mean and
// classifier.
inline OnnxBuilder around(const std::function<std::string(OnnxBuilder&, const std::string&)>& nodes,
                          int channels = 2, std::int64_t opset = 13) {
  OnnxBuilder b(opset);
  const std::string x = b.quantized(b.input("input", {0, 2, 3, 3}), "input", kIn, kInZero);
  const std::string y = b.quantized(nodes(b, x), "result", kOut, kOutZero);
  b.node("GlobalAveragePool", {y}, "mean");
  b.classifier(b.quantized("mean", "mean", kOut, kOutZero), channels, 3);
  return b;
}

/// Nodes between a DequantizeLinear and a QuantizeLinear, and what they compute.
struct FunctionCase {
  std::string name;
  std::function<std::string(OnnxBuilder&, const std::string&)> nodes;
  double (*formula)(double);
};
inline std::ostream& operator<<(std::ostream& out, const FunctionCase& c) { return out << c.name; }

inline std::string unary(OnnxBuilder& b, const std::string& type, const std::string& x) {
  const std::string name = "f" + type;
  b.node(type, {x}, name);
  return name;
}
inline double logistic(double x) { return 1 / (1 + std::exp(-x)); }
inline double hard_swish(double x) { return x * std::clamp(x + 3, 0.0, 6.0) / 6; }
inline std::string hard_sigmoid(OnnxBuilder& b, const std::string& x) {
  auto& node = b.node("HardSigmoid", {x}, "gate");
  set_attribute(node, "alpha", 1.0F / 6);
  set_attribute(node, "beta", 0.5F);
  return "gate";
}

inline const FunctionCase kFunctionCases[]{
    {"HardSwish", [](OnnxBuilder& b, const std::string& x) { return unary(b, "HardSwish", x); },
     hard_swish},
    {"HardSwishInTwo",
     [](OnnxBuilder& b, const std::string& x) {
       b.node("Mul", {x, hard_sigmoid(b, x)}, "f");
       return std::string("f");
     },
     hard_swish},
    {"HardSwishInFour",
     [](OnnxBuilder& b, const std::string& x) {
       b.node("Add", {x, b.scalar("three", 3)}, "shifted");
       b.node("Clip", {"shifted", b.scalar("low", 0), b.scalar("high", 6)}, "clipped");
       b.node("Mul", {x, "clipped"}, "six");
       b.node("Div", {"six", b.scalar("six_c", 6)}, "f");
       return std::string("f");
     },
     hard_swish},
    {"HardSigmoid", hard_sigmoid, [](double x) { return std::clamp(x / 6 + 0.5, 0.0, 1.0); }},
    {"Sigmoid", [](OnnxBuilder& b, const std::string& x) { return unary(b, "Sigmoid", x); },
     logistic},
    {"Swish",
     [](OnnxBuilder& b, const std::string& x) {
       b.node("Mul", {unary(b, "Sigmoid", x), x}, "swish");
       return std::string("swish");
     },
     [](double x) { return x * logistic(x); }},
    {"Gelu",
     [](OnnxBuilder& b, const std::string& x) {
       b.node("Div", {x, b.scalar("root", static_cast<float>(std::sqrt(2.0)))}, "scaled");
       b.node("Erf", {"scaled"}, "erf");
       b.node("Add", {"erf", b.scalar("one", 1)}, "shifted");
       b.node("Mul", {x, "shifted"}, "doubled");
       b.node("Mul", {"doubled", b.scalar("half", 0.5F)}, "f");
       return std::string("f");
     },
     [](double x) { return x * std::erfc(-x / std::sqrt(2.0)) / 2; }},
    {"Tanh", [](OnnxBuilder& b, const std::string& x) { return unary(b, "Tanh", x); },
     [](double x) { return std::tanh(x); }},
    {"LeakyRelu",
     [](OnnxBuilder& b, const std::string& x) {
       set_attribute(b.node("LeakyRelu", {x}, "f"), "alpha", 0.25F);
       return std::string("f");
     },
     [](double x) { return x < 0 ? 0.25 * x : x; }},
    {"PRelu",
     [](OnnxBuilder& b, const std::string& x) {
       b.node("PRelu", {x, b.constant<float>("slope", {2, 1, 1}, {0.3F, 0.3F})}, "f");
       return std::string("f");
     },
     [](double x) { return x < 0 ? 0.3 * x : x; }},
    {"Elu", [](OnnxBuilder& b, const std::string& x) { return unary(b, "Elu", x); },
     [](double x) { return x < 0 ? std::exp(x) - 1 : x; }},
    {"Softplus", [](OnnxBuilder& b, const std::string& x) { return unary(b, "Softplus", x); },
     [](double x) { return std::log(1 + std::exp(x)); }},
    {"Scaled",
     [](OnnxBuilder& b, const std::string& x) {
       b.node("Mul", {b.scalar("factor", -0.5F), x}, "f");
       return std::string("f");
     },
     [](double x) { return -0.5 * x; }},
    {"Square",
     [](OnnxBuilder& b, const std::string& x) {
       b.node("Mul", {x, x}, "f");
       return std::string("f");
     },
     [](double x) { return x * x; }},
    {"GeluOfPowers",
     [](OnnxBuilder& b, const std::string& x) {
       b.node("Pow", {x, b.scalar("three", 3)}, "cube");
       b.node("Mul", {"cube", b.scalar("cubic", 0.044715F)}, "third");
       b.node("Add", {x, "third"}, "inner");
       b.node("Mul", {"inner", b.scalar("root", 0.7978845608F)}, "scaled");
       b.node("Tanh", {"scaled"}, "tanh");
       b.node("Sub", {"tanh", b.scalar("minus", -1)}, "shifted");
       b.node("Mul", {x, "shifted"}, "doubled");
       b.node("Div", {"doubled", b.scalar("two", 2)}, "f");
       return std::string("f");
     },
     [](double x) {
       return x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))) / 2;
     }},
    {"SwishOfAnExponential",
     [](OnnxBuilder& b, const std::string& x) {
       b.node("Neg", {x}, "negated");
       b.node("Exp", {"negated"}, "exp");
       b.node("Add", {"exp", b.scalar("one", 1)}, "more");
       b.node("Div", {x, "more"}, "f");
       return std::string("f");
     },
     [](double x) { return x * logistic(x); }},
    {"ReciprocalOfOneMore",
     [](OnnxBuilder& b, const std::string& x) {
       b.node("Add", {unary(b, "Abs", x), b.scalar("one", 1)}, "more");
       b.node("Reciprocal", {"more"}, "f");
       return std::string("f");
     },
     [](double x) { return 1 / (1 + std::abs(x)); }},
    {"NumberOverAFunction",
     [](OnnxBuilder& b, const std::string& x) {
       b.node("Add", {unary(b, "Abs", x), b.scalar("two", 2)}, "more");
       b.node("Div", {b.scalar("three", 3), "more"}, "f");
       return std::string("f");
     },
     [](double x) { return 3 / (2 + std::abs(x)); }},
    {"OneWithoutIt",
     [](OnnxBuilder& b, const std::string& x) {
       b.node("Sub", {b.scalar("one", 1), unary(b, "Sigmoid", x)}, "f");
       return std::string("f");
     },
     [](double x) { return logistic(-x); }},
    {"Shrinkage",
     [](OnnxBuilder& b, const std::string& x) {
       b.node("Sub", {x, unary(b, "Tanh", x)}, "f");
       return std::string("f");
     },
     [](double x) { return x - std::tanh(x); }},
    {"LogarithmOfARoot",
     [](OnnxBuilder& b, const std::string& x) {
       b.node("Sqrt", {unary(b, "Abs", x)}, "root");
       b.node("Add", {"root", b.scalar("half", 0.5F)}, "more");
       b.node("Log", {"more"}, "f");
       return std::string("f");
     },
     [](double x) { return std::log(std::sqrt(std::abs(x)) + 0.5); }},
    {"ThresholdedRelu",
     [](OnnxBuilder& b, const std::string& x) {
       set_attribute(b.node("ThresholdedRelu", {x}, "f"), "alpha", 0.5F);
       return std::string("f");
     },
     [](double x) { return x > 0.5 ? x : 0; }},
    {"Reluified",
     [](OnnxBuilder& b, const std::string& x) {
       b.node("Relu", {unary(b, "Tanh", x)}, "relu");
       return std::string("relu");
     },
     [](double x) { return std::max(0.0, std::tanh(x)); }},
};

}  // namespace espalier::testing
