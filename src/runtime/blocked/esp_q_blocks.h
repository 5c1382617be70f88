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
 * product's upper word. An addend is shifted to the sums' unit, up or down. */
typedef struct {
  int32_t factor, half, shift, room, up, down, simple;
} esp_q_scaling;

/* `most_room`: bits that sums, and the addend with them, may be shifted up by. Sums are of fewer
 * than 2^16 products of bytes. */
ESP_INLINE esp_q_scaling esp_q_scaling_of(const esp_q_target* t, const esp_q* addend, int32_t c,
                                          int32_t most_room) {
  esp_q_scaling s;
  const int32_t up = addend ? t->up : 0;
  int32_t by = t->by + (t->multiplier ? t->shift[c] : 0);
  s.factor = t->multiplier ? t->multiplier[c] : t->factor;
  if (!s.factor) {
    s.factor = 1 << 30;
    by += 30;
  }
  s.room = by > 32 ? 0 : 33 - by;
  by += s.room;
  s.up = (up > 0 ? up : 0) + s.room;
  s.down = up < 0 ? -up : 0;
  s.simple = ESP_GRADIENT_BITS == 8 && s.room <= most_room && by < 63 && t->down == 0 &&
             s.up <= 23 && s.down < 32;
  s.shift = s.simple ? by - 32 : 1;
  s.half = 1 << (s.shift - 1);
  return s;
}

/* What the values of a tensor needed so far: `all` as esp_q_note() takes it, and the largest
 * magnitude, up to the limit, that changes nothing about it. */
typedef struct {
  uint32_t all;
  int32_t known;
} esp_q_seen;

ESP_INLINE int32_t esp_q_known(uint32_t all) {
  all |= all >> 1, all |= all >> 2, all |= all >> 4;
  return all > ESP_Q_LIMIT ? ESP_Q_LIMIT : (int32_t)all;
}
ESP_INLINE esp_q_seen esp_q_seen_by(const esp_q_range* range) {
  esp_q_seen seen;
  const int32_t bits = range->bits < ESP_GRADIENT_BITS ? range->bits : ESP_GRADIENT_BITS - 1;
  seen.all = bits > 0 ? (1u << bits) - 1 : 0;
  seen.known = (int32_t)seen.all;
  return seen;
}

/* A value in the range of gradients; one beyond all magnitudes seen so far joins them. */
ESP_INLINE int32_t esp_q_in_range(int32_t y, int32_t* known, esp_q_seen* seen) {
  if (ESP_RARELY((uint32_t)(y + *known) > 2u * (uint32_t)*known)) {
    seen->all |= esp_q_magnitude(y);
    *known = esp_q_known(seen->all);
    if (y > ESP_Q_LIMIT) y = ESP_Q_LIMIT;
    if (y < -ESP_Q_LIMIT) y = -ESP_Q_LIMIT;
  }
  return y;
}

/* How the elements of a column are masked: not, by the same bit of bytes a step apart, or
 * otherwise. */
enum { ESP_OPEN, ESP_SAME_BIT, ESP_MASKED };

ESP_INLINE void esp_q_simple_column(int32_t masked, const esp_q_target* t, const esp_q_scaling* s,
                                    const esp_q* addend, const esp_q_sum* sums, int32_t sum_step,
                                    const esp_q* plain, esp_q* dx, int32_t i, int32_t step,
                                    int32_t count, esp_q_seen* seen) {
  const int32_t factor = s->factor, half = s->half, shift = s->shift;
  const int32_t room = s->room, up = s->up, down = s->down, bit = 1 << (i & 7), bytes = step >> 3;
  const uint8_t* byte = masked == ESP_SAME_BIT ? t->mask + (i >> 3) : t->mask;
  int32_t known = seen->known;
  ESP_ROLLED
  for (; count > 0; --count, i += step) {
    int32_t y = 0;
    if (masked == ESP_OPEN ||
        (masked == ESP_SAME_BIT ? *byte & bit : esp_get_mask(t->mask, i, t->mask_bits))) {
      y = plain ? plain[i] * (1 << room) : (int32_t)*sums;
      if (addend) y += (addend[i] >> down) * (1 << up);
      y = ((int32_t)(((int64_t)y * factor) >> 32) + half) >> shift;
      y = esp_q_in_range(y, &known, seen);
    }
    dx[i] = (esp_q)y;
    if (!plain) sums += sum_step;
    if (masked == ESP_SAME_BIT) byte += bytes;
  }
  seen->known = known;
}

/* Whether a column is simple, without addend, and masked by the same bit of bytes a step apart. */
ESP_INLINE int32_t esp_q_same_bit(const esp_q_target* t, const esp_q_scaling* s,
                                  const esp_q* addend, int32_t step) {
  return s->simple && !addend && t->mask && t->mask_bits && !(step & 7);
}

/* esp_q_value() of `count` elements of channel c from i on, `step` apart, by its scaling: of sums,
 * or where there is a `plain` gradient of its elements. `other`: they are not as esp_q_same_bit()
 * says. */
