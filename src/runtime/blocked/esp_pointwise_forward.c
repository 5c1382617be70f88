#include "esp_integer_blocks.h"
#include "espalier_runtime.h"

/* A 1x1 convolution of stride 1, four outputs of several pixels at a time. */
ESP_KERNEL void esp_pointwise_forward(const esp_conv* d, const int8_t* x, const esp_weights* w,
                                      const esp_requantization* q, int8_t* y, uint8_t* mask) {
  esp_matrix_product(d, x, d->out_h * d->out_w, d->in_c, w, q, y, mask, 0);
}
