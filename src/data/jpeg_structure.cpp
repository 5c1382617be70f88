#include <fmt/format.h>

#include <cstddef>
#include <numeric>
#include <string>

#include "readers.hpp"

namespace espalier::data {
namespace {

// Second bytes of the markers that matter here; the first is always 0xFF.
constexpr unsigned kFirstFrame = 0xC0;
constexpr unsigned kLastFrame = 0xC2;  // that the decoder reads
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

// The names of the components that a frame has, a byte each.
std::string components_of(std::string_view frame) {
  constexpr std::size_t kCount = 5;  // behind precision, height and width
  std::string names;
  for (std::size_t i = 0; frame.size() > kCount && i < byte_at(frame, kCount); ++i) {
    const std::size_t at = kCount + 1 + 3 * i;
    if (at < frame.size()) names += frame[at];
  }
  return names;
}

// Takes off `missing` the components with whose mean values a scan begins.
void take_scanned(std::string_view scan, std::string& missing) {
  const std::size_t count = scan.empty() ? 0 : byte_at(scan, 0);
  const std::size_t end = 1 + 2 * count;
  if (end + 2 >= scan.size() || byte_at(scan, end) != 0 || byte_at(scan, end + 2) >> 4 != 0) return;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = missing.find(scan[1 + 2 * i]);
    if (at != std::string::npos) missing.erase(at, 1);
  }
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
  std::string missing;  // components
  std::size_t at = 2;   // behind the start of the image
  while (true) {
    at = next_marker(file, at, in_scan);
    if (at >= file.size()) break;
    const unsigned marker = byte_at(file, at);
    ++at;
    if (marker == kEndOfImage && missing.empty()) return file.substr(0, at);
    if (marker == kEndOfImage || at + 2 > file.size()) break;
    const std::size_t length = byte_at(file, at) << 8 | byte_at(file, at + 1);
    if (at + length > file.size()) break;
    if (length < 2 ||
        (marker == kHuffmanTables && !huffman_tables_fit(file.substr(at + 2, length - 2)))) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("is damaged near byte {}; fetch it again or remove it", at)};
    }
    const std::string_view segment = file.substr(at + 2, length - 2);
    if (marker >= kFirstFrame && marker <= kLastFrame) missing = components_of(segment);
    if (marker == kStartOfScan) take_scanned(segment, missing);
    at += length;
    in_scan = marker == kStartOfScan;
  }
  return Error{ErrorKind::kBadInput, "is cut short; fetch it again or remove it"};
}

}  // namespace espalier::data
