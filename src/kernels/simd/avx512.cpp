// The vector kernels for x86-64 with AVX-512 F, BW, DQ and VL.
#include <immintrin.h>

#include "espalier/kernels/simd.hpp"

namespace espalier::kernels {
namespace {

using Vec = __m512;
constexpr int kWidth = 16;
constexpr int kRows = 8;
constexpr int kVectors = 3;

inline Vec zero() { return _mm512_setzero_ps(); }
inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
inline Vec broadcast(float x) { return _mm512_set1_ps(x); }
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec masked_mul(Vec a, Vec b, const std::uint8_t* mask) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(mask));
  return _mm512_maskz_mul_ps(_mm_test_epi8_mask(bytes, bytes), a, b);
}
inline void store_integer(std::int32_t* p, Vec v) {
  _mm512_storeu_si512(p, _mm512_cvttps_epi32(v));
}
inline void add_integer(std::int32_t* p, Vec v) {
  _mm512_storeu_si512(p, _mm512_add_epi32(_mm512_loadu_si512(p), _mm512_cvttps_epi32(v)));
}

// round(value * multiplier / 2^shift) of the even 32-bit lanes, clamped to 32 bits.
inline __m512i scale_even(__m512i value, __m512i multiplier, __m512i shift) {
  const __m512i one = _mm512_set1_epi64(1);
  const __m512i half = _mm512_sllv_epi64(one, _mm512_sub_epi64(shift, one));
  const __m512i product = _mm512_add_epi64(_mm512_mul_epi32(value, multiplier), half);
  const __m512i scaled = _mm512_srav_epi64(product, shift);
  // Far outside int8 already: the later clamp sees the same side.
  const __m512i limit = _mm512_set1_epi64(1 << 20);
  return _mm512_max_epi64(_mm512_min_epi64(scaled, limit),
                          _mm512_sub_epi64(_mm512_setzero_si512(), limit));
}

void requantize(const RequantizeArgs& r) {
  const __m512i low32 = _mm512_set1_epi64(0xFFFFFFFFLL);
  const __m512i zero_point = _mm512_set1_epi32(r.zero_point);
  const __m512i low = _mm512_set1_epi32(r.low);
  const __m512i high = _mm512_set1_epi32(r.high);
  for (int c = 0; c < r.channels; c += 16) {
    const __m512i bias = _mm512_loadu_si512(r.bias + c);
    const __m512i multiplier = _mm512_loadu_si512(r.multiplier + c);
    const __m512i multiplier_odd = _mm512_srli_epi64(multiplier, 32);
    const __m512i shift = _mm512_loadu_si512(r.shift + c);
    const __m512i shift_even = _mm512_and_si512(shift, low32);
    const __m512i shift_odd = _mm512_srli_epi64(shift, 32);
    for (int row = 0; row < r.rows; ++row) {
      const __m512i acc = _mm512_loadu_si512(r.acc + row * r.acc_row + c);
      const __m512i wrapped = _mm512_add_epi32(acc, bias);
      // Overflow where both operands have the sign the sum has not.
      const __mmask16 overflow = _mm512_movepi32_mask(
          _mm512_andnot_si512(_mm512_xor_si512(acc, bias), _mm512_xor_si512(acc, wrapped)));
      const __m512i saturated =
          _mm512_xor_si512(_mm512_srai_epi32(acc, 31), _mm512_set1_epi32(INT32_MAX));
      const __m512i sum = _mm512_mask_mov_epi32(wrapped, overflow, saturated);
      const __m512i even = scale_even(sum, multiplier, shift_even);
      const __m512i odd = scale_even(_mm512_srli_epi64(sum, 32), multiplier_odd, shift_odd);
      const __m512i scaled = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
      const __m512i p = _mm512_add_epi32(scaled, zero_point);
      const __m512i y = _mm512_max_epi32(_mm512_min_epi32(p, high), low);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(r.out + row * r.out_row + c),
                       _mm512_cvtepi32_epi8(y));
      if (r.mask != nullptr) {
        const __mmask16 inside = _mm512_cmpeq_epi32_mask(p, y);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(r.mask + row * r.out_row + c),
                         _mm_maskz_set1_epi8(inside, 1));
      }
    }
  }
}

}  // namespace
}  // namespace espalier::kernels

#define ESPALIER_KERNELS_NAME "avx512"
#define ESPALIER_KERNELS_TABLE kAvx512Kernels
#include "kernels.inc"
