// The vector kernels for x86-64 with AVX-512 and its 8-bit dot products: those of the AVX-512
// variant, and a forward pass that is int8 from end to end.
//
// The instruction multiplies unsigned by signed bytes. Activations are therefore biased by 128, and
// the bias goes out again with the zero point: sum (x + 128) * w - (zero + 128) * sum w.
#include <cstring>

#include "avx512.inc"

namespace espalier::kernels {
namespace {

// Requantisation of 16 output channels, made ready once for many rows.
//
// Where no channel's sum can saturate and every factor lies in [2^-23, 1/2), what is left of the
// definition is ((acc + bias) * multiplier + half + (zero_point << shift)) >> shift in 64 bits: the
// result and its distance from 2^31 are known, and nothing has to be clamped before the end.
struct Columns {
  __m512i start;  // of accumulators: -zero * sum w, and the bias when fast
  __m512i multiplier_even, multiplier_odd;
  __m512i add_even, add_odd;
  __m512i shift_even, shift_odd;  // fast: the odd lanes' results stay in the upper halves
  __m512i bias;
  bool fast;
};

Columns prepare_columns(const RequantizeArgs& r, int c, const std::int32_t* sums, int zero) {
  const __m512i low32 = _mm512_set1_epi64(0xFFFFFFFFLL);
  const __m512i one = _mm512_set1_epi64(1);
  const __m512i bias = _mm512_loadu_si512(r.bias + c);
  const __m512i multiplier = _mm512_loadu_si512(r.multiplier + c);
  __m512i shift = _mm512_loadu_si512(r.shift + c);
  // Nothing times nothing is nothing, whatever the shift: channels of padding.
  shift = _mm512_mask_mov_epi32(shift, _mm512_testn_epi32_mask(multiplier, multiplier),
                                _mm512_set1_epi32(32));
  const __m512i correction =
      _mm512_mullo_epi32(_mm512_loadu_si512(sums + c), _mm512_set1_epi32(-zero));
  const __m512i most = _mm512_set1_epi32(INT32_MAX - (1 << 29));
  Columns k;
  k.fast = _mm512_cmplt_epi32_mask(shift, _mm512_set1_epi32(32)) == 0 &&
           _mm512_cmpgt_epi32_mask(shift, _mm512_set1_epi32(54)) == 0 &&
           _mm512_cmpgt_epu32_mask(_mm512_abs_epi32(bias), most) == 0;
  k.multiplier_even = multiplier;
  k.multiplier_odd = _mm512_srli_epi64(multiplier, 32);
  k.shift_even = _mm512_and_si512(shift, low32);
  k.shift_odd = _mm512_srli_epi64(shift, 32);
  k.bias = bias;
  k.start = k.fast ? _mm512_add_epi32(bias, correction) : correction;
  const auto rounding = [&](__m512i by) {
    const __m512i half = _mm512_sllv_epi64(one, _mm512_sub_epi64(by, one));
    return _mm512_add_epi64(half, _mm512_sllv_epi64(_mm512_set1_epi64(r.zero_point), by));
  };
  k.add_even = rounding(k.shift_even);
  k.add_odd = rounding(k.shift_odd);
  if (k.fast) k.shift_odd = _mm512_sub_epi64(k.shift_odd, _mm512_set1_epi64(32));
  return k;
}

// Clamps and stores 16 accumulators that began at columns.start.
template <bool Mask>
inline void finish(const Columns& k, __m512i acc, const RequantizeArgs& r, std::ptrdiff_t at) {
  __m512i p;
  if (k.fast) [[likely]] {
    const __m512i even = _mm512_srav_epi64(
        _mm512_add_epi64(_mm512_mul_epi32(acc, k.multiplier_even), k.add_even), k.shift_even);
    const __m512i odd = _mm512_srav_epi64(
        _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(acc, 32), k.multiplier_odd), k.add_odd),
        k.shift_odd);
    p = _mm512_mask_blend_epi32(0xAAAA, even, odd);
  } else {
    p = requantize_lanes(acc, k.bias, k.multiplier_even, k.multiplier_odd, k.shift_even,
                         k.shift_odd, _mm512_set1_epi32(r.zero_point));
  }
  const __m512i y =
      _mm512_max_epi32(_mm512_min_epi32(p, _mm512_set1_epi32(r.high)), _mm512_set1_epi32(r.low));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(r.out + at), _mm512_cvtepi32_epi8(y));
  if constexpr (Mask) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(r.mask + at),
                     _mm_maskz_set1_epi8(_mm512_cmpeq_epi32_mask(p, y), 1));
  }
}

