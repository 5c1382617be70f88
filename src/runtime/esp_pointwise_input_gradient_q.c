#include "espalier_integer.h"

/* dL/dx of a 1x1 convolution of stride 1: sums over the outputs. `dx` may be
 * `addend`, which may be null. */
ESP_KERNEL void ESP_Q(esp_pointwise_input_gradient)(const esp_conv* d, const esp_q* g,
                                                    const esp_weights* w, const esp_q* addend,
                                                    esp_q* dx, const esp_q_sink* sink) {
  const int32_t pixels = d->in_h * d->in_w, in_c = d->in_c, out_c = d->out_c;
  const esp_q_target target = esp_q_target_of(sink, 0);
  uint32_t all = 0;
  int32_t p, o, c;
  for (p = 0; p < pixels; ++p, g += out_c) {
    int32_t next = 0;
    for (c = 0; c < in_c; ++c) {
      const int32_t trained = next < w->count && w->channels[next] == c;
      const int8_t* weights = trained ? w->trained + next : w->full + c;
      const int32_t stride = trained ? w->count : in_c;
      esp_q_sum sum = 0;
      next += trained;
      for (o = 0; o < out_c; ++o) sum += (esp_q_sum)g[o] * weights[o * stride];
      dx[p * in_c + c] = esp_q_value(&target, addend, p * in_c + c, c, sum, &all);
    }
  }
  esp_q_note(sink->range, all);
}
