#ifndef ESP_Q_CORRELATE_H
#define ESP_Q_CORRELATE_H

#include "esp_blocking.h"
#include "esp_q_correlation.h"

/* Four or one outputs by four inputs: sums[output][input]. */
ESP_INLINE void esp_q_correlate(int32_t outputs, esp_q_correlation t, int32_t zero,
                                esp_q_sum* sums) {
  esp_q_sum a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
  esp_q_sum c0 = 0, c1 = 0, c2 = 0, c3 = 0, d0 = 0, d1 = 0, d2 = 0, d3 = 0;
  int32_t left;
  ESP_ROLLED
  for (; t.rows > 0; --t.rows, t.g += t.g_row, t.x += t.x_row) {
    ESP_ROLLED
    for (left = t.columns; left > 0; --left, t.g += t.g_step, t.x += t.x_step) {
      const int32_t v0 = t.x[0] - zero, v1 = t.x[1] - zero;
      const int32_t v2 = t.x[2] - zero, v3 = t.x[3] - zero;
      esp_q_sum n = t.g[0];
      a0 += n * v0, a1 += n * v1, a2 += n * v2, a3 += n * v3;
      if (outputs == 1) continue;
      n = t.g[1];
      b0 += n * v0, b1 += n * v1, b2 += n * v2, b3 += n * v3;
      n = t.g[2];
      c0 += n * v0, c1 += n * v1, c2 += n * v2, c3 += n * v3;
      n = t.g[3];
      d0 += n * v0, d1 += n * v1, d2 += n * v2, d3 += n * v3;
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
