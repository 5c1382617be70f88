// The vector kernels for x86-64 with AVX-512 F, BW, DQ and VL. The int8 forward pass goes through
// products of 16-bit words: those of unsigned by signed bytes would saturate.
#include "avx512.inc"

namespace espalier::kernels {
namespace {

constexpr int kGroup = 2;
constexpr int kInt8Bias = 128;
constexpr int int8_rows(int /*units*/) { return 8; }
constexpr int kInt8Units = 3;
inline Int dot(Int acc, Int a, Int b) { return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b)); }

}  // namespace
}  // namespace espalier::kernels

#define ESPALIER_INT8_FORWARD
#include "int8.inc"

#define ESPALIER_KERNELS_NAME "avx512"
#define ESPALIER_KERNELS_TABLE kAvx512Kernels
#include "kernels.inc"
