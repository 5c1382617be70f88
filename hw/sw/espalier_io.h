/* SPDX-License-Identifier: MIT */
/* Console, exit and counters of the simulated system. */
#ifndef ESPALIER_IO_H
#define ESPALIER_IO_H

#include <stdint.h>

#define ESPALIER_MMIO_BASE 0x10000000u

void espalier_putchar(char c);
void espalier_puts(const char* text);
void espalier_put_unsigned(uint32_t value);
void espalier_put_hex(uint32_t value);
_Noreturn void espalier_exit(int code);

/* Low words of the counters; differences hold across one wrap. */
static inline uint32_t espalier_cycles(void) {
  uint32_t value;
  __asm__ volatile("rdcycle %0" : "=r"(value));
  return value;
}

static inline uint32_t espalier_instructions(void) {
  uint32_t value;
  __asm__ volatile("rdinstret %0" : "=r"(value));
  return value;
}

#endif
