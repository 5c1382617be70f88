#include <cstddef>
#include <cstdint>

#include "readers.hpp"

namespace espalier::data {
namespace {

constexpr std::string_view kExif("Exif\0\0", 6);
constexpr std::string_view kPngSignature = "\x89PNG\r\n\x1a\n";
constexpr unsigned kApplication1 = 0xE1;
constexpr unsigned kStartOfScan = 0xDA;
constexpr std::uint32_t kOrientationTag = 0x0112;
constexpr std::uint32_t kShort = 3;

unsigned byte_at(std::string_view bytes, std::size_t i) {
  return static_cast<unsigned char>(bytes[i]);
}

// The TIFF structure inside an EXIF segment; 0 where it ends too early.
class Tiff {
 public:
  explicit Tiff(std::string_view bytes) : bytes_(bytes), big_(bytes.starts_with("MM")) {}

  [[nodiscard]] std::uint32_t number(std::size_t at, std::size_t size) const {
    if (at > bytes_.size() || size > bytes_.size() - at) return 0;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      value = value << 8 | byte_at(bytes_, at + (big_ ? i : size - 1 - i));
    }
    return value;
  }

  // The value in the first directory; 1 when there is none that makes sense.
  [[nodiscard]] int orientation() const {
    if (!big_ && !bytes_.starts_with("II")) return 1;
    const std::size_t directory = number(4, 4);
    const std::size_t entries = number(directory, 2);
    for (std::size_t i = 0; i < entries; ++i) {
      const std::size_t entry = directory + 2 + 12 * i;
      if (number(entry, 2) != kOrientationTag) continue;
      const std::uint32_t value = number(entry + 8, 2);
      return number(entry + 2, 2) == kShort && value >= 1 && value <= 8 ? static_cast<int>(value)
                                                                        : 1;
    }
    return 1;
  }

 private:
  std::string_view bytes_;
  bool big_;
};

// In a chunk of a PNG file, which may stand behind the pixels.
int png_orientation(std::string_view png) {
  constexpr std::size_t kHeader = 8;  // length, type
  constexpr std::size_t kChecksum = 4;
  std::size_t at = kPngSignature.size();
  while (at + kHeader <= png.size()) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | byte_at(png, at + i);
    const std::string_view rest = png.substr(at + kHeader);
    if (length > rest.size()) break;
    if (png.substr(at + 4, 4) == "eXIf") return Tiff(rest.substr(0, length)).orientation();
    at += kHeader + length + kChecksum;
  }
  return 1;
}

// In a segment of a JPEG file, in front of the pixels.
int jpeg_orientation(std::string_view jpeg) {
  std::size_t at = 2;
  while (at + 4 <= jpeg.size() && byte_at(jpeg, at) == 0xFF) {
    const unsigned marker = byte_at(jpeg, at + 1);
    if (marker == 0xFF) {  // padding
      ++at;
      continue;
    }
    const std::size_t length = byte_at(jpeg, at + 2) << 8 | byte_at(jpeg, at + 3);
    if (marker == kStartOfScan || length < 2) break;
    const std::string_view segment = jpeg.substr(at + 4, length - 2);
    if (marker == kApplication1 && segment.starts_with(kExif)) {
      return Tiff(segment.substr(kExif.size())).orientation();
    }
    at += 2 + length;
  }
  return 1;
}

}  // namespace

int exif_orientation(std::string_view file) {
  return file.starts_with(kPngSignature) ? png_orientation(file) : jpeg_orientation(file);
}

Image upright(Image stored, int orientation) {
  if (orientation == 1) return stored;
  // Whether rows become columns, and which of the stored ends come first in the upright image.
  const bool turned = orientation >= 5;
  const bool last_row_first =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool last_column_first =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  Image image{turned ? stored.width : stored.height,
              turned ? stored.height : stored.width,
              stored.channels,
              {}};
  image.pixels.reserve(stored.pixels.size());
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const int from_row = turned ? x : y;
      const int from_column = turned ? y : x;
      const int row = last_row_first ? stored.height - 1 - from_row : from_row;
      const int column = last_column_first ? stored.width - 1 - from_column : from_column;
      const auto pixel =
          stored.pixels.begin() + (std::ptrdiff_t{row} * stored.width + column) * stored.channels;
      image.pixels.insert(image.pixels.end(), pixel, pixel + stored.channels);
    }
  }
  return image;
}

}  // namespace espalier::data
