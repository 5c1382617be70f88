#include "espalier_integer.h"

/* dL/dx of a maximum pool: each output's gradient to the input that was its maximum. */
ESP_KERNEL void ESP_Q(esp_max_pool_gradient)(const esp_pool* d, const esp_q* dy,
                                             const uint8_t* winners, esp_q* dx,
                                             const esp_q_sink* sink) {
  const int32_t bits = esp_winner_bits((int32_t)d->kernel_h * d->kernel_w);
  const esp_q_target target = esp_q_target_of(sink, 0);
  uint32_t all = 0;
  int32_t iy, ix, c, oy, ox, i = 0;
  for (iy = 0; iy < d->in_h; ++iy) {
    for (ix = 0; ix < d->in_w; ++ix) {
      for (c = 0; c < d->channels; ++c, ++i) {
        esp_q_sum sum = 0;
        for (oy = 0; oy < d->out_h; ++oy) {
          const int32_t ky = iy + d->pad_top - oy * d->stride_h;
          if (ky < 0 || ky >= d->kernel_h) continue;
          for (ox = 0; ox < d->out_w; ++ox) {
            const int32_t kx = ix + d->pad_left - ox * d->stride_w;
            const int32_t o = (oy * d->out_w + ox) * d->channels + c;
            if (kx < 0 || kx >= d->kernel_w) continue;
            if (esp_get_winner(winners, o, bits) == ky * d->kernel_w + kx) sum += dy[o];
          }
        }
        dx[i] = esp_q_value(&target, 0, i, c, sum, &all);
      }
    }
  }
  esp_q_note(sink->range, all);
}
