#include "espalier_runtime.h"

/* One weight into the sums of four pixels. */
#define ESP_COLUMN(j)                                         \
  do {                                                        \
    const float v = (float)b##j;                              \
    float t0 = g0 * v, t1 = g1 * v, t2 = g2 * v, t3 = g3 * v; \
    ESP_TOGETHER(t0, t1, t2, t3);                             \
    p0##j += t0;                                              \
    p1##j += t1;                                              \
    p2##j += t2;                                              \
    p3##j += t3;                                              \
  } while (0)
/* One output of four pixels with four weights. */
#define ESP_OUTPUT(k)                                                           \
  do {                                                                          \
    const float g0 = r0[k], g1 = r1[k], g2 = r2[k], g3 = r3[k];                 \
    int32_t b0 = weights[0], b1 = weights[1], b2 = weights[2], b3 = weights[3]; \
    ESP_DONE(b0, b1, b2, b3);                                                   \
    ESP_COLUMN(0);                                                              \
    ESP_COLUMN(1);                                                              \
    ESP_COLUMN(2);                                                              \
    ESP_COLUMN(3);                                                              \
    weights += in_c;                                                            \
  } while (0)

ESP_INLINE void esp_put4(float* dx, float v0, float v1, float v2, float v3, int32_t add) {
  dx[0] = add ? dx[0] + v0 : v0;
  dx[1] = add ? dx[1] + v1 : v1;
  dx[2] = add ? dx[2] + v2 : v2;
  dx[3] = add ? dx[3] + v3 : v3;
}

/* One sum, for edges and for trained weights that lie apart. */
ESP_INLINE void esp_put_one(const float* g, const int8_t* weights, int32_t stride, int32_t out_c,
                            float* dx, int32_t add) {
  float sum = 0.0f;
  int32_t o;
  for (o = 0; o < out_c; ++o, weights += stride) sum += g[o] * (float)*weights;
  *dx = add ? *dx + sum : sum;
}

/* dL/dx of a 1x1 convolution of stride 1: g times the weights, over the outputs in order; stored or
 * added. Four pixels by four inputs at a time, in named scalars. */
ESP_KERNEL void esp_pointwise_input_gradient(const esp_conv* d, const float* g,
                                             const esp_weights* w, float* dx, int32_t add) {
  const int32_t pixels = d->in_h * d->in_w, in_c = d->in_c, out_c = d->out_c;
  int32_t p, o, c, i, j;
  for (p = 0; p < pixels; p += 4) {
    const int32_t rows = pixels - p < 4 ? pixels - p : 4;
    const float* from = g + p * out_c;
    float* to = dx + p * in_c;
    for (c = 0; rows == 4 && c + 4 <= in_c; c += 4) {
      const float *r0 = from, *r1 = r0 + out_c, *r2 = r1 + out_c, *r3 = r2 + out_c;
      const int8_t* weights = w->full + c;
      float p00 = 0, p01 = 0, p02 = 0, p03 = 0, p10 = 0, p11 = 0, p12 = 0, p13 = 0;
      float p20 = 0, p21 = 0, p22 = 0, p23 = 0, p30 = 0, p31 = 0, p32 = 0, p33 = 0;
      for (o = 0; o + 4 <= out_c; o += 4, r0 += 4, r1 += 4, r2 += 4, r3 += 4) {
        ESP_OUTPUT(0);
        ESP_OUTPUT(1);
        ESP_OUTPUT(2);
        ESP_OUTPUT(3);
      }
      for (; o < out_c; ++o, ++r0, ++r1, ++r2, ++r3) ESP_OUTPUT(0);
      esp_put4(to + c, p00, p01, p02, p03, add);
      esp_put4(to + c + in_c, p10, p11, p12, p13, add);
      esp_put4(to + c + 2 * in_c, p20, p21, p22, p23, add);
      esp_put4(to + c + 3 * in_c, p30, p31, p32, p33, add);
    }
    for (i = 0; i < rows; ++i) {
      for (j = c; j < in_c; ++j) {
        esp_put_one(from + i * out_c, w->full + j, in_c, out_c, to + i * in_c + j, add);
      }
    }
    /* the weights of trained channels were zero above, and added nothing */
    for (i = 0; i < rows; ++i) {
      for (j = 0; j < w->count; ++j) {
        esp_put_one(from + i * out_c, w->trained + j, w->count, out_c,
                    to + i * in_c + w->channels[j], add);
      }
    }
  }
}
#undef ESP_OUTPUT
#undef ESP_COLUMN
