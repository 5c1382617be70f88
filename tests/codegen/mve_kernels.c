/* Those of the overlay `mve`. */
#define ESP_FORM _mve
#include "blocked_kernels.c"
