#include "espalier_integer.h"

/* dL/dx of a selection of channels: channel c is that of channel places[c] of the pixels of y,
 * which has `all_c`, and 0 where that is negative; `dx` may be `addend`, which may be null. */
ESP_KERNEL void ESP_Q(esp_spread_gradients)(int32_t pixels, int32_t channels, const int16_t* places,
                                            const esp_q* dy, int32_t all_c, const esp_q* addend,
                                            esp_q* dx, const esp_q_sink* sink) {
  const esp_q_target target = esp_q_target_of(sink, 0);
  uint32_t all = 0;
  int32_t p, c, i = 0;
  for (p = 0; p < pixels; ++p, dy += all_c) {
    for (c = 0; c < channels; ++c, ++i) {
      dx[i] = esp_q_value(&target, addend, i, c, places[c] < 0 ? 0 : dy[places[c]], &all);
    }
  }
  esp_q_note(sink->range, all);
}
