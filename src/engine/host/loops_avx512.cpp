// The loops for x86-64 with AVX-512 F, BW, DQ and VL.
#define ESPALIER_LOOPS_TABLE kAvx512Loops
#include "loops.inc"
