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
#define ESP_ADVANCE(n) \
  (xa += (n), xb += (n), w0 += (n), w1 += (n), w2 += (n), w3 += (n), left -= (n))

/* acc += rows times the pixels at xa and xb, over `left` elements. */
ESP_INLINE void esp_accumulate(esp_block* acc, const int8_t* xa, const int8_t* xb, esp_rows rows,
                               int32_t left) {
  const int8_t *w0 = rows.w0, *w1 = rows.w1, *w2 = rows.w2, *w3 = rows.w3;
  int32_t a0 = acc->a0, a1 = acc->a1, a2 = acc->a2, a3 = acc->a3;
  int32_t b0 = acc->b0, b1 = acc->b1, b2 = acc->b2, b3 = acc->b3;
#ifdef ESP_DOT4
  if (!((left | (int32_t)(uintptr_t)w0 | (int32_t)(uintptr_t)xa) & 3)) {
    for (; left >= 16; ESP_ADVANCE(16)) {
      ESP_DOT_STEP(0);
      ESP_DOT_STEP(4);
      ESP_DOT_STEP(8);
      ESP_DOT_STEP(12);
    }
    for (; left >= 4; ESP_ADVANCE(4)) ESP_DOT_STEP(0);
  }
#endif
  for (; left >= 4; ESP_ADVANCE(4)) {
    ESP_STEP(0);
    ESP_STEP(1);
    ESP_STEP(2);
    ESP_STEP(3);
  }
  for (; left > 0; ESP_ADVANCE(1)) ESP_STEP(0);
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
  for (; count >= 4; count -= 4, values += 4) sum += values[0] + values[1] + values[2] + values[3];
  for (; count > 0; --count) sum += *values++;
  return sum;
}

/* Requantisation of four neighbouring outputs, kept at hand over all pixels, for stores of outputs
 * could change a descriptor for all the compiler knows. */
typedef struct {
  int32_t start[4], multiplier[4], shift[4], offset[4], low, high, mask_bits;
} esp_outputs;

/* Clamps and stores four neighbouring outputs, the first of which is i. */
ESP_INLINE void esp_finish(const esp_outputs* q, int32_t a0, int32_t a1, int32_t a2, int32_t a3,
                           int8_t* y, uint8_t* mask, int32_t i) {
#define ESP_VALUE(j, a) \
  (((int32_t)(((int64_t)(a)*q->multiplier[j]) >> 32) + q->offset[j]) >> q->shift[j])
  const int32_t low = q->low, high = q->high;
  const int32_t v0 = ESP_VALUE(0, a0), v1 = ESP_VALUE(1, a1);
  const int32_t v2 = ESP_VALUE(2, a2), v3 = ESP_VALUE(3, a3);
  const int32_t c0 = v0 < low ? low : v0 > high ? high : v0;
  const int32_t c1 = v1 < low ? low : v1 > high ? high : v1;
  const int32_t c2 = v2 < low ? low : v2 > high ? high : v2;
  const int32_t c3 = v3 < low ? low : v3 > high ? high : v3;
#undef ESP_VALUE
  y[0] = (int8_t)c0;
  y[1] = (int8_t)c1;
  y[2] = (int8_t)c2;
  y[3] = (int8_t)c3;
  if (!mask) return;
  if (q->mask_bits && !(i & 3)) {
    /* four bits of one byte */
    const int32_t bits = (c0 == v0) | (c1 == v1) << 1 | (c2 == v2) << 2 | (c3 == v3) << 3;
    uint8_t* byte = mask + (i >> 3);
    *byte = (uint8_t)(i & 4 ? (*byte & 0x0F) | bits << 4 : (*byte & 0xF0) | bits);
    return;
  }
  esp_put_mask(mask, i, c0 == v0, q->mask_bits);
  esp_put_mask(mask, i + 1, c1 == v1, q->mask_bits);
  esp_put_mask(mask, i + 2, c2 == v2, q->mask_bits);
  esp_put_mask(mask, i + 3, c3 == v3, q->mask_bits);
}

