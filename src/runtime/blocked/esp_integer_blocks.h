#ifndef ESP_INTEGER_BLOCKS_H
#define ESP_INTEGER_BLOCKS_H

#include "esp_blocking.h"
#include "esp_requantize.h"
#include "esp_words.h"
#include "espalier_runtime.h"

/* Requantisation of four neighbouring outputs, kept at hand over all pixels. */
typedef struct {
  int32_t start[4], multiplier[4], offset[4], shift[4];
} esp_outputs;

/* Where outputs go, and their range, counted from the lowest. */
typedef struct {
  int8_t* y;
  uint8_t* mask;
  int32_t mask_bits, low, top, out_c;
} esp_target;

ESP_INLINE esp_target esp_target_of(const esp_conv* d, int8_t* y, uint8_t* mask) {
  esp_target target;
  target.y = y;
  target.mask = mask;
  target.mask_bits = d->mask_bits;
  target.low = d->low;
  target.top = d->high - d->low;
  target.out_c = d->out_c;
  return target;
}

/* Notes which of four neighbouring values, the first of which is i, lie in the range. */
ESP_INLINE void esp_put_masks(const esp_target* to, int32_t v0, int32_t v1, int32_t v2, int32_t v3,
                              int32_t i) {
  const uint32_t top = (uint32_t)to->top;
  const int32_t m0 = (uint32_t)v0 <= top, m1 = (uint32_t)v1 <= top;
  const int32_t m2 = (uint32_t)v2 <= top, m3 = (uint32_t)v3 <= top;
  const int32_t bits = m0 | m1 << 1 | m2 << 2 | m3 << 3;
  int32_t j;
  if (to->mask_bits && !(i & 3)) {
    /* four bits of one byte */
    uint8_t* byte = to->mask + (i >> 3);
    *byte = (uint8_t)((*byte & ~(15 << (i & 4))) | bits << (i & 4));
    return;
  }
  ESP_ROLLED
  for (j = 0; j < 4; ++j) esp_put_mask(to->mask, i + j, bits >> j & 1, to->mask_bits);
}

/* Fills in `outputs` for four outputs; false if one of them has no scaling. Bias and zero point of
 * the input become a start value. */
ESP_INLINE int32_t esp_outputs_of(const esp_conv* d, const esp_weights* w,
                                  const esp_requantization* q, int32_t o, int32_t depth,
                                  esp_outputs* outputs) {
  int32_t j;
  ESP_ROLLED
  for (j = 0; j < 4; ++j) {
    esp_scaling s;
    int32_t sum;
    if (!esp_scaling_of(d, q, o + j, depth, &s)) return 0;
    sum = esp_sum(w->full + (o + j) * depth, depth);
    if (w->count) sum += esp_sum(w->trained + (o + j) * w->count, w->count);
    outputs->start[j] = s.bias - d->in_zero * sum;
    outputs->multiplier[j] = s.multiplier;
    outputs->offset[j] = s.offset;
    outputs->shift[j] = s.shift;
  }
  return 1;
}

#ifdef ESP_DOT4
/* Bytes of weights that are copied for the dot product. */
#define ESP_COPIED 768

/* Four rows of weights with the trained channels among the others. */
ESP_INLINE void esp_merge(const esp_weights* w, int32_t o, int32_t depth, int8_t* merged) {
  const int8_t* trained = w->trained + o * w->count;
  int32_t c;
  esp_copy(merged, w->full + o * depth, 4 * depth);
  ESP_ROLLED
  for (c = 0; c < w->count; ++c) {
    const int8_t* from = trained + c;
    int8_t* to = merged + w->channels[c];
    *to = *from;
    from += w->count, to += depth;
    *to = *from;
    from += w->count, to += depth;
    *to = *from;
    from += w->count, to += depth;
    *to = *from;
  }
}

/* Four elements of three pixels with four outputs. The third pixel's are loaded neither so early
 * that registers become few nor right before they are needed. */
