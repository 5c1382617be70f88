#include "espalier_runtime.h"

/* dL/dx of a rescaling: dL/dy * mask * factor, stored or added; dx may be dy when it is stored. */
ESP_KERNEL void esp_mask_scale(int32_t elements, const float* dy, const uint8_t* mask,
                               int32_t mask_bits, float factor, float* dx, int32_t add) {
  int32_t i;
  for (i = 0; i < elements; ++i) {
    const float g = esp_get_mask(mask, i, mask_bits) ? dy[i] * factor : 0.0f;
    dx[i] = add ? dx[i] + g : g;
  }
}
