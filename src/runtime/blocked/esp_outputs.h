#ifndef ESP_OUTPUTS_H
#define ESP_OUTPUTS_H

#include "esp_blocking.h"
#include "esp_long_sum.h"
#include "esp_requantize.h"
#include "espalier_runtime.h"

/* Requantisation of four neighbouring outputs, kept at hand over all pixels. */
typedef struct {
  int32_t start[4], multiplier[4], offset[4], shift[4];
} esp_outputs;

/* Where outputs go, and their range, counted from the lowest. */
typedef struct {
  int8_t* y;
  uint8_t* mask;
  int32_t mask_bits, low, top, out_c;
} esp_target;

ESP_INLINE esp_target esp_target_of(const esp_conv* d, int8_t* y, uint8_t* mask) {
  esp_target target;
  target.y = y;
  target.mask = mask;
  target.mask_bits = d->mask_bits;
  target.low = d->low;
  target.top = d->high - d->low;
  target.out_c = d->out_c;
  return target;
}

/* Notes which of four neighbouring values, the first of which is i, lie in the range: a bit each.
 */
ESP_INLINE void esp_put_mask_bits(const esp_target* to, int32_t bits, int32_t i) {
  int32_t j;
  if (to->mask_bits && !(i & 3)) {
    /* four bits of one byte */
    uint8_t* byte = to->mask + (i >> 3);
    *byte = (uint8_t)((*byte & ~(15 << (i & 4))) | bits << (i & 4));
    return;
  }
  ESP_ROLLED
  for (j = 0; j < 4; ++j) esp_put_mask(to->mask, i + j, bits >> j & 1, to->mask_bits);
}
ESP_INLINE void esp_put_masks(const esp_target* to, int32_t v0, int32_t v1, int32_t v2, int32_t v3,
                              int32_t i) {
  const uint32_t top = (uint32_t)to->top;
  const int32_t m0 = (uint32_t)v0 <= top, m1 = (uint32_t)v1 <= top;
  const int32_t m2 = (uint32_t)v2 <= top, m3 = (uint32_t)v3 <= top;
  esp_put_mask_bits(to, m0 | m1 << 1 | m2 << 2 | m3 << 3, i);
}

/* Fills in `outputs` for four outputs; false if one of them has no scaling. Bias and zero point of
 * the input become a start value. */
ESP_INLINE int32_t esp_outputs_of(const esp_conv* d, const esp_weights* w,
                                  const esp_requantization* q, int32_t o, int32_t depth,
                                  esp_outputs* outputs) {
  int32_t j;
  ESP_ROLLED
  for (j = 0; j < 4; ++j) {
    esp_scaling s;
    int32_t sum;
    if (!esp_scaling_of(d, q, o + j, depth, &s)) return 0;
    sum = esp_long_sum(w->full + (o + j) * depth, depth);
    if (w->count) sum += esp_sum(w->trained + (o + j) * w->count, w->count);
    outputs->start[j] = s.bias - d->in_zero * sum;
    outputs->multiplier[j] = s.multiplier;
    outputs->offset[j] = s.offset;
    outputs->shift[j] = s.shift;
  }
  return 1;
}

#endif
