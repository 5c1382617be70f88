#ifndef ESP_Q_CORRELATE_H
#define ESP_Q_CORRELATE_H

#include "esp_blocking.h"
#include "esp_helium.h"
#include "esp_q_correlate_two.h"
#include "esp_q_correlation.h"

/* Sums begin at zero: that of inputs is subtracted on the way. */
ESP_INLINE void esp_q_starts(int32_t outputs, esp_q_correlation t, int32_t zero, esp_q_sum* start) {
  (void)outputs, (void)t, (void)zero;
  start[0] = start[1] = start[2] = start[3] = 0;
}

/* Four or one outputs by four inputs, which are one vector: sums[output][input]. */
ESP_INLINE void esp_q_correlate(int32_t outputs, esp_q_correlation t, int32_t zero,
                                const esp_q_sum* start, esp_q_sum* sums) {
#if ESP_GRADIENT_BITS == 8
  esp_ints a = esp_all_ints(0), b = a, c = a, d = a;
  int32_t left;
  (void)start;
  ESP_ROLLED
  for (; t.rows > 0; --t.rows, t.g += t.g_row, t.x += t.x_row) {
    ESP_ROLLED
    for (left = t.columns; left > 0; --left, t.g += t.g_step, t.x += t.x_step) {
      const esp_ints x = esp_plus_all(esp_widen_ints(t.x), -zero);
      a = esp_mac_all(a, x, t.g[0]);
      if (outputs == 1) continue;
      b = esp_mac_all(b, x, t.g[1]);
      c = esp_mac_all(c, x, t.g[2]);
      d = esp_mac_all(d, x, t.g[3]);
    }
  }
  esp_store_ints(sums, a);
  if (outputs == 1) return;
  esp_store_ints(sums + 4, b);
  esp_store_ints(sums + 8, c);
  esp_store_ints(sums + 12, d);
#else
  int32_t k;
  (void)start;
  if (outputs == 4) { /* sums of 64 bits */
    ESP_ROLLED
    for (k = 0; k < 4; k += 2, t.g += 2) esp_q_correlate_two(t, zero, sums + 4 * k);
    return;
  }
  for (k = 0; k < 4; ++k, ++t.x) sums[k] = esp_q_correlate_one(t, zero);
#endif
}

#endif
