#include "esp_blocking.h"
#include "esp_depthwise_rows.h"
#include "esp_words.h"
#include "espalier_runtime.h"

/* How the rows of a channel pass through the plane. */
typedef struct {
  int8_t* plane;
  int32_t pitch, batch, bands;
} esp_passage;

/* All channels. The kind of kernel, its height and whether rows are of whole strips and not too
 * long for their sums may be known at compile time. */
ESP_INLINE void esp_depthwise_channels(const esp_conv* d, const int8_t* x, const esp_weights* w,
                                       const esp_requantization* q, int8_t* y, uint8_t* mask,
                                       int32_t kind, int32_t kernel_h, int32_t whole,
                                       esp_passage by) {
  const int32_t channels = d->in_c, in_w = d->in_w, stride = d->stride_h;
  const int32_t taps = kernel_h * (kind ? kind & 15 : d->kernel_w);
  int32_t c, next = 0;
#ifdef ESP_DOT4
  uint32_t spread[ESP_SPREAD_WORDS];
#else
  const uint32_t* spread = 0;
#endif
  for (c = 0; c < channels; ++c) {
    esp_filter f;
    const int8_t* window = by.plane;
    int32_t oy = 0, i = c;
#ifdef ESP_DOT4
    int32_t have = 0; /* rows that the last band has left */
    if (!by.bands)
#endif
      esp_plane_rows(x + c, d->in_h, in_w, whole, channels,
                     by.plane + d->pad_top * by.pitch + d->pad_left, by.pitch);
    f = esp_filter_of(d, w, q, c, taps, &next);
#ifdef ESP_DOT4
    esp_spread_kind(&f, kind, kernel_h, d->out_h | by.batch, spread);
#endif
    for (;;) {
      const int32_t rows = d->out_h - oy < by.batch ? d->out_h - oy : by.batch;
#ifdef ESP_DOT4
      if (by.bands) {
        const int32_t need = (rows - 1) * stride + kernel_h, top = oy * stride - d->pad_top;
        ESP_ROLLED
        for (; have < need; ++have) {
          int8_t* to = by.plane + have * by.pitch;
          if (top + have < 0 || top + have >= d->in_h) {
            esp_fill_words(to, by.pitch, d->in_zero);
          } else {
            esp_plane_rows(x + (top + have) * in_w * channels + c, 1, in_w, whole, channels,
                           to + d->pad_left, by.pitch);
          }
        }
      }
#endif
      esp_depthwise_rows(d, &f, q, c, kind, kernel_h, whole, spread, window, by.pitch, rows, y,
                         mask, i);
      oy += rows;
      if (oy >= d->out_h) break;
      i += rows * d->out_w * channels;
#ifdef ESP_DOT4
      if (by.bands) {
        have -= rows * stride;
        esp_copy_words(by.plane, by.plane + rows * stride * by.pitch, have * by.pitch);
        continue;
      }
#endif
      window += rows * stride * by.pitch;
    }
  }
}

/* A depthwise convolution, one channel after the other through `plane`, a copy of the channel with
 * its padding. With stride 1 and equal extents y may be x itself. Rows for the dot product begin on
 * word boundaries; a small plane is then on the stack, and where the other has no room for all rows
 * they pass through it in bands. */
ESP_KERNEL void esp_depthwise_forward(const esp_conv* d, const int8_t* x, const esp_weights* w,
                                      const esp_requantization* q, int8_t* y, uint8_t* mask,
                                      int8_t* plane) {
  const int32_t stride = d->stride_h, kernel_h = d->kernel_h;
  const int32_t width = esp_plane_extent(d->in_w, d->pad_left, d->out_w, d->stride_w, d->kernel_w);
  const int32_t height = esp_plane_extent(d->in_h, d->pad_top, d->out_h, stride, kernel_h);
  int32_t bytes = width * height + ESP_PLANE_SLACK, dot = 0, kind;
  esp_passage by;
#ifdef ESP_DOT4
  uint32_t small[128];
  if (height * ((width + 3) & ~3) + 4 <= (int32_t)sizeof small) {
    plane = (int8_t*)small;
    bytes = (int32_t)sizeof small;
  }
  dot = esp_dot_pitch(d, plane, width, bytes);
#endif
  by.plane = plane;
  by.pitch = dot ? dot : width;
  by.batch = esp_batch_of(d);
  by.bands = dot && height * dot + 4 > bytes;
  if (by.bands) {
    const int32_t most = ((bytes - 4) / dot - kernel_h) / stride + 1;
    if (most < by.batch) by.batch = most;
  }
  kind = esp_kind_of(d, dot);
  esp_fill(plane, d->in_zero, bytes);
  if (kind == 16 + 3 && kernel_h == 3 && d->out_w <= ESP_SUMS / 2 && !((d->out_w | d->in_w) & 3)) {
    /* most layers, for themselves */
    esp_depthwise_channels(d, x, w, q, y, mask, 16 + 3, 3, 1, by);
  } else {
    esp_depthwise_channels(d, x, w, q, y, mask, kind, kernel_h, 0, by);
  }
}
