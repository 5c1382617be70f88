#include "espalier_runtime.h"

/* Mean of the window in the quantisation of its output, rounded once: multiplier / 2^shift is the
 * input's scale over the output's. */
ESP_KERNEL void esp_average_pool_requantized(const esp_pool* d, int32_t multiplier, int32_t shift,
                                             int32_t x_zero, int32_t y_zero, const int8_t* x,
                                             int8_t* y, uint8_t* mask, int32_t mask_bits) {
  int32_t oy, ox, c, iy, ix, i = 0;
  for (oy = 0; oy < d->out_h; ++oy) {
    const int32_t top = oy * d->stride_h - d->pad_top;
    const int32_t y0 = top < 0 ? 0 : top;
    const int32_t y1 = top + d->kernel_h < d->in_h ? top + d->kernel_h : d->in_h;
    for (ox = 0; ox < d->out_w; ++ox) {
      const int32_t left = ox * d->stride_w - d->pad_left;
      const int32_t x0 = left < 0 ? 0 : left;
      const int32_t x1 = left + d->kernel_w < d->in_w ? left + d->kernel_w : d->in_w;
      const int32_t count = (y1 - y0) * (x1 - x0);
      for (c = 0; c < d->channels; ++c, ++i) {
        int32_t sum = 0;
        int64_t product, mean;
        for (iy = y0; iy < y1; ++iy) {
          for (ix = x0; ix < x1; ++ix) sum += x[(iy * d->in_w + ix) * d->channels + c] - x_zero;
        }
        /* The quotient is rounded down; then the shift rounds it as it would the exact one. */
        product = (int64_t)sum * multiplier;
        mean = product / count;
        if (mean * count > product) --mean;
        mean = ((mean + ((int64_t)1 << (shift - 1))) >> shift) + y_zero;
        y[i] = esp_clamp(mean > 32767    ? 32767
                         : mean < -32768 ? -32768
                                         : (int32_t)mean,
                         d->low, d->high, mask, i, mask_bits);
      }
    }
  }
}
