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

}  // namespace
}  // namespace espalier::kernels

#define ESPALIER_INT8_FORWARD
#include "int8.inc"

#define ESPALIER_KERNELS_NAME "avx512vnni"
#define ESPALIER_KERNELS_TABLE kAvx512VnniKernels
#include "kernels.inc"
