/* Integer gradients: types and helpers of the kernels whose names end in _q8 and _q16.
 *
 * A gradient tensor is integers with one exponent, value = q * 2^exponent. Exponents of tensors are
 * relative to that of the sample, which the head finds anew each time, so they vary slowly and live
 * in SRAM. Sums of products are exact; each tensor is rounded once, to nearest, when it is written.
 */
#ifndef ESPALIER_INTEGER_H
#define ESPALIER_INTEGER_H

#include "espalier_integer_types.h"

/* Bits of a gradient; 16 takes twice the memory and sums of 64 bits. */
#ifndef ESP_GRADIENT_BITS
#define ESP_GRADIENT_BITS 8
#endif

#if ESP_GRADIENT_BITS == 8
typedef int8_t esp_q;
typedef int32_t esp_q_sum;
#define ESP_Q(name) name##_q8
#else
typedef esp_any_int16 esp_q;
typedef int64_t esp_q_sum;
#define ESP_Q(name) name##_q16
#endif

#define ESP_Q_LIMIT ((1 << (ESP_GRADIENT_BITS - 1)) - 1)

/* Larger shifts round stochastically in two steps: the lower word to nearest, which leaves the
 * mean, then by as many random bits as the upper one loses. */
#define ESP_Q_TWO_STEPS 36

/* value / 2^shift, rounded to nearest (ties upwards) or by the random number; a negative shift
 * multiplies. Saturates at +-2^30. */
static inline int32_t esp_q_shift(int64_t value, int32_t shift, int32_t stochastic,
                                  uint32_t random) {
  const int64_t limit = (int64_t)1 << 30;
  if (shift > (stochastic ? ESP_Q_TWO_STEPS : 32) && shift < 63) {
    /* to nearest: the rounding bit lies in the upper word, and the lower one cannot carry into it
     */
    const int32_t high = (int32_t)((stochastic ? value + ((int64_t)1 << 31) : value) >> 32);
    const int32_t by = shift - 32;
    const int32_t part = stochastic ? (int32_t)(random >> (32 - by)) : 1 << (by - 1);
    /* halved first, for the sum may need 32 bits; both odd: the halves carry */
    const int32_t y = ((high >> 1) + (part >> 1) + (high & part & 1)) >> (by - 1);
    return y > (int32_t)limit ? (int32_t)limit : y < -(int32_t)limit ? -(int32_t)limit : y;
  }
  if (shift > 62) {
    value >>= shift > 125 ? 63 : shift - 62;
    shift = 62;
  }
  if (shift > 0) {
    const uint64_t part = stochastic ? (shift > 32 ? (uint64_t)random << (shift - 32)
                                                   : (uint64_t)(random >> (32 - shift)))
                                     : (uint64_t)1 << (shift - 1);
    value = ((value >> 1) + (int64_t)(part >> 1) + (value & (int64_t)part & 1)) >> (shift - 1);
  } else {
    for (; shift < 0 && value < limit && value > -limit; ++shift) value *= 2;
  }
  return value > limit ? (int32_t)limit : value < -limit ? -(int32_t)limit : (int32_t)value;
}

/* sum * factor as a value that is still to be shifted right, and in *shift by how much. Sums are
 * below 2^32 with 8 bits and below 2^47 with 16, where what lies 16 bits below the point is lost.
 */
static inline int64_t esp_q_product(int64_t sum, int32_t factor, int32_t* shift) {
#if ESP_GRADIENT_BITS == 8
  (void)shift;
  return sum * factor;
#else
  *shift -= 16;
  return (sum >> 16) * factor + (((sum & 0xFFFF) * factor) >> 16);
#endif
}

static inline int32_t esp_q_bits(uint32_t magnitude) {
  int32_t bits = 0;
  for (; magnitude; magnitude >>= 1) ++bits;
  return bits;
}

static inline uint32_t esp_q_magnitude(int32_t value) {
  const uint32_t sign = (uint32_t)(value >> 31); /* what is least has no opposite */
  return ((uint32_t)value ^ sign) - sign;
}

/* Keeps what the values of a tensor needed; `all` is the bitwise or of their magnitudes. */
static inline void esp_q_note(esp_q_range* range, uint32_t all) {
  const int32_t bits = esp_q_bits(all);
  if (bits > range->bits) range->bits = (int16_t)bits;
}

/* ---- Gradients of maps ---------------------------------------------------------------------- */

/* A sink with its exponents worked out: kernels hold one while they write, for writes of bytes may
 * change anything that is not a variable of their own. */
typedef struct {
  const uint8_t* mask;
  const int32_t* multiplier;
  const uint8_t* shift;
  int32_t mask_bits, factor;
  int32_t by;   /* shift of a sum times factor; by channel, more */
  int32_t up;   /* shift of the addend to the unit of the sums */
  int32_t down; /* and of the sums, where that is far below the addend's */
} esp_q_target;

/* The sums' unit is 2^-unit of the gradient they are made from. */
static inline esp_q_target esp_q_target_of(const esp_q_sink* sink, int32_t unit) {
  const int32_t from = sink->from->exponent - unit;
  esp_q_target t;
  t.mask = sink->mask;
  t.multiplier = sink->multiplier;
  t.shift = sink->shift;
  t.mask_bits = sink->mask_bits;
  t.factor = sink->factor;
  t.by = sink->range->exponent - from + (sink->multiplier ? 0 : sink->factor_shift);
  t.up = sink->addend_range ? sink->addend_range->exponent - from : 0;
  t.down = t.up > 23 ? t.up - 23 : 0;
  t.up -= t.down;
  t.by -= t.down;
  return t;
}

