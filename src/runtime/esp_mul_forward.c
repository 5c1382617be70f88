#include "espalier_runtime.h"

/* Product of a map a of `pixels` and `channels` with another, or with a gate b of one number a
 * channel; y may be a, or b where that is a map. */
ESP_KERNEL void esp_mul_forward(const esp_add* d, int32_t pixels, int32_t channels, int32_t gate,
                                const int8_t* a, const int8_t* b, int8_t* y, uint8_t* mask) {
  int32_t p, c, i = 0;
  for (p = 0; p < pixels; ++p) {
    for (c = 0; c < channels; ++c, ++i) {
      const int32_t product = (a[i] - d->a_zero) * (b[gate ? c : i] - d->b_zero);
      y[i] = esp_clamp(esp_requantize(product, d->a_multiplier, d->shift, d->out_zero), d->low,
                       d->high, mask, i, d->mask_bits);
    }
  }
}
