#include "esp_blocking.h"
#include "esp_depthwise_rows.h"
#include "esp_integer_blocks.h"
#include "espalier_runtime.h"

/* A 1x1 convolution of stride 1 and the depthwise convolution behind it, row by row: of the map
 * between the two only the last kernel_h rows exist, in `rows` of kernel_h * width * channels.
 * Behind them lie kernel_h padded rows of one channel; for the dot product these are on the stack,
 * if they are not too long. */
ESP_KERNEL void esp_stream_forward(const esp_conv* d1, const int8_t* x, const esp_weights* w1,
                                   const esp_requantization* q1, uint8_t* mask1, const esp_conv* d2,
                                   const esp_weights* w2, const esp_requantization* q2, int8_t* y,
                                   uint8_t* mask2, int8_t* rows) {
  const int32_t channels = d1->out_c, in_w = d2->in_w, row = in_w * channels;
  const int32_t width = esp_plane_extent(in_w, d2->pad_left, d2->out_w, d2->stride_w, d2->kernel_w);
  int8_t* plane = rows + d2->kernel_h * row;
  int32_t pitch = width, bytes = d2->kernel_h * width + ESP_PLANE_SLACK, dot = 0;
  int32_t kind, oy, c, ky, made = 0;
#ifdef ESP_DOT4
  uint32_t lines[128], spread[ESP_SPREAD_WORDS];
  dot = esp_dot_pitch(d2, (const int8_t*)lines, width, (int32_t)sizeof lines);
  if (dot) plane = (int8_t*)lines, pitch = dot, bytes = (int32_t)sizeof lines;
#else
  const uint32_t* spread = 0;
#endif
  kind = esp_kind_of(d2, dot);
  memset(plane, d2->in_zero, (size_t)bytes);
  for (oy = 0; oy < d2->out_h; ++oy) {
    const int32_t top = oy * d2->stride_h - d2->pad_top;
    const int32_t end = top + d2->kernel_h < d2->in_h ? top + d2->kernel_h : d2->in_h;
    int32_t next = 0;
    for (; made < end; ++made) {
      esp_matrix_product(d1, x + made * in_w * d1->in_c, in_w, d1->in_c, w1, q1,
                         rows + made % d2->kernel_h * row, mask1, made * row);
    }
    for (c = 0; c < channels; ++c) {
      const esp_filter f = esp_filter_of(d2, w2, q2, c, d2->kernel_h * d2->kernel_w, &next);
      int8_t* to = plane + d2->pad_left;
      ESP_ROLLED
      for (ky = 0; ky < d2->kernel_h; ++ky, to += pitch) {
        const int32_t iy = top + ky;
        if (iy >= 0 && iy < d2->in_h) {
          esp_plane_rows(rows + iy % d2->kernel_h * row + c, 1, in_w, 0, channels, to, pitch);
        } else {
          memset(to, d2->in_zero, (size_t)in_w);
        }
      }
#ifdef ESP_DOT4
      esp_spread_kind(&f, kind, d2->kernel_h, 1, spread);
#endif
      esp_depthwise_rows(d2, &f, q2, c, kind, d2->kernel_h, 0, spread, plane, pitch, 1, y, mask2,
                         oy * d2->out_w * channels + c);
    }
  }
}
