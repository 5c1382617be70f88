#ifndef ESP_DUAL_ROWS_H
#define ESP_DUAL_ROWS_H

#include "esp_dual.h"

/* Products of two rows of x, the other `second` bytes behind the first, with two of weights,
 * `pitch` bytes apart, `depth` elements each that lie anywhere: added to two sums of each row of x,
 * `row` apart. Four sums and what they are made of are all that the registers hold. */
ESP_INLINE void esp_dual_rows(const int8_t* x, int32_t second, const int8_t* w, int32_t pitch,
                              int32_t depth, int32_t row, int32_t* sums) {
  int32_t a0 = sums[0], a1 = sums[1], b0 = sums[row], b1 = sums[row + 1];
  const int8_t* end = x + (depth & ~7);
#define ESP_STEP(k)                                                        \
  do {                                                                     \
    const uint32_t xa = esp_any_word(x + (k));                             \
    const uint32_t xb = esp_any_word(x + second + (k));                    \
    const uint32_t ae = esp_even(xa), ao = esp_odd(xa);                    \
    const uint32_t be = esp_even(xb), bo = esp_odd(xb);                    \
    uint32_t v = esp_any_word(w + (k)), ve = esp_even(v);                  \
    a0 = esp_dual(a0, ae, ve), b0 = esp_dual(b0, be, ve), ve = esp_odd(v); \
    a0 = esp_dual(a0, ao, ve), b0 = esp_dual(b0, bo, ve);                  \
    v = esp_any_word(w + pitch + (k)), ve = esp_even(v);                   \
    a1 = esp_dual(a1, ae, ve), b1 = esp_dual(b1, be, ve), ve = esp_odd(v); \
    a1 = esp_dual(a1, ao, ve), b1 = esp_dual(b1, bo, ve);                  \
  } while (0)
  ESP_ROLLED
  while (x != end) {
    ESP_STEP(0);
    ESP_STEP(4);
    x += 8, w += 8;
  }
  if (depth & 4) {
    ESP_STEP(0);
    x += 4, w += 4;
  }
#undef ESP_STEP
  ESP_ROLLED
  for (depth &= 3; depth > 0; --depth, ++x, ++w) {
    a0 += x[0] * w[0], a1 += x[0] * w[pitch];
    b0 += x[second] * w[0], b1 += x[second] * w[pitch];
  }
  sums[0] = a0, sums[1] = a1, sums[row] = b0, sums[row + 1] = b1;
}

#endif
