#include <fmt/format.h>

#include <cstddef>
#include <cstdint>

#include "espalier/support/file.hpp"
#include "readers.hpp"

namespace espalier::data {
namespace {

constexpr int kClasses = 10;
constexpr int kSide = 32;
constexpr std::size_t kPlane = std::size_t{kSide} * kSide;
constexpr std::size_t kRecord = 1 + 3 * kPlane;

Status check_records(const std::string& content, const std::filesystem::path& file) {
  const std::size_t records = content.size() / kRecord;
  if (content.empty()) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: holds no record; a CIFAR-10 file has {} bytes for each",
                             file.string(), kRecord)};
  }
  if (is_gzip(content)) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: is gzip-compressed; unpack it first", file.string())};
  }
  for (std::size_t i = 0; i < records; ++i) {
    const int label = static_cast<unsigned char>(content[i * kRecord]);
    if (label >= kClasses) {
      return Error{
          ErrorKind::kBadInput,
          fmt::format("{}: record {}: label {}, but CIFAR-10 has labels 0 to {}; is this a "
                      "file of CIFAR-10 binary records?",
                      file.string(), i, label, kClasses - 1)};
    }
  }
  if (content.size() % kRecord != 0) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: record {} is cut short: {} of {} bytes; fetch the file again",
                             file.string(), records, content.size() % kRecord, kRecord)};
  }
  return Ok{};
}

Image interleave(const char* planes) {
  Image image{kSide, kSide, 3, std::vector<std::uint8_t>(3 * kPlane)};
  for (std::size_t c = 0; c < 3; ++c) {
    for (std::size_t i = 0; i < kPlane; ++i) {
      image.pixels[i * 3 + c] = static_cast<std::uint8_t>(planes[c * kPlane + i]);
    }
  }
  return image;
}

}  // namespace

Result<Dataset> read_cifar10(const std::vector<std::filesystem::path>& files) {
  std::string contents;
  for (const std::filesystem::path& file : files) {
    const std::int64_t room = kMaxDatasetBytes - static_cast<std::int64_t>(contents.size());
    ESPALIER_TRY(const std::string content, read_data_file(file, room));
    ESPALIER_CHECK_OK(check_records(content, file));
    contents += content;
  }
  Dataset dataset;
  dataset.classes = kClasses;
  dataset.class_names = {"airplane", "automobile", "bird",  "cat",  "deer",
                         "dog",      "frog",       "horse", "ship", "truck"};
  dataset.sha256 = sha256_hex(contents);
  for (std::size_t at = 0; at < contents.size(); at += kRecord) {
    dataset.labels.push_back(static_cast<unsigned char>(contents[at]));
    dataset.images.push_back(interleave(contents.data() + at + 1));
  }
  return dataset;
}

}  // namespace espalier::data
