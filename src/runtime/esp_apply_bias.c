#include "espalier_runtime.h"

/* SGD of a convolution's biases from their gradients. */
ESP_KERNEL void esp_apply_bias(int32_t channels, const float* gradient, int32_t* bias,
                               const float* scale, const esp_sgd* sgd, uint32_t tensor) {
  const uint32_t key = esp_tensor_key(sgd, tensor);
  int32_t c;
  for (c = 0; c < channels; ++c) {
    bias[c] = esp_step_bias(bias[c], gradient[c], scale[c], sgd, key + (uint32_t)c);
  }
}
