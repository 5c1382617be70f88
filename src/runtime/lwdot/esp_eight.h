#ifndef ESP_EIGHT_H
#define ESP_EIGHT_H

#include "esp_blocking.h"
#include "esp_load_dot.h"
#include "esp_requantize.h"

/* Eight rows meet one: sums a0 to a7 of products of int8, which are locals of the caller, as x0 to
 * x7, where the rows are, and w, where the one is, are. The one is loaded, and the eight are loaded
 * by the instruction that multiplies. */

/* Elements of short rows, at most. */
#define ESP_SHORT 64

#ifdef __riscv
/* Word k of the eight with `word`; word k of the one into `word`. */
/* clang-format off */
#define ESP_MEET(word, k)                                     \
  ESP_LOAD_DOT(a0, x0, word, k) ESP_LOAD_DOT(a1, x1, word, k) \
  ESP_LOAD_DOT(a2, x2, word, k) ESP_LOAD_DOT(a3, x3, word, k) \
  ESP_LOAD_DOT(a4, x4, word, k) ESP_LOAD_DOT(a5, x5, word, k) \
  ESP_LOAD_DOT(a6, x6, word, k) ESP_LOAD_DOT(a7, x7, word, k)
/* clang-format on */
#define ESP_LOAD(word, k) ESP_LOAD_WORD(word, w, k)
#define ESP_MEETING(steps)                                                                        \
  do {                                                                                            \
    uint32_t s, t;                                                                                \
    __asm__(steps                                                                                 \
            : [a0] "+&r"(a0), [a1] "+&r"(a1), [a2] "+&r"(a2), [a3] "+&r"(a3), [a4] "+&r"(a4),     \
              [a5] "+&r"(a5), [a6] "+&r"(a6), [a7] "+&r"(a7), [s] "=&r"(s), [t] "=&r"(t)          \
            : [x0] "r"(x0), [x1] "r"(x1), [x2] "r"(x2), [x3] "r"(x3), [x4] "r"(x4), [x5] "r"(x5), \
              [x6] "r"(x6), [x7] "r"(x7), [w] "r"(w)                                              \
            : "memory");                                                                          \
    (void)t;                                                                                      \
  } while (0)
/* One, two, four or eight words. */
#define ESP_MEET_1() ESP_MEETING(ESP_LOAD(s, 0) ESP_MEET(s, 0))
#define ESP_MEET_2() ESP_MEETING(ESP_LOAD(s, 0) ESP_LOAD(t, 1) ESP_MEET(s, 0) ESP_MEET(t, 1))
/* clang-format off */
#define ESP_MEET_4()                                                            \
  ESP_MEETING(ESP_LOAD(s, 0) ESP_LOAD(t, 1) ESP_MEET(s, 0)                      \
              ESP_LOAD(s, 2) ESP_MEET(t, 1) ESP_LOAD(t, 3) ESP_MEET(s, 2)       \
              ESP_MEET(t, 3))
#define ESP_MEET_8()                                                            \
  ESP_MEETING(ESP_LOAD(s, 0) ESP_LOAD(t, 1) ESP_MEET(s, 0)                      \
              ESP_LOAD(s, 2) ESP_MEET(t, 1) ESP_LOAD(t, 3) ESP_MEET(s, 2)       \
              ESP_LOAD(s, 4) ESP_MEET(t, 3) ESP_LOAD(t, 5) ESP_MEET(s, 4)       \
              ESP_LOAD(s, 6) ESP_MEET(t, 5) ESP_LOAD(t, 7) ESP_MEET(s, 6)       \
              ESP_MEET(t, 7))
/* All words of short rows, from the last to the first, without a loop: a jump into the steps, which
 * are 36 bytes each, of the longest. */
