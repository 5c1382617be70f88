/* The blocked kernels with the dot product, beside the others. */
#define ESP_DOT4
#define ESP_FORM _dot_product
#include "blocked_kernels.c"
