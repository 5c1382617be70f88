#include "espalier_runtime.h"

/* dL/dw of any convolution but a depthwise one: g correlated with x - zero, over the pixels in row
 * order. `x` holds `count` channels, those of `channels`, or when that is null all of them. */
ESP_KERNEL void esp_weight_gradient(const esp_conv* d, const float* g, const int8_t* x,
                                    const int16_t* channels, int32_t count,
                                    const esp_weight_sink* sink) {
  const int32_t per_group = d->in_c / d->groups, out_per_group = d->out_c / d->groups;
  const int32_t width = channels ? count : per_group, stride = channels ? count : d->in_c;
  const int32_t taps = d->kernel_h * d->kernel_w;
  const uint32_t key = sink->sgd ? esp_tensor_key(sink->sgd, sink->tensor) : 0;
  int32_t o, ky, kx, c, j, oy, ox;
  for (o = 0; o < d->out_c; ++o) {
    const int32_t first = channels ? 0 : o / out_per_group * per_group;
    for (ky = 0; ky < d->kernel_h; ++ky) {
      for (kx = 0; kx < d->kernel_w; ++kx) {
        const int32_t row = o * taps + ky * d->kernel_w + kx;
        for (c = 0; c < width; c += 8) {
          const int32_t lanes = width - c < 8 ? width - c : 8;
          float sum[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
          for (oy = 0; oy < d->out_h; ++oy) {
            const int32_t iy = oy * d->stride_h - d->pad_top + ky * (1 + d->gap_h);
            if (iy < 0 || iy >= d->in_h) continue;
            for (ox = 0; ox < d->out_w; ++ox) {
              const int32_t ix = ox * d->stride_w - d->pad_left + kx * (1 + d->gap_w);
              const float gradient = g[(oy * d->out_w + ox) * d->out_c + o];
              const int8_t* pixel = x + (iy * d->in_w + ix) * stride + first + c;
              if (ix < 0 || ix >= d->in_w) continue;
              if (lanes == 8) {
                for (j = 0; j < 8; ++j) sum[j] += gradient * (float)(pixel[j] - d->in_zero);
              } else {
                for (j = 0; j < lanes; ++j) sum[j] += gradient * (float)(pixel[j] - d->in_zero);
              }
            }
          }
          for (j = 0; j < lanes; ++j) {
            esp_sink_weight(sink, key, row * width + c + j,
                            row * per_group + (channels ? channels[c + j] : c + j), o, sum[j]);
          }
        }
      }
    }
  }
}
