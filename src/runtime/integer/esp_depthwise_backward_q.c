#include "espalier_integer.h"

/* Both gradients of a depthwise convolution of stride 1 and equal extents, channel by channel: the
 * sink may write over `g`. `x` may be null when no weights are trained; see
 * esp_depthwise_weight_gradient for `channels` and `count`. The weights are read before they are
 * stepped. `plane` holds in_h * in_w gradients, then kernel_h * kernel_w sums. */
ESP_KERNEL void ESP_Q(esp_depthwise_backward)(const esp_conv* d, const esp_q* g,
                                              const esp_weights* w, const int8_t* x,
                                              const int16_t* channels, int32_t count,
                                              const esp_q_parameter_sink* parameters,
                                              const esp_q_sink* sink, esp_q_sum* row) {
  const int32_t taps = d->kernel_h * d->kernel_w, all_c = d->in_c, pixels = d->in_h * d->in_w;
  const int32_t width = channels ? count : all_c;
  const uint32_t key = x ? esp_q_tensor_key(parameters) : 0;
  esp_q* plane = (esp_q*)(row + taps);
  uint32_t all = 0;
  int32_t c, p, iy, ix, ky, kx, tap, j = 0, next = 0;
  for (c = 0; c < all_c; ++c) {
    const int8_t* weights = w->full + c * taps;
    const int32_t trained = x && j < width && (!channels || channels[j] == c);
    if (next < w->count && w->channels[next] == c) weights = w->trained + next++ * taps;
    for (p = 0; p < pixels; ++p) plane[p] = g[p * all_c + c];
    if (trained) {
      for (ky = 0; ky < d->kernel_h; ++ky) {
        for (kx = 0; kx < d->kernel_w; ++kx) {
          esp_q_sum sum = 0;
          for (iy = 0; iy < d->out_h; ++iy) {
            const int32_t y = iy - d->pad_top + ky;
            if (y < 0 || y >= d->in_h) continue;
            for (ix = 0; ix < d->out_w; ++ix) {
              const int32_t left = ix - d->pad_left + kx;
              if (left < 0 || left >= d->in_w) continue;
              sum += (esp_q_sum)plane[iy * d->out_w + ix] *
                     (x[(y * d->in_w + left) * width + j] - d->in_zero);
            }
          }
          row[ky * d->kernel_w + kx] = sum;
        }
      }
    }
    for (iy = 0; iy < d->in_h; ++iy) {
      for (ix = 0; ix < d->in_w; ++ix) {
        esp_q_sum sum = 0;
        for (ky = 0; ky < d->kernel_h; ++ky) {
          const int32_t oy = iy + d->pad_top - ky;
          if (oy < 0 || oy >= d->out_h) continue;
          for (kx = 0; kx < d->kernel_w; ++kx) {
            const int32_t ox = ix + d->pad_left - kx;
            if (ox < 0 || ox >= d->out_w) continue;
            sum += (esp_q_sum)plane[oy * d->out_w + ox] * weights[ky * d->kernel_w + kx];
          }
        }
        all |= esp_q_put(sink, (iy * d->in_w + ix) * all_c + c, c, sum);
      }
    }
    if (trained) {
      for (tap = 0; tap < taps; ++tap) {
        esp_q_sink_weight(parameters, key, j * taps + tap, c * taps + tap, c, row[tap]);
      }
      ++j;
    }
  }
  esp_q_note(sink->range, all);
}
