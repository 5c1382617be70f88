#include <fmt/format.h>

#include <system_error>

#include "espalier/support/file.hpp"
#include "readers.hpp"

namespace espalier::data {

std::int64_t most_records(std::int64_t record_bytes) {
  return kMaxDatasetBytes / (record_bytes + static_cast<std::int64_t>(sizeof(Image)));
}

Result<std::string> read_data_file(const std::filesystem::path& path, std::int64_t max_bytes) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (std::filesystem::is_regular_file(status)) {
    const std::uintmax_t size = std::filesystem::file_size(path, error);
    if (!error && size > static_cast<std::uintmax_t>(max_bytes)) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("{}: {} bytes, and {} is the limit; use a part of it", path.string(),
                               size, max_bytes)};
    }
  } else if (std::filesystem::exists(status) && !std::filesystem::is_directory(status)) {
    // A pipe or a device may never end.
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: is not a regular file; copy its content to one", path.string())};
  }
  return read_file(path);
}

}  // namespace espalier::data
