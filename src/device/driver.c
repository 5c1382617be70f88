/* Trains on the samples of check-samples.h and tells what came of it, on the host and on the
 * simulated core alike: losses, logits and a hash of the state of each step, then where every
 * parameter array lies (core) or what it holds (host). On the host the steps of which there are
 * records come first. PROGRAM, HEADER and ESPALIER_CORE come from the command line; so do
 * ESPALIER_ARM for an emulated part, ESPALIER_TRACED for a build that tells of every node,
 * ESPALIER_TIMED, the number of nodes, for one that times them, and ESPALIER_COUNTED, the number of
 * kernels, for one that counts their instructions. */
#include <stdint.h>
#include <string.h>

#include HEADER
#if !defined(ESPALIER_CORE) && !defined(ESPALIER_ARM)
#define ESPALIER_HOST
#endif
#include "check-samples.h"

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define F(name) JOIN(PROGRAM, name)

#ifdef ESPALIER_CORE
static void put(char c) { *(volatile uint32_t*)0x10000000u = (unsigned char)c; }
static uint64_t count_cycles(void) {
  uint32_t high, low, again;
  do {
    __asm__ volatile("rdcycleh %0\n rdcycle %1\n rdcycleh %2" : "=r"(high), "=r"(low), "=r"(again));
  } while (high != again);
  return (uint64_t)high << 32 | low;
}
static uint64_t count_instructions(void) {
  uint32_t high, low, again;
  do {
    __asm__ volatile("rdinstreth %0\n rdinstret %1\n rdinstreth %2"
                     : "=r"(high), "=r"(low), "=r"(again));
  } while (high != again);
  return (uint64_t)high << 32 | low;
}
#elif defined(ESPALIER_ARM)
#include "espalier_arm.h"
static void put(char c) { espalier_put(c); }
static uint64_t count_cycles(void) { return 0; } /* an emulator knows none */
static uint64_t count_instructions(void) { return espalier_instructions(); }
#else
#include <stdio.h>
#ifndef ESPALIER_TRACED
#include "recorded-samples.h"
#endif
static void put(char c) { putchar(c); }
static uint64_t count_cycles(void) { return 0; }
static uint64_t count_instructions(void) { return 0; }
static int take(const char* name, void* samples, size_t bytes) {
  FILE* file = fopen(name, "rb");
  const size_t got = file == NULL ? 0 : fread(samples, 1, bytes, file);
  if (file != NULL) fclose(file);
  return got == bytes;
}
#endif

#ifdef TURN_BYTES
/* The pieces of a change of turn must follow each other from the beginning to the end. `context`: the
 * byte that is next. */
static int32_t write_flash(void* context, const void* at, const void* data, uint32_t bytes) {
  const char** const next = context;
  uint32_t i;
  if (at == NULL) return *next == (const char*)F(_turn_memory)() + TURN_BYTES ? 0 : 1;
  if (at != *next) return 2;
  *next += bytes;
  for (i = 0; i < bytes; ++i) {
#ifdef ESPALIER_CORE
    *(volatile uint32_t*)0x10000018u = (uint32_t)(uintptr_t)at + i;
    *(volatile uint32_t*)0x1000001Cu = ((const unsigned char*)data)[i];
#else
    ((volatile unsigned char*)(uintptr_t)at)[i] = ((const unsigned char*)data)[i];
#endif
  }
  return 0;
}

/* Behind a step; nothing where gradients wait for an update. */
static int next_turn(void) {
  const char* next = F(_turn_memory)();
  const int32_t failed = F(_next_turn)(write_flash, &next);
  return failed == 0 || failed == -1;
}
#else
#define next_turn() 1
#endif

static void put_text(const char* text) {
  while (*text) put(*text++);
}

static void put_hex(uint64_t value, int digits) {
  put(' ');
  while (digits > 0) put("0123456789abcdef"[value >> (4 * --digits) & 15]);
}

