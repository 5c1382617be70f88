#ifndef ESP_DEPTHWISE_ROWS_H
#define ESP_DEPTHWISE_ROWS_H

#include "espalier_runtime.h"

/* One tap of four outputs in a row of stride 1, and of two in a row of stride 2. */
#define ESP_TAP_4(k)         \
  do {                       \
    const int32_t wv = w[k]; \
    a0 += r[k] * wv;         \
    a1 += r[(k) + 1] * wv;   \
    a2 += r[(k) + 2] * wv;   \
    a3 += r[(k) + 3] * wv;   \
  } while (0)
#define ESP_TAP_2(k)         \
  do {                       \
    const int32_t wv = w[k]; \
    a0 += r[k] * wv;         \
    a1 += r[(k) + 2] * wv;   \
  } while (0)
#define ESP_TAPS(TAP)         \
  do {                        \
    TAP(0);                   \
    if (kernel_w > 1) TAP(1); \
    if (kernel_w > 2) TAP(2); \
    if (kernel_w > 3) TAP(3); \
    if (kernel_w > 4) TAP(4); \
    if (kernel_w > 5) TAP(5); \
    if (kernel_w > 6) TAP(6); \
  } while (0)

/* All rows of a window; three without a loop. */
#define ESP_ROWS(TAP)                                                             \
  do {                                                                            \
    if (kernel_w == 3 && kernel_h == 3) {                                         \
      ESP_TAPS(TAP);                                                              \
      r += width, w += 3;                                                         \
      ESP_TAPS(TAP);                                                              \
      r += width, w += 3;                                                         \
      ESP_TAPS(TAP);                                                              \
    } else {                                                                      \
      for (ky = 0; ky < kernel_h; ++ky, r += width, w += kernel_w) ESP_TAPS(TAP); \
    }                                                                             \
  } while (0)

/* What stays the same over the outputs of one channel, in one place: stores of outputs could change
 * a descriptor for all the compiler knows. */
typedef struct {
  const int8_t* weights;
  int32_t simple, start, bias, multiplier, shift, offset;
  int32_t zero, low, high, channels, kernel_h, out_w, mask_bits;
} esp_filter;

/* The output of a filter whose bias is part of the start value. */
ESP_INLINE void esp_put_output(const esp_filter* f, int32_t acc, int8_t* y, uint8_t* mask,
                               int32_t i) {
  const int32_t high = (int32_t)(((int64_t)acc * f->multiplier) >> 32);
  y[i] = esp_clamp((high + f->offset) >> f->shift, f->low, f->high, mask, i, f->mask_bits);
}

/* `rows` rows of outputs of one channel, each from kernel_h padded rows of the plane. The widths of
 * kernels and the strides come in as constants, so that each has code of its own. May read 6 values
 * past the last window. */
ESP_INLINE void esp_rows_with(const esp_filter* f, const int8_t* plane, int32_t width,
                              int32_t kernel_w, int32_t stride, int32_t rows, int8_t* y,
                              uint8_t* mask, int32_t i) {
  const int32_t out_w = f->out_w, channels = f->channels, kernel_h = f->kernel_h;
  int32_t ox, ky;
  for (; rows > 0; --rows, plane += stride * width) {
    if (stride == 1) {
      for (ox = 0; ox < out_w; ox += 4) {
        const int8_t *r = plane + ox, *w = f->weights;
        int32_t a0 = f->start, a1 = f->start, a2 = f->start, a3 = f->start;
        ESP_ROWS(ESP_TAP_4);
        esp_put_output(f, a0, y, mask, i);
        i += channels;
        if (ox + 4 <= out_w) {
          esp_put_output(f, a1, y, mask, i);
          esp_put_output(f, a2, y, mask, i + channels);
          esp_put_output(f, a3, y, mask, i + 2 * channels);
          i += 3 * channels;
          continue;
        }
        if (ox + 1 < out_w) {
          esp_put_output(f, a1, y, mask, i);
          i += channels;
        }
        if (ox + 2 < out_w) {
          esp_put_output(f, a2, y, mask, i);
          i += channels;
        }
      }
      continue;
    }
    for (ox = 0; ox < out_w; ox += 2) {
      const int8_t *r = plane + 2 * ox, *w = f->weights;
      int32_t a0 = f->start, a1 = f->start;
      ESP_ROWS(ESP_TAP_2);
      esp_put_output(f, a0, y, mask, i);
      i += channels;
      if (ox + 1 < out_w) {
        esp_put_output(f, a1, y, mask, i);
        i += channels;
      }
    }
  }
}

