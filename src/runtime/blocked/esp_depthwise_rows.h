#ifndef ESP_DEPTHWISE_ROWS_H
#define ESP_DEPTHWISE_ROWS_H

#include "esp_blocking.h"
#include "esp_depthwise_sums.h"
#include "esp_filter.h"
#include "esp_put_sums.h"
#include "esp_requantize.h"
#include "espalier_runtime.h"

/* Sums with any kernel and stride. */
ESP_INLINE void esp_any_sums(const esp_conv* d, const esp_filter* f, const int8_t* plane,
                             int32_t pitch, int32_t rows, int32_t width, int32_t* sums) {
  int32_t ox, ky, kx;
  ESP_ROLLED
  for (; rows > 0; --rows, plane += d->stride_h * pitch) {
    ESP_ROLLED
    for (ox = 0; ox < width; ++ox) {
      const int8_t *r = plane + ox * d->stride_w, *w = f->weights;
      int32_t acc = ESP_FIRST(f);
      ESP_ROLLED
      for (ky = 0; ky < d->kernel_h; ++ky, r += pitch) {
        ESP_ROLLED
        for (kx = 0; kx < d->kernel_w; ++kx) acc += r[kx] * *w++;
      }
      *sums++ = acc;
    }
  }
}

#ifdef ESP_DOT4
#define ESP_SUMS_OF(kernel_w, stride) \
  esp_sums(f, spread, from, pitch, kernel_w, kernel_h, stride, got, width, to)
#define ESP_PAIRS_3X3(pairs) esp_sums_3x3(f, spread, from, pitch, pairs, width, to)
#else
#define ESP_SUMS_OF(kernel_w, stride) \
  esp_sums(f, from, pitch, kernel_w, kernel_h, stride, got, width, to)
#define ESP_PAIRS_3X3(pairs) esp_sums_3x3(f, from, pitch, pairs, width, to)
#endif

/* What tells kernels and strides with code of their own apart; 0 for all others. `dot`: the plane
 * is as esp_dot_pitch() says. */
ESP_INLINE int32_t esp_kind_of(const esp_conv* d, int32_t dot) {
  const int32_t kernel = d->kernel_w, stride = d->stride_w;
  (void)dot;
#ifdef ESP_DOT4
  if (!dot) return 0;
#endif
  if ((kernel != 3 && kernel != 5 && kernel != 7) || stride > 2 || stride != d->stride_h) return 0;
  return stride * 16 + kernel;
}

#ifdef ESP_DOT4
/* esp_spread() by kind; pairs of rows of 3x3, and those of stride 2, may do without. */
ESP_INLINE void esp_spread_kind(const esp_filter* f, int32_t kind, int32_t kernel_h, int32_t rows,
                                uint32_t* spread) {
  switch (kind) {
    case 16 + 3:
      if (ESP_SPREAD_3X3 || kernel_h != 3 || (rows & 1)) esp_spread(f, 3, kernel_h, 1, spread);
      break;
    case 16 + 5:
      esp_spread(f, 5, kernel_h, 1, spread);
      break;
    case 16 + 7:
      esp_spread(f, 7, kernel_h, 1, spread);
      break;
    case 32 + 3:
      if (ESP_SPREAD_3X3 || kernel_h != 3) esp_spread(f, 3, kernel_h, 2, spread);
      break;
    case 32 + 5:
      esp_spread(f, 5, kernel_h, 2, spread);
      break;
    case 32 + 7:
      esp_spread(f, 7, kernel_h, 2, spread);
      break;
    default:
      break;
  }
}
#endif

/* `rows` rows of outputs of channel c, no more than esp_batch_of(), from a plane with rows `pitch`
 * apart, the first output at y[i]. `whole`: rows are multiples of a strip and have room among the
 * sums. Reads at most 3 values past the last window, with the dot product 4 bytes past the last
 * row. */
ESP_INLINE void esp_depthwise_rows(const esp_conv* d, const esp_filter* f,
                                   const esp_requantization* q, int32_t c, int32_t kind,
                                   int32_t kernel_h, int32_t whole, const uint32_t* spread,
                                   const int8_t* plane, int32_t pitch, int32_t rows, int8_t* y,
                                   uint8_t* mask, int32_t i) {
  const int32_t out_w = d->out_w;
  const int32_t over = kind >= 32 ? 1 : kind ? 3 : 0; /* a strip less one */
  int32_t sums[ESP_SUMS], ox = 0;
  (void)spread;
  do {
    const int32_t count = whole || out_w - ox < ESP_SUMS / 2 ? out_w - ox : ESP_SUMS / 2;
    const int32_t width = whole ? out_w : (count + over) & ~over;
    const int8_t* from = plane + ox * d->stride_w;
    int32_t got = rows, *to = sums;
    switch (kind) {
      case 16 + 3:
        if (kernel_h == 3) {
          ESP_PAIRS_3X3(got >> 1);
          if (!(got & 1)) break;
          /* the last row is left */
          to += (got - 1) * width;
          from += (got - 1) * pitch;
          got = 1;
        }
        ESP_SUMS_OF(3, 1);
        break;
      case 16 + 5:
        ESP_SUMS_OF(5, 1);
        break;
      case 16 + 7:
        ESP_SUMS_OF(7, 1);
        break;
      case 32 + 3:
#ifdef ESP_DOT4
        if (kernel_h == 3) {
          esp_sums_3x3_by_two(f, spread, from, pitch, got, width, to);
          break;
        }
#endif
        ESP_SUMS_OF(3, 2);
        break;
      case 32 + 5:
        ESP_SUMS_OF(5, 2);
        break;
      case 32 + 7:
        ESP_SUMS_OF(7, 2);
        break;
      default:
        esp_any_sums(d, f, from, pitch, got, width, sums);
    }
    if (whole) { /* rows follow each other in y, too */
      esp_put_sums(d, f, q, c, sums, rows * out_w, 1, y, mask, i);
      return;
    }
    got = width == out_w ? rows : 1;
    to = sums;
    ESP_ROLLED
    do {
      esp_put_sums(d, f, q, c, to, got * count, 0, y, mask, i);
      i += got * out_w * d->out_c;
      to += got * width;
    } while (to != sums + rows * width);
    ox += ESP_SUMS / 2;
    i += ESP_SUMS / 2 * d->out_c - rows * out_w * d->out_c;
  } while (ox < out_w);
}
#undef ESP_SUMS_OF
#undef ESP_PAIRS_3X3

/* Copies rows of one channel. */
ESP_INLINE void esp_plane_rows(const int8_t* from, int32_t rows, int32_t in_w, int32_t whole,
                               int32_t channels, int8_t* to, int32_t pitch) {
  const int32_t rest = whole ? 0 : in_w & 3, fours = in_w - rest;
  ESP_ROLLED
  for (; rows > 0; --rows, to += pitch - in_w) {
    const int8_t* end = to + fours;
    ESP_ROLLED
    for (; to != end; to += 4) {
      int32_t v0, v1, v2, v3;
      v0 = *from, from += channels;
      v1 = *from, from += channels;
      v2 = *from, from += channels;
      v3 = *from, from += channels;
      ESP_DONE(v0, v1, v2, v3);
      to[0] = (int8_t)v0;
      to[1] = (int8_t)v1;
      to[2] = (int8_t)v2;
      to[3] = (int8_t)v3;
    }
    end = to + rest;
    ESP_ROLLED
    for (; to != end; from += channels) *to++ = *from;
  }
}

#endif
