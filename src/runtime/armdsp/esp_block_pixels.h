#ifndef ESP_BLOCK_PIXELS_H
#define ESP_BLOCK_PIXELS_H

#include "esp_add_trained.h"
#include "esp_blocking.h"
#include "esp_dual_rows.h"
#include "esp_outputs.h"

/* One output of both pixels. */
#define ESP_PUT(j)                                                                           \
  do {                                                                                       \
    const int32_t multiplier = q->multiplier[j], offset = q->offset[j], shift = q->shift[j]; \
    const int32_t va = esp_scaled(sums[j], multiplier, offset, shift);                       \
    const int32_t vb = esp_scaled(sums[4 + (j)], multiplier, offset, shift);                 \
    sums[j] = va, sums[4 + (j)] = vb;                                                        \
    ya[j] = esp_to_range(va, low, top);                                                      \
    yb[j] = esp_to_range(vb, low, top);                                                      \
  } while (0)

/* The products of `pixels` rows of x, `depth` elements each that lie anywhere, with four rows of
 * weights, as outputs; two pixels and two outputs at a time. The outputs of the first pixel begin
 * at i, and at first + i in the mask. */
ESP_INLINE void esp_block_pixels(const esp_outputs* q, const esp_target* to, const int8_t* weights,
                                 const int8_t* trained, const int16_t* channels, int32_t count,
                                 const int8_t* x, int32_t depth, int32_t pixels, int32_t i,
                                 int32_t first) {
  const int32_t low = to->low, top = to->top, out_c = to->out_c;
  int8_t* ya = to->y + i;
  int32_t sums[8], j;
  i += first;
  for (; pixels > 0; pixels -= 2) {
    const int32_t second = pixels > 1 ? out_c : 0;
    const int32_t next = pixels > 1 ? depth : 0; /* a last pixel is both */
    int8_t* yb = ya + second;
    for (j = 0; j < 4; ++j) sums[j] = sums[4 + j] = q->start[j];
    ESP_ROLLED
    for (j = 0; j < 4; j += 2) {
      esp_dual_rows(x, next, weights + j * depth, depth, depth, 4, sums + j);
    }
    if (count) esp_add_trained(trained, channels, count, x, x + next, sums);
    ESP_PUT(0);
    ESP_PUT(1);
    ESP_PUT(2);
    ESP_PUT(3);
    if (to->mask) {
      esp_put_masks(to, sums[0], sums[1], sums[2], sums[3], i);
      esp_put_masks(to, sums[4], sums[5], sums[6], sums[7], i + second);
    }
    x += 2 * depth;
    ya = yb + out_c;
    i += 2 * out_c;
  }
}
#undef ESP_PUT

#endif