#define ESP_MEET_NEXT(word, next, k, before) ESP_LOAD(next, before) ESP_MEET(word, k)
#define ESP_MEET_SHORT(depth)                                                               \
  do {                                                                                      \
    const int8_t* last = w + (depth) - 4;                                                   \
    const int32_t skip = (ESP_SHORT - (depth)) * 9;                                         \
    uint32_t s, t, to;                                                                      \
    __asm__(".option push\n\t.option norvc\n\t"                                             \
            "lw %[s], 0(%[last])\n\tlw %[t], 0(%[last])\n\t"                                \
            "auipc %[to], 0\n\tadd %[to], %[to], %[skip]\n\tjr 12(%[to])\n\t"               \
            ESP_MEET_NEXT(t, s, 15, 14) ESP_MEET_NEXT(s, t, 14, 13)                         \
            ESP_MEET_NEXT(t, s, 13, 12) ESP_MEET_NEXT(s, t, 12, 11)                         \
            ESP_MEET_NEXT(t, s, 11, 10) ESP_MEET_NEXT(s, t, 10, 9)                          \
            ESP_MEET_NEXT(t, s, 9, 8) ESP_MEET_NEXT(s, t, 8, 7)                             \
            ESP_MEET_NEXT(t, s, 7, 6) ESP_MEET_NEXT(s, t, 6, 5)                             \
            ESP_MEET_NEXT(t, s, 5, 4) ESP_MEET_NEXT(s, t, 4, 3)                             \
            ESP_MEET_NEXT(t, s, 3, 2) ESP_MEET_NEXT(s, t, 2, 1)                             \
            ESP_MEET_NEXT(t, s, 1, 0) ESP_MEET(s, 0)                                        \
            ".option pop\n\t"                                                               \
            : [a0] "+&r"(a0), [a1] "+&r"(a1), [a2] "+&r"(a2), [a3] "+&r"(a3),               \
              [a4] "+&r"(a4), [a5] "+&r"(a5), [a6] "+&r"(a6), [a7] "+&r"(a7),               \
              [s] "=&r"(s), [t] "=&r"(t), [to] "=&r"(to)                                    \
            : [x0] "r"(x0), [x1] "r"(x1), [x2] "r"(x2), [x3] "r"(x3), [x4] "r"(x4),         \
              [x5] "r"(x5), [x6] "r"(x6), [x7] "r"(x7), [w] "r"(w), [last] "r"(last),       \
              [skip] "r"(skip)                                                              \
            : "memory");                                                                    \
  } while (0)
/* clang-format on */
#else
#define ESP_MEET_WORD(j, k) (a##j = esp_dot4(a##j, esp_word(x##j + (k)), esp_word(w + (k))))
#define ESP_MEETING(words)                                                                \
  do {                                                                                    \
    int32_t k;                                                                            \
    for (k = 0; k < 4 * (words); k += 4) {                                                \
      ESP_MEET_WORD(0, k), ESP_MEET_WORD(1, k), ESP_MEET_WORD(2, k), ESP_MEET_WORD(3, k); \
      ESP_MEET_WORD(4, k), ESP_MEET_WORD(5, k), ESP_MEET_WORD(6, k), ESP_MEET_WORD(7, k); \
    }                                                                                     \
  } while (0)
#define ESP_MEET_1() ESP_MEETING(1)
#define ESP_MEET_2() ESP_MEETING(2)
#define ESP_MEET_4() ESP_MEETING(4)
#define ESP_MEET_8() ESP_MEETING(8)
#define ESP_MEET_SHORT(depth) ESP_MEETING((depth) >> 2)
#endif

#define ESP_ONWARD(n) \
  (x0 += (n), x1 += (n), x2 += (n), x3 += (n), x4 += (n), x5 += (n), x6 += (n), x7 += (n), w += (n))
/* Eight rows from a first one on, `step` bytes apart. */
#define ESP_ROWS(first, step)                                                            \
  (x0 = (first), x1 = x0 + (step), x2 = x1 + (step), x3 = x2 + (step), x4 = x3 + (step), \
   x5 = x4 + (step), x6 = x5 + (step), x7 = x6 + (step))
/* All words of long rows, which moves x0 to x7 and w along. What is left over comes first, so that
 * the last words need not move on. */
#define ESP_MEET_LONG(depth)      \
  do {                            \
    int32_t left = (depth) >> 5;  \
    if ((depth)&28) {             \
      if ((depth)&4) {            \
        ESP_MEET_1();             \
        ESP_ONWARD(4);            \
      }                           \
      if ((depth)&8) {            \
        ESP_MEET_2();             \
        ESP_ONWARD(8);            \
      }                           \
      if ((depth)&16) {           \
        ESP_MEET_4();             \
        if (left) ESP_ONWARD(16); \
      }                           \
    }                             \
    ESP_ROLLED                    \
    for (; left > 0;) {           \
      ESP_MEET_8();               \
      if (--left == 0) break;     \
      ESP_ONWARD(32);             \
    }                             \
  } while (0)

#endif
