#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <system_error>

#include "espalier/data/preprocess.hpp"
#include "espalier/support/file.hpp"
#include "readers.hpp"

namespace espalier::data {
namespace {

namespace fs = std::filesystem;

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

namespace {

Error too_many_pixels(const std::string& where, std::size_t images) {
  return Error{ErrorKind::kBadInput,
               fmt::format("{}: more than {} bytes of pixels after {} images; shrink the images or "
                           "use fewer",
                           where, kMaxDatasetBytes, images)};
}

// The image of a file's content, or a record that decode() reads.
Result<Image> image_of(const fs::path& file, const std::string& content, bool decode) {
  if (decode) return decode_image(content);
  ESPALIER_CHECK_OK(check_image(content));
  Image image;
  image.file = file;
  return image;
}

}  // namespace

Result<Dataset> read_folder(const fs::path& folder, bool decode) {
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
      Result<Image> image = image_of(file, content, decode);
      if (!image) {
        diagnostics.push_back(fmt::format("{}: {}", file.string(), image.error().message()));
        continue;
      }
      decoded_bytes += static_cast<std::int64_t>(image->pixels.size());
      if (decoded_bytes > kMaxDatasetBytes) {
        return too_many_pixels(folder.string(), dataset.images.size());
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

Result<Dataset> decode(Dataset dataset, const InputPipeline& pipeline) {
  std::int64_t bytes = 0;
  std::vector<std::string> diagnostics;
  for (std::size_t i = 0; i < dataset.images.size(); ++i) {
    Image& image = dataset.images[i];
    if (image.file.empty()) continue;
    if (diagnostics.size() >= kMaxDiagnostics) break;
    const std::string where = image.file.string();
    ESPALIER_TRY(const std::string content, read_data_file(image.file, kMaxImageFileBytes));
    Result<Image> decoded = decode_image(content);
    Result<Image> fitted = decoded.ok() ? pipeline.to_pixels(*decoded) : decoded;
    if (!fitted.ok()) {
      diagnostics.push_back(fmt::format("{}: {}", where, fitted.error().message()));
      continue;
    }
    // A small picture is kept as it is: enlarged, it would only take more memory.
    const bool smaller = fitted->pixels.size() < decoded->pixels.size();
    image = std::move(smaller ? *fitted : *decoded);
    image.fitted = smaller;
    bytes += static_cast<std::int64_t>(image.pixels.size());
    if (bytes > kMaxDatasetBytes) return too_many_pixels(dataset.spec, i + 1);
  }
  if (!diagnostics.empty()) return Error{ErrorKind::kBadInput, std::move(diagnostics)};
  return dataset;
}

}  // namespace espalier::data
