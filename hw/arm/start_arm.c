/* SPDX-License-Identifier: MIT */
/* Start-up code of emulated Cortex-M parts, in C alone: vector table, float unit, painted memory,
 * console and exit by Arm's semihosting, a count of instructions.
 *
 * Before main, the stack and the memory of the program under test are filled with a byte, the value
 * of the linker's symbol ESPALIER_PAINT (the program clears its own memory when it is reset): what
 * still holds that byte at the end was never written, or holds it by chance. Two runs with different
 * bytes leave no doubt. */
#include "espalier_arm.h"

extern uint8_t espalier_data_start[], espalier_program_data_end[], espalier_data_end[],
    espalier_data_load[];
extern uint8_t espalier_bss_start[], espalier_bss_end[], espalier_painted_bss_start[],
    espalier_painted_bss_end[], espalier_sram_end[];
extern uint8_t espalier_stack_bottom[], espalier_stack_top[];
extern uint8_t ESPALIER_PAINT[];

int main(void);
void espalier_start(void);
static void fault(void);
static void tick(void);

typedef void (*vector)(void);

__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    (vector)(uintptr_t)espalier_stack_top,
    espalier_start,
    fault,
    fault,
    fault,
    fault,
    fault,
    fault,
    fault,
    fault,
    fault,
    fault,
    fault,
    fault,
    fault,
    tick};

static int semihost(int operation, const void* argument) {
  register int r0 __asm__("r0") = operation;
  register const void* r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

static char line[256];
static uint32_t filled;

static void flush(void) {
  line[filled] = 0;
  filled = 0;
  semihost(0x04, line); /* SYS_WRITE0 */
}

void espalier_put(char c) {
  line[filled++] = c;
  if (c == '\n' || filled == sizeof line - 1) flush();
}

void espalier_exit(int code) {
  const uint32_t block[2] = {0x20026, (uint32_t)code}; /* ADP_Stopped_ApplicationExit */
  flush();
  semihost(0x20, block); /* SYS_EXIT_EXTENDED */
  for (;;) {
  }
}

static void fault(void) { espalier_exit(99); }

static uint8_t paint(void) { return (uint8_t)(uintptr_t)ESPALIER_PAINT; }

static void fill(uint8_t* from, const uint8_t* to, uint8_t value) {
  while (from < to) *(volatile uint8_t*)from++ = value;
}

/* ---- Instructions ----
 * The emulator lets the same time pass for every instruction, and SysTick counts it. A loop of
 * known length tells how many ticks an instruction takes. */
static volatile uint32_t turns;
static uint64_t ticks_of_loop;
enum { LOOP = 100000, RELOAD = 0x00FFFFFF };

static void tick(void) { ++turns; }

static uint64_t ticks(void) {
  const volatile uint32_t* current = (const volatile uint32_t*)0xE000E018u;
  uint32_t high, low;
  do {
    high = turns;
    low = *current;
  } while (high != turns);
  return (uint64_t)high * (RELOAD + 1u) + (RELOAD - low);
}

static void start_counting(void) {
  uint32_t n = LOOP;
  uint64_t from;
  *(volatile uint32_t*)0xE000E014u = RELOAD;
  *(volatile uint32_t*)0xE000E018u = 0;
  *(volatile uint32_t*)0xE000E010u = 7; /* the processor's clock, interrupt, on */
  from = ticks();
  __asm__ volatile(".syntax unified\n1: subs %0, %0, #1\n bne 1b" : "+r"(n) : : "cc");
  ticks_of_loop = ticks() - from;
}

uint64_t espalier_instructions(void) {
  return ticks_of_loop ? ticks() * (2 * LOOP) / ticks_of_loop : 0;
}

__attribute__((noreturn)) void espalier_start(void) {
  const uint8_t* load = espalier_data_load;
  uint8_t* to = espalier_data_start;
  uint8_t* const here = (uint8_t*)__builtin_frame_address(0) - 256;
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
  *(volatile uint32_t*)0xE000ED88u |= 0xFu << 20; /* CPACR: the float unit */
  __asm__ volatile("dsb\n isb");
#endif
  fill(espalier_stack_bottom, here, paint());
  fill(espalier_painted_bss_start, espalier_painted_bss_end, paint());
  fill(espalier_bss_start, espalier_bss_end, 0);
  while (to < espalier_data_end) *(volatile uint8_t*)to++ = *load++;
  start_counting();
  espalier_exit(main());
}

/* Bytes of the stack that were ever used. */
uint32_t espalier_stack_used(void) {
  const uint8_t* at = espalier_stack_bottom;
  while (at < espalier_stack_top && *at == paint()) ++at;
  return (uint32_t)(espalier_stack_top - at);
}

const uint8_t* espalier_program_data(uint32_t* bytes) {
  *bytes = (uint32_t)(espalier_program_data_end - espalier_data_start);
  return espalier_data_start;
}

const uint8_t* espalier_painted(uint32_t* bytes) {
  *bytes = (uint32_t)(espalier_painted_bss_end - espalier_painted_bss_start);
  return espalier_painted_bss_start;
}
