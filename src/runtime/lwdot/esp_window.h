#ifndef ESP_WINDOW_H
#define ESP_WINDOW_H

#include "esp_load_dot.h"
#include "esp_requantize.h"
#include "esp_spread.h"

/* A row of inputs at r, in two or three words, meets a row of spread weights, from word n behind w
 * on, which the instruction that multiplies loads. Words in turn, so that none is needed right
 * after it was loaded. ESP_WINDOW() is for esp_sums(), whose locals it uses. */
/* Square kernels are in one piece: fewer of their rows would take no less. */
#define ESP_WHOLE_KERNELS

#ifdef __riscv
/* clang-format off */
#define ESP_X(k) ESP_LOAD_WORD(x, r, k)
#define ESP_Y(k) ESP_LOAD_WORD(y, r, k)
#define ESP_BY(word, j, n) ESP_LOAD_DOT(a##j, w, word, n)
#define ESP_ROW_3(n)                                                         \
  ESP_X(0) ESP_Y(1)                                                          \
  ESP_BY(x, 0, n) ESP_BY(x, 1, n+1) ESP_BY(x, 2, n+2) ESP_BY(x, 3, n+4)      \
  ESP_BY(y, 2, n+3) ESP_BY(y, 3, n+5)
#define ESP_ROW_5(n)                                                         \
  ESP_X(0) ESP_Y(1)                                                          \
  ESP_BY(x, 0, n) ESP_BY(x, 1, n+2) ESP_BY(x, 2, n+4) ESP_BY(x, 3, n+6)      \
  ESP_BY(y, 0, n+1) ESP_BY(y, 1, n+3) ESP_BY(y, 2, n+5) ESP_BY(y, 3, n+7)
#define ESP_ROW_7(n)                                                         \
  ESP_X(0) ESP_Y(1)                                                          \
  ESP_BY(x, 0, n) ESP_BY(x, 1, n+2) ESP_BY(x, 2, n+4) ESP_BY(x, 3, n+7)      \
  ESP_X(2)                                                                   \
  ESP_BY(y, 0, n+1) ESP_BY(y, 1, n+3) ESP_BY(y, 2, n+5) ESP_BY(y, 3, n+8)    \
  ESP_BY(x, 2, n+6) ESP_BY(x, 3, n+9)
#define ESP_HALF_3(n)                                                        \
  ESP_X(0) ESP_Y(1) ESP_BY(x, 0, n) ESP_BY(x, 1, n+1) ESP_BY(y, 1, n+2)
#define ESP_HALF_5(n)                                                        \
  ESP_X(0) ESP_Y(1) ESP_BY(x, 0, n) ESP_BY(x, 1, n+2)                        \
  ESP_BY(y, 0, n+1) ESP_BY(y, 1, n+3)
#define ESP_HALF_7(n)                                                        \
  ESP_X(0) ESP_Y(1) ESP_BY(x, 0, n) ESP_BY(x, 1, n+2)                        \
  ESP_X(2) ESP_BY(y, 0, n+1) ESP_BY(y, 1, n+3) ESP_BY(x, 1, n+4)
#define ESP_DOWN "add %[r], %[r], %[pitch]\n\t"
/* Rows of a square kernel; `words` of spread weights each. */
#define ESP_ALL_3(ROW, words) ROW(0) ESP_DOWN ROW(words) ESP_DOWN ROW(2*words)
#define ESP_ALL_5(ROW, words)                                                \
  ESP_ALL_3(ROW, words) ESP_DOWN ROW(3*words) ESP_DOWN ROW(4*words)
#define ESP_ALL_7(ROW, words)                                                \
  ESP_ALL_5(ROW, words) ESP_DOWN ROW(5*words) ESP_DOWN ROW(6*words)
/* clang-format on */
#define ESP_STRIP(steps)                                                                   \
  __asm__(steps                                                                            \
          : [a0] "+&r"(a0), [a1] "+&r"(a1), [a2] "+&r"(a2), [a3] "+&r"(a3), [x] "=&r"(x0), \
            [y] "=&r"(x1), [r] "+&r"(r)                                                    \
          : [w] "r"(w), [pitch] "r"(pitch)                                                 \
          : "memory")
#define ESP_HALF_STRIP(steps)                                                          \
  __asm__(steps                                                                        \
          : [a0] "+&r"(a0), [a1] "+&r"(a1), [x] "=&r"(x0), [y] "=&r"(x1), [r] "+&r"(r) \
          : [w] "r"(w), [pitch] "r"(pitch)                                             \
          : "memory")
#define ESP_STRIPS(STRIP, ROW, ALL, words)              \
  do {                                                  \
    if (kernel_h == kernel_w) {                         \
      STRIP(ALL(ROW, words));                           \
    } else {                                            \
      ESP_ROLLED                                        \
      for (ky = kernel_h; ky > 0; --ky, w += (words)) { \
        STRIP(ROW(0) ESP_DOWN);                         \
      }                                                 \
    }                                                   \
  } while (0)
#define ESP_WINDOW()                                        \
  do {                                                      \
    uint32_t x0, x1;                                        \
    if (stride == 1) {                                      \
      if (kernel_w == 3) {                                  \
        ESP_STRIPS(ESP_STRIP, ESP_ROW_3, ESP_ALL_3, 6);     \
      } else if (kernel_w == 5) {                           \
        ESP_STRIPS(ESP_STRIP, ESP_ROW_5, ESP_ALL_5, 8);     \
      } else {                                              \
        ESP_STRIPS(ESP_STRIP, ESP_ROW_7, ESP_ALL_7, 10);    \
      }                                                     \
    } else if (kernel_w == 3) {                             \
      ESP_STRIPS(ESP_HALF_STRIP, ESP_HALF_3, ESP_ALL_3, 3); \
    } else if (kernel_w == 5) {                             \
      ESP_STRIPS(ESP_HALF_STRIP, ESP_HALF_5, ESP_ALL_5, 4); \
    } else {                                                \
      ESP_STRIPS(ESP_HALF_STRIP, ESP_HALF_7, ESP_ALL_7, 5); \
    }                                                       \
  } while (0)
#else
#define ESP_MEETING_SUM(j, t) (a##j = esp_dot4(a##j, esp_word(r + 4 * (t)), *w++))
#define ESP_WINDOW()                                                                 \
  do {                                                                               \
    for (ky = kernel_h; ky > 0; --ky, r += pitch) ESP_EACH_MEETING(ESP_MEETING_SUM); \
  } while (0)
#endif

#endif
