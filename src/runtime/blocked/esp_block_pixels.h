#ifndef ESP_BLOCK_PIXELS_H
#define ESP_BLOCK_PIXELS_H

#include "esp_blocking.h"
#include "esp_outputs.h"

/* One element of both pixels with four outputs. */
#define ESP_STEP(k)                                               \
  do {                                                            \
    const int32_t xav = xa[k], xbv = xb[k];                       \
    const int32_t v0 = w0[k], v1 = w1[k], v2 = w2[k], v3 = w3[k]; \
    a0 += xav * v0;                                               \
    b0 += xbv * v0;                                               \
    a1 += xav * v1;                                               \
    b1 += xbv * v1;                                               \
    a2 += xav * v2;                                               \
    b2 += xbv * v2;                                               \
    a3 += xav * v3;                                               \
    b3 += xbv * v3;                                               \
  } while (0)
#define ESP_ADVANCE(n) (xa += (n), xb += (n), w0 += (n), w1 += (n), w2 += (n), w3 += (n))
/* One output of both pixels. */
#define ESP_PUT(j)                                                                           \
  do {                                                                                       \
    const int32_t multiplier = q->multiplier[j], offset = q->offset[j], shift = q->shift[j]; \
    a##j = esp_scaled(a##j, multiplier, offset, shift);                                      \
    b##j = esp_scaled(b##j, multiplier, offset, shift);                                      \
    ya[j] = esp_to_range(a##j, low, top);                                                    \
    yb[j] = esp_to_range(b##j, low, top);                                                    \
  } while (0)

/* The products of `pixels` rows of x, `depth` elements each that lie anywhere, with four rows of
 * weights, as outputs; two pixels at a time. The gathered channels of partly trained weights,
 * [4][count], come on top. The outputs of the first pixel begin at i, and at first + i in the mask.
 */
ESP_INLINE void esp_block_pixels(const esp_outputs* q, const esp_target* to, const int8_t* weights,
                                 const int8_t* trained, const int16_t* channels, int32_t count,
                                 const int8_t* x, int32_t depth, int32_t pixels, int32_t i,
                                 int32_t first) {
  const int32_t low = to->low, top = to->top, out_c = to->out_c;
  int8_t* ya = to->y + i;
  int32_t j;
  i += first;
  for (; pixels > 0; pixels -= 2) {
    const int32_t second = pixels > 1 ? out_c : 0;
    const int8_t *w0 = weights, *w1 = w0 + depth, *w2 = w1 + depth, *w3 = w2 + depth;
    const int8_t *xa = x, *xb = pixels > 1 ? xa + depth : xa, *end = xa + (depth & ~3);
    int8_t* yb = ya + second;
    int32_t a0 = q->start[0], a1 = q->start[1], a2 = q->start[2], a3 = q->start[3];
    int32_t b0 = a0, b1 = a1, b2 = a2, b3 = a3;
    ESP_ROLLED
    while (xa != end) {
      ESP_STEP(0);
      ESP_STEP(1);
      ESP_STEP(2);
      ESP_STEP(3);
      ESP_ADVANCE(4);
    }
    ESP_ROLLED
    for (j = depth & 3; j > 0; --j) {
      ESP_STEP(0);
      ESP_ADVANCE(1);
    }
    xa -= depth, xb -= depth;
    w0 = trained, w1 = w0 + count, w2 = w1 + count, w3 = w2 + count;
    ESP_ROLLED
    for (j = 0; j < count; ++j) {
      const int32_t c = channels[j], xav = xa[c], xbv = xb[c];
      a0 += xav * w0[j];
      b0 += xbv * w0[j];
      a1 += xav * w1[j];
      b1 += xbv * w1[j];
      a2 += xav * w2[j];
      b2 += xbv * w2[j];
      a3 += xav * w3[j];
      b3 += xbv * w3[j];
    }
    ESP_PUT(0);
    ESP_PUT(1);
    ESP_PUT(2);
    ESP_PUT(3);
    if (to->mask) {
      esp_put_masks(to, a0, a1, a2, a3, i);
      esp_put_masks(to, b0, b1, b2, b3, i + second);
    }
    x = xb + depth;
    ya = yb + out_c;
    i += 2 * out_c;
  }
}
#undef ESP_STEP
#undef ESP_ADVANCE
#undef ESP_PUT

#endif
