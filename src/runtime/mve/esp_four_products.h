#ifndef ESP_FOUR_PRODUCTS_H
#define ESP_FOUR_PRODUCTS_H

#include "esp_helium.h"

/* Products of a row of `depth` elements with four rows of weights, `pitch` apart. */
ESP_INLINE esp_ints esp_four_products(const int8_t* x, const int8_t* w, int32_t pitch,
                                      int32_t depth) {
  const int8_t *w1 = w + pitch, *w2 = w1 + pitch, *w3 = w2 + pitch, *end = x + (depth & ~15);
  int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
  ESP_ROLLED
  for (; x != end; x += 16, w += 16, w1 += 16, w2 += 16, w3 += 16) {
    const esp_bytes v = esp_load_bytes(x);
    a0 = esp_dot_bytes(a0, v, esp_load_bytes(w));
    a1 = esp_dot_bytes(a1, v, esp_load_bytes(w1));
    a2 = esp_dot_bytes(a2, v, esp_load_bytes(w2));
    a3 = esp_dot_bytes(a3, v, esp_load_bytes(w3));
  }
  depth &= 15;
  if (depth) {
    const esp_bytes v = esp_load_some_bytes(x, depth);
    a0 = esp_dot_bytes(a0, v, esp_load_some_bytes(w, depth));
    a1 = esp_dot_bytes(a1, v, esp_load_some_bytes(w1, depth));
    a2 = esp_dot_bytes(a2, v, esp_load_some_bytes(w2, depth));
    a3 = esp_dot_bytes(a3, v, esp_load_some_bytes(w3, depth));
  }
  return esp_ints_of(a0, a1, a2, a3);
}

#endif
