#include "esp_inside.h"
#include "esp_q_blocks.h"
#include "esp_q_correlate.h"
#include "esp_q_correlation.h"
#ifdef ESP_DOT4
#include "esp_q_dot_batch.h"
#endif
#include "esp_long_sum.h"
#include "esp_q_keep.h"
#include "esp_words.h"

/* Outputs at a time, at most: with the dot product as many as have room when they are turned round,
 * for inputs are turned round once for all of them. */
#ifdef ESP_DOT4
#define ESP_OUTPUTS 24
/* Pixels that are turned round at a time; of these many, half the outputs have room. */
#define ESP_PIXELS 128
#define ESP_TURNED_BYTES (ESP_OUTPUTS / 2 * ESP_PIXELS)
#else
#define ESP_OUTPUTS 4
#endif

#ifdef ESP_DOT4
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
 * turned round anew, into `turned`, and what their sums begin at, into `start`, when they are
 * `fresh` or of too many pixels to stay. */
ESP_INLINE void esp_q_meet(const esp_q_correlation* t, int32_t pixels, int32_t outputs,
                           int32_t inputs, int32_t zero, int32_t fresh, uint32_t* turned,
                           int32_t* start, esp_q_sum* sums) {
  uint32_t turned_x[ESP_PIXELS];
  int32_t p = 0, k;
  do {
    const int32_t now = pixels - p < ESP_PIXELS ? pixels - p : ESP_PIXELS;
    const int32_t pitch = (now + 3) & ~3;
    int8_t* gs = (int8_t*)turned;
    if (fresh || pixels > ESP_PIXELS) {
      esp_turn((const int8_t*)t->g + p * t->g_step, t->g_step, outputs, now, pitch, gs);
      ESP_ROLLED
      for (k = 0; k < outputs; ++k) start[k] = -zero * esp_long_sum(gs + k * pitch, pitch);
    }
    esp_turn(t->x + p * t->x_step, t->x_step, inputs, now, pitch, (int8_t*)turned_x);
    esp_q_dot_batch((const esp_q*)gs, pitch, outputs, (const int8_t*)turned_x, pitch, pitch, start,
                    p == 0, sums);
    p += now;
  } while (p < pixels);
}
#endif

/* How one output's sums become steps; see esp_q_quick(). */
typedef struct {
  int32_t factor, quick;
} esp_q_output;

/* esp_q_sink_weight() for up to four neighbours of one output, places `index` in the whole
 * tensor; `clip` 0: steps are not clipped. */
