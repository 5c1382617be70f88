#include "espalier_runtime.h"

/* Rounded mean of the window. */
ESP_KERNEL void esp_average_pool_forward(const esp_pool* d, const int8_t* x, int8_t* y) {
  int32_t oy, ox, c, iy, ix;
  for (oy = 0; oy < d->out_h; ++oy) {
    const int32_t top = oy * d->stride_h - d->pad_top;
    const int32_t y0 = top < 0 ? 0 : top;
    const int32_t y1 = top + d->kernel_h < d->in_h ? top + d->kernel_h : d->in_h;
    for (ox = 0; ox < d->out_w; ++ox) {
      const int32_t left = ox * d->stride_w - d->pad_left;
      const int32_t x0 = left < 0 ? 0 : left;
      const int32_t x1 = left + d->kernel_w < d->in_w ? left + d->kernel_w : d->in_w;
      const int32_t count = (y1 - y0) * (x1 - x0);
      for (c = 0; c < d->channels; ++c) {
        int32_t sum = 0, magnitude, quotient, twice;
        for (iy = y0; iy < y1; ++iy) {
          for (ix = x0; ix < x1; ++ix) sum += x[(iy * d->in_w + ix) * d->channels + c];
        }
        magnitude = sum < 0 ? -sum : sum;
        quotient = magnitude / count;
        twice = 2 * (magnitude - quotient * count);
        if (twice > count || (twice == count && (!d->half_to_even || (quotient & 1)))) ++quotient;
        if (sum < 0) quotient = -quotient;
        *y++ = esp_clamp(quotient, d->low, d->high, 0, 0, 0);
      }
    }
  }
}
