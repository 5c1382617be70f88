#include "banks.h"

#include <string.h>

static uint32_t checksum(const void* data, uint32_t bytes) {
  const uint8_t* byte = (const uint8_t*)data;
  uint32_t crc = ~0u;
  int bit;
  for (; bytes > 0; --bytes, ++byte) {
    crc ^= *byte;
    for (bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
  }
  return ~crc;
}

/* The number and word of a bank whose trailer is whole. */
static int32_t read_trailer(const banks_flash* flash, int32_t bank, uint32_t bytes,
                            uint32_t trailer[3]) {
  memcpy(trailer, flash->contents(flash->context, bank) + bytes, BANKS_TRAILER_BYTES);
  return trailer[2] == checksum(trailer, 8);
}

/* The bank of the newest copy, or -1; `number` is its. Numbers may pass through 0. */
static int32_t newest(const banks_flash* flash, uint32_t bytes, uint32_t* number) {
  uint32_t trailer[3];
  int32_t bank, found = -1;
  for (bank = 0; bank < 2; ++bank) {
    if (!read_trailer(flash, bank, bytes, trailer)) continue;
    if (found < 0 || (int32_t)(trailer[0] - *number) > 0) {
      found = bank;
      *number = trailer[0];
    }
  }
  return found;
}

void banks_save(const banks_flash* flash, const void* saved, uint32_t bytes, uint32_t word) {
  uint32_t number = 0, trailer[3];
  const int32_t bank = newest(flash, bytes, &number) == 0 ? 1 : 0;
  trailer[0] = number + 1;
  trailer[1] = word;
  trailer[2] = checksum(trailer, 8);
  flash->erase(flash->context, bank);
  flash->write(flash->context, bank, 0, saved, bytes);
  flash->write(flash->context, bank, bytes, trailer, BANKS_TRAILER_BYTES);
}

int32_t banks_load(const banks_flash* flash, int32_t (*load)(const void* saved), uint32_t bytes,
                   uint32_t* word) {
  uint32_t number = 0, trailer[3];
  const int32_t first = newest(flash, bytes, &number);
  int32_t attempt;
  if (first < 0) return -1;
  for (attempt = 0; attempt < 2; ++attempt) {
    const int32_t bank = attempt == 0 ? first : 1 - first;
    if (!read_trailer(flash, bank, bytes, trailer)) continue;
    if (load(flash->contents(flash->context, bank)) != 0) continue;
    *word = trailer[1];
    return 0;
  }
  return -1;
}
