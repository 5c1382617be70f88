#ifndef ESP_REQUANTIZE_H
#define ESP_REQUANTIZE_H

#include "esp_blocking.h"
#include "espalier_runtime.h"

/* Requantisation in 32 bits, to values that count from the lowest output: rounding and zero point
 * are one offset, the shift is that of the product's upper word. */
typedef struct {
  int32_t bias, multiplier, offset, shift;
} esp_scaling;

/* Fills in the scaling of output o of sums over `depth` products; false if there is none. There is
 * one when the bias cannot saturate a sum and rounding is a matter of the product's upper word, and
 * for dead channels, whose output is the same for all sums. */
ESP_INLINE int32_t esp_scaling_of(const esp_conv* d, const esp_requantization* q, int32_t o,
                                  int32_t depth, esp_scaling* s) {
  const int32_t bias = q->bias[o], multiplier = q->multiplier[o], shift = q->shift[o];
  const int32_t most = depth <= 16384 ? depth * 32640 : INT32_MAX; /* 255 * 128 a product */
  if (shift > 32 && shift <= 48 && bias <= INT32_MAX - most && bias >= most - INT32_MAX) {
    s->bias = bias;
    s->multiplier = multiplier;
    s->offset = (1 << (shift - 33)) + (d->out_zero - d->low) * (1 << (shift - 32));
    s->shift = shift - 32;
  } else {
    const int32_t least_sum = esp_saturating_add(bias, -most);
    const int32_t least = esp_requantize(least_sum, multiplier, shift, d->out_zero);
    const int32_t largest_sum = esp_saturating_add(bias, most);
    if (least != esp_requantize(largest_sum, multiplier, shift, d->out_zero)) return 0;
    s->bias = s->multiplier = 0;
    s->offset = 2 * (least - d->low);
    s->shift = 1;
  }
  return 1;
}

/* A sum as a value that counts from the lowest output; `shift` is that of the upper word. */
ESP_INLINE int32_t esp_scaled(int32_t acc, int32_t multiplier, int32_t offset, int32_t shift) {
  return ((int32_t)(((int64_t)acc * multiplier) >> 32) + offset) >> shift;
}

/* Such a value, clamped to [0, top], as an output. */
ESP_INLINE int8_t esp_to_range(int32_t value, int32_t low, int32_t top) {
  if (ESP_RARELY((uint32_t)value > (uint32_t)top)) {
    value = value < 0 ? 0 : top;
    ESP_HERE(value); /* apart, so that what lies inside passes with one branch */
  }
  return (int8_t)(value + low);
}

/* An output of any kind from its sum without bias. */
ESP_INLINE int8_t esp_requantized(const esp_conv* d, const esp_requantization* q, int32_t o,
                                  int32_t acc, uint8_t* mask, int32_t i) {
  return esp_clamp(esp_requantize(esp_saturating_add(acc, q->bias[o]), q->multiplier[o],
                                  q->shift[o], d->out_zero),
                   d->low, d->high, mask, i, d->mask_bits);
}

#ifdef ESP_DOT4
/* acc + the products of four int8 with four int8. */
ESP_INLINE int32_t esp_dot4(int32_t acc, uint32_t a, uint32_t b) {
#ifdef __riscv
  __asm__(".insn r OP_32, 5, 0x46, %0, %1, %2" : "+r"(acc) : "r"(a), "r"(b));
#else
  int32_t i;
  for (i = 0; i < 32; i += 8) acc += (int32_t)(int8_t)(a >> i) * (int8_t)(b >> i);
#endif
  return acc;
}

/* Adds the products of four int8 of x with four int8 of each v to four sums. In one piece: sums
 * that are operands of single instructions get copied about. */
#ifdef __riscv
#define ESP_DOT_4(a0, a1, a2, a3, x, v0, v1, v2, v3)                                 \
  __asm__(                                                                           \
      ".insn r OP_32, 5, 0x46, %0, %4, %5\n\t.insn r OP_32, 5, 0x46, %1, %4, %6\n\t" \
      ".insn r OP_32, 5, 0x46, %2, %4, %7\n\t.insn r OP_32, 5, 0x46, %3, %4, %8"     \
      : "+&r"(a0), "+&r"(a1), "+&r"(a2), "+&r"(a3)                                   \
      : "r"(x), "r"(v0), "r"(v1), "r"(v2), "r"(v3))
#else
#define ESP_DOT_4(a0, a1, a2, a3, x, v0, v1, v2, v3)                             \
  (a0 = esp_dot4(a0, x, v0), a1 = esp_dot4(a1, x, v1), a2 = esp_dot4(a2, x, v2), \
   a3 = esp_dot4(a3, x, v3))
#endif

/* Four int8 that lie on a word boundary. */
ESP_INLINE uint32_t esp_word(const int8_t* p) {
  uint32_t word;
  memcpy(&word, __builtin_assume_aligned(p, 4), sizeof word);
  return word;
}

ESP_INLINE void esp_put_word(int8_t* p, uint32_t word) {
  memcpy(__builtin_assume_aligned(p, 4), &word, sizeof word);
}

/* Products of a row with four rows `pitch` apart, `depth` elements each on word boundaries, added
 * to four sums. */
ESP_INLINE void esp_dot_row(const int8_t* x, const int8_t* fours, int32_t pitch, int32_t depth,
                            int32_t* sums) {
  const int8_t *w0 = fours, *w1 = w0 + pitch, *w2 = w1 + pitch, *w3 = w2 + pitch, *end = x + depth;
  int32_t a0 = sums[0], a1 = sums[1], a2 = sums[2], a3 = sums[3];
#define ESP_STEP(k)                                                                         \
  do {                                                                                      \
    const uint32_t v0 = esp_word(w0 + (k)), v1 = esp_word(w1 + (k)), v = esp_word(x + (k)); \
    const uint32_t v2 = esp_word(w2 + (k)), v3 = esp_word(w3 + (k));                        \
    ESP_DOT_4(a0, a1, a2, a3, v, v0, v1, v2, v3);                                           \
  } while (0)
#define ESP_ADVANCE(n) (x += (n), w0 += (n), w1 += (n), w2 += (n), w3 += (n))
  if (depth & 4) {
    ESP_STEP(0);
    ESP_ADVANCE(4);
  }
  ESP_ROLLED
  while (x != end) {
    ESP_STEP(0);
    ESP_STEP(4);
    ESP_ADVANCE(8);
  }
#undef ESP_STEP
#undef ESP_ADVANCE
  sums[0] = a0, sums[1] = a1, sums[2] = a2, sums[3] = a3;
}

/* Whether rows of `depth` elements from p on begin and end on word boundaries. */
ESP_INLINE int32_t esp_words(const int8_t* p, int32_t depth) {
  return !((depth | (int32_t)(uintptr_t)p) & 3);
}
#endif

ESP_INLINE int32_t esp_sum(const int8_t* values, int32_t count) {
  int32_t sum = 0;
#ifdef ESP_DOT4
  if (!((int32_t)(uintptr_t)values & 3)) {
    ESP_ROLLED
    for (; count >= 4; count -= 4, values += 4) {
      sum = esp_dot4(sum, esp_word(values), 0x01010101u);
    }
  }
#endif
  ESP_ROLLED
  for (; count >= 4; count -= 4, values += 4) sum += values[0] + values[1] + values[2] + values[3];
  ESP_ROLLED
  for (; count > 0; --count) sum += *values++;
  return sum;
}

#endif
