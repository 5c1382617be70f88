#include "espalier_integer.h"

/* SGD of a convolution's biases from the sums of their gradients. */
ESP_KERNEL void ESP_Q(esp_apply_bias)(int32_t channels, const esp_q_parameter_sink* sink) {
  const uint32_t key = esp_q_key(sink);
  const int32_t exponent = esp_q_exponent(sink);
  uint32_t all = 0;
  int32_t c;
  for (c = 0; c < channels; ++c) {
    const int32_t sum = sink->sum[c];
    all |= esp_q_magnitude(sum);
    sink->bias[c] =
        esp_saturating_add(sink->bias[c], -esp_q_step(sink, esp_q_pace_of(sink, exponent, c), sum,
                                                      sink->sgd->bias_clip, key + (uint32_t)c));
  }
  esp_q_rescale_sums(sink, all);
}
