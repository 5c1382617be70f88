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
  int32_t j;
  ESP_ROLLED
  for (j = 0; j < count; ++j, to += pitch) {
    esp_gather(from + j, step, pixels, to);
    esp_fill(to + pixels, 0, pitch - pixels);
  }
}

/* Sums of outputs by up to four inputs of a 1x1 convolution: sums[output][input]. The outputs are
 * turned round anew, into `turned`, when they are `fresh` or of too many pixels to stay, and when
 * fresh added up, into `totals`. */
ESP_INLINE void esp_q_meet(const esp_q_correlation* t, int32_t pixels, int32_t outputs,
                           int32_t inputs, int32_t zero, int32_t fresh, uint32_t* turned,
                           int32_t* totals, esp_q_sum* sums) {
  uint32_t turned_x[ESP_PIXELS];
  int32_t p = 0, j, k;
  if (fresh) esp_fill(totals, 0, ESP_OUTPUTS * (int32_t)sizeof *totals);
  esp_fill(sums, 0, 4 * ESP_OUTPUTS * (int32_t)sizeof *sums);
  do {
    const int32_t now = pixels - p < ESP_PIXELS ? pixels - p : ESP_PIXELS;
    const int32_t pitch = (now + 3) & ~3;
    int8_t* gs = (int8_t*)turned;
    if (fresh || pixels > ESP_PIXELS) {
      esp_turn((const int8_t*)t->g + p * t->g_step, t->g_step, outputs, now, pitch, gs);
      esp_fill(gs + outputs * pitch, 0, (ESP_OUTPUTS - outputs) * pitch);
      for (k = 0; k < outputs && fresh; ++k) totals[k] += esp_sum(gs + k * pitch, pitch);
    }
    esp_turn(t->x + p * t->x_step, t->x_step, inputs, now, pitch, (int8_t*)turned_x);
    ESP_ROLLED
    for (k = 0; k < outputs; k += 3, gs += 3 * pitch) {
      esp_q_dot_rows((const esp_q*)gs, pitch, 2 * pitch, (const int8_t*)turned_x, pitch, pitch,
                     sums + 4 * k);
    }
    p += now;
  } while (p < pixels);
  ESP_ROLLED
  for (k = 0; k < outputs; ++k) {
    ESP_ROLLED
    for (j = 0; j < inputs; ++j) sums[4 * k + j] -= zero * totals[k];
  }
}
#endif

/* esp_q_sink_weight() for neighbours of one output, places `index` in the whole tensor. */
ESP_INLINE void esp_q_sink_row(const esp_q_parameter_sink* sink, uint32_t key, int32_t at,
                               const int32_t* index, int32_t count, int32_t out, esp_q_pace pace,
                               const esp_q_sum* sums) {
  int32_t j;
#if ESP_GRADIENT_BITS == 8
  if (!sink->sum && sink->sgd->stochastic && pace.shift > ESP_Q_TWO_STEPS && pace.shift < 63) {
    const int32_t by = pace.shift - 32;
    int8_t* weights = sink->weights + at;
    ESP_ROLLED
    for (j = 0; j < count; ++j) {
      const int64_t product = (int64_t)sums[j] * pace.factor;
      const int32_t high = (int32_t)((product + ((int64_t)1 << 31)) >> 32);
      const int32_t part = (int32_t)(esp_mix(key + (uint32_t)index[j]) >> (32 - by));
      int32_t v = weights[j] - ((high + part) >> by);
      if (ESP_RARELY(v > 127)) v = 127;
      if (ESP_RARELY(v < -127)) v = -127;
      weights[j] = (int8_t)v;
    }
    return;
  }
#else
  (void)pace;
#endif
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
  for (o = 0; o < d->out_c; o += outputs) {
    outputs = left > 3 ? 4 : 1;
#ifdef ESP_DOT4
    if (dot) outputs = left < ESP_OUTPUTS ? left : ESP_OUTPUTS;
#endif
    for (k = 0; k < outputs && !sink->sum; ++k) pace[k] = esp_q_pace_of(sink, exponent, o + k);
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
                         o + k, pace[k], sums + 4 * k);
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
