#ifndef ESP_Q_CORRELATE_TWO_H
#define ESP_Q_CORRELATE_TWO_H

#include "esp_blocking.h"
#include "esp_dual.h"
#include "esp_q_correlation.h"

/* Gradients of two neighbouring outputs at two pixels, `step` apart, by output. */
ESP_INLINE void esp_q_pairs(const esp_q* g, int32_t step, uint32_t* first, uint32_t* second) {
#if ESP_GRADIENT_BITS == 8
  const uint32_t both = esp_lower(esp_any_half(g), esp_any_half(g + step));
  *first = esp_even(both);
  *second = esp_odd(both);
#else
  const uint32_t p = esp_any_word(g), q = esp_any_word(g + step);
  *first = esp_lower(p, q);
  *second = esp_upper(p, q);
#endif
}

ESP_INLINE esp_q_sum esp_q_dual(esp_q_sum sum, uint32_t a, uint32_t b) {
#if ESP_GRADIENT_BITS == 8
  return esp_dual(sum, a, b);
#else
  return esp_dual_wide(sum, a, b);
#endif
}

/* Two outputs by four inputs, two pixels at a time. A last pixel without a neighbour is taken with
 * nothing. */
ESP_INLINE void esp_q_correlate_two(esp_q_correlation t, int32_t zero, esp_q_sum* sums) {
  esp_q_sum a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
  const uint32_t zeros = esp_pair(-zero, -zero);
  int32_t left;
  ESP_ROLLED
  for (; t.rows > 0; --t.rows, t.g += t.g_row, t.x += t.x_row) {
    ESP_ROLLED
    for (left = t.columns; left > 0; left -= 2) {
      uint32_t xp = esp_any_word(t.x), xq = xp, v, g0, g1;
      if (left > 1) {
        esp_q_pairs(t.g, t.g_step, &g0, &g1);
        xq = esp_any_word(t.x + t.x_step);
        t.g += t.g_step, t.x += t.x_step;
      } else {
        g0 = esp_pair(t.g[0], 0), g1 = esp_pair(t.g[1], 0);
      }
      t.g += t.g_step, t.x += t.x_step;
      v = esp_lower(xp, xq);
      xp = esp_upper(xp, xq);
      xq = esp_even_plus(zeros, v);
      a0 = esp_q_dual(a0, g0, xq), b0 = esp_q_dual(b0, g1, xq);
      xq = esp_odd_plus(zeros, v);
      a1 = esp_q_dual(a1, g0, xq), b1 = esp_q_dual(b1, g1, xq);
      xq = esp_even_plus(zeros, xp);
      a2 = esp_q_dual(a2, g0, xq), b2 = esp_q_dual(b2, g1, xq);
      xq = esp_odd_plus(zeros, xp);
      a3 = esp_q_dual(a3, g0, xq), b3 = esp_q_dual(b3, g1, xq);
    }
  }
  sums[0] = a0, sums[1] = a1, sums[2] = a2, sums[3] = a3;
  sums[4] = b0, sums[5] = b1, sums[6] = b2, sums[7] = b3;
}

#endif
