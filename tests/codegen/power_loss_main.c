/* The loop of examples/power_loss on the simulated core: trains on STEPS samples, saves behind
 * every second, and prints what it ends with. PROGRAM, HEADER, SAVED, INPUTS and CLASSES come from
 * the command line.
 *
 * Flash is a memory of its own at FLASH_BASE: a controller of two words, which says what is being
 * erased or written so that the test bench can tear it when it takes the power away, and two banks
 * of BANK_BYTES in pages of PAGE_BYTES. Words are written once after an erase. */
#include <stdint.h>
#include <string.h>

#include HEADER
#include "banks.h"
#include "espalier_io.h"

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define F(name) JOIN(PROGRAM, name)

/* Also known to the test bench. */
#define PAGE_BYTES 1024u
enum { IDLE, ERASING, WRITING };
static volatile uint32_t* const controller = (volatile uint32_t*)FLASH_BASE;
static volatile uint32_t* bank_of(int32_t bank) {
  return (volatile uint32_t*)(FLASH_BASE + PAGE_BYTES + (uint32_t)bank * BANK_BYTES);
}

static void begin(uint32_t what, const volatile uint32_t* where) {
  controller[1] = (uint32_t)(uintptr_t)where;
  controller[0] = what;
}

static void erase_bank(void* context, int32_t bank) {
  volatile uint32_t* word = bank_of(bank);
  uint32_t page, k;
  (void)context;
  for (page = 0; page < BANK_BYTES / PAGE_BYTES; ++page) {
    begin(ERASING, word);
    for (k = 0; k < PAGE_BYTES / 4; ++k) *word++ = 0xFFFFFFFFu;
    controller[0] = IDLE;
  }
}

static void write_bank(void* context, int32_t bank, uint32_t offset, const void* data,
                       uint32_t bytes) {
  volatile uint32_t* word = bank_of(bank) + offset / 4;
  const uint8_t* from = (const uint8_t*)data;
  (void)context;
  if ((offset | bytes) & 3) espalier_exit(2);
  for (; bytes > 0; bytes -= 4, from += 4, ++word) {
    uint32_t value;
    memcpy(&value, from, 4);
    if (*word != 0xFFFFFFFFu) espalier_exit(3); /* written without an erase */
    begin(WRITING, word);
    *word = value;
    controller[0] = IDLE;
  }
}

static const uint8_t* contents(void* context, int32_t bank) {
  (void)context;
  return (const uint8_t*)(uintptr_t)bank_of(bank);
}

static const int8_t* sample(uint32_t number) {
  static int8_t input[INPUTS];
  uint32_t k, x = number * 0x9E3779B9u;
  for (k = 0; k < INPUTS; ++k) {
    x = x * 1664525u + 1013904223u;
    input[k] = (int8_t)(x >> 24);
  }
  return input;
}

int main(void) {
  static uint8_t saved[SAVED];
  const banks_flash flash = {0, erase_bank, write_bank, contents};
  uint32_t done = 0, k;
  if (banks_load(&flash, F(_load), SAVED, &done) != 0) F(_reset)();
  while (done < STEPS) {
    if (!(F(_train_step)(sample(done), (int32_t)(done % CLASSES)) >= 0)) espalier_exit(4);
    if (++done % 2) continue;
    F(_save)(saved);
    banks_save(&flash, saved, SAVED, done);
  }
  F(_save)(saved);
  espalier_puts("end ");
  for (k = 0; k < SAVED; k += 4) {
    uint32_t word;
    memcpy(&word, saved + k, 4);
    espalier_put_hex(word);
  }
  espalier_puts("\n");
  return 0;
}
