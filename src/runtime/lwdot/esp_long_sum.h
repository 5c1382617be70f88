#ifndef ESP_LONG_SUM_H
#define ESP_LONG_SUM_H

#include "esp_blocking.h"
#include "esp_load_dot.h"
#include "esp_requantize.h"

/* Sixteen values behind a word boundary, added to two sums in turn, so that neither is needed right
 * after it was added to. */
#ifdef __riscv
#define ESP_SUM_SIXTEEN(sum, other, from, one)                                                   \
  __asm__(ESP_LOAD_DOT(a, at, ones, 0) ESP_LOAD_DOT(b, at, ones, 1) ESP_LOAD_DOT(a, at, ones, 2) \
              ESP_LOAD_DOT(b, at, ones, 3)                                                       \
          : [a] "+&r"(sum), [b] "+&r"(other)                                                     \
          : [at] "r"(from), [ones] "r"(one)                                                      \
          : "memory")
#else
#define ESP_SUM_SIXTEEN(sum, other, from, one)                                    \
  (sum = esp_dot4(esp_dot4(sum, esp_word(from), one), esp_word((from) + 8), one), \
   other = esp_dot4(esp_dot4(other, esp_word((from) + 4), one), esp_word((from) + 12), one))
#endif

/* esp_sum() for rows of many values. */
ESP_INLINE int32_t esp_long_sum(const int8_t* values, int32_t count) {
  int32_t sum = 0, other = 0;
  if (!((int32_t)(uintptr_t)values & 3)) {
    ESP_ROLLED
    for (; count >= 16; count -= 16, values += 16) {
      ESP_SUM_SIXTEEN(sum, other, values, 0x01010101u);
    }
  }
  return sum + other + esp_sum(values, count);
}
#undef ESP_SUM_SIXTEEN

#endif
