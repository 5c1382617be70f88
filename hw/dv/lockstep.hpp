// SPDX-License-Identifier: MIT
// Runs one program on the core and on the instruction-set simulator, and compares every
// instruction: address, encoding, trap, written register and value, store.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "dv/elf_writer.hpp"
#include "dv/iss.hpp"
#include "tb/simulator.hpp"

namespace espalier::hw::dv {

// Instructions that completed, by extension; the rest are of the base.
struct InstructionMix {
  std::uint64_t multiply = 0;  // M
  std::uint64_t floats = 0;    // F
  std::uint64_t csr = 0;       // Zicsr
  std::uint64_t dot = 0;       // pm4adda.b
  std::uint64_t load_dot = 0;  // esp.lwdota.b
};

struct LockstepResult {
  std::string mismatch;  // empty if both agree
  RunResult run;
  InstructionMix mix;
  std::uint64_t traps = 0;
  std::uint64_t late_results = 0;  // float results that were compared when they arrived
};

// `extensions` are those of the core that this program is linked with.
LockstepResult run_lockstep(const ElfImage& image, std::uint32_t entry, std::uint64_t max_cycles,
                            const Extensions& extensions = {}, const MemoryTiming& timing = {});

// The same for an executable, in memories of the caller's choice. The oracle has no other bus
// master and no timing, so a program must not depend on either.
LockstepResult run_lockstep(std::span<const std::uint8_t> elf, const SimulatorConfig& config,
                            std::uint64_t max_cycles, const Extensions& extensions = {});

}  // namespace espalier::hw::dv
