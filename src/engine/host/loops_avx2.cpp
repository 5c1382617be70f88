// The loops for x86-64 with AVX2.
#define ESPALIER_LOOPS_TABLE kAvx2Loops
#include "loops.inc"
