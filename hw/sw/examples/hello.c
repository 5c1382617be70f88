/* SPDX-License-Identifier: MIT */
/* The smallest program: says hello through the console and through printf. */
#include <stdio.h>

#include "espalier_io.h"

int main(void) {
  espalier_puts("hello from the core\n");
  printf("%s has %d registers\n", "it", 32);
  return 0;
}
