#include "esp_float_rows.h"
#include "esp_words.h"
#include "espalier_runtime.h"

/* Both gradients of a depthwise convolution of stride 1 and equal extents, channel by channel in
 * place: `g` becomes dL/dx. `x` may be null when no weights are trained; see
 * esp_depthwise_weight_gradient for `channels` and `count`. The weights are read before they are
 * stepped. `plane` holds (in_h + kernel_h - 1) * (in_w + kernel_w - 1) floats, 4 more, then twice
 * kernel_h * kernel_w. Zeros around the map add nothing to a sum. */
ESP_KERNEL void esp_depthwise_backward(const esp_conv* d, float* g, const esp_weights* w,
                                       const int8_t* x, const int16_t* channels, int32_t count,
                                       const esp_weight_sink* sink, float* plane) {
  const int32_t taps = d->kernel_h * d->kernel_w, all = d->in_c, in_w = d->in_w, in_h = d->in_h;
  const int32_t width = in_w + d->kernel_w - 1, height = in_h + d->kernel_h - 1;
  const int32_t kept = channels ? count : all;
  const uint32_t key = x && sink->sgd ? esp_tensor_key(sink->sgd, sink->tensor) : 0;
  /* the map lies where tap (0, 0) of input (0, 0) finds output (pad_top, pad_left) at
   * (kernel_h - 1, kernel_w - 1) of the plane */
  float* map = plane + (d->kernel_h - 1 - d->pad_top) * width + d->kernel_w - 1 - d->pad_left;
  const float* corner = plane + (d->kernel_h - 1) * width + d->kernel_w - 1;
  float* row = plane + width * height + 4;
  float* filter = row + taps;
  int32_t c, iy, ix, ky, kx, t, j = 0, next = 0;
  esp_fill(plane, 0, (width * height + 4) * (int32_t)sizeof *plane);
  for (c = 0; c < all; ++c) {
    const int8_t* weights = w->full + c * taps;
    const int32_t trained = x && j < kept && (!channels || channels[j] == c);
    if (next < w->count && w->channels[next] == c) weights = w->trained + next++ * taps;
    for (iy = 0; iy < in_h; ++iy) {
      const float* from = g + iy * in_w * all + c;
      for (ix = 0; ix < in_w; ++ix) map[iy * width + ix] = from[ix * all];
    }
    for (t = 0; t < taps; ++t) filter[t] = (float)weights[t];
    if (trained) {
      for (ky = 0; ky < d->kernel_h; ++ky) {
        for (kx = 0; kx < d->kernel_w; ++kx) {
          float sum = 0.0f;
          for (iy = 0; iy < d->out_h; ++iy) {
            const int32_t y = iy - d->pad_top + ky;
            if (y < 0 || y >= in_h) continue;
            for (ix = 0; ix < d->out_w; ++ix) {
              const int32_t left = ix - d->pad_left + kx;
              if (left < 0 || left >= in_w) continue;
              sum += map[iy * width + ix] * (float)(x[(y * in_w + left) * kept + j] - d->in_zero);
            }
          }
          row[ky * d->kernel_w + kx] = sum;
        }
      }
    }
    for (iy = 0; iy < in_h; ++iy) {
      float* to = g + iy * in_w * all + c;
      for (ix = 0; ix < in_w; ix += 4) {
        float out[4];
        esp_four_gradients(corner + iy * width + ix, width, filter, d->kernel_h, d->kernel_w, out);
        to[ix * all] = out[0];
        if (ix + 1 < in_w) to[(ix + 1) * all] = out[1];
        if (ix + 2 < in_w) to[(ix + 2) * all] = out[2];
        if (ix + 3 < in_w) to[(ix + 3) * all] = out[3];
      }
    }
    if (trained) {
      for (t = 0; t < taps; ++t) {
        esp_sink_weight(sink, key, j * taps + t, c * taps + t, c, row[t]);
      }
      ++j;
    }
  }
}
