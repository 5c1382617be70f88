/* Programs that go wrong in one way each. */
#include <stdint.h>

#include "espalier_io.h"

static const int constant = 5;
static volatile int depth;

static __attribute__((noinline)) int recurse(int n) {
  volatile int frame[16];
  frame[0] = n;
  depth = n;
  return recurse(n + 1) + frame[0];
}

static __attribute__((noinline)) int large_frame(void) {
  volatile char frame[8192];
  frame[0] = 1;
  frame[8191] = 2;
  return frame[0] + frame[8191];
}

int main(void) {
  espalier_puts("before\n");
#if FAULT == 0
  *(volatile int*)(uintptr_t)&constant = 6;
#elif FAULT == 1
  ((void (*)(void))0x40000000)();
#elif FAULT == 2
  return recurse(0);
#elif FAULT == 3
  for (;;) depth = 1;
#elif FAULT == 4
  uintptr_t nowhere = 0x10;
  __asm__("" : "+r"(nowhere));
  return *(volatile int*)nowhere;
#elif FAULT == 5
  return large_frame() - 3;
#endif
  return constant - 5;
}
