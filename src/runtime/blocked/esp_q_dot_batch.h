#ifndef ESP_Q_DOT_BATCH_H
#define ESP_Q_DOT_BATCH_H

#include "esp_q_dot_threes.h"

/* Products of `count` rows, `step` bytes apart, with four that are `pitch` apart, `depth` elements
 * each on word boundaries: added to sums[row][of four] and, if not null, to `start` by row; or
 * `anew` to that alone. Sums have room for two rows more where three do not go into the count. */
ESP_INLINE void esp_q_dot_batch(const esp_q* rows, int32_t step, int32_t count, const int8_t* fours,
                                int32_t pitch, int32_t depth, const int32_t* start, int32_t anew,
                                esp_q_sum* sums) {
  esp_q_dot_threes(rows, step, 0, count, fours, pitch, depth, start, anew, sums);
}

#endif
