/* Filling and copying. What is copied lies elsewhere or above `to`, where it may overlap. */
#ifndef ESP_WORDS_H
#define ESP_WORDS_H

#include "espalier_runtime.h"

static inline void esp_fill(void* to, int32_t value, int32_t bytes) {
  memset(to, value, (size_t)bytes);
}
static inline void esp_copy(void* to, const void* from, int32_t bytes) {
  memmove(to, from, (size_t)bytes);
}

#endif
