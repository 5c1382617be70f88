#ifndef ESP_INTEGER_BLOCKS_H
#define ESP_INTEGER_BLOCKS_H

#include "espalier_runtime.h"

/* Two pixels by four outputs: accumulators as named scalars, which stay in registers. */
typedef struct {
  int32_t a0, a1, a2, a3, b0, b1, b2, b3;
} esp_block;

/* The weights of four neighbouring outputs. */
typedef struct {
  const int8_t *w0, *w1, *w2, *w3;
} esp_rows;

ESP_INLINE esp_rows esp_rows_of(const int8_t* weights, int32_t stride) {
  esp_rows rows;
  rows.w0 = weights;
  rows.w1 = rows.w0 + stride;
  rows.w2 = rows.w1 + stride;
  rows.w3 = rows.w2 + stride;
  return rows;
}

#ifdef ESP_DOT4
/* acc + the products of four int8 with four int8. */
ESP_INLINE int32_t esp_dot4(int32_t acc, uint32_t a, uint32_t b) {
#ifdef __riscv
  __asm__(".insn r OP_32, 5, 0x46, %0, %1, %2" : "+r"(acc) : "r"(a), "r"(b));
  return acc;
#else
  int32_t i;
  for (i = 0; i < 32; i += 8) acc += (int32_t)(int8_t)(a >> i) * (int8_t)(b >> i);
  return acc;
#endif
}

/* Four int8 that lie on a word boundary. */
ESP_INLINE uint32_t esp_word(const int8_t* p) {
  uint32_t word;
  memcpy(&word, __builtin_assume_aligned(p, 4), sizeof word);
  return word;
}

/* Whether rows of `depth` elements from p on begin and end on word boundaries. */
ESP_INLINE int32_t esp_words(const int8_t* p, int32_t depth) {
  return !((depth | (int32_t)(uintptr_t)p) & 3);
}
#endif

/* One element of both pixels with four outputs. */
#define ESP_STEP(c)                                               \
  do {                                                            \
    const int32_t xav = xa[c], xbv = xb[c];                       \
    const int32_t v0 = w0[c], v1 = w1[c], v2 = w2[c], v3 = w3[c]; \
    a0 += xav * v0;                                               \
    b0 += xbv * v0;                                               \
    a1 += xav * v1;                                               \
    b1 += xbv * v1;                                               \
    a2 += xav * v2;                                               \
    b2 += xbv * v2;                                               \
    a3 += xav * v3;                                               \
    b3 += xbv * v3;                                               \
  } while (0)
/* Four elements at once. */
#define ESP_DOT_STEP(c)                                                \
  do {                                                                 \
    const uint32_t xav = esp_word(xa + (c)), xbv = esp_word(xb + (c)); \
    const uint32_t v0 = esp_word(w0 + (c)), v1 = esp_word(w1 + (c));   \
    const uint32_t v2 = esp_word(w2 + (c)), v3 = esp_word(w3 + (c));   \
    a0 = esp_dot4(a0, xav, v0);                                        \
    b0 = esp_dot4(b0, xbv, v0);                                        \
    a1 = esp_dot4(a1, xav, v1);                                        \
    b1 = esp_dot4(b1, xbv, v1);                                        \
    a2 = esp_dot4(a2, xav, v2);                                        \
    b2 = esp_dot4(b2, xbv, v2);                                        \
    a3 = esp_dot4(a3, xav, v3);                                        \
    b3 = esp_dot4(b3, xbv, v3);                                        \
  } while (0)
/* Moves all pointers, so that steps have constant offsets. */
#define ESP_ADVANCE(n) (xa += (n), xb += (n), w0 += (n), w1 += (n), w2 += (n), w3 += (n))

