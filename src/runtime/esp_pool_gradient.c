#include "esp_words.h"
#include "espalier_runtime.h"

/* dL/dx of an average pool: each output's gradient in equal parts to its inputs. */
ESP_KERNEL void esp_pool_gradient(const esp_pool* d, const float* dy, float* dx) {
  int32_t oy, ox, c, iy, ix;
  esp_fill(dx, 0, d->in_h * d->in_w * d->channels * (int32_t)sizeof *dx);
  for (oy = 0; oy < d->out_h; ++oy) {
    const int32_t top = oy * d->stride_h - d->pad_top;
    const int32_t y0 = top < 0 ? 0 : top;
    const int32_t y1 = top + d->kernel_h < d->in_h ? top + d->kernel_h : d->in_h;
    for (ox = 0; ox < d->out_w; ++ox) {
      const int32_t left = ox * d->stride_w - d->pad_left;
      const int32_t x0 = left < 0 ? 0 : left;
      const int32_t x1 = left + d->kernel_w < d->in_w ? left + d->kernel_w : d->in_w;
      const float count = (float)((y1 - y0) * (x1 - x0));
      for (c = 0; c < d->channels; ++c) {
        const float part = dy[(oy * d->out_w + ox) * d->channels + c] / count;
        for (iy = y0; iy < y1; ++iy) {
          for (ix = x0; ix < x1; ++ix) dx[(iy * d->in_w + ix) * d->channels + c] += part;
        }
      }
    }
  }
}
