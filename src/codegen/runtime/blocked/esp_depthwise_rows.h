#ifndef ESP_DEPTHWISE_ROWS_H
#define ESP_DEPTHWISE_ROWS_H

#include "esp_requantize.h"
#include "espalier_runtime.h"

/* What stays the same over the outputs of one channel, in one place: stores of outputs could change
 * a descriptor for all the compiler knows. Of a simple filter the bias is part of `start`. */
typedef struct {
  const int8_t* weights;
  int32_t simple, start, multiplier, offset, shift;
  int32_t low, top, channels, kernel_h, out_w, mask_bits;
} esp_filter;

ESP_INLINE esp_filter esp_filter_of(const esp_conv* d, const esp_weights* w,
                                    const esp_requantization* q, int32_t c, int32_t* next) {
  const int32_t taps = d->kernel_h * d->kernel_w, shift = q->shift[c];
  esp_filter f;
  f.weights = w->full + c * taps;
  if (*next < w->count && w->channels[*next] == c) f.weights = w->trained + (*next)++ * taps;
  f.start = -esp_sum(f.weights, taps) * d->in_zero;
  f.multiplier = q->multiplier[c];
  f.simple = esp_is_simple(taps, q->bias[c], shift);
  f.shift = f.offset = 0;
  if (f.simple) {
    f.start += q->bias[c];
    f.offset = esp_simple_offset(d, shift);
    f.shift = shift - 32;
  }
  f.low = d->low;
  f.top = d->high - d->low;
  f.channels = d->out_c;
  f.kernel_h = d->kernel_h;
  f.out_w = d->out_w;
  f.mask_bits = d->mask_bits;
  return f;
}

/* Where the next output of a channel goes; its place in the mask is that in y. */
typedef struct {
  int8_t *to, *y;
  uint8_t* mask;
} esp_place;

/* Stores up to four neighbouring outputs of a simple filter. */
ESP_INLINE void esp_put_outputs(const esp_filter* f, int32_t count, int32_t a0, int32_t a1,
                                int32_t a2, int32_t a3, esp_place* at) {
  const int32_t multiplier = f->multiplier, offset = f->offset, shift = f->shift;
  const int32_t low = f->low, top = f->top, channels = f->channels;
  int8_t* to = at->to;
  a0 = esp_scaled(a0, multiplier, offset, shift);
  *to = esp_to_range(a0, low, top);
  to += channels;
  if (count > 1) {
    a1 = esp_scaled(a1, multiplier, offset, shift);
    *to = esp_to_range(a1, low, top);
    to += channels;
  }
  if (count > 2) {
    a2 = esp_scaled(a2, multiplier, offset, shift);
    *to = esp_to_range(a2, low, top);
    to += channels;
  }
  if (count > 3) {
    a3 = esp_scaled(a3, multiplier, offset, shift);
    *to = esp_to_range(a3, low, top);
    to += channels;
  }
  if (ESP_RARELY(at->mask != 0)) {
    const int32_t i = (int32_t)(at->to - at->y), bits = f->mask_bits;
    const uint32_t most = (uint32_t)top;
    esp_put_mask(at->mask, i, (uint32_t)a0 <= most, bits);
    if (count > 1) esp_put_mask(at->mask, i + channels, (uint32_t)a1 <= most, bits);
    if (count > 2) esp_put_mask(at->mask, i + 2 * channels, (uint32_t)a2 <= most, bits);
    if (count > 3) esp_put_mask(at->mask, i + 3 * channels, (uint32_t)a3 <= most, bits);
  }
  at->to = to;
}

/* Two rows of outputs at a time, four neighbours in each: SUMS adds to a0 to a3 and b0 to b3, from
 * the rows of inputs at r on. */
#define ESP_EACH_PAIR(SUMS)                                     \
  do {                                                          \
    const int32_t start = f->start;                             \
    int32_t left;                                               \
    esp_place below = at;                                       \
    for (; rows > 1; rows -= 2, plane += 2 * pitch) {           \
      const int8_t* strip = plane;                              \
      below.to = at.to + f->out_w * f->channels;                \
      ESP_ROLLED                                                \
      for (left = f->out_w; left > 0; left -= 4, strip += 4) {  \
        const int8_t* r = strip;                                \
        int32_t a0 = start, a1 = start, a2 = start, a3 = start; \
        int32_t b0 = start, b1 = start, b2 = start, b3 = start; \
        SUMS;                                                   \
        if (left >= 4) {                                        \
          esp_put_outputs(f, 4, a0, a1, a2, a3, &at);           \
          esp_put_outputs(f, 4, b0, b1, b2, b3, &below);        \
        } else {                                                \
          esp_put_outputs(f, left, a0, a1, a2, a3, &at);        \
          esp_put_outputs(f, left, b0, b1, b2, b3, &below);     \
        }                                                       \
      }                                                         \
      at.to = below.to;                                         \
    }                                                           \
  } while (0)

