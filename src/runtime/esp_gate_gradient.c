#include "espalier_runtime.h"

/* dL/db of a gate, one number a channel: dL/dy * mask * factor * (a - zero) summed over the pixels
 * in their order. */
ESP_KERNEL void esp_gate_gradient(int32_t pixels, int32_t channels, const float* dy,
                                  const uint8_t* mask, int32_t mask_bits, float factor,
                                  const int8_t* a, int32_t zero, float* db) {
  int32_t p, c, i = 0;
  for (c = 0; c < channels; ++c) db[c] = 0.0f;
  for (p = 0; p < pixels; ++p) {
    for (c = 0; c < channels; ++c, ++i) {
      const float g = esp_get_mask(mask, i, mask_bits) ? dy[i] * factor : 0.0f;
      db[c] += g * (float)(a[i] - zero);
    }
  }
}
