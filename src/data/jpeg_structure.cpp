#include <fmt/format.h>

#include <cstddef>
#include <numeric>

#include "readers.hpp"

namespace espalier::data {
namespace {

// Second bytes of the markers that matter here; the first is always 0xFF.
constexpr unsigned kHuffmanTables = 0xC4;
constexpr unsigned kFirstRestart = 0xD0;
constexpr unsigned kLastRestart = 0xD7;
constexpr unsigned kEndOfImage = 0xD9;
constexpr unsigned kStartOfScan = 0xDA;

constexpr std::size_t kCodeLengths = 16;
constexpr unsigned kMaxSymbols = 256;

unsigned byte_at(std::string_view bytes, std::size_t i) {
  return static_cast<unsigned char>(bytes[i]);
}

bool huffman_tables_fit(std::string_view segment) {
  while (!segment.empty()) {
    if (segment.size() < 1 + kCodeLengths) return false;
    const std::string_view counts = segment.substr(1, kCodeLengths);
    const unsigned symbols = std::accumulate(
        counts.begin(), counts.end(), 0U,
        [](unsigned sum, char count) { return sum + static_cast<unsigned char>(count); });
    const std::size_t size = 1 + kCodeLengths + symbols;
    if (symbols > kMaxSymbols || size > segment.size()) return false;
    segment.remove_prefix(size);
  }
  return true;
}

// The position of the next marker's second byte: behind padding, or behind compressed data, in
// which 0xFF 0x00 stands for a value and restart markers are part of the data.
std::size_t next_marker(std::string_view file, std::size_t at, bool in_scan) {
  for (; at + 1 < file.size(); ++at) {
    if (byte_at(file, at) != 0xFF || byte_at(file, at + 1) == 0xFF) continue;
    const unsigned marker = byte_at(file, at + 1);
    const bool data = marker == 0 || (marker >= kFirstRestart && marker <= kLastRestart);
    if (!in_scan || !data) return at + 1;
  }
  return file.size();
}

}  // namespace

Result<std::string_view> complete_jpeg(std::string_view file) {
  bool in_scan = false;
  std::size_t at = 2;  // behind the start of the image
  while (true) {
    at = next_marker(file, at, in_scan);
    if (at >= file.size()) break;
    const unsigned marker = byte_at(file, at);
    ++at;
    if (marker == kEndOfImage) return file.substr(0, at);
    if (at + 2 > file.size()) break;
    const std::size_t length = byte_at(file, at) << 8 | byte_at(file, at + 1);
    if (at + length > file.size()) break;
    if (length < 2 ||
        (marker == kHuffmanTables && !huffman_tables_fit(file.substr(at + 2, length - 2)))) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("is damaged near byte {}; fetch it again or remove it", at)};
    }
    at += length;
    in_scan = marker == kStartOfScan;
  }
  return Error{ErrorKind::kBadInput, "is cut short; fetch it again or remove it"};
}

}  // namespace espalier::data
