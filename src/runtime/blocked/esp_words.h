/* Filling and copying, by words where the addresses allow it: some C libraries for small parts go
 * byte by byte. What is copied lies elsewhere or above `to`, where it may overlap. */
#ifndef ESP_WORDS_H
#define ESP_WORDS_H

#include "espalier_runtime.h"

#if defined(__riscv) && defined(__GNUC__)
typedef uint32_t __attribute__((__may_alias__)) esp_any_word;

/* Behind a store of a loop, or compilers make a call of the library of it. */
#define ESP_NO_CALL(pointer) __asm__("" : "+r"(pointer))

static inline void esp_fill(void* to, int32_t value, int32_t bytes) {
  uint8_t* byte = (uint8_t*)to;
  if (!((uintptr_t)to & 3)) {
    esp_any_word* word = (esp_any_word*)to;
    const uint32_t four = (uint8_t)value * 0x01010101u;
    for (; bytes >= 32; bytes -= 32, word += 8) {
      word[0] = four, word[1] = four, word[2] = four, word[3] = four;
      word[4] = four, word[5] = four, word[6] = four, word[7] = four;
      ESP_NO_CALL(word);
    }
    for (; bytes >= 4; bytes -= 4) {
      *word++ = four;
      ESP_NO_CALL(word);
    }
    byte = (uint8_t*)word;
  }
  for (; bytes > 0; --bytes) {
    *byte++ = (uint8_t)value;
    ESP_NO_CALL(byte);
  }
}

static inline void esp_copy(void* to, const void* from, int32_t bytes) {
  uint8_t* byte = (uint8_t*)to;
  const uint8_t* in = (const uint8_t*)from;
  if (!(((uintptr_t)to | (uintptr_t)from) & 3)) {
    esp_any_word* word = (esp_any_word*)to;
    const esp_any_word* words = (const esp_any_word*)from;
    for (; bytes >= 16; bytes -= 16, word += 4, words += 4) {
      const uint32_t a = words[0], b = words[1], c = words[2], d = words[3];
      word[0] = a, word[1] = b, word[2] = c, word[3] = d;
      ESP_NO_CALL(word);
    }
    for (; bytes >= 4; bytes -= 4) {
      *word++ = *words++;
      ESP_NO_CALL(word);
    }
    byte = (uint8_t*)word;
    in = (const uint8_t*)words;
  }
  for (; bytes >= 4; bytes -= 4, byte += 4, in += 4) {
    const uint8_t a = in[0], b = in[1], c = in[2], d = in[3];
    byte[0] = a, byte[1] = b, byte[2] = c, byte[3] = d;
    ESP_NO_CALL(byte);
  }
  for (; bytes > 0; --bytes) {
    *byte++ = *in++;
    ESP_NO_CALL(byte);
  }
}
#else
static inline void esp_fill(void* to, int32_t value, int32_t bytes) {
  memset(to, value, (size_t)bytes);
}
static inline void esp_copy(void* to, const void* from, int32_t bytes) {
  memmove(to, from, (size_t)bytes);
}
#endif

#endif
