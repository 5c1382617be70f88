#include "esp_depthwise_rows.h"
#include "espalier_runtime.h"

/* A depthwise convolution, one channel after the other through `plane`, a copy of the channel with
 * its padding. With stride 1 and equal extents y may be x itself. Rows for the dot product begin on
 * word boundaries; a small plane is then on the stack, and where the other has no room for all rows
 * they pass through it in bands. */
ESP_KERNEL void esp_depthwise_forward(const esp_conv* d, const int8_t* x, const esp_weights* w,
                                      const esp_requantization* q, int8_t* y, uint8_t* mask,
                                      int8_t* plane) {
  const int32_t channels = d->in_c, in_w = d->in_w, stride = d->stride_h, kernel_h = d->kernel_h;
  const int32_t width = esp_plane_extent(in_w, d->pad_left, d->out_w, d->stride_w, d->kernel_w);
  const int32_t height = esp_plane_extent(d->in_h, d->pad_top, d->out_h, stride, kernel_h);
  int32_t bytes = width * height + ESP_PLANE_SLACK;
  int32_t pitch = width, room = height, dot = 0, most, c, next = 0;
#ifdef ESP_DOT4
  uint32_t small[128];
  if (height * ((width + 3) & ~3) + 4 <= (int32_t)sizeof small) {
    plane = (int8_t*)small;
    bytes = (int32_t)sizeof small;
  }
  dot = esp_dot_pitch(d, plane, width, bytes);
  if (dot) pitch = dot;
  if (dot && height * pitch + 4 > bytes) room = (bytes - 4) / pitch;
#endif
  most = (room - kernel_h) / stride + 1;
  memset(plane, d->in_zero, (size_t)bytes);
  for (c = 0; c < channels; ++c) {
    const esp_filter f = esp_filter_of(d, w, q, c, &next);
    esp_place at = {0, y, mask};
    int32_t oy = 0, have = 0; /* rows that the last band has left */
    for (;;) {
      const int32_t rows = most < d->out_h - oy ? most : d->out_h - oy;
      const int32_t need = (rows - 1) * stride + kernel_h;
      /* rows of the map that the band lacks */
      const int32_t top = oy * stride - d->pad_top;
      const int32_t first = top + have > 0 ? top + have : 0;
      const int32_t end = top + need < d->in_h ? top + need : d->in_h;
#ifdef ESP_DOT4
      /* with room for all rows padding stays */
      for (; room < height && have < need; ++have) {
        if (top + have < 0 || top + have >= d->in_h) {
          esp_fill_words(plane + have * pitch, pitch, d->in_zero);
        }
      }
#endif
      esp_plane_rows(x + first * in_w * channels + c, end - first, in_w, channels,
                     plane + (first - top) * pitch + d->pad_left, pitch);
      at.to = y + oy * d->out_w * channels + c;
      esp_depthwise_rows(d, &f, q, c, plane, pitch, dot, rows, at);
      oy += rows;
      if (oy >= d->out_h) break;
#ifdef ESP_DOT4
      have = need - rows * stride;
      esp_copy_words(plane, plane + rows * stride * pitch, have * pitch);
#endif
    }
  }
}
