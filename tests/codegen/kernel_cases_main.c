/* The list of kernel_cases.c on the core: says which layers fail, and exits with 1 if any does. */
#include "espalier_io.h"
#include "kernel_cases.h"

/* Layers of each kernel. In flash, where the test puts a number of its own. */
extern const uint32_t kernel_layers;
const uint32_t kernel_layers = 1;

int main(void) {
  const uint32_t layers = *(const volatile uint32_t*)&kernel_layers;
  int failed = 0;
  uint32_t seed;
  int32_t kernel;
  for (seed = 0; seed < layers; ++seed) {
    for (kernel = 0; kernel_case_name(kernel); ++kernel) {
      const char* failure = kernel_case_run(kernel, seed, 1);
      if (!failure) continue;
      failed = 1;
      espalier_puts(kernel_case_name(kernel));
      espalier_puts(", seed ");
      espalier_put_unsigned(seed);
      espalier_puts(", ");
      espalier_puts(failure);
      espalier_puts("\n");
    }
  }
  return failed;
}
