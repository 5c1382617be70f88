#ifndef ESP_PUT_SUMS_H
#define ESP_PUT_SUMS_H

#include "esp_blocking.h"
#include "esp_filter.h"

/* Requantises `count` sums of channel c into y[i], y[i + channels], ... */
ESP_INLINE void esp_put_sums(const esp_conv* d, const esp_filter* f, const esp_requantization* q,
                             int32_t c, const int32_t* sums, int32_t count, int32_t whole,
                             int8_t* y, uint8_t* mask, int32_t i) {
  const int32_t start = ESP_LAST(f), multiplier = f->scaling.multiplier, offset = f->scaling.offset,
                shift = f->scaling.shift;
  const int32_t low = d->low, top = d->high - low, channels = d->out_c, bits = d->mask_bits;
  const int32_t *fours, *end;
  ESP_HERE(count);
  ESP_HERE(i);
  end = sums + count, fours = whole ? end : sums + (count & ~3);
  if (!f->simple) {
    ESP_ROLLED
    for (; sums != end; ++sums, i += channels)
      y[i] = esp_requantized(d, q, c, *sums + start, mask, i);
    return;
  }
  if (mask && bits && !(channels & 7)) {
    /* the same bit of bytes a step apart */
    int32_t bit = 1 << (i & 7), step = channels, most = top, lowest = low;
    int32_t by = multiplier, half = offset, down = shift, first = start;
    uint8_t* byte = mask + (i >> 3);
    y += i;
    ESP_FRESH();
    ESP_DONE(by, half, down, first);
    ESP_DONE(bit, step, most, lowest);
    ESP_ROLLED
    for (; sums != end; y += step, byte += step >> 3) {
      int32_t value = esp_scaled(*sums++ + first, by, half, down);
      int32_t all = *byte | bit;
      if (ESP_RARELY((uint32_t)value > (uint32_t)most)) {
        value = value < 0 ? 0 : most;
        all ^= bit;
        ESP_HERE(value);
      }
      *y = (int8_t)(value + lowest);
      *byte = (uint8_t)all;
    }
    return;
  }
  if (mask) {
    ESP_ROLLED
    for (; sums != end; ++sums, i += channels) {
      const int32_t value = esp_scaled(*sums + start, multiplier, offset, shift);
      y[i] = esp_to_range(value, low, top);
      esp_put_mask(mask, i, (uint32_t)value <= (uint32_t)top, bits);
    }
    return;
  }
  y += i;
  ESP_FRESH();
#define ESP_PUT(sum)                                                                   \
  do {                                                                                 \
    *y = esp_to_range(esp_scaled((sum) + start, multiplier, offset, shift), low, top); \
    y += channels;                                                                     \
  } while (0)
  ESP_ROLLED
  for (; sums != fours; sums += 4) {
    int32_t v0 = sums[0], v1 = sums[1], v2 = sums[2], v3 = sums[3];
    ESP_DONE(v0, v1, v2, v3);
    ESP_PUT(v0);
    ESP_PUT(v1);
    ESP_PUT(v2);
    ESP_PUT(v3);
  }
  ESP_ROLLED
  for (; sums != end; ++sums) ESP_PUT(*sums);
#undef ESP_PUT
}

#endif
