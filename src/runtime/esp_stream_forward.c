#include "espalier_runtime.h"

/* A 1x1 convolution of stride 1 and the depthwise convolution behind it, row by row: of the map
 * between the two only the last kernel_h rows exist, in `rows` of kernel_h * width * channels. */
ESP_KERNEL void esp_stream_forward(const esp_conv* d1, const int8_t* x, const esp_weights* w1,
                                   const esp_requantization* q1, uint8_t* mask1, const esp_conv* d2,
                                   const esp_weights* w2, const esp_requantization* q2, int8_t* y,
                                   uint8_t* mask2, int8_t* rows) {
  const int32_t channels = d1->out_c, row = d1->out_w * channels;
  const int32_t taps = d2->kernel_h * d2->kernel_w;
  int32_t oy, ox, o, c, p, ky, kx, made = 0, i = 0;
  for (oy = 0; oy < d2->out_h; ++oy) {
    const int32_t top = oy * d2->stride_h - d2->pad_top;
    const int32_t end = top + d2->kernel_h < d2->in_h ? top + d2->kernel_h : d2->in_h;
    int32_t next = 0;
    for (; made < end; ++made) {
      int8_t* out = rows + made % d2->kernel_h * row;
      for (p = 0; p < d1->out_w; ++p) {
        const int8_t* pixel = x + (made * d1->in_w + p) * d1->in_c;
        for (o = 0; o < channels; ++o) {
          const int8_t* weights = w1->full + o * d1->in_c;
          int32_t acc = 0;
          for (c = 0; c < d1->in_c; ++c) acc += (pixel[c] - d1->in_zero) * weights[c];
          if (w1->count) {
            weights = w1->trained + o * w1->count;
            for (c = 0; c < w1->count; ++c) {
              acc += (pixel[w1->channels[c]] - d1->in_zero) * weights[c];
            }
          }
          *out++ = esp_clamp(esp_requantize(esp_saturating_add(acc, q1->bias[o]), q1->multiplier[o],
                                            q1->shift[o], d1->out_zero),
                             d1->low, d1->high, mask1, (made * d1->out_w + p) * channels + o,
                             d1->mask_bits);
        }
      }
    }
    for (c = 0; c < channels; ++c) {
      const int8_t* weights = w2->full + c * taps;
      if (next < w2->count && w2->channels[next] == c) weights = w2->trained + next++ * taps;
      for (ox = 0; ox < d2->out_w; ++ox) {
        const int32_t left = ox * d2->stride_w - d2->pad_left;
        int32_t acc = 0;
        for (ky = 0; ky < d2->kernel_h; ++ky) {
          const int32_t iy = top + ky;
          const int8_t* line = rows + (iy < 0 ? 0 : iy % d2->kernel_h) * row + c;
          if (iy < 0 || iy >= d2->in_h) continue;
          for (kx = 0; kx < d2->kernel_w; ++kx) {
            const int32_t ix = left + kx;
            if (ix < 0 || ix >= d2->in_w) continue;
            acc += (line[ix * channels] - d2->in_zero) * weights[ky * d2->kernel_w + kx];
          }
        }
        i = (oy * d2->out_w + ox) * channels + c;
        y[i] = esp_clamp(esp_requantize(esp_saturating_add(acc, q2->bias[c]), q2->multiplier[c],
                                        q2->shift[c], d2->out_zero),
                         d2->low, d2->high, mask2, i, d2->mask_bits);
      }
    }
  }
}