/* acc += rows times the pixels at xa and xb, over `left` elements. */
ESP_INLINE void esp_accumulate(esp_block* acc, const int8_t* xa, const int8_t* xb, esp_rows rows,
                               int32_t left) {
  const int8_t *w0 = rows.w0, *w1 = rows.w1, *w2 = rows.w2, *w3 = rows.w3;
  int32_t a0 = acc->a0, a1 = acc->a1, a2 = acc->a2, a3 = acc->a3;
  int32_t b0 = acc->b0, b1 = acc->b1, b2 = acc->b2, b3 = acc->b3;
#ifdef ESP_DOT4
  if (esp_words(xa, left) && esp_words(w0, left)) {
    const int8_t* end = xa + (left & ~15);
    ESP_ROLLED
    while (xa != end) {
      ESP_DOT_STEP(0);
      ESP_DOT_STEP(4);
      ESP_DOT_STEP(8);
      ESP_DOT_STEP(12);
      ESP_ADVANCE(16);
    }
    if (left & 8) {
      ESP_DOT_STEP(0);
      ESP_DOT_STEP(4);
      ESP_ADVANCE(8);
    }
    if (left & 4) ESP_DOT_STEP(0);
    left = 0;
  }
#endif
  ESP_ROLLED
  for (; left >= 4; left -= 4, ESP_ADVANCE(4)) {
    ESP_STEP(0);
    ESP_STEP(1);
    ESP_STEP(2);
    ESP_STEP(3);
  }
  ESP_ROLLED
  for (; left > 0; --left, ESP_ADVANCE(1)) ESP_STEP(0);
  acc->a0 = a0;
  acc->a1 = a1;
  acc->a2 = a2;
  acc->a3 = a3;
  acc->b0 = b0;
  acc->b1 = b1;
  acc->b2 = b2;
  acc->b3 = b3;
}

/* The same with the gathered channels of partly trained weights. */
ESP_INLINE void esp_accumulate_gathered(esp_block* acc, const int8_t* xa, const int8_t* xb,
                                        esp_rows rows, const int16_t* channels, int32_t count) {
  int32_t j;
  ESP_ROLLED
  for (j = 0; j < count; ++j) {
    const int32_t c = channels[j], xav = xa[c], xbv = xb[c];
    acc->a0 += xav * rows.w0[j];
    acc->b0 += xbv * rows.w0[j];
    acc->a1 += xav * rows.w1[j];
    acc->b1 += xbv * rows.w1[j];
    acc->a2 += xav * rows.w2[j];
    acc->b2 += xbv * rows.w2[j];
    acc->a3 += xav * rows.w3[j];
    acc->b3 += xbv * rows.w3[j];
  }
}

ESP_INLINE int32_t esp_sum(const int8_t* values, int32_t count) {
  int32_t sum = 0;
#ifdef ESP_DOT4
  if (!((int32_t)(uintptr_t)values & 3)) {
    for (; count >= 4; count -= 4, values += 4) sum = esp_dot4(sum, esp_word(values), 0x01010101u);
  }
#endif
  ESP_ROLLED
  for (; count >= 4; count -= 4, values += 4) sum += values[0] + values[1] + values[2] + values[3];
  ESP_ROLLED
  for (; count > 0; --count) sum += *values++;
  return sum;
}

/* Requantisation of four neighbouring outputs, kept at hand over all pixels. Values count from the
 * lowest output, so that the clamp is one to [0, top]. */
typedef struct {
  int32_t start[4], multiplier[4], offset[4], shift[4];
} esp_outputs;

/* Where outputs go. */
typedef struct {
  int8_t* y;
  uint8_t* mask;
  int32_t mask_bits, low, top;
} esp_target;

ESP_INLINE esp_target esp_target_of(const esp_conv* d, int8_t* y, uint8_t* mask) {
  esp_target target;
  target.y = y;
  target.mask = mask;
  target.mask_bits = d->mask_bits;
  target.low = d->low;
  target.top = d->high - d->low;
  return target;
}

/* A value that counts from `low`, clamped to [0, top], as an output. Values below are as common as
 * values inside, values above are not. */
ESP_INLINE int8_t esp_to_range(int32_t value, int32_t low, int32_t top) {
  value &= ~(value >> 31);
  if (ESP_RARELY(value > top)) {
    ESP_APART();
    value = top;
  }
  return (int8_t)(value + low);
}

