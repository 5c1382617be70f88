#include "espalier_integer.h"

/* dL/dx of a depthwise convolution; `dx` may be `addend`, which may be null. */
ESP_KERNEL void ESP_Q(esp_depthwise_input_gradient)(const esp_conv* d, const esp_q* g,
                                                    const esp_weights* w, const esp_q* addend,
                                                    esp_q* dx, const esp_q_sink* sink) {
  const int32_t taps = d->kernel_h * d->kernel_w, channels = d->in_c;
  const esp_q_target target = esp_q_target_of(sink, 0);
  uint32_t all = 0;
  int32_t c, iy, ix, ky, kx, next = 0;
  for (c = 0; c < channels; ++c) {
    const int8_t* weights = w->full + c * taps;
    if (next < w->count && w->channels[next] == c) weights = w->trained + next++ * taps;
    for (iy = 0; iy < d->in_h; ++iy) {
      for (ix = 0; ix < d->in_w; ++ix) {
        const int32_t i = (iy * d->in_w + ix) * channels + c;
        esp_q_sum sum = 0;
        for (ky = 0; ky < d->kernel_h; ++ky) {
          const int32_t y = iy + d->pad_top - ky, oy = y / d->stride_h;
          if (y < 0 || oy * d->stride_h != y || oy >= d->out_h) continue;
          for (kx = 0; kx < d->kernel_w; ++kx) {
            const int32_t x = ix + d->pad_left - kx, ox = x / d->stride_w;
            if (x < 0 || ox * d->stride_w != x || ox >= d->out_w) continue;
            sum +=
                (esp_q_sum)g[(oy * d->out_w + ox) * channels + c] * weights[ky * d->kernel_w + kx];
          }
        }
        dx[i] = esp_q_value(&target, addend, i, c, sum, &all);
      }
    }
  }
  esp_q_note(sink->range, all);
}
