#ifndef ESP_FLOAT_ROWS_H
#define ESP_FLOAT_ROWS_H

#include "esp_blocking.h"
#include "espalier_runtime.h"

#define ESP_FLOAT_TAP(k)                                                                       \
  do {                                                                                         \
    const float wv = w[k];                                                                     \
    float t0 = r[-(k)] * wv, t1 = r[1 - (k)] * wv, t2 = r[2 - (k)] * wv, t3 = r[3 - (k)] * wv; \
    ESP_TOGETHER(t0, t1, t2, t3);                                                              \
    a0 += t0;                                                                                  \
    a1 += t1;                                                                                  \
    a2 += t2;                                                                                  \
    a3 += t3;                                                                                  \
  } while (0)

/* Four neighbouring inputs' gradients of a depthwise convolution of stride 1: taps in order, r the
 * padded row that tap (0, 0) of the first of them meets, earlier rows further down. */
ESP_INLINE void esp_four_gradients(const float* r, int32_t width, const float* w, int32_t kernel_h,
                                   int32_t kernel_w, float out[4]) {
  float a0 = 0.0f, a1 = 0.0f, a2 = 0.0f, a3 = 0.0f;
  int32_t ky, kx;
  for (ky = 0; ky < kernel_h; ++ky, r -= width, w += kernel_w) {
    switch (kernel_w) {
      case 7:
        ESP_FLOAT_TAP(0);
        ESP_FLOAT_TAP(1);
        ESP_FLOAT_TAP(2);
        ESP_FLOAT_TAP(3);
        ESP_FLOAT_TAP(4);
        ESP_FLOAT_TAP(5);
        ESP_FLOAT_TAP(6);
        break;
      case 5:
        ESP_FLOAT_TAP(0);
        ESP_FLOAT_TAP(1);
        ESP_FLOAT_TAP(2);
        ESP_FLOAT_TAP(3);
        ESP_FLOAT_TAP(4);
        break;
      case 3:
        ESP_FLOAT_TAP(0);
        ESP_FLOAT_TAP(1);
        ESP_FLOAT_TAP(2);
        break;
      default:
        for (kx = 0; kx < kernel_w; ++kx) ESP_FLOAT_TAP(kx);
    }
  }
  out[0] = a0;
  out[1] = a1;
  out[2] = a2;
  out[3] = a3;
}

#endif
