#ifndef ESP_INSIDE_H
#define ESP_INSIDE_H

#include "esp_blocking.h"
#include "espalier_runtime.h"

/* The outputs whose windows find input `tap` inside: [first, last). */
ESP_INLINE int32_t esp_first_inside(int32_t pad, int32_t tap, int32_t stride) {
  return pad > tap ? (pad - tap + stride - 1) / stride : 0;
}
ESP_INLINE int32_t esp_end_inside(int32_t in, int32_t out, int32_t pad, int32_t tap,
                                  int32_t stride) {
  const int32_t reach = in - 1 + pad - tap; /* the last position, in inputs */
  const int32_t end = reach < 0 ? 0 : reach / stride + 1;
  return end < out ? end : out;
}

/* Where the outputs and inputs of a weight's tap lie in maps whose pixels are `g_step` outputs and
 * `stride` inputs: the first of them, how many, and the steps to the next in a row and, behind the
 * last of a row, to the next row. */
typedef struct {
  int32_t g, x, rows, columns, g_step, x_step, g_row, x_row;
} esp_tap;

ESP_INLINE esp_tap esp_tap_of(const esp_conv* d, int32_t t, int32_t stride) {
  const int32_t row_of_tap = t / d->kernel_w;
  const int32_t ky = row_of_tap * (1 + d->gap_h);
  const int32_t kx = (t - row_of_tap * d->kernel_w) * (1 + d->gap_w);
  const int32_t y0 = esp_first_inside(d->pad_top, ky, d->stride_h);
  const int32_t y1 = esp_end_inside(d->in_h, d->out_h, d->pad_top, ky, d->stride_h);
  const int32_t x0 = esp_first_inside(d->pad_left, kx, d->stride_w);
  const int32_t x1 = esp_end_inside(d->in_w, d->out_w, d->pad_left, kx, d->stride_w);
  const int32_t iy = y0 * d->stride_h - d->pad_top + ky;
  const int32_t ix = x0 * d->stride_w - d->pad_left + kx;
  esp_tap tap;
  tap.g = (y0 * d->out_w + x0) * d->out_c;
  tap.x = (iy * d->in_w + ix) * stride;
  tap.rows = y1 - y0;
  tap.columns = x1 > x0 ? x1 - x0 : 0;
  tap.g_step = d->out_c;
  tap.x_step = d->stride_w * stride;
  tap.g_row = (d->out_w - tap.columns) * d->out_c;
  tap.x_row = (d->stride_h * d->in_w - tap.columns * d->stride_w) * stride;
  if (tap.rows > 0 && tap.g_row == 0 && tap.x_row == 0) {
    tap.columns *= tap.rows; /* whole rows follow each other */
    tap.rows = 1;
  }
  return tap;
}

#endif
