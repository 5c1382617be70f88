#include "espalier_integer.h"

/* Behind a sample: exponents follow what their tensors needed. One bit coarser where values were
 * cut off, finer where no value used a quarter of the range. */
ESP_KERNEL void ESP_Q(esp_adapt_ranges)(int32_t count, esp_q_range* ranges) {
  const int32_t full = ESP_GRADIENT_BITS - 1, furthest = 100;
  int32_t i;
  for (i = 0; i < count; ++i) {
    esp_q_range* r = ranges + i;
    if (r->bits > full && r->exponent < furthest) ++r->exponent;
    if (r->bits < full - 1 && r->exponent > -furthest) --r->exponent;
    r->bits = 0;
  }
}
