#include "espalier_runtime.h"

/* y of x by a table of 256 values, whose element x + 128 belongs to x; y may be x. */
ESP_KERNEL void esp_lookup_forward(int32_t elements, const int8_t* table, const int8_t* x,
                                   int8_t* y) {
  int32_t i;
  for (i = 0; i < elements; ++i) y[i] = table[x[i] + 128];
}
