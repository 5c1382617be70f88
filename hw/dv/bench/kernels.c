/* SPDX-License-Identifier: MIT */
/* Cycles and instructions per multiply-accumulate of hand-written kernels, as emitted code would
 * have them: blocked, named scalars, no arrays of accumulators. Every kernel is compared with its
 * plain form first; a difference is the exit code. */
#include <stdint.h>

#include "espalier_io.h"

#define PIXELS 32
#define CHANNELS 16
#define DEPTH 192

static int8_t input[PIXELS * DEPTH] __attribute__((aligned(4)));
static int8_t weights[CHANNELS * DEPTH] __attribute__((aligned(4)));
static int32_t output[PIXELS * CHANNELS];
static int32_t expected[PIXELS * CHANNELS];
static uint32_t state = 1;

static uint32_t next_random(void) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

static uint32_t cycles0, instructions0;

static void begin(void) {
  instructions0 = espalier_instructions();
  cycles0 = espalier_cycles();
}

static void put_ratio(uint32_t part, uint32_t whole) {
  const uint32_t hundredths = (uint32_t)(((uint64_t)part * 1000u / whole + 5u) / 10u);
  espalier_put_unsigned(hundredths / 100u);
  espalier_putchar('.');
  espalier_putchar((char)('0' + hundredths / 10u % 10u));
  espalier_putchar((char)('0' + hundredths % 10u));
}

static void end(const char* name, uint32_t macs) {
  const uint32_t cycles = espalier_cycles() - cycles0;
  const uint32_t instructions = espalier_instructions() - instructions0;
  espalier_puts(name);
  espalier_puts(": ");
  put_ratio(cycles, macs);
  espalier_puts(" cycles/MAC, ");
  put_ratio(instructions, macs);
  espalier_puts(" instructions/MAC, CPI ");
  put_ratio(cycles, instructions);
  espalier_putchar('\n');
}

static __attribute__((noinline)) void pointwise_plain(const int8_t* in, const int8_t* w,
                                                      int32_t* out, int depth) {
  for (int p = 0; p < PIXELS; ++p) {
    for (int c = 0; c < CHANNELS; ++c) {
      int32_t sum = 0;
      for (int k = 0; k < depth; ++k) sum += in[p * depth + k] * w[c * depth + k];
      out[p * CHANNELS + c] = sum;
    }
  }
}

/* 2 pixels x 4 channels. */
static __attribute__((noinline)) void pointwise_blocked(const int8_t* in, const int8_t* w,
                                                        int32_t* out, int depth) {
  for (int p = 0; p < PIXELS; p += 2) {
    for (int c = 0; c < CHANNELS; c += 4) {
      const int8_t* x0 = in + p * depth;
      const int8_t* x1 = x0 + depth;
      const int8_t* w0 = w + c * depth;
      const int8_t* w1 = w0 + depth;
      const int8_t* w2 = w1 + depth;
      const int8_t* w3 = w2 + depth;
      int32_t s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
      for (int k = 0; k < depth; ++k) {
        const int32_t a0 = x0[k], a1 = x1[k];
        const int32_t b0 = w0[k], b1 = w1[k], b2 = w2[k], b3 = w3[k];
        s00 += a0 * b0;
        s01 += a0 * b1;
        s02 += a0 * b2;
        s03 += a0 * b3;
        s10 += a1 * b0;
        s11 += a1 * b1;
        s12 += a1 * b2;
        s13 += a1 * b3;
      }
      int32_t* o = out + p * CHANNELS + c;
      o[0] = s00;
      o[1] = s01;
      o[2] = s02;
      o[3] = s03;
      o[CHANNELS + 0] = s10;
      o[CHANNELS + 1] = s11;
      o[CHANNELS + 2] = s12;
      o[CHANNELS + 3] = s13;
    }
  }
}

