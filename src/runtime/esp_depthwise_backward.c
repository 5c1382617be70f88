#include "espalier_runtime.h"

/* Both gradients of a depthwise convolution of stride 1 and equal extents, channel by channel in
 * place: `g` becomes dL/dx. `x` may be null when no weights are trained; see
 * esp_depthwise_weight_gradient for `channels` and `count`. The weights are read before they are
 * stepped. `plane` holds in_h * in_w floats, then kernel_h * kernel_w. */
ESP_KERNEL void esp_depthwise_backward(const esp_conv* d, float* g, const esp_weights* w,
                                       const int8_t* x, const int16_t* channels, int32_t count,
                                       const esp_weight_sink* sink, float* plane) {
  const int32_t taps = d->kernel_h * d->kernel_w, all = d->in_c, pixels = d->in_h * d->in_w;
  const int32_t width = channels ? count : all;
  const uint32_t key = x && sink->sgd ? esp_tensor_key(sink->sgd, sink->tensor) : 0;
  float* row = plane + pixels;
  int32_t c, p, iy, ix, ky, kx, tap, j = 0, next = 0;
  for (c = 0; c < all; ++c) {
    const int8_t* weights = w->full + c * taps;
    const int32_t trained = x && j < width && (!channels || channels[j] == c);
    if (next < w->count && w->channels[next] == c) weights = w->trained + next++ * taps;
    for (p = 0; p < pixels; ++p) plane[p] = g[p * all + c];
    if (trained) {
      for (ky = 0; ky < d->kernel_h; ++ky) {
        for (kx = 0; kx < d->kernel_w; ++kx) {
          float sum = 0.0f;
          for (iy = 0; iy < d->out_h; ++iy) {
            const int32_t y = iy - d->pad_top + ky;
            if (y < 0 || y >= d->in_h) continue;
            for (ix = 0; ix < d->out_w; ++ix) {
              const int32_t left = ix - d->pad_left + kx;
              if (left < 0 || left >= d->in_w) continue;
              sum += plane[iy * d->out_w + ix] *
                     (float)(x[(y * d->in_w + left) * width + j] - d->in_zero);
            }
          }
          row[ky * d->kernel_w + kx] = sum;
        }
      }
    }
    for (iy = 0; iy < d->in_h; ++iy) {
      for (ix = 0; ix < d->in_w; ++ix) {
        float sum = 0.0f;
        for (ky = 0; ky < d->kernel_h; ++ky) {
          const int32_t oy = iy + d->pad_top - ky;
          if (oy < 0 || oy >= d->out_h) continue;
          for (kx = 0; kx < d->kernel_w; ++kx) {
            const int32_t ox = ix + d->pad_left - kx;
            if (ox < 0 || ox >= d->out_w) continue;
            sum += plane[oy * d->out_w + ox] * (float)weights[ky * d->kernel_w + kx];
          }
        }
        g[(iy * d->in_w + ix) * all + c] = sum;
      }
    }
    if (trained) {
      for (tap = 0; tap < taps; ++tap) {
        esp_sink_weight(sink, key, j * taps + tap, c * taps + tap, c, row[tap]);
      }
      ++j;
    }
  }
}
