/* Integer gradients: types and helpers of the kernels whose names end in _q8 and _q16.
 *
 * A gradient tensor is integers with one exponent, value = q * 2^exponent. Exponents of tensors are
 * relative to that of the sample, which the head finds anew each time, so they vary slowly and live
 * in SRAM. Sums of products are exact; each tensor is rounded once, when it is written. */
#ifndef ESPALIER_INTEGER_H
#define ESPALIER_INTEGER_H

#include "espalier_runtime.h"

/* Bits of a gradient; 16 takes twice the memory and sums of 64 bits. */
#ifndef ESP_GRADIENT_BITS
#define ESP_GRADIENT_BITS 8
#endif

#if ESP_GRADIENT_BITS == 8
typedef int8_t esp_q;
typedef int32_t esp_q_sum;
#define ESP_Q(name) name##_q8
#else
typedef int16_t esp_q;
typedef int64_t esp_q_sum;
#define ESP_Q(name) name##_q16
#endif

#define ESP_Q_LIMIT ((1 << (ESP_GRADIENT_BITS - 1)) - 1)

/* The exponent of one gradient tensor, and what its last values needed. */
typedef struct {
  int16_t exponent; /* relative to the sample's */
  int16_t bits;     /* of the largest magnitude before saturation, since the exponent was set */
} esp_q_range;

/* Where an input gradient goes: (sum + addend) * multiplier / 2^shift where the mask lets it pass,
 * rounded to the exponent of `range`. `from` is the exponent of the gradient that the sums are of;
 * their unit is 2^-unit of its. */
typedef struct {
  esp_q* out;
  esp_q_range* range;
  const esp_q_range* from;
  const esp_q* addend; /* null: none; may be `out` */
  const esp_q_range* addend_range;
  const uint8_t* mask; /* null: everything passes */
  int32_t mask_bits;
  const int32_t* multiplier; /* by channel; null: `factor` for all */
  const uint8_t* shift;
  int32_t factor, factor_shift; /* factor 0: 1 */
  int32_t unit;
  uint32_t key; /* of the random numbers */
  int32_t stochastic;
} esp_q_sink;

/* One step of SGD: rate = rate_multiplier * 2^rate_exponent. */
typedef struct {
  int32_t rate_multiplier, rate_exponent;
  int32_t sample_exponent;
  uint32_t key;
  int32_t stochastic;
} esp_q_sgd;

/* Where the gradients of a parameter tensor go: applied at once, or added to `sum`, whose exponent
 * is *sum_exponent. The quantisation-aware scaling of output channel c is
 * scale[c] * 2^scale_exponent[c]. */
typedef struct {
  int32_t* sum; /* null: apply */
  const int16_t* sum_exponent;
  int8_t* weights; /* or */
  int32_t* bias;
  const int32_t* scale;
  const int8_t* scale_exponent;
  const esp_q_range* from;
  const esp_q_sgd* sgd;
  uint32_t tensor; /* tells the random numbers of one tensor from another's */
} esp_q_parameter_sink;

/* value / 2^shift, rounded to nearest (ties upwards) or by the random number; a negative shift
 * multiplies. Saturates at +-2^30. */