static inline int32_t dot4(int32_t sum, uint32_t a, uint32_t b) {
  __asm__(".insn r OP_32, 5, 0x46, %0, %1, %2" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}

/* One step of four products for each of 2 pixels x 4 channels. */
#define DOT_STEP(i)                        \
  do {                                     \
    const uint32_t a0 = x0[i], a1 = x1[i]; \
    const uint32_t b0 = w0[i], b1 = w1[i]; \
    const uint32_t b2 = w2[i], b3 = w3[i]; \
    s00 = dot4(s00, a0, b0);               \
    s01 = dot4(s01, a0, b1);               \
    s02 = dot4(s02, a0, b2);               \
    s03 = dot4(s03, a0, b3);               \
    s10 = dot4(s10, a1, b0);               \
    s11 = dot4(s11, a1, b1);               \
    s12 = dot4(s12, a1, b2);               \
    s13 = dot4(s13, a1, b3);               \
  } while (0)

/* Unrolled by hand, 16 bytes of depth a turn: the compiler's own unrolling recomputes addresses. */
static __attribute__((noinline)) void pointwise_dot(const int8_t* in, const int8_t* w, int32_t* out,
                                                    int depth) {
  const int words = depth / 4;
  for (int p = 0; p < PIXELS; p += 2) {
    for (int c = 0; c < CHANNELS; c += 4) {
      const uint32_t* x0 = (const uint32_t*)(const void*)(in + p * depth);
      const uint32_t* x1 = x0 + words;
      const uint32_t* w0 = (const uint32_t*)(const void*)(w + c * depth);
      const uint32_t* w1 = w0 + words;
      const uint32_t* w2 = w1 + words;
      const uint32_t* w3 = w2 + words;
      const uint32_t* const row_end = x1;
      int32_t s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
#pragma GCC unroll 1
      while (x0 != row_end) {
        DOT_STEP(0);
        DOT_STEP(1);
        DOT_STEP(2);
        DOT_STEP(3);
        x0 += 4;
        x1 += 4;
        w0 += 4;
        w1 += 4;
        w2 += 4;
        w3 += 4;
      }
      int32_t* o = out + p * CHANNELS + c;
      o[0] = s00;
      o[1] = s01;
      o[2] = s02;
      o[3] = s03;
      o[CHANNELS + 0] = s10;
      o[CHANNELS + 1] = s11;
      o[CHANNELS + 2] = s12;
      o[CHANNELS + 3] = s13;
    }
  }
}

static int differs(void) {
  for (int i = 0; i < PIXELS * CHANNELS; ++i) {
    if (output[i] != expected[i]) return 1;
  }
  return 0;
}

/* Depthwise 3x3, planes of rows, no padding. */
#define SIDE 34
#define PLANES 4
static int8_t planes[PLANES * SIDE * SIDE];
static int8_t taps[PLANES * 9];
static int32_t plane_output[PLANES * (SIDE - 2) * (SIDE - 2)];

static __attribute__((noinline)) void depthwise(const int8_t* in, const int8_t* w, int32_t* out) {
  for (int c = 0; c < PLANES; ++c) {
    const int32_t w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3], w4 = w[4], w5 = w[5], w6 = w[6],
                  w7 = w[7], w8 = w[8];
    for (int y = 0; y < SIDE - 2; ++y) {
      const int8_t* r0 = in + y * SIDE;
      const int8_t* r1 = r0 + SIDE;
      const int8_t* r2 = r1 + SIDE;
      int32_t a0 = r0[0], b0 = r1[0], c0 = r2[0], a1 = r0[1], b1 = r1[1], c1 = r2[1];
      for (int x = 0; x < SIDE - 2; ++x) {
        const int32_t a2 = r0[x + 2], b2 = r1[x + 2], c2 = r2[x + 2];
        *out++ =
            a0 * w0 + a1 * w1 + a2 * w2 + b0 * w3 + b1 * w4 + b2 * w5 + c0 * w6 + c1 * w7 + c2 * w8;
        a0 = a1;
        a1 = a2;
        b0 = b1;
        b1 = b2;
        c0 = c1;
        c1 = c2;
      }
    }
    in += SIDE * SIDE;
    w += 9;
  }
}

static int depthwise_differs(void) {
  const int32_t* out = plane_output;
  for (int c = 0; c < PLANES; ++c) {
    for (int y = 0; y < SIDE - 2; ++y) {
      for (int x = 0; x < SIDE - 2; ++x) {
        int32_t sum = 0;
        for (int i = 0; i < 9; ++i) {
          sum += planes[c * SIDE * SIDE + (y + i / 3) * SIDE + x + i % 3] * taps[c * 9 + i];
        }
        if (*out++ != sum) return 1;
      }
    }
  }
  return 0;
}

