/* What the start-up code promises: initialised data, zeroed bss, an aligned stack, float registers
 * that work. The exit code names the promise that was broken. */
#include <stdint.h>

static volatile int initialised = 1234;
static volatile int zeroed[64];
static volatile const char text[] = "text";
static volatile float fraction = 0.1f;

int main(void) {
  if (initialised != 1234) return 1;
  for (int i = 0; i < 64; ++i) {
    if (zeroed[i] != 0) return 2;
  }
  if (text[0] != 't' || text[4] != 0) return 3;
  uintptr_t sp;
  __asm__ volatile("mv %0, sp" : "=r"(sp));
  if (sp % 16 != 0) return 4;
  if (fraction * 10.0f != 1.0f) return 5;
  return 0;
}
