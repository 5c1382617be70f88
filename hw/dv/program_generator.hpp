// SPDX-License-Identifier: MIT
// Random programs that end: constrained so that every loop is counted, every jump lands inside and
// every address is known, and otherwise as irregular as possible. Same options, same program.
#pragma once

#include <cstdint>

#include "dv/elf_writer.hpp"

namespace espalier::hw::dv {

struct GeneratorOptions {
  std::uint64_t seed = 1;
  int body_instructions = 1500;  // about; sequences count as one
  int loops = 8;                 // times that the body runs
  // User mode: no traps, no machine CSRs, no pm4adda.b, no counters. Such a program runs unchanged
  // under qemu-riscv32; it ends with the system calls write and exit.
  bool user_mode = false;
  bool floats = true;
  bool load_dot = false;  // esp.lwdota.b; not with user_mode
};

// Where the parts of a generated program lie.
inline constexpr std::uint32_t kCodeAddress = 0x0800'0000;
inline constexpr std::uint32_t kDataAddress = 0x2000'0000;
inline constexpr std::uint32_t kDataBytes = 8192;        // loads and stores stay in the first half
inline constexpr std::uint32_t kSignatureOffset = 4096;  // registers at the end of the program

struct GeneratedProgram {
  ElfImage image;                   // enters where user mode starts
  std::uint32_t machine_entry = 0;  // where to enter on the bare machine
};

GeneratedProgram generate_program(const GeneratorOptions& options);

}  // namespace espalier::hw::dv
