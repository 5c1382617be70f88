// The backward pass with float gradients: every sum one chain in the order of the C kernels, each
// product and sum rounded.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "forms.hpp"
#include "loops.hpp"
#include "packed.hpp"
#include "scratch.hpp"

namespace espalier::engine::host {
namespace {

using kernels::GemmArgs;
using kernels::padded;

// The outputs along one axis that a tap at `offset` inputs reads an input for.
struct Reach {
  int first = 0;
  int end = 0;
};
Reach reach(int in, int out, int stride, int offset) {
  Reach r;
  while (r.first < out && r.first * stride + offset < 0) ++r.first;
  r.end = r.first;
  while (r.end < out && r.end * stride + offset < in) ++r.end;
  return r;
}

bool on_the_map(const esp_conv& d) {
  return taps(d) == 1 && d.stride_h == 1 && d.stride_w == 1 && d.pad_top == 0 && d.pad_left == 0 &&
         d.in_h == d.out_h && d.in_w == d.out_w;
}

// One tap of dL/dw as sums [out][padded width] over the output pixels in row order; `x` is the map
// of `width` channels from zero.
void weight_sums(const esp_conv& d, const float* g, const float* x, int width, int ky, int kx,
                 float* sums) {
  const kernels::KernelTable& table = kernels::kernels();
  GemmArgs gemm;
  gemm.m = d.out_c;
  gemm.n = padded(width);
  gemm.a_row = 1;
  gemm.a_column = d.out_c;
  gemm.b_row = std::ptrdiff_t{d.stride_w} * width;
  gemm.c = sums;
  gemm.c_row = padded(width);
  if (on_the_map(d)) {
    gemm.k = static_cast<int>(out_pixels(d));
    gemm.a = g;
    gemm.b = x;
    table.gemm_unfused(gemm, false);
    return;
  }
  const int down = ky * (1 + d.gap_h) - d.pad_top;
  const int right = kx * (1 + d.gap_w) - d.pad_left;
  const Reach columns = reach(d.in_w, d.out_w, d.stride_w, right);
  std::fill_n(sums, d.out_c * padded(width), 0.0F);
  gemm.k = columns.end - columns.first;
  for (int oy = 0; oy < d.out_h && gemm.k > 0; ++oy) {
    const int iy = oy * d.stride_h + down;
    if (iy < 0 || iy >= d.in_h) continue;
    gemm.a = g + (std::ptrdiff_t{oy} * d.out_w + columns.first) * d.out_c;
    gemm.b = x + (std::ptrdiff_t{iy} * d.in_w + columns.first * d.stride_w + right) * width;
    table.gemm_unfused(gemm, true);
  }
}

// One row of weight gradients: of output channel `out`, side by side from place `at`.
void sink_row(const esp_weight_sink& sink, std::int64_t at, int width, int out,
              const std::int16_t* channels, std::uint32_t key, const float* row) {
  if (sink.gradient == nullptr) {
    loops().step({width, sink.weights + at, sink.sgd, channels, key}, row, sink.scale[out]);
  } else if (sink.add != 0) {
    loops().add(width, row, sink.gradient + at);
  } else {
    std::copy_n(row, width, sink.gradient + at);
  }
}

// The gradient of the channels that a depthwise weight gradient is of, in padded rows.
const float* depthwise_gradient(const esp_conv& d, const float* g, const std::int16_t* channels,
                                int width) {
  const int row = padded(width);
  const std::int64_t pixels = out_pixels(d);
  if (channels == nullptr && row == width) return g;
  float* wide = room(scratch().gradient, pixels * row);
  if (channels == nullptr) {
    pad_rows(pixels, width, g, row, wide);
    return wide;
  }
  for (std::int64_t p = 0; p < pixels; ++p) {
    for (int j = 0; j < row; ++j) {
      wide[p * row + j] = j < width ? g[p * d.out_c + channels[j]] : 0.0F;
    }
  }
  return wide;
}

// dL/dw of a depthwise convolution as [tap][padded width].
const float* depthwise_sums(const esp_conv& d, const float* g, const std::int8_t* x,
                            const std::int16_t* channels, int width) {
  kernels::DepthwiseArgs args = depthwise_args(d, width);
  const int size = taps(d) * padded(width);
  args.x = depthwise_map(d, x, width);
  args.g = depthwise_gradient(d, g, channels, width);
  args.dw = room(scratch().result, size);
  std::fill_n(args.dw, size, 0.0F);
  kernels::kernels().depthwise_weight_gradient_unfused(args);
  return args.dw;
}

void sink_depthwise(const esp_conv& d, const esp_weight_sink& sink, const std::int16_t* channels,
                    int width, const float* sums) {
  const std::uint32_t key = sink.sgd != nullptr ? esp_tensor_key(sink.sgd, sink.tensor) : 0;
  for (int j = 0; j < width; ++j) {
    const int c = channels != nullptr ? channels[j] : j;
    for (int t = 0; t < taps(d); ++t) {
      esp_sink_weight(&sink, key, j * taps(d) + t, c * taps(d) + t, c, sums[t * padded(width) + j]);
    }
  }
}

// Rows of `padded(channels)` to a dense map, stored or added.
void store_rows(std::int64_t pixels, int channels, const float* rows, float* dx, bool add) {
  if (!add) {
    compact_rows(pixels, channels, rows, padded(channels), dx);
    return;
  }
  for (std::int64_t p = 0; p < pixels; ++p) {
    loops().add(channels, rows + p * padded(channels), dx + p * channels);
  }
}

// `g` in rows of padded channels.
void depthwise_input(const esp_conv& d, const float* g, const float* weights, float* dx, bool add) {
  kernels::DepthwiseArgs args = depthwise_args(d, d.in_c);
  const bool dense = args.channels == d.in_c;
  args.g = g;
  args.weights = weights;
  args.dx = dense ? dx : room(scratch().result, in_pixels(d) * args.channels);
  args.accumulate = dense && add;
  kernels::kernels().depthwise_input_gradient_unfused(args);
  if (!dense) store_rows(in_pixels(d), d.in_c, args.dx, dx, add);
}

}  // namespace

void mask_scale(std::int32_t elements, const float* dy, const std::uint8_t* mask,
                std::int32_t mask_bits, float factor, float* dx, std::int32_t add) {
  loops().scale(elements, dy, mask_bytes(mask, elements, mask_bits), factor, dx, add != 0);
}

void mask_scale_channels(std::int32_t pixels, std::int32_t channels, const float* dy,
                         const std::uint8_t* mask, std::int32_t mask_bits, const float* factor,
                         float* g) {
  const Tiled shape = tiled(pixels, channels);
  float* tile = room(scratch().tile, shape.tile);
  repeat(
      shape, channels, [&](int c) { return factor[c]; }, tile);
  loops().scale_tiled(shape, dy, mask_bytes(mask, shape.elements, mask_bits), tile, g);
}

void bias_gradient(std::int32_t pixels, std::int32_t channels, const float* g,
                   const esp_bias_sink* sink) {
  float* sums = room(scratch().result, channels);
  loops().column_sums(pixels, channels, g, sums);
  if (sink->gradient != nullptr) {
    if (sink->add != 0) {
      loops().add(channels, sums, sink->gradient);
    } else {
      std::copy_n(sums, channels, sink->gradient);
    }
    return;
  }
  ::esp_apply_bias(channels, sums, sink->bias, sink->scale, sink->sgd, sink->tensor);
}

void pointwise_input_gradient(const esp_conv* d, const float* g, const esp_weights* w, float* dx,
                              std::int32_t add) {
  const bool dense = padded(d->in_c) == d->in_c && add == 0;
  GemmArgs gemm;
  gemm.m = static_cast<int>(in_pixels(*d));
  gemm.n = padded(d->in_c);
  gemm.k = d->out_c;
  gemm.a = g;
  gemm.a_row = d->out_c;
  gemm.b = packed().gemm(*d, *w);
  gemm.b_panel = std::ptrdiff_t{d->out_c} * kernels::kPanel;
  gemm.c = dense ? dx : room(scratch().result, in_pixels(*d) * gemm.n);
  gemm.c_row = gemm.n;
  kernels::kernels().gemm_unfused(gemm, false);
  if (!dense) store_rows(gemm.m, d->in_c, static_cast<const float*>(gemm.c), dx, add != 0);
}

// Over the taps in order, and in each over the outputs: a GEMM goes on where that of the tap before
// ended.
void input_gradient(const esp_conv* d, const float* g, const esp_weights* w, float* dx,
                    std::int32_t add) {
  if (d->groups != 1) {
    ::esp_input_gradient(d, g, w, dx, add);
    return;
  }
  const int row = padded(d->in_c);
  float* sums = room(scratch().result, in_pixels(*d) * row);
  std::fill_n(sums, in_pixels(*d) * row, 0.0F);
  GemmArgs gemm;
  gemm.n = row;
  gemm.k = d->out_c;
  gemm.a_row = d->out_c;
  gemm.b_row = std::ptrdiff_t{taps(*d)} * kernels::kPanel;
  gemm.b_panel = d->out_c * gemm.b_row;
  gemm.c_row = std::ptrdiff_t{d->stride_w} * row;
  const float* weights = packed().gemm(*d, *w);
  for (int tap = 0; tap < taps(*d); ++tap) {
    const int down = tap / d->kernel_w * (1 + d->gap_h) - d->pad_top;
    const int right = tap % d->kernel_w * (1 + d->gap_w) - d->pad_left;
    const Reach columns = reach(d->in_w, d->out_w, d->stride_w, right);
    gemm.m = columns.end - columns.first;
    gemm.b = weights + std::ptrdiff_t{tap} * kernels::kPanel;
    for (int oy = 0; oy < d->out_h && gemm.m > 0; ++oy) {
      const int iy = oy * d->stride_h + down;
      if (iy < 0 || iy >= d->in_h) continue;
      gemm.a = g + (std::ptrdiff_t{oy} * d->out_w + columns.first) * d->out_c;
      gemm.c = sums + (std::ptrdiff_t{iy} * d->in_w + columns.first * d->stride_w + right) * row;
      kernels::kernels().gemm_unfused(gemm, true);
    }
  }
  store_rows(in_pixels(*d), d->in_c, sums, dx, add != 0);
}

void weight_gradient(const esp_conv* d, const float* g, const std::int8_t* x,
                     const std::int16_t* channels, std::int32_t count,
                     const esp_weight_sink* sink) {
  if (d->groups != 1) {
    ::esp_weight_gradient(d, g, x, channels, count, sink);
    return;
  }
  const int width = channels != nullptr ? count : d->in_c;
  const std::uint32_t key = sink->sgd != nullptr ? esp_tensor_key(sink->sgd, sink->tensor) : 0;
  float* map = room(scratch().map, in_pixels(*d) * width);
  loops().widen(x, d->in_zero, in_pixels(*d) * width, map);
  float* sums = room(scratch().result, std::int64_t{d->out_c} * padded(width));
  for (int tap = 0; tap < taps(*d); ++tap) {
    weight_sums(*d, g, map, width, tap / d->kernel_w, tap % d->kernel_w, sums);
    for (int o = 0; o < d->out_c; ++o) {
      const int row = o * taps(*d) + tap;
      sink_row(*sink, std::int64_t{row} * width, width, o, channels,
               key + static_cast<std::uint32_t>(row * d->in_c), sums + o * padded(width));
    }
  }
}

void depthwise_weight_gradient(const esp_conv* d, const float* g, const std::int8_t* x,
                               const std::int16_t* channels, std::int32_t count,
                               const esp_weight_sink* sink) {
  const int width = channels != nullptr ? count : d->in_c;
  sink_depthwise(*d, *sink, channels, width, depthwise_sums(*d, g, x, channels, width));
}

void depthwise_input_gradient(const esp_conv* d, const float* g, const esp_weights* w, float* dx,
                              std::int32_t add, float* /*plane*/) {
  const float* rows = depthwise_gradient(*d, g, nullptr, d->in_c);
  depthwise_input(*d, rows, packed().depthwise(*d, *w), dx, add != 0);
}

void depthwise_backward(const esp_conv* d, float* g, const esp_weights* w, const std::int8_t* x,
                        const std::int16_t* channels, std::int32_t count,
                        const esp_weight_sink* sink, float* /*plane*/) {
  const float* weights = packed().depthwise(*d, *w);  // as they were before the step
  if (x != nullptr) {
    const int width = channels != nullptr ? count : d->in_c;
    sink_depthwise(*d, *sink, channels, width, depthwise_sums(*d, g, x, channels, width));
  }
  const int row = padded(d->in_c);
  float* rows = room(scratch().gradient, out_pixels(*d) * row);
  pad_rows(out_pixels(*d), d->in_c, g, row, rows);
  depthwise_input(*d, rows, weights, g, false);
}

}  // namespace espalier::engine::host
