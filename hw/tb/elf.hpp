// SPDX-License-Identifier: MIT
// Reads 32-bit little-endian RISC-V executables: segments and symbols. Trusts no offset in them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace espalier::hw {

struct ElfSegment {
  std::uint32_t address = 0;            // load (physical) address
  std::span<const std::uint8_t> bytes;  // into the file
  std::uint32_t zero_address = 0;       // run (virtual) address of what the file leaves out
  std::uint32_t zero_size = 0;          // bytes of it, zero at the start
};

struct ElfSymbol {
  std::string name;
  std::uint32_t address = 0;
  bool is_code = false;  // a function, or an untyped global label
};

struct ElfFile {
  std::uint32_t entry = 0;
  std::vector<ElfSegment> segments;
  std::vector<ElfSymbol> symbols;
};

// Returns what is wrong, if anything. `file` refers to `bytes`.
[[nodiscard]] std::optional<std::string> read_elf(std::span<const std::uint8_t> bytes,
                                                  ElfFile& file);

}  // namespace espalier::hw
