/* SPDX-License-Identifier: MIT */
/* A mixture of what small programs do, in the spirit of Dhrystone but not comparable with it:
 * structures, strings, lists, arrays, divisions, float series. Checks its own results. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "espalier_io.h"

#define ROUNDS 400

struct record {
  struct record* next;
  int key;
  char name[24];
};

static struct record records[16];
static int table[64];
static volatile float quarter = 0.25f;

static __attribute__((noinline)) struct record* insert(struct record* list, struct record* item) {
  struct record** at = &list;
  while (*at != NULL && (*at)->key < item->key) at = &(*at)->next;
  item->next = *at;
  *at = item;
  return list;
}

static __attribute__((noinline)) int work(int round) {
  struct record* list = NULL;
  for (int i = 0; i < 16; ++i) {
    records[i].key = (i * 7 + round) % 16;
    strcpy(records[i].name, "record of the list");
    records[i].name[0] = (char)('a' + records[i].key);
    list = insert(list, &records[i]);
  }
  int last = -1;
  for (const struct record* r = list; r != NULL; r = r->next) {
    if (r->key <= last || strcmp(r->name + 1, "ecord of the list") != 0) return 1;
    last = r->key;
  }
  int sum = 0;
  for (int i = 0; i < 64; ++i) {
    table[i] = (i * round) % 61;
    sum += table[i] / (1 + i % 5);
  }
  for (int i = 1; i < 64; ++i) {
    const int value = table[i];
    int j = i;
    for (; j > 0 && table[j - 1] > value; --j) table[j] = table[j - 1];
    table[j] = value;
  }
  for (int i = 1; i < 64; ++i) {
    if (table[i - 1] > table[i]) return 2;
  }
  return sum < 0 ? 3 : 0;
}

static __attribute__((noinline)) float series(float x) {
  float sum = 1.0f;
  for (int i = 0; i < 12; ++i) sum = sum * x + 1.0f;
  return sum;
}

int main(void) {
  const uint32_t cycles = espalier_cycles();
  const uint32_t instructions = espalier_instructions();
  for (int round = 0; round < ROUNDS; ++round) {
    const int wrong = work(round);
    if (wrong != 0) return wrong;
    const float limit = series(quarter);
    if (limit < 1.333f || limit > 1.334f) return 4;
  }
  const uint32_t used = espalier_cycles() - cycles;
  espalier_put_unsigned(used / ROUNDS);
  espalier_puts(" cycles and ");
  espalier_put_unsigned((espalier_instructions() - instructions) / ROUNDS);
  espalier_puts(" instructions per round\n");
  return 0;
}
