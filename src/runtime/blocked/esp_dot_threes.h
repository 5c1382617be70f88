#ifndef ESP_DOT_THREES_H
#define ESP_DOT_THREES_H

#include "esp_blocking.h"
#include "esp_dot_step.h"
#include "esp_outputs.h"
#include "esp_requantize.h"

/* One output of all three pixels. */
#define ESP_DOT_PUT(j)                                                                       \
  do {                                                                                       \
    const int32_t multiplier = q->multiplier[j], offset = q->offset[j], shift = q->shift[j]; \
    a##j = esp_scaled(a##j, multiplier, offset, shift);                                      \
    b##j = esp_scaled(b##j, multiplier, offset, shift);                                      \
    c##j = esp_scaled(c##j, multiplier, offset, shift);                                      \
    ya[j] = esp_to_range(a##j, low, top);                                                    \
    yb[j] = esp_to_range(b##j, low, top);                                                    \
    yc[j] = esp_to_range(c##j, low, top);                                                    \
  } while (0)

/* esp_dot_pixels() three pixels at a time; what is missing in the last three is computed as their
 * last pixel again. */
ESP_INLINE void esp_dot_threes(const esp_outputs* q, const esp_target* to, const int8_t* weights,
                               const int8_t* x, int32_t depth, int32_t pixels, int32_t i,
                               int32_t first) {
  const int32_t low = to->low, top = to->top, out_c = to->out_c;
  const int8_t* xa = x;
  int8_t* ya = to->y + i;
  i += first;
  for (; pixels > 0; pixels -= 3) {
    const int8_t *w0 = weights, *w1 = w0 + depth, *w2 = w1 + depth, *w3 = w2 + depth;
    const int8_t* end = xa + depth;
    const int8_t* xb = pixels > 1 ? end : xa;
    const int8_t* xc = pixels > 2 ? xb + depth : xb;
    int32_t a0 = q->start[0], a1 = q->start[1], a2 = q->start[2], a3 = q->start[3];
    int32_t b0 = a0, b1 = a1, b2 = a2, b3 = a3, c0 = a0, c1 = a1, c2 = a2, c3 = a3;
    if (depth & 12) {
      if (depth & 4) {
        ESP_DOT_STEP(0);
        ESP_DOT_ADVANCE(4);
      }
      if (depth & 8) {
        ESP_DOT_STEP(0);
        ESP_DOT_STEP(4);
        ESP_DOT_ADVANCE(8);
      }
    }
    ESP_ROLLED
    while (xa != end) {
      ESP_DOT_STEP(0);
      ESP_DOT_STEP(4);
      ESP_DOT_STEP(8);
      ESP_DOT_STEP(12);
      ESP_DOT_ADVANCE(16);
    }
    xa = xc;
    {
      const int32_t second = pixels > 1 ? out_c : 0, third = pixels > 2 ? out_c : 0;
      int8_t *yb = ya + second, *yc = yb + third;
      ESP_DOT_PUT(0);
      ESP_DOT_PUT(1);
      ESP_DOT_PUT(2);
      ESP_DOT_PUT(3);
      if (to->mask) {
        esp_put_masks(to, a0, a1, a2, a3, i);
        esp_put_masks(to, b0, b1, b2, b3, i + second);
        esp_put_masks(to, c0, c1, c2, c3, i + second + third);
      }
      ya = yc + out_c;
    }
    i += 3 * out_c;
  }
}
#undef ESP_DOT_PUT

#endif
