#ifndef ESP_DEPTHWISE_SUMS_H
#define ESP_DEPTHWISE_SUMS_H

#include "esp_blocking.h"
#include "esp_dual.h"
#include "esp_filter.h"

/* Every other input is one of a pair, so that a word of inputs, taken apart once, serves two
 * outputs: e0 and o0 are inputs (0, 2) and (1, 3) of a row, e2 and o2 (2, 4) and (3, 5), and so
 * on. */
#define ESP_INPUTS(k)                         \
  do {                                        \
    const uint32_t x = esp_any_word(r + (k)); \
    e##k = esp_even(x), o##k = esp_odd(x);    \
  } while (0)

/* Sums of a 3x3 of stride 1 for pairs of rows of `width` outputs, two neighbours in each at a time,
 * so that an input serves up to four. */
ESP_INLINE void esp_sums_3x3(const esp_filter* f, const int8_t* plane, int32_t pitch, int32_t pairs,
                             int32_t width, int32_t* sums) {
  const int8_t* w = f->weights;
  const uint32_t outer0 = esp_pair(w[0], w[2]), outer1 = esp_pair(w[3], w[5]);
  const uint32_t outer2 = esp_pair(w[6], w[8]);
  const uint32_t inner0 = (uint32_t)w[1], inner1 = (uint32_t)w[4], inner2 = (uint32_t)w[7];
/* A row of weights with the inputs at hand. */
#define ESP_ADD(a, k)                                                             \
  (a##0 = esp_dual(a##0, e0, outer##k), a##0 = esp_mac_lower(a##0, o0, inner##k), \
   a##1 = esp_dual(a##1, o0, outer##k), a##1 = esp_mac_upper(a##1, e0, inner##k))
  ESP_ROLLED
  for (; pairs > 0; --pairs, plane += 2 * pitch - width, sums += width) {
    const int8_t* end = plane + width;
    ESP_ROLLED
    for (; plane != end; plane += 2, sums += 2) {
      const int8_t* r = plane;
      int32_t a0 = 0, a1 = 0, b0 = 0, b1 = 0;
      uint32_t e0, o0;
      ESP_INPUTS(0);
      ESP_ADD(a, 0);
      r += pitch;
      ESP_INPUTS(0);
      ESP_ADD(a, 1);
      ESP_ADD(b, 0);
      r += pitch;
      ESP_INPUTS(0);
      ESP_ADD(a, 2);
      ESP_ADD(b, 1);
      sums[0] = a0, sums[1] = a1;
      r += pitch;
      ESP_INPUTS(0);
      ESP_ADD(b, 2);
      sums[width] = b0, sums[width + 1] = b1;
    }
  }
#undef ESP_ADD
}

/* The weights of a row by place: pairs (0, 2), (1, 3), (4, 6), and what has no partner. */
ESP_INLINE void esp_pair_weights(const int8_t* w, int32_t kernel_w, int32_t kernel_h,
                                 uint32_t* pairs) {
  ESP_ROLLED
  for (; kernel_h > 0; --kernel_h, w += kernel_w) {
    *pairs++ = esp_pair(w[0], w[2]);
    if (kernel_w > 3) *pairs++ = esp_pair(w[1], w[3]);
    if (kernel_w > 5) *pairs++ = esp_pair(w[4], w[6]);
    *pairs++ = (uint32_t)w[kernel_w == 3 ? 1 : kernel_w == 5 ? 4 : 5];
  }
}

/* Sums of rows of `width` outputs, four or two at a time. The kernel's width and its stride are
 * known at compile time. */
ESP_INLINE void esp_sums(const esp_filter* f, const int8_t* plane, int32_t pitch, int32_t kernel_w,
                         int32_t kernel_h, int32_t stride, int32_t rows, int32_t width,
                         int32_t* sums) {
  uint32_t pairs[4 * 7];
  int32_t ky;
  esp_pair_weights(f->weights, kernel_w, kernel_h, pairs);
  ESP_ROLLED
  for (; rows > 0; --rows, plane += stride * (pitch - width)) {
    const int8_t* end = plane + stride * width;
    ESP_ROLLED
    for (; plane != end; plane += 4, sums += 4 / stride) {
      const int8_t* r = plane;
      const uint32_t* w = pairs;
      int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
      ESP_ROLLED
      for (ky = kernel_h; ky > 0; --ky, r += pitch) {
        uint32_t e0, o0, e2, o2, e4 = 0, o4 = 0, e6 = 0, o6 = 0, v;
        ESP_INPUTS(0);
        ESP_INPUTS(2);
        if (kernel_w > 3) ESP_INPUTS(4);
        if (kernel_w > 5) ESP_INPUTS(6);
        (void)o6;
        v = *w++; /* inputs 0 and 2 of each window */
        a0 = esp_dual(a0, e0, v);
        if (stride == 1) {
          a1 = esp_dual(a1, o0, v), a2 = esp_dual(a2, e2, v), a3 = esp_dual(a3, o2, v);
        } else {
          a1 = esp_dual(a1, e2, v);
        }
        if (kernel_w > 3) { /* 1 and 3 */
          v = *w++;
          a0 = esp_dual(a0, o0, v);
          if (stride == 1) {
            a1 = esp_dual(a1, e2, v), a2 = esp_dual(a2, o2, v), a3 = esp_dual(a3, e4, v);
          } else {
            a1 = esp_dual(a1, o2, v);
          }
        }
        if (kernel_w > 5) { /* 4 and 6 */
          v = *w++;
          a0 = esp_dual(a0, e4, v);
          if (stride == 1) {
            a1 = esp_dual(a1, o4, v), a2 = esp_dual(a2, e6, v), a3 = esp_dual(a3, o6, v);
          } else {
            a1 = esp_dual(a1, e6, v);
          }
        }
        v = *w++; /* the one that is left: 1 of 3, 4 of 5, 5 of 7 */
        if (kernel_w == 3) {
          a0 = esp_mac_lower(a0, o0, v);
          if (stride == 1) {
            a1 = esp_mac_upper(a1, e0, v), a2 = esp_mac_lower(a2, o2, v),
            a3 = esp_mac_upper(a3, e2, v);
          } else {
            a1 = esp_mac_upper(a1, o0, v);
          }
        } else if (kernel_w == 5) {
          a0 = esp_mac_lower(a0, e4, v);
          if (stride == 1) {
            a1 = esp_mac_lower(a1, o4, v), a2 = esp_mac_upper(a2, e4, v),
            a3 = esp_mac_upper(a3, o4, v);
          } else {
            a1 = esp_mac_upper(a1, e4, v);
          }
        } else {
          a0 = esp_mac_upper(a0, o2, v);
          if (stride == 1) {
            a1 = esp_mac_upper(a1, e4, v), a2 = esp_mac_upper(a2, o4, v),
            a3 = esp_mac_upper(a3, e6, v);
          } else {
            a1 = esp_mac_upper(a1, o4, v);
          }
        }
      }
      sums[0] = a0;
      sums[1] = a1;
      if (stride == 1) sums[2] = a2, sums[3] = a3;
    }
  }
}
#undef ESP_INPUTS

#endif
