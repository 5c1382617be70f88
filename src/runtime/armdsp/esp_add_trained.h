#ifndef ESP_ADD_TRAINED_H
#define ESP_ADD_TRAINED_H

#include "esp_blocking.h"
#include "espalier_runtime.h"

/* The gathered channels of partly trained weights, [4][count], of two pixels. */
ESP_INLINE void esp_add_trained(const int8_t* trained, const int16_t* channels, int32_t count,
                                const int8_t* xa, const int8_t* xb, int32_t* sums) {
  int32_t j, k;
  for (k = 0; k < 4; ++k, trained += count) {
    int32_t a = sums[k], b = sums[4 + k];
    ESP_ROLLED
    for (j = 0; j < count; ++j) {
      const int32_t c = channels[j], v = trained[j];
      a += xa[c] * v, b += xb[c] * v;
    }
    sums[k] = a, sums[4 + k] = b;
  }
}

#endif
