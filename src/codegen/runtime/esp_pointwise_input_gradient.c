#include "espalier_runtime.h"

/* dL/dx of a 1x1 convolution of stride 1: g times the weights, over the outputs in order; stored or
 * added. */
ESP_KERNEL void esp_pointwise_input_gradient(const esp_conv* d, const float* g,
                                             const esp_weights* w, float* dx, int32_t add) {
  const int32_t pixels = d->in_h * d->in_w;
  int32_t p, o, c, j;
  for (p = 0; p < pixels; ++p, g += d->out_c, dx += d->in_c) {
    for (c = 0; c < d->in_c; c += 8) {
      const int32_t lanes = d->in_c - c < 8 ? d->in_c - c : 8;
      float sum[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
      for (o = 0; o < d->out_c; ++o) {
        const int8_t* weights = w->full + o * d->in_c + c;
        if (lanes == 8) {
          for (j = 0; j < 8; ++j) sum[j] += g[o] * (float)weights[j];
        } else {
          for (j = 0; j < lanes; ++j) sum[j] += g[o] * (float)weights[j];
        }
      }
      for (j = 0; j < lanes; ++j) dx[c + j] = add ? dx[c + j] + sum[j] : sum[j];
    }
    /* the rows of trained channels were zero above, and added nothing */
    for (j = 0; j < w->count; ++j) {
      float sum = 0.0f;
      for (o = 0; o < d->out_c; ++o) sum += g[o] * (float)w->trained[o * w->count + j];
      c = w->channels[j];
      dx[c] = add ? dx[c] + sum : sum;
    }
  }
}
