#ifndef ESP_Q_ROWS_H
#define ESP_Q_ROWS_H

#include "esp_four_products.h"
#include "esp_helium.h"
#include "espalier_integer.h"

/* Products of two rows of gradients with four of weights, added to sums[row][of four]. */
ESP_INLINE void esp_q_rows(const esp_q* xa, const esp_q* xb, const int8_t* fours, int32_t pitch,
                           int32_t depth, esp_q_sum* sums) {
#if ESP_GRADIENT_BITS == 8
  const esp_ints a = esp_four_products(xa, fours, pitch, depth);
  const esp_ints b = esp_four_products(xb, fours, pitch, depth);
  esp_store_ints(sums, esp_plus(esp_load_ints(sums), a));
  esp_store_ints(sums + 4, esp_plus(esp_load_ints(sums + 4), b));
#else
  int32_t j, k;
  ESP_ROLLED
  for (j = 0; j < 4; ++j, fours += pitch) {
    esp_q_sum a = sums[j], b = sums[4 + j];
    ESP_ROLLED
    for (k = 0; k < depth; k += 8) {
      const esp_halves v = esp_widen_halves(fours + k, depth - k);
      a = esp_dot_halves(a, esp_load_halves(xa + k, depth - k), v);
      b = esp_dot_halves(b, esp_load_halves(xb + k, depth - k), v);
    }
    sums[j] = a, sums[4 + j] = b;
  }
#endif
}

#endif
