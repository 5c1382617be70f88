#include "espalier_integer.h"

/* A gradient through mask and factor: `in` becomes what `sink` makes of it, element by element. */
ESP_KERNEL void ESP_Q(esp_pass_gradient)(int32_t pixels, int32_t channels, const esp_q* in,
                                         const esp_q_sink* sink) {
  uint32_t all = 0;
  int32_t p, c, i = 0;
  for (p = 0; p < pixels; ++p) {
    for (c = 0; c < channels; ++c, ++i) all |= esp_q_put(sink, i, c, in[i]);
  }
  esp_q_note(sink->range, all);
}
