#ifndef ESP_BLOCK_PIXELS_H
#define ESP_BLOCK_PIXELS_H

#include "esp_add_trained.h"
#include "esp_blocking.h"
#include "esp_four_products.h"
#include "esp_outputs.h"

/* The products of `pixels` rows of x, `depth` elements each that lie anywhere, with four rows of
 * weights, as outputs, which are scaled together. The gathered channels of partly trained weights,
 * [4][count], come on top. The outputs of the first pixel begin at i, and at first + i in the
 * mask. */
ESP_INLINE void esp_block_pixels(const esp_outputs* q, const esp_target* to, const int8_t* weights,
                                 const int8_t* trained, const int16_t* channels, int32_t count,
                                 const int8_t* x, int32_t depth, int32_t pixels, int32_t i,
                                 int32_t first) {
  const esp_ints multiplier = esp_load_ints(q->multiplier), offset = esp_load_ints(q->offset);
  const int32_t right[4] = {-q->shift[0], -q->shift[1], -q->shift[2], -q->shift[3]};
  const esp_ints by = esp_load_ints(right), start = esp_load_ints(q->start);
  int8_t* y = to->y + i;
  int32_t sums[8];
  i += first;
  ESP_ROLLED
  for (; pixels > 0; --pixels, x += depth, y += to->out_c, i += to->out_c) {
    esp_ints values = esp_plus(esp_four_products(x, weights, depth, depth), start);
    if (count) {
      esp_store_ints(sums, values);
      esp_store_ints(sums + 4, values); /* of a second pixel, which there is not */
      esp_add_trained(trained, channels, count, x, x, sums);
      values = esp_load_ints(sums);
    }
    values = esp_shifted(esp_plus(esp_times_high(values, multiplier), offset), by);
    esp_narrow_bytes(y, esp_plus_all(esp_within(values, to->top), to->low));
    if (to->mask) {
      esp_store_ints(sums, values);
      esp_put_masks(to, sums[0], sums[1], sums[2], sums[3], i);
    }
  }
}

#endif
