#ifndef ESP_FILTER_H
#define ESP_FILTER_H

#include "esp_blocking.h"
#include "esp_requantize.h"
#include "espalier_runtime.h"

/* What stays the same over the outputs of one channel. Of a filter with a scaling `start` holds the
 * bias. */
typedef struct {
  const int8_t* weights;
  int32_t simple, start;
  esp_scaling scaling;
} esp_filter;

ESP_INLINE esp_filter esp_filter_of(const esp_conv* d, const esp_weights* w,
                                    const esp_requantization* q, int32_t c, int32_t taps,
                                    int32_t* next) {
  esp_filter f = {0, 0, 0, {0, 0, 0, 0}};
  f.weights = w->full + c * taps;
  if (*next < w->count && w->channels[*next] == c) f.weights = w->trained + (*next)++ * taps;
  f.simple = esp_scaling_of(d, q, c, taps, &f.scaling);
  f.start = f.scaling.bias - esp_sum(f.weights, taps) * d->in_zero;
  return f;
}

/* Sums are formed for a number of outputs before they are requantised: each of the two loops has
 * registers for all that it needs. Of a row they are for up to half of these. */
#define ESP_SUMS 128

/* Rows of outputs whose sums are formed at a time; at least two. */
ESP_INLINE int32_t esp_batch_of(const esp_conv* d) {
  return d->out_w < ESP_SUMS / 2 ? ESP_SUMS / ((d->out_w + 3) & ~3) : 2;
}

/* Where the start value joins a sum: where the loop has a register for it. */
#ifdef ESP_DOT4
#define ESP_FIRST(f) ((f)->start)
#define ESP_LAST(f) 0
#else
#define ESP_FIRST(f) 0
#define ESP_LAST(f) ((f)->start)
#endif

#endif
