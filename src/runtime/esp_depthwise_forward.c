#include "espalier_runtime.h"

/* A depthwise convolution, one channel after the other through `plane`, a copy of the channel with
 * its padding. With stride 1 and equal extents y may be x itself. */
ESP_KERNEL void esp_depthwise_forward(const esp_conv* d, const int8_t* x, const esp_weights* w,
                                      const esp_requantization* q, int8_t* y, uint8_t* mask,
                                      int8_t* plane) {
  const int32_t taps = d->kernel_h * d->kernel_w, channels = d->in_c;
  const int32_t width = esp_plane_extent(d->in_w, d->pad_left, d->out_w, d->stride_w, d->kernel_w);
  const int32_t height = esp_plane_extent(d->in_h, d->pad_top, d->out_h, d->stride_h, d->kernel_h);
  int32_t c, iy, ix, oy, ox, ky, kx, next = 0;
  memset(plane, d->in_zero, (size_t)(width * height));
  for (c = 0; c < channels; ++c) {
    const int8_t* weights = w->full + c * taps;
    int32_t offset = 0;
    if (next < w->count && w->channels[next] == c) weights = w->trained + next++ * taps;
    for (iy = 0; iy < d->in_h; ++iy) {
      const int8_t* from = x + iy * d->in_w * channels + c;
      int8_t* to = plane + (iy + d->pad_top) * width + d->pad_left;
      for (ix = 0; ix < d->in_w; ++ix) to[ix] = from[ix * channels];
    }
    for (kx = 0; kx < taps; ++kx) offset += weights[kx];
    offset *= d->in_zero;
    for (oy = 0; oy < d->out_h; ++oy) {
      for (ox = 0; ox < d->out_w; ++ox) {
        const int8_t* window = plane + oy * d->stride_h * width + ox * d->stride_w;
        const int32_t i = (oy * d->out_w + ox) * channels + c;
        const int8_t* tap = weights;
        int32_t acc = -offset;
        for (ky = 0; ky < d->kernel_h; ++ky, window += width) {
          for (kx = 0; kx < d->kernel_w; ++kx) acc += window[kx] * *tap++;
        }
        y[i] = esp_clamp(esp_requantize(esp_saturating_add(acc, q->bias[c]), q->multiplier[c],
                                        q->shift[c], d->out_zero),
                         d->low, d->high, mask, i, d->mask_bits);
      }
    }
  }
}
