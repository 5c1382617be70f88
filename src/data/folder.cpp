#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <system_error>

#include "espalier/support/file.hpp"
#include "readers.hpp"

namespace espalier::data {
namespace {

namespace fs = std::filesystem;

// A picture file beyond this is not meant for a network of this size.
constexpr std::int64_t kMaxImageFileBytes = std::int64_t{64} << 20;
// Diagnostics about single images; the first few show the pattern.
constexpr std::size_t kMaxDiagnostics = 20;

// The entries of a folder in byte order of their names, hidden ones left out.
Result<std::vector<fs::path>> sorted_entries(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (!it->path().filename().native().starts_with('.')) entries.push_back(it->path());
  }
  if (error) {
    return Error{ErrorKind::kMissingInput,
                 fmt::format("{}: cannot be listed: {}", folder.string(), error.message())};
  }
  std::sort(entries.begin(), entries.end(), [](const fs::path& a, const fs::path& b) {
    return a.filename().native() < b.filename().native();
  });
  return entries;
}

}  // namespace

Result<Dataset> read_folder(const fs::path& folder) {
  std::error_code ignored;
  if (fs::exists(folder, ignored) && !fs::is_directory(folder, ignored)) {
    return Error{
        ErrorKind::kBadInput,
        fmt::format("{}: is not a folder; name one with a sub-folder per class", folder.string())};
  }
  Dataset dataset;
  std::string listing;
  std::int64_t decoded_bytes = 0;
  std::vector<std::string> diagnostics;
  ESPALIER_TRY(const std::vector<fs::path> entries, sorted_entries(folder));
  for (const fs::path& entry : entries) {
    if (!fs::is_directory(entry, ignored)) continue;
    const int label = dataset.classes++;
    dataset.class_names.push_back(entry.filename().string());
    ESPALIER_TRY(const std::vector<fs::path> files, sorted_entries(entry));
    if (files.empty()) {
      diagnostics.push_back(
          fmt::format("{}: class {} '{}' has no image; add some or remove the "
                      "folder",
                      entry.string(), label, dataset.class_names.back()));
    }
    for (const fs::path& file : files) {
      if (diagnostics.size() >= kMaxDiagnostics) break;
      if (fs::is_directory(file, ignored)) {
        diagnostics.push_back(
            fmt::format("{}: is a folder inside a class; move its images up", file.string()));
        continue;
      }
      ESPALIER_TRY(const std::string content, read_data_file(file, kMaxImageFileBytes));
      Result<Image> image = decode_image(content);
      if (!image) {
        diagnostics.push_back(fmt::format("{}: {}", file.string(), image.error().message()));
        continue;
      }
      decoded_bytes += static_cast<std::int64_t>(image->pixels.size());
      if (decoded_bytes > kMaxDatasetBytes) {
        return Error{ErrorKind::kBadInput,
                     fmt::format("{}: more than {} bytes of pixels after {} images; shrink the "
                                 "images or use fewer",
                                 folder.string(), kMaxDatasetBytes, dataset.images.size())};
      }
      dataset.images.push_back(std::move(*image));
      dataset.labels.push_back(label);
      listing += fmt::format("{}  {}/{}\n", sha256_hex(content), dataset.class_names.back(),
                             file.filename().string());
    }
  }
  if (dataset.classes == 0) {
    return Error{
        ErrorKind::kBadInput,
        fmt::format("{}: has no class; make a sub-folder of images for each", folder.string())};
  }
  if (!diagnostics.empty()) return Error{ErrorKind::kBadInput, std::move(diagnostics)};
  dataset.sha256 = sha256_hex(listing);
  return dataset;
}

}  // namespace espalier::data
