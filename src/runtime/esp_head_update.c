#include "espalier_runtime.h"

/* Gradients of the classifier, applied as they are formed. */
ESP_KERNEL void esp_head_update(const esp_head* d, const float* logit_gradient,
                                const int8_t* features, float* weights, float* bias,
                                const esp_sgd* sgd) {
  int32_t k, f;
  for (k = 0; k < d->classes; ++k, weights += d->features) {
    for (f = 0; f < d->features; ++f) {
      weights[f] -= sgd->rate * (logit_gradient[k] * ((float)(features[f] - d->zero) * d->scale));
    }
    bias[k] -= sgd->rate * logit_gradient[k];
  }
}
