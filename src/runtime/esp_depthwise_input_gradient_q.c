#include "espalier_integer.h"

/* dL/dx of a depthwise convolution; `dx` may be `addend`, which may be null. */
ESP_KERNEL void ESP_Q(esp_depthwise_input_gradient)(const esp_conv* d, const esp_q* g,
                                                    const esp_weights* w, const esp_q* addend,
                                                    esp_q* dx, const esp_q_sink* sink) {
  const int32_t taps = d->kernel_h * d->kernel_w, channels = d->in_c;
  const int32_t rows = d->stride_h, columns = d->stride_w;
  const esp_q_target target = esp_q_target_of(sink, 0);
  uint32_t all = 0;
  int32_t c, iy, ix, ky, kx, next = 0;
  for (c = 0; c < channels; ++c) {
    const int8_t* weights = w->full + c * taps;
    if (next < w->count && w->channels[next] == c) weights = w->trained + next++ * taps;
    for (iy = 0; iy < d->in_h; ++iy) {
      /* the last output whose window begins at or above this row, and the tap that meets it */
      const int32_t last_y = (iy + d->pad_top) / rows, first_ky = iy + d->pad_top - last_y * rows;
      int32_t last_x = d->pad_left / columns, first_kx = d->pad_left - last_x * columns;
      for (ix = 0; ix < d->in_w; ++ix) {
        const int32_t i = (iy * d->in_w + ix) * channels + c;
        esp_q_sum sum = 0;
        int32_t oy = last_y;
        for (ky = first_ky; ky < d->kernel_h && oy >= 0; ky += rows, --oy) {
          const esp_q* from = g + (oy * d->out_w + last_x) * channels + c;
          int32_t ox = last_x;
          if (oy >= d->out_h) continue;
          for (kx = first_kx; kx < d->kernel_w && ox >= 0; kx += columns, --ox, from -= channels) {
            if (ox < d->out_w) sum += (esp_q_sum)*from * weights[ky * d->kernel_w + kx];
          }
        }
        dx[i] = esp_q_value(&target, addend, i, c, sum, &all);
        if (++first_kx == columns) first_kx = 0, ++last_x;
      }
    }
  }
  esp_q_note(sink->range, all);
}
