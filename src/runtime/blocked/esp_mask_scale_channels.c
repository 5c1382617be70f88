#include "espalier_runtime.h"

/* g = dL/dy * mask * factor[channel]; g may be dy. The bits of a byte at a time, where channels
 * come in whole bytes. */
ESP_KERNEL void esp_mask_scale_channels(int32_t pixels, int32_t channels, const float* dy,
                                        const uint8_t* mask, int32_t mask_bits, const float* factor,
                                        float* g) {
  int32_t p, c, i = 0;
#define ESP_BIT(k)                                          \
  do {                                                      \
    float v = 0.0f;                                         \
    if (bits & 1 << (k)) v = dy[i + (k)] * factor[c + (k)]; \
    g[i + (k)] = v;                                         \
  } while (0)
  for (p = 0; p < pixels; ++p) {
    if (mask_bits && !(channels & 7)) {
      for (c = 0; c < channels; c += 8, i += 8) {
        const int32_t bits = *mask++;
        ESP_BIT(0);
        ESP_BIT(1);
        ESP_BIT(2);
        ESP_BIT(3);
        ESP_BIT(4);
        ESP_BIT(5);
        ESP_BIT(6);
        ESP_BIT(7);
      }
      continue;
    }
    for (c = 0; c < channels; ++c, ++i) {
      g[i] = esp_get_mask(mask, i, mask_bits) ? dy[i] * factor[c] : 0.0f;
    }
  }
#undef ESP_BIT
}