#ifdef ESP_DOT4
/* 3x3 of stride 1, two rows of outputs at a time, four neighbours in each. */
#define ESP_DOT_ROW(INTO)                                                \
  do {                                                                   \
    const uint32_t x0 = esp_word(r), x4 = esp_word(r + 4);               \
    const uint32_t x1 = x0 >> 8, x2 = x0 >> 16 | x4 << 16, x3 = x2 >> 8; \
    INTO;                                                                \
    r += pitch;                                                          \
  } while (0)
#define ESP_DOT_A(k)                                                                      \
  (a0 = esp_dot4(a0, x0, w##k), a1 = esp_dot4(a1, x1, w##k), a2 = esp_dot4(a2, x2, w##k), \
   a3 = esp_dot4(a3, x3, w##k))
#define ESP_DOT_B(k)                                                                      \
  (b0 = esp_dot4(b0, x0, w##k), b1 = esp_dot4(b1, x1, w##k), b2 = esp_dot4(b2, x2, w##k), \
   b3 = esp_dot4(b3, x3, w##k))
ESP_INLINE void esp_pairs_of_rows(const esp_filter* f, const int8_t* plane, int32_t pitch,
                                  int32_t rows, esp_place at) {
  const uint8_t* w = (const uint8_t*)f->weights;
  const uint32_t w0 = w[0] | (uint32_t)w[1] << 8 | (uint32_t)w[2] << 16;
  const uint32_t w1 = w[3] | (uint32_t)w[4] << 8 | (uint32_t)w[5] << 16;
  const uint32_t w2 = w[6] | (uint32_t)w[7] << 8 | (uint32_t)w[8] << 16;
  ESP_EACH_PAIR(ESP_DOT_ROW(ESP_DOT_A(0)); ESP_DOT_ROW((ESP_DOT_A(1), ESP_DOT_B(0)));
                ESP_DOT_ROW((ESP_DOT_A(2), ESP_DOT_B(1))); ESP_DOT_ROW(ESP_DOT_B(2)));
}
#undef ESP_DOT_ROW
#undef ESP_DOT_A
#undef ESP_DOT_B

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

/* Seven rows of what a kernel of seven by seven needs. */
#define ESP_WORDS 70

/* Kernels of up to seven by seven: the inputs as they lie in memory, with the weights of a row once
 * for each place that an output's window can have among the words. */
ESP_INLINE void esp_dot_rows(const esp_filter* f, const int8_t* plane, int32_t pitch,
                             int32_t kernel_w, int32_t stride, int32_t rows, esp_place at) {
  const int32_t kernel_h = f->kernel_h, at_once = 4 / stride;
  uint32_t words[ESP_WORDS], *to = words;
  int32_t left, ky;
  ESP_ROLLED
  for (ky = 0; ky < kernel_h; ++ky) {
    uint32_t w[2] = {0, 0};
    memcpy(w, f->weights + ky * kernel_w, (size_t)kernel_w);
#define ESP_SPREAD(j, t)                                                \
  do {                                                                  \
    const int32_t m = 8 * (j)*stride; /* bits in front of the window */ \
    *to++ = (t) == 0   ? w[0] << m                                      \
            : m == 0   ? w[1]                                           \
            : (t) == 1 ? w[1] << (m & 31) | w[0] >> ((32 - m) & 31)     \
                       : w[1] >> ((32 - m) & 31);                       \
  } while (0)
    ESP_EACH_MEETING(ESP_SPREAD);
#undef ESP_SPREAD
  }
  for (; rows > 0; --rows, plane += stride * pitch) {
    const int8_t* strip = plane;
    ESP_ROLLED
    for (left = f->out_w; left > 0; left -= at_once, strip += 4) {
      const int8_t* r = strip;
      const uint32_t* w = words;
      int32_t a0 = f->start, a1 = f->start, a2 = f->start, a3 = f->start;
      ESP_ROLLED
      for (ky = 0; ky < kernel_h; ++ky, r += pitch) {
        const uint32_t x0 = esp_word(r), x1 = esp_word(r + 4);
        const uint32_t x2 = 4 - stride + kernel_w > 8 ? esp_word(r + 8) : 0;
#define ESP_ADD(j, t) (a##j = esp_dot4(a##j, x##t, *w++))
        ESP_EACH_MEETING(ESP_ADD);
#undef ESP_ADD
      }
      if (left >= at_once) {
        esp_put_outputs(f, at_once, a0, a1, a2, a3, &at);
      } else {
        esp_put_outputs(f, left, a0, a1, a2, a3, &at);
      }
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
#endif

#ifndef ESP_DOT4
/* 3x3 of stride 1, two rows of outputs at a time: an input serves up to six of eight outputs. */
#define ESP_A(j, k) (a##j += x * w##k)
#define ESP_B(j, k) (b##j += x * w##k)
#define ESP_INPUT(k, INTO)  \
  do {                      \
    const int32_t x = r[k]; \
    INTO;                   \
  } while (0)
#define ESP_ROW_A(u, v, w)                               \
  ESP_INPUT(0, ESP_A(0, u));                             \
  ESP_INPUT(1, (ESP_A(0, v), ESP_A(1, u)));              \
  ESP_INPUT(2, (ESP_A(0, w), ESP_A(1, v), ESP_A(2, u))); \
  ESP_INPUT(3, (ESP_A(1, w), ESP_A(2, v), ESP_A(3, u))); \
  ESP_INPUT(4, (ESP_A(2, w), ESP_A(3, v)));              \
  ESP_INPUT(5, ESP_A(3, w));                             \
  r += pitch
#define ESP_ROW_B(u, v, w)                               \
  ESP_INPUT(0, ESP_B(0, u));                             \
  ESP_INPUT(1, (ESP_B(0, v), ESP_B(1, u)));              \
  ESP_INPUT(2, (ESP_B(0, w), ESP_B(1, v), ESP_B(2, u))); \
  ESP_INPUT(3, (ESP_B(1, w), ESP_B(2, v), ESP_B(3, u))); \
  ESP_INPUT(4, (ESP_B(2, w), ESP_B(3, v)));              \
  ESP_INPUT(5, ESP_B(3, w));                             \
  r += pitch
#define ESP_ROW_AB(u, v, w, uu, vv, ww)                                                            \
  ESP_INPUT(0, (ESP_A(0, u), ESP_B(0, uu)));                                                       \
  ESP_INPUT(1, (ESP_A(0, v), ESP_B(0, vv), ESP_A(1, u), ESP_B(1, uu)));                            \
  ESP_INPUT(2, (ESP_A(0, w), ESP_B(0, ww), ESP_A(1, v), ESP_B(1, vv), ESP_A(2, u), ESP_B(2, uu))); \
  ESP_INPUT(3, (ESP_A(1, w), ESP_B(1, ww), ESP_A(2, v), ESP_B(2, vv), ESP_A(3, u), ESP_B(3, uu))); \
  ESP_INPUT(4, (ESP_A(2, w), ESP_B(2, ww), ESP_A(3, v), ESP_B(3, vv)));                            \
  ESP_INPUT(5, (ESP_A(3, w), ESP_B(3, ww)));                                                       \
  r += pitch
ESP_INLINE void esp_pairs_of_rows(const esp_filter* f, const int8_t* plane, int32_t pitch,
                                  int32_t rows, esp_place at) {
  const int8_t* weights = f->weights;
  const int32_t w0 = weights[0], w1 = weights[1], w2 = weights[2];
  const int32_t w3 = weights[3], w4 = weights[4], w5 = weights[5];
  const int32_t w6 = weights[6], w7 = weights[7], w8 = weights[8];
  ESP_EACH_PAIR(ESP_ROW_A(0, 1, 2); ESP_ROW_AB(3, 4, 5, 0, 1, 2); ESP_ROW_AB(6, 7, 8, 3, 4, 5);
                ESP_ROW_B(6, 7, 8));
}
#undef ESP_A
#undef ESP_B
#undef ESP_INPUT
#undef ESP_ROW_A
#undef ESP_ROW_B
#undef ESP_ROW_AB

/* One tap of four outputs in a row of stride 1, and of two in a row of stride 2. */
#define ESP_TAP_1(k, wv)   \
  do {                     \
    a0 += r[k] * wv;       \
    a1 += r[(k) + 1] * wv; \
    a2 += r[(k) + 2] * wv; \
    a3 += r[(k) + 3] * wv; \
  } while (0)
#define ESP_TAP_2(k, wv)   \
  do {                     \
    a0 += r[k] * wv;       \
    a1 += r[(k) + 2] * wv; \
  } while (0)
#define ESP_TAP(k, wv)  \
  do {                  \
    if (stride == 1) {  \
      ESP_TAP_1(k, wv); \
    } else {            \
      ESP_TAP_2(k, wv); \
    }                   \
  } while (0)

/* `rows` rows of outputs of one channel, each from kernel_h padded rows of the plane. The widths of
 * kernels and the strides come in as constants, so that each has code of its own. May read 6 values
 * past the last window. */
ESP_INLINE void esp_scalar_rows(const esp_filter* f, const int8_t* plane, int32_t pitch,
                                int32_t kernel_w, int32_t stride, int32_t rows, esp_place at) {
  const int32_t kernel_h = f->kernel_h, at_once = 4 / stride;
  int32_t left, ky;
  for (; rows > 0; --rows, plane += stride * pitch) {
    const int8_t* strip = plane;
    ESP_ROLLED
    for (left = f->out_w; left > 0; left -= at_once, strip += 4) {
      const int8_t* r = strip;
      int32_t a0 = f->start, a1 = f->start, a2 = f->start, a3 = f->start;
      const int8_t* w = f->weights;
      ESP_ROLLED
      for (ky = 0; ky < kernel_h; ++ky, r += pitch, w += kernel_w) {
        ESP_TAP(0, w[0]);
        ESP_TAP(1, w[1]);
        ESP_TAP(2, w[2]);
        if (kernel_w > 3) ESP_TAP(3, w[3]);
        if (kernel_w > 4) ESP_TAP(4, w[4]);
        if (kernel_w > 5) ESP_TAP(5, w[5]);
        if (kernel_w > 6) ESP_TAP(6, w[6]);
      }
      if (left >= at_once) {
        esp_put_outputs(f, at_once, a0, a1, a2, a3, &at);
      } else {
        esp_put_outputs(f, left, a0, a1, a2, a3, &at);
      }
    }
  }
}
#undef ESP_TAP
#undef ESP_TAP_1
#undef ESP_TAP_2
#endif

#ifdef ESP_DOT4
#define ESP_ROWS_WITH(kernel_w, stride)                        \
  if (dot) {                                                   \
    esp_dot_rows(f, plane, pitch, kernel_w, stride, rows, at); \
    return;                                                    \
  }                                                            \
  break
#else
#define ESP_ROWS_WITH(kernel_w, stride)                         \
  esp_scalar_rows(f, plane, pitch, kernel_w, stride, rows, at); \
  return
#endif

/* Any kernel and stride; the common ones by the code above. `dot`: the plane is as
 * esp_dot_pitch() says. */
ESP_INLINE void esp_depthwise_rows(const esp_conv* d, const esp_filter* f,
                                   const esp_requantization* q, int32_t c, const int8_t* plane,
                                   int32_t pitch, int32_t dot, int32_t rows, esp_place at) {
  int32_t ox, ky, kx;
  (void)dot;
  switch (f->simple && d->stride_h == d->stride_w ? d->stride_w * 16 + d->kernel_w : 0) {
    case 16 + 3:
#ifdef ESP_DOT4
      if (!dot) break;
#endif
      if (d->kernel_h == 3 && rows > 1) {
        esp_pairs_of_rows(f, plane, pitch, rows, at);
        plane += (rows & ~1) * pitch;
        at.to += (rows & ~1) * f->out_w * f->channels;
        rows &= 1;
      }
      ESP_ROWS_WITH(3, 1);
    case 16 + 5:
      ESP_ROWS_WITH(5, 1);
    case 16 + 7:
      ESP_ROWS_WITH(7, 1);
    case 32 + 3:
      ESP_ROWS_WITH(3, 2);
    case 32 + 5:
      ESP_ROWS_WITH(5, 2);
    case 32 + 7:
      ESP_ROWS_WITH(7, 2);
    default:
      break;
  }
  for (; rows > 0; --rows, plane += d->stride_h * pitch) {
    ESP_ROLLED
    for (ox = 0; ox < d->out_w; ++ox) {
      const int8_t *r = plane + ox * d->stride_w, *w = f->weights;
      int32_t acc = f->start;
      ESP_ROLLED
      for (ky = 0; ky < d->kernel_h; ++ky, r += pitch) {
        for (kx = 0; kx < d->kernel_w; ++kx) acc += r[kx] * *w++;
      }
      if (f->simple) {
        esp_put_outputs(f, 1, acc, 0, 0, 0, &at);
      } else {
        *at.to = esp_requantized(d, q, c, acc, at.mask, (int32_t)(at.to - at.y));
        at.to += d->out_c;
      }
    }
  }
}
#undef ESP_ROWS_WITH

/* Copies rows of one channel. */
ESP_INLINE void esp_plane_rows(const int8_t* from, int32_t rows, int32_t in_w, int32_t channels,
                               int8_t* to, int32_t pitch) {
  ESP_ROLLED
  for (; rows > 0; --rows, to += pitch - in_w) {
    const int8_t *fours = to + (in_w & ~3), *end = to + in_w;
    ESP_ROLLED
    while (to != fours) {
      to[0] = *from;
      from += channels;
      to[1] = *from;
      from += channels;
      to[2] = *from;
      from += channels;
      to[3] = *from;
      from += channels;
      to += 4;
    }
    ESP_ROLLED
    for (; to != end; from += channels) *to++ = *from;
  }
}

#endif
