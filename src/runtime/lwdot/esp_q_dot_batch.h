#ifndef ESP_Q_DOT_BATCH_H
#define ESP_Q_DOT_BATCH_H

#include "esp_eight.h"
#include "esp_q_dot_threes.h"

/* Eight rows with four. Whether they are `brief`, of ESP_SHORT elements at most, is known at
 * compile time. */
ESP_INLINE void esp_q_dot_eight(const int8_t* rows, int32_t step, const int8_t* fours,
                                int32_t pitch, int32_t depth, int32_t brief, const int32_t* start,
                                int32_t anew, int32_t* sums) {
  const int8_t *x0, *x1, *x2, *x3, *x4, *x5, *x6, *x7, *w;
  int32_t j;
  ESP_ROWS(rows, step);
  ESP_ROLLED
  for (j = 0; j < 4; ++j, ++sums, fours += pitch) {
    int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0, a6 = 0, a7 = 0;
    if (!anew) {
      a0 = sums[0], a1 = sums[4], a2 = sums[8], a3 = sums[12];
      a4 = sums[16], a5 = sums[20], a6 = sums[24], a7 = sums[28];
    }
    if (start) {
      a0 += start[0], a1 += start[1], a2 += start[2], a3 += start[3];
      a4 += start[4], a5 += start[5], a6 += start[6], a7 += start[7];
    }
    w = fours;
    if (brief) {
      ESP_MEET_SHORT(depth);
    } else {
      ESP_MEET_LONG(depth);
      ESP_ROWS(rows, step);
    }
    sums[0] = a0, sums[4] = a1, sums[8] = a2, sums[12] = a3;
    sums[16] = a4, sums[20] = a5, sums[24] = a6, sums[28] = a7;
  }
}

/* Products of `count` rows, `step` bytes apart, with four that are `pitch` apart, `depth` elements
 * each on word boundaries: added to sums[row][of four] and, if not null, to `start` by row; or
 * `anew` to that alone. Sums have room for two rows more where three do not go into the count. */
ESP_INLINE void esp_q_dot_batch(const esp_q* rows, int32_t step, int32_t count, const int8_t* fours,
                                int32_t pitch, int32_t depth, const int32_t* start, int32_t anew,
                                esp_q_sum* sums) {
  int32_t k;
  ESP_ROLLED
  for (k = 0; k + 8 <= count; k += 8) {
    const int8_t* eight = (const int8_t*)rows + k * step;
    if (depth <= ESP_SHORT) {
      esp_q_dot_eight(eight, step, fours, pitch, depth, 1, start ? start + k : 0, anew,
                      (int32_t*)sums + 4 * k);
    } else {
      esp_q_dot_eight(eight, step, fours, pitch, depth, 0, start ? start + k : 0, anew,
                      (int32_t*)sums + 4 * k);
    }
  }
  if (k < count) esp_q_dot_threes(rows, step, k, count, fours, pitch, depth, start, anew, sums);
}

#endif
