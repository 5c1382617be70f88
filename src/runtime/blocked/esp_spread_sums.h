#ifndef ESP_SPREAD_SUMS_H
#define ESP_SPREAD_SUMS_H

#include "esp_blocking.h"
#include "esp_filter.h"
#include "esp_window.h"

/* Sums of rows of `width` outputs, the inputs taken as they lie in memory; `spread` is what
 * esp_spread() made. */
ESP_INLINE void esp_sums(const esp_filter* f, const uint32_t* spread, const int8_t* plane,
                         int32_t pitch, int32_t kernel_w, int32_t kernel_h, int32_t stride,
                         int32_t rows, int32_t width, int32_t* sums) {
  const int32_t start = f->start;
  int32_t ky;
  ESP_HERE(pitch);
  ESP_HERE(width);
  ESP_FRESH();
  ESP_ROLLED
  for (; rows > 0; --rows, plane += stride * (pitch - width)) {
    const int8_t* end = plane + stride * width;
    ESP_ROLLED
    for (; plane != end; plane += 4, sums += 4 / stride) {
      const int8_t* r = plane;
      const uint32_t* w = spread;
      int32_t a0 = start, a1 = start, a2 = start, a3 = start;
      ESP_WINDOW();
      sums[0] = a0;
      sums[1] = a1;
      if (stride == 1) sums[2] = a2, sums[3] = a3;
    }
  }
}

#endif
