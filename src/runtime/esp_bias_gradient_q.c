#include "espalier_integer.h"

/* dL/db: the sum of g over the pixels. */
ESP_KERNEL void ESP_Q(esp_bias_gradient)(int32_t pixels, int32_t channels, const esp_q* g,
                                         const esp_q_parameter_sink* sink) {
  const uint32_t key = esp_q_key(sink);
  int32_t p, c;
  for (c = 0; c < channels; ++c) {
    esp_q_sum sum = 0;
    for (p = 0; p < pixels; ++p) sum += g[p * channels + c];
    esp_q_sink_bias(sink, key, c, sum);
  }
}