#ifdef __riscv_flen
#define GRAD_PIXELS 16
#define GRAD_IN 48
#define GRAD_OUT 32
static float gradient[GRAD_PIXELS * GRAD_OUT];
static float matrix[GRAD_OUT * GRAD_IN];
static int8_t matrix_int8[GRAD_OUT * GRAD_IN];
static float input_gradient[GRAD_PIXELS * GRAD_IN];

/* dx[p][k] = sum over c of dy[p][c] * w[c][k], 2 pixels x 4 inputs. */
static __attribute__((noinline)) void gradient_blocked(const float* dy, const float* w, float* dx) {
  for (int p = 0; p < GRAD_PIXELS; p += 2) {
    for (int k = 0; k < GRAD_IN; k += 4) {
      const float* y0 = dy + p * GRAD_OUT;
      const float* y1 = y0 + GRAD_OUT;
      const float* v = w + k;
      float s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
      for (int c = 0; c < GRAD_OUT; ++c) {
        const float a0 = y0[c], a1 = y1[c];
        const float b0 = v[0], b1 = v[1], b2 = v[2], b3 = v[3];
        s00 = __builtin_fmaf(a0, b0, s00);
        s01 = __builtin_fmaf(a0, b1, s01);
        s02 = __builtin_fmaf(a0, b2, s02);
        s03 = __builtin_fmaf(a0, b3, s03);
        s10 = __builtin_fmaf(a1, b0, s10);
        s11 = __builtin_fmaf(a1, b1, s11);
        s12 = __builtin_fmaf(a1, b2, s12);
        s13 = __builtin_fmaf(a1, b3, s13);
        v += GRAD_IN;
      }
      float* o = dx + p * GRAD_IN + k;
      o[0] = s00;
      o[1] = s01;
      o[2] = s02;
      o[3] = s03;
      o[GRAD_IN + 0] = s10;
      o[GRAD_IN + 1] = s11;
      o[GRAD_IN + 2] = s12;
      o[GRAD_IN + 3] = s13;
    }
  }
}

/* The same with int8 weights, converted once per block. */
static __attribute__((noinline)) void gradient_int8(const float* dy, const int8_t* w, float* dx) {
  for (int p = 0; p < GRAD_PIXELS; p += 2) {
    for (int k = 0; k < GRAD_IN; k += 4) {
      const float* y0 = dy + p * GRAD_OUT;
      const float* y1 = y0 + GRAD_OUT;
      const int8_t* v = w + k;
      float s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
      for (int c = 0; c < GRAD_OUT; ++c) {
        const float a0 = y0[c], a1 = y1[c];
        const float b0 = (float)v[0], b1 = (float)v[1], b2 = (float)v[2], b3 = (float)v[3];
        s00 = __builtin_fmaf(a0, b0, s00);
        s01 = __builtin_fmaf(a0, b1, s01);
        s02 = __builtin_fmaf(a0, b2, s02);
        s03 = __builtin_fmaf(a0, b3, s03);
        s10 = __builtin_fmaf(a1, b0, s10);
        s11 = __builtin_fmaf(a1, b1, s11);
        s12 = __builtin_fmaf(a1, b2, s12);
        s13 = __builtin_fmaf(a1, b3, s13);
        v += GRAD_IN;
      }
      float* o = dx + p * GRAD_IN + k;
      o[0] = s00;
      o[1] = s01;
      o[2] = s02;
      o[3] = s03;
      o[GRAD_IN + 0] = s10;
      o[GRAD_IN + 1] = s11;
      o[GRAD_IN + 2] = s12;
      o[GRAD_IN + 3] = s13;
    }
  }
}

