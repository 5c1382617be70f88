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

/* What stays the same over the outputs of one channel. */
typedef struct {
  const int8_t* weights;
  int32_t start, bias, multiplier, shift;
} esp_filter;

static inline void esp_put_output(const esp_conv* d, const esp_filter* f, int32_t acc, int8_t* y,
                                  uint8_t* mask, int32_t i) {
  y[i] = esp_clamp(
      esp_requantize(esp_saturating_add(acc, f->bias), f->multiplier, f->shift, d->out_zero),
      d->low, d->high, mask, i, d->mask_bits);
}

/* One row of outputs of one channel from kernel_h padded rows. The widths of kernels come in as
 * constants, so that each has code of its own. May read 6 values past the last window. */
static inline void esp_row_of(const esp_conv* d, const esp_filter* f, const int8_t* plane,
                              int32_t width, int32_t kernel_w, int8_t* y, uint8_t* mask,
                              int32_t i) {
  const int32_t out_w = d->out_w, channels = d->out_c;
  int32_t ox = 0, ky;
  if (d->stride_w == 1) {
    for (; ox < out_w; ox += 4, i += 4 * channels) {
      const int8_t *r = plane + ox, *w = f->weights;
      int32_t a0 = f->start, a1 = f->start, a2 = f->start, a3 = f->start;
      for (ky = 0; ky < d->kernel_h; ++ky, r += width, w += kernel_w) ESP_TAPS(ESP_TAP_4);
      esp_put_output(d, f, a0, y, mask, i);
      if (ox + 1 < out_w) esp_put_output(d, f, a1, y, mask, i + channels);
      if (ox + 2 < out_w) esp_put_output(d, f, a2, y, mask, i + 2 * channels);
      if (ox + 3 < out_w) esp_put_output(d, f, a3, y, mask, i + 3 * channels);
    }
    return;
  }
  for (; ox < out_w; ox += 2, i += 2 * channels) {
    const int8_t *r = plane + 2 * ox, *w = f->weights;
    int32_t a0 = f->start, a1 = f->start;
    for (ky = 0; ky < d->kernel_h; ++ky, r += width, w += kernel_w) ESP_TAPS(ESP_TAP_2);
    esp_put_output(d, f, a0, y, mask, i);
    if (ox + 1 < out_w) esp_put_output(d, f, a1, y, mask, i + channels);
  }
}

/* Any kernel and stride; the common ones by the code above. */
static inline void esp_depthwise_row(const esp_conv* d, const esp_filter* f, const int8_t* plane,
                                     int32_t width, int8_t* y, uint8_t* mask, int32_t i) {
  int32_t ox, ky, kx;
  if (d->stride_w <= 2) {
    switch (d->kernel_w) {
      case 3:
        esp_row_of(d, f, plane, width, 3, y, mask, i);
        return;
      case 5:
        esp_row_of(d, f, plane, width, 5, y, mask, i);
        return;
      case 7:
        esp_row_of(d, f, plane, width, 7, y, mask, i);
        return;
      default:
        break;
    }
  }
  for (ox = 0; ox < d->out_w; ++ox, i += d->out_c) {
    const int8_t *r = plane + ox * d->stride_w, *w = f->weights;
    int32_t acc = f->start;
    for (ky = 0; ky < d->kernel_h; ++ky, r += width) {
      for (kx = 0; kx < d->kernel_w; ++kx) acc += r[kx] * *w++;
    }
    esp_put_output(d, f, acc, y, mask, i);
  }
}

static inline esp_filter esp_filter_of(const esp_conv* d, const esp_weights* w,
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
  return f;
}

#endif
