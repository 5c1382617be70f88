/* Products of two 16-bit numbers at a time: the instructions of Arm's DSP extension, and elsewhere
 * C that computes the same, so that every kernel made of them runs on any machine. A pair is a
 * word: the first number is its lower half. */
#ifndef ESP_DUAL_H
#define ESP_DUAL_H

#include "esp_blocking.h"
#include "espalier_runtime.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_SIMD32)
#include <arm_acle.h>
#define ESP_ARM_DSP
#endif

ESP_INLINE int32_t esp_low(uint32_t pair) { return (int16_t)(pair & 0xFFFF); }
ESP_INLINE int32_t esp_high(uint32_t pair) { return (int16_t)(pair >> 16); }
ESP_INLINE uint32_t esp_pair(int32_t low, int32_t high) {
  return (uint32_t)low << 16 >> 16 | (uint32_t)high << 16;
}

/* Four bytes from anywhere. */
ESP_INLINE uint32_t esp_any_word(const void* p) {
  uint32_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

/* Two bytes from anywhere. */
ESP_INLINE uint32_t esp_any_half(const void* p) {
  uint16_t half;
  memcpy(&half, p, sizeof half);
  return half;
}

/* Bytes 0 and 2 of a word of int8 as a pair. */
ESP_INLINE uint32_t esp_even(uint32_t word) {
#ifdef ESP_ARM_DSP
  return (uint32_t)__sxtb16(word);
#else
  return esp_pair((int8_t)(word & 0xFF), (int8_t)(word >> 16 & 0xFF));
#endif
}

/* Bytes 1 and 3. Compilers do not join the rotation to the instruction. */
ESP_INLINE uint32_t esp_odd(uint32_t word) {
#if defined(ESP_ARM_DSP) && defined(__GNUC__)
  uint32_t pair;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
  return pair;
#else
  return esp_even(word >> 8);
#endif
}

/* The same with the numbers of a pair added. */
ESP_INLINE uint32_t esp_even_plus(uint32_t pair, uint32_t word) {
#ifdef ESP_ARM_DSP
  return (uint32_t)__sxtab16((int16x2_t)pair, word);
#else
  const uint32_t even = esp_even(word);
  return esp_pair(esp_low(pair) + esp_low(even), esp_high(pair) + esp_high(even));
#endif
}
ESP_INLINE uint32_t esp_odd_plus(uint32_t pair, uint32_t word) {
#if defined(ESP_ARM_DSP) && defined(__GNUC__)
  uint32_t sums;
  __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(sums) : "r"(pair), "r"(word));
  return sums;
#else
  return esp_even_plus(pair, word >> 8);
#endif
}

/* The lower halves of two words as a pair, and the upper ones; compilers know the instructions. */
ESP_INLINE uint32_t esp_lower(uint32_t a, uint32_t b) { return (a & 0xFFFFu) | b << 16; }
ESP_INLINE uint32_t esp_upper(uint32_t a, uint32_t b) { return a >> 16 | (b & 0xFFFF0000u); }

/* acc + a[0] * b[0] + a[1] * b[1]. Between the two products the sum may leave 32 bits. */
ESP_INLINE int32_t esp_dual(int32_t acc, uint32_t a, uint32_t b) {
#ifdef ESP_ARM_DSP
  return __smlad((int16x2_t)a, (int16x2_t)b, acc);
#else
  return (int32_t)((uint32_t)acc + (uint32_t)(esp_low(a) * esp_low(b)) +
                   (uint32_t)(esp_high(a) * esp_high(b)));
#endif
}
ESP_INLINE int64_t esp_dual_wide(int64_t acc, uint32_t a, uint32_t b) {
#ifdef ESP_ARM_DSP
  return __smlald((int16x2_t)a, (int16x2_t)b, acc);
#else
  return acc + (int64_t)esp_low(a) * esp_low(b) + (int64_t)esp_high(a) * esp_high(b);
#endif
}

/* acc + the lower number of a, or the upper one, times the lower one of b. */
ESP_INLINE int32_t esp_mac_lower(int32_t acc, uint32_t a, uint32_t b) {
#ifdef ESP_ARM_DSP
  return __smlabb((int32_t)a, (int32_t)b, acc);
#else
  return acc + esp_low(a) * esp_low(b);
#endif
}
ESP_INLINE int32_t esp_mac_upper(int32_t acc, uint32_t a, uint32_t b) {
#ifdef ESP_ARM_DSP
  return __smlatb((int32_t)a, (int32_t)b, acc);
#else
  return acc + esp_high(a) * esp_low(b);
#endif
}

#endif