inline __m512i broadcast_quad(const std::uint8_t* p) {
  std::int32_t quad = 0;
  std::memcpy(&quad, p, sizeof quad);
  return _mm512_set1_epi32(quad);
}

template <int Rows, int Vectors, bool Mask>
inline void int8_block(const Int8GemmArgs& args, const Columns* columns, const std::int8_t* b,
                       int m, int n) {
  __m512i acc[Rows][Vectors];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < Vectors; ++v) acc[r][v] = columns[v].start;
  }
  const std::uint8_t* a = args.a + m * args.a_row;
  for (int quad = 0; quad < args.quads; ++quad) {
    __m512i bv[Vectors];
#pragma GCC unroll 3
    for (int v = 0; v < Vectors; ++v) bv[v] = _mm512_loadu_si512(b + v * 64);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const __m512i av = broadcast_quad(a + r * args.a_row);
#pragma GCC unroll 3
      for (int v = 0; v < Vectors; ++v) acc[r][v] = _mm512_dpbusd_epi32(acc[r][v], av, bv[v]);
    }
    a += kQuad;
    b += kPanel * kQuad;
  }
#pragma GCC unroll 3
  for (int v = 0; v < Vectors; ++v) {
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      finish<Mask>(columns[v], acc[r][v], args.requantize,
                   (m + r) * args.requantize.out_row + n + v * 16);
    }
  }
}

template <int Vectors, bool Mask>
void int8_columns(const Int8GemmArgs& args, int n) {
  Columns columns[Vectors];
  for (int v = 0; v < Vectors; ++v) {
    columns[v] = prepare_columns(args.requantize, n + v * 16, args.sums, args.zero);
  }
  const std::int8_t* b = args.b + std::ptrdiff_t{n} * args.quads * kQuad;
  int m = 0;
  for (; m + 8 <= args.requantize.rows; m += 8) {
    int8_block<8, Vectors, Mask>(args, columns, b, m, n);
  }
  for (; m < args.requantize.rows; ++m) int8_block<1, Vectors, Mask>(args, columns, b, m, n);
}

template <bool Mask>
void int8_gemm(const Int8GemmArgs& args) {
  for (int n = 0; n < args.requantize.channels; n += kPanel) {
    const int vectors = (args.requantize.channels - n) / 16;
    if (vectors >= 3) {
      int8_columns<3, Mask>(args, n);
    } else if (vectors == 2) {
      int8_columns<2, Mask>(args, n);
    } else {
      int8_columns<1, Mask>(args, n);
    }
  }
}

void gemm_int8(const Int8GemmArgs& args) {
  if (args.requantize.mask != nullptr) {
    int8_gemm<true>(args);
  } else {
    int8_gemm<false>(args);
  }
}

// out[i] = in[i] + 128.
inline void bias_bytes(const std::int8_t* in, std::ptrdiff_t count, std::uint8_t* out) {
  const __m512i flip = _mm512_set1_epi8(-128);
  for (; count >= 64; count -= 64, in += 64, out += 64) {
    _mm512_storeu_si512(out, _mm512_xor_si512(_mm512_loadu_si512(in), flip));
  }
  if (count > 0) {
    const __mmask64 rest = (std::uint64_t{1} << count) - 1;
    _mm512_mask_storeu_epi8(out, rest, _mm512_xor_si512(_mm512_maskz_loadu_epi8(rest, in), flip));
  }
}

