#ifndef ESP_Q_ROWS_H
#define ESP_Q_ROWS_H

#include "esp_dual_rows.h"
#include "espalier_integer.h"

#if ESP_GRADIENT_BITS != 8
/* Two rows of 16-bit gradients with one of weights. */
ESP_INLINE void esp_q_wide_rows(const esp_q* xa, const esp_q* xb, const int8_t* w, int32_t depth,
                                esp_q_sum* sum_a, esp_q_sum* sum_b) {
  const int8_t* end = w + (depth & ~3);
  esp_q_sum a = *sum_a, b = *sum_b;
  ESP_ROLLED
  for (; w != end; w += 4, xa += 4, xb += 4) {
    const uint32_t v = esp_any_word(w), even = esp_even(v), odd = esp_odd(v);
    const uint32_t first = esp_lower(even, odd), last = esp_upper(even, odd);
    a = esp_dual_wide(a, esp_any_word(xa), first);
    b = esp_dual_wide(b, esp_any_word(xb), first);
    a = esp_dual_wide(a, esp_any_word(xa + 2), last);
    b = esp_dual_wide(b, esp_any_word(xb + 2), last);
  }
  ESP_ROLLED
  for (depth &= 3; depth > 0; --depth, ++w, ++xa, ++xb) {
    a += (esp_q_sum)*xa * *w, b += (esp_q_sum)*xb * *w;
  }
  *sum_a = a, *sum_b = b;
}
#endif

/* Products of two rows of gradients with four of weights, added to sums[row][of four]. */
ESP_INLINE void esp_q_rows(const esp_q* xa, const esp_q* xb, const int8_t* fours, int32_t pitch,
                           int32_t depth, esp_q_sum* sums) {
  int32_t j;
#if ESP_GRADIENT_BITS == 8
  const int32_t second = (int32_t)(xb - xa);
  ESP_ROLLED
  for (j = 0; j < 4; j += 2) {
    esp_dual_rows(xa, second, fours + j * pitch, pitch, depth, 4, sums + j);
  }
#else
  ESP_ROLLED
  for (j = 0; j < 4; ++j) {
    esp_q_wide_rows(xa, xb, fours + j * pitch, depth, sums + j, sums + 4 + j);
  }
#endif
}

#endif
