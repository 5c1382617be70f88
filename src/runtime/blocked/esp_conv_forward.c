#include "esp_block_pixels.h"
#include "esp_blocking.h"
#include "esp_integer_blocks.h"
#include "esp_words.h"
#include "espalier_runtime.h"

/* Bytes of windows that lie on the stack for the dot product, where more than three of them fit. */
#define ESP_WINDOWS 448

/* Copies the window of one output, padding as the zero point. */
ESP_INLINE void esp_patch(const esp_conv* d, const int8_t* x, int32_t oy, int32_t ox,
                          int8_t* patch) {
  const int32_t left = ox * d->stride_w - d->pad_left, in_c = d->in_c, row = d->kernel_w * in_c;
  const int32_t step = 1 + d->gap_w;
  const int32_t inside = left >= 0 && left + d->kernel_w <= d->in_w && step == 1;
  int32_t ky, kx, ix, c;
  for (ky = 0; ky < d->kernel_h; ++ky) {
    const int32_t iy = oy * d->stride_h - d->pad_top + ky * (1 + d->gap_h);
    const int8_t* from = x + (iy * d->in_w + left) * in_c;
    if (iy < 0 || iy >= d->in_h) {
      ESP_ROLLED
      for (c = 0; c < row; ++c) *patch++ = (int8_t)d->in_zero;
    } else if (inside) {
      esp_gather(from, 1, row, patch);
      patch += row;
    } else {
      ESP_ROLLED
      for (kx = 0, ix = left; kx < d->kernel_w; ++kx, ix += step, from += step * in_c) {
        const int32_t out = ix < 0 || ix >= d->in_w;
        ESP_ROLLED
        for (c = 0; c < in_c; ++c) *patch++ = (int8_t)(out ? d->in_zero : from[c]);
      }
    }
  }
}

/* One output by its definition: grouped convolutions, and those whose weights are in two places. */
static inline int32_t esp_conv_one(const esp_conv* d, const int8_t* x, const esp_weights* w,
                                   int32_t oy, int32_t ox, int32_t o) {
  const int32_t per_group = d->in_c / d->groups;
  const int32_t first = o / (d->out_c / d->groups) * per_group;
  int32_t acc = 0, ky, kx, c;
  for (ky = 0; ky < d->kernel_h; ++ky) {
    const int32_t iy = oy * d->stride_h - d->pad_top + ky * (1 + d->gap_h);
    if (iy < 0 || iy >= d->in_h) continue;
    for (kx = 0; kx < d->kernel_w; ++kx) {
      const int32_t ix = ox * d->stride_w - d->pad_left + kx * (1 + d->gap_w);
      const int8_t* pixel = x + (iy * d->in_w + ix) * d->in_c + first;
      const int32_t row = (o * d->kernel_h + ky) * d->kernel_w + kx;
      if (ix < 0 || ix >= d->in_w) continue;
      for (c = 0; c < per_group; ++c) {
        acc += (pixel[c] - d->in_zero) * w->full[row * per_group + c];
      }
      for (c = 0; c < w->count; ++c) {
        acc += (pixel[w->channels[c]] - d->in_zero) * w->trained[row * w->count + c];
      }
    }
  }
  return acc;
}

#ifdef ESP_DOT4
/* Four outputs of some windows. */
ESP_APART void esp_dot_windows(const esp_outputs* q, const esp_target* to, const int8_t* weights,
                               const int8_t* windows, int32_t pitch, int32_t pixels, int32_t i)
    ESP_PART_OF("esp_conv_forward");
ESP_APART void esp_dot_windows(const esp_outputs* q, const esp_target* to, const int8_t* weights,
                               const int8_t* windows, int32_t pitch, int32_t pixels, int32_t i) {
  esp_dot_pixels(q, to, weights, windows, pitch, pixels, i, 0);
}
#endif

/* Any convolution. Dense ones go by way of the windows of some outputs in `patches`, which holds
 * 4 * kernel_h * kernel_w * in_c; up to sixteen channels are made of each window. For the dot
 * product, windows and weights are filled up to whole words. */
ESP_KERNEL void esp_conv_forward(const esp_conv* d, const int8_t* x, const esp_weights* w,
                                 const esp_requantization* q, int8_t* y, uint8_t* mask,
                                 int8_t* patches) {
  const esp_target to = esp_target_of(d, y, mask);
  const int32_t depth = d->kernel_h * d->kernel_w * d->in_c;
  const int32_t dense = d->groups == 1 && !w->count; /* groups have no patches */
  int32_t pitch = depth, at_once = 4, o, oy, ox, j, p;
#ifdef ESP_DOT4
  uint32_t copied[ESP_COPIED / 4], windows[ESP_WINDOWS / 4];
  /* to sixteen where that takes one word more at most: the loop takes so many */
  const int32_t by_four = (depth + 3) & ~3, by_sixteen = (depth + 15) & ~15;
  const int32_t filled = by_sixteen - by_four <= 4 ? by_sixteen : by_four;
  const int32_t dot =
      dense && esp_words(patches, 0) && 3 * filled <= 4 * depth && 4 * filled <= ESP_COPIED;
  const int32_t room = ESP_WINDOWS / filled / ESP_DOT_PIXELS * ESP_DOT_PIXELS;
  if (dot) pitch = filled, at_once = 3;
  if (dot && room > 3) {
    patches = (int8_t*)windows;
    at_once = room;
  }
  if (dot && pitch != depth) { /* what fills up the rows, and stays */
    esp_fill(copied, 0, (int32_t)sizeof copied);
    esp_fill(patches, 0, at_once * pitch);
  }
#endif
  for (o = 0; o < d->out_c;) {
    esp_outputs outputs[4];
    int32_t fours = 0;
    while (dense && fours < 4 && o + 4 * fours + 4 <= d->out_c &&
#ifdef ESP_DOT4
           (!dot || 4 * (fours + 1) * pitch <= ESP_COPIED) &&
#endif
           esp_outputs_of(d, w, q, o + 4 * fours, depth, &outputs[fours])) {
      ++fours;
    }
    if (!fours) {
      for (oy = 0; oy < d->out_h; ++oy) {
        for (ox = 0; ox < d->out_w; ++ox) {
          const int32_t i = (oy * d->out_w + ox) * d->out_c + o;
          y[i] = esp_requantized(d, q, o, esp_conv_one(d, x, w, oy, ox, o), mask, i);
        }
      }
      ++o;
      continue;
    }
#ifdef ESP_DOT4
    if (dot) {
      for (j = 0; j < 4 * fours; ++j) {
        esp_copy((int8_t*)copied + j * pitch, w->full + (o + j) * depth, depth);
      }
    }
#endif
    for (oy = 0; oy < d->out_h; ++oy) {
      for (ox = 0; ox < d->out_w; ox += at_once) {
        const int32_t pixels = d->out_w - ox < at_once ? d->out_w - ox : at_once;
        const int32_t i = (oy * d->out_w + ox) * d->out_c + o;
        for (p = 0; p < pixels; ++p) esp_patch(d, x, oy, ox + p, patches + p * pitch);
        for (j = 0; j < fours; ++j) {
#ifdef ESP_DOT4
          if (dot) {
            esp_dot_windows(&outputs[j], &to, (const int8_t*)copied + 4 * j * pitch, patches, pitch,
                            pixels, i + 4 * j);
            continue;
          }
#endif
          esp_block_pixels(&outputs[j], &to, w->full + (o + 4 * j) * depth, w->full, 0, 0, patches,
                           depth, pixels, i + 4 * j, 0);
        }
      }
    }
    o += 4 * fours;
  }
}
