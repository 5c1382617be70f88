#ifndef ESP_SUMS_3X3_H
#define ESP_SUMS_3X3_H

#include "esp_blocking.h"
#include "esp_filter.h"
#include "esp_requantize.h"

/* Whether a 3x3 needs spread weights, too. */
#define ESP_SPREAD_3X3 0

/* A row of three weights as a word, with a zero behind. */
ESP_INLINE uint32_t esp_three(const int8_t* w) {
  return (uint8_t)w[0] | (uint32_t)(uint8_t)w[1] << 8 | (uint32_t)(uint8_t)w[2] << 16;
}

/* Sums of a 3x3 of stride 1 for pairs of rows of `width` outputs, four neighbours in each at a
 * time. */
ESP_INLINE void esp_sums_3x3(const esp_filter* f, const uint32_t* spread, const int8_t* plane,
                             int32_t pitch, int32_t pairs, int32_t width, int32_t* sums) {
  const int8_t* w = f->weights;
  const int32_t start = f->start;
  const uint32_t w0 = esp_three(w), w1 = esp_three(w + 3), w2 = esp_three(w + 6);
  (void)spread;

  ESP_HERE(pitch);
  ESP_HERE(width);
  ESP_FRESH();
#define ESP_INPUTS(r)                                     \
  x0 = esp_word(r), x2 = esp_word((r) + 4), x1 = x0 >> 8; \
  x2 = x0 >> 16 | x2 << 16, x3 = x2 >> 8
#define ESP_ADD(a, k)                                                \
  (a##0 = esp_dot4(a##0, x0, w##k), a##1 = esp_dot4(a##1, x1, w##k), \
   a##2 = esp_dot4(a##2, x2, w##k), a##3 = esp_dot4(a##3, x3, w##k))
  ESP_ROLLED
  for (; pairs > 0; --pairs, plane += 2 * pitch - width, sums += width) {
    const int8_t* end = plane + width;
    ESP_ROLLED
    for (; plane != end; plane += 4, sums += 4) {
      const int8_t* r = plane;
      int32_t a0 = start, a1 = start, a2 = start, a3 = start;
      int32_t b0 = start, b1 = start, b2 = start, b3 = start;
      uint32_t x0, x1, x2, x3;
      ESP_INPUTS(r);
      ESP_ADD(a, 0);
      r += pitch;
      ESP_INPUTS(r);
      ESP_ADD(a, 1);
      ESP_ADD(b, 0);
      r += pitch;
      ESP_INPUTS(r);
      ESP_ADD(a, 2);
      ESP_ADD(b, 1);
      r += pitch;
      ESP_INPUTS(r);
      ESP_ADD(b, 2);
      sums[0] = a0, sums[1] = a1, sums[2] = a2, sums[3] = a3;
      sums[width] = b0, sums[width + 1] = b1, sums[width + 2] = b2, sums[width + 3] = b3;
    }
  }
#undef ESP_INPUTS
#undef ESP_ADD
}

/* Of stride 2 for rows of `width` outputs, two at a time. */
ESP_INLINE void esp_sums_3x3_by_two(const esp_filter* f, const uint32_t* spread,
                                    const int8_t* plane, int32_t pitch, int32_t rows, int32_t width,
                                    int32_t* sums) {
  const int8_t* w = f->weights;
  const int32_t start = f->start;
  const uint32_t w0 = esp_three(w), w1 = esp_three(w + 3), w2 = esp_three(w + 6);
  (void)spread;
  ESP_HERE(pitch);
  ESP_HERE(width);
  ESP_FRESH();
  ESP_ROLLED
  for (; rows > 0; --rows, plane += 2 * (pitch - width)) {
    const int8_t *r = plane, *s = r + pitch, *t = s + pitch, *end = plane + 2 * width;
    ESP_ROLLED
    for (plane = end; r != end; r += 4, s += 4, t += 4, sums += 2) {
      const uint32_t x0 = esp_word(r), x1 = esp_word(s), x2 = esp_word(t);
      const uint32_t y0 = esp_word(r + 4), y1 = esp_word(s + 4), y2 = esp_word(t + 4);
      int32_t a = start, b = start;
      a = esp_dot4(a, x0, w0);
      b = esp_dot4(b, x0 >> 16 | y0 << 16, w0);
      a = esp_dot4(a, x1, w1);
      b = esp_dot4(b, x1 >> 16 | y1 << 16, w1);
      a = esp_dot4(a, x2, w2);
      b = esp_dot4(b, x2 >> 16 | y2 << 16, w2);
      sums[0] = a, sums[1] = b;
    }
  }
}

#endif
