// SPDX-License-Identifier: MIT
#include "dv/elf_writer.hpp"

namespace espalier::hw::dv {
namespace {

class Writer {
 public:
  void half(std::uint32_t value) {
    for (int i = 0; i < 2; ++i) bytes_.push_back(static_cast<std::uint8_t>(value >> 8 * i));
  }
  void word(std::uint32_t value) {
    for (int i = 0; i < 4; ++i) bytes_.push_back(static_cast<std::uint8_t>(value >> 8 * i));
  }
  void raw(const std::vector<std::uint8_t>& bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void pad_to(std::size_t size) { bytes_.resize(size); }
  std::vector<std::uint8_t> take() { return std::move(bytes_); }

 private:
  std::vector<std::uint8_t> bytes_;
};

constexpr std::size_t kPage = 4096;  // offset and address must agree modulo this for a loader

std::size_t next_offset(std::size_t end, std::uint32_t address) {
  return end + (address - end) % kPage;
}

}  // namespace

std::vector<std::uint8_t> bytes_of(const std::vector<std::uint32_t>& words) {
  Writer writer;
  for (const std::uint32_t value : words) writer.word(value);
  return writer.take();
}

std::vector<std::uint8_t> write_elf(const ElfImage& image) {
  const auto count = static_cast<std::uint32_t>(image.segments.size());
  std::vector<std::size_t> offsets;
  std::size_t end = 52 + 32 * std::size_t{count};
  for (const auto& segment : image.segments) {
    offsets.push_back(next_offset(end, segment.address));
    end = offsets.back() + segment.bytes.size();
  }
  std::string names(1, '\0');
  Writer symbols;
  symbols.raw(std::vector<std::uint8_t>(16));
  for (const auto& [name, address] : image.symbols) {
    symbols.word(static_cast<std::uint32_t>(names.size()));
    symbols.word(address);
    symbols.word(0);
    symbols.half(0x12);  // global function
    symbols.half(1);
    names += name + '\0';
  }
  const std::vector<std::uint8_t> symbol_bytes = symbols.take();
  const std::size_t symbol_offset = (end + 3) / 4 * 4;
  const std::size_t name_offset = symbol_offset + symbol_bytes.size();
  const std::size_t section_offset = (name_offset + names.size() + 3) / 4 * 4;

  Writer out;
  out.raw({0x7f, 'E', 'L', 'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  out.half(2);    // executable
  out.half(243);  // RISC-V
  out.word(1);
  out.word(image.entry);
  out.word(52);
  out.word(static_cast<std::uint32_t>(section_offset));
  out.word(0x2);  // single-precision float ABI
  out.half(52);
  out.half(32);
  out.half(count);
  out.half(40);
  out.half(3);
  out.half(2);
  for (std::size_t i = 0; i < count; ++i) {
    const auto& segment = image.segments[i];
    const auto size = static_cast<std::uint32_t>(segment.bytes.size());
    out.word(1);
    out.word(static_cast<std::uint32_t>(offsets[i]));
    out.word(segment.address);
    out.word(segment.address);
    out.word(size);
    out.word(size);
    out.word(segment.writable ? 6u : 5u);
    out.word(kPage);
  }
  for (std::size_t i = 0; i < count; ++i) {
    out.pad_to(offsets[i]);
    out.raw(image.segments[i].bytes);
  }
  out.pad_to(symbol_offset);
  out.raw(symbol_bytes);
  out.raw(std::vector<std::uint8_t>(names.begin(), names.end()));
  out.pad_to(section_offset);
  const auto section = [&](std::uint32_t type, std::size_t offset, std::size_t size,
                           std::uint32_t link, std::uint32_t entry_size) {
    const std::uint32_t fields[] = {0,
                                    type,
                                    0,
                                    0,
                                    static_cast<std::uint32_t>(offset),
                                    static_cast<std::uint32_t>(size),
                                    link,
                                    0,
                                    4,
                                    entry_size};
    for (const std::uint32_t field : fields) out.word(field);
  };
  section(0, 0, 0, 0, 0);
  section(2, symbol_offset, symbol_bytes.size(), 2, 16);
  section(3, name_offset, names.size(), 0, 0);
  return out.take();
}

}  // namespace espalier::hw::dv
