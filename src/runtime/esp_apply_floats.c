#include "espalier_runtime.h"

/* SGD of float parameters from their gradients. */
ESP_KERNEL void esp_apply_floats(int32_t count, const float* gradient, float* parameters,
                                 const esp_sgd* sgd) {
  int32_t i;
  for (i = 0; i < count; ++i) parameters[i] -= sgd->rate * gradient[i];
}
