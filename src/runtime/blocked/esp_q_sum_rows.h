#ifndef ESP_Q_SUM_ROWS_H
#define ESP_Q_SUM_ROWS_H

#include "esp_q_blocks.h"

/* Rows of sums of a channel, one behind the other: `rows` of `count`, `sum_pitch` apart, for
 * elements `step` apart in rows `pitch` apart. */
typedef struct {
  int32_t rows, count, sum_pitch, step, pitch;
} esp_q_span;

/* Those that esp_q_same_bit() is said of; four at a time. */
ESP_INLINE void esp_q_masked_rows(const uint8_t* mask, const esp_q_scaling* s,
                                  const esp_q_sum* sums, esp_q* dx, int32_t i, esp_q_span of,
                                  esp_q_seen* seen) {
  const int32_t skip = of.sum_pitch - of.count;
  int32_t factor = s->factor, half = s->half, shift = s->shift, known = seen->known;
  int32_t step = of.step, bytes = step >> 3;
  ESP_FRESH();
  ESP_DONE(factor, half, shift, known);
#define ESP_PUT(k)                                                    \
  do {                                                                \
    const int32_t sum = (int32_t)sums[k];                             \
    int32_t y = *byte & bit; /* zero if it is masked */               \
    ESP_HERE(y);                                                      \
    if (y) {                                                          \
      y = ((int32_t)(((int64_t)sum * factor) >> 32) + half) >> shift; \
      y = esp_q_in_range(y, &known, seen);                            \
    }                                                                 \
    ESP_HERE(y);                                                      \
    *to = (esp_q)y;                                                   \
    to += step, byte += bytes;                                        \
    ESP_HERE(to);                                                     \
    ESP_HERE(byte);                                                   \
  } while (0)
  ESP_ROLLED
  for (; of.rows > 0; --of.rows, i += of.pitch, sums += skip) {
    const esp_q_sum *fours = sums + (of.count & ~3), *end = sums + of.count;
    const uint8_t* byte = mask + (i >> 3);
    int32_t bit = 1 << (i & 7);
    esp_q* to = dx + i;
    ESP_DONE(bit, bytes, step, known);
    ESP_ROLLED
    for (; sums != fours; sums += 4) {
      ESP_PUT(0);
      ESP_PUT(1);
      ESP_PUT(2);
      ESP_PUT(3);
    }
    ESP_ROLLED
    for (; sums != end; ++sums) ESP_PUT(0);
  }
#undef ESP_PUT
  seen->known = known;
}

/* esp_q_value() of elements of channel c from i on, by its scaling. */
ESP_INLINE void esp_q_sum_rows(const esp_q_target* t, const esp_q_scaling* s, const esp_q* addend,
                               const esp_q_sum* sums, esp_q* dx, int32_t i, int32_t c,
                               esp_q_span of, esp_q_seen* seen) {
  if (esp_q_same_bit(t, s, addend, of.step)) {
    esp_q_masked_rows(t->mask, s, sums, dx, i, of, seen);
    return;
  }
  ESP_ROLLED
  for (; of.rows > 0; --of.rows, i += of.pitch, sums += of.sum_pitch) {
    esp_q_column(1, t, s, addend, sums, 1, 0, dx, i, of.step, c, of.count, seen);
  }
}

#endif
