/* SPDX-License-Identifier: MIT */
#include "espalier_io.h"

#include <stdio.h>

static volatile uint32_t* mmio_register(uint32_t offset) {
  return (volatile uint32_t*)(ESPALIER_MMIO_BASE + offset);
}

void espalier_putchar(char c) { *mmio_register(0x00) = (unsigned char)c; }

void espalier_puts(const char* text) {
  while (*text != '\0') espalier_putchar(*text++);
}

void espalier_put_unsigned(uint32_t value) {
  char digits[10];
  int count = 0;
  do {
    digits[count++] = (char)('0' + value % 10u);
    value /= 10u;
  } while (value != 0);
  while (count > 0) espalier_putchar(digits[--count]);
}

void espalier_put_hex(uint32_t value) {
  for (int shift = 28; shift >= 0; shift -= 4) {
    espalier_putchar("0123456789abcdef"[value >> shift & 15u]);
  }
}

_Noreturn void espalier_exit(int code) {
  *mmio_register(0x04) = (uint32_t)code;
  for (;;) {
  }
}

/* What picolibc's printf writes to, if the program uses it. */
static int put(char c, FILE* stream) {
  (void)stream;
  espalier_putchar(c);
  return (unsigned char)c;
}

static FILE console = FDEV_SETUP_STREAM(put, NULL, NULL, _FDEV_SETUP_WRITE);
FILE* const stdout = &console;
FILE* const stderr = &console;
