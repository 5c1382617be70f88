#include "espalier_runtime.h"

/* dL/dx of a 1x1 convolution of stride 1: g times the weights, over the outputs in order; stored or
 * added. Four pixels by eight channels at a time. */
ESP_KERNEL void esp_pointwise_input_gradient(const esp_conv* d, const float* g,
                                             const esp_weights* w, float* dx, int32_t add) {
  const int32_t pixels = d->in_h * d->in_w, in_c = d->in_c, out_c = d->out_c;
  int32_t p, o, c, i, j;
  for (p = 0; p < pixels; p += 4, g += 4 * out_c, dx += 4 * in_c) {
    const int32_t rows = pixels - p < 4 ? pixels - p : 4;
    for (c = 0; c < in_c; c += 8) {
      const int32_t lanes = in_c - c < 8 ? in_c - c : 8;
      float sum[4][8];
      memset(sum, 0, sizeof sum);
      if (rows == 4 && lanes == 8) {
        for (o = 0; o < out_c; ++o) {
          const int8_t* weights = w->full + o * in_c + c;
          for (j = 0; j < 8; ++j) {
            const float weight = (float)weights[j];
            sum[0][j] += g[o] * weight;
            sum[1][j] += g[out_c + o] * weight;
            sum[2][j] += g[2 * out_c + o] * weight;
            sum[3][j] += g[3 * out_c + o] * weight;
          }
        }
      } else {
        for (o = 0; o < out_c; ++o) {
          const int8_t* weights = w->full + o * in_c + c;
          for (i = 0; i < rows; ++i) {
            for (j = 0; j < lanes; ++j) sum[i][j] += g[i * out_c + o] * (float)weights[j];
          }
        }
      }
      for (i = 0; i < rows; ++i) {
        float* out = dx + i * in_c + c;
        for (j = 0; j < lanes; ++j) out[j] = add ? out[j] + sum[i][j] : sum[i][j];
      }
    }
    /* the weights of trained channels were zero above, and added nothing */
    for (i = 0; i < rows; ++i) {
      for (j = 0; j < w->count; ++j) {
        float sum = 0.0f;
        for (o = 0; o < out_c; ++o) sum += g[i * out_c + o] * (float)w->trained[o * w->count + j];
        c = i * in_c + w->channels[j];
        dx[c] = add ? dx[c] + sum : sum;
      }
    }
  }
}
