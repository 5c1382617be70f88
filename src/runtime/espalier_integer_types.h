/* Types of integer gradients, the same for 8 and for 16 bits. */
#ifndef ESPALIER_INTEGER_TYPES_H
#define ESPALIER_INTEGER_TYPES_H

#include "espalier_runtime.h"

/* The arena is of floats; integers in it are read and written as what may alias them. */
#if defined(__GNUC__)
typedef int16_t __attribute__((__may_alias__)) esp_any_int16;
typedef int32_t __attribute__((__may_alias__)) esp_any_int32;
#else
typedef int16_t esp_any_int16;
typedef int32_t esp_any_int32;
#endif

/* The exponent of a tensor of integer gradients, and what its values needed. */
typedef struct {
  int16_t exponent; /* relative to the sample's; of the sample and of sums: itself */
  int16_t bits;     /* of the largest magnitude before saturation, since the exponent was set */
} esp_q_range;

/* Where a gradient of integers goes: (sum + addend) * multiplier / 2^shift where the mask lets it
 * pass, rounded to the exponent of `range`. */
typedef struct {
  esp_q_range* range;
  const esp_q_range* from;         /* of the gradient that the sums are of */
  const esp_q_range* addend_range; /* null: nothing is added */
  const uint8_t* mask;             /* null: everything passes */
  int32_t mask_bits;
  const int32_t* multiplier; /* by channel; null: `factor` for all */
  const uint8_t* shift;
  int32_t factor, factor_shift; /* factor 0: 1 */
} esp_q_sink;

/* Where integer gradients of parameters go: applied at once, or to `sum`, stored as they are or
 * added at the exponent of `sum_range`. The quantisation-aware scaling of output channel c is
 * scale[c] * 2^scale_exponent[c]. */
typedef struct {
  esp_any_int32* sum;     /* null: apply */
  esp_q_range* sum_range; /* null: of one sample */
  const esp_q_range* sample;
  const esp_q_range* from;
  int32_t unit;    /* sums of one sample are of 32 bits in units of 2^unit of their own */
  int8_t* weights; /* or */
  int32_t* bias;
  const int32_t* scale;
  const int8_t* scale_exponent;
  const esp_sgd* sgd;
  uint32_t tensor; /* tells the random numbers of one tensor from another's */
} esp_q_parameter_sink;

#endif
