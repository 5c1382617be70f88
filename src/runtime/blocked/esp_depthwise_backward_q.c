#include "esp_q_channel.h"
#include "esp_words.h"

/* dL/dw of one channel: the map of g, rows `pitch` apart, correlated with x - zero. */
ESP_INLINE void esp_q_channel_weights(const esp_conv* d, const esp_q* map, int32_t pitch,
                                      const int8_t* x, int32_t step, int32_t at, int32_t c,
                                      const esp_q_parameter_sink* sink, uint32_t key) {
  const int32_t taps = d->kernel_h * d->kernel_w;
  int32_t t, oy, ox;
  for (t = 0; t < taps; ++t) {
    const int32_t down = t / d->kernel_w - d->pad_top;
    const int32_t right = t - t / d->kernel_w * d->kernel_w - d->pad_left;
    const int32_t x0 = right < 0 ? -right : 0;
    const int32_t x1 = d->in_w - right < d->out_w ? d->in_w - right : d->out_w;
    esp_q_sum sum = 0;
    for (oy = down < 0 ? -down : 0; oy < d->out_h && oy + down < d->in_h; ++oy) {
      const esp_q* g = map + oy * pitch;
      const int8_t* from = x + ((oy + down) * d->in_w + x0 + right) * step;
      ESP_ROLLED
      for (ox = x0; ox < x1; ++ox, from += step) sum += (esp_q_sum)g[ox] * (*from - d->in_zero);
    }
    esp_q_sink_weight(sink, key, at * taps + t, c * taps + t, c, sum);
  }
}

/* Both gradients of a depthwise convolution of stride 1 and equal extents, channel by channel: `dx`
 * may be `g`. `x` may be null when no weights are trained; see esp_depthwise_weight_gradient for
 * `channels` and `count`. `plane` holds a channel with its padding in rows of whole words, 8 more,
 * and the filter. Zeros around the map add nothing to a sum. */
ESP_KERNEL void ESP_Q(esp_depthwise_backward)(const esp_conv* d, const esp_q* g,
                                              const esp_weights* w, const int8_t* x,
                                              const int16_t* channels, int32_t count,
                                              const esp_q_parameter_sink* parameters, esp_q* dx,
                                              const esp_q_sink* sink, esp_q* plane) {
  const int32_t taps = d->kernel_h * d->kernel_w, all_c = d->in_c, in_h = d->in_h, in_w = d->in_w;
  const int32_t pitch = (in_w + d->kernel_w - 1 + 3) & ~3, height = in_h + d->kernel_h - 1;
  const int32_t kept = channels ? count : all_c, whole = (in_w + 3) & ~3;
  const uint32_t key = x ? esp_q_key(parameters) : 0;
  const esp_q_target target = esp_q_target_of(sink, 0);
  esp_q* map = plane + (d->kernel_h - 1 - d->pad_top) * pitch + d->kernel_w - 1 - d->pad_left;
  int8_t* flipped = (int8_t*)(plane + pitch * height + 8);
  const int32_t k = d->kernel_w, batch = whole <= ESP_SUMS ? ESP_SUMS / whole : 1;
  esp_q_channel by;
  esp_q_seen seen = esp_q_seen_by(sink->range);
  esp_q_sum sums[ESP_SUMS];
  int32_t c, iy, t, j = 0, next = 0;
#ifdef ESP_DOT4
  uint32_t spread[ESP_SPREAD_WORDS];
#else
  const uint32_t* spread = 0;
#endif
  by.plane = plane, by.flipped = flipped, by.pitch = pitch;
  by.kernel_h = d->kernel_h, by.kernel_w = k;
  by.dot = ESP_Q_BYTES && (k == 3 || k == 5 || k == 7) && d->kernel_h <= 7 && whole <= ESP_SUMS;
  esp_fill(plane, 0, (pitch * height + 8) * (int32_t)sizeof *plane);
  for (c = 0; c < all_c; ++c) {
    const esp_q_scaling scaling = esp_q_scaling_of(&target, 0, c, 0);
    const int8_t* weights = w->full + c * taps;
    const int32_t trained = x && j < kept && (!channels || channels[j] == c);
    if (next < w->count && w->channels[next] == c) weights = w->trained + next++ * taps;
    for (t = 0; t < taps; ++t) flipped[t] = weights[taps - 1 - t];
    for (iy = 0; iy < in_h; ++iy) {
      esp_q_gather(g + iy * in_w * all_c + c, all_c, in_w, map + iy * pitch);
    }
    if (trained) {
      esp_q_channel_weights(d, map, pitch, x + j, kept, j, c, parameters, key);
      ++j;
    }
#ifdef ESP_DOT4
    if (by.dot) {
      esp_filter f = {0, 0, 0, {0, 0, 0, 0}};
      f.weights = flipped;
      esp_spread_kind(&f, 16 + k, d->kernel_h, 1, spread);
    }
#endif
    for (iy = 0; iy < in_h; iy += batch) {
      const int32_t rows = in_h - iy < batch ? in_h - iy : batch;
      const int32_t step = by.dot ? whole : in_w;
      const int32_t together = step == in_w && in_w <= ESP_SUMS ? rows : 1;
      int32_t row, first = 0, until = in_w;
      do { /* rows that are too long for the sums come in parts */
        if (until - first > ESP_SUMS) until = first + ESP_SUMS;
        esp_q_channel_sums(&by, iy, rows, until - first, spread, sums);
        for (row = 0; row < rows; row += together) {
          esp_q_column(&target, &scaling, 0, sums + row * step, 1, 0, dx,
                       ((iy + row) * in_w + first) * all_c + c, all_c, c,
                       together * (until - first), &seen);
        }
        by.plane += until - first;
        first = until, until = in_w;
      } while (first < in_w);
      by.plane = plane;
    }
  }
  esp_q_note(sink->range, seen.all);
}
