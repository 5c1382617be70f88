#include "espalier_integer.h"

/* dL/dw of a depthwise convolution for the channels that `x` holds; see esp_weight_gradient. */
ESP_KERNEL void ESP_Q(esp_depthwise_weight_gradient)(const esp_conv* d, const esp_q* g,
                                                     const int8_t* x, const int16_t* channels,
                                                     int32_t count,
                                                     const esp_q_parameter_sink* sink) {
  const int32_t width = channels ? count : d->in_c, taps = d->kernel_h * d->kernel_w;
  const uint32_t key = esp_q_key(sink);
  int32_t j, ky, kx, oy, ox;
  for (j = 0; j < width; ++j) {
    const int32_t c = channels ? channels[j] : j;
    for (ky = 0; ky < d->kernel_h; ++ky) {
      for (kx = 0; kx < d->kernel_w; ++kx) {
        const int32_t tap = ky * d->kernel_w + kx;
        esp_q_sum sum = 0;
        for (oy = 0; oy < d->out_h; ++oy) {
          const int32_t iy = oy * d->stride_h - d->pad_top + ky;
          if (iy < 0 || iy >= d->in_h) continue;
          for (ox = 0; ox < d->out_w; ++ox) {
            const int32_t ix = ox * d->stride_w - d->pad_left + kx;
            if (ix < 0 || ix >= d->in_w) continue;
            sum += (esp_q_sum)g[(oy * d->out_w + ox) * d->out_c + c] *
                   (x[(iy * d->in_w + ix) * width + j] - d->in_zero);
          }
        }
        esp_q_sink_weight(sink, key, j * taps + tap, c * taps + tap, c, sum);
      }
    }
  }
}
