// The vector kernels for x86-64 with AVX-512 and its 8-bit dot products.
//
// The instruction multiplies unsigned by signed bytes. Activations are therefore biased by 128, and
// the bias goes out again with the zero point: sum (x + 128) * w - (zero + 128) * sum w.
#include "avx512.inc"

namespace espalier::kernels {
namespace {

constexpr int kGroup = 4;
constexpr int kInt8Bias = 128;
constexpr int kInt8Rows = 8;
constexpr int kInt8Units = 3;
// GCC 12 surrounds the intrinsic with copies of the accumulators.
inline Int dot(Int acc, Int a, Int b) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
  return acc;
}
// The four bytes of a channel lie in four 128-bit lanes: first its group of four channels comes
// together, then they do.
inline Int pixel_quads(const std::uint8_t* p) {
  const __m512i groups = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i channels =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(groups, _mm512_loadu_si512(p)), channels);
}

}  // namespace
}  // namespace espalier::kernels

#define ESPALIER_INT8_FORWARD
#define ESPALIER_PIXEL_QUADS
#define ESPALIER_WIDE_DEPTHWISE
#include "int8.inc"
// After it.
#include "avx512_depthwise.inc"

#define ESPALIER_KERNELS_NAME "avx512vnni"
#define ESPALIER_KERNELS_TABLE kAvx512VnniKernels
#include "kernels.inc"
