#include "espalier_runtime.h"

/* dL/dx of a table: dL/dy * slope[x + 128], stored or added; dx may be dy when it is stored. */
ESP_KERNEL void esp_lookup_gradient(int32_t elements, const float* slope, const float* dy,
                                    const int8_t* x, float* dx, int32_t add) {
  int32_t i;
  for (i = 0; i < elements; ++i) {
    const float g = dy[i] * slope[x[i] + 128];
    dx[i] = add ? dx[i] + g : g;
  }
}
