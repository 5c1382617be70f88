#ifndef ESP_DOT_PIXELS_H
#define ESP_DOT_PIXELS_H

#include "esp_dot_threes.h"
#include "esp_eight.h"

/* Pixels that are best computed together. */
#define ESP_DOT_PIXELS 8

/* Notes which of four outputs of eight pixels lie in the range: four bits a pixel. The first output
 * is i. */
ESP_INLINE void esp_put_mask_column(const esp_target* to, uint32_t inside, int32_t i) {
  const int32_t out_c = to->out_c;
  int32_t p;
  if (to->mask_bits && !((i & 3) | (out_c & 7))) {
    /* the same four bits of bytes a step apart */
    uint8_t* byte = to->mask + (i >> 3);
    const int32_t shift = i & 4, others = 0xF0 >> shift;
    ESP_ROLLED
    for (p = 0; p < 8; ++p, byte += out_c >> 3, inside >>= 4) {
      *byte = (uint8_t)((*byte & others) | (inside & 15) << shift);
    }
    return;
  }
  ESP_ROLLED
  for (p = 0; p < 8; ++p, i += out_c, inside >>= 4) esp_put_mask_bits(to, inside & 15, i);
}

/* Four outputs of eight pixels, the first at y[i] and mask element first + i. Whether they are
 * `masked` is known at compile time. */
ESP_INLINE void esp_dot_eight(const esp_outputs* q, const esp_target* to, const int8_t* weights,
                              const int8_t* x, int32_t depth, int32_t masked, int32_t i,
                              int32_t first) {
  const int8_t *x0, *x1, *x2, *x3, *x4, *x5, *x6, *x7, *w;
  uint32_t outside = 0, bit = 1; /* of the range: four bits a pixel */
  int32_t j;
  ESP_FRESH();
  ESP_ROWS(x, depth);
  ESP_ROLLED
  for (j = 0; j < 4; ++j, weights += depth, bit <<= 1) {
    int32_t a0 = q->start[j], a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
    int32_t low = to->low, top = to->top, out_c = to->out_c, multiplier, offset, shift;
    int8_t* y = to->y + i + j;
    ESP_DONE(a0, a1, a2, a3); /* or some are copied once more */
    ESP_DONE(a4, a5, a6, a7);
    w = weights;
    if (depth <= ESP_SHORT) {
      ESP_MEET_SHORT(depth);
    } else {
      ESP_MEET_LONG(depth);
      ESP_ROWS(x, depth);
    }
    multiplier = q->multiplier[j], offset = q->offset[j], shift = q->shift[j];
    ESP_DONE(low, top, out_c, y); /* at hand from here on */
#define ESP_PUT(p)                                      \
  do {                                                  \
    a##p = esp_scaled(a##p, multiplier, offset, shift); \
    if (ESP_RARELY((uint32_t)a##p > (uint32_t)top)) {   \
      a##p = a##p < 0 ? 0 : top;                        \
      ESP_HERE(a##p);                                   \
      if (masked) outside |= bit << 4 * (p);            \
    }                                                   \
    *y = (int8_t)(a##p + low);                          \
    y += out_c;                                         \
    ESP_HERE(y);                                        \
  } while (0)
    ESP_PUT(0);
    ESP_PUT(1);
    ESP_PUT(2);
    ESP_PUT(3);
    ESP_PUT(4);
    ESP_PUT(5);
    ESP_PUT(6);
    ESP_PUT(7);
#undef ESP_PUT
  }
  if (masked) esp_put_mask_column(to, ~outside, i + first);
}

/* Four outputs of `pixels` pixels, the first at y[i] and mask element first + i. Rows of weights
 * and of pixels, `depth` elements each, begin and end on word boundaries. More than half of eight
 * pixels at the end are computed with some before them, once more. */
ESP_INLINE void esp_dot_pixels(const esp_outputs* q, const esp_target* to, const int8_t* weights,
                               const int8_t* x, int32_t depth, int32_t pixels, int32_t i,
                               int32_t first) {
  const int32_t out_c = to->out_c;
  int32_t p = 0;
  if (pixels > 7) {
    ESP_ROLLED
    for (; pixels - p > 3; p += 8) {
      if (p > pixels - 8) p = pixels - 8;
      if (to->mask) {
        esp_dot_eight(q, to, weights, x + p * depth, depth, 1, i + p * out_c, first);
      } else {
        esp_dot_eight(q, to, weights, x + p * depth, depth, 0, i + p * out_c, first);
      }
    }
  }
  if (p < pixels) {
    esp_dot_threes(q, to, weights, x + p * depth, depth, pixels - p, i + p * out_c, first);
  }
}

#endif