#define ESP_DOT_STEP(k)                                              \
  do {                                                               \
    const uint32_t v0 = esp_word(w0 + (k)), v1 = esp_word(w1 + (k)); \
    const uint32_t v2 = esp_word(w2 + (k)), v3 = esp_word(w3 + (k)); \
    const uint32_t xav = esp_word(xa + (k));                         \
    uint32_t xbv = esp_word(xb + (k)), xcv;                          \
    ESP_DOT_4(a0, a1, a2, a3, xav, v0, v1, v2, v3);                  \
    xcv = esp_word(xc + (k));                                        \
    ESP_DONE(xbv, xcv, b0, b1);                                      \
    ESP_DOT_4(b0, b1, b2, b3, xbv, v0, v1, v2, v3);                  \
    ESP_DOT_4(c0, c1, c2, c3, xcv, v0, v1, v2, v3);                  \
  } while (0)
/* Moves all pointers, so that steps have constant offsets. */
#define ESP_DOT_ADVANCE(n) \
  (xa += (n), xb += (n), xc += (n), w0 += (n), w1 += (n), w2 += (n), w3 += (n))
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

/* Four outputs of `pixels` pixels, three at a time, the first at y[i] and mask element first + i.
 * What is missing in the last three is computed as their last pixel again. Rows of weights and of
 * pixels, `depth` elements each, begin and end on word boundaries. */
ESP_INLINE void esp_dot_pixels(const esp_outputs* q, const esp_target* to, const int8_t* weights,
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
#undef ESP_DOT_STEP
#undef ESP_DOT_ADVANCE
#undef ESP_DOT_PUT
#endif

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

/* The same without the dot product, two pixels at a time, for rows that lie anywhere. The gathered
 * channels of partly trained weights, [4][count], come on top. */
ESP_INLINE void esp_scalar_pixels(const esp_outputs* q, const esp_target* to, const int8_t* weights,
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

/* A matrix product of `pixels` rows of x with the weights of a convolution, whose outputs for the
 * first pixel begin at y and at mask element i. */
ESP_INLINE void esp_matrix_product(const esp_conv* d, const int8_t* x, int32_t pixels,
                                   int32_t depth, const esp_weights* w, const esp_requantization* q,
                                   int8_t* y, uint8_t* mask, int32_t i) {
  const esp_target to = esp_target_of(d, y, mask);
  int32_t o, p, c;
#ifdef ESP_DOT4
  uint32_t merged[ESP_COPIED / 4];
  const int32_t words = esp_words(x, depth);
#endif
  for (o = 0; o < d->out_c;) {
    const int8_t* weights = w->full + o * depth;
    const int8_t* trained = w->trained + o * w->count;
    esp_outputs outputs;
    if (o + 4 <= d->out_c && esp_outputs_of(d, w, q, o, depth, &outputs)) {
#ifdef ESP_DOT4
      if (words && (w->count ? 4 * depth <= ESP_COPIED : esp_words(weights, depth))) {
        if (w->count) {
          esp_merge(w, o, depth, (int8_t*)merged);
          weights = (const int8_t*)merged;
        }
        esp_dot_pixels(&outputs, &to, weights, x, depth, pixels, o, i);
        o += 4;
        continue;
      }
#endif
      esp_scalar_pixels(&outputs, &to, weights, trained, w->channels, w->count, x, depth, pixels, o,
                        i);
      o += 4;
      continue;
    }
    for (p = 0; p < pixels; ++p) {
      const int8_t* pixel = x + p * depth;
      const int32_t at = p * d->out_c + o;
      int32_t acc = 0;
      ESP_ROLLED
      for (c = 0; c < depth; ++c) acc += (pixel[c] - d->in_zero) * weights[c];
      ESP_ROLLED
      for (c = 0; c < w->count; ++c) acc += (pixel[w->channels[c]] - d->in_zero) * trained[c];
      y[at] = esp_requantized(d, q, o, acc, mask, i + at);
    }
    ++o;
  }
}

#endif
