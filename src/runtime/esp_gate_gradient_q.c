#include "espalier_integer.h"

/* dL/db of a gate, one number a channel: dL/dy * mask * (a - zero) summed over the pixels; the sink
 * has the factor. */
ESP_KERNEL void ESP_Q(esp_gate_gradient)(int32_t pixels, int32_t channels, const esp_q* dy,
                                         const uint8_t* mask, int32_t mask_bits, const int8_t* a,
                                         int32_t zero, esp_q* db, const esp_q_sink* sink) {
  const esp_q_target target = esp_q_target_of(sink, 0);
  uint32_t all = 0;
  int32_t p, c;
  for (c = 0; c < channels; ++c) {
    esp_q_sum sum = 0;
    int32_t i = c;
    for (p = 0; p < pixels; ++p, i += channels) {
      if (esp_get_mask(mask, i, mask_bits)) sum += (esp_q_sum)dy[i] * (a[i] - zero);
    }
    db[c] = esp_q_value(&target, 0, c, c, sum, &all);
  }
  esp_q_note(sink->range, all);
}
