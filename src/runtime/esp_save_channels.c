#include "espalier_runtime.h"

/* Keeps the channels that a weight gradient will need: [pixels][count]. */
ESP_KERNEL void esp_save_channels(const int8_t* x, int32_t pixels, int32_t in_c,
                                  const int16_t* channels, int32_t count, int8_t* kept) {
  int32_t p, j;
  for (p = 0; p < pixels; ++p, x += in_c) {
    for (j = 0; j < count; ++j) *kept++ = x[channels[j]];
  }
}
