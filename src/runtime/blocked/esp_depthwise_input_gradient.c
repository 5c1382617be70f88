#include "esp_blocking.h"
#include "esp_words.h"
#include "espalier_runtime.h"

/* dL/dx of a depthwise convolution, over the taps in order; stored or added. `plane` holds one
 * channel of g with (kernel - 1) / stride zeros around it, then kernel_h * kernel_w floats. Zeros
 * add nothing to a sum. Inputs a stride apart meet the same taps and are taken four at a time. */
ESP_KERNEL void esp_depthwise_input_gradient(const esp_conv* d, const float* g,
                                             const esp_weights* w, float* dx, int32_t add,
                                             float* plane) {
  const int32_t kernel_h = d->kernel_h, kernel_w = d->kernel_w, taps = kernel_h * kernel_w;
  const int32_t sh = d->stride_h, sw = d->stride_w, channels = d->in_c, in_w = d->in_w;
  const int32_t edge_h = (kernel_h - 1) / sh + 1, edge_w = (kernel_w - 1) / sw + 1;
  /* inputs past the last window reach outputs that do not exist */
  const int32_t last_y = (d->in_h - 1 + d->pad_top) / sh, last_x = (in_w - 1 + d->pad_left) / sw;
  const int32_t rows = (last_y + 1 > d->out_h ? last_y + 1 : d->out_h) + edge_h;
  const int32_t width = (last_x + 1 > d->out_w ? last_x + 1 : d->out_w) + edge_w;
  const int32_t top_y = d->pad_top % sh, top_base = d->pad_top / sh + edge_h;
  const int32_t left_x = d->pad_left % sw, left_base = d->pad_left / sw + edge_w;
  const int32_t each = in_w / sw, rest = in_w % sw, step = sw * channels;
  float* filter = plane + rows * width;
  int32_t c, iy, i, oy, ox, kx, left, t, next = 0;
  esp_fill(plane, 0, (rows * width) * (int32_t)sizeof *plane);
  for (c = 0; c < channels; ++c) {
    const int8_t* weights = w->full + c * taps;
    /* the first tap that meets a row, and the row of outputs that it does so with */
    int32_t first_y = top_y, base_y = top_base;
    if (next < w->count && w->channels[next] == c) weights = w->trained + next++ * taps;
    ESP_ROLLED
    for (t = 0; t < taps; ++t) filter[t] = (float)weights[t];
    for (oy = 0; oy < d->out_h; ++oy) {
      const float* from = g + oy * d->out_w * channels + c;
      float* to = plane + (oy + edge_h) * width + edge_w;
      ESP_ROLLED
      for (ox = 0; ox < d->out_w; ++ox, from += channels) to[ox] = *from;
    }
    for (iy = 0; iy < d->in_h; ++iy) {
      int32_t first_x = left_x, base_x = left_base;
      for (i = 0; i < sw && i < in_w; ++i) {
        const float* row = plane + base_y * width + base_x;
        float* out = dx + (iy * in_w + i) * channels + c;
        ESP_ROLLED
        for (left = each + (i < rest); left > 0; left -= 4, row += 4) {
          /* neighbours, or where there are none that input again */
          const int32_t n1 = left > 1, n2 = n1 + (left > 2), n3 = n2 + (left > 3);
          const float *r = row, *f = filter + first_y * kernel_w + first_x;
          float a0 = 0.0f, a1 = 0.0f, a2 = 0.0f, a3 = 0.0f;
          ESP_ROLLED
          for (t = first_y; t < kernel_h; t += sh, r -= width, f += sh * kernel_w) {
            const float *at = r, *tap = f;
            float x1 = r[n1], x2 = r[n2], x3 = r[n3];
            ESP_ROLLED
            for (kx = first_x; kx < kernel_w; kx += sw, tap += sw, --at) {
              const float x0 = *at, v = *tap;
              float t0 = x0 * v, t1 = x1 * v, t2 = x2 * v, t3 = x3 * v;
              ESP_TOGETHER(t0, t1, t2, t3);
              a0 += t0;
              a1 += t1;
              a2 += t2;
              a3 += t3;
              x3 = x2, x2 = x1, x1 = x0;
            }
          }
          *out = add ? *out + a0 : a0;
          out += step;
          if (left > 1) *out = add ? *out + a1 : a1, out += step;
          if (left > 2) *out = add ? *out + a2 : a2, out += step;
          if (left > 3) *out = add ? *out + a3 : a3, out += step;
        }
        if (++first_x == sw) first_x = 0, ++base_x;
      }
      if (++first_y == sh) first_y = 0, ++base_y;
    }
  }
}
