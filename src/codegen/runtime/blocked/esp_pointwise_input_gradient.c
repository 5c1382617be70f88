#include "espalier_runtime.h"

/* One output gradient into four pixels of one input. */
#define ESP_COLUMN(j)                \
  do {                               \
    const float v = (float)w##j[at]; \
    p0##j += g0 * v;                 \
    p1##j += g1 * v;                 \
    p2##j += g2 * v;                 \
    p3##j += g3 * v;                 \
  } while (0)

static inline void esp_put4(float* dx, float v0, float v1, float v2, float v3, int32_t count,
                            int32_t add) {
  if (add) {
    v0 += dx[0];
    if (count > 1) v1 += dx[1];
    if (count > 2) v2 += dx[2];
    if (count > 3) v3 += dx[3];
  }
  dx[0] = v0;
  if (count > 1) dx[1] = v1;
  if (count > 2) dx[2] = v2;
  if (count > 3) dx[3] = v3;
}

/* dL/dx of a 1x1 convolution of stride 1: g times the weights, over the outputs in order; stored or
 * added. Four pixels by four inputs at a time, in named scalars. */
ESP_KERNEL void esp_pointwise_input_gradient(const esp_conv* d, const float* g,
                                             const esp_weights* w, float* dx, int32_t add) {
  const int32_t pixels = d->in_h * d->in_w, in_c = d->in_c, out_c = d->out_c;
  int32_t p, o, c, i, j;
  for (p = 0; p < pixels; p += 4) {
    const int32_t rows = pixels - p < 4 ? pixels - p : 4;
    for (c = 0; c < in_c; c += 4) {
      const int32_t count = in_c - c < 4 ? in_c - c : 4;
      /* what lies past the end repeats the last, and is not stored */
      const float *r0 = g + p * out_c, *r1 = rows > 1 ? r0 + out_c : r0;
      const float *r2 = rows > 2 ? r1 + out_c : r1, *r3 = rows > 3 ? r2 + out_c : r2;
      const int8_t *w0 = w->full + c, *w1 = count > 1 ? w0 + 1 : w0;
      const int8_t *w2 = count > 2 ? w1 + 1 : w1, *w3 = count > 3 ? w2 + 1 : w2;
      float p00 = 0, p01 = 0, p02 = 0, p03 = 0, p10 = 0, p11 = 0, p12 = 0, p13 = 0;
      float p20 = 0, p21 = 0, p22 = 0, p23 = 0, p30 = 0, p31 = 0, p32 = 0, p33 = 0;
      float* out = dx + p * in_c + c;
      int32_t at = 0;
      for (o = 0; o < out_c; ++o, at += in_c) {
        const float g0 = r0[o], g1 = r1[o], g2 = r2[o], g3 = r3[o];
        ESP_COLUMN(0);
        ESP_COLUMN(1);
        ESP_COLUMN(2);
        ESP_COLUMN(3);
      }
      esp_put4(out, p00, p01, p02, p03, count, add);
      if (rows > 1) esp_put4(out + in_c, p10, p11, p12, p13, count, add);
      if (rows > 2) esp_put4(out + 2 * in_c, p20, p21, p22, p23, count, add);
      if (rows > 3) esp_put4(out + 3 * in_c, p30, p31, p32, p33, count, add);
    }
    /* the weights of trained channels were zero above, and added nothing */
    for (i = 0; i < rows && w->count; ++i) {
      const float* row = g + (p + i) * out_c;
      for (j = 0; j < w->count; ++j) {
        float sum = 0.0f;
        for (o = 0; o < out_c; ++o) sum += row[o] * (float)w->trained[o * w->count + j];
        c = (p + i) * in_c + w->channels[j];
        dx[c] = add ? dx[c] + sum : sum;
      }
    }
  }
}
#undef ESP_COLUMN
