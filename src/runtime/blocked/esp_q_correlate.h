#ifndef ESP_Q_CORRELATE_H
#define ESP_Q_CORRELATE_H

#include "esp_blocking.h"
#include "esp_q_correlation.h"

/* What the sums of four or one outputs begin at: -zero times all of their gradients, so that
 * products are of inputs as they are. */
ESP_INLINE void esp_q_starts(int32_t outputs, esp_q_correlation t, int32_t zero, esp_q_sum* start) {
  esp_q_sum a = 0, b = 0, c = 0, d = 0;
  int32_t left;
  ESP_ROLLED
  for (; t.rows > 0; --t.rows, t.g += t.g_row) {
    ESP_ROLLED
    for (left = t.columns; left > 0; --left, t.g += t.g_step) {
      a += t.g[0];
      if (outputs == 1) continue;
      b += t.g[1], c += t.g[2], d += t.g[3];
    }
  }
  start[0] = -zero * a, start[1] = -zero * b, start[2] = -zero * c, start[3] = -zero * d;
}

/* Four or one outputs by four inputs: sums[output][input]. Overlays that subtract `zero` on the way
 * have no use for `start`. */
ESP_INLINE void esp_q_correlate(int32_t outputs, esp_q_correlation t, int32_t zero,
                                const esp_q_sum* start, esp_q_sum* sums) {
  esp_q_sum a0 = start[0], a1 = a0, a2 = a0, a3 = a0, b0 = start[1], b1 = b0, b2 = b0, b3 = b0;
  esp_q_sum c0 = start[2], c1 = c0, c2 = c0, c3 = c0, d0 = start[3], d1 = d0, d2 = d0, d3 = d0;
  int32_t left;
  (void)zero;
  ESP_ROLLED
  for (; t.rows > 0; --t.rows, t.g += t.g_row, t.x += t.x_row) {
    ESP_ROLLED
    for (left = t.columns; left > 0; --left, t.g += t.g_step, t.x += t.x_step) {
      const int32_t v0 = t.x[0], v1 = t.x[1], v2 = t.x[2], v3 = t.x[3];
      esp_q_sum n = t.g[0], m = 0;
      /* the next gradient is loaded before it is needed */
      if (outputs != 1) m = t.g[1];
      a0 += n * v0, a1 += n * v1, a2 += n * v2, a3 += n * v3;
      if (outputs == 1) continue;
      n = t.g[2];
      b0 += m * v0, b1 += m * v1, b2 += m * v2, b3 += m * v3;
      m = t.g[3];
      c0 += n * v0, c1 += n * v1, c2 += n * v2, c3 += n * v3;
      d0 += m * v0, d1 += m * v1, d2 += m * v2, d3 += m * v3;
    }
  }
#define ESP_STORE(k, s)                                                      \
  (sums[4 * (k)] = s##0, sums[4 * (k) + 1] = s##1, sums[4 * (k) + 2] = s##2, \
   sums[4 * (k) + 3] = s##3)
  ESP_STORE(0, a);
  if (outputs == 1) return;
  ESP_STORE(1, b);
  ESP_STORE(2, c);
  ESP_STORE(3, d);
#undef ESP_STORE
}

#endif
