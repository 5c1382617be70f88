// Models of a tensor scaled and shifted by constants, one number a channel, that no layer took in,
// and what a runtime computes there in single precision.
#pragma once

#include <cmath>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "espalier/support/rng.hpp"
#include "onnx_builder.hpp"

namespace espalier::testing {

struct NumbersModel {
  static constexpr int kChannels = 24;

  OnnxBuilder builder;
  ir::Quantization in;
  ir::Quantization out;
  /// Of a channel and a real value, in the runtime's order.
  std::function<float(std::size_t, float)> formula;
};

/// Ways to write them.
enum class NumbersForm { kBatchNormalization, kBatchNormalizationAndRelu, kMulAdd, kSub, kDiv };
inline constexpr NumbersForm kNumbersForms[]{
    NumbersForm::kBatchNormalization, NumbersForm::kBatchNormalizationAndRelu, NumbersForm::kMulAdd,
    NumbersForm::kSub, NumbersForm::kDiv};
inline std::ostream& operator<<(std::ostream& out, NumbersForm form) {
  return out << static_cast<int>(form);
}

/// [N,C,1,1] behind DequantizeLinear, the numbers, `result` behind the next one, classifier.
inline NumbersModel numbers_model(NumbersForm form, std::uint64_t seed) {
  constexpr int kChannels = NumbersModel::kChannels;
  Rng rng{seed, static_cast<std::uint64_t>(form)};
  const auto uniform = [&](double low, double high) {
    return static_cast<float>(rng.uniform(low, high));
  };
  const auto values = [&](double low, double high) {
    std::vector<float> made;
    for (int c = 0; c < kChannels; ++c) made.push_back(uniform(low, high));
    return made;
  };
  NumbersModel model;
  model.in = {uniform(0.01, 0.08), static_cast<int>(rng.uniform(-128, 128))};
  model.out = {uniform(0.01, 0.08), static_cast<int>(rng.uniform(-128, 128))};
  OnnxBuilder& b = model.builder;
  const std::string x = b.quantized(b.input("input", {0, kChannels, 1, 1}), "input", model.in.scale,
                                    model.in.zero_point);
  const auto constant = [&](const std::string& name, const std::vector<float>& numbers) {
    return b.constant<float>(name, {1, kChannels, 1, 1}, numbers);
  };
  std::string y = "y";
  if (form == NumbersForm::kBatchNormalization || form == NumbersForm::kBatchNormalizationAndRelu) {
    std::vector<float> gamma = values(-1.5, 1.5);
    gamma[3] = 0;  // a channel that was pruned
    const std::vector<float> beta = values(-1, 1);
    const std::vector<float> mean = values(-2, 2);
    const std::vector<float> variance = values(0.1, 2);
    const auto list = [&](const std::string& name, const std::vector<float>& numbers) {
      return b.constant<float>(name, {kChannels}, numbers);
    };
    set_attribute(b.node("BatchNormalization",
                         {x, list("gamma", gamma), list("beta", beta), list("mean", mean),
                          list("variance", variance)},
                         "y"),
                  "epsilon", 1e-3F);
    const bool relu = form == NumbersForm::kBatchNormalizationAndRelu;
    if (relu) y = b.relu("y", "relu");
    model.formula = [=](std::size_t c, float v) {
      const float factor = 1 / std::sqrt(variance[c] + 1e-3F) * gamma[c];
      const float normal = v * factor + (beta[c] - mean[c] * factor);
      return relu && normal < 0 ? 0.0F : normal;
    };
  } else if (form == NumbersForm::kMulAdd) {
    const std::vector<float> factors = values(-2, 2);
    const std::vector<float> shifts = values(-2, 2);
    b.node("Mul", {constant("factors", factors), x}, "product");
    b.node("Add", {"product", constant("shifts", shifts)}, "y");
    model.formula = [=](std::size_t c, float v) { return v * factors[c] + shifts[c]; };
  } else if (form == NumbersForm::kSub) {
    const std::vector<float> shifts = values(-2, 2);
    b.node("Sub", {constant("shifts", shifts), x}, "y");
    model.formula = [=](std::size_t c, float v) { return shifts[c] - v; };
  } else {
    const std::vector<float> divisors = values(0.4, 3);
    b.node("Div", {x, constant("divisors", divisors)}, "y");
    model.formula = [=](std::size_t c, float v) { return v / divisors[c]; };
  }
  b.classifier(b.quantized(y, "result", model.out.scale, model.out.zero_point), kChannels, 3);
  return model;
}

}  // namespace espalier::testing
