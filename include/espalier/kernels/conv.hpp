// Convolution forward and gradients for a chunk of samples, on channels-last maps whose channel
// stride is padded to kLanes (the network input may be dense). Pointwise convolutions are GEMMs on
// the map itself, depthwise ones have direct kernels, all others gather patches tile by tile.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "espalier/ir/graph.hpp"
#include "espalier/kernels/aligned.hpp"

namespace espalier::kernels {

/// Everything about a convolution but its numbers.
struct ConvGeometry {
  ir::Shape in;
  ir::Shape out;
  int in_stride = 0;   ///< elements between two pixels of the input; >= in.channels
  int out_stride = 0;  ///< padded(out.channels)
  ir::Window window;
  int groups = 1;

  [[nodiscard]] int taps() const { return window.kernel_h * window.kernel_w; }
  [[nodiscard]] int in_per_group() const { return in.channels / groups; }
  [[nodiscard]] int out_per_group() const { return out.channels / groups; }
  /// Weights of one output channel.
  [[nodiscard]] int fan_in() const { return taps() * in_per_group(); }
  /// One GEMM on the map itself.
  [[nodiscard]] bool direct_gemm() const;
  /// Served by the depthwise kernels: one filter per channel, not dilated, on a
  /// padded map.
  [[nodiscard]] bool direct_depthwise() const;
};

/// Weights in the layouts of the kernels. Values are integers held in floats.
class PackedWeights {
 public:
  PackedWeights() = default;
  /// `weights` is [out][taps][in / groups], already rounded. `input_gradient` also packs the
  /// layout that backward_input() reads.
  void pack(const ConvGeometry& geometry, std::span<const float> weights, bool input_gradient);

  AlignedVector<float> forward;         ///< panels of [fan_in][out] per group, or depthwise taps
  AlignedVector<float> input_gradient;  ///< panels of [out][fan_in] per group
  /// The same for the int8 kernels; empty when a weight is too large or the convolution is none of
  /// theirs. Weights beyond int8 are sums of parts, which lie side by side in each panel.
  AlignedVector<std::int8_t> int8_forward;
  int int8_parts = 1;
  AlignedVector<std::int32_t> int8_sums;   ///< sum of the weights of each output channel
  AlignedVector<std::int32_t> int8_reach;  ///< what its sums of products never exceed
  bool bounded = false;                    ///< no accumulator exceeds 2^29 in magnitude
};

/// Per-channel requantisation, padded to the output's channel stride.
struct Requantization {
  AlignedVector<std::int32_t> bias;
  AlignedVector<std::int32_t> multiplier;
  AlignedVector<std::int32_t> shift;
  /// input_scale * weight_scale / output_scale, the factor of the straight-through gradient.
  AlignedVector<float> factor;
  int zero_point = 0;
  int low = -128;
  int high = 127;
};

/// From the scales of a conv op; the bias is the op's own.
Requantization make_requantization(const ir::Graph& graph, const ir::Op& op);

/// Reusable temporary memory of one thread.
struct ConvScratch {
  AlignedVector<float> patches;
  AlignedVector<float> columns;
  AlignedVector<float> gradient;
  AlignedVector<std::int32_t> acc;
  AlignedVector<std::uint8_t> bytes_in;  ///< activations of the int8 kernels
  AlignedVector<std::uint8_t> words;     ///< their operands in 16 bits, where they work on these
  [[nodiscard]] std::size_t bytes() const;
};

/// Which maps of a convolution hold x + 128 as unsigned bytes instead of int8.
struct Lifted {
  bool in = false;  ///< only where reads_lifted()
  bool out = false;
};

/// Whether this convolution, with kernels(), has its input lifted before it multiplies: then it is
/// quicker to have it so from what wrote it.
[[nodiscard]] bool reads_lifted(const ConvGeometry& geometry, const PackedWeights& weights);

/// y and, when not null, mask for `samples` maps.
void conv_forward(const ConvGeometry& geometry, int samples, const std::int8_t* x, int zero_point,
                  const PackedWeights& weights, const Requantization& requantization,
                  std::int8_t* y, std::uint8_t* mask, ConvScratch& scratch, Lifted lifted = {});

/// dL/dx from g = dL/dy * mask * factor; overwrites dx or adds to it. dx has stride in_stride,
/// which must be padded.
void conv_backward_input(const ConvGeometry& geometry, int samples, const float* g,
                         const PackedWeights& weights, float* dx, bool accumulate,
                         ConvScratch& scratch);

/// Where the gradient of the trained input channels of a convolution lies: position(...) of an
/// array of size() floats. Convolutions with groups other than depthwise always hold all channels.
class WeightGradientLayout {
 public:
  WeightGradientLayout() = default;
  /// `channels` are the trained input channels, ascending.
  WeightGradientLayout(const ConvGeometry& geometry, std::span<const int> channels);

  [[nodiscard]] std::size_t size() const { return size_; }
  /// Channels to gather; empty when all are trained.
  [[nodiscard]] std::span<const int> gathered() const { return gathered_; }
  /// Row stride: one output channel, or for depthwise one tap.
  [[nodiscard]] int stride() const { return stride_; }

  /// One trained weight: its place in the gradient, in the OHWI weights, and its output channel.
  struct Entry {
    std::uint32_t gradient;
    std::uint32_t weight;
    std::uint32_t out_channel;
  };
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<int> gathered_;
  std::vector<Entry> entries_;
  std::size_t size_ = 0;
  int stride_ = 0;
};

/// Adds dL/dw of the trained channels to dw, a WeightGradientLayout.
void conv_backward_weights(const ConvGeometry& geometry, const WeightGradientLayout& layout,
                           int samples, const std::int8_t* x, int zero_point, const float* g,
                           float* dw, ConvScratch& scratch);

}  // namespace espalier::kernels
