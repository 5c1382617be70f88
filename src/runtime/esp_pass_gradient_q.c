#include "espalier_integer.h"

/* A gradient through mask and factor, and the sum of it and an addend, element by element: `dx` may
 * be `dy` or `addend`, which may be null. */
ESP_KERNEL void ESP_Q(esp_pass_gradient)(int32_t pixels, int32_t channels, const esp_q* dy,
                                         const esp_q* addend, esp_q* dx, const esp_q_sink* sink) {
  const esp_q_target target = esp_q_target_of(sink, 0);
  uint32_t all = 0;
  int32_t p, c, i = 0;
  for (p = 0; p < pixels; ++p) {
    for (c = 0; c < channels; ++c, ++i) dx[i] = esp_q_value(&target, addend, i, c, dy[i], &all);
  }
  esp_q_note(sink->range, all);
}
