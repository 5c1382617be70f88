#include "espalier/kernels/elementwise.hpp"

#include <algorithm>
#include <array>

#include "espalier/kernels/simd.hpp"

namespace espalier::kernels {
namespace {

std::ptrdiff_t in_size(const MapGeometry& g) { return g.in.pixels() * g.in_stride; }
std::ptrdiff_t out_size(const MapGeometry& g) { return g.out.pixels() * g.out_stride; }

// Operand and output are the same array of vectors. Padding channels are computed like the others:
// they never reach a result, and their gradients are 0.
bool padded_alike(const MapGeometry& g, int operand_stride) {
  return operand_stride == g.out_stride && operand_stride % kLanes == 0;
}

// The part of a pooling window that lies inside the input.
struct Extent {
  int y0, y1, x0, x1;
  [[nodiscard]] int count() const { return (y1 - y0) * (x1 - x0); }
};

Extent extent(const ir::Window& w, const ir::Shape& in, int oy, int ox) {
  const int y = oy * w.stride_h - w.pad_top;
  const int x = ox * w.stride_w - w.pad_left;
  return {std::max(0, y), std::min(in.height, y + w.kernel_h), std::max(0, x),
          std::min(in.width, x + w.kernel_w)};
}

// Calls visit(sample, output offset, extent) for every output pixel.
template <typename Visit>
void for_each_window(const ir::Window& window, const MapGeometry& g, int samples, Visit visit) {
  for (int s = 0; s < samples; ++s) {
    std::ptrdiff_t at = s * out_size(g);
    for (int oy = 0; oy < g.out.height; ++oy) {
      for (int ox = 0; ox < g.out.width; ++ox, at += g.out_stride) {
        visit(s, at, extent(window, g.in, oy, ox));
      }
    }
  }
}

// Calls visit(input offset) for every pixel of an extent, in row order.
template <typename Visit>
void for_each_pixel(const MapGeometry& g, int sample, const Extent& e, Visit visit) {
  for (int y = e.y0; y < e.y1; ++y) {
    for (int x = e.x0; x < e.x1; ++x) {
      visit(sample * in_size(g) + (std::ptrdiff_t{y} * g.in.width + x) * g.in_stride);
    }
  }
}

}  // namespace

int rounded_mean(std::int32_t sum, std::int32_t count, ir::HalfRounding rounding) {
  const std::int32_t magnitude = sum < 0 ? -sum : sum;
  std::int32_t quotient = magnitude / count;
  const std::int32_t twice = 2 * (magnitude % count);
  const bool up =
      twice > count ||
      (twice == count && (rounding == ir::HalfRounding::kAwayFromZero || quotient % 2 != 0));
  if (up) ++quotient;
  return sum < 0 ? -quotient : quotient;
}

std::int64_t requantized_mean(std::int32_t sum, std::int32_t count, ir::FixedPoint factor) {
  const std::int64_t product = std::int64_t{sum} * factor.multiplier;
  // Rounded down: then the shift rounds the quotient as it would the exact one.
  std::int64_t quotient = product / count;
  if (quotient * count > product) --quotient;
  return ir::rounding_shift(quotient, factor.shift);
}

ElementwiseParams make_elementwise(const ir::Graph& graph, const ir::Op& op) {
  const ir::Quantization a = graph.tensor(op.inputs[0]).quantization;
  const ir::Quantization b =
      op.inputs.size() > 1 ? graph.tensor(op.inputs[1]).quantization : ir::Quantization{0.0F, 0};
  const ir::Quantization out = graph.tensor(op.output).quantization;
  const bool product = std::holds_alternative<ir::Mul>(op.params);
  const double factor_a =
      product ? ir::product_factor(graph, op) : static_cast<double>(a.scale) / out.scale;
  const double factor_b = product ? 0.0 : static_cast<double>(b.scale) / out.scale;
  ElementwiseParams params;
  params.fixed = ir::make_fixed_point_pair(factor_a, factor_b);
  params.zero_a = a.zero_point;
  params.zero_b = b.zero_point;
  params.zero_out = out.zero_point;
  params.low = op.clamp_low;
  params.high = op.clamp_high;
  params.factor_a = static_cast<float>(factor_a);
  params.factor_b = static_cast<float>(factor_b);
  return params;
}

void add_forward(const ElementwiseParams& params, const MapGeometry& g, int samples,
                 const std::int8_t* a, const std::int8_t* b, std::int8_t* y, std::uint8_t* mask) {
  if (padded_alike(g, g.in_stride) && (b == nullptr || padded_alike(g, g.second_stride))) {
    RescaleArgs args;
    args.count = static_cast<std::size_t>(out_size(g)) * static_cast<std::size_t>(samples);
    args.a = a;
    args.b = b;
    args.multiplier_a = params.fixed.multiplier_a;
    args.multiplier_b = params.fixed.multiplier_b;
    args.shift = params.fixed.shift;
    args.zero_a = params.zero_a;
    args.zero_b = params.zero_b;
    args.zero_out = params.zero_out;
    args.low = params.low;
    args.high = params.high;
    args.out = y;
    args.mask = mask;
    kernels().rescale(args);
    return;
  }
  const std::int64_t multiplier_a = params.fixed.multiplier_a;
  const std::int64_t multiplier_b = params.fixed.multiplier_b;
  const int shift = params.fixed.shift;
  const std::int64_t half = std::int64_t{1} << (shift - 1);
  const std::int64_t pixels = g.out.pixels() * samples;
  for (std::int64_t p = 0; p < pixels; ++p) {
    const std::int8_t* pa = a + p * g.in_stride;
    const std::int8_t* pb = b == nullptr ? nullptr : b + p * g.second_stride;
    for (int c = 0; c < g.out.channels; ++c) {
      std::int64_t sum = (pa[c] - params.zero_a) * multiplier_a;
      if (pb != nullptr) sum += (pb[c] - params.zero_b) * multiplier_b;
      const std::int64_t value = ((sum + half) >> shift) + params.zero_out;
      const std::int64_t clamped = std::clamp<std::int64_t>(value, params.low, params.high);
      y[p * g.out_stride + c] = static_cast<std::int8_t>(clamped);
      if (mask != nullptr) mask[p * g.out_stride + c] = value == clamped ? 1 : 0;
    }
  }
}

void add_backward(float factor, const MapGeometry& g, int dx_stride, int samples, const float* dy,
                  const std::uint8_t* mask, float* dx, bool accumulate) {
  if (padded_alike(g, dx_stride)) {
    kernels().mask_factor(dy, mask, factor,
                          static_cast<std::size_t>(out_size(g)) * static_cast<std::size_t>(samples),
                          dx, accumulate);
    return;
  }
  const std::int64_t pixels = g.out.pixels() * samples;
  for (std::int64_t p = 0; p < pixels; ++p) {
    for (int c = 0; c < g.out.channels; ++c) {
      const std::ptrdiff_t at = p * g.out_stride + c;
      const float masked = mask[at] != 0 ? dy[at] * factor : 0.0F;
      float& out = dx[p * dx_stride + c];
      out = accumulate ? out + masked : masked;
    }
    if (!accumulate) {
      std::fill(dx + p * dx_stride + g.out.channels, dx + (p + 1) * dx_stride, 0.0F);
    }
  }
}

namespace {

// The second operand of a product and the step to its next pixel and sample.
struct SecondOperand {
  explicit SecondOperand(const MapGeometry& g)
      : pixel(g.gate ? 0 : g.second_stride),
        sample(g.gate ? g.second_stride : g.in.pixels() * g.second_stride) {}
  std::ptrdiff_t pixel;
  std::ptrdiff_t sample;
};

// dL/dy behind the mask, times the factor.
float scaled(const float* dy, const std::uint8_t* mask, std::ptrdiff_t at, float factor) {
  return mask[at] != 0 ? dy[at] * factor : 0.0F;
}

}  // namespace

void multiply_forward(const ElementwiseParams& params, const MapGeometry& g, int samples,
                      const std::int8_t* a, const std::int8_t* b, std::int8_t* y,
                      std::uint8_t* mask) {
  const ir::FixedPoint factor{params.fixed.multiplier_a, params.fixed.shift};
  const SecondOperand second(g);
  for (int s = 0; s < samples; ++s) {
    for (std::int64_t p = 0; p < g.out.pixels(); ++p) {
      const std::int8_t* pa = a + (s * g.in.pixels() + p) * g.in_stride;
      const std::int8_t* pb = b + s * second.sample + p * second.pixel;
      const std::ptrdiff_t at = s * out_size(g) + p * g.out_stride;
      for (int c = 0; c < g.out.channels; ++c) {
        const std::int64_t value =
            ir::apply(factor, (pa[c] - params.zero_a) * (pb[c] - params.zero_b)) + params.zero_out;
        const std::int64_t clamped = std::clamp<std::int64_t>(value, params.low, params.high);
        y[at + c] = static_cast<std::int8_t>(clamped);
        if (mask != nullptr) mask[at + c] = value == clamped ? 1 : 0;
      }
    }
  }
}

void multiply_backward(const ElementwiseParams& params, const MapGeometry& g, int samples,
                       const std::int8_t* b, const float* dy, const std::uint8_t* mask, float* da,
                       bool accumulate) {
  const SecondOperand second(g);
  for (int s = 0; s < samples; ++s) {
    for (std::int64_t p = 0; p < g.out.pixels(); ++p, da += g.in_stride) {
      const std::int8_t* pb = b + s * second.sample + p * second.pixel;
      const std::ptrdiff_t at = s * out_size(g) + p * g.out_stride;
      for (int c = 0; c < g.out.channels; ++c) {
        const float part =
            scaled(dy, mask, at + c, params.factor_a) * static_cast<float>(pb[c] - params.zero_b);
        da[c] = accumulate ? da[c] + part : part;
      }
      if (!accumulate) std::fill(da + g.out.channels, da + g.in_stride, 0.0F);
    }
  }
}

void multiply_backward_second(const ElementwiseParams& params, const MapGeometry& g, int samples,
                              const std::int8_t* a, const float* dy, const std::uint8_t* mask,
                              float* db, bool accumulate) {
  const SecondOperand second(g);
  if (!accumulate) std::fill(db, db + samples * second.sample, 0.0F);
  for (int s = 0; s < samples; ++s) {
    for (std::int64_t p = 0; p < g.out.pixels(); ++p, a += g.in_stride) {
      float* pixel = db + s * second.sample + p * second.pixel;
      const std::ptrdiff_t at = s * out_size(g) + p * g.out_stride;
      for (int c = 0; c < g.out.channels; ++c) {
        pixel[c] +=
            scaled(dy, mask, at + c, params.factor_a) * static_cast<float>(a[c] - params.zero_a);
      }
    }
  }
}

void copy_channels(std::int64_t pixels, int channels, const std::int8_t* x, int x_stride,
                   std::int8_t* y, int y_stride) {
  for (std::int64_t p = 0; p < pixels; ++p) {
    std::copy_n(x + p * x_stride, channels, y + p * y_stride);
  }
}

void copy_channel_gradients(std::int64_t pixels, int channels, const float* dy, int dy_stride,
                            float* dx, int dx_stride, bool accumulate) {
  for (std::int64_t p = 0; p < pixels; ++p, dy += dy_stride, dx += dx_stride) {
    for (int c = 0; c < channels; ++c) dx[c] = accumulate ? dx[c] + dy[c] : dy[c];
    if (!accumulate) std::fill(dx + channels, dx + dx_stride, 0.0F);
  }
}

void select_forward(const ir::Select& select, const MapGeometry& g, int samples,
                    const std::int8_t* x, std::int8_t* y) {
  const std::int64_t pixels = g.out.pixels() * samples;
  for (std::int64_t p = 0; p < pixels; ++p, x += g.in_stride, y += g.out_stride) {
    for (std::size_t i = 0; i < select.channels.size(); ++i) y[i] = x[select.channels[i]];
  }
}

void select_backward(const ir::Select& select, const MapGeometry& g, int samples, const float* dy,
                     float* dx, bool accumulate) {
  const std::int64_t pixels = g.out.pixels() * samples;
  for (std::int64_t p = 0; p < pixels; ++p, dy += g.out_stride, dx += g.in_stride) {
    if (!accumulate) std::fill(dx, dx + g.in_stride, 0.0F);
    for (std::size_t i = 0; i < select.channels.size(); ++i) dx[select.channels[i]] += dy[i];
  }
}

void lookup_forward(const ir::Lookup& table, const MapGeometry& g, int samples,
                    const std::int8_t* x, std::int8_t* y) {
  const std::int64_t pixels = g.out.pixels() * samples;
  for (std::int64_t p = 0; p < pixels; ++p, x += g.in_stride, y += g.out_stride) {
    for (int c = 0; c < g.out.channels; ++c) y[c] = table.output(x[c]);
  }
}

void lookup_backward(const ir::Lookup& table, const MapGeometry& g, int samples,
                     const std::int8_t* x, const float* dy, float* dx, bool accumulate) {
  const std::int64_t pixels = g.out.pixels() * samples;
  for (std::int64_t p = 0; p < pixels;
       ++p, x += g.in_stride, dx += g.in_stride, dy += g.out_stride) {
    for (int c = 0; c < g.out.channels; ++c) {
      const float part = dy[c] * table.derivative(x[c]);
      dx[c] = accumulate ? dx[c] + part : part;
    }
    if (!accumulate) std::fill(dx + g.out.channels, dx + g.in_stride, 0.0F);
  }
}

namespace {

// store(channel, sum of the window's pixels), pixel by pixel so that channels are neighbours.
template <typename Store>
void sum_window(const MapGeometry& g, int s, const Extent& e, const std::int8_t* x, Store store) {
  constexpr int kBlock = 64;
  for (int first = 0; first < g.out.channels; first += kBlock) {
    const int count = std::min(kBlock, g.out.channels - first);
    std::array<std::int32_t, kBlock> sums{};
    for_each_pixel(g, s, e, [&](std::ptrdiff_t in) {
      const std::int8_t* pixel = x + in + first;
      for (int c = 0; c < count; ++c) sums[static_cast<std::size_t>(c)] += pixel[c];
    });
    for (int c = 0; c < count; ++c) store(first + c, sums[static_cast<std::size_t>(c)]);
  }
}

}  // namespace

void average_pool_forward(const ir::AveragePool& pool, const MapGeometry& g, int samples,
                          const std::int8_t* x, std::int8_t* y) {
  for_each_window(pool.window, g, samples, [&](int s, std::ptrdiff_t at, const Extent& e) {
    sum_window(g, s, e, x, [&](int c, std::int32_t sum) {
      y[at + c] = static_cast<std::int8_t>(rounded_mean(sum, e.count(), pool.rounding));
    });
  });
}

void average_pool_requantized(const ir::AveragePool& pool, const ElementwiseParams& params,
                              const MapGeometry& g, int samples, const std::int8_t* x,
                              std::int8_t* y, std::uint8_t* mask) {
  const ir::FixedPoint factor{params.fixed.multiplier_a, params.fixed.shift};
  for_each_window(pool.window, g, samples, [&](int s, std::ptrdiff_t at, const Extent& e) {
    const int zero = params.zero_a * static_cast<int>(e.count());
    sum_window(g, s, e, x, [&](int c, std::int32_t sum) {
      sum -= zero;
      const std::int64_t value = requantized_mean(sum, e.count(), factor) + params.zero_out;
      const std::int64_t clamped = std::clamp<std::int64_t>(value, params.low, params.high);
      y[at + c] = static_cast<std::int8_t>(clamped);
      if (mask != nullptr) mask[at + c] = value == clamped ? 1 : 0;
    });
  });
}

void average_pool_backward(const ir::AveragePool& pool, const MapGeometry& g, int samples,
                           const float* dy, float* dx, bool accumulate) {
  if (!accumulate) std::fill(dx, dx + samples * in_size(g), 0.0F);
  for_each_window(pool.window, g, samples, [&](int s, std::ptrdiff_t at, const Extent& e) {
    const auto count = static_cast<float>(e.count());
    for_each_pixel(g, s, e, [&](std::ptrdiff_t in) {
      for (int c = 0; c < g.out.channels; ++c) dx[in + c] += dy[at + c] / count;
    });
  });
}

void max_pool_forward(const ir::MaxPool& pool, const MapGeometry& g, int samples,
                      const std::int8_t* x, std::int8_t* y) {
  for_each_window(pool.window, g, samples, [&](int s, std::ptrdiff_t at, const Extent& e) {
    for (int c = 0; c < g.out.channels; ++c) {
      std::int8_t best = -128;
      for_each_pixel(g, s, e, [&](std::ptrdiff_t in) { best = std::max(best, x[in + c]); });
      y[at + c] = best;
    }
  });
}

void max_pool_backward(const ir::MaxPool& pool, const MapGeometry& g, int samples,
                       const std::int8_t* x, const float* dy, float* dx, bool accumulate) {
  if (!accumulate) std::fill(dx, dx + samples * in_size(g), 0.0F);
  for_each_window(pool.window, g, samples, [&](int s, std::ptrdiff_t at, const Extent& e) {
    for (int c = 0; c < g.out.channels; ++c) {
      std::ptrdiff_t winner = -1;
      for_each_pixel(g, s, e, [&](std::ptrdiff_t in) {
        if (winner < 0 || x[in + c] > x[winner]) winner = in + c;
      });
      dx[winner] += dy[at + c];
    }
  });
}

}  // namespace espalier::kernels
