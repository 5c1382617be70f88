#ifndef ESP_DEPTHWISE_SUMS_H
#define ESP_DEPTHWISE_SUMS_H

#include "esp_blocking.h"
#include "esp_filter.h"
#include "esp_helium.h"

/* Sums of a 3x3 of stride 1 for pairs of rows of `width` outputs, four neighbours in each at a
 * time, so that four inputs serve two rows. */
ESP_INLINE void esp_sums_3x3(const esp_filter* f, const int8_t* plane, int32_t pitch, int32_t pairs,
                             int32_t width, int32_t* sums) {
  const int8_t* w = f->weights;
  const int32_t w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3], w4 = w[4], w5 = w[5];
  const int32_t w6 = w[6], w7 = w[7], w8 = w[8];
/* A row of inputs: what they are in the first row of outputs, and what in the second. */
#define ESP_INPUTS(r) \
  (x0 = esp_widen_ints(r), x1 = esp_widen_ints((r) + 1), x2 = esp_widen_ints((r) + 2))
#define ESP_ADD(a, u, v, w) \
  (a = esp_mac_all(a, x0, u), a = esp_mac_all(a, x1, v), a = esp_mac_all(a, x2, w))
  ESP_ROLLED
  for (; pairs > 0; --pairs, plane += 2 * pitch - width, sums += width) {
    const int8_t* end = plane + width;
    ESP_ROLLED
    for (; plane != end; plane += 4, sums += 4) {
      esp_ints a = esp_all_ints(0), b = a, x0, x1, x2;
      const int8_t* r = plane;
      ESP_INPUTS(r);
      ESP_ADD(a, w0, w1, w2);
      r += pitch;
      ESP_INPUTS(r);
      ESP_ADD(a, w3, w4, w5);
      ESP_ADD(b, w0, w1, w2);
      r += pitch;
      ESP_INPUTS(r);
      ESP_ADD(a, w6, w7, w8);
      ESP_ADD(b, w3, w4, w5);
      r += pitch;
      ESP_INPUTS(r);
      ESP_ADD(b, w6, w7, w8);
      esp_store_ints(sums, a);
      esp_store_ints(sums + width, b);
    }
  }
#undef ESP_INPUTS
#undef ESP_ADD
}

/* Sums of rows of `width` outputs, four at a time. The kernel's width and its stride are known at
 * compile time. */
ESP_INLINE void esp_sums(const esp_filter* f, const int8_t* plane, int32_t pitch, int32_t kernel_w,
                         int32_t kernel_h, int32_t stride, int32_t rows, int32_t width,
                         int32_t* sums) {
  int32_t ky, left;
  ESP_ROLLED
  for (; rows > 0; --rows, plane += stride * (pitch - width)) {
    ESP_ROLLED
    for (left = width; left > 0;) {
      const int32_t now = left < 4 ? left : 4; /* of stride 2, otherwise four */
      const int8_t *r = plane, *w = f->weights;
      esp_ints a = esp_all_ints(0);
#define ESP_TAP(k) \
  (a = esp_mac_all(a, stride == 1 ? esp_widen_ints(r + (k)) : esp_widen_others(r + (k), now), w[k]))
      ESP_ROLLED
      for (ky = kernel_h; ky > 0; --ky, r += pitch, w += kernel_w) {
        ESP_TAP(0);
        ESP_TAP(1);
        ESP_TAP(2);
        if (kernel_w > 3) ESP_TAP(3);
        if (kernel_w > 4) ESP_TAP(4);
        if (kernel_w > 5) ESP_TAP(5);
        if (kernel_w > 6) ESP_TAP(6);
      }
#undef ESP_TAP
      if (stride == 1) {
        esp_store_ints(sums, a);
      } else {
        esp_store_some_ints(sums, a, now);
      }
      plane += stride * now, sums += now, left -= now;
    }
  }
}

#endif
