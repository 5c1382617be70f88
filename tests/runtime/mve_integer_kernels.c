/* Those of the overlay `mve`. */
#define ESP_FORM _mve
#include "blocked_integer_kernels.c"
