#include "espalier_runtime.h"

/* Maximum of the window. Unless `winners` is null it takes the place in the window of the first
 * maximum, in esp_winner_bits(d) bits an output. */
ESP_KERNEL void esp_max_pool_forward(const esp_pool* d, const int8_t* x, int8_t* y,
                                     uint8_t* winners) {
  const int32_t bits = esp_winner_bits((int32_t)d->kernel_h * d->kernel_w);
  int32_t i = 0, oy, ox, c, ky, kx;
  for (oy = 0; oy < d->out_h; ++oy) {
    for (ox = 0; ox < d->out_w; ++ox) {
      for (c = 0; c < d->channels; ++c) {
        int32_t best = -129, winner = 0;
        for (ky = 0; ky < d->kernel_h; ++ky) {
          const int32_t iy = oy * d->stride_h - d->pad_top + ky;
          if (iy < 0 || iy >= d->in_h) continue;
          for (kx = 0; kx < d->kernel_w; ++kx) {
            const int32_t ix = ox * d->stride_w - d->pad_left + kx;
            if (ix < 0 || ix >= d->in_w) continue;
            if (x[(iy * d->in_w + ix) * d->channels + c] > best) {
              best = x[(iy * d->in_w + ix) * d->channels + c];
              winner = ky * d->kernel_w + kx;
            }
          }
        }
        y[i] = esp_clamp(best, d->low, d->high, 0, 0, 0);
        if (winners) esp_put_winner(winners, i, winner, bits);
        ++i;
      }
    }
  }
}
