/* The dot product that loads one of its factors, as text for blocks of assembly: esp.lwdota.b,
 * which assemblers do not know. A result is ready for the next instruction but one, as a load's is.
 */
#ifndef ESP_LOAD_DOT_H
#define ESP_LOAD_DOT_H

#include "esp_blocking.h"

/* The operand `sum` plus the products of four int8 in word k behind `at` with four in `word`. */
#define ESP_LOAD_DOT(sum, at, word, k) \
  ".insn r CUSTOM_0, 0, " #k ", %[" #sum "], %[" #at "], %[" #word "]\n\t"
/* Word k behind `at` into the operand `word`. */
#define ESP_LOAD_WORD(word, at, k) "lw %[" #word "], 4*" #k "(%[" #at "])\n\t"

#endif
