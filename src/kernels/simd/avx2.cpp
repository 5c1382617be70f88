// The vector kernels for x86-64 with AVX2 and FMA. The int8 forward pass goes through products of
// 16-bit words: those of unsigned by signed bytes would saturate.
#include "avx2.inc"

namespace espalier::kernels {
namespace {

constexpr int kGroup = 2;
constexpr int kInt8Bias = 128;
constexpr int int8_rows(int /*units*/) { return 4; }
constexpr int kInt8Units = 1;
inline Int dot(Int acc, Int a, Int b) { return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b)); }

}  // namespace
}  // namespace espalier::kernels

#define ESPALIER_INT8_FORWARD
#include "int8.inc"

#define ESPALIER_KERNELS_NAME "avx2"
#define ESPALIER_KERNELS_TABLE kAvx2Kernels
#include "kernels.inc"
