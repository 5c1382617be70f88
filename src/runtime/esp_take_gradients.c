#include "espalier_runtime.h"

/* dL/dx of channels [first, first + channels) of the pixels of y, which has `all`; stored or added.
 */
ESP_KERNEL void esp_take_gradients(int32_t pixels, int32_t channels, const float* dy, int32_t first,
                                   int32_t all, float* dx, int32_t add) {
  int32_t p, c;
  for (p = 0; p < pixels; ++p, dx += channels, dy += all) {
    for (c = 0; c < channels; ++c) dx[c] = add ? dx[c] + dy[first + c] : dy[first + c];
  }
}
