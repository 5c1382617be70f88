// The vector kernels for x86-64 with AVX2 and FMA.
#include <immintrin.h>

#include "espalier/kernels/simd.hpp"

namespace espalier::kernels {
namespace {

using Vec = __m256;
constexpr int kWidth = 8;
constexpr int kRows = 6;
constexpr int kVectors = 2;

inline Vec zero() { return _mm256_setzero_ps(); }
inline Vec load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
inline Vec broadcast(float x) { return _mm256_set1_ps(x); }
inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec masked_mul(Vec a, Vec b, const std::uint8_t* mask) {
  const __m256i wide =
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(mask)));
  const __m256i off = _mm256_cmpeq_epi32(wide, _mm256_setzero_si256());
  return _mm256_andnot_ps(_mm256_castsi256_ps(off), _mm256_mul_ps(a, b));
}
inline void store_integer(std::int32_t* p, Vec v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_cvttps_epi32(v));
}
inline void add_integer(std::int32_t* p, Vec v) {
  const __m256i old = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_add_epi32(old, _mm256_cvttps_epi32(v)));
}

}  // namespace
}  // namespace espalier::kernels

#include "requantize_scalar.inc"

namespace espalier::kernels {
namespace {

// Eight channels at a time. There is no arithmetic shift of 64 bits: 2^63 is added before a logical
// one and what it became is taken off after it. Channels whose factor is not in [2^-23, 1/2), and
// sums that saturate, go one by one.
void requantize(const RequantizeArgs& r) {
  const auto load8 = [](const std::int32_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  };
  const auto pack8 = [](__m256i lanes) {
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
    return _mm_packs_epi16(words, words);
  };
  const __m256i low32 = _mm256_set1_epi64x(0xFFFFFFFFLL);
  const __m256i one = _mm256_set1_epi64x(1);
  const __m256i top = _mm256_set1_epi64x(INT64_MIN);
  const __m256i low = _mm256_set1_epi32(r.low);
  const __m256i high = _mm256_set1_epi32(r.high);
  for (int c = 0; c < r.channels; c += 8) {
    const __m256i bias = load8(r.bias + c);
    const __m256i multiplier = load8(r.multiplier + c);
    // Nothing times nothing is nothing, whatever the shift: channels of padding.
    const __m256i shift =
        _mm256_blendv_epi8(load8(r.shift + c), _mm256_set1_epi32(32),
                           _mm256_cmpeq_epi32(multiplier, _mm256_setzero_si256()));
    const __m256i outside = _mm256_or_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(32), shift),
                                            _mm256_cmpgt_epi32(shift, _mm256_set1_epi32(54)));
    if (_mm256_testz_si256(outside, outside) == 0) {
      requantize_part(r, 0, r.rows, c, c + 8);
      continue;
    }
    const __m256i shift_even = _mm256_and_si256(shift, low32);
    const __m256i shift_odd = _mm256_srli_epi64(shift, 32);
    const __m256i multiplier_odd = _mm256_srli_epi64(multiplier, 32);
    const auto rounding = [&](__m256i by) {
      const __m256i half = _mm256_sllv_epi64(one, _mm256_sub_epi64(by, one));
      const __m256i zero = _mm256_sllv_epi64(_mm256_set1_epi64x(r.zero_point), by);
      return _mm256_add_epi64(top, _mm256_add_epi64(half, zero));
    };
    const __m256i add_even = rounding(shift_even);
    const __m256i add_odd = rounding(shift_odd);
    const __m256i take_off =
        _mm256_sllv_epi32(_mm256_set1_epi32(1), _mm256_sub_epi32(_mm256_set1_epi32(63), shift));
    for (int row = 0; row < r.rows; ++row) {
      const __m256i acc = load8(r.acc + row * r.acc_row + c);
      const __m256i sum = _mm256_add_epi32(acc, bias);
      // Overflow where both operands have the sign the sum has not.
      const __m256i overflow =
          _mm256_andnot_si256(_mm256_xor_si256(acc, bias), _mm256_xor_si256(acc, sum));
      if (_mm256_movemask_ps(_mm256_castsi256_ps(overflow)) != 0) {
        requantize_part(r, row, row + 1, c, c + 8);
        continue;
      }
      const __m256i even = _mm256_srlv_epi64(
          _mm256_add_epi64(_mm256_mul_epi32(sum, multiplier), add_even), shift_even);
      const __m256i odd = _mm256_srlv_epi64(
          _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(sum, 32), multiplier_odd), add_odd),
          shift_odd);
      const __m256i p =
          _mm256_sub_epi32(_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA), take_off);
      const __m256i y = _mm256_max_epi32(_mm256_min_epi32(p, high), low);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(r.out + row * r.out_row + c), pack8(y));
      if (r.mask != nullptr) {
        const __m128i inside = pack8(_mm256_cmpeq_epi32(p, y));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(r.mask + row * r.out_row + c),
                         _mm_and_si128(inside, _mm_set1_epi8(1)));
      }
    }
  }
}

}  // namespace
}  // namespace espalier::kernels

#define ESPALIER_KERNELS_NAME "avx2"
#define ESPALIER_KERNELS_TABLE kAvx2Kernels
#define ESPALIER_KERNELS_INT8 nullptr, nullptr, nullptr
#include "kernels.inc"
