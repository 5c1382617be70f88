// The analytic model of one convolution.
#pragma once

#include "conv_view.hpp"
#include "espalier/cost/analytic_memory.hpp"

namespace espalier::cost {

inline constexpr std::int64_t kBitsPerBias = 32;
inline constexpr std::int64_t kBitsPerWeight = 8;
inline constexpr std::int64_t kBitsPerActivation = 8;
inline constexpr std::int64_t kBitsPerMaskElement = 1;

/// Memory of a conv whose bias and `channels` input channels of weights are trained.
inline ConvMemory conv_memory(int index, const ConvView& view, std::int64_t channels) {
  return {.conv = index,
          .bias_bits = kBitsPerBias * view.conv->out_channels,
          .weight_bits = kBitsPerWeight * view.weights(channels),
          .mask_bits = kBitsPerMaskElement * view.output.elements(),
          .input_bits = kBitsPerActivation * view.input.pixels() * channels};
}

inline std::int64_t head_memory_bits(const ir::Graph& graph) {
  return kBitsPerActivation * graph.head.features;
}

}  // namespace espalier::cost
