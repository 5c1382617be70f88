#ifndef ESP_Q_CHANNEL_H
#define ESP_Q_CHANNEL_H

#include "esp_depthwise_rows.h"
#include "esp_q_blocks.h"

/* A channel of gradients with its padding, and its filter turned round: the input gradient is their
 * correlation. */
typedef struct {
  const esp_q* plane;
  const int8_t* flipped;
  int32_t pitch, kernel_h, kernel_w, dot;
} esp_q_channel;

/* `count` gradients of a channel, `step` apart, one behind the other; none below one. */
ESP_INLINE void esp_q_gather(const esp_q* from, int32_t step, int32_t count, esp_q* to) {
#if ESP_GRADIENT_BITS == 8
  if (count > 0) esp_gather(from, step, count, to);
#else
  ESP_ROLLED
  for (; count > 0; --count, from += step) *to++ = *from;
#endif
}

/* Sums of `rows` rows of `width` inputs from row `iy` on. With a kernel of 3, 5 or 7 a width that
 * is no multiple of four is rounded up; what lies between is written and means nothing. */
ESP_INLINE void esp_q_channel_sums(const esp_q_channel* by, int32_t iy, int32_t rows, int32_t width,
                                   const uint32_t* spread, esp_q_sum* sums) {
  const esp_q* from = by->plane + iy * by->pitch;
  int32_t ix, ky, kx;
  (void)spread;
  if (by->dot) {
    esp_filter f = {0, 0, 0, {0, 0, 0, 0}};
    f.weights = by->flipped;
#ifdef ESP_DOT4
#define ESP_SUMS_OF(k)                                                                             \
  esp_sums(&f, spread, (const int8_t*)from, by->pitch, k, by->kernel_h, 1, rows, (width + 3) & ~3, \
           (int32_t*)sums)
#define ESP_PAIRS_3X3(pairs) \
  esp_sums_3x3(&f, spread, (const int8_t*)from, by->pitch, pairs, (width + 3) & ~3, (int32_t*)sums)
#else
#define ESP_SUMS_OF(k)                                                                     \
  esp_sums(&f, (const int8_t*)from, by->pitch, k, by->kernel_h, 1, rows, (width + 3) & ~3, \
           (int32_t*)sums)
#define ESP_PAIRS_3X3(pairs) \
  esp_sums_3x3(&f, (const int8_t*)from, by->pitch, pairs, (width + 3) & ~3, (int32_t*)sums)
#endif
    if (by->kernel_w == 3) {
      if (by->kernel_h == 3) {
        ESP_PAIRS_3X3(rows >> 1);
        sums += (rows & ~1) * ((width + 3) & ~3);
        from += (rows & ~1) * by->pitch;
        rows &= 1;
      }
      if (rows) ESP_SUMS_OF(3);
    } else if (by->kernel_w == 5) {
      ESP_SUMS_OF(5);
    } else {
      ESP_SUMS_OF(7);
    }
#undef ESP_SUMS_OF
#undef ESP_PAIRS_3X3
    return;
  }
  for (; rows > 0; --rows, from += by->pitch) {
    for (ix = 0; ix < width; ++ix) {
      const int8_t* weights = by->flipped;
      esp_q_sum sum = 0;
      for (ky = 0; ky < by->kernel_h; ++ky) {
        const esp_q* r = from + ky * by->pitch + ix;
        for (kx = 0; kx < by->kernel_w; ++kx) sum += (esp_q_sum)r[kx] * *weights++;
      }
      *sums++ = sum;
    }
  }
}

#endif
