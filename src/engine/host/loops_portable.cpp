// The loops for any machine.
#define ESPALIER_LOOPS_TABLE kPortableLoops
#include "loops.inc"
