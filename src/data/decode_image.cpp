#include <fmt/format.h>
// Keeps the declarations in step with stb_image.cpp.
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#include <stb/stb_image.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "readers.hpp"

namespace espalier::data {

namespace {

// A file that can be handed to stb, and what its header says.
struct Checked {
  std::string_view file;
  int width = 0;
  int height = 0;
  int channels = 0;

  [[nodiscard]] const stbi_uc* bytes() const {
    return reinterpret_cast<const stbi_uc*>(file.data());
  }
  [[nodiscard]] int size() const { return static_cast<int>(file.size()); }
};

constexpr std::size_t kSignature = 8;
constexpr std::size_t kHeader = 8;  // of a chunk: length, type
constexpr std::size_t kChecksum = 4;

std::size_t chunk_length(std::string_view png, std::size_t at) {
  std::size_t length = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    length = length << 8 | static_cast<unsigned char>(png[at + i]);
  }
  return length;
}

// True when no chunk of a PNG file promises more than the file has: the decoder takes memory for
// what is promised before it looks.
bool chunks_fit(std::string_view png) {
  std::size_t at = kSignature;
  while (at + kHeader <= png.size()) {
    const std::size_t length = chunk_length(png, at);
    if (length > png.size() - at - kHeader) return false;
    if (png.substr(at + 4, 4) == "IEND") return true;
    at += kHeader + length + kChecksum;
  }
  return true;
}

// The PNG file, whose chunks fit, with a palette of all colours that a pixel may name, black where
// it had none: the decoder does not compare, and takes such a colour from where memory holds
// others. Empty where the file may stay as it is.
std::string with_whole_palette(std::string_view png) {
  constexpr std::size_t kWhole = 3 * 256;
  std::size_t at = kSignature;
  while (at + kHeader <= png.size()) {
    const std::size_t length = chunk_length(png, at);
    const std::size_t end = at + kHeader + length;
    const std::string_view type = png.substr(at + 4, 4);
    if (type == "IEND") break;
    if (type == "PLTE" && length < kWhole && length % 3 == 0) {
      std::string whole(png.substr(0, at));
      whole += std::string("\0\0\x03\0PLTE", kHeader);
      whole += png.substr(at + kHeader, end - at - kHeader);
      whole.resize(at + kHeader + kWhole);
      return whole += png.substr(end);
    }
    at = end + kChecksum;
  }
  return "";
}

Result<Checked> check_file(std::string_view file) {
  if (!file.starts_with("\x89PNG\r\n\x1a\n") && !file.starts_with("\xff\xd8\xff")) {
    return Error{ErrorKind::kBadInput, "is neither PNG nor JPEG; convert or remove it"};
  }
  if (file.starts_with('\xff')) {
    ESPALIER_TRY(file, complete_jpeg(file));
  }
  Checked checked{file};
  if (stbi_info_from_memory(checked.bytes(), checked.size(), &checked.width, &checked.height,
                            &checked.channels) == 0) {
    return Error{ErrorKind::kBadInput,
                 "has a header that is damaged or promises too many pixels; repair or remove it"};
  }
  if (checked.width < 1 || checked.height < 1 || checked.width > kMaxImageSide ||
      checked.height > kMaxImageSide) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("is {}x{} pixels, and {} a side is the limit; shrink or remove it",
                             checked.width, checked.height, kMaxImageSide)};
  }
  return checked;
}

}  // namespace

Status check_image(std::string_view file) {
  const Result<Checked> checked = check_file(file);
  if (!checked.ok()) return checked.error();
  return Ok{};
}

Result<Image> decode_image(std::string_view file) {
  ESPALIER_TRY(Checked checked, check_file(file));
  std::string whole;  // read in place of the file
  if (!file.starts_with('\xff')) {
    if (!chunks_fit(file)) {
      return Error{ErrorKind::kBadInput,
                   "cannot be decoded (a part of it promises more than the file has); repair or "
                   "remove it"};
    }
    whole = with_whole_palette(file);
    if (!whole.empty()) checked.file = whole;
  }
  int width = 0;
  int height = 0;
  int channels = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(checked.bytes(), checked.size(), &width, &height, &channels, 0),
      &stbi_image_free);
  if (!pixels) {
    const char* reason = stbi_failure_reason();
    return Error{ErrorKind::kBadInput, fmt::format("cannot be decoded ({}); repair or remove it",
                                                   reason == nullptr ? "no reason" : reason)};
  }

  // Two and four channels have alpha last.
  const int kept = channels < 3 ? 1 : 3;
  Image image{height, width, kept, {}};
  const std::size_t count = static_cast<std::size_t>(height) * width;
  image.pixels.reserve(count * kept);
  for (std::size_t i = 0; i < count; ++i) {
    const stbi_uc* pixel = pixels.get() + i * channels;
    image.pixels.insert(image.pixels.end(), pixel, pixel + kept);
  }
  return upright(std::move(image), exif_orientation(file));
}

}  // namespace espalier::data
