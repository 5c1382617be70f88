/* Rows of weights times a column of activations, in C and with esp.lwdota.b, assembled as
 * docs/core-registers.md says. The exit code is 0 if both agree, or the row that differs, from 1.
 */
#include <stdint.h>

/* sum += bytes of the word at base + 4 * words, times those of `bytes`. */
#define LWDOTA(sum, bytes, words, base)         \
  __asm__(".insn r CUSTOM_0, 0, %3, %0, %1, %2" \
          : "+r"(sum)                           \
          : "r"(base), "r"(bytes), "i"(words)   \
          : "memory")

enum { kRows = 4, kColumns = 512 };

static int32_t weights[kRows][kColumns / 4];
static int32_t activations[kColumns / 4];

static int32_t product(const int8_t* a, const int8_t* b, int count) {
  int32_t sum = 0;
  for (int i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

int main(void) {
  uint32_t state = 1;
  for (int i = 0; i < kRows * kColumns / 4; ++i) {
    weights[i / (kColumns / 4)][i % (kColumns / 4)] = (int32_t)(state = state * 1664525u + 1u);
  }
  for (int i = 0; i < kColumns / 4; ++i) {
    activations[i] = (int32_t)(state = state * 1664525u + 1u);
  }
  for (int row = 0; row < kRows; ++row) {
    const int8_t* bytes = (const int8_t*)weights[row];
    const int32_t* at = weights[row];
    int32_t even = 100, odd = 0;
    for (int i = 0; i < kColumns / 4; i += 2, at += 2) {
      LWDOTA(even, activations[i], 0, at);
      LWDOTA(odd, activations[i + 1], 1, at);
    }
    if (even + odd != 100 + product(bytes, (const int8_t*)activations, kColumns)) return row + 1;
    int32_t last = 0;
    LWDOTA(last, activations[0], 127, weights[row]);
    if (last != product(bytes + 508, (const int8_t*)activations, 4)) return row + 1;
  }
  return 0;
}
