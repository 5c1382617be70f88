#ifndef ESP_Q_DOT_THREES_H
#define ESP_Q_DOT_THREES_H

#include "esp_blocking.h"
#include "esp_dot_step.h"
#include "esp_requantize.h"
#include "espalier_integer.h"

/* Products of three rows, the others `second` and `third` bytes behind the first, with four,
 * `depth` elements each on word boundaries: added to sums[row][of four] and, if not null, to
 * `start` by row; or `anew` to that alone. */
ESP_INLINE void esp_q_dot_rows(const esp_q* rows, int32_t second, int32_t third,
                               const int8_t* fours, int32_t pitch, int32_t depth,
                               const int32_t* start, int32_t anew, esp_q_sum* all) {
  int32_t* sums = (int32_t*)all;
  const int8_t *xa = (const int8_t*)rows, *xb = xa + second, *xc = xa + third;
  const int8_t *w0 = fours, *w1 = w0 + pitch, *w2 = w1 + pitch, *w3 = w2 + pitch, *end = xa + depth;
  const int32_t a = start ? start[0] : 0, b = start ? start[1] : 0, c = start ? start[2] : 0;
  int32_t a0 = a, a1 = a, a2 = a, a3 = a, b0 = b, b1 = b, b2 = b, b3 = b;
  int32_t c0 = c, c1 = c, c2 = c, c3 = c;
  if (!anew) {
    a0 += sums[0], a1 += sums[1], a2 += sums[2], a3 += sums[3];
    b0 += sums[4], b1 += sums[5], b2 += sums[6], b3 += sums[7];
    c0 += sums[8], c1 += sums[9], c2 += sums[10], c3 += sums[11];
  }
  if (depth & 4) {
    ESP_DOT_STEP(0);
    ESP_DOT_ADVANCE(4);
  }
  if (depth & 8) {
    ESP_DOT_STEP(0);
    ESP_DOT_STEP(4);
    ESP_DOT_ADVANCE(8);
  }
  ESP_ROLLED
  while (xa != end) {
    ESP_DOT_STEP(0);
    ESP_DOT_STEP(4);
    ESP_DOT_STEP(8);
    ESP_DOT_STEP(12);
    ESP_DOT_ADVANCE(16);
  }
  sums[0] = a0, sums[1] = a1, sums[2] = a2, sums[3] = a3;
  sums[4] = b0, sums[5] = b1, sums[6] = b2, sums[7] = b3;
  sums[8] = c0, sums[9] = c1, sums[10] = c2, sums[11] = c3;
}

/* esp_q_dot_rows() from row k on, three rows at a time, as esp_q_dot_batch() does all. */
ESP_INLINE void esp_q_dot_threes(const esp_q* rows, int32_t step, int32_t k, int32_t count,
                                 const int8_t* fours, int32_t pitch, int32_t depth,
                                 const int32_t* start, int32_t anew, esp_q_sum* sums) {
  int32_t j;
  rows += k * step;
  ESP_ROLLED
  for (; k + 1 < count; k += 3, rows += 3 * step) {
    esp_q_dot_rows(rows, step, k + 2 < count ? 2 * step : step, fours, pitch, depth,
                   start ? start + k : 0, anew, sums + 4 * k);
  }
  if (k < count) {
    ESP_ROLLED
    for (j = 4 * k; j < 4 * k + 4; ++j) {
      if (anew) sums[j] = 0;
      if (start) sums[j] += start[k];
    }
    esp_dot_row((const int8_t*)rows, fours, pitch, depth, (int32_t*)sums + 4 * k);
  }
}

#endif
