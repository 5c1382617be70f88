#include "esp_q_blocks.h"
#ifdef ESP_DOT4
#include "esp_q_dot_batch.h"
#endif
#include "esp_words.h"

/* Pixels whose sums are formed together; a multiple of two and three. */
#define ESP_BATCH 24

/* dL/dx of a 1x1 convolution of stride 1: sums over the outputs. `dx` may be `addend`, which may be
 * null. Four channels, whose weights are turned round first, by two or three pixels. */
ESP_KERNEL void ESP_Q(esp_pointwise_input_gradient)(const esp_conv* d, const esp_q* g,
                                                    const esp_weights* w, const esp_q* addend,
                                                    esp_q* dx, const esp_q_sink* sink) {
  const int32_t pixels = d->in_h * d->in_w, in_c = d->in_c, out_c = d->out_c;
  const esp_q_target target = esp_q_target_of(sink, 0);
  uint32_t turned[ESP_TURNED / 4];
  esp_q_seen seen = esp_q_seen_by(sink->range);
  esp_q_sum sums[4 * ESP_BATCH];
#ifdef ESP_DOT4
  const int32_t words = ESP_Q_BYTES && esp_words((const int8_t*)g, out_c);
#endif
  int32_t c, p, q, j, o, next = 0;
  for (c = 0; c < in_c; c += 4) {
    const int32_t lanes = in_c - c < 4 ? in_c - c : 4;
    esp_q_scaling scaling[4];
    esp_q_lanes of;
    esp_q_lanes_of(w, c, lanes, in_c, &next, &of);
    ESP_ROLLED
    for (j = 0; j < lanes; ++j) scaling[j] = esp_q_scaling_of(&target, addend, c + j, 0);
    for (p = 0; p < pixels; p += ESP_BATCH) {
      const int32_t batch = pixels - p < ESP_BATCH ? pixels - p : ESP_BATCH;
      esp_fill(sums, 0, (int32_t)sizeof sums);
      for (o = 0; o < out_c; o += ESP_TURNED / 4) {
        const int32_t depth = out_c - o < ESP_TURNED / 4 ? out_c - o : ESP_TURNED / 4;
        const int32_t pitch = (depth + 3) & ~3;
        const esp_q* from = g + p * out_c + o;
        if (p == 0 || out_c > ESP_TURNED / 4) {
          esp_turn_weights(&of, lanes, o, depth, pitch, (int8_t*)turned);
        }
#ifdef ESP_DOT4
        if (words) {
          esp_q_dot_batch(from, out_c, batch, (const int8_t*)turned, pitch, depth, 0, 0, sums);
          continue;
        }
#endif
        ESP_ROLLED
        for (q = 0; q < batch; q += 2, from += 2 * out_c) {
          esp_q_rows(from, from + (q + 1 < batch ? out_c : 0), (const int8_t*)turned, pitch, depth,
                     sums + 4 * q);
        }
      }
      ESP_ROLLED
      for (j = 0; j < lanes; ++j) {
        esp_q_column(0, &target, &scaling[j], addend, sums + j, 4, 0, dx, p * in_c + c + j, in_c,
                     c + j, batch, &seen);
      }
    }
  }
  esp_q_note(sink->range, seen.all);
}
