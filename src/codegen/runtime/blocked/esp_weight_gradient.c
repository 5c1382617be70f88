#include "espalier_runtime.h"

/* One input into the sums of four outputs. */
#define ESP_INPUT(j)                                          \
  do {                                                        \
    const float v = (float)(b##j - zero);                     \
    float t0 = g0 * v, t1 = g1 * v, t2 = g2 * v, t3 = g3 * v; \
    ESP_TOGETHER(t0, t1, t2, t3);                             \
    s0##j += t0;                                              \
    s1##j += t1;                                              \
    s2##j += t2;                                              \
    s3##j += t3;                                              \
  } while (0)

/* The outputs whose windows find input `tap` inside: [first, last). */
ESP_INLINE int32_t esp_first_inside(int32_t pad, int32_t tap, int32_t stride) {
  return pad > tap ? (pad - tap + stride - 1) / stride : 0;
}
ESP_INLINE int32_t esp_end_inside(int32_t in, int32_t out, int32_t pad, int32_t tap,
                                  int32_t stride) {
  const int32_t reach = in - 1 + pad - tap; /* the last position, in inputs */
  const int32_t end = reach < 0 ? 0 : reach / stride + 1;
  return end < out ? end : out;
}

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
    /* four outputs of one group, or one */
    const int32_t outputs = out_per_group - o % out_per_group >= 4 ? 4 : 1;
    const int32_t first = channels ? 0 : o / out_per_group * per_group;
    for (t = 0; t < taps; ++t) {
      const int32_t ky = t / d->kernel_w, kx = t - ky * d->kernel_w;
      const int32_t y0 = esp_first_inside(d->pad_top, ky, d->stride_h);
      const int32_t y1 = esp_end_inside(d->in_h, d->out_h, d->pad_top, ky, d->stride_h);
      const int32_t x0 = esp_first_inside(d->pad_left, kx, d->stride_w);
      const int32_t x1 = esp_end_inside(d->in_w, d->out_w, d->pad_left, kx, d->stride_w);
      for (c = 0; c < width;) {
        const int32_t inputs = outputs == 4 && width - c >= 4 ? 4 : 1;
        float s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
        float s20 = 0, s21 = 0, s22 = 0, s23 = 0, s30 = 0, s31 = 0, s32 = 0, s33 = 0;
        for (oy = y0; oy < y1; ++oy) {
          const int32_t iy = oy * d->stride_h - d->pad_top + ky;
          const int32_t ix = x0 * d->stride_w - d->pad_left + kx;
          const float* from = g + (oy * d->out_w + x0) * out_c + o;
          const int8_t* pixel = x + (iy * d->in_w + ix) * stride + first + c;
          const int32_t step = d->stride_w * stride;
          if (inputs == 4) {
            for (ox = x0; ox < x1; ++ox, from += out_c, pixel += step) {
              const float g0 = from[0], g1 = from[1], g2 = from[2], g3 = from[3];
              int32_t b0 = pixel[0], b1 = pixel[1], b2 = pixel[2], b3 = pixel[3];
              ESP_DONE(b0, b1, b2, b3);
              ESP_INPUT(0);
              ESP_INPUT(1);
              ESP_INPUT(2);
              ESP_INPUT(3);
            }
          } else {
            for (ox = x0; ox < x1; ++ox, from += out_c, pixel += step) {
              const float v = (float)(pixel[0] - zero);
              s00 += from[0] * v;
              if (outputs == 1) continue;
              s10 += from[1] * v;
              s20 += from[2] * v;
              s30 += from[3] * v;
            }
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
        c += inputs;
      }
    }
    o += outputs;
  }
}
#undef ESP_INPUT
