// The forward pass as XNNPACK rounds it, which TensorFlow Lite calls: convolutions and means in
// single precision, halves to even; sums by multipliers of 21 bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "espalier/ir/graph.hpp"
#include "espalier/kernels/reference.hpp"

namespace espalier::testing {

class XnnpackRounding {
 public:
  explicit XnnpackRounding(const ir::Graph& graph) : graph_(graph) {}

  /// Output of an op on one sample.
  [[nodiscard]] std::vector<std::int8_t> forward(
      const ir::Op& op, std::span<const std::vector<std::int8_t>> inputs) const {
    if (const auto* conv = std::get_if<ir::Conv2D>(&op.params)) {
      return convolution(*conv, op, inputs[0]);
    }
    if (std::holds_alternative<ir::Add>(op.params)) return sum(op, inputs[0], inputs[1]);
    if (std::holds_alternative<ir::AveragePool>(op.params)) return mean(op, inputs[0]);
    return kernels::reference::forward(graph_, op, inputs).output;
  }

 private:
  // round(sum * scale) in single precision.
  [[nodiscard]] static std::int8_t rounded(int sum, float scale, int zero, const ir::Op& op) {
    const float value = std::nearbyint(static_cast<float>(sum) * scale) + static_cast<float>(zero);
    return static_cast<std::int8_t>(
        std::clamp(value, static_cast<float>(op.clamp_low), static_cast<float>(op.clamp_high)));
  }

  [[nodiscard]] std::vector<std::int8_t> convolution(const ir::Conv2D& conv, const ir::Op& op,
                                                     const std::vector<std::int8_t>& x) const {
    const ir::Tensor& in = graph_.tensor(op.inputs[0]);
    const ir::Tensor& out = graph_.tensor(op.output);
    const ir::Window& w = conv.window;
    const int per_group = conv.in_per_group();
    std::vector<std::int8_t> y;
    for (int oy = 0; oy < out.shape.height; ++oy) {
      for (int ox = 0; ox < out.shape.width; ++ox) {
        for (int o = 0; o < conv.out_channels; ++o) {
          const int first = o / (conv.out_channels / conv.groups) * per_group;
          int acc = conv.bias[static_cast<std::size_t>(o)];
          for (int tap = 0; tap < w.kernel_h * w.kernel_w; ++tap) {
            const int iy = oy * w.stride_h - w.pad_top + tap / w.kernel_w;
            const int ix = ox * w.stride_w - w.pad_left + tap % w.kernel_w;
            if (iy < 0 || iy >= in.shape.height || ix < 0 || ix >= in.shape.width) continue;
            const auto* pixel = &x[static_cast<std::size_t>(
                (iy * in.shape.width + ix) * in.shape.channels + first)];
            const auto* weights = &conv.weights[static_cast<std::size_t>(
                (o * w.kernel_h * w.kernel_w + tap) * per_group)];
            for (int c = 0; c < per_group; ++c) {
              acc += (pixel[c] - in.quantization.zero_point) * weights[c];
            }
          }
          const float scale = in.quantization.scale *
                              conv.weight_scales[static_cast<std::size_t>(o)] /
                              out.quantization.scale;
          y.push_back(rounded(acc, scale, out.quantization.zero_point, op));
        }
      }
    }
    return y;
  }

  [[nodiscard]] std::vector<std::int8_t> sum(const ir::Op& op, const std::vector<std::int8_t>& a,
                                             const std::vector<std::int8_t>& b) const {
    const ir::Quantization qa = graph_.tensor(op.inputs[0]).quantization;
    const ir::Quantization qb = graph_.tensor(op.inputs[1]).quantization;
    const ir::Quantization qy = graph_.tensor(op.output).quantization;
    const float ra = qa.scale / qy.scale;
    const float rb = qb.scale / qy.scale;
    const int shift = 20 - std::ilogb(std::max(ra, rb));
    const std::int64_t ma = std::lrint(std::ldexp(ra, shift));
    const std::int64_t mb = std::lrint(std::ldexp(rb, shift));
    const std::int64_t bias =
        (std::int64_t{1} << (shift - 1)) - ma * qa.zero_point - mb * qb.zero_point;
    std::vector<std::int8_t> y;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const std::int64_t value = ((bias + ma * a[i] + mb * b[i]) >> shift) + qy.zero_point;
      y.push_back(
          static_cast<std::int8_t>(std::clamp<std::int64_t>(value, op.clamp_low, op.clamp_high)));
    }
    return y;
  }

  // Global means.
  [[nodiscard]] std::vector<std::int8_t> mean(const ir::Op& op,
                                              const std::vector<std::int8_t>& x) const {
    const ir::Tensor& in = graph_.tensor(op.inputs[0]);
    const ir::Tensor& out = graph_.tensor(op.output);
    const auto channels = static_cast<std::size_t>(in.shape.channels);
    const float scale =
        in.quantization.scale / (out.quantization.scale * static_cast<float>(in.shape.pixels()));
    std::vector<std::int8_t> y;
    for (std::size_t c = 0; c < channels; ++c) {
      int sum = 0;
      for (std::size_t i = c; i < x.size(); i += channels) sum += x[i] - in.quantization.zero_point;
      y.push_back(rounded(sum, scale, out.quantization.zero_point, op));
    }
    return y;
  }

  const ir::Graph& graph_;
};

}  // namespace espalier::testing
