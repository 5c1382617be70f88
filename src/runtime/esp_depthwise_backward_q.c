#include "espalier_integer.h"

/* Both gradients of a depthwise convolution of stride 1 and equal extents, channel by channel: `dx`
 * may be `g`. `x` may be null when no weights are trained; see esp_depthwise_weight_gradient for
 * `channels` and `count`. `plane` holds in_h * in_w gradients, then the weights of a channel as
 * they were before their step. */
ESP_KERNEL void ESP_Q(esp_depthwise_backward)(const esp_conv* d, const esp_q* g,
                                              const esp_weights* w, const int8_t* x,
                                              const int16_t* channels, int32_t count,
                                              const esp_q_parameter_sink* parameters, esp_q* dx,
                                              const esp_q_sink* sink, esp_q* plane) {
  const int32_t taps = d->kernel_h * d->kernel_w, all_c = d->in_c, pixels = d->in_h * d->in_w;
  const int32_t width = channels ? count : all_c;
  const uint32_t key = x ? esp_q_key(parameters) : 0;
  const esp_q_target target = esp_q_target_of(sink, 0);
  int8_t* weights = (int8_t*)(plane + pixels);
  uint32_t all = 0;
  int32_t c, p, iy, ix, ky, kx, j = 0, next = 0;
  for (c = 0; c < all_c; ++c) {
    const int32_t trained = x && j < width && (!channels || channels[j] == c);
    if (next < w->count && w->channels[next] == c) {
      memcpy(weights, w->trained + next++ * taps, (size_t)taps);
    } else {
      memcpy(weights, w->full + c * taps, (size_t)taps);
    }
    for (p = 0; p < pixels; ++p) plane[p] = g[p * all_c + c];
    if (trained) {
      for (ky = 0; ky < d->kernel_h; ++ky) {
        for (kx = 0; kx < d->kernel_w; ++kx) {
          const int32_t tap = ky * d->kernel_w + kx;
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
          esp_q_sink_weight(parameters, key, j * taps + tap, c * taps + tap, c, sum);
        }
      }
      ++j;
    }
    for (iy = 0; iy < d->in_h; ++iy) {
      for (ix = 0; ix < d->in_w; ++ix) {
        const int32_t i = (iy * d->in_w + ix) * all_c + c;
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
        dx[i] = esp_q_value(&target, 0, i, c, sum, &all);
      }
    }
  }
  esp_q_note(sink->range, all);
}
