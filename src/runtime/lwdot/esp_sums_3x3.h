#ifndef ESP_SUMS_3X3_H
#define ESP_SUMS_3X3_H

#include "esp_spread_sums.h"

#ifdef __riscv
/* clang-format off */
/* A row of inputs that row m of the first outputs' weights and row n of the second's meet. */
#define ESP_BOTH(m, n)                                                       \
  ESP_X(0) ESP_Y(1)                                                          \
  ESP_LOAD_DOT(a0, w, x, m) ESP_LOAD_DOT(b0, w, x, n)                        \
  ESP_LOAD_DOT(a1, w, x, m+1) ESP_LOAD_DOT(b1, w, x, n+1)                    \
  ESP_LOAD_DOT(a2, w, x, m+2) ESP_LOAD_DOT(b2, w, x, n+2)                    \
  ESP_LOAD_DOT(a3, w, x, m+4) ESP_LOAD_DOT(b3, w, x, n+4)                    \
  ESP_LOAD_DOT(a2, w, y, m+3) ESP_LOAD_DOT(b2, w, y, n+3)                    \
  ESP_LOAD_DOT(a3, w, y, m+5) ESP_LOAD_DOT(b3, w, y, n+5)
#define ESP_FINAL                                                             \
  ESP_X(0) ESP_Y(1)                                                          \
  ESP_LOAD_DOT(b0, w, x, 12) ESP_LOAD_DOT(b1, w, x, 13)                      \
  ESP_LOAD_DOT(b2, w, x, 14) ESP_LOAD_DOT(b3, w, x, 16)                      \
  ESP_LOAD_DOT(b2, w, y, 15) ESP_LOAD_DOT(b3, w, y, 17)
#define ESP_PAIR()                                                                              \
  do {                                                                                          \
    uint32_t x, y;                                                                              \
    __asm__(ESP_ROW_3(0) ESP_DOWN ESP_BOTH(6, 0) ESP_DOWN ESP_BOTH(12, 6) ESP_DOWN ESP_FINAL     \
            : [a0] "+&r"(a0), [a1] "+&r"(a1), [a2] "+&r"(a2), [a3] "+&r"(a3),                   \
              [b0] "+&r"(b0), [b1] "+&r"(b1), [b2] "+&r"(b2), [b3] "+&r"(b3),                   \
              [x] "=&r"(x), [y] "=&r"(y), [r] "+&r"(r)                                          \
            : [w] "r"(spread), [pitch] "r"(pitch)                                               \
            : "memory");                                                                        \
  } while (0)
/* clang-format on */
#else
#define ESP_PAIR_ROW(s, y, n)                                                      \
  do {                                                                             \
    const uint32_t x0 = esp_word(r + (y)*pitch), x1 = esp_word(r + (y)*pitch + 4); \
    const uint32_t* w = spread + (n);                                              \
    s##0 = esp_dot4(s##0, x0, w[0]), s##1 = esp_dot4(s##1, x0, w[1]);              \
    s##2 = esp_dot4(esp_dot4(s##2, x0, w[2]), x1, w[3]);                           \
    s##3 = esp_dot4(esp_dot4(s##3, x0, w[4]), x1, w[5]);                           \
  } while (0)
#define ESP_PAIR()          \
  do {                      \
    ESP_PAIR_ROW(a, 0, 0);  \
    ESP_PAIR_ROW(a, 1, 6);  \
    ESP_PAIR_ROW(a, 2, 12); \
    ESP_PAIR_ROW(b, 1, 0);  \
    ESP_PAIR_ROW(b, 2, 6);  \
    ESP_PAIR_ROW(b, 3, 12); \
  } while (0)
#endif

/* Whether a 3x3 needs spread weights, too. */
#define ESP_SPREAD_3X3 1

/* Of a 3x3 of stride 2. */
ESP_INLINE void esp_sums_3x3_by_two(const esp_filter* f, const uint32_t* spread,
                                    const int8_t* plane, int32_t pitch, int32_t rows, int32_t width,
                                    int32_t* sums) {
  esp_sums(f, spread, plane, pitch, 3, 3, 2, rows, width, sums);
}

/* Of a 3x3 of stride 1 for pairs of rows: two of the four rows of inputs serve both. */
ESP_INLINE void esp_sums_3x3(const esp_filter* f, const uint32_t* spread, const int8_t* plane,
                             int32_t pitch, int32_t pairs, int32_t width, int32_t* sums) {
  const int32_t start = f->start;
  ESP_HERE(pitch);
  ESP_HERE(width);
  ESP_FRESH();
  ESP_ROLLED
  for (; pairs > 0; --pairs, plane += 2 * pitch - width, sums += width) {
    const int8_t* end = plane + width;
    ESP_ROLLED
    for (; plane != end; plane += 4, sums += 4) {
      const int8_t* r = plane;
      int32_t a0 = start, a1 = start, a2 = start, a3 = start;
      int32_t b0 = start, b1 = start, b2 = start, b3 = start, *second;
      ESP_PAIR();
      sums[0] = a0, sums[1] = a1, sums[2] = a2, sums[3] = a3;
      second = sums + width;
      ESP_HERE(second);
      second[0] = b0, second[1] = b1, second[2] = b2, second[3] = b3;
    }
  }
}

#endif
