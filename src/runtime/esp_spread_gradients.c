#include "espalier_runtime.h"

/* dL/dx of a selection of channels: channel c is that of channel places[c] of the pixels of y,
 * which has `all`, and 0 where that is negative; stored or added. */
ESP_KERNEL void esp_spread_gradients(int32_t pixels, int32_t channels, const int16_t* places,
                                     const float* dy, int32_t all, float* dx, int32_t add) {
  int32_t p, c;
  for (p = 0; p < pixels; ++p, dx += channels, dy += all) {
    for (c = 0; c < channels; ++c) {
      const float part = places[c] < 0 ? 0.0F : dy[places[c]];
      dx[c] = add ? dx[c] + part : part;
    }
  }
}
