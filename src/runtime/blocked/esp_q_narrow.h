#ifndef ESP_Q_NARROW_H
#define ESP_Q_NARROW_H

#include "esp_blocking.h"
#include "esp_requantize.h"

/* A map of up to four columns, in rows of four with zeros behind, meets a kernel whose middle
 * column lies above the output: which column meets which is known, and most of the padding need not
 * be there at all. */

#ifdef ESP_DOT4
/* The weights of each row as words, one for each output of a row; the last first, for the filter is
 * turned round. */
ESP_INLINE void esp_narrow_weights(const int8_t* weights, int32_t kernel_w, int32_t kernel_h,
                                   uint32_t* words) {
  const int8_t* w = weights + kernel_w * kernel_h;
  int32_t j, k;
  ESP_ROLLED
  for (; w != weights; words += 4) {
    uint32_t low = 0, high = 0;
    w -= kernel_w;
    for (k = 0; k < kernel_w; ++k) {
      const uint32_t v = (uint8_t)w[kernel_w - 1 - k];
      if (k < 4) low |= v << 8 * k;
      if (k >= 4) high |= v << 8 * (k & 3);
    }
    for (j = 0; j < 4; ++j) {
      const int32_t first = 8 * (kernel_w / 2 - j); /* bits in front of what meets the map */
      words[j] = first > 0   ? low >> first | high << ((32 - first) & 31)
                 : first < 0 ? low << (-first & 31)
                             : low;
    }
  }
}
#endif

/* Sums of `rows` rows of outputs by the filter turned round. The first of its rows meets what lies
 * `above` rows above the map, of `height`, for the first output. The kernel's width is known at
 * compile time, its height at most 7. */
ESP_INLINE void esp_narrow_sums(const int8_t* weights, const int8_t* map, int32_t kernel_w,
                                int32_t kernel_h, int32_t above, int32_t height, int32_t rows,
                                int32_t* sums) {
#ifdef ESP_DOT4
  uint32_t words[4 * 7];
  esp_narrow_weights(weights, kernel_w, kernel_h, words);
#else
  const int32_t half = kernel_w / 2;
#endif
  ESP_HERE(above);
  ESP_FRESH();
  ESP_ROLLED
  for (; rows > 0; --rows, --above, sums += 4) {
    const int32_t first = above > 0 ? above : 0;
    const int32_t until = above + height < kernel_h ? above + height : kernel_h;
    const int8_t* r = map + 4 * (first - above);
    int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
#ifdef ESP_DOT4
    const uint32_t *w = words + 4 * first, *end = words + 4 * until;
    ESP_ROLLED
    for (; w != end; w += 4, r += 4) {
      const uint32_t x = esp_word(r), w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
      ESP_DOT_4(a0, a1, a2, a3, x, w0, w1, w2, w3);
    }
#else
    const int8_t* w = weights + kernel_w * (kernel_h - first);
    const int8_t* end = weights + kernel_w * (kernel_h - until);
    ESP_ROLLED
    for (; w != end; r += 4) {
      const int32_t x0 = r[0], x1 = r[1], x2 = r[2], x3 = r[3];
      int32_t v;
      w -= kernel_w;
      if (half > 2) {
        v = w[half + 3];
        a3 += x0 * v;
      }
      if (half > 1) {
        v = w[half + 2];
        a2 += x0 * v, a3 += x1 * v;
      }
      v = w[half + 1];
      a1 += x0 * v, a2 += x1 * v, a3 += x2 * v;
      v = w[half];
      a0 += x0 * v, a1 += x1 * v, a2 += x2 * v, a3 += x3 * v;
      v = w[half - 1];
      a0 += x1 * v, a1 += x2 * v, a2 += x3 * v;
      if (half > 1) {
        v = w[half - 2];
        a0 += x2 * v, a1 += x3 * v;
      }
      if (half > 2) {
        v = w[half - 3];
        a0 += x3 * v;
      }
    }
#endif
    sums[0] = a0, sums[1] = a1, sums[2] = a2, sums[3] = a3;
  }
}

#endif
