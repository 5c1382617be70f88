#include "espalier_runtime.h"

/* dL/dq of the features, per int8 unit. */
ESP_KERNEL void esp_head_input_gradient(const esp_head* d, const float* logit_gradient,
                                        const float* weights, float* gradient) {
  int32_t f, k;
  for (f = 0; f < d->features; ++f) {
    float sum = 0.0f;
    for (k = 0; k < d->classes; ++k) sum += logit_gradient[k] * weights[k * d->features + f];
    gradient[f] = sum * d->scale;
  }
}
