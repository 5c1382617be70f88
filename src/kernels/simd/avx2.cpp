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
#define ESPALIER_KERNELS_NAME "avx2"
#define ESPALIER_KERNELS_TABLE kAvx2Kernels
#define ESPALIER_KERNELS_INT8 nullptr, nullptr, nullptr
#include "kernels.inc"
