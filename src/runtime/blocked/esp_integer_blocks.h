#ifndef ESP_INTEGER_BLOCKS_H
#define ESP_INTEGER_BLOCKS_H

#include "esp_block_pixels.h"
#include "esp_blocking.h"
#ifdef ESP_DOT4
#include "esp_dot_pixels.h"
#endif
#include "esp_outputs.h"
#include "esp_requantize.h"
#include "esp_words.h"
#include "espalier_runtime.h"

#ifdef ESP_DOT4
/* Bytes of weights that are copied for the dot product. */
#define ESP_COPIED 768

/* Four rows of weights with the trained channels among the others. */
ESP_INLINE void esp_merge(const esp_weights* w, int32_t o, int32_t depth, int8_t* merged) {
  const int8_t* trained = w->trained + o * w->count;
  int32_t c;
  esp_copy(merged, w->full + o * depth, 4 * depth);
  ESP_ROLLED
  for (c = 0; c < w->count; ++c) {
    const int8_t* from = trained + c;
    int8_t* to = merged + w->channels[c];
    *to = *from;
    from += w->count, to += depth;
    *to = *from;
    from += w->count, to += depth;
    *to = *from;
    from += w->count, to += depth;
    *to = *from;
  }
}
#endif

/* A matrix product of `pixels` rows of x with the weights of a convolution, whose outputs for the
 * first pixel begin at y and at mask element i. */
ESP_INLINE void esp_matrix_product(const esp_conv* d, const int8_t* x, int32_t pixels,
                                   int32_t depth, const esp_weights* w, const esp_requantization* q,
                                   int8_t* y, uint8_t* mask, int32_t i) {
  const esp_target to = esp_target_of(d, y, mask);
  int32_t o, p, c;
#ifdef ESP_DOT4
  uint32_t merged[ESP_COPIED / 4];
  const int32_t words = esp_words(x, depth);
#endif
  for (o = 0; o < d->out_c;) {
    const int8_t* weights = w->full + o * depth;
    /* where there are none, something that bears an offset of 0, as a null pointer does not */
    const int8_t* trained = w->count ? w->trained + o * w->count : weights;
    esp_outputs outputs;
    if (o + 4 <= d->out_c && esp_outputs_of(d, w, q, o, depth, &outputs)) {
#ifdef ESP_DOT4
      if (words && (w->count ? 4 * depth <= ESP_COPIED : esp_words(weights, depth))) {
        if (w->count) {
          esp_merge(w, o, depth, (int8_t*)merged);
          weights = (const int8_t*)merged;
        }
        esp_dot_pixels(&outputs, &to, weights, x, depth, pixels, o, i);
        o += 4;
        continue;
      }
#endif
      esp_block_pixels(&outputs, &to, weights, trained, w->channels, w->count, x, depth, pixels, o,
                       i);
      o += 4;
      continue;
    }
    for (p = 0; p < pixels; ++p) {
      const int8_t* pixel = x + p * depth;
      const int32_t at = p * d->out_c + o;
      int32_t acc = 0;
      ESP_ROLLED
      for (c = 0; c < depth; ++c) acc += (pixel[c] - d->in_zero) * weights[c];
      ESP_ROLLED
      for (c = 0; c < w->count; ++c) acc += (pixel[w->channels[c]] - d->in_zero) * trained[c];
      y[at] = esp_requantized(d, q, o, acc, mask, i + at);
    }
    ++o;
  }
}

#endif
