/* Temporary memory of the kernels that need some, in bytes: enough for every form of a kernel. */
#ifndef ESPALIER_SCRATCH_H
#define ESPALIER_SCRATCH_H

#include "espalier_runtime.h"

/* Kernels that load words may read past the end of a padded plane. */
#define ESP_SCRATCH_SLACK 8

static inline int64_t esp_taps(const esp_conv* d) { return (int64_t)d->kernel_h * d->kernel_w; }

static inline int64_t esp_plane_width(const esp_conv* d) {
  return esp_plane_extent(d->in_w, d->pad_left, d->out_w, d->stride_w, d->kernel_w);
}

/* The windows of four outputs; grouped convolutions have no patches. */
static inline int64_t esp_conv_forward_scratch(const esp_conv* d) {
  return d->groups == 1 ? 4 * esp_taps(d) * d->in_c : 0;
}

/* One channel with its padding. */
static inline int64_t esp_depthwise_forward_scratch(const esp_conv* d) {
  return esp_plane_width(d) *
             esp_plane_extent(d->in_h, d->pad_top, d->out_h, d->stride_h, d->kernel_h) +
         ESP_SCRATCH_SLACK;
}

/* One channel of the gradient with its padding, the gradients of its taps, the taps. */
static inline int64_t esp_depthwise_backward_scratch(const esp_conv* d) {
  return 4 *
         ((int64_t)(d->in_h + d->kernel_h - 1) * (d->in_w + d->kernel_w - 1) + 4 + 2 * esp_taps(d));
}

/* One channel of a gradient of integers of `bytes` bytes with its padding, in rows of whole words,
 * and the taps. */
static inline int64_t esp_depthwise_backward_q_scratch(const esp_conv* d, int32_t bytes) {
  const int32_t pitch = (d->in_w + d->kernel_w - 1 + 3) & ~3;
  return ((int64_t)(d->in_h + d->kernel_h - 1) * pitch + ESP_SCRATCH_SLACK) * bytes + esp_taps(d);
}

/* Extent of a plane of outputs from which every input of a strided window gathers. */
static inline int64_t esp_gather_extent(int32_t in, int32_t pad, int32_t out, int32_t stride,
                                        int32_t kernel) {
  const int32_t reach = (in - 1 + pad) / stride + 1;
  return (int64_t)(reach > out ? reach : out) + (kernel - 1) / stride + 1;
}

static inline int64_t esp_depthwise_input_gradient_scratch(const esp_conv* d) {
  return 4 * (esp_gather_extent(d->in_h, d->pad_top, d->out_h, d->stride_h, d->kernel_h) *
                  esp_gather_extent(d->in_w, d->pad_left, d->out_w, d->stride_w, d->kernel_w) +
              esp_taps(d));
}

#endif
