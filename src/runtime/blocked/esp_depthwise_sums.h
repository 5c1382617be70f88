#ifndef ESP_DEPTHWISE_SUMS_H
#define ESP_DEPTHWISE_SUMS_H

#include "esp_blocking.h"
#include "esp_filter.h"

#define ESP_STORE_4(to, v0, v1, v2, v3) ((to)[0] = v0, (to)[1] = v1, (to)[2] = v2, (to)[3] = v3)

#ifdef ESP_DOT4
/* A row of three weights as a word, with a zero behind. */
ESP_INLINE uint32_t esp_three(const int8_t* w) {
  return (uint8_t)w[0] | (uint32_t)(uint8_t)w[1] << 8 | (uint32_t)(uint8_t)w[2] << 16;
}

/* Sums of a 3x3 of stride 1 for pairs of rows of `width` outputs, four neighbours in each at a
 * time. */
ESP_INLINE void esp_sums_3x3(const esp_filter* f, const int8_t* plane, int32_t pitch, int32_t pairs,
                             int32_t width, int32_t* sums) {
  const int8_t* w = f->weights;
  const int32_t start = f->start;
  const uint32_t w0 = esp_three(w), w1 = esp_three(w + 3), w2 = esp_three(w + 6);

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
      ESP_STORE_4(sums, a0, a1, a2, a3);
      ESP_STORE_4(sums + width, b0, b1, b2, b3);
    }
  }
#undef ESP_INPUTS
#undef ESP_ADD
}

/* Of stride 2 for rows of `width` outputs, two at a time. */
ESP_INLINE void esp_sums_3x3_by_two(const esp_filter* f, const int8_t* plane, int32_t pitch,
                                    int32_t rows, int32_t width, int32_t* sums) {
  const int8_t* w = f->weights;
  const int32_t start = f->start;
  const uint32_t w0 = esp_three(w), w1 = esp_three(w + 3), w2 = esp_three(w + 6);
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

/* Whether word t of the inputs of four (stride 1) or two outputs holds some for output j. */
#define ESP_MEETS(j, t) (4 * (t) + 3 >= (j)*stride && 4 * (t) < (j)*stride + kernel_w)
/* Calls DO(j, t) for all of those. */
#define ESP_EACH_MEETING(DO)         \
  do {                               \
    if (ESP_MEETS(0, 0)) DO(0, 0);   \
    if (ESP_MEETS(0, 1)) DO(0, 1);   \
    if (ESP_MEETS(1, 0)) DO(1, 0);   \
    if (ESP_MEETS(1, 1)) DO(1, 1);   \
    if (ESP_MEETS(1, 2)) DO(1, 2);   \
    if (stride == 1) {               \
      if (ESP_MEETS(2, 0)) DO(2, 0); \
      if (ESP_MEETS(2, 1)) DO(2, 1); \
      if (ESP_MEETS(2, 2)) DO(2, 2); \
      if (ESP_MEETS(3, 0)) DO(3, 0); \
      if (ESP_MEETS(3, 1)) DO(3, 1); \
      if (ESP_MEETS(3, 2)) DO(3, 2); \
    }                                \
  } while (0)

/* What seven rows of seven weights become. */
#define ESP_SPREAD_WORDS 70

/* The weights of each row once for every place that the window of an output can have among the
 * words of inputs. */
ESP_INLINE void esp_spread(const esp_filter* f, int32_t kernel_w, int32_t kernel_h, int32_t stride,
                           uint32_t* words) {
  int32_t ky, kx;
  ESP_ROLLED
  for (ky = 0; ky < kernel_h; ++ky) {
    const int8_t* row = f->weights + ky * kernel_w;
    uint32_t w[2] = {0, 0};
    for (kx = 0; kx < kernel_w; ++kx) w[kx >> 2] |= (uint32_t)(uint8_t)row[kx] << 8 * (kx & 3);
#define ESP_SPREAD(j, t)                                                \
  do {                                                                  \
    const int32_t m = 8 * (j)*stride; /* bits in front of the window */ \
    *words++ = (t) == 0   ? w[0] << m                                   \
               : m == 0   ? w[1]                                        \
               : (t) == 1 ? w[1] << (m & 31) | w[0] >> ((32 - m) & 31)  \
                          : w[1] >> ((32 - m) & 31);                    \
  } while (0)
    ESP_EACH_MEETING(ESP_SPREAD);
#undef ESP_SPREAD
  }
}

/* Sums of rows of `width` outputs, the inputs taken as they lie in memory. */
ESP_INLINE void esp_sums(const esp_filter* f, const uint32_t* spread, const int8_t* plane,
                         int32_t pitch, int32_t kernel_w, int32_t kernel_h, int32_t stride,
                         int32_t rows, int32_t width, int32_t* sums) {
  const int32_t start = f->start;
  int32_t ky;
  ESP_HERE(pitch);
  ESP_HERE(width);
  ESP_FRESH();
  ESP_ROLLED
  for (; rows > 0; --rows, plane += stride * (pitch - width)) {
    const int8_t* end = plane + stride * width;
    ESP_ROLLED
    for (; plane != end; plane += 4, sums += 4 / stride) {
      const int8_t* r = plane;
      const uint32_t* w = spread;
      int32_t a0 = start, a1 = start, a2 = start, a3 = start;
      ESP_ROLLED
      for (ky = kernel_h; ky > 0; --ky, r += pitch) {
        const uint32_t x0 = esp_word(r), x1 = esp_word(r + 4);
        const uint32_t x2 = 4 - stride + kernel_w > 8 ? esp_word(r + 8) : 0;
#define ESP_ADD(j, t) (a##j = esp_dot4(a##j, x##t, *w++))
        ESP_EACH_MEETING(ESP_ADD);
#undef ESP_ADD
      }
      sums[0] = a0;
      sums[1] = a1;
      if (stride == 1) sums[2] = a2, sums[3] = a3;
    }
  }
}
#undef ESP_EACH_MEETING
#undef ESP_MEETS

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
