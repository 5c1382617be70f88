// One training step computed by the scalar reference kernels: int8 forward, gradients in double.
// Knows nothing of the compiler.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "espalier/ir/graph.hpp"
#include "espalier/kernels/reference.hpp"

namespace espalier::testing {

struct ReferenceStep {
  std::vector<std::vector<std::int8_t>> activations;  ///< by tensor
  std::vector<double> logits;
  double loss = 0;
  std::vector<std::vector<double>> weights;  ///< by op: dL/dw, OHWI; empty when no gradient came
  std::vector<std::vector<double>> bias;     ///< by op
  /// By op: of the channel with the most, the sum of the magnitudes that its bias gradient adds up.
  std::vector<double> bias_terms;
  std::vector<double> head_weights;
  std::vector<double> head_bias;
};

/// `first_op` ends the backward pass: gradients of earlier ops are not needed. With `logits` the
/// gradient starts from these, so that an error in large logits is not taken for one in gradients.
inline ReferenceStep reference_step(const ir::Graph& graph, std::span<const std::int8_t> input,
                                    int label, int first_op = 0,
                                    std::span<const float> logits = {}) {
  ReferenceStep step;
  step.activations.resize(graph.tensors.size());
  step.activations[static_cast<std::size_t>(graph.input)].assign(input.begin(), input.end());
  std::vector<std::vector<std::uint8_t>> masks;
  const auto inputs_of = [&](const ir::Op& op) {
    std::vector<std::vector<std::int8_t>> maps;
    for (const ir::TensorId id : op.inputs) {
      maps.push_back(step.activations[static_cast<std::size_t>(id)]);
    }
    return maps;
  };
  for (const ir::Op& op : graph.ops) {
    kernels::reference::Forward result = kernels::reference::forward(graph, op, inputs_of(op));
    step.activations[static_cast<std::size_t>(op.output)] = std::move(result.output);
    masks.push_back(std::move(result.mask));
  }
  const ir::Head& head = graph.head;
  const ir::Quantization q = graph.tensor(graph.features).quantization;
  const auto& features = step.activations[static_cast<std::size_t>(graph.features)];
  const auto classes = static_cast<std::size_t>(head.classes);
  std::vector<double> real(features.size());
  for (std::size_t f = 0; f < real.size(); ++f) {
    real[f] = (features[f] - q.zero_point) * static_cast<double>(q.scale);
  }
  for (std::size_t k = 0; k < classes; ++k) {
    double sum = head.bias[k];
    for (std::size_t f = 0; f < real.size(); ++f) {
      sum += real[f] * static_cast<double>(head.weights[k * real.size() + f]);
    }
    step.logits.push_back(sum);
  }
  const std::vector<double> own_logits = step.logits;
  if (!logits.empty()) step.logits.assign(logits.begin(), logits.end());
  const double best = *std::max_element(step.logits.begin(), step.logits.end());
  double total = 0;
  for (const double logit : step.logits) total += std::exp(logit - best);
  step.loss = std::log(total) + best - step.logits[static_cast<std::size_t>(label)];
  for (const double logit : step.logits) {
    step.head_bias.push_back(std::exp(logit - best) / total);
  }
  // The label's probability less 1, which has no digits left where the others are very small.
  double& of_label = step.head_bias[static_cast<std::size_t>(label)];
  of_label = 0;
  of_label = -std::accumulate(step.head_bias.begin(), step.head_bias.end(), 0.0);
  for (const double slope : step.head_bias) {
    for (const double x : real) step.head_weights.push_back(slope * x);
  }
  step.logits = own_logits;
  std::vector<std::vector<double>> gradient(graph.tensors.size());
  const auto add = [&](ir::TensorId id, const std::vector<double>& part) {
    std::vector<double>& sum = gradient[static_cast<std::size_t>(id)];
    if (sum.empty()) sum.assign(part.size(), 0.0);
    for (std::size_t i = 0; i < part.size(); ++i) sum[i] += part[i];
  };
  std::vector<double> feature_gradient(real.size(), 0.0);
  for (std::size_t k = 0; k < classes; ++k) {
    for (std::size_t f = 0; f < real.size(); ++f) {
      feature_gradient[f] += step.head_bias[k] *
                             static_cast<double>(head.weights[k * real.size() + f]) *
                             static_cast<double>(q.scale);
    }
  }
  add(graph.features, feature_gradient);
  step.weights.resize(graph.ops.size());
  step.bias.resize(graph.ops.size());
  step.bias_terms.assign(graph.ops.size(), 0.0);
  for (std::size_t i = graph.ops.size(); i-- > static_cast<std::size_t>(first_op);) {
    const ir::Op& op = graph.ops[i];
    const std::vector<double>& dy = gradient[static_cast<std::size_t>(op.output)];
    if (dy.empty()) continue;
    kernels::reference::Backward result =
        kernels::reference::backward(graph, op, inputs_of(op), masks[i], dy);
    for (std::size_t k = 0; k < op.inputs.size(); ++k) add(op.inputs[k], result.inputs[k]);
    step.weights[i] = std::move(result.weights);
    step.bias[i] = std::move(result.bias);
    const auto* conv = std::get_if<ir::Conv2D>(&op.params);
    if (conv == nullptr) continue;
    const auto channels = static_cast<std::size_t>(conv->out_channels);
    std::vector<double> terms(channels, 0.0);
    for (std::size_t k = 0; k < dy.size(); ++k) {
      if (masks[i].empty() || masks[i][k] != 0) terms[k % channels] += std::abs(dy[k]);
    }
    const double scales = static_cast<double>(graph.tensor(op.inputs[0]).quantization.scale) /
                          static_cast<double>(graph.tensor(op.output).quantization.scale);
    for (std::size_t c = 0; c < channels; ++c) {
      step.bias_terms[i] = std::max(step.bias_terms[i], terms[c] * scales * conv->weight_scales[c]);
    }
  }
  return step;
}

}  // namespace espalier::testing
