// The vector kernels for any 64-bit Arm. No int8 forward pass: without dot products, sums of 8-bit
// products take as many instructions as those of floats.
#include "neon.inc"
// In this order.
#include "int8.inc"

#define ESPALIER_KERNELS_NAME "neon"
#define ESPALIER_KERNELS_TABLE kNeonKernels
#include "kernels.inc"
