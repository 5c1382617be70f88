#ifndef ESP_Q_ROWS_H
#define ESP_Q_ROWS_H

#include "esp_blocking.h"
#include "espalier_integer.h"

/* Products of two rows of gradients with four of weights, added to sums[row][of four]. */
ESP_INLINE void esp_q_rows(const esp_q* xa, const esp_q* xb, const int8_t* fours, int32_t pitch,
                           int32_t depth, esp_q_sum* sums) {
  const int8_t *w0 = fours, *w1 = w0 + pitch, *w2 = w1 + pitch, *w3 = w2 + pitch;
  const esp_q* end = xa + (depth & ~3);
  esp_q_sum a0 = sums[0], a1 = sums[1], a2 = sums[2], a3 = sums[3];
  esp_q_sum b0 = sums[4], b1 = sums[5], b2 = sums[6], b3 = sums[7];
  int32_t left;
#define ESP_STEP(k)                                               \
  do {                                                            \
    const esp_q_sum xav = xa[k], xbv = xb[k];                     \
    const int32_t v0 = w0[k], v1 = w1[k], v2 = w2[k], v3 = w3[k]; \
    a0 += xav * v0;                                               \
    b0 += xbv * v0;                                               \
    a1 += xav * v1;                                               \
    b1 += xbv * v1;                                               \
    a2 += xav * v2;                                               \
    b2 += xbv * v2;                                               \
    a3 += xav * v3;                                               \
    b3 += xbv * v3;                                               \
  } while (0)
#define ESP_ADVANCE(n) (xa += (n), xb += (n), w0 += (n), w1 += (n), w2 += (n), w3 += (n))
  ESP_ROLLED
  while (xa != end) {
    ESP_STEP(0);
    ESP_STEP(1);
    ESP_STEP(2);
    ESP_STEP(3);
    ESP_ADVANCE(4);
  }
  ESP_ROLLED
  for (left = depth & 3; left > 0; --left) {
    ESP_STEP(0);
    ESP_ADVANCE(1);
  }
#undef ESP_STEP
#undef ESP_ADVANCE
  sums[0] = a0, sums[1] = a1, sums[2] = a2, sums[3] = a3;
  sums[4] = b0, sums[5] = b1, sums[6] = b2, sums[7] = b3;
}

#endif
