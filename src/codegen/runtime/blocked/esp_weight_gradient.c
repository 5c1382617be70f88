#include "espalier_runtime.h"

/* One input into four outputs' sums. */
#define ESP_INPUT(j)                         \
  do {                                       \
    const float v = (float)(x##j[0] - zero); \
    s0##j += g0 * v;                         \
    s1##j += g1 * v;                         \
    s2##j += g2 * v;                         \
    s3##j += g3 * v;                         \
  } while (0)

/* dL/dw of any convolution but a depthwise one: g correlated with x - zero, over the pixels in row
 * order. `x` holds `count` channels, those of `channels`, or when that is null all of them. Four
 * outputs by four inputs at a time, in named scalars. */
ESP_KERNEL void esp_weight_gradient(const esp_conv* d, const float* g, const int8_t* x,
                                    const int16_t* channels, int32_t count,
                                    const esp_weight_sink* sink) {
  const int32_t per_group = d->in_c / d->groups, out_per_group = d->out_c / d->groups;
  const int32_t width = channels ? count : per_group, stride = channels ? count : d->in_c;
  const int32_t taps = d->kernel_h * d->kernel_w, out_c = d->out_c, zero = d->in_zero;
  const uint32_t key = sink->sgd ? esp_tensor_key(sink->sgd, sink->tensor) : 0;
  int32_t o, t, c, k, j, oy, ox;
  for (o = 0; o < out_c;) {
    /* up to four outputs of one group */
    const int32_t left = out_per_group - o % out_per_group, outputs = left < 4 ? left : 4;
    const int32_t first = channels ? 0 : o / out_per_group * per_group;
    for (t = 0; t < taps; ++t) {
      const int32_t ky = t / d->kernel_w, kx = t - ky * d->kernel_w;
      for (c = 0; c < width; c += 4) {
        const int32_t inputs = width - c < 4 ? width - c : 4;
        float s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
        float s20 = 0, s21 = 0, s22 = 0, s23 = 0, s30 = 0, s31 = 0, s32 = 0, s33 = 0;
        for (oy = 0; oy < d->out_h; ++oy) {
          const int32_t iy = oy * d->stride_h - d->pad_top + ky;
          if (iy < 0 || iy >= d->in_h) continue;
          for (ox = 0; ox < d->out_w; ++ox) {
            const int32_t ix = ox * d->stride_w - d->pad_left + kx;
            const float* from = g + (oy * d->out_w + ox) * out_c + o;
            const int8_t* x0 = x + (iy * d->in_w + ix) * stride + first + c;
            const int8_t *x1 = inputs > 1 ? x0 + 1 : x0, *x2 = inputs > 2 ? x1 + 1 : x1;
            const int8_t* x3 = inputs > 3 ? x2 + 1 : x2;
            float g0, g1, g2, g3;
            if (ix < 0 || ix >= d->in_w) continue;
            g0 = from[0];
            g1 = outputs > 1 ? from[1] : g0;
            g2 = outputs > 2 ? from[2] : g0;
            g3 = outputs > 3 ? from[3] : g0;
            ESP_INPUT(0);
            ESP_INPUT(1);
            ESP_INPUT(2);
            ESP_INPUT(3);
          }
        }
        for (k = 0; k < outputs; ++k) {
          const int32_t row = (o + k) * taps + t;
          for (j = 0; j < inputs; ++j) {
            const float r0 = j == 0 ? s00 : j == 1 ? s01 : j == 2 ? s02 : s03;
            const float r1 = j == 0 ? s10 : j == 1 ? s11 : j == 2 ? s12 : s13;
            const float r2 = j == 0 ? s20 : j == 1 ? s21 : j == 2 ? s22 : s23;
            const float r3 = j == 0 ? s30 : j == 1 ? s31 : j == 2 ? s32 : s33;
            esp_sink_weight(sink, key, row * width + c + j,
                            row * per_group + (channels ? channels[c + j] : c + j), o + k,
                            k == 0   ? r0
                            : k == 1 ? r1
                            : k == 2 ? r2
                                     : r3);
          }
        }
      }
    }
    o += outputs;
  }
}
#undef ESP_INPUT