void gather_patches(const PatchArgs& p) {
  if (p.kernel_h == 1 && p.kernel_w == 1 && p.stride_h == 1 && p.stride_w == 1 &&
      p.in_stride == p.out_row) {
    bias_bytes(p.x + p.first * p.in_stride, p.rows * p.in_stride, p.out);
    return;
  }
  const std::ptrdiff_t run = std::ptrdiff_t{p.kernel_w} * p.channels;
  const auto short_run = static_cast<__mmask16>((1U << (run < 16 ? run : 16)) - 1U);
  int oy = p.first / p.out_width;
  int ox = p.first % p.out_width;
  for (int r = 0; r < p.rows; ++r) {
    const int x0 = ox * p.stride_w - p.pad_left;
    const bool whole = p.in_stride == p.channels && x0 >= 0 && x0 + p.kernel_w <= p.in_width;
    std::uint8_t* out = p.out + r * p.out_row;
    for (int ky = 0; ky < p.kernel_h; ++ky, out += run) {
      const int y = oy * p.stride_h - p.pad_top + ky;
      if (y < 0 || y >= p.in_height) {
        std::memset(out, p.padding, static_cast<std::size_t>(run));
        continue;
      }
      const std::int8_t* row = p.x + std::ptrdiff_t{y} * p.in_width * p.in_stride;
      // Pixels of a dense map lie side by side: a whole row of the window is one copy.
      if (whole && run <= 16) {
        // Writes 16 bytes: what is too much belongs to the next run or row, or to the slack.
        const __m128i bytes = _mm_maskz_loadu_epi8(short_run, row + x0 * p.in_stride);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out),
                         _mm_xor_si128(bytes, _mm_set1_epi8(-128)));
        continue;
      }
      if (whole) {
        bias_bytes(row + x0 * p.in_stride, run, out);
        continue;
      }
      for (int kx = 0; kx < p.kernel_w; ++kx) {
        const int x = x0 + kx;
        std::uint8_t* pixel = out + std::ptrdiff_t{kx} * p.channels;
        if (x < 0 || x >= p.in_width) {
          std::memset(pixel, p.padding, static_cast<std::size_t>(p.channels));
        } else {
          bias_bytes(row + x * p.in_stride, p.channels, pixel);
        }
      }
    }
    if (++ox == p.out_width) {
      ox = 0;
      ++oy;
    }
  }
}

// One input row of 16 channels as groups[j] = pixels j - pad_left .. + 3, a dword a channel.
void unroll_row(const Int8DepthwiseArgs& d, const std::int8_t* row, int groups, std::uint8_t* out) {
  const DepthwiseArgs& s = d.shape;
  const __m512i padding = _mm512_set1_epi32(d.zero << 24);
  const __m512i flip = _mm512_set1_epi32(INT32_MIN);
  __m512i group = _mm512_set1_epi8(static_cast<char>(d.zero));
  const int steps = groups + kQuad - 1;
  for (int t = 0; t < steps; ++t) {
    const int x = t - s.pad_left;
    __m512i newest = padding;
    if (x >= 0 && x < s.in_width) {
      const __m128i bytes =
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + std::ptrdiff_t{x} * s.channels));
      newest = _mm512_xor_si512(_mm512_slli_epi32(_mm512_cvtepu8_epi32(bytes), 24), flip);
    }
    group = _mm512_or_si512(_mm512_srli_epi32(group, 8), newest);
    if (t >= kQuad - 1) _mm512_store_si512(out + (t - (kQuad - 1)) * 64, group);
  }
}