/* One element of a gradient: `i`, of channel `c`. Its magnitude before saturation joins *all. */
static inline esp_q esp_q_value(const esp_q_target* t, const esp_q* addend, int32_t i, int32_t c,
                                esp_q_sum sum, uint32_t* all) {
  int32_t by = t->by, factor = t->factor, y;
  int64_t value = sum;
  if (t->mask && !esp_get_mask(t->mask, i, t->mask_bits)) return 0;
  if (addend) {
    value >>= t->down > 63 ? 63 : t->down;
    value += t->up < -31 ? 0
             : t->up < 0 ? (int64_t)(addend[i] >> -t->up)
                         : (int64_t)addend[i] * (1 << t->up);
  }
  if (t->multiplier) {
    factor = t->multiplier[c];
    by += t->shift[c];
  }
  if (factor) value = esp_q_product(value, factor, &by);
  y = esp_q_shift(value, by, 0, 0);
  *all |= esp_q_magnitude(y);
  return (esp_q)(y > ESP_Q_LIMIT ? ESP_Q_LIMIT : y < -ESP_Q_LIMIT ? -ESP_Q_LIMIT : y);
}

/* ---- Gradients of parameters ---------------------------------------------------------------- */

/* The factor of a step, and by how much the product is shifted. */
typedef struct {
  int32_t factor, shift;
} esp_q_pace;

/* Of sums of exponent `exponent`, channel `c`. */
static inline esp_q_pace esp_q_pace_of(const esp_q_parameter_sink* s, int32_t exponent, int32_t c) {
  esp_q_pace pace;
  /* two factors of 31 bits become one */
  pace.factor = (int32_t)(((int64_t)s->scale[c] * s->sgd->rate_multiplier + (1 << 30)) >> 31);
  pace.shift = -(exponent + s->scale_exponent[c] + s->sgd->rate_exponent + 31);
  return pace;
}

static inline int32_t esp_q_clipped(int32_t step, int32_t clip) {
  return step > clip ? clip : step < -clip ? -clip : step;
}

/* The step of a weight or a bias, no further from 0 than `clip`. */
static inline int32_t esp_q_step(const esp_q_parameter_sink* s, esp_q_pace pace, int32_t sum,
                                 int32_t clip, uint32_t key) {
  return esp_q_clipped(
      esp_q_shift((int64_t)sum * pace.factor, pace.shift, s->sgd->stochastic, esp_mix(key)), clip);
}

static inline uint32_t esp_q_key(const esp_q_parameter_sink* s) {
  return s->sgd ? esp_tensor_key(s->sgd, s->tensor) : 0;
}

/* Exponent of the sums that a kernel of parameters gets or makes: of one sample, or of several. */
static inline int32_t esp_q_exponent(const esp_q_parameter_sink* s) {
  return s->sum_range ? s->sum_range->exponent : s->sample->exponent + s->from->exponent + s->unit;
}

/* A sum that is to be applied later, or added to those of other samples. */
static inline void esp_q_keep(const esp_q_parameter_sink* s, int32_t at, esp_q_sum sum) {
  if (s->sum_range) {
    const int32_t up = s->sum_range->exponent - s->sample->exponent - s->from->exponent;
    s->sum[at] = esp_saturating_add(s->sum[at], esp_q_shift(sum, up, 0, 0));
  } else {
    s->sum[at] = esp_q_shift(sum, s->unit, 0, 0);
  }
}

static inline int8_t esp_q_step_weight(const esp_q_parameter_sink* s, int8_t weight, int32_t sum,
                                       esp_q_pace pace, uint32_t key) {
  const int32_t w = weight - esp_q_step(s, pace, sum, s->sgd->weight_clip, key);
  return (int8_t)(w > 127 ? 127 : w < -127 ? -127 : w);
}

/* One weight's gradient; see esp_sink_weight. */
static inline void esp_q_sink_weight(const esp_q_parameter_sink* s, uint32_t key, int32_t at,
                                     int32_t index, int32_t c, esp_q_sum sum) {
  if (s->sum) {
    esp_q_keep(s, at, sum);
  } else {
    s->weights[at] =
        esp_q_step_weight(s, s->weights[at], esp_q_shift(sum, s->unit, 0, 0),
                          esp_q_pace_of(s, esp_q_exponent(s), c), key + (uint32_t)index);
  }
}

static inline void esp_q_sink_bias(const esp_q_parameter_sink* s, uint32_t key, int32_t c,
                                   esp_q_sum sum) {
  if (s->sum) {
    esp_q_keep(s, c, sum);
  } else {
    s->bias[c] =
        esp_saturating_add(s->bias[c], -esp_q_step(s, esp_q_pace_of(s, esp_q_exponent(s), c),
                                                   esp_q_shift(sum, s->unit, 0, 0),
                                                   s->sgd->bias_clip, key + (uint32_t)c));
  }
}

/* Behind an update: the exponent that leaves the next sums a hundredfold to grow, when those of
 * magnitudes `all` came near their end or were small. */
static inline void esp_q_rescale_sums(const esp_q_parameter_sink* s, uint32_t all) {
  const int32_t bits = esp_q_bits(all);
  if (s->sum_range && bits > 0 && (bits < 20 || bits > 28)) {
    s->sum_range->exponent = (int16_t)(s->sum_range->exponent + bits - 24);
  }
}

#endif
