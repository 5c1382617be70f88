#include "esp_q_blocks.h"
#include "esp_q_keep.h"

/* Sums of four neighbouring channels over the pixels. */
ESP_INLINE void esp_q_four_sums(int32_t pixels, int32_t channels, const esp_q* g, int32_t words,
                                esp_q_sum* sums) {
  esp_q_sum a = 0, b = 0, c = 0, d = 0;
#ifdef ESP_DOT4
  if (words) {
    int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
    ESP_ROLLED
    for (; pixels > 1; pixels -= 2) {
      uint32_t x, y;
      x = esp_word((const int8_t*)g), g += channels;
      y = esp_word((const int8_t*)g), g += channels;
      ESP_DOT_4(a0, a1, a2, a3, x, 1u, 1u << 8, 1u << 16, 1u << 24);
      ESP_DOT_4(a0, a1, a2, a3, y, 1u, 1u << 8, 1u << 16, 1u << 24);
    }
    if (pixels > 0) {
      const uint32_t x = esp_word((const int8_t*)g);
      ESP_DOT_4(a0, a1, a2, a3, x, 1u, 1u << 8, 1u << 16, 1u << 24);
    }
    sums[0] = a0, sums[1] = a1, sums[2] = a2, sums[3] = a3;
    return;
  }
#else
  (void)words;
#endif
  ESP_ROLLED
  for (; pixels > 0; --pixels, g += channels) {
    const int32_t x0 = g[0], x1 = g[1], x2 = g[2], x3 = g[3];
    a += x0;
    b += x1;
    c += x2;
    d += x3;
  }
  sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
}

/* dL/db: the sum of g over the pixels, four channels at a time. */
ESP_KERNEL void ESP_Q(esp_bias_gradient)(int32_t pixels, int32_t channels, const esp_q* g,
                                         const esp_q_parameter_sink* sink) {
  const uint32_t key = esp_q_key(sink);
  const int32_t exponent = sink->sum ? 0 : esp_q_exponent(sink);
  const esp_q_keeping keeping = esp_q_keeping_of(sink, (pixels + 254) / 255);
  int32_t p, c, j, words = 0;
#ifdef ESP_DOT4
  words = ESP_Q_BYTES && esp_words((const int8_t*)g, channels);
#endif
  for (c = 0; c < channels;) {
    const int32_t count = channels - c < 4 ? 1 : 4;
    esp_q_sum sums[4] = {0, 0, 0, 0};
    if (count == 4) {
      esp_q_four_sums(pixels, channels, g + c, words, sums);
    } else {
      ESP_ROLLED
      for (p = 0; p < pixels; ++p) sums[0] += g[p * channels + c];
    }
    if (sink->sum) {
      esp_q_keep_rows(sink, &keeping, c, 0, 1, count, sums);
      c += count;
      continue;
    }
    ESP_ROLLED
    for (j = 0; j < count; ++j, ++c) {
      const esp_q_pace pace = esp_q_pace_of(sink, exponent, c);
      const int32_t quick = esp_q_quick(sink, pace, pixels);
      if (quick) {
        const int32_t step = esp_q_quick_step((int32_t)sums[j], pace.factor, quick,
                                              esp_mix(key + (uint32_t)c));
        sink->bias[c] =
            esp_saturating_add(sink->bias[c], -esp_q_clipped(step, sink->sgd->bias_clip));
      } else {
        esp_q_sink_bias(sink, key, c, sums[j]);
      }
    }
  }
}