/* A sum as a value that counts from the lowest output. */
ESP_INLINE int32_t esp_scaled(int32_t acc, int32_t multiplier, int32_t offset, int32_t shift) {
  return ((int32_t)(((int64_t)acc * multiplier) >> 32) + offset) >> shift;
}

/* Notes which of four neighbouring values, the first of which is i, lie in the range. */
ESP_INLINE void esp_put_masks(const esp_target* to, int32_t v0, int32_t v1, int32_t v2, int32_t v3,
                              int32_t i) {
  const uint32_t top = (uint32_t)to->top;
  const int32_t m0 = (uint32_t)v0 <= top, m1 = (uint32_t)v1 <= top;
  const int32_t m2 = (uint32_t)v2 <= top, m3 = (uint32_t)v3 <= top;
  const int32_t bits = m0 | m1 << 1 | m2 << 2 | m3 << 3;
  int32_t j;
  if (to->mask_bits && !(i & 3)) {
    /* four bits of one byte */
    uint8_t* byte = to->mask + (i >> 3);
    *byte = (uint8_t)((*byte & ~(15 << (i & 4))) | bits << (i & 4));
    return;
  }
  ESP_ROLLED
  for (j = 0; j < 4; ++j) esp_put_mask(to->mask, i + j, bits >> j & 1, to->mask_bits);
}

/* Clamps and stores four neighbouring outputs at y[at], whose place in the mask is i. */
ESP_INLINE void esp_finish(const esp_outputs* q, const esp_target* to, int32_t a0, int32_t a1,
                           int32_t a2, int32_t a3, int32_t at, int32_t i) {
  int8_t* y = to->y + at;
  a0 = esp_scaled(a0, q->multiplier[0], q->offset[0], q->shift[0]);
  a1 = esp_scaled(a1, q->multiplier[1], q->offset[1], q->shift[1]);
  a2 = esp_scaled(a2, q->multiplier[2], q->offset[2], q->shift[2]);
  a3 = esp_scaled(a3, q->multiplier[3], q->offset[3], q->shift[3]);
  y[0] = esp_to_range(a0, to->low, to->top);
  y[1] = esp_to_range(a1, to->low, to->top);
  y[2] = esp_to_range(a2, to->low, to->top);
  y[3] = esp_to_range(a3, to->low, to->top);
  if (to->mask) esp_put_masks(to, a0, a1, a2, a3, i);
}

/* Both pixels' accumulators before the first product. */
ESP_INLINE esp_block esp_start(const esp_outputs* q) {
  esp_block acc;
  acc.a0 = acc.b0 = q->start[0];
  acc.a1 = acc.b1 = q->start[1];
  acc.a2 = acc.b2 = q->start[2];
  acc.a3 = acc.b3 = q->start[3];
  return acc;
}

/* Fills in `outputs` for four outputs whose bias cannot saturate a sum over `depth` elements and
 * whose rounding is a matter of the product's upper word (shifts of 33 to 48), as all are but dead
 * channels and odd scales. False for others. The bias and the zero point of the input become a
 * start value; half a unit, the zero point and the lowest output one offset. */
ESP_INLINE int32_t esp_outputs_of(const esp_conv* d, const esp_weights* w,
                                  const esp_requantization* q, int32_t o, int32_t depth,
                                  esp_outputs* outputs) {
  const int32_t room = INT32_MAX - depth * 32640; /* 255 * 128 an element */
  int32_t j;
  if (depth > 16384) return 0;
  ESP_ROLLED
  for (j = 0; j < 4; ++j) {
    const int32_t bias = q->bias[o + j], shift = q->shift[o + j] - 32;
    int32_t sum;
    if (shift <= 0 || shift > 16 || bias > room || bias < -room) return 0;
    sum = esp_sum(w->full + (o + j) * depth, depth);
    if (w->count) sum += esp_sum(w->trained + (o + j) * w->count, w->count);
    outputs->start[j] = bias - d->in_zero * sum;
    outputs->multiplier[j] = q->multiplier[o + j];
    outputs->shift[j] = shift;
    outputs->offset[j] = (1 << (shift - 1)) + (d->out_zero - d->low) * (1 << shift);
  }
  return 1;
}

