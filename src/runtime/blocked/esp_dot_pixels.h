#ifndef ESP_DOT_PIXELS_H
#define ESP_DOT_PIXELS_H

#include "esp_dot_threes.h"

/* Pixels that are best computed together. */
#define ESP_DOT_PIXELS 3

/* Four outputs of `pixels` pixels, the first at y[i] and mask element first + i. Rows of weights
 * and of pixels, `depth` elements each, begin and end on word boundaries. */
ESP_INLINE void esp_dot_pixels(const esp_outputs* q, const esp_target* to, const int8_t* weights,
                               const int8_t* x, int32_t depth, int32_t pixels, int32_t i,
                               int32_t first) {
  esp_dot_threes(q, to, weights, x, depth, pixels, i, first);
}

#endif