static void put_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  put_hex(bits, 8);
}

static void put_array(const char* what, int32_t conv, const void* data, int32_t bytes,
                      int32_t element_bytes) {
  if (bytes == 0) return;
  put_text("array ");
  put_text(what);
  put_hex((uint32_t)conv, 4);
  put_hex((uint32_t)bytes, 8);
  put_hex((uint32_t)element_bytes, 2);
#ifdef ESPALIER_CORE
  put_hex((uint32_t)(uintptr_t)data, 8);
#else
  {
    const unsigned char* byte = data;
    put(' ');
    for (; bytes > 0; --bytes, ++byte) {
      put("0123456789abcdef"[*byte >> 4]);
      put("0123456789abcdef"[*byte & 15]);
    }
  }
#endif
  put('\n');
}

#ifdef ESPALIER_ARM
static void put_bytes(const uint8_t* memory, uint32_t bytes) {
  uint32_t i, k;
  for (i = 0; i < bytes; i += 100) {
    put_text("\nmemory ");
    for (k = i; k < bytes && k < i + 100; ++k) {
      put("0123456789abcdef"[memory[k] >> 4]);
      put("0123456789abcdef"[memory[k] & 15]);
    }
  }
}

/* All memory of the program, and how much stack was used: the painting shows what was written. */
static void put_memory(void) {
  uint32_t bytes;
  const uint8_t* memory = espalier_program_data(&bytes);
  put_text("stack");
  put_hex(espalier_stack_used(), 8);
  put_bytes(memory, bytes);
  memory = espalier_painted(&bytes);
  put_bytes(memory, bytes);
  put('\n');
}
#endif

/* An odd multiplication loses nothing, so that one word that differs is always seen. */
static uint32_t mix(uint32_t hash, uint32_t word) { return (hash ^ word) * 16777619u; }

static uint32_t mix_words(uint32_t hash, const void* memory, int32_t bytes) {
  const volatile uint32_t* word = memory;
  int32_t i;
  for (i = 0; i < bytes / 4; ++i) hash = mix(hash, word[i]);
  return hash;
}

/* As the host engine computes it. */
static uint32_t state_hash(void) { return mix_words(2166136261u, F(_state)(), STATE_BYTES); }

#ifdef ESPALIER_TRACED
/* What a node left in SRAM, and the steps of parameters that it rounded. */
static uint32_t steps_hash;

void espalier_stepped(float step) {
  uint32_t bits;
  memcpy(&bits, &step, sizeof bits);
  steps_hash =
      mix(steps_hash, step == step ? bits : 1u); /* not-a-numbers differ between machines */
}

void espalier_wrote(int node, const void* arena, const void* state) {
  uint32_t hash = mix_words(mix(2166136261u, steps_hash), arena, ARENA_BYTES);
  hash = mix_words(hash, state, STATE_BYTES);
  put_text("node");
  put_hex((uint32_t)node, 4);
  put_hex(hash, 8);
  put('\n');
  steps_hash = 0;
}
#endif

#ifdef ESPALIER_TIMED
/* Cycles of each node over all steps; told at the end, so that telling takes no part of them. */
static uint64_t node_cycles[ESPALIER_TIMED];
static uint64_t node_began;

void espalier_wrote(int node, const void* arena, const void* state) {
  (void)arena;
  (void)state;
  node_cycles[node] += count_cycles() - node_began;
  node_began = count_cycles();
}
#endif

#ifdef ESPALIER_COUNTED
/* Instructions of each kernel over all steps, with what a call of it takes. */
static uint64_t kernel_instructions[ESPALIER_COUNTED];
static uint64_t kernel_began, counting;

void espalier_enter(void) { kernel_began = count_instructions(); }
void espalier_left(int kernel) {
  kernel_instructions[kernel] += count_instructions() - kernel_began - counting;
}

/* What counting takes itself, which depends on the processor. */
static void measure_counting(void) {
  espalier_enter();
  counting = count_instructions() - kernel_began;
}
#endif