/* One output of one pixel by its definition. */
ESP_INLINE void esp_single(const esp_conv* d, const esp_requantization* q, int32_t acc, int32_t o,
                           int8_t* y, uint8_t* mask, int32_t at, int32_t i) {
  y[at] = esp_clamp(esp_requantize(esp_saturating_add(acc, q->bias[o]), q->multiplier[o],
                                   q->shift[o], d->out_zero),
                    d->low, d->high, mask, i, d->mask_bits);
}

#ifdef ESP_DOT4
/* Words of weights that are brought together for the dot product. */
#define ESP_PACKED 256

/* The weights of four outputs from o on, word by word side by side, rows filled up with zeros to
 * `words` words. Trained channels join the others. */
ESP_INLINE void esp_pack(const esp_weights* w, int32_t o, int32_t depth, int32_t words,
                         uint32_t* packed) {
  int32_t j, c;
  for (j = 0; j < 4; ++j) {
    const int8_t* from = w->full + (o + j) * depth;
    uint32_t* to = packed + j;
    if (esp_words(from, depth)) {
      for (c = 0; c < words; ++c, from += 4, to += 4) *to = esp_word(from);
    } else {
      for (c = 0; c < words; ++c, to += 4) *to = 0;
      ESP_ROLLED
      for (c = 0; c < depth; ++c) ((int8_t*)packed)[(c >> 2) * 16 + j * 4 + (c & 3)] = from[c];
    }
    ESP_ROLLED
    for (c = 0; c < w->count; ++c) {
      const int32_t at = w->channels[c];
      ((int8_t*)packed)[(at >> 2) * 16 + j * 4 + (at & 3)] = w->trained[(o + j) * w->count + c];
    }
  }
}

#define ESP_PACKED_STEP(k)                                                     \
  do {                                                                         \
    const uint32_t v0 = weights[4 * (k)], v1 = weights[4 * (k) + 1];           \
    const uint32_t v2 = weights[4 * (k) + 2], v3 = weights[4 * (k) + 3];       \
    const uint32_t xav = esp_word(xa + 4 * (k)), xbv = esp_word(xb + 4 * (k)); \
    a0 = esp_dot4(a0, xav, v0);                                                \
    a1 = esp_dot4(a1, xav, v1);                                                \
    a2 = esp_dot4(a2, xav, v2);                                                \
    a3 = esp_dot4(a3, xav, v3);                                                \
    b0 = esp_dot4(b0, xbv, v0);                                                \
    b1 = esp_dot4(b1, xbv, v1);                                                \
    b2 = esp_dot4(b2, xbv, v2);                                                \
    b3 = esp_dot4(b3, xbv, v3);                                                \
  } while (0)
