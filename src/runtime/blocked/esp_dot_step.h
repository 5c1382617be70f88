#ifndef ESP_DOT_STEP_H
#define ESP_DOT_STEP_H

#include "esp_blocking.h"
#include "esp_requantize.h"

/* Four elements of three rows, at xa, xb and xc, with four rows, at w0 to w3: locals of the caller,
 * as the sums a0 to c3 are. The third row's are loaded neither so early that registers become few
 * nor right before they are needed. */
#define ESP_DOT_STEP(k)                                              \
  do {                                                               \
    const uint32_t v0 = esp_word(w0 + (k)), v1 = esp_word(w1 + (k)); \
    const uint32_t v2 = esp_word(w2 + (k)), v3 = esp_word(w3 + (k)); \
    const uint32_t xav = esp_word(xa + (k));                         \
    uint32_t xbv = esp_word(xb + (k)), xcv;                          \
    ESP_DOT_4(a0, a1, a2, a3, xav, v0, v1, v2, v3);                  \
    xcv = esp_word(xc + (k));                                        \
    ESP_DONE(xbv, xcv, b0, b1);                                      \
    ESP_DOT_4(b0, b1, b2, b3, xbv, v0, v1, v2, v3);                  \
    ESP_DOT_4(c0, c1, c2, c3, xcv, v0, v1, v2, v3);                  \
  } while (0)
/* Moves all pointers, so that steps have constant offsets. */
#define ESP_DOT_ADVANCE(n) \
  (xa += (n), xb += (n), xc += (n), w0 += (n), w1 += (n), w2 += (n), w3 += (n))

#endif
