#ifndef ESP_INTEGER_BLOCKS_H
#define ESP_INTEGER_BLOCKS_H

#include "espalier_runtime.h"

/* Two pixels by four outputs: accumulators as named scalars, which stay in registers. */
typedef struct {
  int32_t a0, a1, a2, a3, b0, b1, b2, b3;
} esp_block;

/* Rows of four outputs; those past the end repeat the last one. */
typedef struct {
  const int8_t *w0, *w1, *w2, *w3;
} esp_rows;

ESP_INLINE esp_rows esp_rows_of(const int8_t* weights, int32_t stride, int32_t outputs) {
  esp_rows rows;
  rows.w0 = weights;
  rows.w1 = outputs > 1 ? rows.w0 + stride : rows.w0;
  rows.w2 = outputs > 2 ? rows.w1 + stride : rows.w1;
  rows.w3 = outputs > 3 ? rows.w2 + stride : rows.w2;
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

/* acc += rows times the pixels at xa and xb, over `depth` elements. */
ESP_INLINE void esp_accumulate(esp_block* acc, const int8_t* xa, const int8_t* xb, esp_rows rows,
                               int32_t depth) {
  const int8_t *w0 = rows.w0, *w1 = rows.w1, *w2 = rows.w2, *w3 = rows.w3;
  int32_t a0 = acc->a0, a1 = acc->a1, a2 = acc->a2, a3 = acc->a3;
  int32_t b0 = acc->b0, b1 = acc->b1, b2 = acc->b2, b3 = acc->b3;
  int32_t c = 0;
#ifdef ESP_DOT4
  if (!((depth | (int32_t)(uintptr_t)w0 | (int32_t)(uintptr_t)w1 | (int32_t)(uintptr_t)xa |
         (int32_t)(uintptr_t)xb) &
        3)) {
    for (; c < depth; c += 4) {
      const uint32_t xav = esp_word(xa + c), xbv = esp_word(xb + c);
      const uint32_t v0 = esp_word(w0 + c), v1 = esp_word(w1 + c);
      const uint32_t v2 = esp_word(w2 + c), v3 = esp_word(w3 + c);
      a0 = esp_dot4(a0, xav, v0);
      b0 = esp_dot4(b0, xbv, v0);
      a1 = esp_dot4(a1, xav, v1);
      b1 = esp_dot4(b1, xbv, v1);
      a2 = esp_dot4(a2, xav, v2);
      b2 = esp_dot4(b2, xbv, v2);
      a3 = esp_dot4(a3, xav, v3);
      b3 = esp_dot4(b3, xbv, v3);
    }
  }
#endif
  for (; c < depth; ++c) {
    const int32_t xav = xa[c], xbv = xb[c];
    const int32_t v0 = w0[c], v1 = w1[c], v2 = w2[c], v3 = w3[c];
    a0 += xav * v0;
    b0 += xbv * v0;
    a1 += xav * v1;
    b1 += xbv * v1;
    a2 += xav * v2;
    b2 += xbv * v2;
    a3 += xav * v3;
    b3 += xbv * v3;
  }
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
  int32_t sum = 0, i;
  for (i = 0; i < count; ++i) sum += values[i];
  return sum;
}

/* Requantisation of four neighbouring outputs, kept at hand over all pixels, for stores of outputs
 * could change a descriptor for all the compiler knows. With all shifts beyond
 * 32, as they are but for odd scales, rounding is a matter of the product's upper word. */
typedef struct {
  int32_t bias[4], multiplier[4], shift[4], half[4], count, upper;
  int32_t zero, low, high, mask_bits;
} esp_outputs;

ESP_INLINE esp_outputs esp_outputs_of(const esp_conv* d, const esp_requantization* q, int32_t o,
                                      int32_t count) {
  esp_outputs outputs;
  int32_t j;
  outputs.count = count;
  outputs.zero = d->out_zero;
  outputs.low = d->low;
  outputs.high = d->high;
  outputs.mask_bits = d->mask_bits;
  outputs.upper = 1;
  for (j = 0; j < 4; ++j) {
    const int32_t at = o + (j < count ? j : count - 1);
    outputs.bias[j] = q->bias[at];
    outputs.multiplier[j] = q->multiplier[at];
    outputs.shift[j] = q->shift[at];
    if (q->shift[at] <= 32) outputs.upper = 0;
  }
  for (j = 0; j < 4; ++j) {
    if (outputs.upper) outputs.shift[j] -= 32;
    outputs.half[j] = outputs.upper ? 1 << (outputs.shift[j] - 1) : 0;
  }
  return outputs;
}

ESP_INLINE int32_t esp_output(const esp_outputs* q, int32_t j, int32_t acc) {
  const int32_t zero = q->zero;
  const int32_t sum = esp_saturating_add(acc, q->bias[j]);
  if (q->upper) {
    const int32_t high = (int32_t)(((int64_t)sum * q->multiplier[j]) >> 32);
    return ((high + q->half[j]) >> q->shift[j]) + zero;
  }
  return esp_requantize(sum, q->multiplier[j], q->shift[j], zero);
}

/* Requantises, clamps and stores up to four neighbouring outputs, the first of which is i. */
ESP_INLINE void esp_finish(const esp_outputs* q, int32_t a0, int32_t a1, int32_t a2, int32_t a3,
                           int8_t* y, uint8_t* mask, int32_t i) {
  const int32_t low = q->low, high = q->high;
  const int32_t v0 = esp_output(q, 0, a0), v1 = esp_output(q, 1, a1);
  const int32_t v2 = esp_output(q, 2, a2), v3 = esp_output(q, 3, a3);
  const int32_t c0 = v0 < low ? low : v0 > high ? high : v0;
  const int32_t c1 = v1 < low ? low : v1 > high ? high : v1;
  const int32_t c2 = v2 < low ? low : v2 > high ? high : v2;
  const int32_t c3 = v3 < low ? low : v3 > high ? high : v3;
  y[0] = (int8_t)c0;
  if (q->count > 1) y[1] = (int8_t)c1;
  if (q->count > 2) y[2] = (int8_t)c2;
  if (q->count > 3) y[3] = (int8_t)c3;
  if (!mask) return;
  if (q->mask_bits && q->count == 4 && !(i & 3)) {
    /* four bits of one byte */
    const int32_t bits = (c0 == v0) | (c1 == v1) << 1 | (c2 == v2) << 2 | (c3 == v3) << 3;
    uint8_t* byte = mask + (i >> 3);
    *byte = (uint8_t)(i & 4 ? (*byte & 0x0F) | bits << 4 : (*byte & 0xF0) | bits);
    return;
  }
  esp_put_mask(mask, i, c0 == v0, q->mask_bits);
  if (q->count > 1) esp_put_mask(mask, i + 1, c1 == v1, q->mask_bits);
  if (q->count > 2) esp_put_mask(mask, i + 2, c2 == v2, q->mask_bits);
  if (q->count > 3) esp_put_mask(mask, i + 3, c3 == v3, q->mask_bits);
}

/* A matrix product of `pixels` rows of x with the weights of a convolution, whose outputs for the
 * first pixel begin at y and at mask element i. The zero point enters as a start value. */
ESP_INLINE void esp_matrix_product(const esp_conv* d, const int8_t* x, int32_t pixels,
                                   int32_t depth, const esp_weights* w, const esp_requantization* q,
                                   int8_t* y, uint8_t* mask, int32_t i) {
  const int32_t out_c = d->out_c, zero = d->in_zero;
  int32_t o, p;
  for (o = 0; o < out_c; o += 4) {
    const int32_t count = out_c - o < 4 ? out_c - o : 4;
    const esp_outputs outputs = esp_outputs_of(d, q, o, count);
    const esp_rows rows = esp_rows_of(w->full + o * depth, depth, count);
    const esp_rows trained =
        w->count ? esp_rows_of(w->trained + o * w->count, w->count, count) : rows;
    int32_t s0 = esp_sum(rows.w0, depth), s1 = esp_sum(rows.w1, depth);
    int32_t s2 = esp_sum(rows.w2, depth), s3 = esp_sum(rows.w3, depth);
    if (w->count) {
      s0 += esp_sum(trained.w0, w->count);
      s1 += esp_sum(trained.w1, w->count);
      s2 += esp_sum(trained.w2, w->count);
      s3 += esp_sum(trained.w3, w->count);
    }
    s0 *= -zero;
    s1 *= -zero;
    s2 *= -zero;
    s3 *= -zero;
    for (p = 0; p < pixels; p += 2) {
      const int8_t* xa = x + p * depth;
      const int8_t* xb = p + 1 < pixels ? xa + depth : xa;
      const int32_t at = p * out_c + o;
      esp_block acc;
      acc.a0 = acc.b0 = s0;
      acc.a1 = acc.b1 = s1;
      acc.a2 = acc.b2 = s2;
      acc.a3 = acc.b3 = s3;
      esp_accumulate(&acc, xa, xb, rows, depth);
      if (w->count) {
        esp_accumulate_gathered(&acc, xa, xb, trained, w->channels, w->count);
      }
      esp_finish(&outputs, acc.a0, acc.a1, acc.a2, acc.a3, y + at, mask, i + at);
      if (p + 1 < pixels) {
        esp_finish(&outputs, acc.b0, acc.b1, acc.b2, acc.b3, y + at + out_c, mask, i + at + out_c);
      }
    }
  }
}

#endif
