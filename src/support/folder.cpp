#include "espalier/support/folder.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <system_error>

#include "espalier/support/file.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

Error failed(const fs::path& folder, const std::string& why) {
  return Error{ErrorKind::kCannotWrite,
               fmt::format("{}: cannot be written: {}; name another folder", folder.string(), why)};
}

Status write_files(const fs::path& folder, const std::map<std::string, std::string>& files) {
  for (const auto& [name, text] : files) {
    std::error_code error;
    fs::create_directories((folder / name).parent_path(), error);  // what is wrong, writing tells
    ESPALIER_CHECK_OK(write_file_atomic(folder / name, text));
  }
  return Ok{};
}

// Renaming onto a folder fails exactly when somebody has put files into it meanwhile.
Status move_into_place(const fs::path& temporary, const fs::path& folder) {
  std::error_code error;
  fs::rename(temporary, folder, error);
  if (!error) return Ok{};
  if (error == std::errc::directory_not_empty || error == std::errc::file_exists) {
    return failed(folder, "another process has written it meanwhile");
  }
  return failed(folder, error.message());
}

}  // namespace

Status make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error) return Ok{};
  return Error{ErrorKind::kCannotWrite, fmt::format("{}: cannot be made: {}; choose another folder",
                                                    folder.string(), error.message())};
}

Status write_folder(const fs::path& folder, const std::map<std::string, std::string>& files,
                    bool force) {
  std::error_code error;
  const fs::path target = folder.has_filename() ? folder : folder.parent_path();
  const fs::file_status status = fs::status(target, error);
  if (fs::exists(status) && !fs::is_directory(status)) return failed(target, "is not a folder");
  if (fs::is_directory(status)) {
    const bool empty = fs::is_empty(target, error);
    if (error) return failed(target, error.message());
    if (!empty && !force) {
      return Error{ErrorKind::kUsage,
                   fmt::format("{}: is not empty; name another folder, or --force to replace the "
                               "files in it",
                               target.string())};
    }
    return write_files(target, files);
  }
  fs::path temporary = target;
  temporary += fmt::format(".tmp{}", ::getpid());
  fs::remove_all(temporary, error);
  fs::create_directories(temporary, error);
  if (error) return failed(target, error.message());
  Status written = write_files(temporary, files);
  if (written.ok()) written = move_into_place(temporary, target);
  if (!written.ok()) fs::remove_all(temporary, error);
  return written;
}

}  // namespace espalier