/* Any kernel and stride; the common ones by the code above. */
ESP_INLINE void esp_depthwise_rows(const esp_conv* d, const esp_filter* f, const int8_t* plane,
                                   int32_t width, int32_t rows, int8_t* y, uint8_t* mask,
                                   int32_t i) {
  int32_t ox, ky, kx;
  switch (f->simple && d->stride_h == d->stride_w ? d->stride_w * 16 + d->kernel_w : 0) {
    case 16 + 3:
      esp_rows_with(f, plane, width, 3, 1, rows, y, mask, i);
      return;
    case 16 + 5:
      esp_rows_with(f, plane, width, 5, 1, rows, y, mask, i);
      return;
    case 16 + 7:
      esp_rows_with(f, plane, width, 7, 1, rows, y, mask, i);
      return;
    case 32 + 3:
      esp_rows_with(f, plane, width, 3, 2, rows, y, mask, i);
      return;
    case 32 + 5:
      esp_rows_with(f, plane, width, 5, 2, rows, y, mask, i);
      return;
    case 32 + 7:
      esp_rows_with(f, plane, width, 7, 2, rows, y, mask, i);
      return;
    default:
      break;
  }
  for (; rows > 0; --rows, plane += d->stride_h * width) {
    for (ox = 0; ox < d->out_w; ++ox, i += d->out_c) {
      const int8_t *r = plane + ox * d->stride_w, *w = f->weights;
      int32_t acc = f->start;
      for (ky = 0; ky < d->kernel_h; ++ky, r += width) {
        for (kx = 0; kx < d->kernel_w; ++kx) acc += r[kx] * *w++;
      }
      if (f->simple) {
        esp_put_output(f, acc, y, mask, i);
      } else {
        y[i] = esp_clamp(
            esp_requantize(esp_saturating_add(acc, f->bias), f->multiplier, f->shift, f->zero),
            f->low, f->high, mask, i, f->mask_bits);
      }
    }
  }
}

ESP_INLINE esp_filter esp_filter_of(const esp_conv* d, const esp_weights* w,
                                    const esp_requantization* q, int32_t c, int32_t* next) {
  const int32_t taps = d->kernel_h * d->kernel_w;
  esp_filter f;
  int32_t sum = 0, t;
  f.weights = w->full + c * taps;
  if (*next < w->count && w->channels[*next] == c) f.weights = w->trained + (*next)++ * taps;
  for (t = 0; t < taps; ++t) sum += f.weights[t];
  f.start = -sum * d->in_zero;
  f.bias = q->bias[c];
  f.multiplier = q->multiplier[c];
  f.shift = q->shift[c];
  f.offset = 0;
  /* a bias that cannot saturate the sum, and rounding in the product's upper word */
  f.simple = f.shift > 32 && f.shift <= 48 && taps <= 16384 && f.bias <= INT32_MAX - taps * 32640 &&
             f.bias >= taps * 32640 - INT32_MAX;
  if (f.simple) {
    f.start += f.bias;
    f.shift -= 32;
    f.offset = (1 << (f.shift - 1)) + d->out_zero * (1 << f.shift);
  }
  f.zero = d->out_zero;
  f.low = d->low;
  f.high = d->high;
  f.channels = d->out_c;
  f.kernel_h = d->kernel_h;
  f.out_w = d->out_w;
  f.mask_bits = d->mask_bits;
  return f;
}

#endif
