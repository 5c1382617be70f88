#include "esp_blocking.h"
#include "espalier_runtime.h"

/* The operands' factors and the shift of the sum's upper word, to which rounding is a matter. */
typedef struct {
  int32_t a_factor, b_factor, room, half, shift;
} esp_add_scaling;

/* Elements, b and mask null or not at compile time. */
ESP_INLINE void esp_add_all(const esp_add* d, const esp_add_scaling* s, const int8_t* a,
                            const int8_t* b, int8_t* y, uint8_t* mask) {
  const int32_t a_zero = d->a_zero, b_zero = d->b_zero, a_factor = s->a_factor;
  const int32_t b_factor = s->b_factor, half = s->half, shift = s->shift, room = s->room;
  const int32_t low = d->low, top = d->high - low, bits = d->mask_bits, elements = d->elements;
  int32_t i;
  ESP_ROLLED
  for (i = 0; i < elements; ++i) {
    int64_t sum = (int64_t)((a[i] - a_zero) * (1 << room)) * a_factor;
    int32_t value;
    if (b) sum += (int64_t)((b[i] - b_zero) * (1 << room)) * b_factor;
    value = ((int32_t)(sum >> 32) + half) >> shift;
    if (mask) esp_put_mask(mask, i, (uint32_t)value <= (uint32_t)top, bits);
    if (ESP_RARELY((uint32_t)value > (uint32_t)top)) value = value < 0 ? 0 : top;
    y[i] = (int8_t)(value + low);
  }
}

/* Sum of two maps, or with b null one map rescaled; y may be a or b. Values count from the lowest
 * output; of each sum only the upper word is shifted. */
ESP_KERNEL void esp_add_forward(const esp_add* d, const int8_t* a, const int8_t* b, int8_t* y,
                                uint8_t* mask) {
  esp_add_scaling s;
  s.a_factor = d->a_multiplier, s.b_factor = d->b_multiplier;
  /* operands have 9 bits and a sign, factors 31 */
  s.room = d->shift > 32 ? 0 : 33 - d->shift;
  s.shift = d->shift + s.room - 32;
  if (s.room > 20 || s.shift > 20) {
    int32_t i;
    ESP_ROLLED
    for (i = 0; i < d->elements; ++i) {
      int64_t sum = (int64_t)(a[i] - d->a_zero) * d->a_multiplier;
      if (b) sum += (int64_t)(b[i] - d->b_zero) * d->b_multiplier;
      sum = ((sum + ((int64_t)1 << (d->shift - 1))) >> d->shift) + d->out_zero;
      y[i] = esp_clamp(sum > 32767    ? 32767
                       : sum < -32768 ? -32768
                                      : (int32_t)sum,
                       d->low, d->high, mask, i, d->mask_bits);
    }
    return;
  }
  s.half = (1 << (s.shift - 1)) + (d->out_zero - d->low) * (1 << s.shift);
  if (b && mask) {
    esp_add_all(d, &s, a, b, y, mask);
  } else if (b) {
    esp_add_all(d, &s, a, b, y, 0);
  } else {
    esp_add_all(d, &s, a, 0, y, mask);
  }
}
