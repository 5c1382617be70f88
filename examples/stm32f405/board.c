/* An STM32F405 without a library: vectors, what runs before main, USART1 on PA9 at 115,200 baud. */
#include "board.h"

#include <stdint.h>

extern uint32_t board_data_load[], board_data_begin[], board_data_end[];
extern uint32_t board_bss_begin[], board_bss_end[], board_stack_top[];

int main(void);

#define REGISTER(address) (*(volatile uint32_t*)(address))
#define CPACR REGISTER(0xE000ED88u)
#define RCC_AHB1ENR REGISTER(0x40023830u)
#define RCC_APB2ENR REGISTER(0x40023844u)
#define GPIOA_MODER REGISTER(0x40020000u)
#define GPIOA_AFRH REGISTER(0x40020024u)
#define USART1_SR REGISTER(0x40011000u)
#define USART1_DR REGISTER(0x40011004u)
#define USART1_BRR REGISTER(0x40011008u)
#define USART1_CR1 REGISTER(0x4001100Cu)

static void stop(void) {
  for (;;) __asm__ volatile("wfi");
}

static void reset(void) {
  const uint32_t* from = board_data_load;
  uint32_t* to;
  CPACR |= 0xFu << 20; /* the float unit, before anything uses it */
  __asm__ volatile("dsb\n isb" ::: "memory");
  for (to = board_data_begin; to < board_data_end; ++to) *to = *from++;
  for (to = board_bss_begin; to < board_bss_end; ++to) *to = 0;
  main();
  stop();
}

/* Reset and the processor's own; interrupts of the part are never enabled. */
__attribute__((section(".vectors"), used)) static const void* const vectors[16] = {
    board_stack_top,   (const void*)reset, (const void*)stop, (const void*)stop,
    (const void*)stop, (const void*)stop,  (const void*)stop};

void board_start(void) {
  RCC_AHB1ENR |= 1u;                                    /* port A */
  RCC_APB2ENR |= 1u << 4;                               /* USART1 */
  GPIOA_MODER = (GPIOA_MODER & ~(3u << 18)) | 2u << 18; /* PA9: alternate function */
  GPIOA_AFRH = (GPIOA_AFRH & ~(15u << 4)) | 7u << 4;    /* the USART's */
  USART1_BRR = 139;                                     /* 16 MHz / 115,200 */
  USART1_CR1 = 1u << 13 | 1u << 3;                      /* on, sends */
}

void board_put(char c) {
  while ((USART1_SR & 1u << 7) == 0) continue;
  USART1_DR = (unsigned char)c;
}

void board_stop(void) {
#ifdef BOARD_EMULATED
  /* Tells an emulator to end, by semihosting. */
  register uint32_t call __asm__("r0") = 0x18;
  register uint32_t reason __asm__("r1") = 0x20026;
  __asm__ volatile("bkpt 0xAB" ::"r"(call), "r"(reason) : "memory");
#endif
  stop();
}