/* Separate multiplication and addition: what -ffp-contract=off makes of a * b + c. */
static __attribute__((noinline)) void gradient_unfused(const float* dy, const float* w, float* dx) {
  for (int p = 0; p < GRAD_PIXELS; p += 2) {
    for (int k = 0; k < GRAD_IN; k += 4) {
      const float* y0 = dy + p * GRAD_OUT;
      const float* y1 = y0 + GRAD_OUT;
      const float* v = w + k;
      float s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
      for (int c = 0; c < GRAD_OUT; ++c) {
        const float a0 = y0[c], a1 = y1[c];
        const float b0 = v[0], b1 = v[1], b2 = v[2], b3 = v[3];
        s00 += a0 * b0;
        s01 += a0 * b1;
        s02 += a0 * b2;
        s03 += a0 * b3;
        s10 += a1 * b0;
        s11 += a1 * b1;
        s12 += a1 * b2;
        s13 += a1 * b3;
        v += GRAD_IN;
      }
      float* o = dx + p * GRAD_IN + k;
      o[0] = s00;
      o[1] = s01;
      o[2] = s02;
      o[3] = s03;
      o[GRAD_IN + 0] = s10;
      o[GRAD_IN + 1] = s11;
      o[GRAD_IN + 2] = s12;
      o[GRAD_IN + 3] = s13;
    }
  }
}

/* Small integers make every sum exact, so the fused and the unfused form agree with this one. */
static int gradient_differs(void) {
  for (int p = 0; p < GRAD_PIXELS; ++p) {
    for (int k = 0; k < GRAD_IN; ++k) {
      int32_t sum = 0;
      for (int c = 0; c < GRAD_OUT; ++c) {
        sum += (int32_t)gradient[p * GRAD_OUT + c] * (int32_t)matrix[c * GRAD_IN + k];
      }
      if (input_gradient[p * GRAD_IN + k] != (float)sum) return 1;
    }
  }
  return 0;
}
#endif

int main(void) {
  for (int i = 0; i < PIXELS * DEPTH; ++i) input[i] = (int8_t)next_random();
  for (int i = 0; i < CHANNELS * DEPTH; ++i) weights[i] = (int8_t)next_random();
  static const int kDepths[] = {48, 192};
  for (int i = 0; i < 2; ++i) {
    const int depth = kDepths[i];
    const uint32_t macs = (uint32_t)(PIXELS * CHANNELS * depth);
    espalier_puts(i == 0 ? "K=48\n" : "K=192\n");
    begin();
    pointwise_plain(input, weights, expected, depth);
    end("  1x1 plain", macs);
    begin();
    pointwise_blocked(input, weights, output, depth);
    end("  1x1 scalar 2x4", macs);
    if (differs()) return 1;
    output[0] = ~output[0];
    begin();
    pointwise_dot(input, weights, output, depth);
    end("  1x1 pm4adda.b 2x4", macs);
    if (differs()) return 2;
  }
  for (int i = 0; i < PLANES * SIDE * SIDE; ++i) planes[i] = (int8_t)next_random();
  for (int i = 0; i < PLANES * 9; ++i) taps[i] = (int8_t)next_random();
  begin();
  depthwise(planes, taps, plane_output);
  end("3x3 depthwise", PLANES * (SIDE - 2) * (SIDE - 2) * 9);
  if (depthwise_differs()) return 3;

#ifdef __riscv_flen
  for (int i = 0; i < GRAD_PIXELS * GRAD_OUT; ++i) {
    gradient[i] = (float)((int32_t)(next_random() >> 24) - 128);
  }
  for (int i = 0; i < GRAD_OUT * GRAD_IN; ++i) {
    matrix_int8[i] = (int8_t)next_random();
    matrix[i] = (float)matrix_int8[i];
  }
  begin();
  gradient_blocked(gradient, matrix, input_gradient);
  end("fp32 input gradient, fused", GRAD_PIXELS * GRAD_IN * GRAD_OUT);
  if (gradient_differs()) return 4;
  begin();
  gradient_int8(gradient, matrix_int8, input_gradient);
  end("fp32 input gradient, fused, int8 weights", GRAD_PIXELS * GRAD_IN * GRAD_OUT);
  if (gradient_differs()) return 5;
  begin();
  gradient_unfused(gradient, matrix, input_gradient);
  end("fp32 input gradient, unfused", GRAD_PIXELS * GRAD_IN * GRAD_OUT);
  if (gradient_differs()) return 6;
#endif
  return 0;
}
