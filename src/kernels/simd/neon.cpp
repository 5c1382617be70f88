// The vector kernels for any 64-bit Arm. No int8 forward pass: without dot products, a
// multiply-add of integers does no more products than one of floats.
#include "neon.inc"
// After what it works on.
#include "int8.inc"

#define ESPALIER_KERNELS_NAME "neon"
#define ESPALIER_KERNELS_TABLE kNeonKernels
#include "kernels.inc"