/* Fills in `outputs` for four outputs whose bias cannot saturate a sum over `depth` elements and
 * whose rounding is a matter of the product's upper word (shifts of 33 to 48), as all are but dead
 * channels and odd scales. False for others. The bias and the zero point of the input become a
 * start value, half a unit and the zero point of the output one offset. */
ESP_INLINE int32_t esp_outputs_of(const esp_conv* d, const esp_weights* w,
                                  const esp_requantization* q, int32_t o, int32_t depth,
                                  esp_outputs* outputs) {
  const int32_t room = INT32_MAX - depth * 32640; /* 255 * 128 an element */
  int32_t j;
  if (depth > 16384) return 0;
  for (j = 0; j < 4; ++j) {
    const int32_t bias = q->bias[o + j];
    int32_t sum = esp_sum(w->full + (o + j) * depth, depth);
    if (q->shift[o + j] <= 32 || q->shift[o + j] > 48 || bias > room || bias < -room) return 0;
    if (w->count) sum += esp_sum(w->trained + (o + j) * w->count, w->count);
    outputs->start[j] = bias - d->in_zero * sum;
    outputs->multiplier[j] = q->multiplier[o + j];
    outputs->shift[j] = q->shift[o + j] - 32;
    outputs->offset[j] = (1 << (outputs->shift[j] - 1)) + d->out_zero * (1 << outputs->shift[j]);
  }
  outputs->low = d->low;
  outputs->high = d->high;
  outputs->mask_bits = d->mask_bits;
  return 1;
}

/* A matrix product of `pixels` rows of x with the weights of a convolution, whose outputs for the
 * first pixel begin at y and at mask element i. */
ESP_INLINE void esp_matrix_product(const esp_conv* d, const int8_t* x, int32_t pixels,
                                   int32_t depth, const esp_weights* w, const esp_requantization* q,
                                   int8_t* y, uint8_t* mask, int32_t i) {
  const int32_t out_c = d->out_c;
  int32_t o, p, c;
  for (o = 0; o < out_c;) {
    esp_outputs outputs;
    if (o + 4 <= out_c && esp_outputs_of(d, w, q, o, depth, &outputs)) {
      const esp_rows rows = esp_rows_of(w->full + o * depth, depth);
      const esp_rows trained = esp_rows_of(w->trained + o * w->count, w->count);
      const int8_t* xa = x;
      int32_t at = o;
      for (p = 0; p < pixels; p += 2, xa += 2 * depth, at += 2 * out_c) {
        const int8_t* xb = p + 1 < pixels ? xa + depth : xa;
        esp_block acc;
        acc.a0 = acc.b0 = outputs.start[0];
        acc.a1 = acc.b1 = outputs.start[1];
        acc.a2 = acc.b2 = outputs.start[2];
        acc.a3 = acc.b3 = outputs.start[3];
        esp_accumulate(&acc, xa, xb, rows, depth);
        if (w->count) {
          esp_accumulate_gathered(&acc, xa, xb, trained, w->channels, w->count);
        }
        esp_finish(&outputs, acc.a0, acc.a1, acc.a2, acc.a3, y + at, mask, i + at);
        if (xb != xa) {
          esp_finish(&outputs, acc.b0, acc.b1, acc.b2, acc.b3, y + at + out_c, mask,
                     i + at + out_c);
        }
      }
      o += 4;
      continue;
    }
    for (p = 0; p < pixels; ++p) {
      const int8_t *pixel = x + p * depth, *weights = w->full + o * depth;
      const int32_t at = p * out_c + o;
      int32_t acc = 0;
      for (c = 0; c < depth; ++c) acc += (pixel[c] - d->in_zero) * weights[c];
      for (c = 0; c < w->count; ++c) {
        acc += (pixel[w->channels[c]] - d->in_zero) * w->trained[o * w->count + c];
      }
      y[at] = esp_clamp(esp_requantize(esp_saturating_add(acc, q->bias[o]), q->multiplier[o],
                                       q->shift[o], d->out_zero),
                        d->low, d->high, mask, i + at, d->mask_bits);
    }
    ++o;
  }
}

#endif
