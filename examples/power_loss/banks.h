/* Keeps what a program has learned in two banks of flash, so that power may go at any moment: until
 * a new copy is whole, the one before it stays where it is.
 *
 * A bank holds what <name>_save() writes and behind it a trailer of 12 bytes: the number of the
 * copy, a word of the firmware's own (such as how many samples have been trained on), and the
 * CRC-32 of both. The trailer is written last. */
#ifndef BANKS_H
#define BANKS_H

#include <stdint.h>

#define BANKS_TRAILER_BYTES 12

/* The flash. Banks 0 and 1 lie in different pages and are memory-mapped. An erase makes a whole
 * bank 0xFF; either call may be cut short by a loss of power, leaving anything in that bank. Writes
 * follow each other from offset 0 without gaps, in multiples of 4 bytes: where flash is programmed in
 * larger units, `write` keeps what does not fill one, and programs it behind the trailer's 12 bytes,
 * with which each copy ends. */
typedef struct {
  void* context;
  void (*erase)(void* context, int32_t bank);
  void (*write)(void* context, int32_t bank, uint32_t offset, const void* data, uint32_t bytes);
  const uint8_t* (*contents)(void* context, int32_t bank);
} banks_flash;

/* Writes a copy to the bank that does not hold the newest one. `saved`: the bytes of <name>_save().
 */
void banks_save(const banks_flash* flash, const void* saved, uint32_t bytes, uint32_t word);

/* Loads the newest copy that `load`, a <name>_load(), takes. Returns 0 and the firmware's word, or
 * -1 when there is none: then call <name>_reset(). */
int32_t banks_load(const banks_flash* flash, int32_t (*load)(const void* saved), uint32_t bytes,
                   uint32_t* word);

#endif
