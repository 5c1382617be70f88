#include "esp_q_sum_rows.h"
#include "esp_words.h"

/* Inputs of a row whose sums are formed at a time. */
#define ESP_ACROSS 64

/* dL/dx of an average pool: each output's gradient in equal parts to its inputs, in units of 2^-16
 * of the gradient's; row by row of a channel. */
ESP_KERNEL void ESP_Q(esp_pool_gradient)(const esp_pool* d, const esp_q* dy, esp_q* dx,
                                         const esp_q_sink* sink) {
  const esp_q_target target = esp_q_target_of(sink, 16);
  const int32_t channels = d->channels, in_w = d->in_w;
  esp_q_seen seen = esp_q_seen_by(sink->range);
  esp_q_sum sums[ESP_ACROSS];
  esp_q_span span = {1, 0, 0, 0, 0};
  int32_t c, iy, ix, oy, ox, from;
  span.step = channels;
  for (c = 0; c < channels; ++c) {
    const esp_q_scaling scaling = esp_q_scaling_of(&target, 0, c, 0);
    for (iy = 0; iy < d->in_h; ++iy) {
      for (from = 0; from < in_w; from += ESP_ACROSS) {
        const int32_t until = from + ESP_ACROSS < in_w ? from + ESP_ACROSS : in_w;
        esp_fill(sums, 0, (until - from) * (int32_t)sizeof *sums);
        for (oy = 0; oy < d->out_h; ++oy) {
          const int32_t top = oy * d->stride_h - d->pad_top;
          const int32_t y0 = top < 0 ? 0 : top;
          const int32_t y1 = top + d->kernel_h < d->in_h ? top + d->kernel_h : d->in_h;
          if (iy < y0 || iy >= y1) continue;
          for (ox = 0; ox < d->out_w; ++ox) {
            const int32_t left = ox * d->stride_w - d->pad_left;
            const int32_t x0 = left < 0 ? 0 : left;
            const int32_t x1 = left + d->kernel_w < in_w ? left + d->kernel_w : in_w;
            const int32_t count = (y1 - y0) * (x1 - x0);
            const int32_t end = x1 < until ? x1 : until;
            esp_q_sum part;
            if (x0 >= until || x1 <= from) continue;
            part =
                (esp_q_sum)dy[(oy * d->out_w + ox) * channels + c] * ((65536 + count / 2) / count);
            ESP_ROLLED
            for (ix = x0 > from ? x0 : from; ix < end; ++ix) sums[ix - from] += part;
          }
        }
        span.count = until - from;
        esp_q_sum_rows(&target, &scaling, 0, sums, dx, (iy * in_w + from) * channels + c, c, span,
                       &seen);
      }
    }
  }
  esp_q_note(sink->range, seen.all);
}
