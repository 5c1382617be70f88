#ifndef ESP_LONG_SUM_H
#define ESP_LONG_SUM_H

#include "esp_requantize.h"

/* esp_sum() for rows of many values. */
ESP_INLINE int32_t esp_long_sum(const int8_t* values, int32_t count) {
  int32_t sum = 0;
#ifdef ESP_DOT4
  if (!((int32_t)(uintptr_t)values & 3)) {
    const uint32_t ones = 0x01010101u;
    ESP_ROLLED
    for (; count >= 16; count -= 16, values += 16) {
      const uint32_t a = esp_word(values), b = esp_word(values + 4);
      const uint32_t c = esp_word(values + 8), d = esp_word(values + 12);
      sum = esp_dot4(esp_dot4(sum, a, ones), b, ones);
      sum = esp_dot4(esp_dot4(sum, c, ones), d, ones);
    }
  }
#endif
  return sum + esp_sum(values, count);
}

#endif
