// The vector kernels for x86-64 with AVX-512 F, BW, DQ and VL.
#include "avx512.inc"
#define ESPALIER_KERNELS_NAME "avx512"
#define ESPALIER_KERNELS_TABLE kAvx512Kernels
#define ESPALIER_KERNELS_INT8 nullptr, nullptr, nullptr
#include "kernels.inc"
