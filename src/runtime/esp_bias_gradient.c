#include "espalier_runtime.h"

/* dL/db: the sum of g over the pixels. */
ESP_KERNEL void esp_bias_gradient(int32_t pixels, int32_t channels, const float* g,
                                  const esp_bias_sink* sink) {
  const uint32_t key = sink->sgd ? esp_tensor_key(sink->sgd, sink->tensor) : 0;
  int32_t p, c;
  for (c = 0; c < channels; ++c) {
    float sum = 0.0f;
    for (p = 0; p < pixels; ++p) sum += g[p * channels + c];
    if (!sink->gradient) {
      sink->bias[c] =
          esp_step_bias(sink->bias[c], sum, sink->scale[c], sink->sgd, key + (uint32_t)c);
    } else {
      sink->gradient[c] = sink->add ? sink->gradient[c] + sum : sum;
    }
  }
}
