// The vector kernels for x86-64 with AVX2, FMA and 8-bit dot products of 256 bits (AVX-VNNI).
#include "avx2.inc"

namespace espalier::kernels {
namespace {

constexpr int kGroup = 4;
constexpr int kInt8Bias = 128;
constexpr int int8_rows(int /*units*/) { return 4; }
constexpr int kInt8Units = 1;
inline Int dot(Int acc, Int a, Int b) { return _mm256_dpbusd_avx_epi32(acc, a, b); }

}  // namespace
}  // namespace espalier::kernels

#define ESPALIER_INT8_FORWARD
#include "int8.inc"

#define ESPALIER_KERNELS_NAME "avxvnni"
#define ESPALIER_KERNELS_TABLE kAvxVnniKernels
#include "kernels.inc"
