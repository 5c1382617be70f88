#include "espalier_integer.h"

/* Samples in a row without any gradient after which an exponent becomes finer. */
#define ESP_PATIENCE 16

/* Behind a sample: exponents follow what their tensors needed. Where values were cut off by one or
 * two bits, one bit coarser, where by more, so much that at most one is missing; finer by one where
 * no value used a quarter of the range. A tensor of zeros says little: its gradients may be small,
 * or masked. It counts, below zero, how many there were. */
ESP_KERNEL void ESP_Q(esp_adapt_ranges)(int32_t count, esp_q_range* ranges) {
  const int32_t full = ESP_GRADIENT_BITS - 1, furthest = 100;
  int32_t i;
  for (i = 0; i < count; ++i) {
    esp_q_range* r = ranges + i;
    int32_t by = 0;
    if (r->bits <= 0) {
      if (--r->bits > -ESP_PATIENCE) continue;
      by = -1;
    } else if (r->bits > full) {
      by = r->bits > full + 1 ? r->bits - full - 1 : 1;
    } else if (r->bits < full - 1) {
      by = -1;
    }
    by += r->exponent;
    r->exponent = (int16_t)(by > furthest ? furthest : by < -furthest ? -furthest : by);
    r->bits = 0;
  }
}