static inline int32_t esp_q_shift(int64_t value, int32_t shift, int32_t stochastic,
                                  uint32_t random) {
  const int64_t limit = (int64_t)1 << 30;
  if (shift > 62) {
    value >>= shift > 125 ? 63 : shift - 62;
    shift = 62;
  }
  if (shift > 0) {
    const uint64_t part = stochastic ? (shift > 32 ? (uint64_t)random << (shift - 32)
                                                   : (uint64_t)(random >> (32 - shift)))
                                     : (uint64_t)1 << (shift - 1);
    /* halved first, for the sum may need 64 bits; both odd: the halves carry */
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

static inline int32_t esp_q_bits(int32_t value) {
  uint32_t magnitude = (uint32_t)(value < 0 ? -value : value);
  int32_t bits = 0;
  for (; magnitude; magnitude >>= 1) ++bits;
  return bits;
}

/* Writes one gradient: element `i`, channel `c`. Returns the magnitude before saturation, to be
 * gathered by esp_q_note. */
static inline uint32_t esp_q_put(const esp_q_sink* s, int32_t i, int32_t c, esp_q_sum sum) {
  int32_t shift = s->range->exponent - s->from->exponent + s->unit, y;
  int64_t value = sum;
  if (s->mask && !esp_get_mask(s->mask, i, s->mask_bits)) {
    s->out[i] = 0;
    return 0;
  }
  if (s->addend) {
    const int32_t up = s->addend_range->exponent - s->from->exponent + s->unit;
    const int32_t addend = s->addend[i];
    /* 2^23 times more than the sums' unit: they are beside the point */
    value += up < -31 ? 0 : up < 0 ? addend >> -up : (int64_t)addend * (1 << (up > 23 ? 23 : up));
  }
  if (s->multiplier) {
    shift += s->shift[c];
    value = esp_q_product(value, s->multiplier[c], &shift);
  } else if (s->factor) {
    shift += s->factor_shift;
    value = esp_q_product(value, s->factor, &shift);
  }
  y = esp_q_shift(value, shift, s->stochastic, s->stochastic ? esp_mix(s->key + (uint32_t)i) : 0);
  s->out[i] = (esp_q)(y > ESP_Q_LIMIT ? ESP_Q_LIMIT : y < -ESP_Q_LIMIT ? -ESP_Q_LIMIT : y);
  return (uint32_t)(y < 0 ? -y : y);
}

/* Keeps what the values of a tensor needed; `all` is the bitwise or of their magnitudes. */
static inline void esp_q_note(esp_q_range* range, uint32_t all) {
  const int32_t bits = esp_q_bits((int32_t)all);
  if (bits > range->bits) range->bits = (int16_t)bits;
}

/* The step of one parameter: gradient sum of exponent `exponent`, channel `c`. */
static inline int32_t esp_q_step(const esp_q_parameter_sink* s, int64_t sum, int32_t exponent,
                                 int32_t c, uint32_t key) {
  /* two factors of 31 bits become one */
  const int64_t factor = ((int64_t)s->scale[c] * s->sgd->rate_multiplier + (1 << 29)) >> 30;
  int32_t shift = -(exponent + s->scale_exponent[c] + s->sgd->rate_exponent + 30);
#if ESP_GRADIENT_BITS != 8
  for (; sum > INT32_MAX || sum < -INT32_MAX; sum >>= 1) --shift;
#endif
  return esp_q_shift(sum * factor, shift, s->sgd->stochastic, esp_mix(key));
}

static inline uint32_t esp_q_tensor_key(const esp_q_parameter_sink* s) {
  return esp_mix(s->sgd->key ^ (s->tensor * 0x9E3779B9u));
}

/* One weight's gradient; see esp_sink_weight. */
static inline void esp_q_sink_weight(const esp_q_parameter_sink* s, uint32_t key, int32_t at,
                                     int32_t index, int32_t c, esp_q_sum sum) {
  const int32_t exponent = s->sgd->sample_exponent + s->from->exponent;
  if (s->sum) {
    const int32_t part = esp_q_shift(sum, *s->sum_exponent - exponent, s->sgd->stochastic,
                                     esp_mix(key + (uint32_t)index));
    s->sum[at] = esp_saturating_add(s->sum[at], part);
  } else {
    const int32_t w = s->weights[at] - esp_q_step(s, sum, exponent, c, key + (uint32_t)index);
    s->weights[at] = (int8_t)(w > 127 ? 127 : w < -127 ? -127 : w);
  }
}

static inline void esp_q_sink_bias(const esp_q_parameter_sink* s, uint32_t key, int32_t c,
                                   esp_q_sum sum) {
  const int32_t exponent = s->sgd->sample_exponent + s->from->exponent;
  if (s->sum) {
    const int32_t part = esp_q_shift(sum, *s->sum_exponent - exponent, s->sgd->stochastic,
                                     esp_mix(key + (uint32_t)c));
    s->sum[c] = esp_saturating_add(s->sum[c], part);
  } else {
    s->bias[c] =
        esp_saturating_add(s->bias[c], -esp_q_step(s, sum, exponent, c, key + (uint32_t)c));
  }
}

#endif
