#include "esp_words.h"
#include "espalier_runtime.h"

/* dL/dx of a maximum pool: each output's gradient to the input that was its maximum. */
ESP_KERNEL void esp_max_pool_gradient(const esp_pool* d, const float* dy, const uint8_t* winners,
                                      float* dx) {
  const int32_t bits = esp_winner_bits((int32_t)d->kernel_h * d->kernel_w);
  int32_t i = 0, oy, ox, c;
  esp_fill(dx, 0, d->in_h * d->in_w * d->channels * (int32_t)sizeof *dx);
  for (oy = 0; oy < d->out_h; ++oy) {
    for (ox = 0; ox < d->out_w; ++ox) {
      for (c = 0; c < d->channels; ++c, ++i) {
        const int32_t winner = esp_get_winner(winners, i, bits);
        const int32_t iy = oy * d->stride_h - d->pad_top + winner / d->kernel_w;
        const int32_t ix = ox * d->stride_w - d->pad_left + winner % d->kernel_w;
        dx[(iy * d->in_w + ix) * d->channels + c] += dy[i];
      }
    }
  }
}
