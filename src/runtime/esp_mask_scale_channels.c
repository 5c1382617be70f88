#include "espalier_runtime.h"

/* g = dL/dy * mask * factor[channel]; g may be dy. */
ESP_KERNEL void esp_mask_scale_channels(int32_t pixels, int32_t channels, const float* dy,
                                        const uint8_t* mask, int32_t mask_bits, const float* factor,
                                        float* g) {
  int32_t p, c, i = 0;
  for (p = 0; p < pixels; ++p) {
    for (c = 0; c < channels; ++c, ++i) {
      g[i] = esp_get_mask(mask, i, mask_bits) ? dy[i] * factor[c] : 0.0f;
    }
  }
}
