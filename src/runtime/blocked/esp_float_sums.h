#ifndef ESP_FLOAT_SUMS_H
#define ESP_FLOAT_SUMS_H

#include "espalier_runtime.h"

/* x times v0 to v3 into the four sums s, and the next x into y. Written out for a float unit: a
 * product is not ready for the next two instructions, a load not for the next one, and with six
 * times four sums there is no register to spare. */
#if defined(__riscv_flen) && defined(__GNUC__)
#define ESP_SUM(s, x, y, next)                                                                  \
  __asm__(                                                                                      \
      "fmul.s %7, %6, %8\n\tfmul.s %4, %6, %9\n\tfmul.s %5, %6, %10\n\t"                        \
      "fmul.s %6, %6, %11\n\tfadd.s %0, %0, %7\n\tflw %7, %12\n\t"                              \
      "fadd.s %1, %1, %4\n\tfadd.s %2, %2, %5\n\tfadd.s %3, %3, %6"                             \
      : "+f"(s##0), "+f"(s##1), "+f"(s##2), "+f"(s##3), "=&f"(t1), "=&f"(t2), "+f"(x), "=&f"(y) \
      : "f"(v0), "f"(v1), "f"(v2), "f"(v3), "m"(next))
#define ESP_SUM_LAST(s, x, y)                                                                   \
  __asm__(                                                                                      \
      "fmul.s %7, %6, %8\n\tfmul.s %4, %6, %9\n\tfmul.s %5, %6, %10\n\t"                        \
      "fmul.s %6, %6, %11\n\tfadd.s %0, %0, %7\n\t"                                             \
      "fadd.s %1, %1, %4\n\tfadd.s %2, %2, %5\n\tfadd.s %3, %3, %6"                             \
      : "+f"(s##0), "+f"(s##1), "+f"(s##2), "+f"(s##3), "=&f"(t1), "=&f"(t2), "+f"(x), "=&f"(y) \
      : "f"(v0), "f"(v1), "f"(v2), "f"(v3))
#else
#define ESP_SUM(s, x, y, next) (ESP_SUM_LAST(s, x, y), y = (next))
#define ESP_SUM_LAST(s, x, y) \
  (t1 = x * v1, t2 = x * v2, y = x * v0, s##0 += y, s##1 += t1, s##2 += t2, y = x * v3, s##3 += y)
#endif

#endif
