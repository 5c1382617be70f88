#include "espalier_runtime.h"

/* Copies the channels of x to channels [first, first + channels) of the pixels of y, which has
 * `all`. */
ESP_KERNEL void esp_put_channels(int32_t pixels, int32_t channels, const int8_t* x, int32_t first,
                                 int32_t all, int8_t* y) {
  int32_t p, c;
  for (p = 0; p < pixels; ++p, x += channels, y += all) {
    for (c = 0; c < channels; ++c) y[first + c] = x[c];
  }
}
