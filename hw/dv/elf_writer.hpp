// SPDX-License-Identifier: MIT
// Writes small static RISC-V executables, with symbols. The counterpart of tb/elf.hpp for tests.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace espalier::hw::dv {

struct ElfImage {
  struct Segment {
    std::uint32_t address = 0;
    std::vector<std::uint8_t> bytes;
    bool writable = false;
  };

  std::uint32_t entry = 0;
  std::vector<Segment> segments;
  std::vector<std::pair<std::string, std::uint32_t>> symbols;  // as functions
};

std::vector<std::uint8_t> write_elf(const ElfImage& image);

// Little-endian bytes of words.
std::vector<std::uint8_t> bytes_of(const std::vector<std::uint32_t>& words);

}  // namespace espalier::hw::dv
