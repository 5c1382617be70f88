// The vector kernels for 64-bit Arm with 8-bit dot products (SDOT). These multiply signed bytes:
// activations stay as they are.
#include "neon.inc"

namespace espalier::kernels {
namespace {

constexpr int kGroup = 4;
constexpr int kInt8Bias = 0;
constexpr int int8_rows(int /*units*/) { return 4; }
constexpr int kInt8Units = 1;
inline Int dot(Int acc, Int a, Int b) {
  return vdotq_s32(acc, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b));
}

}  // namespace
}  // namespace espalier::kernels

#define ESPALIER_INT8_FORWARD
#include "int8.inc"

#define ESPALIER_KERNELS_NAME "neondot"
#define ESPALIER_KERNELS_TABLE kNeonDotKernels
#include "kernels.inc"
