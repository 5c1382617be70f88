#include "esp_inside.h"
#include "esp_q_blocks.h"
#include "esp_q_correlate.h"
#include "esp_q_correlation.h"
#include "esp_words.h"

/* Outputs at a time, at most. */
#define ESP_OUTPUTS 12

#ifdef ESP_DOT4
/* Pixels that are turned round at a time. */
#define ESP_PIXELS 112

/* `count` columns of a map by column, `pixels` elements each and zeros up to `pitch`. */
ESP_INLINE void esp_turn(const int8_t* from, int32_t step, int32_t count, int32_t pixels,
                         int32_t pitch, int8_t* to) {
  int32_t words = esp_words(from, step), j;
  for (; words && count >= 4 && !(pixels & 3); count -= 4, from += 4, to += 4 * pitch) {
    esp_turn_words(from, step, pixels, pitch, to);
  }
  ESP_ROLLED
  for (j = 0; j < count; ++j, to += pitch) {
    esp_gather(from + j, step, pixels, to);
    esp_fill(to + pixels, 0, pitch - pixels);
  }
}

/* Sums of outputs by up to four inputs of a 1x1 convolution: sums[output][input]. The outputs are
 * turned round anew, into `turned`, and added up, into `totals`, when they are `fresh` or of too
 * many pixels to stay. */
ESP_INLINE void esp_q_meet(const esp_q_correlation* t, int32_t pixels, int32_t outputs,
                           int32_t inputs, int32_t zero, int32_t fresh, uint32_t* turned,
                           int32_t* totals, esp_q_sum* sums) {
  uint32_t turned_x[ESP_PIXELS];
  int32_t p = 0, k;
  do {
    const int32_t now = pixels - p < ESP_PIXELS ? pixels - p : ESP_PIXELS;
    const int32_t pitch = (now + 3) & ~3;
    int8_t* gs = (int8_t*)turned;
    esp_q_sum* sum = sums;
    if (fresh || pixels > ESP_PIXELS) {
      esp_turn((const int8_t*)t->g + p * t->g_step, t->g_step, outputs, now, pitch, gs);
      esp_fill(gs + outputs * pitch, 0, (ESP_OUTPUTS - outputs) * pitch);
      ESP_ROLLED
      for (k = 0; k < ESP_OUTPUTS; ++k) totals[k] = esp_sum(gs + k * pitch, pitch);
    }
    esp_turn(t->x + p * t->x_step, t->x_step, inputs, now, pitch, (int8_t*)turned_x);
    ESP_ROLLED
    for (k = 0; k < ESP_OUTPUTS; ++k, sum += 4) {
      const int32_t less = zero * totals[k];
      if (p == 0) sum[0] = sum[1] = sum[2] = sum[3] = 0;
      sum[0] -= less, sum[1] -= less, sum[2] -= less, sum[3] -= less;
    }
    ESP_ROLLED
    for (k = 0; k < outputs; k += 3, gs += 3 * pitch) {
      esp_q_dot_rows((const esp_q*)gs, pitch, 2 * pitch, (const int8_t*)turned_x, pitch, pitch,
                     sums + 4 * k);
    }
    p += now;
  } while (p < pixels);
}
#endif

/* esp_q_sink_weight() for up to four neighbours of one output, places `index` in the whole tensor;
 * `quick` as esp_q_quick() says. */
ESP_INLINE void esp_q_sink_row(const esp_q_parameter_sink* sink, uint32_t key, int32_t at,
                               const int32_t* index, int32_t count, int32_t out, esp_q_pace pace,
                               int32_t quick, const esp_q_sum* sums) {
  int32_t j;
  if (quick) {
    int8_t* weights = sink->weights + at;
#define ESP_STEP(j)                                                                 \
  do {                                                                              \
    int32_t v = weights[j] - esp_q_quick_step((int32_t)sums[j], pace.factor, quick, \
                                              esp_mix(key + (uint32_t)index[j]));   \
    if (ESP_RARELY((uint32_t)(v + 127) > 254u)) v = v < 0 ? -127 : 127;             \
    ESP_HERE(v);                                                                    \
    weights[j] = (int8_t)v;                                                         \
  } while (0)
    if (count == 4) {
      ESP_STEP(0);
      ESP_STEP(1);
      ESP_STEP(2);
      ESP_STEP(3);
      return;
    }
    ESP_ROLLED
    for (j = 0; j < count; ++j) ESP_STEP(j);
#undef ESP_STEP
    return;
  }
  ESP_ROLLED
  for (j = 0; j < count; ++j) {
    esp_q_sink_weight(sink, key, at + j, index[j], out, sums[j]);
  }
}

