#include "espalier_runtime.h"

/* dL/dx of one operand of a product: dL/dy * mask * factor times the other operand, a map or a gate
 * of one number a channel; dx may be dy. */
ESP_KERNEL void esp_mul_gradient(int32_t pixels, int32_t channels, int32_t gate, const float* dy,
                                 const uint8_t* mask, int32_t mask_bits, float factor,
                                 const int8_t* other, int32_t zero, float* dx) {
  int32_t p, c, i = 0;
  for (p = 0; p < pixels; ++p) {
    for (c = 0; c < channels; ++c, ++i) {
      const float g = esp_get_mask(mask, i, mask_bits) ? dy[i] * factor : 0.0f;
      dx[i] = g * (float)(other[gate ? c : i] - zero);
    }
  }
}
