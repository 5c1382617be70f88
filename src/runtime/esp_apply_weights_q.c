#include "espalier_integer.h"

/* SGD of the trained weights from the sums of their gradients; see esp_apply_weights for
 * `channels`, `count` and `compact`. */
ESP_KERNEL void ESP_Q(esp_apply_weights)(const esp_conv* d, const int16_t* channels, int32_t count,
                                         int32_t compact, const esp_q_parameter_sink* sink) {
  const int32_t taps = d->kernel_h * d->kernel_w, exponent = esp_q_exponent(sink);
  const uint32_t key = esp_q_key(sink);
  uint32_t all = 0;
  int32_t o, t, j;
  if (d->groups == d->in_c && d->groups > 1) {
    const int32_t width = channels ? count : d->in_c;
    const int32_t each = taps * (d->out_c / d->groups);
    for (j = 0; j < width; ++j) {
      const int32_t c = channels ? channels[j] : j;
      for (t = 0; t < each; ++t) {
        const int32_t at = (compact ? j : c) * each + t, index = c * each + t;
        all |= esp_q_magnitude(sink->sum[at]);
        sink->weights[at] =
            esp_q_step_weight(sink, sink->weights[at], sink->sum[at],
                              esp_q_pace_of(sink, exponent, index / taps), key + (uint32_t)index);
      }
    }
  } else {
    const int32_t per_group = d->in_c / d->groups;
    const int32_t width = channels ? count : per_group;
    for (o = 0; o < d->out_c; ++o) {
      const esp_q_pace pace = esp_q_pace_of(sink, exponent, o);
      const int32_t first = o / (d->out_c / d->groups) * per_group;
      for (t = 0; t < taps; ++t) {
        for (j = 0; j < width; ++j) {
          const int32_t c = channels ? channels[j] - first : j;
          const int32_t row = o * taps + t;
          const int32_t at = compact ? row * count + j : row * per_group + c;
          if (c < 0 || c >= per_group) continue;
          all |= esp_q_magnitude(sink->sum[at]);
          sink->weights[at] = esp_q_step_weight(sink, sink->weights[at], sink->sum[at], pace,
                                                key + (uint32_t)(row * per_group + c));
        }
      }
    }
  }
  esp_q_rescale_sums(sink, all);
}
