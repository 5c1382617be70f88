#ifndef ESP_WINDOW_H
#define ESP_WINDOW_H

#include "esp_requantize.h"
#include "esp_spread.h"

/* The windows of neighbouring outputs, for esp_sums(), whose locals it uses: rows of inputs from r
 * on, each with its spread weights, from w on. */
#define ESP_MEETING_SUM(j, t) (a##j = esp_dot4(a##j, x##t, *w++))
#define ESP_WINDOW()                                                       \
  do {                                                                     \
    ESP_ROLLED                                                             \
    for (ky = kernel_h; ky > 0; --ky, r += pitch) {                        \
      const uint32_t x0 = esp_word(r), x1 = esp_word(r + 4);               \
      const uint32_t x2 = 4 - stride + kernel_w > 8 ? esp_word(r + 8) : 0; \
      ESP_EACH_MEETING(ESP_MEETING_SUM);                                   \
    }                                                                      \
  } while (0)

#endif
