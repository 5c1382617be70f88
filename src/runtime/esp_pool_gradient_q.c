#include "espalier_integer.h"

/* dL/dx of an average pool: each output's gradient in equal parts to its inputs, in units of 2^-16
 * of the gradient's. */
ESP_KERNEL void ESP_Q(esp_pool_gradient)(const esp_pool* d, const esp_q* dy, esp_q* dx,
                                         const esp_q_sink* sink) {
  const esp_q_target target = esp_q_target_of(sink, 16);
  uint32_t all = 0;
  int32_t iy, ix, c, oy, ox, i = 0;
  for (iy = 0; iy < d->in_h; ++iy) {
    for (ix = 0; ix < d->in_w; ++ix) {
      for (c = 0; c < d->channels; ++c, ++i) {
        esp_q_sum sum = 0;
        for (oy = 0; oy < d->out_h; ++oy) {
          const int32_t top = oy * d->stride_h - d->pad_top;
          const int32_t y0 = top < 0 ? 0 : top;
          const int32_t y1 = top + d->kernel_h < d->in_h ? top + d->kernel_h : d->in_h;
          if (iy < y0 || iy >= y1) continue;
          for (ox = 0; ox < d->out_w; ++ox) {
            const int32_t left = ox * d->stride_w - d->pad_left;
            const int32_t x0 = left < 0 ? 0 : left;
            const int32_t x1 = left + d->kernel_w < d->in_w ? left + d->kernel_w : d->in_w;
            const int32_t count = (y1 - y0) * (x1 - x0);
            if (ix < x0 || ix >= x1) continue;
            sum += (esp_q_sum)dy[(oy * d->out_w + ox) * d->channels + c] *
                   ((65536 + count / 2) / count);
          }
        }
        dx[i] = esp_q_value(&target, 0, i, c, sum, &all);
      }
    }
  }
  esp_q_note(sink->range, all);
}
