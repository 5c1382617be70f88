#ifndef ESP_Q_KEEP_H
#define ESP_Q_KEEP_H

#include "esp_blocking.h"
#include "espalier_integer.h"

/* How sums of one sample join those of others: shifted to the left, or to the right and rounded.
 * `quick` when neither can leave 32 bits; otherwise esp_q_keep() does it. */
typedef struct {
  int32_t quick, left, right, half;
} esp_q_keeping;

/* Sums are at most those of `terms` products of bytes. */
ESP_INLINE esp_q_keeping esp_q_keeping_of(const esp_q_parameter_sink* sink, int32_t terms) {
  esp_q_keeping k = {0, 0, 0, 0};
  if (ESP_GRADIENT_BITS == 8 && sink->sum && sink->sum_range && terms <= 16384) {
    const int32_t up = sink->sum_range->exponent - sink->sample->exponent - sink->from->exponent;
    if (up > 0) {
      k.quick = up < 30;
      k.right = up, k.half = k.quick ? 1 << (up - 1) : 0;
    } else {
      k.quick = up > -31 && terms * 127 * 255 <= (1 << 30) >> -up;
      k.left = -up;
    }
  }
  return k;
}

/* Rows of four of esp_q_keep_rows() from `sums` to `end`, up to the first that is near the end of
 * its range, which is returned: below 2^30 there is room for what is added. */
#define ESP_KEEP_FOURS(moved)                                                         \
  ESP_ROLLED                                                                          \
  for (; sums != end; sums += 4, kept += step) {                                      \
    const int32_t v0 = kept[0], v1 = kept[1], v2 = kept[2], v3 = kept[3];             \
    if (ESP_RARELY((int32_t)(ESP_NEAR_END(v0) | ESP_NEAR_END(v1) | ESP_NEAR_END(v2) | \
                             ESP_NEAR_END(v3)) < 0)) {                                \
      break;                                                                          \
    }                                                                                 \
    kept[0] = v0 + moved(0);                                                          \
    kept[1] = v1 + moved(1);                                                          \
    kept[2] = v2 + moved(2);                                                          \
    kept[3] = v3 + moved(3);                                                          \
  }                                                                                   \
  return sums
#define ESP_NEAR_END(v) ((uint32_t)(v) + (1u << 30))
#define ESP_MOVED_LEFT(j) (int32_t)((uint32_t)(int32_t)sums[j] << left)
#define ESP_MOVED_RIGHT(j) (((int32_t)sums[j] + half) >> right)
ESP_INLINE const esp_q_sum* esp_q_keep_left(esp_any_int32* kept, int32_t step, int32_t left,
                                            const esp_q_sum* sums, const esp_q_sum* end) {
  ESP_KEEP_FOURS(ESP_MOVED_LEFT);
}
ESP_INLINE const esp_q_sum* esp_q_keep_right(esp_any_int32* kept, int32_t step, int32_t right,
                                             int32_t half, const esp_q_sum* sums,
                                             const esp_q_sum* end) {
  ESP_KEEP_FOURS(ESP_MOVED_RIGHT);
}
#undef ESP_KEEP_FOURS
#undef ESP_NEAR_END
#undef ESP_MOVED_LEFT
#undef ESP_MOVED_RIGHT

/* esp_q_keep() of `count` neighbours from place `at` on, and of those `step` behind them in as many
 * rows: sums[row][of four]. */
ESP_INLINE void esp_q_keep_rows(const esp_q_parameter_sink* sink, const esp_q_keeping* k,
                                int32_t at, int32_t step, int32_t rows, int32_t count,
                                const esp_q_sum* sums) {
  const esp_q_sum *end = sums + 4 * rows, *done = sums;
  int32_t j;
  if (k->quick && count == 4) {
    done = k->right ? esp_q_keep_right(sink->sum + at, step, k->right, k->half, sums, end)
                    : esp_q_keep_left(sink->sum + at, step, k->left, sums, end);
  }
  if (!ESP_RARELY(done != end)) return;
  at += (int32_t)(done - sums) / 4 * step;
  ESP_ROLLED
  for (; done != end; done += 4, at += step) {
    ESP_ROLLED
    for (j = 0; j < count; ++j) esp_q_keep(sink, at + j, done[j]);
  }
}

#endif
