/* A replay memory: what a frozen prefix made of samples seen before, so that a step can run from
 * there. Chosen by a class-balanced reservoir (Chrysakis and Moens, Online Continual Learning from
 * Imbalanced Data, ICML 2020): once it is full, a sample of a class that never had most of it takes
 * the place of one of the class that has; one of another class that of its own kind, as often as a
 * uniform choice among all samples of that class would have it.
 *
 * All that it knows lies in the words that the caller gives, without a pointer: a few numbers,
 * three words a class (seen, kept, whether it ever had most), and a slot a sample, its label in
 * front. Random numbers are keyed by the seed and a count. */
#ifndef ESPALIER_REPLAY_H
#define ESPALIER_REPLAY_H

#include "espalier_runtime.h"

enum {
  ESP_REPLAY_MARK, /* of a memory that was reset */
  ESP_REPLAY_CLASSES,
  ESP_REPLAY_SAMPLES, /* slots */
  ESP_REPLAY_BYTES,   /* of a latent */
  ESP_REPLAY_FILLED,  /* slots in use */
  ESP_REPLAY_SEED,
  ESP_REPLAY_DRAWN, /* random numbers so far */
  ESP_REPLAY_TABLE  /* of the classes */
};

/* In place of a slot. */
enum {
  ESP_REPLAY_NOT_KEPT = -1,
  ESP_REPLAY_DAMAGED = -2 /* the slots are not what the counts say */
};

#define ESP_REPLAY_VALUE_OF_MARK 0x31595052u /* "RPY1" */

/* Words of a slot for a latent of so many bytes, and in front of the slots. */
static inline int32_t esp_replay_slot_words(int32_t bytes) { return 1 + (bytes + 3) / 4; }
static inline int32_t esp_replay_table_words(int32_t classes) {
  return ESP_REPLAY_TABLE + 3 * classes;
}

static inline void esp_replay_reset(uint32_t* memory, int32_t classes, int32_t samples,
                                    int32_t bytes, uint32_t seed) {
  memset(memory, 0, 4 * (uint32_t)esp_replay_table_words(classes));
  memory[ESP_REPLAY_MARK] = ESP_REPLAY_VALUE_OF_MARK;
  memory[ESP_REPLAY_CLASSES] = (uint32_t)classes;
  memory[ESP_REPLAY_SAMPLES] = (uint32_t)samples;
  memory[ESP_REPLAY_BYTES] = (uint32_t)bytes;
  memory[ESP_REPLAY_SEED] = seed;
}

/* Whether the words were reset for these sizes, and count as many samples as there are slots in
 * use. The labels of slots are looked at where they are read. */
static inline int32_t esp_replay_usable(const uint32_t* memory, int32_t classes, int32_t samples,
                                        int32_t bytes) {
  uint32_t left = memory[ESP_REPLAY_FILLED];
  int32_t k;
  if (memory[ESP_REPLAY_MARK] != ESP_REPLAY_VALUE_OF_MARK ||
      memory[ESP_REPLAY_CLASSES] != (uint32_t)classes ||
      memory[ESP_REPLAY_SAMPLES] != (uint32_t)samples ||
      memory[ESP_REPLAY_BYTES] != (uint32_t)bytes || left > (uint32_t)samples) {
    return 0;
  }
  for (k = 0; k < classes; ++k) {
    const uint32_t kept = memory[ESP_REPLAY_TABLE + 3 * k + 1];
    if (kept > left) return 0;
    left -= kept;
  }
  return left == 0;
}

/* A slot: its label, and behind it the latent. */
static inline uint32_t* esp_replay_slot(uint32_t* memory, int32_t slot) {
  return memory + esp_replay_table_words((int32_t)memory[ESP_REPLAY_CLASSES]) +
         slot * esp_replay_slot_words((int32_t)memory[ESP_REPLAY_BYTES]);
}

/* One of 0 to count - 1. */
static inline uint32_t esp_replay_below(uint32_t* memory, uint32_t count) {
  const uint32_t key = memory[ESP_REPLAY_SEED] + memory[ESP_REPLAY_DRAWN]++ * 0x9E3779B9u;
  return (uint32_t)((uint64_t)esp_mix(esp_mix(key) ^ 0x52504C59u) * count >> 32);
}

/* The slot that a random sample of this label has, of which there is one, or ESP_REPLAY_DAMAGED. */
static inline int32_t esp_replay_one_of(uint32_t* memory, int32_t label) {
  uint32_t left = esp_replay_below(memory, memory[ESP_REPLAY_TABLE + 3 * label + 1]);
  const int32_t filled = (int32_t)memory[ESP_REPLAY_FILLED];
  int32_t slot;
  for (slot = 0; slot < filled; ++slot) {
    if (esp_replay_slot(memory, slot)[0] == (uint32_t)label && left-- == 0) return slot;
  }
  return ESP_REPLAY_DAMAGED;
}

/* The slot that the latent of a sample of this label is to be written to; ESP_REPLAY_NOT_KEPT, or
 * ESP_REPLAY_DAMAGED. */
static inline int32_t esp_replay_place(uint32_t* memory, int32_t label) {
  uint32_t* const table = memory + ESP_REPLAY_TABLE;
  uint32_t* const own = table + 3 * label; /* seen, kept, had most */
  const int32_t classes = (int32_t)memory[ESP_REPLAY_CLASSES];
  int32_t from = 0; /* the class that gives one up */
  int32_t slot, k;
  if (own[0] < 0xFFFFFFFFu) ++own[0];
  if (memory[ESP_REPLAY_FILLED] < memory[ESP_REPLAY_SAMPLES]) {
    slot = (int32_t)memory[ESP_REPLAY_FILLED]++;
  } else {
    for (k = 1; k < classes; ++k) {
      if (table[3 * k + 1] > table[3 * from + 1]) from = k;
    }
    table[3 * from + 2] = 1;
    if (own[2] != 0) {
      if (esp_replay_below(memory, own[0]) >= own[1]) return ESP_REPLAY_NOT_KEPT;
      from = label;
    }
    slot = esp_replay_one_of(memory, from);
    if (slot < 0) return slot;
    --table[3 * from + 1];
  }
  ++own[1];
  esp_replay_slot(memory, slot)[0] = (uint32_t)label;
  return slot;
}

/* A random slot in use, or -1 when there is none. Its label may be damaged. */
static inline int32_t esp_replay_draw(uint32_t* memory) {
  if (memory[ESP_REPLAY_FILLED] == 0) return -1;
  return (int32_t)esp_replay_below(memory, memory[ESP_REPLAY_FILLED]);
}

#endif