// Neighbouring outputs share each weight load.
template <int Pixels, bool Mask>
inline void int8_depthwise_pixels(const Int8DepthwiseArgs& d, const Columns& columns,
                                  const std::uint8_t* const* rows, const std::int8_t* weights,
                                  int ox, std::ptrdiff_t at) {
  __m512i acc[Pixels];
#pragma GCC unroll 4
  for (int p = 0; p < Pixels; ++p) acc[p] = columns.start;
  const int quads = d.quads();
  const std::ptrdiff_t step = std::ptrdiff_t{d.shape.stride_w} * 64;
  for (int ky = 0; ky < d.shape.kernel_h; ++ky) {
    const std::uint8_t* group = rows[ky] + ox * step;
    for (int quad = 0; quad < quads; ++quad, weights += 64, group += kQuad * 64) {
      const __m512i w = _mm512_loadu_si512(weights);
#pragma GCC unroll 4
      for (int p = 0; p < Pixels; ++p) {
        acc[p] = _mm512_dpbusd_epi32(acc[p], _mm512_load_si512(group + p * step), w);
      }
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < Pixels; ++p) {
    finish<Mask>(columns, acc[p], d.requantize, at + p * d.requantize.out_row);
  }
}

template <bool Mask>
void int8_depthwise(const Int8DepthwiseArgs& d) {
  constexpr int kMaxRows = kGemmDepth;  // direct_depthwise() admits no larger kernel
  const DepthwiseArgs& s = d.shape;
  const int groups = d.groups();
  const std::ptrdiff_t row_bytes = std::ptrdiff_t{groups} * 64;
  // A row outside the map: the zero point, which the start of the accumulators takes out again.
  std::uint8_t* outside = d.scratch + s.kernel_h * row_bytes;
  std::memset(outside, d.zero, static_cast<std::size_t>(row_bytes));
  const std::ptrdiff_t filter = std::ptrdiff_t{s.kernel_h} * d.quads() * 64;
  for (int c = 0; c < s.channels; c += 16) {
    const Columns columns = prepare_columns(d.requantize, c, d.sums, d.zero);
    const std::int8_t* weights = d.weights + c / 16 * filter;
    int unrolled = 0;  // input rows above this one are in the ring, as far as still needed
    for (int oy = 0; oy < s.out_height; ++oy) {
      const int y0 = oy * s.stride_h - s.pad_top;
      const std::uint8_t* rows[kMaxRows];
      for (int ky = 0; ky < s.kernel_h; ++ky) {
        const int y = y0 + ky;
        if (y < 0 || y >= s.in_height) {
          rows[ky] = outside;
          continue;
        }
        std::uint8_t* slot = d.scratch + y % s.kernel_h * row_bytes;
        if (y >= unrolled) {
          unroll_row(d, d.x + std::ptrdiff_t{y} * s.in_width * s.channels + c, groups, slot);
          unrolled = y + 1;
        }
        rows[ky] = slot;
      }
      std::ptrdiff_t at = std::ptrdiff_t{oy} * s.out_width * d.requantize.out_row + c;
      int ox = 0;
      for (; ox + 4 <= s.out_width; ox += 4, at += 4 * d.requantize.out_row) {
        int8_depthwise_pixels<4, Mask>(d, columns, rows, weights, ox, at);
      }
      for (; ox < s.out_width; ++ox, at += d.requantize.out_row) {
        int8_depthwise_pixels<1, Mask>(d, columns, rows, weights, ox, at);
      }
    }
  }
}

void depthwise_int8(const Int8DepthwiseArgs& d) {
  if (d.requantize.mask != nullptr) {
    int8_depthwise<true>(d);
  } else {
    int8_depthwise<false>(d);
  }
}

}  // namespace
}  // namespace espalier::kernels

#define ESPALIER_KERNELS_NAME "avx512vnni"
#define ESPALIER_KERNELS_TABLE kAvx512VnniKernels
#define ESPALIER_KERNELS_INT8 gather_patches, gemm_int8, depthwise_int8
#include "kernels.inc"
