#ifndef ESP_Q_CHANNEL_H
#define ESP_Q_CHANNEL_H

#include "esp_depthwise_rows.h"
#include "esp_q_sum_rows.h"

/* A channel of gradients with its padding, and its filter turned round: the input gradient is their
 * correlation. `height` of the plane's rows, from `above` on, hold gradients and the others zeros,
 * where that is known; otherwise both are 0. */
typedef struct {
  const esp_q* plane;
  const int8_t* flipped;
  int32_t pitch, kernel_h, kernel_w, dot, above, height;
} esp_q_channel;

/* `rows` rows of `width` gradients of a channel, `step` apart and `skip` more between rows, to rows
 * `pitch` apart. */
ESP_INLINE void esp_q_gather(const esp_q* from, int32_t step, int32_t skip, int32_t rows,
                             int32_t width, esp_q* to, int32_t pitch) {
  const int32_t fours = width & ~3;
  if (width <= 0) return;
  ESP_FRESH();
  ESP_ROLLED
  for (; rows > 0; --rows, from += skip, to += pitch - width) {
    const esp_q *end = to + width, *last = to + fours;
    ESP_ROLLED
    for (; to != last; to += 4) {
      int32_t v0, v1, v2, v3;
      v0 = *from, from += step;
      v1 = *from, from += step;
      v2 = *from, from += step;
      v3 = *from, from += step;
      ESP_DONE(v0, v1, v2, v3);
      to[0] = (esp_q)v0, to[1] = (esp_q)v1, to[2] = (esp_q)v2, to[3] = (esp_q)v3;
    }
    ESP_ROLLED
    for (; to != end; from += step) *to++ = *from;
  }
}

/* Of the rows of outputs from `iy` on, how many meet the same rows of the filter, and these rows:
 * others meet nothing but zeros. */
ESP_INLINE int32_t esp_q_alike(const esp_q_channel* by, int32_t iy, int32_t rows, int32_t* first,
                               int32_t* until) {
#ifdef ESP_WHOLE_KERNELS
  const int32_t known = 0;
#else
  const int32_t known = by->height;
#endif
  const int32_t above = by->above - iy, end = above + known;
  if (!known) return rows;
  *first = above > 0 ? above : 0;
  *until = end < by->kernel_h ? end : by->kernel_h;
  if (above > 0 || end <= by->kernel_h) return 1;
  return rows < end - by->kernel_h + 1 ? rows : end - by->kernel_h + 1;
}

/* Sums of `rows` rows of `width` inputs from row `iy` and column `ix` on. With a kernel of 3, 5 or
 * 7 a width that is no multiple of four is rounded up; what lies between is written and means
 * nothing. */
ESP_INLINE void esp_q_channel_sums(const esp_q_channel* by, int32_t iy, int32_t ix, int32_t rows,
                                   int32_t width, const uint32_t* spread, esp_q_sum* sums) {
  const esp_q* from = by->plane + iy * by->pitch + ix;
  int32_t ky, kx;
  (void)spread;
  if (by->dot) {
    const int32_t whole = (width + 3) & ~3;
    int32_t first = 0, until = by->kernel_h, got = rows;
    esp_filter f = {0, 0, 0, {0, 0, 0, 0}};
    f.weights = by->flipped;
#ifdef ESP_DOT4
#define ESP_SUMS_OF(k, words)                                                                   \
  esp_sums(&f, spread + first * (words), (const int8_t*)from + first * by->pitch, by->pitch, k, \
           until - first, 1, got, whole, (int32_t*)sums)
#define ESP_PAIRS_3X3(pairs) \
  esp_sums_3x3(&f, spread, (const int8_t*)from, by->pitch, pairs, whole, (int32_t*)sums)
#else
#define ESP_SUMS_OF(k, words)                                                                \
  esp_sums(&f, (const int8_t*)from + first * by->pitch, by->pitch, k, until - first, 1, got, \
           whole, (int32_t*)sums)
#define ESP_PAIRS_3X3(pairs) \
  esp_sums_3x3(&f, (const int8_t*)from, by->pitch, pairs, whole, (int32_t*)sums)
#endif
    if (by->kernel_w == 3) {
      if (by->kernel_h == 3) {
        ESP_PAIRS_3X3(rows >> 1);
        sums += (rows & ~1) * whole;
        from += (rows & ~1) * by->pitch;
        got = rows & 1;
      }
      if (got) ESP_SUMS_OF(3, 6);
      return;
    }
    for (; rows > 0; rows -= got, iy += got, from += got * by->pitch, sums += got * whole) {
      got = esp_q_alike(by, iy, rows, &first, &until);
      f.weights = by->flipped + first * by->kernel_w;
      if (by->kernel_w == 5) {
        ESP_SUMS_OF(5, 8);
      } else {
        ESP_SUMS_OF(7, 10);
      }
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
