#include "espalier_runtime.h"

/* Sum of two maps, or with b null one map rescaled; y may be a or b. */
ESP_KERNEL void esp_add_forward(const esp_add* d, const int8_t* a, const int8_t* b, int8_t* y,
                                uint8_t* mask) {
  int32_t i;
  for (i = 0; i < d->elements; ++i) {
    int64_t sum = (int64_t)(a[i] - d->a_zero) * d->a_multiplier;
    if (b) sum += (int64_t)(b[i] - d->b_zero) * d->b_multiplier;
    sum = ((sum + ((int64_t)1 << (d->shift - 1))) >> d->shift) + d->out_zero;
    y[i] = esp_clamp(sum > 32767    ? 32767
                     : sum < -32768 ? -32768
                                    : (int32_t)sum,
                     d->low, d->high, mask, i, d->mask_bits);
  }
}
