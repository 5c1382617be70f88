#ifndef ESP_DEPTHWISE_SUMS_H
#define ESP_DEPTHWISE_SUMS_H

#include "esp_blocking.h"
#include "esp_filter.h"
#ifdef ESP_DOT4
#include "esp_spread_sums.h"
#include "esp_sums_3x3.h"
#endif

#define ESP_STORE_4(to, v0, v1, v2, v3) ((to)[0] = v0, (to)[1] = v1, (to)[2] = v2, (to)[3] = v3)

#ifdef ESP_DOT4
/* Moves words down, and fills words; rows of a plane are too short for a call. */
ESP_INLINE void esp_copy_words(int8_t* to, const int8_t* from, int32_t bytes) {
  ESP_ROLLED
  for (; bytes > 0; bytes -= 4, to += 4, from += 4) esp_put_word(to, esp_word(from));
}
ESP_INLINE void esp_fill_words(int8_t* to, int32_t bytes, int32_t value) {
  ESP_ROLLED
  for (; bytes > 0; bytes -= 4, to += 4) esp_put_word(to, (uint8_t)value * 0x01010101u);
}

/* The distance of rows for which the dot product serves, with room for `bytes` in the plane; 0 if
 * it does not. Four bytes behind the last row may be read. */
ESP_INLINE int32_t esp_dot_pitch(const esp_conv* d, const int8_t* plane, int32_t width,
                                 int32_t bytes) {
  const int32_t pitch = (width + 3) & ~3, k = d->kernel_w;
  const int32_t known = d->kernel_h >= d->stride_h && (k == 3 || k == 5 || k == 7) &&
                        d->kernel_h <= 7 && d->stride_w == d->stride_h && d->stride_w <= 2;
  return known && esp_words(plane, 0) && d->kernel_h * pitch + 4 <= bytes ? pitch : 0;
}
#else
/* Sums of a 3x3 of stride 1 for pairs of rows of `width` outputs, four neighbours in each at a
 * time, so that an input serves up to six. */
ESP_INLINE void esp_sums_3x3(const esp_filter* f, const int8_t* plane, int32_t pitch, int32_t pairs,
                             int32_t width, int32_t* sums) {
  const int8_t* w = f->weights;
  int32_t w0, w1, w2, w3, w4, w5, w6, w7, w8;
  ESP_FRESH();
  ESP_HERE(w);
  ESP_HERE(pitch);
  ESP_HERE(width);
  w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3], w4 = w[4], w5 = w[5], w6 = w[6], w7 = w[7], w8 = w[8];
/* One row of inputs into one row of outputs with three weights; SUM(k) says what is added to. */
#define ESP_1(a, j, w) a##j += x * w
#define ESP_2(a, i, v, j, w) (ESP_1(a, i, v), ESP_1(a, j, w))
#define ESP_3(a, i, u, j, v, k, w) (ESP_1(a, i, u), ESP_1(a, j, v), ESP_1(a, k, w))
#define ESP_ROW(BOTH, NEXT, u, v, w, uu, vv, ww) \
  do {                                           \
    ESP_1(a, 0, u);                              \
    BOTH(ESP_1(b, 0, uu));                       \
    x = r[1];                                    \
    ESP_2(a, 0, v, 1, u);                        \
    BOTH(ESP_2(b, 0, vv, 1, uu));                \
    x = r[2];                                    \
    ESP_3(a, 0, w, 1, v, 2, u);                  \
    BOTH(ESP_3(b, 0, ww, 1, vv, 2, uu));         \
    x = r[3];                                    \
    ESP_3(a, 1, w, 2, v, 3, u);                  \
    BOTH(ESP_3(b, 1, ww, 2, vv, 3, uu));         \
    x = r[4];                                    \
    ESP_2(a, 2, w, 3, v);                        \
    BOTH(ESP_2(b, 2, ww, 3, vv));                \
    x = r[5];                                    \
    ESP_1(a, 3, w);                              \
    BOTH(ESP_1(b, 3, ww));                       \
    NEXT;                                        \
    BOTH(ESP_DONE(a0, a1, a2, a3));              \
    BOTH(ESP_DONE(b0, b1, b2, b3));              \
  } while (0)
/* The first input of the next row, loaded before it is needed. */
#define ESP_NEXT \
  r += pitch;    \
  ESP_HERE(r);   \
  x = r[0]
#define ESP_BOTH(sum) sum
#define ESP_ONE(sum)
  ESP_ROLLED
  for (; pairs > 0; --pairs, plane += 2 * pitch - width, sums += width) {
    const int8_t* end = plane + width;
    ESP_ROLLED
    for (; plane != end; plane += 4, sums += 4) {
      const int8_t* r = plane;
      int32_t* second = sums;
      int32_t x = r[0];
      int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
      int32_t b0 = 0, b1 = 0, b2 = 0, b3 = 0;
      ESP_ROW(ESP_ONE, ESP_NEXT, w0, w1, w2, 0, 0, 0);
      ESP_ROW(ESP_BOTH, ESP_NEXT, w3, w4, w5, w0, w1, w2);
      ESP_ROW(ESP_BOTH, ESP_NEXT, w6, w7, w8, w3, w4, w5);
      ESP_STORE_4(sums, a0, a1, a2, a3);
      a0 = b0, a1 = b1, a2 = b2, a3 = b3;
      ESP_ROW(ESP_ONE, , w6, w7, w8, 0, 0, 0);
      ESP_HERE(second);
      second += width;
      ESP_STORE_4(second, a0, a1, a2, a3);
    }
  }
#undef ESP_1
#undef ESP_2
#undef ESP_3
#undef ESP_ROW
#undef ESP_NEXT
#undef ESP_BOTH
#undef ESP_ONE
}

/* Sums of rows of `width` outputs, four or two at a time. */
ESP_INLINE void esp_sums(const esp_filter* f, const int8_t* plane, int32_t pitch, int32_t kernel_w,
                         int32_t kernel_h, int32_t stride, int32_t rows, int32_t width,
                         int32_t* sums) {
  int32_t ky;
  ESP_HERE(pitch);
  ESP_HERE(width);
  ESP_FRESH();
#define ESP_TAP(k)              \
  do {                          \
    const int32_t wv = w[k];    \
    a0 += r[k] * wv;            \
    a1 += r[(k) + stride] * wv; \
    if (stride == 1) {          \
      a2 += r[(k) + 2] * wv;    \
      a3 += r[(k) + 3] * wv;    \
    }                           \
  } while (0)
  ESP_ROLLED
  for (; rows > 0; --rows, plane += stride * (pitch - width)) {
    const int8_t* end = plane + stride * width;
    ESP_ROLLED
    for (; plane != end; plane += 4, sums += 4 / stride) {
      const int8_t *r = plane, *w = f->weights;
      int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
      ESP_ROLLED
      for (ky = kernel_h; ky > 0; --ky, r += pitch, w += kernel_w) {
        ESP_TAP(0);
        ESP_TAP(1);
        ESP_TAP(2);
        if (kernel_w > 3) ESP_TAP(3);
        if (kernel_w > 4) ESP_TAP(4);
        if (kernel_w > 5) ESP_TAP(5);
        if (kernel_w > 6) ESP_TAP(6);
      }
      sums[0] = a0;
      sums[1] = a1;
      if (stride == 1) sums[2] = a2, sums[3] = a3;
    }
  }
#undef ESP_TAP
}
#endif

#endif
