#include "espalier_runtime.h"

/* dL/dx of any convolution, over the taps in order and in each over the outputs; stored or added.
 */
ESP_KERNEL void esp_input_gradient(const esp_conv* d, const float* g, const esp_weights* w,
                                   float* dx, int32_t add) {
  const int32_t per_group = d->in_c / d->groups, out_per_group = d->out_c / d->groups;
  const int32_t taps = d->kernel_h * d->kernel_w;
  int32_t iy, ix, c, o, ky, kx;
  for (iy = 0; iy < d->in_h; ++iy) {
    for (ix = 0; ix < d->in_w; ++ix) {
      int32_t next = 0;
      for (c = 0; c < d->in_c; ++c, ++dx) {
        const int32_t group = c / per_group, first = group * out_per_group;
        const int32_t trained = next < w->count && w->channels[next] == c;
        const int8_t* weights = trained ? w->trained + next : w->full + c - group * per_group;
        const int32_t stride = trained ? w->count : per_group;
        float sum = 0.0f;
        next += trained;
        for (ky = 0; ky < d->kernel_h; ++ky) {
          const int32_t y = iy + d->pad_top - ky * (1 + d->gap_h), oy = y / d->stride_h;
          if (y < 0 || oy * d->stride_h != y || oy >= d->out_h) continue;
          for (kx = 0; kx < d->kernel_w; ++kx) {
            const int32_t x = ix + d->pad_left - kx * (1 + d->gap_w), ox = x / d->stride_w;
            const float* from = g + (oy * d->out_w + ox) * d->out_c;
            if (x < 0 || ox * d->stride_w != x || ox >= d->out_w) continue;
            for (o = first; o < first + out_per_group; ++o) {
              sum += from[o] * (float)weights[(o * taps + ky * d->kernel_w + kx) * stride];
            }
          }
        }
        *dx = add ? *dx + sum : sum;
      }
    }
  }
}
