#include "espalier_runtime.h"

/* Logits of the classifier; weights [class][feature]. */
ESP_KERNEL void esp_head_forward(const esp_head* d, const int8_t* features, const float* weights,
                                 const float* bias, float* logits) {
  int32_t k, f;
  for (k = 0; k < d->classes; ++k, weights += d->features) {
    float sum = 0.0f;
    for (f = 0; f < d->features; ++f) {
      sum += (float)(features[f] - d->zero) * d->scale * weights[f];
    }
    logits[k] = sum + bias[k];
  }
}