/* dL/dw of any convolution but a depthwise one: g correlated with x - zero. `x` holds `count`
 * channels, those of `channels`, or when that is null all of them. */
ESP_KERNEL void ESP_Q(esp_weight_gradient)(const esp_conv* d, const esp_q* g, const int8_t* x,
                                           const int16_t* channels, int32_t count,
                                           const esp_q_parameter_sink* sink) {
  const int32_t per_group = d->in_c / d->groups, out_per_group = d->out_c / d->groups;
  const int32_t width = channels ? count : per_group, stride = channels ? count : d->in_c;
  const int32_t taps = d->kernel_h * d->kernel_w, zero = d->in_zero;
  const uint32_t key = esp_q_key(sink);
  const int32_t exponent = sink->sum ? 0 : esp_q_exponent(sink);
  esp_q_pace pace[ESP_OUTPUTS];
  int32_t quick[ESP_OUTPUTS];
  int32_t place[4]; /* of inputs in a row of the whole tensor */
  int32_t o, t, c, k, j, outputs, left = out_per_group, first = 0;
#ifdef ESP_DOT4
  const int32_t pixels = d->out_h * d->out_w;
  const int32_t dot = ESP_Q_BYTES && taps == 1 && d->stride_h == 1 && d->stride_w == 1 &&
                      d->in_h == d->out_h && d->in_w == d->out_w && width > 3;
  uint32_t turned_g[ESP_OUTPUTS * ESP_PIXELS / 4];
  int32_t totals[ESP_OUTPUTS];
#endif
  esp_fill(pace, 0, (int32_t)sizeof pace);
  esp_fill(quick, 0, (int32_t)sizeof quick);
  for (o = 0; o < d->out_c; o += outputs) {
    outputs = left > 3 ? 4 : 1;
#ifdef ESP_DOT4
    if (dot) outputs = left < ESP_OUTPUTS ? left : ESP_OUTPUTS;
#endif
    if (!sink->sum) {
      ESP_ROLLED
      for (k = 0; k < outputs; ++k) {
        pace[k] = esp_q_pace_of(sink, exponent, o + k);
        quick[k] = esp_q_quick(sink, pace[k]);
      }
    }
    for (t = 0; t < taps; ++t) {
      const esp_tap tap = esp_tap_of(d, t, stride);
      esp_q_correlation all;
      all.g = g + tap.g + o, all.x = x + tap.x + first;
      all.rows = tap.rows, all.columns = tap.columns;
      all.g_step = tap.g_step, all.x_step = tap.x_step;
      all.g_row = tap.g_row, all.x_row = tap.x_row;
      for (c = 0; c < width;) {
        int32_t inputs = width - c > 3 ? 4 : 1;
        esp_q_sum sums[4 * ESP_OUTPUTS];
#ifdef ESP_DOT4
        if (dot) {
          inputs = width - c < 4 ? width - c : 4;
          esp_q_meet(&all, pixels, outputs, inputs, zero, c == 0, turned_g, totals, sums);
        } else
#endif
            if (inputs == 1) {
          esp_q_correlation one = all;
          ESP_ROLLED
          for (k = 0; k < outputs; ++k, ++one.g) sums[4 * k] = esp_q_correlate_one(one, zero);
        } else if (outputs == 4) {
          esp_q_correlate(4, all, zero, sums);
        } else {
          esp_q_correlate(1, all, zero, sums);
        }
        ESP_ROLLED
        for (j = 0; j < inputs; ++j) place[j] = channels ? channels[c + j] : c + j;
        ESP_ROLLED
        for (k = 0; k < outputs; ++k) {
          const int32_t row = (o + k) * taps + t;
          esp_q_sink_row(sink, key + (uint32_t)(row * per_group), row * width + c, place, inputs,
                         o + k, pace[k], quick[k], sums + 4 * k);
        }
        c += inputs;
        all.x += inputs;
      }
    }
    left -= outputs;
    if (left == 0) {
      left = out_per_group;
      if (!channels) first += per_group;
    }
  }
}
