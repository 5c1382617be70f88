// SPDX-License-Identifier: MIT
#include "elf.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace espalier::hw {
namespace {

constexpr std::uint16_t kMachineRiscv = 243;
constexpr std::uint32_t kSegmentLoad = 1;
constexpr std::uint32_t kSectionSymbols = 2;
constexpr std::size_t kSymbolSize = 16;

class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  bool holds(std::uint64_t offset, std::uint64_t size) const {
    return offset <= bytes_.size() && size <= bytes_.size() - offset;
  }
  std::uint16_t half(std::uint64_t offset) const {
    return static_cast<std::uint16_t>(bytes_[offset] | bytes_[offset + 1] << 8);
  }
  std::uint32_t word(std::uint64_t offset) const {
    return half(offset) | static_cast<std::uint32_t>(half(offset + 2)) << 16;
  }
  std::span<const std::uint8_t> slice(std::uint64_t offset, std::uint64_t size) const {
    return bytes_.subspan(offset, size);
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

std::string string_at(std::span<const std::uint8_t> table, std::uint32_t offset) {
  std::string text;
  for (std::size_t i = offset; i < table.size() && table[i] != 0; ++i) {
    text.push_back(static_cast<char>(table[i]));
  }
  return text;
}

bool segments_overlap(std::vector<ElfSegment> segments) {
  std::erase_if(segments, [](const ElfSegment& segment) { return segment.bytes.empty(); });
  const auto by_address = [](const auto& a, const auto& b) { return a.address < b.address; };
  std::sort(segments.begin(), segments.end(), by_address);
  for (std::size_t i = 1; i < segments.size(); ++i) {
    if (segments[i].address - segments[i - 1].address < segments[i - 1].bytes.size()) return true;
  }
  return false;
}

}  // namespace

std::optional<std::string> read_elf(std::span<const std::uint8_t> bytes, ElfFile& file) {
  file = {};
  const Reader reader(bytes);
  static constexpr std::uint8_t kMagic[] = {0x7f, 'E', 'L', 'F', 1, 1};
  if (!reader.holds(0, 52) || std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0) {
    return "not a 32-bit little-endian ELF file";
  }
  if (reader.half(18) != kMachineRiscv) return "not a RISC-V program";
  if (reader.half(16) != 2) return "not an executable; link it without -r and -pie";
  file.entry = reader.word(24);
  if (file.entry % 4 != 0) return "its entry point is not a multiple of 4";

  const std::uint64_t segment_table = reader.word(28);
  const std::uint64_t segment_size = reader.half(42);
  const std::uint64_t segment_count = reader.half(44);
  if (segment_count == 0) return "has no segments to load";
  if (segment_size < 32 || !reader.holds(segment_table, segment_count * segment_size)) {
    return "program header table lies outside the file";
  }
  for (std::uint64_t i = 0; i < segment_count; ++i) {
    const std::uint64_t header = segment_table + i * segment_size;
    if (reader.word(header) != kSegmentLoad) continue;
    const std::uint32_t offset = reader.word(header + 4);
    const std::uint32_t size = reader.word(header + 16);
    const std::uint32_t memory_size = reader.word(header + 20);
    if (!reader.holds(offset, size)) {
      return "segment " + std::to_string(i) + " lies outside the file";
    }
    if (memory_size < size) {
      return "segment " + std::to_string(i) + " is larger in the file than in memory";
    }
    if (memory_size == 0) continue;
    file.segments.push_back({reader.word(header + 12), reader.slice(offset, size),
                             reader.word(header + 8) + size, memory_size - size});
  }
  if (segments_overlap(file.segments)) return "segments overlap in memory";

  // Symbols are a comfort: a file without them, or with damaged ones, still runs.
  const std::uint64_t section_table = reader.word(32);
  const std::uint64_t section_size = reader.half(46);
  const std::uint64_t section_count = reader.half(48);
  if (section_size < 40 || !reader.holds(section_table, section_count * section_size)) return {};
  for (std::uint64_t i = 0; i < section_count; ++i) {
    const std::uint64_t header = section_table + i * section_size;
    if (reader.word(header + 4) != kSectionSymbols) continue;
    const std::uint64_t link = reader.word(header + 24);
    if (link >= section_count) continue;
    const std::uint64_t names_header = section_table + link * section_size;
    const std::uint64_t names_offset = reader.word(names_header + 16);
    const std::uint64_t names_size = reader.word(names_header + 20);
    const std::uint64_t offset = reader.word(header + 16);
    const std::uint64_t size = reader.word(header + 20);
    if (!reader.holds(offset, size) || !reader.holds(names_offset, names_size)) continue;
    const std::span<const std::uint8_t> names = reader.slice(names_offset, names_size);
    for (std::uint64_t at = offset; at + kSymbolSize <= offset + size; at += kSymbolSize) {
      const std::uint8_t info = bytes[at + 12];
      const unsigned type = info & 15u;
      const unsigned binding = info >> 4;
      const std::uint16_t section = reader.half(at + 14);
      if (section == 0 || type > 2) continue;
      ElfSymbol symbol;
      symbol.name = string_at(names, reader.word(at));
      symbol.address = reader.word(at + 4);
      // Absolute symbols are numbers, local untyped ones mapping marks or jump labels.
      symbol.is_code = type == 2 || (type == 0 && binding != 0 && section < 0xff00);
      if (!symbol.name.empty()) file.symbols.push_back(std::move(symbol));
    }
  }
  return {};
}

}  // namespace espalier::hw
