#ifndef ESP_SPREAD_H
#define ESP_SPREAD_H

#include "esp_blocking.h"
#include "esp_filter.h"

/* Whether word t of the inputs of four (stride 1) or two outputs holds some for output j. */
#define ESP_MEETS(j, t) (4 * (t) + 3 >= (j)*stride && 4 * (t) < (j)*stride + kernel_w)
/* Calls DO(j, t) for all of those. */
#define ESP_EACH_MEETING(DO)         \
  do {                               \
    if (ESP_MEETS(0, 0)) DO(0, 0);   \
    if (ESP_MEETS(0, 1)) DO(0, 1);   \
    if (ESP_MEETS(1, 0)) DO(1, 0);   \
    if (ESP_MEETS(1, 1)) DO(1, 1);   \
    if (ESP_MEETS(1, 2)) DO(1, 2);   \
    if (stride == 1) {               \
      if (ESP_MEETS(2, 0)) DO(2, 0); \
      if (ESP_MEETS(2, 1)) DO(2, 1); \
      if (ESP_MEETS(2, 2)) DO(2, 2); \
      if (ESP_MEETS(3, 0)) DO(3, 0); \
      if (ESP_MEETS(3, 1)) DO(3, 1); \
      if (ESP_MEETS(3, 2)) DO(3, 2); \
    }                                \
  } while (0)

/* What seven rows of seven weights become. */
#define ESP_SPREAD_WORDS 70

/* The weights of each row once for every place that the window of an output can have among the
 * words of inputs. */
ESP_INLINE void esp_spread(const esp_filter* f, int32_t kernel_w, int32_t kernel_h, int32_t stride,
                           uint32_t* words) {
  int32_t ky, kx;
  ESP_ROLLED
  for (ky = 0; ky < kernel_h; ++ky) {
    const int8_t* row = f->weights + ky * kernel_w;
    uint32_t w[2] = {0, 0};
    for (kx = 0; kx < kernel_w; ++kx) w[kx >> 2] |= (uint32_t)(uint8_t)row[kx] << 8 * (kx & 3);
#define ESP_SPREAD(j, t)                                                \
  do {                                                                  \
    const int32_t m = 8 * (j)*stride; /* bits in front of the window */ \
    *words++ = (t) == 0   ? w[0] << m                                   \
               : m == 0   ? w[1]                                        \
               : (t) == 1 ? w[1] << (m & 31) | w[0] >> ((32 - m) & 31)  \
                          : w[1] >> ((32 - m) & 31);                    \
  } while (0)
    ESP_EACH_MEETING(ESP_SPREAD);
#undef ESP_SPREAD
  }
}

#endif
