/* Those of the overlay `armdsp`. */
#define ESP_FORM _armdsp
#include "blocked_integer_kernels.c"
