// The forward pass by the host's int8 kernels.
#include <algorithm>
#include <cstring>

#include "forms.hpp"
#include "kernels.hpp"
#include "loops.hpp"
#include "packed.hpp"
#include "scratch.hpp"

namespace espalier::engine {
namespace host {
namespace {

using kernels::padded;

kernels::ConvGeometry geometry_of(const esp_conv& d, int in_stride) {
  ir::Window window;
  window.kernel_h = d.kernel_h;
  window.kernel_w = d.kernel_w;
  window.stride_h = d.stride_h;
  window.stride_w = d.stride_w;
  window.pad_top = d.pad_top;
  window.pad_left = d.pad_left;
  window.dilation_h = 1 + d.gap_h;
  window.dilation_w = 1 + d.gap_w;
  return {{d.in_h, d.in_w, d.in_c},
          {d.out_h, d.out_w, d.out_c},
          in_stride,
          padded(d.out_c),
          window,
          d.groups};
}

const kernels::Requantization& requantization_of(const esp_conv& d, const esp_requantization& q) {
  kernels::Requantization& r = scratch().requantization;
  const auto channels = static_cast<std::size_t>(d.out_c);
  const auto stride = static_cast<std::size_t>(padded(d.out_c));
  r.bias.assign(stride, 0);
  r.multiplier.assign(stride, 0);
  r.shift.assign(stride, 31);
  std::copy_n(q.bias, channels, r.bias.begin());
  std::copy_n(q.multiplier, channels, r.multiplier.begin());
  std::copy_n(q.shift, channels, r.shift.begin());
  r.zero_point = d.out_zero;
  r.low = d.low;
  r.high = d.high;
  return r;
}

void store_mask(const std::uint8_t* bytes, std::int64_t elements, int bits, std::uint8_t* mask) {
  if (bits != 0) {
    loops().pack_bits(bytes, elements, mask);
  } else {
    std::memcpy(mask, bytes, static_cast<std::size_t>(elements));
  }
}

// The vector kernels write maps whose pixels are padded, and masks of bytes.
void run(const esp_conv& d, const std::int8_t* x, int in_stride, const kernels::PackedWeights& w,
         const esp_requantization& q, std::int8_t* y, std::uint8_t* mask) {
  Scratch& s = scratch();
  const int row = padded(d.out_c);
  const std::int64_t pixels = out_pixels(d);
  const bool dense = row == d.out_c;
  std::int8_t* out = dense && y != x ? y : room(s.output, pixels * row);
  std::uint8_t* inside = mask == nullptr             ? nullptr
                         : dense && d.mask_bits == 0 ? mask
                                                     : room(s.mask, pixels * row);
  kernels::conv_forward(geometry_of(d, in_stride), 1, x, d.in_zero, w, requantization_of(d, q), out,
                        inside, s.conv);
  if (out != y) compact_rows(pixels, d.out_c, out, row, y);
  if (inside == mask) return;
  if (!dense) {
    std::uint8_t* bytes = room(s.dense_mask, pixels * d.out_c);
    compact_rows(pixels, d.out_c, inside, row, bytes);
    inside = bytes;
  }
  store_mask(inside, pixels * d.out_c, d.mask_bits, mask);
}

bool in_int8() { return kernels::kernels().gemm_int8 != nullptr; }

}  // namespace

void conv_forward(const esp_conv* d, const std::int8_t* x, const esp_weights* w,
                  const esp_requantization* q, std::int8_t* y, std::uint8_t* mask,
                  std::int8_t* patches) {
  if (!in_int8() || d->groups != 1 || taps(*d) * d->in_c > kernels::kMaxInt8Products) {
    ::esp_conv_forward(d, x, w, q, y, mask, patches);
    return;
  }
  run(*d, x, d->in_c, packed().int8_gemm(*d, *w), *q, y, mask);
}

void pointwise_forward(const esp_conv* d, const std::int8_t* x, const esp_weights* w,
                       const esp_requantization* q, std::int8_t* y, std::uint8_t* mask) {
  if (!in_int8() || d->in_c > kernels::kMaxInt8Products) {
    ::esp_pointwise_forward(d, x, w, q, y, mask);
    return;
  }
  run(*d, x, d->in_c, packed().int8_gemm(*d, *w), *q, y, mask);
}

void depthwise_forward(const esp_conv* d, const std::int8_t* x, const esp_weights* w,
                       const esp_requantization* q, std::int8_t* y, std::uint8_t* mask,
                       std::int8_t* plane) {
  if (!in_int8() || taps(*d) > kernels::kGemmDepth || d->groups == 1) {
    ::esp_depthwise_forward(d, x, w, q, y, mask, plane);
    return;
  }
  const int row = padded(d->in_c);
  const std::int8_t* from = x;
  if (row != d->in_c) {
    std::int8_t* wide = room(scratch().input, in_pixels(*d) * row);
    pad_rows(in_pixels(*d), d->in_c, x, row, wide);
    from = wide;
  }
  if (from == x && x == y) {
    std::int8_t* copy = room(scratch().input, in_pixels(*d) * row);
    std::copy_n(x, in_pixels(*d) * row, copy);
    from = copy;
  }
  run(*d, from, row, packed().int8_depthwise(*d, *w), *q, y, mask);
}

void add_forward(const esp_add* d, const std::int8_t* a, const std::int8_t* b, std::int8_t* y,
                 std::uint8_t* mask) {
  const std::int32_t whole = d->elements / kernels::kLanes * kernels::kLanes;
  kernels::RescaleArgs args;
  args.count = static_cast<std::size_t>(whole);
  args.a = a;
  args.b = b;
  args.multiplier_a = d->a_multiplier;
  args.multiplier_b = d->b_multiplier;
  args.shift = d->shift;
  args.zero_a = d->a_zero;
  args.zero_b = d->b_zero;
  args.zero_out = d->out_zero;
  args.low = d->low;
  args.high = d->high;
  args.out = y;
  args.mask = mask != nullptr && d->mask_bits != 0 ? room(scratch().mask, whole) : mask;
  kernels::kernels().rescale(args);
  if (args.mask != mask) loops().pack_bits(args.mask, whole, mask);
  esp_add rest = *d;
  rest.elements -= whole;
  if (mask != nullptr) mask += d->mask_bits != 0 ? whole / 8 : whole;
  ::esp_add_forward(&rest, a + whole, b == nullptr ? nullptr : b + whole, y + whole, mask);
}

}  // namespace host

Kernels host_kernels() {
  Kernels k;
#define ESPALIER_FORM(name) k.esp_##name = host::name;
#include "forms.def"
#undef ESPALIER_FORM
  return k;
}

}  // namespace espalier::engine
