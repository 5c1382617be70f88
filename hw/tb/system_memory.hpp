// SPDX-License-Identifier: MIT
// Memories and registers of one simulated system, as the model reaches them through DPI.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace espalier::hw {

// Words that read as zero until written; pages never touched cost nothing.
class WordArray {
 public:
  explicit WordArray(std::uint32_t size_bytes)
      : words_(static_cast<std::uint32_t*>(
            std::calloc(std::size_t{size_bytes} / 4 + 1, sizeof(std::uint32_t)))) {
    if (words_ == nullptr) throw std::bad_alloc();
  }
  std::uint32_t& operator[](std::uint32_t index) { return words_.get()[index]; }
  std::uint8_t* bytes() { return reinterpret_cast<std::uint8_t*>(words_.get()); }

 private:
  struct Free {
    void operator()(std::uint32_t* words) const { std::free(words); }
  };
  std::unique_ptr<std::uint32_t, Free> words_;
};

struct SystemMemory {
  SystemMemory(std::uint32_t base, std::uint32_t size, std::uint32_t sram_size)
      : flash_base(base),
        flash_size(size),
        flash(size),
        sram(sram_size),
        written(sram_size / 4 + 1) {}

  std::uint32_t flash_base;
  std::uint32_t flash_size;         // bytes
  std::uint32_t flash_address = 0;  // the next to be programmed

  WordArray flash;
  WordArray sram;
  std::vector<std::uint8_t> written;  // per word of the SRAM, a bit for each byte stored to
  std::uint32_t tohost_offset = ~0u;  // into the SRAM; never the offset of a word if there is none

  std::string console;
  bool stop = false;
  bool exited = false;
  std::uint32_t exit_code = 0;
  bool trap_reported = false;
  std::uint32_t trap_cause = 0;
  std::uint32_t trap_epc = 0;
  std::uint32_t trap_tval = 0;

  void store(std::uint32_t offset, std::uint32_t data, std::uint32_t byte_enables);
  void write_register(std::uint32_t offset, std::uint32_t data);

 private:
  void program_flash(std::uint8_t byte);
};

}  // namespace espalier::hw
