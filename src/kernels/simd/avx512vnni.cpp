// The vector kernels for x86-64 with AVX-512 and its 8-bit dot products.
#include "avx512vnni.inc"

#define ESPALIER_KERNELS_NAME "avx512vnni"
#define ESPALIER_KERNELS_TABLE kAvx512VnniKernels
#include "kernels.inc"
