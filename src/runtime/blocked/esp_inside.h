#ifndef ESP_INSIDE_H
#define ESP_INSIDE_H

#include "esp_blocking.h"

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

#endif
