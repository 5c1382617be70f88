#ifndef ESP_Q_CORRELATION_H
#define ESP_Q_CORRELATION_H

#include "esp_blocking.h"
#include "espalier_integer.h"

/* Where the outputs and inputs of one tap lie: g and x at the first of them, and the steps to the
 * next in a row and to the next row. */
typedef struct {
  const esp_q* g;
  const int8_t* x;
  int32_t rows, columns, g_step, x_step, g_row, x_row;
} esp_q_correlation;

/* One input. */
ESP_INLINE esp_q_sum esp_q_correlate_one(esp_q_correlation t, int32_t zero) {
  esp_q_sum sum = 0;
  int32_t left;
  ESP_ROLLED
  for (; t.rows > 0; --t.rows, t.g += t.g_row, t.x += t.x_row) {
    ESP_ROLLED
    for (left = t.columns; left > 0; --left, t.g += t.g_step, t.x += t.x_step) {
      sum += (esp_q_sum)t.g[0] * (t.x[0] - zero);
    }
  }
  return sum;
}

#endif
