#include "espalier_runtime.h"

/* Maximum of the window. */
ESP_KERNEL void esp_max_pool_forward(const esp_pool* d, const int8_t* x, int8_t* y) {
  int32_t oy, ox, c, ky, kx;
  for (oy = 0; oy < d->out_h; ++oy) {
    for (ox = 0; ox < d->out_w; ++ox) {
      for (c = 0; c < d->channels; ++c) {
        int32_t best = -128;
        for (ky = 0; ky < d->kernel_h; ++ky) {
          const int32_t iy = oy * d->stride_h - d->pad_top + ky;
          if (iy < 0 || iy >= d->in_h) continue;
          for (kx = 0; kx < d->kernel_w; ++kx) {
            const int32_t ix = ox * d->stride_w - d->pad_left + kx;
            if (ix < 0 || ix >= d->in_w) continue;
            if (x[(iy * d->in_w + ix) * d->channels + c] > best) {
              best = x[(iy * d->in_w + ix) * d->channels + c];
            }
          }
        }
        *y++ = esp_clamp(best, d->low, d->high, 0, 0, 0);
      }
    }
  }
}
