# SPDX-License-Identifier: MIT
# Start-up code: trap handler, stack, float unit, data and bss, main, exit. Runs from flash.
#
# `espalier_trap` reports a trap through the memory-mapped registers and ends the run; it uses no
# stack, so that it works when the stack is what failed. A program with a handler of its own writes
# mtvec.

  .equ MMIO_BASE, 0x10000000
  .equ MMIO_EXIT, 0x04
  .equ MMIO_TRAP_CAUSE, 0x08
  .equ MMIO_TRAP_EPC, 0x0c
  .equ MMIO_TRAP_TVAL, 0x10
  .equ MMIO_TRAP_STOP, 0x14

  .section .text.start, "ax", @progbits
  .globl _start
  .type _start, @function
_start:
  .option push
  .option norelax
  la gp, __global_pointer$
  .option pop
  la t0, espalier_trap
  csrw mtvec, t0
  la sp, __stack_top

#ifdef __riscv_flen
  li t0, 0x2000               # mstatus.FS = initial
  csrs mstatus, t0
  csrw fcsr, zero
#endif

  la a0, __data_start
  la a1, __data_load
  la a2, __data_end
  bgeu a0, a2, 2f
1:
  lw t0, 0(a1)
  sw t0, 0(a0)
  addi a0, a0, 4
  addi a1, a1, 4
  bltu a0, a2, 1b
2:
  la a0, __bss_start
  la a2, __bss_end
  bgeu a0, a2, 4f
3:
  sw zero, 0(a0)
  addi a0, a0, 4
  bltu a0, a2, 3b
4:
  li a0, 0
  li a1, 0
  call main
  tail _exit
  .size _start, . - _start

  .globl _exit
  .type _exit, @function
_exit:
  li t0, MMIO_BASE
  sw a0, MMIO_EXIT(t0)
1:
  j 1b
  .size _exit, . - _exit

  .balign 4
  .globl espalier_trap
  .type espalier_trap, @function
espalier_trap:
  li t0, MMIO_BASE
  csrr t1, mcause
  sw t1, MMIO_TRAP_CAUSE(t0)
  csrr t1, mepc
  sw t1, MMIO_TRAP_EPC(t0)
  csrr t1, mtval
  sw t1, MMIO_TRAP_TVAL(t0)
  sw zero, MMIO_TRAP_STOP(t0)
1:
  j 1b
  .size espalier_trap, . - espalier_trap
