#include "espalier_runtime.h"

/* A 1x1 convolution of stride 1. */
ESP_KERNEL void esp_pointwise_forward(const esp_conv* d, const int8_t* x, const esp_weights* w,
                                      const esp_requantization* q, int8_t* y, uint8_t* mask) {
  const int32_t pixels = d->out_h * d->out_w;
  int32_t p, o, c, i = 0;
  for (p = 0; p < pixels; ++p, x += d->in_c) {
    for (o = 0; o < d->out_c; ++o, ++i) {
      const int8_t* weights = w->full + o * d->in_c;
      int32_t acc = 0;
      for (c = 0; c < d->in_c; ++c) acc += (x[c] - d->in_zero) * weights[c];
      if (w->count) {
        weights = w->trained + o * w->count;
        for (c = 0; c < w->count; ++c) acc += (x[w->channels[c]] - d->in_zero) * weights[c];
      }
      y[i] = esp_clamp(esp_requantize(esp_saturating_add(acc, q->bias[o]), q->multiplier[o],
                                      q->shift[o], d->out_zero),
                       d->low, d->high, mask, i, d->mask_bits);
    }
  }
}
