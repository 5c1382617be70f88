#ifndef ESP_Q_BLOCKS_H
#define ESP_Q_BLOCKS_H

#include "esp_blocking.h"
#include "esp_q_rows.h"
#include "esp_requantize.h"
#include "esp_words.h"
#include "espalier_integer.h"

/* The dot product is of bytes: with 16 bits, code for it is never reached. */
#define ESP_Q_BYTES (ESP_GRADIENT_BITS == 8)

/* Bytes of weights that are turned round for four channels. */
#define ESP_TURNED 768

/* How the sums of one channel become gradients: in 32 bits, where rounding is a matter of the
 * product's upper word. */
typedef struct {
  int32_t factor, half, shift, simple;
} esp_q_scaling;

ESP_INLINE esp_q_scaling esp_q_scaling_of(const esp_q_target* t, const esp_q* addend, int32_t c) {
  esp_q_scaling s;
  const int32_t by = t->by + (t->multiplier ? t->shift[c] : 0);
  s.factor = t->multiplier ? t->multiplier[c] : t->factor;
  s.simple = ESP_GRADIENT_BITS == 8 && !addend && s.factor && by > 32 && by < 63;
  s.shift = s.simple ? by - 32 : 1;
  s.half = 1 << (s.shift - 1);
  return s;
}

/* esp_q_value() of channel c by its scaling. */
ESP_INLINE esp_q esp_q_scaled(const esp_q_target* t, const esp_q_scaling* s, const esp_q* addend,
                              int32_t i, int32_t c, esp_q_sum sum, uint32_t* all) {
  int32_t y;
  if (!s->simple) return esp_q_value(t, addend, i, c, sum, all);
  if (t->mask && !esp_get_mask(t->mask, i, t->mask_bits)) return 0;
  y = ((int32_t)(((int64_t)sum * s->factor) >> 32) + s->half) >> s->shift;
  *all |= (uint32_t)(y ^ (y >> 31)) + (uint32_t)(y < 0);
  if (ESP_RARELY(y > ESP_Q_LIMIT)) y = ESP_Q_LIMIT;
  if (ESP_RARELY(y < -ESP_Q_LIMIT)) y = -ESP_Q_LIMIT;
  return (esp_q)y;
}

/* `count` bytes that lie `step` apart, one behind the other. */
ESP_INLINE void esp_gather(const int8_t* from, int32_t step, int32_t count, int8_t* to) {
  int32_t k;
  ESP_ROLLED
  for (k = 0; k + 4 <= count; k += 4) {
    int32_t v0, v1, v2, v3;
    v0 = *from, from += step;
    v1 = *from, from += step;
    v2 = *from, from += step;
    v3 = *from, from += step;
    ESP_DONE(v0, v1, v2, v3);
    to[k] = (int8_t)v0;
    to[k + 1] = (int8_t)v1;
    to[k + 2] = (int8_t)v2;
    to[k + 3] = (int8_t)v3;
  }
  ESP_ROLLED
  for (; k < count; ++k, from += step) to[k] = *from;
}

/* Where the weights of four input channels lie; `step` to the next output. */
typedef struct {
  const int8_t* from[4];
  int32_t step[4];
} esp_q_lanes;

/* Those of `lanes` channels from c on; `next` counts the trained channels so far. */
ESP_INLINE void esp_q_lanes_of(const esp_weights* w, int32_t c, int32_t lanes, int32_t in_c,
                               int32_t* next, esp_q_lanes* of) {
  int32_t j;
  ESP_ROLLED
  for (j = 0; j < lanes; ++j) {
    const int32_t trained = *next < w->count && w->channels[*next] == c + j;
    of->from[j] = trained ? w->trained + *next : w->full + c + j;
    of->step[j] = trained ? w->count : in_c;
    *next += trained;
  }
}

/* Their weights for `count` outputs from o on, by channel: four rows of `pitch`. */
ESP_INLINE void esp_turn_weights(const esp_q_lanes* of, int32_t lanes, int32_t o, int32_t count,
                                 int32_t pitch, int8_t* turned) {
  int32_t j;
  ESP_ROLLED
  for (j = 0; j < lanes; ++j, turned += pitch) {
    esp_gather(of->from[j] + o * of->step[j], of->step[j], count, turned);
  }
  if (lanes < 4) esp_fill(turned, 0, (4 - lanes) * pitch);
}

#ifdef ESP_DOT4
/* Products of three rows, the others `second` and `third` bytes behind the first, with four,
 * `depth` elements each on word boundaries: added to sums[row][of four]. */
ESP_INLINE void esp_q_dot_rows(const esp_q* rows, int32_t second, int32_t third,
                               const int8_t* fours, int32_t pitch, int32_t depth, esp_q_sum* all) {
  int32_t* sums = (int32_t*)all;
  const int8_t *xa = (const int8_t*)rows, *xb = xa + second, *xc = xa + third;
  const int8_t *w0 = fours, *w1 = w0 + pitch, *w2 = w1 + pitch, *w3 = w2 + pitch, *end = xa + depth;
  int32_t a0 = sums[0], a1 = sums[1], a2 = sums[2], a3 = sums[3];
  int32_t b0 = sums[4], b1 = sums[5], b2 = sums[6], b3 = sums[7];
  int32_t c0 = sums[8], c1 = sums[9], c2 = sums[10], c3 = sums[11];
#define ESP_STEP(k)                                                  \
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
#define ESP_ADVANCE(n) (xa += (n), xb += (n), xc += (n), w0 += (n), w1 += (n), w2 += (n), w3 += (n))
  if (depth & 4) {
    ESP_STEP(0);
    ESP_ADVANCE(4);
  }
  ESP_ROLLED
  while (xa != end) {
    ESP_STEP(0);
    ESP_STEP(4);
    ESP_ADVANCE(8);
  }
#undef ESP_STEP
#undef ESP_ADVANCE
  sums[0] = a0, sums[1] = a1, sums[2] = a2, sums[3] = a3;
  sums[4] = b0, sums[5] = b1, sums[6] = b2, sums[7] = b3;
  sums[8] = c0, sums[9] = c1, sums[10] = c2, sums[11] = c3;
}
#endif

#endif
