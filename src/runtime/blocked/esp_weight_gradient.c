#include "esp_blocking.h"
#include "esp_float_sums.h"
#include "esp_inside.h"
#include "espalier_runtime.h"

/* Where the outputs and inputs of one tap lie: g and x at the first of them, and the steps to the
 * next in a row and to the next row. */
typedef struct {
  const float* g;
  const int8_t* x;
  int32_t rows, columns, g_step, x_step, g_row, x_row;
} esp_correlation;

/* One, four or six outputs by four inputs, in named scalars; sums[output][input]. */
ESP_INLINE void esp_correlate(int32_t outputs, esp_correlation t, int32_t zero, float* sums) {
  float a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
  float c0 = 0, c1 = 0, c2 = 0, c3 = 0, d0 = 0, d1 = 0, d2 = 0, d3 = 0;
  float e0 = 0, e1 = 0, e2 = 0, e3 = 0, f0 = 0, f1 = 0, f2 = 0, f3 = 0;
  int32_t left;
  ESP_ROLLED
  for (; t.rows > 0; --t.rows, t.g += t.g_row, t.x += t.x_row) {
    ESP_ROLLED
    for (left = t.columns; left > 0; --left, t.g += t.g_step, t.x += t.x_step) {
      int32_t n0 = t.x[0], n1 = t.x[1], n2 = t.x[2], n3 = t.x[3];
      float x = t.g[0], y, t1, t2, v0, v1, v2, v3;
      ESP_DONE(n0, n1, n2, n3);
      v0 = (float)(n0 - zero), v1 = (float)(n1 - zero);
      v2 = (float)(n2 - zero), v3 = (float)(n3 - zero);
      if (outputs == 1) {
        ESP_SUM_LAST(a, x, y);
        continue;
      }
      ESP_SUM(a, x, y, t.g[1]);
      ESP_SUM(b, y, x, t.g[2]);
      ESP_SUM(c, x, y, t.g[3]);
      if (outputs == 4) {
        ESP_SUM_LAST(d, y, x);
        continue;
      }
      ESP_SUM(d, y, x, t.g[4]);
      ESP_SUM(e, x, y, t.g[5]);
      ESP_SUM_LAST(f, y, x);
    }
  }
#define ESP_STORE(k, s)                                                      \
  (sums[4 * (k)] = s##0, sums[4 * (k) + 1] = s##1, sums[4 * (k) + 2] = s##2, \
   sums[4 * (k) + 3] = s##3)
  ESP_STORE(0, a);
  if (outputs == 1) return;
  ESP_STORE(1, b);
  ESP_STORE(2, c);
  ESP_STORE(3, d);
  if (outputs == 4) return;
  ESP_STORE(4, e);
  ESP_STORE(5, f);
#undef ESP_STORE
}

/* Four outputs or one by one input; sums[output][input]. */
ESP_INLINE void esp_correlate_one(int32_t outputs, esp_correlation t, int32_t zero, float* sums) {
  float a0 = 0, a1 = 0, a2 = 0, a3 = 0;
  int32_t left;
  ESP_ROLLED
  for (; t.rows > 0; --t.rows, t.g += t.g_row, t.x += t.x_row) {
    ESP_ROLLED
    for (left = t.columns; left > 0; --left, t.g += t.g_step, t.x += t.x_step) {
      float x = (float)(t.x[0] - zero), y, t1, t2, v0, v1, v2, v3;
      if (outputs == 1) {
        a0 += t.g[0] * x;
        continue;
      }
      v0 = t.g[0], v1 = t.g[1], v2 = t.g[2], v3 = t.g[3];
      ESP_SUM_LAST(a, x, y);
    }
  }
  sums[0] = a0, sums[4] = a1, sums[8] = a2, sums[12] = a3;
}

/* esp_sink_weight() for four neighbours of one output, places `index` in the whole tensor: steps
 * with stochastic rounding go side by side, for each operation waits for the one before. */
ESP_INLINE void esp_sink_four(const esp_weight_sink* sink, uint32_t key, int32_t at,
                              const int32_t* index, int32_t out, const float* sums) {
  const float unit = 5.9604644775390625e-8f; /* as esp_round_step() */
  int32_t j;
  if (!sink->gradient && sink->sgd->stochastic) {
    const float scale = sink->scale[out], rate = sink->sgd->rate, bound = sink->sgd->weight_bound;
    float s0 = sums[0] * scale, s1 = sums[1] * scale, s2 = sums[2] * scale, s3 = sums[3] * scale;
    ESP_TOGETHER(s0, s1, s2, s3);
    s0 *= rate, s1 *= rate, s2 *= rate, s3 *= rate;
    ESP_TOGETHER(s0, s1, s2, s3);
    if ((s0 > -bound) & (s0 < bound) & (s1 > -bound) & (s1 < bound) & (s2 > -bound) & (s2 < bound) &
        (s3 > -bound) & (s3 < bound)) {
      int8_t* weights = sink->weights + at;
      float t0 = (float)(esp_mix(key + (uint32_t)index[0]) >> 8) * unit;
      float t1 = (float)(esp_mix(key + (uint32_t)index[1]) >> 8) * unit;
      float t2 = (float)(esp_mix(key + (uint32_t)index[2]) >> 8) * unit;
      float t3 = (float)(esp_mix(key + (uint32_t)index[3]) >> 8) * unit;
      int32_t w0 = weights[0], w1 = weights[1], w2 = weights[2], w3 = weights[3];
      int32_t n0, n1, n2, n3;
      s0 += t0, s1 += t1, s2 += t2, s3 += t3;
      ESP_TOGETHER(s0, s1, s2, s3);
      n0 = (int32_t)s0, n1 = (int32_t)s1, n2 = (int32_t)s2, n3 = (int32_t)s3;
      w0 -= n0 - ((float)n0 > s0);
      w1 -= n1 - ((float)n1 > s1);
      w2 -= n2 - ((float)n2 > s2);
      w3 -= n3 - ((float)n3 > s3);
      weights[0] = (int8_t)(w0 > 127 ? 127 : w0 < -127 ? -127 : w0);
      weights[1] = (int8_t)(w1 > 127 ? 127 : w1 < -127 ? -127 : w1);
      weights[2] = (int8_t)(w2 > 127 ? 127 : w2 < -127 ? -127 : w2);
      weights[3] = (int8_t)(w3 > 127 ? 127 : w3 < -127 ? -127 : w3);
      return;
    }
  }
  ESP_ROLLED
  for (j = 0; j < 4; ++j) esp_sink_weight(sink, key, at + j, index[j], out, sums[j]);
}

/* dL/dw of any convolution but a depthwise one: g correlated with x - zero, over the pixels in row
 * order. `x` holds `count` channels, those of `channels`, or when that is null all of them. */
ESP_KERNEL void esp_weight_gradient(const esp_conv* d, const float* g, const int8_t* x,
                                    const int16_t* channels, int32_t count,
                                    const esp_weight_sink* sink) {
  const int32_t per_group = d->in_c / d->groups, out_per_group = d->out_c / d->groups;
  const int32_t width = channels ? count : per_group, stride = channels ? count : d->in_c;
  const int32_t taps = d->kernel_h * d->kernel_w, zero = d->in_zero;
  const uint32_t key = sink->sgd ? esp_tensor_key(sink->sgd, sink->tensor) : 0;
  float sums[24];
  int32_t place[4]; /* of inputs in a row of the whole tensor */
  int32_t o, t, c, k, j, outputs, left = out_per_group, first = 0;
  for (o = 0; o < d->out_c; o += outputs) {
    /* outputs of one group; single inputs are taken with four of them */
    outputs = !(width & 3) && (left > 9 || left == 6 || left == 7) ? 6 : left > 3 ? 4 : 1;
    for (t = 0; t < taps; ++t) {
      const esp_tap tap = esp_tap_of(d, t, stride);
      esp_correlation all;
      all.g = g + tap.g + o, all.x = x + tap.x + first;
      all.rows = tap.rows, all.columns = tap.columns;
      all.g_step = tap.g_step, all.x_step = tap.x_step;
      all.g_row = tap.g_row, all.x_row = tap.x_row;
      for (c = 0; c < width;) {
        const int32_t inputs = width - c > 3 ? 4 : 1;
        if (inputs == 1) {
          if (outputs == 4) {
            esp_correlate_one(4, all, zero, sums);
          } else {
            esp_correlate_one(1, all, zero, sums);
          }
        } else if (outputs == 6) {
          esp_correlate(6, all, zero, sums);
        } else if (outputs == 4) {
          esp_correlate(4, all, zero, sums);
        } else {
          esp_correlate(1, all, zero, sums);
        }
        ESP_ROLLED
        for (j = 0; j < inputs; ++j) place[j] = channels ? channels[c + j] : c + j;
        ESP_ROLLED
        for (k = 0; k < outputs; ++k) {
          const int32_t row = (o + k) * taps + t, at = row * width + c;
          const uint32_t row_key = key + (uint32_t)(row * per_group);
          if (inputs == 4) {
            esp_sink_four(sink, row_key, at, place, o + k, sums + 4 * k);
          } else {
            esp_sink_weight(sink, row_key, at, place[0], o + k, sums[4 * k]);
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
