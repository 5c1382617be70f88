#ifndef ESP_Q_CORRELATE_H
#define ESP_Q_CORRELATE_H

#include "esp_blocking.h"
#include "esp_q_correlation.h"

/* What the sums of four or one outputs begin at: -zero times all of their gradients, so that
 * products are of inputs as they are. */
ESP_INLINE void esp_q_starts(int32_t outputs, esp_q_correlation t, int32_t zero, esp_q_sum* start) {
  esp_q_sum a = 0, b = 0, c = 0, d = 0;
  int32_t left;
  ESP_ROLLED
  for (; t.rows > 0; --t.rows, t.g += t.g_row) {
    ESP_ROLLED
    for (left = t.columns; left > 0; --left, t.g += t.g_step) {
      a += t.g[0];
      if (outputs == 1) continue;
      b += t.g[1], c += t.g[2], d += t.g[3];
    }
  }
  start[0] = -zero * a, start[1] = -zero * b, start[2] = -zero * c, start[3] = -zero * d;
}

/* Sixteen sums, into sums[output][input]. */
#define ESP_STORE(k, s)                                                      \
  (sums[4 * (k)] = s##0, sums[4 * (k) + 1] = s##1, sums[4 * (k) + 2] = s##2, \
   sums[4 * (k) + 3] = s##3)

/* Four or one outputs by four inputs: sums[output][input]. Overlays that subtract `zero` on the way
 * have no use for `start`. */
ESP_INLINE void esp_q_correlate(int32_t outputs, esp_q_correlation t, int32_t zero,
                                const esp_q_sum* start, esp_q_sum* sums) {
  esp_q_sum a0 = start[0], a1 = a0, a2 = a0, a3 = a0, b0 = start[1], b1 = b0, b2 = b0, b3 = b0;
  esp_q_sum c0 = start[2], c1 = c0, c2 = c0, c3 = c0, d0 = start[3], d1 = d0, d2 = d0, d3 = d0;
  int32_t left;
  (void)zero;
  ESP_ROLLED
  for (; t.rows > 0; --t.rows, t.g += t.g_row, t.x += t.x_row) {
    ESP_ROLLED
    for (left = t.columns; left > 0; --left, t.g += t.g_step, t.x += t.x_step) {
      const int32_t v0 = t.x[0], v1 = t.x[1], v2 = t.x[2], v3 = t.x[3];
      esp_q_sum n = t.g[0], m = 0;
      /* the next gradient is loaded before it is needed */
      if (outputs != 1) m = t.g[1];
      a0 += n * v0, a1 += n * v1, a2 += n * v2, a3 += n * v3;
      if (outputs == 1) continue;
      n = t.g[2];
      b0 += m * v0, b1 += m * v1, b2 += m * v2, b3 += m * v3;
      m = t.g[3];
      c0 += n * v0, c1 += n * v1, c2 += n * v2, c3 += n * v3;
      d0 += m * v0, d1 += m * v1, d2 += m * v2, d3 += m * v3;
    }
  }
  ESP_STORE(0, a);
  if (outputs == 1) return;
  ESP_STORE(1, b);
  ESP_STORE(2, c);
  ESP_STORE(3, d);
}

/* Pixels whose gradients of four outputs may lie one behind the other. */
#define ESP_COMPACT 64

/* The gradients of four outputs of a row, one pixel behind the other, and what their sums begin at.
 */
ESP_INLINE void esp_q_compact(const esp_q_correlation* row, int32_t zero, esp_q* compact,
                              esp_q_sum* start) {
  const esp_q* from = row->g;
  esp_q_sum a = 0, b = 0, c = 0, d = 0;
  int32_t left;
  ESP_ROLLED
  for (left = row->columns; left > 0; --left, from += row->g_step) {
    const int32_t v0 = from[0], v1 = from[1], v2 = from[2], v3 = from[3];
    a += v0, b += v1, c += v2, d += v3;
    *compact++ = (esp_q)v0;
    ESP_HERE(compact); /* or compilers make words of them, which takes longer */
    *compact++ = (esp_q)v1;
    ESP_HERE(compact);
    *compact++ = (esp_q)v2;
    ESP_HERE(compact);
    *compact++ = (esp_q)v3;
  }
  start[0] = -zero * a, start[1] = -zero * b, start[2] = -zero * c, start[3] = -zero * d;
}

/* Two outputs from element k on by four inputs. In one piece: compilers run out of registers over
 * sixteen sums of several pixels. */
#if defined(__riscv) && ESP_GRADIENT_BITS == 8
#define ESP_ADD_TIMES(a, n, v) \
  "mul %[t], %[" #n "], %[" #v "]\n\tadd %[" #a "], %[" #a "], %[t]\n\t"
#define ESP_TWO(a, b, k)                                                                       \
  do {                                                                                         \
    int32_t n, m, t;                                                                           \
    __asm__("lb %[n], %[k0]\n\tlb %[m], %[k1]\n\t" ESP_ADD_TIMES(a0, n, v0)                    \
                ESP_ADD_TIMES(a1, n, v1) ESP_ADD_TIMES(a2, n, v2) ESP_ADD_TIMES(a3, n, v3)     \
                    ESP_ADD_TIMES(b0, m, v0) ESP_ADD_TIMES(b1, m, v1) ESP_ADD_TIMES(b2, m, v2) \
                        ESP_ADD_TIMES(b3, m, v3)                                               \
            : [a0] "+&r"(a##0), [a1] "+&r"(a##1), [a2] "+&r"(a##2), [a3] "+&r"(a##3),          \
              [b0] "+&r"(b##0), [b1] "+&r"(b##1), [b2] "+&r"(b##2), [b3] "+&r"(b##3),          \
              [n] "=&r"(n), [m] "=&r"(m), [t] "=&r"(t)                                         \
            : [k0] "m"(g[k]), [k1] "m"(g[(k) + 1]), [v0] "r"(v0), [v1] "r"(v1), [v2] "r"(v2),  \
              [v3] "r"(v3));                                                                   \
  } while (0)
#else
#define ESP_TWO(a, b, k)                                            \
  do {                                                              \
    const esp_q_sum n = g[k], m = g[(k) + 1];                       \
    a##0 += n * v0, a##1 += n * v1, a##2 += n * v2, a##3 += n * v3; \
    b##0 += m * v0, b##1 += m * v1, b##2 += m * v2, b##3 += m * v3; \
  } while (0)
#endif

/* Four outputs by four inputs of `pixels` such pixels; inputs are `x_step` apart. */
ESP_INLINE void esp_q_correlate_compact(const esp_q* g, const int8_t* x, int32_t x_step,
                                        int32_t pixels, const esp_q_sum* start, esp_q_sum* sums) {
  esp_q_sum a0 = start[0], a1 = a0, a2 = a0, a3 = a0, b0 = start[1], b1 = b0, b2 = b0, b3 = b0;
  esp_q_sum c0 = start[2], c1 = c0, c2 = c0, c3 = c0, d0 = start[3], d1 = d0, d2 = d0, d3 = d0;
  const esp_q* end = g + 4 * (pixels & ~3);
#define ESP_PIXEL(i)                                          \
  do {                                                        \
    const int32_t v0 = x[0], v1 = x[1], v2 = x[2], v3 = x[3]; \
    x += x_step;                                              \
    ESP_HERE(x);                                              \
    ESP_TWO(a, b, 4 * (i));                                   \
    ESP_TWO(c, d, 4 * (i) + 2);                               \
  } while (0)
  ESP_HERE(x_step);
  ESP_HERE(end);
  ESP_FRESH();
  ESP_ROLLED
  for (; g != end; g += 16) {
    ESP_PIXEL(0);
    ESP_PIXEL(1);
    ESP_PIXEL(2);
    ESP_PIXEL(3);
  }
  ESP_ROLLED
  for (pixels &= 3; pixels > 0; --pixels, g += 4) ESP_PIXEL(0);
#undef ESP_PIXEL
#undef ESP_TWO
#undef ESP_ADD_TIMES
  ESP_STORE(0, a);
  ESP_STORE(1, b);
  ESP_STORE(2, c);
  ESP_STORE(3, d);
}
#undef ESP_STORE

#endif
