#include "esp_blocking.h"
#include "esp_float_sums.h"
#include "espalier_runtime.h"

/* Output k of one, four or six pixels with four weights. */
#define ESP_OUTPUT(k)                                                           \
  do {                                                                          \
    int32_t n0 = weights[0], n1 = weights[1], n2 = weights[2], n3 = weights[3]; \
    float x = ra[k], y, t1, t2, v0, v1, v2, v3;                                 \
    ESP_DONE(n0, n1, n2, n3);                                                   \
    v0 = (float)n0, v1 = (float)n1, v2 = (float)n2, v3 = (float)n3;             \
    weights += stride;                                                          \
    if (pixels == 1) {                                                          \
      ESP_SUM_LAST(a, x, y);                                                    \
      break;                                                                    \
    }                                                                           \
    ESP_SUM(a, x, y, rb[k]);                                                    \
    ESP_SUM(b, y, x, rc[k]);                                                    \
    ESP_SUM(c, x, y, rd[k]);                                                    \
    if (pixels == 4) {                                                          \
      ESP_SUM_LAST(d, y, x);                                                    \
      break;                                                                    \
    }                                                                           \
    ESP_SUM(d, y, x, re[k]);                                                    \
    ESP_SUM(e, x, y, rf[k]);                                                    \
    ESP_SUM_LAST(f, y, x);                                                      \
  } while (0)

/* Where four sums of each pixel go. */
typedef struct {
  int32_t i0, i1, i2, i3, add;
} esp_places;

ESP_INLINE void esp_put4(float* dx, const esp_places* to, float v0, float v1, float v2, float v3) {
  if (to->add) {
    v0 = dx[to->i0] + v0;
    v1 = dx[to->i1] + v1;
    v2 = dx[to->i2] + v2;
    v3 = dx[to->i3] + v3;
  }
  dx[to->i0] = v0;
  dx[to->i1] = v1;
  dx[to->i2] = v2;
  dx[to->i3] = v3;
}

/* One, four or six pixels by four inputs, in named scalars: as outputs come one at a time, all sums
 * of six pixels fit into the registers. Weights of neighbouring outputs lie `stride` apart. */
ESP_INLINE void esp_block(int32_t pixels, const float* g, int32_t out_c, const int8_t* weights,
                          int32_t stride, float* dx, int32_t in_c, const esp_places* to) {
  const float *ra = g, *rb = ra + out_c, *rc = rb + out_c, *rd = rc + out_c;
  const float *re = rd + out_c, *rf = re + out_c;
  float a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
  float c0 = 0, c1 = 0, c2 = 0, c3 = 0, d0 = 0, d1 = 0, d2 = 0, d3 = 0;
  float e0 = 0, e1 = 0, e2 = 0, e3 = 0, f0 = 0, f1 = 0, f2 = 0, f3 = 0;
  int32_t o;
  ESP_ROLLED
  for (o = out_c >> 2; o > 0; --o) {
    ESP_OUTPUT(0);
    ESP_OUTPUT(1);
    ESP_OUTPUT(2);
    ESP_OUTPUT(3);
    ra += 4, rb += 4, rc += 4, rd += 4, re += 4, rf += 4;
  }
  ESP_ROLLED
  for (o = out_c & 3; o > 0; --o) {
    ESP_OUTPUT(0);
    ++ra, ++rb, ++rc, ++rd, ++re, ++rf;
  }
  esp_put4(dx, to, a0, a1, a2, a3);
  if (pixels == 1) return;
  esp_put4(dx + in_c, to, b0, b1, b2, b3);
  esp_put4(dx + 2 * in_c, to, c0, c1, c2, c3);
  esp_put4(dx + 3 * in_c, to, d0, d1, d2, d3);
  if (pixels == 4) return;
  esp_put4(dx + 4 * in_c, to, e0, e1, e2, e3);
  esp_put4(dx + 5 * in_c, to, f0, f1, f2, f3);
}
#undef ESP_OUTPUT

/* One sum, for what fours leave. */
ESP_INLINE void esp_put_one(const float* g, const int8_t* weights, int32_t stride, int32_t out_c,
                            float* dx, int32_t add) {
  float sum = 0.0f;
  int32_t o;
  ESP_ROLLED
  for (o = 0; o < out_c; ++o, weights += stride) sum += g[o] * (float)*weights;
  *dx = add ? *dx + sum : sum;
}

/* dL/dx of a 1x1 convolution of stride 1: g times the weights, over the outputs in order; stored or
 * added. The weights of trained channels are zero among all and come, once more, on top. */
ESP_KERNEL void esp_pointwise_input_gradient(const esp_conv* d, const float* g,
                                             const esp_weights* w, float* dx, int32_t add) {
  const int32_t in_c = d->in_c, out_c = d->out_c, count = w->count;
  int32_t left = d->in_h * d->in_w, some, c, i;
  for (; left > 0; left -= some, g += some * out_c, dx += some * in_c) {
    some = left > 9 || left == 6 || left == 7 ? 6 : left > 3 ? 4 : 1;
    ESP_ROLLED
    for (c = 0; c < in_c + count;) {
      const int32_t part = c >= in_c, j = part ? c - in_c : c, stride = part ? count : in_c;
      const int8_t* weights = (part ? w->trained : w->full) + j;
      if (stride - j < 4) {
        ESP_ROLLED
        for (i = 0; i < some; ++i) {
          esp_put_one(g + i * out_c, weights, stride, out_c,
                      dx + i * in_c + (part ? w->channels[j] : j), add);
        }
        ++c;
        continue;
      }
      {
        esp_places to = {j, j + 1, j + 2, j + 3, add};
        if (part) {
          to.i0 = w->channels[j];
          to.i1 = w->channels[j + 1];
          to.i2 = w->channels[j + 2];
          to.i3 = w->channels[j + 3];
        }
        if (some == 6) {
          esp_block(6, g, out_c, weights, stride, dx, in_c, &to);
        } else if (some == 4) {
          esp_block(4, g, out_c, weights, stride, dx, in_c, &to);
        } else {
          esp_block(1, g, out_c, weights, stride, dx, in_c, &to);
        }
      }
      c += 4;
    }
  }
}