ESP_INLINE void esp_q_sink_row(const esp_q_parameter_sink* sink, uint32_t key, int32_t at,
                               const int32_t* index, int32_t count, int32_t out, esp_q_output by,
                               int32_t clip, const esp_q_sum* sums) {
  int8_t* weights = sink->weights + at;
  int32_t j;
#define ESP_STEP(j) \
  esp_q_quick_step((int32_t)sums[j], by.factor, by.quick, esp_mix(key + (uint32_t)index[j]))
#define ESP_OUTSIDE(v) ESP_RARELY((uint32_t)((v) + 127) > 254u)
#define ESP_WITHIN(v) ((v) > 127 ? 127 : (v) < -127 ? -127 : (v))
  if (by.quick && count == 4) {
    int32_t v0 = ESP_STEP(0), v1 = ESP_STEP(1), v2 = ESP_STEP(2), v3 = ESP_STEP(3);
    if (ESP_RARELY(clip)) {
      v0 = esp_q_clipped(v0, clip), v1 = esp_q_clipped(v1, clip);
      v2 = esp_q_clipped(v2, clip), v3 = esp_q_clipped(v3, clip);
    }
    v0 = weights[0] - v0, v1 = weights[1] - v1, v2 = weights[2] - v2, v3 = weights[3] - v3;
    if (ESP_OUTSIDE(v0) || ESP_OUTSIDE(v1) || ESP_OUTSIDE(v2) || ESP_OUTSIDE(v3)) {
      v0 = ESP_WITHIN(v0), v1 = ESP_WITHIN(v1), v2 = ESP_WITHIN(v2), v3 = ESP_WITHIN(v3);
    }
    weights[0] = (int8_t)v0;
    weights[1] = (int8_t)v1;
    weights[2] = (int8_t)v2;
    weights[3] = (int8_t)v3;
    return;
  }
  ESP_ROLLED
  for (j = 0; j < count; ++j) {
    if (by.quick) {
      const int32_t step = ESP_STEP(j);
      const int32_t v = weights[j] - (clip ? esp_q_clipped(step, clip) : step);
      weights[j] = (int8_t)ESP_WITHIN(v);
    } else {
      esp_q_sink_weight(sink, key, at + j, index[j], out, sums[j]);
    }
  }
#undef ESP_STEP
#undef ESP_OUTSIDE
#undef ESP_WITHIN
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
  const esp_q_keeping keeping = esp_q_keeping_of(sink, d->out_h * d->out_w);
  const int32_t clip = esp_q_weight_clip(sink);
  esp_q_output by[ESP_OUTPUTS];
  int32_t place[4]; /* of inputs in a row of the whole tensor */
  int32_t o, t, c, k, j, outputs, left = out_per_group, first = 0;
#ifdef ESP_DOT4
  const int32_t pixels = d->out_h * d->out_w;
  const int32_t dot = ESP_Q_BYTES && taps == 1 && d->stride_h == 1 && d->stride_w == 1 &&
                      d->in_h == d->out_h && d->in_w == d->out_w && width > 3;
  const int32_t fit =
      pixels < ESP_PIXELS ? ESP_TURNED_BYTES / ((pixels + 3) & ~3) / 3 * 3 : ESP_OUTPUTS / 2;
  const int32_t most = fit < ESP_OUTPUTS ? fit : ESP_OUTPUTS;
  uint32_t turned_g[ESP_TURNED_BYTES / 4];
  int32_t start[ESP_OUTPUTS];
#endif
#ifdef ESP_COMPACT
  esp_q compact[4 * ESP_COMPACT];
#endif
  esp_fill(by, 0, (int32_t)sizeof by);
  for (o = 0; o < d->out_c; o += outputs) {
    outputs = left > 3 ? 4 : 1;
#ifdef ESP_DOT4
    if (dot) outputs = left < most ? left : most;
#endif
    if (!sink->sum) {
      ESP_ROLLED
      for (k = 0; k < outputs; ++k) {
        const esp_q_pace pace = esp_q_pace_of(sink, exponent, o + k);
        by[k].factor = pace.factor;
        by[k].quick = esp_q_quick(sink, pace, d->out_h * d->out_w);
      }
    }
    for (t = 0; t < taps; ++t) {
      const esp_tap tap = esp_tap_of(d, t, stride);
      esp_q_correlation all;
      esp_q_sum starts[4];
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
          esp_q_meet(&all, pixels, outputs, inputs, zero, c == 0, turned_g, start, sums);
        } else
#endif
            if (inputs == 1) {
          esp_q_correlation one = all;
          ESP_ROLLED
          for (k = 0; k < outputs; ++k, ++one.g) sums[4 * k] = esp_q_correlate_one(one, zero);
        } else if (outputs == 4) {
#ifdef ESP_COMPACT
          if (all.rows == 1 && all.columns <= ESP_COMPACT) {
            if (c == 0) esp_q_compact(&all, zero, compact, starts);
            esp_q_correlate_compact(compact, all.x, all.x_step, all.columns, starts, sums);
          } else
#endif
          {
            if (c == 0) esp_q_starts(4, all, zero, starts);
            esp_q_correlate(4, all, zero, starts, sums);
          }
        } else {
          if (c == 0) esp_q_starts(1, all, zero, starts);
          esp_q_correlate(1, all, zero, starts, sums);
        }
        if (sink->sum) {
          esp_q_keep_rows(sink, &keeping, (o * taps + t) * width + c, taps * width, outputs, inputs,
                          sums);
        } else {
          ESP_ROLLED
          for (j = 0; j < inputs; ++j) place[j] = channels ? channels[c + j] : c + j;
          ESP_ROLLED
          for (k = 0; k < outputs; ++k) {
            const int32_t row = (o + k) * taps + t;
            esp_q_sink_row(sink, key + (uint32_t)(row * per_group), row * width + c, place, inputs,
                           o + k, by[k], clip, sums + 4 * k);
          }
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