ESP_INLINE void esp_q_column(int32_t other, const esp_q_target* t, const esp_q_scaling* s,
                             const esp_q* addend, const esp_q_sum* sums, int32_t sum_step,
                             const esp_q* plain, esp_q* dx, int32_t i, int32_t step, int32_t c,
                             int32_t count, esp_q_seen* seen) {
#define ESP_COLUMN(masked, added) \
  esp_q_simple_column(masked, t, s, added, sums, sum_step, plain, dx, i, step, count, seen)
  if (!s->simple) {
    ESP_ROLLED
    for (; count > 0; --count, i += step) {
      dx[i] = esp_q_value(t, addend, i, c, plain ? plain[i] : *sums, &seen->all);
      if (!plain) sums += sum_step;
    }
  } else if (addend) {
    if (t->mask) {
      ESP_COLUMN(ESP_MASKED, addend);
    } else {
      ESP_COLUMN(ESP_OPEN, addend);
    }
  } else if (!t->mask) {
    ESP_COLUMN(ESP_OPEN, 0);
  } else if (!other && t->mask_bits && !(step & 7)) {
    ESP_COLUMN(ESP_SAME_BIT, 0);
  } else {
    ESP_COLUMN(ESP_MASKED, 0);
  }
#undef ESP_COLUMN
}

/* The shift of the upper word of products of sums with a factor where steps are rounded
 * stochastically in two steps; 0 for all others. Sums are of up to `terms` products of bytes. */
ESP_INLINE int32_t esp_q_quick(const esp_q_parameter_sink* sink, esp_q_pace pace, int32_t terms) {
  return ESP_GRADIENT_BITS == 8 && !sink->sum && !sink->unit && sink->sgd->stochastic &&
                 pace.factor >= 0 && pace.shift > ESP_Q_TWO_STEPS && pace.shift < 62 &&
                 terms <= 16384
             ? pace.shift - 32
             : 0;
}
ESP_INLINE int32_t esp_q_quick_step(int32_t sum, int32_t factor, int32_t quick, uint32_t random) {
#ifdef __arm__
  const int64_t product = (int64_t)sum * factor;
  const int32_t high = (int32_t)(product >> 32) + (int32_t)((uint32_t)product >> 31);
  return (high + (int32_t)(random >> (32 - quick))) >> quick;
#else
  /* of twice the product, in halves: a one behind the random bits rounds the last bit. Below 2^29,
   * and random bits below 2^30. */
  const int32_t high = (int32_t)(((int64_t)sum * (int64_t)(2u * (uint32_t)factor)) >> 32);
  return (high + (int32_t)(random >> (31 - quick) | 1u)) >> (quick + 1);
#endif
}
/* 0: steps of weights are not clipped, or not taken here. */
ESP_INLINE int32_t esp_q_weight_clip(const esp_q_parameter_sink* sink) {
  return sink->sum || sink->sgd->weight_clip == INT32_MAX ? 0 : sink->sgd->weight_clip;
}

#ifdef ESP_DOT4
/* Words of four bytes, `step` bytes apart, by byte: four rows of `pitch`. Four words at a time;
 * says how many of `count` have been turned. */
ESP_INLINE int32_t esp_turn_words(const int8_t* from, int32_t step, int32_t count, int32_t pitch,
                                  int8_t* to) {
  const uint32_t even = 0x00FF00FFu, low = 0xFFFFu;
  int32_t left;
  ESP_ROLLED
  for (left = count >> 2; left > 0; --left, to += 4) {
    uint32_t a, b, c, d, ab, cd;
    int8_t* row = to;
    a = esp_word(from), from += step;
    b = esp_word(from), from += step;
    c = esp_word(from), from += step;
    d = esp_word(from), from += step;
    /* bytes 0 and 2 of two words, then 1 and 3 */
    ab = (a & even) | (b & even) << 8;
    cd = (c & even) | (d & even) << 8;
    a = (a >> 8 & even) | (b & ~even);
    c = (c >> 8 & even) | (d & ~even);
    esp_put_word(row, (ab & low) | cd << 16), row += pitch;
    esp_put_word(row, (a & low) | c << 16), row += pitch;
    esp_put_word(row, ab >> 16 | (cd & ~low)), row += pitch;
    esp_put_word(row, a >> 16 | (c & ~low));
  }
  return count & ~3;
}
#endif

/* Where the weights of four input channels lie; `step` to the next output. */
typedef struct {
  const int8_t* from[4];
  int32_t step[4];
  int32_t apart; /* some of them, or where no words begin */
} esp_q_lanes;

/* Those of `lanes` channels from c on; `next` counts the trained channels so far. */
ESP_INLINE void esp_q_lanes_of(const esp_weights* w, int32_t c, int32_t lanes, int32_t in_c,
                               int32_t* next, esp_q_lanes* of) {
  int32_t j;
  of->apart = lanes < 4 || (((int32_t)(uintptr_t)(w->full + c) | in_c) & 3);
  ESP_ROLLED
  for (j = 0; j < lanes; ++j) {
    const int32_t trained = *next < w->count && w->channels[*next] == c + j;
    of->from[j] = trained ? w->trained + *next : w->full + c + j;
    of->step[j] = trained ? w->count : in_c;
    of->apart |= trained;
    *next += trained;
  }
}

/* Their weights for `count` outputs from o on, by channel: four rows of `pitch`. */
ESP_INLINE void esp_turn_weights(const esp_q_lanes* of, int32_t lanes, int32_t o, int32_t count,
                                 int32_t pitch, int8_t* turned) {
  int32_t j, done = 0;
#ifdef ESP_DOT4
  if (!of->apart) {
    done = esp_turn_words(of->from[0] + o * of->step[0], of->step[0], count, pitch, turned);
  }
#endif
  ESP_ROLLED
  for (j = 0; j < lanes; ++j, turned += pitch) {
    if (done == count) continue;
    esp_gather(of->from[j] + (o + done) * of->step[j], of->step[j], count - done, turned + done);
  }
  if (lanes < 4) esp_fill(turned, 0, (4 - lanes) * pitch);
}

#endif
