/* SPDX-License-Identifier: MIT */
/* Console, exit and painted memory of emulated Cortex-M parts. */
#ifndef ESPALIER_ARM_H
#define ESPALIER_ARM_H

#include <stdint.h>

void espalier_put(char c);
__attribute__((noreturn)) void espalier_exit(int code);

/* Instructions so far, give or take one; 0 where the emulator does not count. */
uint64_t espalier_instructions(void);

/* Bytes of the stack that were ever used, within what the painting can tell. */
uint32_t espalier_stack_used(void);

/* What of the program under test has initial values, all of it written before main. */
const uint8_t* espalier_program_data(uint32_t* bytes);

/* The other memory of the program under test; bytes that hold ESPALIER_PAINT were never written, or hold
 * it by chance. */
const uint8_t* espalier_painted(uint32_t* bytes);

#endif
