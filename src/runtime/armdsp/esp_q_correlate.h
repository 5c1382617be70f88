#ifndef ESP_Q_CORRELATE_H
#define ESP_Q_CORRELATE_H

#include "esp_blocking.h"
#include "esp_q_correlate_two.h"
#include "esp_q_correlation.h"

/* Sums begin at zero: that of inputs is subtracted on the way. */
ESP_INLINE void esp_q_starts(int32_t outputs, esp_q_correlation t, int32_t zero, esp_q_sum* start) {
  (void)outputs, (void)t, (void)zero;
  start[0] = start[1] = start[2] = start[3] = 0;
}

/* Four or one outputs by four inputs: sums[output][input]. */
ESP_INLINE void esp_q_correlate(int32_t outputs, esp_q_correlation t, int32_t zero,
                                const esp_q_sum* start, esp_q_sum* sums) {
  int32_t k;
  (void)start;
  if (outputs == 4) {
    ESP_ROLLED
    for (k = 0; k < 4; k += 2, t.g += 2) esp_q_correlate_two(t, zero, sums + 4 * k);
    return;
  }
  for (k = 0; k < 4; ++k, ++t.x) sums[k] = esp_q_correlate_one(t, zero);
}

#endif
