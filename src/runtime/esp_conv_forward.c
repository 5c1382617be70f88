#include "espalier_runtime.h"

/* Any convolution. `patches` is for the blocked form. */
ESP_KERNEL void esp_conv_forward(const esp_conv* d, const int8_t* x, const esp_weights* w,
                                 const esp_requantization* q, int8_t* y, uint8_t* mask,
                                 int8_t* patches) {
  const int32_t per_group = d->in_c / d->groups, out_per_group = d->out_c / d->groups;
  const int32_t taps = d->kernel_h * d->kernel_w;
  int32_t oy, ox, o, ky, kx, c, i = 0;
  (void)patches;
  for (oy = 0; oy < d->out_h; ++oy) {
    for (ox = 0; ox < d->out_w; ++ox) {
      for (o = 0; o < d->out_c; ++o, ++i) {
        const int32_t first = o / out_per_group * per_group;
        int32_t acc = 0;
        for (ky = 0; ky < d->kernel_h; ++ky) {
          const int32_t iy = oy * d->stride_h - d->pad_top + ky * (1 + d->gap_h);
          if (iy < 0 || iy >= d->in_h) continue;
          for (kx = 0; kx < d->kernel_w; ++kx) {
            const int32_t ix = ox * d->stride_w - d->pad_left + kx * (1 + d->gap_w);
            const int8_t* pixel = x + (iy * d->in_w + ix) * d->in_c + first;
            const int32_t row = o * taps + ky * d->kernel_w + kx;
            const int8_t* weights = w->full + row * per_group;
            if (ix < 0 || ix >= d->in_w) continue;
            for (c = 0; c < per_group; ++c) acc += (pixel[c] - d->in_zero) * weights[c];
            if (w->count) {
              weights = w->trained + row * w->count;
              for (c = 0; c < w->count; ++c) {
                acc += (pixel[w->channels[c]] - d->in_zero) * weights[c];
              }
            }
          }
        }
        y[i] = esp_clamp(esp_requantize(esp_saturating_add(acc, q->bias[o]), q->multiplier[o],
                                        q->shift[o], d->out_zero),
                         d->low, d->high, mask, i, d->mask_bits);
      }
    }
  }
}
