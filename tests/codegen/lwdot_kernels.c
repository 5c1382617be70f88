/* Those of the overlay `lwdot`. */
#define ESP_DOT4
#define ESP_FORM _lwdot
#include "blocked_kernels.c"