#ifdef RECORDED
static int run_recorded(void) {
  int32_t step;
#ifdef TURN_BYTES
  static unsigned char start[TURN_BYTES + 1];
  memcpy(start, F(_turn_memory)(), TURN_BYTES);
#endif
  F(_reset)();
  for (step = 0; step < RECORDED; ++step) {
    /* The last one trains the classifier alone. */
    const float loss = step + 1 < RECORDED
                           ? F(_train_step)(recorded_samples[step], recorded_labels[step])
                           : F(_train_head)(recorded_samples[step], recorded_labels[step]);
    put_text("recorded");
    put_float(loss);
    put_hex(state_hash(), 8);
    put('\n');
    if (step + 1 < RECORDED && !next_turn()) return 0;
  }
#ifdef TURN_BYTES
  memcpy((void*)(uintptr_t)F(_turn_memory)(), start, TURN_BYTES); /* as it was linked */
#endif
  return 1;
}
#endif

int main(void) {
  int32_t step, k, count;
#ifdef EXTERN_ARENA_BYTES
  /* Among the memory that is looked at for what a step wrote. */
  static float arena[EXTERN_ARENA_BYTES / 4] __attribute__((section(".bss.espalier_arena")));
  if (F(_use_arena)(arena, sizeof arena) != 0) return 1;
#endif
#ifdef ESPALIER_HOST
  if (!take("check.bin", check_samples, sizeof check_samples)) return 1;
#endif
#ifdef RECORDED
  if (!take("recorded.bin", recorded_samples, sizeof recorded_samples)) return 1;
  if (!run_recorded()) return 1;
#endif
  F(_reset)();
#ifdef ESPALIER_COUNTED
  measure_counting();
#endif
  for (step = 0; step < SAMPLES; ++step) {
    const uint64_t cycles = count_cycles(), instructions = count_instructions();
#ifdef ESPALIER_TIMED
    node_began = cycles;
#endif
    const float loss = F(_train_step)(check_samples[step], check_labels[step]);
    const uint64_t spent = count_cycles() - cycles, done = count_instructions() - instructions;
    put_text("step");
    put_float(loss);
    for (k = 0; k < CLASSES; ++k) put_float(F(_logits)()[k]);
    put('\n');
    put_text("state");
    put_hex(state_hash(), 8);
    put('\n');
    put_text("cost");
    put_hex(spent, 16);
    put_hex(done, 16);
    put('\n');
    if (step + 1 < SAMPLES && !next_turn()) return 1;
  }
#ifdef ESPALIER_TRACED
  /* The other kind of step, in a run whose cycles nobody counts. */
  if (F(_train_head)(check_samples[0], check_labels[0]) < 0) return 1;
#endif
#ifdef TURN_BYTES
  put_array("turns", 0, F(_turn_memory)(), TURN_BYTES, 1);
#endif
  for (k = 0; k < CONVS; ++k) {
    const int8_t* weights = F(_weights)(k, &count);
    put_array("weights", k, weights, count, 1);
    {
      const int32_t* bias = F(_bias)(k, &count);
      put_array("bias", k, bias, count * 4, 4);
    }
  }
  put_array("head_weights", 0, F(_head_weights)(), FEATURES * CLASSES * 4, 4);
  put_array("head_bias", 0, F(_head_bias)(), CLASSES * 4, 4);
#ifdef ESPALIER_TIMED
  for (k = 0; k < ESPALIER_TIMED; ++k) {
    put_text("took");
    put_hex(node_cycles[k], 16);
    put('\n');
  }
#endif
#ifdef ESPALIER_COUNTED
  for (k = 0; k < ESPALIER_COUNTED; ++k) {
    put_text("took");
    put_hex(kernel_instructions[k], 16);
    put('\n');
  }
#endif
#ifdef ESPALIER_ARM
  put_memory();
#endif
  return 0;
}
