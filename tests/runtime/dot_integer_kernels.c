/* Those with the dot product. */
#define ESP_DOT4
#define ESP_FORM _dot_product
#include "blocked_integer_kernels.c"
