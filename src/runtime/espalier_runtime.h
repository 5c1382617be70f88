/* Types and helpers of Espalier's training kernels: portable C99, no heap, of the C library memcpy,
 * memmove and memset alone.
 *
 * Maps are channels-last and dense. Sums run in the order written, products and sums are rounded
 * one by one (build with -ffp-contract=off), so every target computes the same bits. */
#ifndef ESPALIER_RUNTIME_H
#define ESPALIER_RUNTIME_H

#include <stdint.h>
#include <string.h>

/* How kernels are linked; a build that counts cycles by function wants them kept apart. */
#ifndef ESP_KERNEL
#define ESP_KERNEL
#endif

/* A convolution without its numbers. Depthwise: groups == in_c == out_c. */
typedef struct {
  int16_t in_h, in_w, in_c;
  int16_t out_h, out_w, out_c;
  int16_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  int16_t groups;
  int16_t in_zero, out_zero, low, high;
  int16_t mask_bits;    /* masks hold one bit per output, otherwise one byte */
  int16_t gap_h, gap_w; /* inputs between two taps of a dilated window; only the general kernels
                           look at them */
} esp_conv;

/* Weights [out][tap][in / groups]. When only some input channels are trained, those of `channels`
 * lie in `trained`, [out][tap][count], and are zero in `full`; for a depthwise convolution
 * `trained` is [count][tap]. count == 0: `full` holds everything. */
typedef struct {
  const int8_t* full;
  const int8_t* trained;
  const int16_t* channels;
  int32_t count;
} esp_weights;

/* Per output channel: y = (acc + bias) * multiplier / 2^shift, rounded, ties upwards. */
typedef struct {
  const int32_t* bias;
  const int32_t* multiplier;
  const uint8_t* shift;
} esp_requantization;

/* A sum: y = ((a - a_zero) * a_multiplier + (b - b_zero) * b_multiplier) / 2^shift + out_zero.
 * A product: y = (a - a_zero) * (b - b_zero) * a_multiplier / 2^shift + out_zero. */
typedef struct {
  int32_t elements;
  int32_t a_multiplier, b_multiplier;
  int16_t shift;
  int16_t a_zero, b_zero, out_zero, low, high;
  int16_t mask_bits;
} esp_add;

/* A window over each channel; padding does not count. */
typedef struct {
  int16_t in_h, in_w, channels, out_h, out_w;
  int16_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  int16_t half_to_even; /* means that end in one half: to even, otherwise away from zero */
  int16_t low, high;
} esp_pool;

/* The float classifier on (q - zero) * scale. */
typedef struct {
  int32_t features, classes;
  int32_t zero;
  float scale;
} esp_head;

/* One step of SGD. */
typedef struct {
  float rate; /* learning rate per sample, which is also rate_multiplier * 2^rate_exponent */
  int32_t rate_multiplier, rate_exponent;
  uint32_t key;       /* of the random numbers of this step */
  int32_t stochastic; /* rounding of int8 and int32 steps: stochastic, otherwise to nearest */
  int32_t weight_clip, bias_clip; /* the largest steps */
  float weight_bound, bias_bound; /* the same, at most 2^30 */
} esp_sgd;

/* Where the gradients of weights go: stored to or added to `gradient`, or applied at once.
 * `scale` is the quantisation-aware scaling per output channel. */
typedef struct {
  float* gradient; /* null: apply */
  int32_t add;
  int8_t* weights;
  const float* scale;
  const esp_sgd* sgd;
  uint32_t tensor; /* tells the random numbers of one tensor from another's */
} esp_weight_sink;

typedef struct {
  float* gradient;
  int32_t add;
  int32_t* bias;
  const float* scale;
  const esp_sgd* sgd;
  uint32_t tensor;
} esp_bias_sink;

static inline int32_t esp_saturating_add(int32_t a, int32_t b) {
  const int32_t sum = (int32_t)((uint32_t)a + (uint32_t)b);
  /* both operands differ from the sum in sign: it has wrapped */
  if (((a ^ sum) & (b ^ sum)) < 0) return a < 0 ? INT32_MIN : INT32_MAX;
  return sum;
}

static inline int32_t esp_requantize(int32_t value, int32_t multiplier, int32_t shift,
                                     int32_t zero) {
  int64_t y = (int64_t)value * multiplier;
  if (shift > 32) {
    /* the rounding bit lies in the upper word, and the lower one cannot carry into it */
    return (((int32_t)(y >> 32) + (1 << (shift - 33))) >> (shift - 32)) + zero;
  }
  y = ((y + ((int64_t)1 << (shift - 1))) >> shift) + zero;
  /* far outside int8 either way; only what the clamp needs is kept */
  return y > 32767 ? 32767 : y < -32768 ? -32768 : (int32_t)y;
}

/* Extent of a padded plane: what the windows reach, and room for the whole input. */
static inline int32_t esp_plane_extent(int32_t in, int32_t pad, int32_t out, int32_t stride,
                                       int32_t kernel) {
  const int32_t reach = (out - 1) * stride + kernel;
  return reach > in + pad ? reach : in + pad;
}

static inline void esp_put_mask(uint8_t* mask, int32_t i, int32_t inside, int32_t bits) {
  if (bits) {
    const uint8_t bit = (uint8_t)(1u << (i & 7));
    mask[i >> 3] = (uint8_t)(inside ? mask[i >> 3] | bit : mask[i >> 3] & (uint8_t)~bit);
  } else {
    mask[i] = (uint8_t)inside;
  }
}

static inline int32_t esp_get_mask(const uint8_t* mask, int32_t i, int32_t bits) {
  return bits ? (mask[i >> 3] >> (i & 7)) & 1 : mask[i];
}