#define ESP_PACKED_ADVANCE(n) (xa += 4 * (n), xb += 4 * (n), weights += 4 * (n))
#define ESP_PUT(j)                                                                           \
  do {                                                                                       \
    const int32_t multiplier = q->multiplier[j], offset = q->offset[j], shift = q->shift[j]; \
    a##j = esp_scaled(a##j, multiplier, offset, shift);                                      \
    b##j = esp_scaled(b##j, multiplier, offset, shift);                                      \
    ya[j] = esp_to_range(a##j, low, top);                                                    \
    yb[j] = esp_to_range(b##j, low, top);                                                    \
  } while (0)

/* Four outputs of `pixels` pixels, two at a time, the first at y and mask element i. Of an odd
 * number the last is computed twice. */
ESP_INLINE void esp_packed_pixels(const esp_outputs* q, const esp_target* to,
                                  const uint32_t* packed, int32_t words, const int8_t* x,
                                  int32_t pixels, int32_t out_c, int8_t* ya, int32_t i) {
  const int32_t low = to->low, top = to->top;
  const uint32_t* end = packed + 4 * words;
  const int8_t* xa = x;
  for (; pixels > 0; pixels -= 2) {
    const int32_t step = pixels > 1 ? out_c : 0;
    const uint32_t* weights = packed;
    const int8_t* xb = pixels > 1 ? xa + 4 * words : xa;
    int8_t* yb = ya + step;
    int32_t a0 = q->start[0], a1 = q->start[1], a2 = q->start[2], a3 = q->start[3];
    int32_t b0 = a0, b1 = a1, b2 = a2, b3 = a3;
    if (words & 1) {
      ESP_PACKED_STEP(0);
      ESP_PACKED_ADVANCE(1);
    }
    if (words & 2) {
      ESP_PACKED_STEP(0);
      ESP_PACKED_STEP(1);
      ESP_PACKED_ADVANCE(2);
    }
    ESP_ROLLED
    while (weights != end) {
      ESP_PACKED_STEP(0);
      ESP_PACKED_STEP(1);
      ESP_PACKED_STEP(2);
      ESP_PACKED_STEP(3);
      ESP_PACKED_ADVANCE(4);
    }
    xa = xb;
    ESP_PUT(0);
    ESP_PUT(1);
    ESP_PUT(2);
    ESP_PUT(3);
    if (to->mask) {
      esp_put_masks(to, a0, a1, a2, a3, i);
      esp_put_masks(to, b0, b1, b2, b3, i + step);
    }
    ya = yb + out_c;
    i += 2 * out_c;
  }
}
#undef ESP_PACKED_STEP
#undef ESP_PACKED_ADVANCE
#undef ESP_PUT
#endif

/* A matrix product of `pixels` rows of x with the weights of a convolution, whose outputs for the
 * first pixel begin at y and at mask element i. */
ESP_INLINE void esp_matrix_product(const esp_conv* d, const int8_t* x, int32_t pixels,
                                   int32_t depth, const esp_weights* w, const esp_requantization* q,
                                   int8_t* y, uint8_t* mask, int32_t i) {
  const esp_target to = esp_target_of(d, y, mask);
  const int32_t out_c = d->out_c;
  int32_t o, p, c;
  for (o = 0; o < out_c;) {
    esp_outputs outputs;
    if (o + 4 <= out_c && esp_outputs_of(d, w, q, o, depth, &outputs)) {
#ifdef ESP_DOT4
      uint32_t packed[ESP_PACKED];
      if (depth <= ESP_PACKED && esp_words(x, depth)) {
        esp_pack(w, o, depth, depth >> 2, packed);
        esp_packed_pixels(&outputs, &to, packed, depth >> 2, x, pixels, out_c, y + o, i + o);
        o += 4;
        continue;
      }
#endif
      const esp_rows rows = esp_rows_of(w->full + o * depth, depth);
      const esp_rows trained = esp_rows_of(w->trained + o * w->count, w->count);
      const int8_t* xa = x;
      int32_t at = o;
      for (p = 0; p < pixels; p += 2, xa += 2 * depth, at += 2 * out_c) {
        const int8_t* xb = p + 1 < pixels ? xa + depth : xa;
        esp_block acc = esp_start(&outputs);
        esp_accumulate(&acc, xa, xb, rows, depth);
        if (w->count) esp_accumulate_gathered(&acc, xa, xb, trained, w->channels, w->count);
        esp_finish(&outputs, &to, acc.a0, acc.a1, acc.a2, acc.a3, at, i + at);
        if (xb != xa) {
          esp_finish(&outputs, &to, acc.b0, acc.b1, acc.b2, acc.b3, at + out_c, i + at + out_c);
        }
      }
      o += 4;
      continue;
    }
    for (p = 0; p < pixels; ++p) {
      const int8_t *pixel = x + p * depth, *weights = w->full + o * depth;
      const int32_t at = p * out_c + o;
      int32_t acc = 0;
      ESP_ROLLED
      for (c = 0; c < depth; ++c) acc += (pixel[c] - d->in_zero) * weights[c];
      ESP_ROLLED
      for (c = 0; c < w->count; ++c) {
        acc += (pixel[w->channels[c]] - d->in_zero) * w->trained[o * w->count + c];
      }
      esp_single(d, q, acc, o, y, mask, at, i + at);
    }
    ++o;
  }
}

#endif
