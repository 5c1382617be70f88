// The backward pass with gradients of 8 bits. Sums are exact however they are made: here of floats,
// which hold every integer below 2^24, or in blocks of so few products.
#include <algorithm>
#include <cstring>

#include "forms.hpp"
#include "loops.hpp"
#include "packed.hpp"
#include "scratch.hpp"

namespace espalier::engine::host {
namespace {

using kernels::GemmArgs;
using kernels::padded;

// Sums of products that floats hold exactly: 127 * 255 each.
constexpr std::int64_t kExactProducts = (1 << 24) / (127 * 255);

// Factors and shifts of a sink by place of a tile; false where a shift is less than what
// loops().sink takes.
bool sink_tiles(const esp_q_target& target, int channels, SinkArgs& args) {
  constexpr std::int32_t kNothingLeft = 63;  // of a product, nor with any greater shift
  std::int32_t* factor = room(scratch().tiles, 2 * args.shape.tile);
  std::int32_t* shift = factor + args.shape.tile;
  std::int32_t least = target.by;
  if (target.multiplier != nullptr) {
    std::copy_n(target.multiplier, channels, factor);
    for (int c = 0; c < channels; ++c) {
      shift[c] = std::min(target.by + target.shift[c], kNothingLeft);
    }
    least += *std::min_element(target.shift, target.shift + channels);
  } else {
    std::fill_n(factor, channels, target.factor != 0 ? target.factor : 1);
    std::fill_n(shift, channels, std::min(target.by, kNothingLeft));
  }
  repeat(args.shape, channels, factor);
  repeat(args.shape, channels, shift);
  args.factor = factor;
  args.shift = shift;
  args.high = least >= kHighShift;
  return least >= kLeastShift;
}

// Sums of a map, dense, of magnitudes up to `bound` and in units of 2^-unit: (sum + addend) *
// factor where the mask lets it pass.
void sink_map(const esp_q_sink& sink, std::int64_t pixels, int channels, const std::int32_t* sums,
              std::int64_t bound, const std::int8_t* addend, std::int8_t* dx, int unit = 0) {
  const esp_q_target target = esp_q_target_of(&sink, unit);
  SinkArgs args;
  args.shape = tiled(pixels, channels);
  const bool whole = bound + (std::int64_t{127} << std::max(target.up, 0)) <= INT32_MAX;
  std::uint32_t all = 0;
  if (whole && sink_tiles(target, channels, args)) {
    if (target.mask != nullptr) {
      args.mask = mask_bytes(target.mask, args.shape.elements, target.mask_bits);
    }
    args.addend = target.up < -31 ? nullptr : addend;  // so small that nothing is left of it
    args.down = target.down;
    args.up = target.up;
    args.sums = sums;
    args.out = dx;
    all = loops().sink(args);
  } else {
    for (std::int64_t i = 0; i < args.shape.elements; ++i) {
      dx[i] = esp_q_value(&target, addend, static_cast<std::int32_t>(i),
                          static_cast<std::int32_t>(i % channels), sums[i], &all);
    }
  }
  esp_q_note(sink.range, all);
}

// The same of sums of `products` in rows of padded channels.
void sink_rows(const esp_q_sink& sink, std::int64_t pixels, int channels, const std::int32_t* rows,
               std::int64_t products, const std::int8_t* addend, std::int8_t* dx) {
  if (padded(channels) != channels) {
    std::int32_t* dense = room(scratch().dense_sums, pixels * channels);
    compact_rows(pixels, channels, rows, padded(channels), dense);
    rows = dense;
  }
  sink_map(sink, pixels, channels, rows, 128 * 127 * products, addend, dx);
}

// Sums of parameters that lie side by side from place `at`, to be applied later.
void keep_sums(const esp_q_parameter_sink& sink, std::int64_t at, int count,
               const std::int32_t* sums) {
  if (sink.sum_range != nullptr) {
    const int up = sink.sum_range->exponent - sink.sample->exponent - sink.from->exponent;
    loops().keep_q(count, sums, up, sink.sum + at);
    return;
  }
  for (int j = 0; j < count; ++j) {
    esp_q_keep(&sink, static_cast<std::int32_t>(at) + j, sums[j]);
  }
}

// One row of sums of weights: of output channel `out`, side by side from place `at`.
void sink_weights(const esp_q_parameter_sink& sink, std::int64_t at, int width, int out,
                  const std::int16_t* channels, std::uint32_t key, const std::int32_t* sums) {
  if (sink.sum == nullptr) {
    loops().step_q({width, sink.weights + at, sink.sgd, channels, key}, sums,
                   esp_q_pace_of(&sink, esp_q_exponent(&sink), out));
  } else {
    keep_sums(sink, at, width, sums);
  }
}

const float* wide_gradient(const std::int8_t* g, std::int64_t count) {
  float* wide = room(scratch().gradient, count);
  loops().widen(g, 0, count, wide);
  return wide;
}

// The pixels that one tap reads for each output, from zero; zeros outside.
void tap_map(const esp_conv& d, const float* x, int width, int ky, int kx, float* patches) {
  for (int oy = 0; oy < d.out_h; ++oy) {
    const int iy = oy * d.stride_h - d.pad_top + ky * (1 + d.gap_h);
    for (int ox = 0; ox < d.out_w; ++ox, patches += width) {
      const int ix = ox * d.stride_w - d.pad_left + kx * (1 + d.gap_w);
      if (iy < 0 || iy >= d.in_h || ix < 0 || ix >= d.in_w) {
        std::fill_n(patches, width, 0.0F);
      } else {
        std::copy_n(x + (std::ptrdiff_t{iy} * d.in_w + ix) * width, width, patches);
      }
    }
  }
}

// dL/dw of a depthwise convolution as [tap][padded width], in parts of so few outputs that their
// sums are exact.
const std::int32_t* depthwise_sums(const esp_conv& d, const std::int8_t* g, const std::int8_t* x,
                                   const std::int16_t* channels, int width) {
  Scratch& s = scratch();
  const int row = padded(width);
  const std::int64_t size = std::int64_t{taps(d)} * row;
  kernels::DepthwiseArgs args = depthwise_args(d, width);
  args.x = depthwise_map(d, x, width);
  float* wide = room(s.gradient, out_pixels(d) * row);
  for (std::int64_t p = 0; p < out_pixels(d); ++p) {
    for (int j = 0; j < row; ++j) {
      const int c = channels != nullptr && j < width ? channels[j] : j;
      wide[p * row + j] = j < width ? static_cast<float>(g[p * d.out_c + c]) : 0.0F;
    }
  }
  args.dw = room(s.result, size);
  std::int32_t* sums = room(s.sums, size);
  std::int32_t* part = room(s.dense_sums, size);
  std::fill_n(sums, size, 0);
  const int most_rows = static_cast<int>(std::max<std::int64_t>(1, kExactProducts / d.out_w));
  for (int oy = 0; oy < d.out_h; oy += most_rows) {
    args.out_height = std::min(most_rows, d.out_h - oy);
    args.pad_top = d.pad_top - oy * d.stride_h;
    args.g = wide + std::int64_t{oy} * d.out_w * row;
    std::fill_n(args.dw, size, 0.0F);
    kernels::kernels().depthwise_weight_gradient(args);
    loops().to_integers(args.dw, size, part);
    for (std::int64_t i = 0; i < size; ++i) sums[i] += part[i];
  }
  return sums;
}

void sink_depthwise(const esp_conv& d, const esp_q_parameter_sink& sink,
                    const std::int16_t* channels, int width, const std::int32_t* sums) {
  const std::uint32_t key = esp_q_key(&sink);
  for (int j = 0; j < width; ++j) {
    const int c = channels != nullptr ? channels[j] : j;
    for (int t = 0; t < taps(d); ++t) {
      esp_q_sink_weight(&sink, key, j * taps(d) + t, c * taps(d) + t, c,
                        sums[t * padded(width) + j]);
    }
  }
}

void depthwise_input(const esp_conv& d, const std::int8_t* g, const float* weights,
                     const std::int8_t* addend, std::int8_t* dx, const esp_q_sink& sink) {
  Scratch& s = scratch();
  kernels::DepthwiseArgs args = depthwise_args(d, d.in_c);
  const int row = args.channels;
  const float* wide = wide_gradient(g, out_pixels(d) * d.out_c);
  if (row != d.out_c) {
    float* rows = room(s.map, out_pixels(d) * row);
    pad_rows(out_pixels(d), d.out_c, wide, row, rows);
    wide = rows;
  }
  args.g = wide;
  args.weights = weights;
  args.dx = room(s.result, in_pixels(d) * row);
  kernels::kernels().depthwise_input_gradient(args);
  std::int32_t* sums = room(s.sums, in_pixels(d) * row);
  loops().to_integers(args.dx, in_pixels(d) * row, sums);
  sink_rows(sink, in_pixels(d), d.in_c, sums, taps(d), addend, dx);
}

// More taps than floats can add up.
bool too_many_taps(const esp_conv& d) { return taps(d) > kExactProducts; }

// More columns than floats can add up in a row of outputs.
bool too_wide(const esp_conv& d) { return d.out_w > kExactProducts; }

}  // namespace

void pass_gradient_q8(std::int32_t pixels, std::int32_t channels, const std::int8_t* dy,
                      const std::int8_t* addend, std::int8_t* dx, const esp_q_sink* sink) {
  const std::int64_t elements = std::int64_t{pixels} * channels;
  std::int32_t* sums = room(scratch().sums, elements);
  std::copy_n(dy, elements, sums);
  sink_map(*sink, pixels, channels, sums, 127, addend, dx);
}

void pool_gradient_q8(const esp_pool* d, const std::int8_t* dy, std::int8_t* dx,
                      const esp_q_sink* sink) {
  const int count = d->in_h * d->in_w;
  const bool whole = d->out_h == 1 && d->out_w == 1 && d->pad_top == 0 && d->pad_left == 0 &&
                     d->kernel_h >= d->in_h && d->kernel_w >= d->in_w;
  if (!whole) {
    ::esp_pool_gradient_q8(d, dy, dx, sink);
    return;
  }
  std::int32_t* sums = room(scratch().sums, std::int64_t{count} * d->channels);
  const std::int32_t part = (65536 + count / 2) / count;
  repeat(
      {0, std::int64_t{count} * d->channels}, d->channels, [&](int c) { return dy[c] * part; },
      sums);
  sink_map(*sink, count, d->channels, sums, 127 * std::int64_t{part}, nullptr, dx, 16);
}

void bias_gradient_q8(std::int32_t pixels, std::int32_t channels, const std::int8_t* g,
                      const esp_q_parameter_sink* sink) {
  const std::uint32_t key = esp_q_key(sink);
  std::int32_t* sums = room(scratch().sums, channels);
  loops().column_sums_q(pixels, channels, g, sums);
  if (sink->sum != nullptr) {
    keep_sums(*sink, 0, channels, sums);
    return;
  }
  for (int c = 0; c < channels; ++c) esp_q_sink_bias(sink, key, c, sums[c]);
}

void pointwise_input_gradient_q8(const esp_conv* d, const std::int8_t* g, const esp_weights* w,
                                 const std::int8_t* addend, std::int8_t* dx,
                                 const esp_q_sink* sink) {
  GemmArgs gemm;
  gemm.m = static_cast<int>(in_pixels(*d));
  gemm.n = padded(d->in_c);
  gemm.k = d->out_c;
  gemm.a = wide_gradient(g, in_pixels(*d) * d->out_c);
  gemm.a_row = d->out_c;
  gemm.b = packed().gemm(*d, *w);
  gemm.b_panel = std::ptrdiff_t{d->out_c} * kernels::kPanel;
  std::int32_t* sums = room(scratch().sums, in_pixels(*d) * gemm.n);
  gemm.c = sums;
  gemm.c_row = gemm.n;
  kernels::kernels().gemm_integer(gemm);
  sink_rows(*sink, gemm.m, d->in_c, sums, d->out_c, addend, dx);
}

void weight_gradient_q8(const esp_conv* d, const std::int8_t* g, const std::int8_t* x,
                        const std::int16_t* channels, std::int32_t count,
                        const esp_q_parameter_sink* sink) {
  if (d->groups != 1) {
    ::esp_weight_gradient_q8(d, g, x, channels, count, sink);
    return;
  }
  Scratch& s = scratch();
  const int width = channels != nullptr ? count : d->in_c;
  const std::uint32_t key = esp_q_key(sink);
  float* map = room(s.map, in_pixels(*d) * width);
  loops().widen(x, d->in_zero, in_pixels(*d) * width, map);
  const bool whole = taps(*d) == 1 && d->stride_h == 1 && d->stride_w == 1 && d->pad_top == 0 &&
                     d->pad_left == 0 && in_pixels(*d) == out_pixels(*d);
  float* patches = whole ? map : room(s.result, out_pixels(*d) * width);
  GemmArgs gemm;
  gemm.m = d->out_c;
  gemm.n = padded(width);
  gemm.k = static_cast<int>(out_pixels(*d));
  gemm.a = wide_gradient(g, out_pixels(*d) * d->out_c);
  gemm.a_row = 1;
  gemm.a_column = d->out_c;
  gemm.b = patches;
  gemm.b_row = width;
  std::int32_t* sums = room(s.sums, std::int64_t{d->out_c} * gemm.n);
  gemm.c = sums;
  gemm.c_row = gemm.n;
  for (int tap = 0; tap < taps(*d); ++tap) {
    if (!whole) tap_map(*d, map, width, tap / d->kernel_w, tap % d->kernel_w, patches);
    kernels::kernels().gemm_integer(gemm);
    for (int o = 0; o < d->out_c; ++o) {
      const int row = o * taps(*d) + tap;
      sink_weights(*sink, std::int64_t{row} * width, width, o, channels,
                   key + static_cast<std::uint32_t>(row * d->in_c), sums + o * gemm.c_row);
    }
  }
}

void depthwise_weight_gradient_q8(const esp_conv* d, const std::int8_t* g, const std::int8_t* x,
                                  const std::int16_t* channels, std::int32_t count,
                                  const esp_q_parameter_sink* sink) {
  if (too_wide(*d)) {
    ::esp_depthwise_weight_gradient_q8(d, g, x, channels, count, sink);
    return;
  }
  const int width = channels != nullptr ? count : d->in_c;
  sink_depthwise(*d, *sink, channels, width, depthwise_sums(*d, g, x, channels, width));
}

void depthwise_input_gradient_q8(const esp_conv* d, const std::int8_t* g, const esp_weights* w,
                                 const std::int8_t* addend, std::int8_t* dx,
                                 const esp_q_sink* sink) {
  if (too_many_taps(*d)) {
    ::esp_depthwise_input_gradient_q8(d, g, w, addend, dx, sink);
    return;
  }
  depthwise_input(*d, g, packed().depthwise(*d, *w), addend, dx, *sink);
}

void depthwise_backward_q8(const esp_conv* d, const std::int8_t* g, const esp_weights* w,
                           const std::int8_t* x, const std::int16_t* channels, std::int32_t count,
                           const esp_q_parameter_sink* parameters, std::int8_t* dx,
                           const esp_q_sink* sink, std::int8_t* plane) {
  if (too_wide(*d) || too_many_taps(*d)) {
    ::esp_depthwise_backward_q8(d, g, w, x, channels, count, parameters, dx, sink, plane);
    return;
  }
  const float* weights = packed().depthwise(*d, *w);  // as they were before the step
  if (x != nullptr) {
    const int width = channels != nullptr ? count : d->in_c;
    sink_depthwise(*d, *parameters, channels, width, depthwise_sums(*d, g, x, channels, width));
  }
  depthwise_input(*d, g, weights, nullptr, dx, *sink);
}

}  // namespace espalier::engine::host
