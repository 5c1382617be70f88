#include "esp_depthwise_rows.h"
#include "espalier_runtime.h"

/* A depthwise convolution, one channel after the other through `plane`, a copy of the channel with
 * its padding. With stride 1 and equal extents y may be x itself. */
ESP_KERNEL void esp_depthwise_forward(const esp_conv* d, const int8_t* x, const esp_weights* w,
                                      const esp_requantization* q, int8_t* y, uint8_t* mask,
                                      int8_t* plane) {
  const int32_t channels = d->in_c, in_w = d->in_w;
  const int32_t width = esp_plane_extent(in_w, d->pad_left, d->out_w, d->stride_w, d->kernel_w);
  const int32_t height = esp_plane_extent(d->in_h, d->pad_top, d->out_h, d->stride_h, d->kernel_h);
  int32_t c, iy, ix, next = 0;
  memset(plane, d->in_zero, (size_t)(width * height + ESP_PLANE_SLACK));
  for (c = 0; c < channels; ++c) {
    const esp_filter f = esp_filter_of(d, w, q, c, &next);
    const int8_t* from = x + c;
    int8_t* to = plane + d->pad_top * width + d->pad_left;
    for (iy = 0; iy < d->in_h; ++iy, to += width - in_w) {
      for (ix = 0; ix < in_w; ++ix, from += channels) *to++ = *from;
    }
    esp_depthwise_rows(d, &f, plane, width, d->out_h, y, mask, c);
  }
}
