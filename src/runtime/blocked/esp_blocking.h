/* Hints for compilers and room for the blocked kernels. C99, in which a GNU compiler also finds
 * attributes, built-ins and, for RISC-V, assembly; no hint changes a value. */
#ifndef ESP_BLOCKING_H
#define ESP_BLOCKING_H

#include "espalier_runtime.h"

/* Parts of blocked kernels, which must end up inside them, or not: those have registers of their
 * own, and a symbol that counts as the kernel's, as those of a compiler's clones do. */
#ifdef __GNUC__
#define ESP_INLINE static inline __attribute__((always_inline))
#define ESP_APART static __attribute__((noinline))
#define ESP_PART_OF(kernel) __asm__(kernel ".part")
#define ESP_RARELY(condition) __builtin_expect(condition, 0)
#else
#define ESP_INLINE static inline
#define ESP_APART static
#define ESP_PART_OF(kernel)
#define ESP_RARELY(condition) (condition)
#endif

/* Before a loop that has been unrolled by hand, or that is too rare to be. */
#if defined(__GNUC__) && !defined(__clang__)
#define ESP_ROLLED _Pragma("GCC unroll 1")
#else
#define ESP_ROLLED
#endif

/* What is computed from this value is computed here and not kept in registers all through the loops
 * around. */
#if defined(__riscv) && defined(__GNUC__)
#define ESP_HERE(a) __asm__("" : "+r"(a))
#else
#define ESP_HERE(a) (void)0
#endif

/* Stands before a loop that needs most registers: whatever is not of it waits in memory, instead of
 * pushing out what the loop computes with. */
#if defined(__riscv) && defined(__GNUC__)
#define ESP_FRESH()                                                                           \
  __asm__("" ::                                                                               \
              : "t0", "t1", "t2", "t3", "t4", "t5", "t6", "a0", "a1", "a2", "a3", "a4", "a5", \
                "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11")
#else
#define ESP_FRESH() (void)0
#endif

/* Four results that are to be there before what follows: products and loads are not ready for the
 * very next instruction, and sums that only a branch needs would be put off until then and their
 * operands kept. Says nothing about values. */
#if defined(__riscv) && defined(__GNUC__)
#define ESP_DONE(a, b, c, d) __asm__("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d))
#else
#define ESP_DONE(a, b, c, d) (void)0
#endif
#if defined(__riscv_flen) && defined(__GNUC__)
#define ESP_TOGETHER(a, b, c, d) __asm__("" : "+f"(a), "+f"(b), "+f"(c), "+f"(d))
#else
#define ESP_TOGETHER(a, b, c, d) (void)0
#endif

/* `count` bytes that lie `step` apart, one behind the other. Compilers would rather make words of
 * them, which takes longer: the address of each store is news to them. */
ESP_INLINE void esp_gather(const int8_t* from, int32_t step, int32_t count, int8_t* to) {
  const int8_t *fours = to + (count & ~3), *end = to + count;
  ESP_ROLLED
  for (; to != fours; to += 4) {
    int32_t v0, v1, v2, v3;
    v0 = *from, from += step;
    v1 = *from, from += step;
    v2 = *from, from += step;
    v3 = *from, from += step;
    ESP_DONE(v0, v1, v2, v3);
    to[0] = (int8_t)v0;
    ESP_HERE(to);
    to[1] = (int8_t)v1;
    ESP_HERE(to);
    to[2] = (int8_t)v2;
    ESP_HERE(to);
    to[3] = (int8_t)v3;
  }
  ESP_ROLLED
  for (; to != end; from += step) *to++ = *from;
}

/* Bytes behind a padded plane. Blocked kernels read at most 3 values past the last window, with the
 * dot product at most 4 bytes past the last row; what is left is room for rows that are rounded up
 * to whole words. */
#define ESP_PLANE_SLACK 8

#endif
