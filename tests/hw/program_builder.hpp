// Small programs from instruction words, for tests of the simulator.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "dv/assembler.hpp"
#include "dv/elf_writer.hpp"
#include "tb/simulator.hpp"

namespace espalier::hw::testing {

inline constexpr std::uint32_t kFlash = 0x0800'0000;
inline constexpr std::uint32_t kSram = 0x2000'0000;
inline constexpr std::uint32_t kMmio = 0x1000'0000;

class ProgramBuilder {
 public:
  explicit ProgramBuilder(std::uint32_t base = kFlash) : base_(base) {}

  std::uint32_t here() const { return base_ + 4 * static_cast<std::uint32_t>(words_.size()); }
  ProgramBuilder& add(dv::Word word) {
    words_.push_back(word);
    return *this;
  }
  ProgramBuilder& add(std::initializer_list<dv::Word> words) {
    for (const dv::Word word : words) words_.push_back(word);
    return *this;
  }
  ProgramBuilder& li(dv::Word rd, std::uint32_t value) {
    return add({dv::li_upper(rd, value), dv::li_lower(rd, value)});
  }
  // Clobbers x31.
  ProgramBuilder& exit_with(dv::Word rs) {
    return add({dv::lui(31, kMmio >> 12), dv::sw(rs, 31, 4)});
  }
  ProgramBuilder& enable_float() { return add({dv::lui(31, 2), dv::csrrs(0, 0x300, 31)}); }
  ProgramBuilder& symbol(std::string name, std::uint32_t address) {
    symbols_.emplace_back(std::move(name), address);
    return *this;
  }

  std::vector<std::uint8_t> elf() const {
    dv::ElfImage image;
    image.entry = base_;
    image.segments.push_back({base_, dv::bytes_of(words_), false});
    image.symbols = symbols_;
    return dv::write_elf(image);
  }

 private:
  std::uint32_t base_;
  std::vector<dv::Word> words_;
  std::vector<std::pair<std::string, std::uint32_t>> symbols_;
};

}  // namespace espalier::hw::testing
