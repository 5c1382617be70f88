/* SPDX-License-Identifier: MIT */
/* Long inner loops, to measure how fast the simulation runs: integer, or float with -DFLOAT. */
#include <stdint.h>

#include "espalier_io.h"

#ifdef FLOAT
typedef float number;
#define MULTIPLY_ADD(a, b, c) __builtin_fmaf(a, b, c)
#else
typedef int8_t number;
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#endif

static number x[256];
static number w[1024];
static volatile int32_t sink;

int main(void) {
  for (int i = 0; i < 256; ++i) x[i] = (number)(int8_t)(i * 7);
  for (int i = 0; i < 1024; ++i) w[i] = (number)(int8_t)(i * 13);
  for (int round = 0; round < 8000; ++round) {
#ifdef FLOAT
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#else
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#endif
    for (int k = 0; k < 256; ++k) {
      s0 = MULTIPLY_ADD(x[k], w[k], s0);
      s1 = MULTIPLY_ADD(x[k], w[k + 256], s1);
      s2 = MULTIPLY_ADD(x[k], w[k + 512], s2);
      s3 = MULTIPLY_ADD(x[k], w[k + 768], s3);
    }
    sink = (int32_t)(s0 + s1 + s2 + s3);
  }
  return 0;
}
