#include "espalier_runtime.h"

/* dL/dx of a depthwise convolution, over the taps in order; stored or added. `plane` holds one
 * channel of g with (kernel - 1) / stride zeros around it, then kernel_h * kernel_w floats. Zeros
 * add nothing to a sum. */
ESP_KERNEL void esp_depthwise_input_gradient(const esp_conv* d, const float* g,
                                             const esp_weights* w, float* dx, int32_t add,
                                             float* plane) {
  const int32_t taps = d->kernel_h * d->kernel_w, channels = d->in_c;
  const int32_t sh = d->stride_h, sw = d->stride_w;
  const int32_t edge_h = (d->kernel_h - 1) / sh + 1, edge_w = (d->kernel_w - 1) / sw + 1;
  /* inputs past the last window reach outputs that do not exist */
  const int32_t last_y = (d->in_h - 1 + d->pad_top) / sh, last_x = (d->in_w - 1 + d->pad_left) / sw;
  const int32_t rows = (last_y + 1 > d->out_h ? last_y + 1 : d->out_h) + edge_h;
  const int32_t width = (last_x + 1 > d->out_w ? last_x + 1 : d->out_w) + edge_w;
  float* filter = plane + rows * width;
  int32_t c, iy, ix, oy, ox, ky, kx, t, next = 0;
  memset(plane, 0, (size_t)(rows * width) * sizeof *plane);
  for (c = 0; c < channels; ++c) {
    const int8_t* weights = w->full + c * taps;
    if (next < w->count && w->channels[next] == c) weights = w->trained + next++ * taps;
    for (t = 0; t < taps; ++t) filter[t] = (float)weights[t];
    for (oy = 0; oy < d->out_h; ++oy) {
      const float* from = g + oy * d->out_w * channels + c;
      float* to = plane + (oy + edge_h) * width + edge_w;
      for (ox = 0; ox < d->out_w; ++ox) to[ox] = from[ox * channels];
    }
    for (iy = 0; iy < d->in_h; ++iy) {
      /* the taps that meet this row: first, first + stride, ... */
      const int32_t first_y = (iy + d->pad_top) % sh, base_y = (iy + d->pad_top) / sh + edge_h;
      for (ix = 0; ix < d->in_w; ++ix) {
        const int32_t first_x = (ix + d->pad_left) % sw;
        const float* r = plane + base_y * width + (ix + d->pad_left) / sw + edge_w;
        float* out = dx + (iy * d->in_w + ix) * channels + c;
        float sum = 0.0f;
        for (ky = first_y; ky < d->kernel_h; ky += sh, r -= width) {
          const float* at = r;
          for (kx = first_x; kx < d->kernel_w; kx += sw)
            sum += *at-- * filter[ky * d->kernel_w + kx];
        }
        *out = add ? *out + sum : sum;
      }
    }
  }
}
