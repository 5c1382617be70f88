#include "espalier_integer.h"

/* dL/dx of any convolution; `dx` may be `addend`, which may be null. */
ESP_KERNEL void ESP_Q(esp_input_gradient)(const esp_conv* d, const esp_q* g, const esp_weights* w,
                                          const esp_q* addend, esp_q* dx, const esp_q_sink* sink) {
  const int32_t per_group = d->in_c / d->groups, out_per_group = d->out_c / d->groups;
  const int32_t taps = d->kernel_h * d->kernel_w;
  const esp_q_target target = esp_q_target_of(sink, 0);
  uint32_t all = 0;
  int32_t iy, ix, c, o, ky, kx, i = 0;
  for (iy = 0; iy < d->in_h; ++iy) {
    for (ix = 0; ix < d->in_w; ++ix) {
      int32_t next = 0;
      for (c = 0; c < d->in_c; ++c, ++i) {
        const int32_t group = c / per_group, first = group * out_per_group;
        const int32_t trained = next < w->count && w->channels[next] == c;
        const int8_t* weights = trained ? w->trained + next : w->full + c - group * per_group;
        const int32_t stride = trained ? w->count : per_group;
        esp_q_sum sum = 0;
        next += trained;
        for (ky = 0; ky < d->kernel_h; ++ky) {
          const int32_t y = iy + d->pad_top - ky * (1 + d->gap_h), oy = y / d->stride_h;
          if (y < 0 || oy * d->stride_h != y || oy >= d->out_h) continue;
          for (kx = 0; kx < d->kernel_w; ++kx) {
            const int32_t x = ix + d->pad_left - kx * (1 + d->gap_w), ox = x / d->stride_w;
            const esp_q* from = g + (oy * d->out_w + ox) * d->out_c;
            if (x < 0 || ox * d->stride_w != x || ox >= d->out_w) continue;
            for (o = first; o < first + out_per_group; ++o) {
              sum += (esp_q_sum)from[o] * weights[(o * taps + ky * d->kernel_w + kx) * stride];
            }
          }
        }
        dx[i] = esp_q_value(&target, addend, i, c, sum, &all);
      }
    }
  }
  esp_q_note(sink->range, all);
}