/* Bits that hold a place in a window of `taps` elements. */
static inline int32_t esp_winner_bits(int32_t taps) {
  return taps <= 4 ? 2 : taps <= 16 ? 4 : taps <= 256 ? 8 : 16;
}

/* The i-th place; all are put in order from 0, so that the last byte is whole. */
static inline void esp_put_winner(uint8_t* winners, int32_t i, int32_t winner, int32_t bits) {
  if (bits == 16) {
    winners[2 * i] = (uint8_t)winner;
    winners[2 * i + 1] = (uint8_t)(winner >> 8);
  } else {
    const int32_t at = i * bits;
    const int32_t kept = (at & 7) ? winners[at >> 3] : 0;
    winners[at >> 3] = (uint8_t)(kept | winner << (at & 7));
  }
}

static inline int32_t esp_get_winner(const uint8_t* winners, int32_t i, int32_t bits) {
  const int32_t at = i * bits;
  if (bits == 16) return winners[2 * i] | winners[2 * i + 1] << 8;
  return (winners[at >> 3] >> (at & 7)) & ((1 << bits) - 1);
}

/* Clamps, notes in the mask whether the value lay inside, and returns the output. */
static inline int8_t esp_clamp(int32_t value, int32_t low, int32_t high, uint8_t* mask, int32_t i,
                               int32_t bits) {
  const int32_t clamped = value < low ? low : value > high ? high : value;
  if (mask) esp_put_mask(mask, i, clamped == value, bits);
  return (int8_t)clamped;
}

/* A well-mixed 32-bit number from a key. */
static inline uint32_t esp_mix(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7FEB352Du;
  x ^= x >> 15;
  x *= 0x846CA68Bu;
  x ^= x >> 16;
  return x;
}

/* An update as an integer, no further from 0 than the integer `bound`, at most 2^30. What is not a
 * number updates nothing. */
static inline int32_t esp_round_step(float step, float bound, const esp_sgd* sgd, uint32_t key) {
  float shifted;
  int32_t truncated;
  if (!(step > -bound)) return step <= -bound ? -(int32_t)bound : 0;
  if (!(step < bound)) return (int32_t)bound;
  if (sgd->stochastic) {
    shifted = step + (float)(esp_mix(key) >> 8) * 5.9604644775390625e-8f; /* 2^-24 */
  } else {
    shifted = step + 0.5f;
  }
  truncated = (int32_t)shifted;
  return truncated - ((float)truncated > shifted);
}

static inline int8_t esp_step_weight(int8_t weight, float gradient, float scale, const esp_sgd* sgd,
                                     uint32_t key) {
  const float step = gradient * scale * sgd->rate;
  const int32_t w = weight - esp_round_step(step, sgd->weight_bound, sgd, key);
  return (int8_t)(w > 127 ? 127 : w < -127 ? -127 : w);
}

static inline int32_t esp_step_bias(int32_t bias, float gradient, float scale, const esp_sgd* sgd,
                                    uint32_t key) {
  const float step = gradient * scale * sgd->rate;
  return esp_saturating_add(bias, -esp_round_step(step, sgd->bias_bound, sgd, key));
}

/* The learning rate for a batch of 256 as that of one sample. -1, and nothing changes, when it is
 * negative or no finite number. */
static inline int32_t esp_rate_per_sample(float rate, float* per_sample) {
  if (!(rate >= 0.0f && rate <= 3.40282347e38f)) return -1;
  *per_sample = rate / 256.0f + 0.0f; /* -0 becomes 0: its sign is no part of an exponent */
  return 0;
}

/* How many times as many of its units a bias may change by as a weight of its int8 steps, where
 * steps are clipped. */
#define ESP_BIAS_CLIP 32

/* What one step of SGD goes by: each has random numbers of its own. `clip` is the most that a
 * weight changes by, 0: anything. */
static inline esp_sgd esp_sgd_of(float rate, uint32_t seed, uint32_t step, int32_t stochastic,
                                 int32_t clip) {
  esp_sgd sgd;
  uint32_t bits;
  memcpy(&bits, &rate, 4);
  sgd.rate = rate;
  sgd.rate_multiplier = (int32_t)((bits & 0x7FFFFFu) | (bits >> 23 ? 0x800000u : 0u)) << 7;
  sgd.rate_exponent = (int32_t)(bits >> 23 ? bits >> 23 : 1u) - 157;
  sgd.key = esp_mix(seed + step * 0x9E3779B9u);
  sgd.stochastic = stochastic;
  sgd.weight_clip = clip ? clip : INT32_MAX;
  sgd.bias_clip = clip ? ESP_BIAS_CLIP * clip : INT32_MAX;
  sgd.weight_bound = clip ? (float)sgd.weight_clip : 1073741824.0f;
  sgd.bias_bound = clip ? (float)sgd.bias_clip : 1073741824.0f;
  return sgd;
}

static inline uint32_t esp_tensor_key(const esp_sgd* sgd, uint32_t tensor) {
  return esp_mix(sgd->key ^ (tensor * 0x9E3779B9u));
}

/* One weight's gradient: `at` is its place among the trained ones, `index` its place in the whole
 * tensor, which keys its random number however much of the tensor is trained. */
static inline void esp_sink_weight(const esp_weight_sink* sink, uint32_t key, int32_t at,
                                   int32_t index, int32_t out, float gradient) {
  if (!sink->gradient) {
    sink->weights[at] = esp_step_weight(sink->weights[at], gradient, sink->scale[out], sink->sgd,
                                        key + (uint32_t)index);
  } else if (sink->add) {
    sink->gradient[at] += gradient;
  } else {
    sink->gradient[at] = gradient;
  }
}

#endif
