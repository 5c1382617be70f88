#include "scratch.hpp"

#include <algorithm>
#include <string_view>

namespace espalier::engine::host {

using kernels::padded;

extern const Loops kPortableLoops;
#if defined(__x86_64__)
extern const Loops kAvx2Loops;
extern const Loops kAvx512Loops;
#endif

const Loops& loops() {
#if defined(__x86_64__)
  const std::string_view variant = kernels::kernels().name;
  if (variant.starts_with("avx512")) return kAvx512Loops;
  if (variant.starts_with("avx")) return kAvx2Loops;
#endif
  return kPortableLoops;
}

Scratch& scratch() {
  thread_local Scratch own;
  return own;
}

const std::uint8_t* mask_bytes(const std::uint8_t* mask, std::int64_t elements, int bits) {
  if (bits == 0) return mask;
  std::uint8_t* bytes = room(scratch().mask, elements);
  loops().expand_bits(mask, elements, bytes);
  return bytes;
}

Tiled tiled(std::int64_t pixels, int channels) {
  const std::int64_t pixels_a_tile = std::max<std::int64_t>(1, kTile / channels);
  return {pixels * channels, std::min(pixels, pixels_a_tile) * channels};
}

kernels::DepthwiseArgs depthwise_args(const esp_conv& d, int channels) {
  kernels::DepthwiseArgs args;
  args.in_height = d.in_h;
  args.in_width = d.in_w;
  args.out_height = d.out_h;
  args.out_width = d.out_w;
  args.kernel_h = d.kernel_h;
  args.kernel_w = d.kernel_w;
  args.stride_h = d.stride_h;
  args.stride_w = d.stride_w;
  args.pad_top = d.pad_top;
  args.pad_left = d.pad_left;
  args.channels = padded(channels);
  return args;
}

const float* depthwise_map(const esp_conv& d, const std::int8_t* x, int width) {
  const std::int64_t pixels = in_pixels(d);
  float* wide = room(scratch().map, pixels * padded(width));
  if (width == padded(width)) {
    loops().widen(x, d.in_zero, pixels * width, wide);
    return wide;
  }
  float* dense = room(scratch().result, pixels * width);
  loops().widen(x, d.in_zero, pixels * width, dense);
  pad_rows(pixels, width, dense, padded(width), wide);
  return wide;
}

}  // namespace espalier::engine::host
