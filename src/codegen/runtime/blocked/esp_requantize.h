#ifndef ESP_REQUANTIZE_H
#define ESP_REQUANTIZE_H

#include "espalier_runtime.h"

/* Whether a bias cannot saturate a sum of `depth` products and the rounding of a shift is a matter
 * of the product's upper word. So it is but for dead channels and odd scales. */
ESP_INLINE int32_t esp_is_simple(int32_t depth, int32_t bias, int32_t shift) {
  const int32_t room = INT32_MAX - depth * 32640; /* 255 * 128 a product */
  return depth <= 16384 && shift > 32 && shift <= 48 && bias <= room && bias >= -room;
}

/* Half a unit, the zero point of the output and the lowest output in one, for values that count
 * from the lowest output. */
ESP_INLINE int32_t esp_simple_offset(const esp_conv* d, int32_t shift) {
  return (1 << (shift - 33)) + (d->out_zero - d->low) * (1 << (shift - 32));
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

/* Four int8 that lie on a word boundary. */
ESP_INLINE uint32_t esp_word(const int8_t* p) {
  uint32_t word;
  memcpy(&word, __builtin_assume_aligned(p, 4), sizeof word);
  return word;
}

ESP_INLINE void esp_put_word(int8_t* p, uint32_t word) {
  memcpy(__builtin_assume_aligned(p, 4), &word, sizeof word);
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
