#include "esp_integer_blocks.h"
#include "espalier_runtime.h"

/* Copies the window of one output, padding as the zero point. */
ESP_INLINE void esp_patch(const esp_conv* d, const int8_t* x, int32_t oy, int32_t ox,
                          int8_t* patch) {
  int32_t ky, kx, c;
  for (ky = 0; ky < d->kernel_h; ++ky) {
    const int32_t iy = oy * d->stride_h - d->pad_top + ky;
    for (kx = 0; kx < d->kernel_w; ++kx, patch += d->in_c) {
      const int32_t ix = ox * d->stride_w - d->pad_left + kx;
      if (iy < 0 || iy >= d->in_h || ix < 0 || ix >= d->in_w) {
        for (c = 0; c < d->in_c; ++c) patch[c] = (int8_t)d->in_zero;
      } else {
        const int8_t* pixel = x + (iy * d->in_w + ix) * d->in_c;
        for (c = 0; c < d->in_c; ++c) patch[c] = pixel[c];
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
    const int32_t iy = oy * d->stride_h - d->pad_top + ky;
    if (iy < 0 || iy >= d->in_h) continue;
    for (kx = 0; kx < d->kernel_w; ++kx) {
      const int32_t ix = ox * d->stride_w - d->pad_left + kx;
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

/* Any convolution. Dense ones go by way of the windows of four outputs in `patches`, which holds
 * 4 * kernel_h * kernel_w * in_c. */
ESP_KERNEL void esp_conv_forward(const esp_conv* d, const int8_t* x, const esp_weights* w,
                                 const esp_requantization* q, int8_t* y, uint8_t* mask,
                                 int8_t* patches) {
  const int32_t depth = d->kernel_h * d->kernel_w * d->in_c;
  int32_t oy, ox, o, i = 0;
  for (oy = 0; oy < d->out_h; ++oy) {
    for (ox = 0; ox < d->out_w; ++ox) {
      if (d->groups == 1 && !w->count) {
        int32_t pixels = 0;
        for (; pixels < 4 && ox + pixels < d->out_w; ++pixels) {
          esp_patch(d, x, oy, ox + pixels, patches + pixels * depth);
        }
        esp_matrix_product(d, patches, pixels, depth, w, q, y + i, mask, i);
        i += pixels * d->out_c;
        ox += pixels - 1;
        continue;
      }
      for (o = 0; o < d->out_c; ++o, ++i) {
        y[i] = esp_clamp(
            esp_requantize(esp_saturating_add(esp_conv_one(d, x, w, oy, ox, o), q->bias[o]),
                           q->multiplier[o], q->shift[o], d->out_zero),
            d->low, d->high, mask, i, d->mask_bits);
      }
    }
  }
}
