#include "espalier_integer.h"

/* dL/dx of a table: dL/dy times its slope at x, in units of 2^-unit; dx may be dy. */
ESP_KERNEL void ESP_Q(esp_lookup_gradient)(int32_t elements, const int16_t* slope, int32_t unit,
                                           const esp_q* dy, const int8_t* x, esp_q* dx,
                                           const esp_q_sink* sink) {
  const esp_q_target target = esp_q_target_of(sink, unit);
  uint32_t all = 0;
  int32_t i;
  for (i = 0; i < elements; ++i) {
    dx[i] = esp_q_value(&target, 0, i, 0, (esp_q_sum)dy[i] * slope[x[i] + 128], &all);
  }
  esp_q_note(sink->range, all);
}
