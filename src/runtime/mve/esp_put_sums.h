#ifndef ESP_PUT_SUMS_H
#define ESP_PUT_SUMS_H

#include "esp_filter.h"
#include "esp_helium.h"

/* Requantises `count` sums of channel c into y[i], y[i + channels], ... */
ESP_INLINE void esp_put_sums(const esp_conv* d, const esp_filter* f, const esp_requantization* q,
                             int32_t c, const int32_t* sums, int32_t count, int32_t whole,
                             int8_t* y, uint8_t* mask, int32_t i) {
  const int32_t start = ESP_LAST(f), low = d->low, top = d->high - d->low, channels = d->out_c;
  const esp_ints multiplier = esp_all_ints(f->scaling.multiplier);
  const esp_ints by = esp_all_ints(-f->scaling.shift);
  const int32_t* end = sums + count;
  int32_t values[4], j, now;
  (void)whole;
  if (!f->simple) {
    ESP_ROLLED
    for (; sums != end; ++sums, i += channels)
      y[i] = esp_requantized(d, q, c, *sums + start, mask, i);
    return;
  }
  ESP_ROLLED
  for (; sums != end; sums += now, count -= now, i += now * channels) {
    esp_ints v;
    now = count < 4 ? count : 4;
    v = esp_plus_all(esp_load_some_ints(sums, now), start);
    v = esp_shifted(esp_plus_all(esp_times_high(v, multiplier), f->scaling.offset), by);
    esp_scatter_bytes(y + i, channels, esp_plus_all(esp_within(v, top), low), now);
    if (!mask) continue;
    esp_store_ints(values, v);
    for (j = 0; j < now; ++j) {
      esp_put_mask(mask, i + j * channels, (uint32_t)values[j] <= (uint32_t)top, d->mask_bits);
    }
  }
}

#endif
