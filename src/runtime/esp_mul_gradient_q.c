#include "espalier_integer.h"

/* dL/dx of one operand of a product: dL/dy times the other operand, a map or a gate of one number a
 * channel; the sink has mask and factor. dx may be dy. */
ESP_KERNEL void ESP_Q(esp_mul_gradient)(int32_t pixels, int32_t channels, int32_t gate,
                                        const esp_q* dy, const int8_t* other, int32_t zero,
                                        esp_q* dx, const esp_q_sink* sink) {
  const esp_q_target target = esp_q_target_of(sink, 0);
  uint32_t all = 0;
  int32_t p, c, i = 0;
  for (p = 0; p < pixels; ++p) {
    for (c = 0; c < channels; ++c, ++i) {
      const esp_q_sum product = (esp_q_sum)dy[i] * (other[gate ? c : i] - zero);
      dx[i] = esp_q_value(&target, 0, i, c, product, &all);
    }
  }
  esp_q_note(sink->range, all);
}
