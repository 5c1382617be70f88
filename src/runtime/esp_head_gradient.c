#include "espalier_runtime.h"

/* Gradients of the classifier, stored or added. */
ESP_KERNEL void esp_head_gradient(const esp_head* d, const float* logit_gradient,
                                  const int8_t* features, float* weights, float* bias,
                                  int32_t add) {
  int32_t k, f;
  for (k = 0; k < d->classes; ++k, weights += d->features) {
    for (f = 0; f < d->features; ++f) {
      const float g = logit_gradient[k] * ((float)(features[f] - d->zero) * d->scale);
      weights[f] = add ? weights[f] + g : g;
    }
    bias[k] = add ? bias[k] + logit_gradient[k] : logit_gradient[k];
  }
}
