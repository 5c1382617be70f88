#include "esp_q_channel.h"
#include "esp_q_narrow.h"
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

/* Sums of rows of a narrow map from row `iy` on. */
ESP_INLINE void esp_q_narrow_channel(const esp_q_channel* by, const int8_t* weights, int32_t iy,
                                     int32_t rows, esp_q_sum* sums) {
#define ESP_NARROW_SUMS(k)                                                                        \
  esp_narrow_sums(weights, (const int8_t*)by->plane, k, by->kernel_h, by->above - iy, by->height, \
                  rows, (int32_t*)sums)
  if (by->kernel_w == 3) {
    ESP_NARROW_SUMS(3);
  } else if (by->kernel_w == 5) {
    ESP_NARROW_SUMS(5);
  } else {
    ESP_NARROW_SUMS(7);
  }
#undef ESP_NARROW_SUMS
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
  int8_t* copy = (int8_t*)(plane + pitch * height + 8);
  const int32_t k = d->kernel_w, batch = whole <= ESP_SUMS ? ESP_SUMS / whole : 1;
  const int32_t dot =
      ESP_Q_BYTES && (k == 3 || k == 5 || k == 7) && d->kernel_h <= 7 && whole <= ESP_SUMS;
  const int32_t narrow = dot && in_w <= 4 && d->pad_left == k / 2;
  /* rows without a gap between them are one */
  const int32_t lines = narrow && in_w == 4 ? 1 : in_h, line = lines == 1 ? in_h * in_w : in_w;
  esp_q* map = plane;
  esp_q_channel by;
  esp_q_seen seen = esp_q_seen_by(sink->range);
  esp_q_sum sums[ESP_SUMS];
  esp_q_span span;
  int32_t c, i, iy, t, first, j = 0, next = 0;
#ifdef ESP_DOT4
  uint32_t spread[ESP_SPREAD_WORDS];
#else
  const uint32_t* spread = 0;
#endif
  by.plane = plane, by.flipped = copy, by.pitch = narrow ? 4 : pitch;
  by.kernel_h = d->kernel_h, by.kernel_w = k;
  by.dot = dot, by.above = d->kernel_h - 1 - d->pad_top, by.height = in_h;
  span.step = all_c, span.pitch = in_w * all_c;
  if (!narrow) map += by.above * pitch + k - 1 - d->pad_left;
  esp_fill(plane, 0, (pitch * height + 8) * (int32_t)sizeof *plane);
  for (c = 0; c < all_c; ++c) {
    const esp_q_scaling scaling = esp_q_scaling_of(&target, 0, c, 0);
    const int8_t* weights = w->full + c * taps;
    const int32_t trained = x && j < kept && (!channels || channels[j] == c);
    if (next < w->count && w->channels[next] == c) weights = w->trained + next++ * taps;
    if (!narrow) {
      for (t = 0; t < taps; ++t) copy[t] = weights[taps - 1 - t];
    } else if (trained) { /* they are about to change */
      for (t = 0; t < taps; ++t) copy[t] = weights[t];
      weights = copy;
    }
    esp_q_gather(g + c, all_c, 0, lines, line, map, by.pitch);
    if (trained) {
      esp_q_channel_weights(d, map, by.pitch, x + j, kept, j, c, parameters, key);
      ++j;
    }
#ifdef ESP_DOT4
    if (dot && !narrow) {
      esp_filter f = {0, 0, 0, {0, 0, 0, 0}};
      f.weights = copy;
      esp_spread_kind(&f, 16 + k, d->kernel_h, 1, spread);
    }
#endif
    iy = first = 0;
    do { /* rows that are too long for the sums come in parts */
      span.rows = in_h - iy < batch ? in_h - iy : batch;
      span.count = in_w - first < ESP_SUMS ? in_w - first : ESP_SUMS;
      span.sum_pitch = dot ? whole : span.count;
      if (narrow) {
        esp_q_narrow_channel(&by, weights, iy, span.rows, sums);
      } else {
        esp_q_channel_sums(&by, iy, first, span.rows, span.count, spread, sums);
      }
      i = (iy * in_w + first) * all_c + c;
      first += span.count;
      if (first == in_w) first = 0, iy += span.rows;
      if (span.sum_pitch == in_w) span.count *= span.rows, span.rows = 1; /* without a gap */
      esp_q_sum_rows(&target, &scaling, 0, sums, dx, i, c, span, &seen);
    } while (iy < in_h);
  }
  esp_q_note(sink->range, seen.all);
}
