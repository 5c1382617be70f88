#include "espalier/support/folder.hpp"

#include <fmt/format.h>

#include <system_error>
#include <utility>

#include "espalier/support/file.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

Error failed(const fs::path& folder, const std::string& why) {
  return Error{ErrorKind::kCannotWrite,
               fmt::format("{}: cannot be written: {}; name another folder", folder.string(), why)};
}

// Into `temporary`; what fails is said of `folder`, where they are meant to be.
Status write_files(const fs::path& temporary, const fs::path& folder,
                   const std::map<std::string, std::string>& files) {
  for (const auto& [name, text] : files) {
    const fs::path path = temporary / name;
    std::error_code error;
    fs::create_directories(path.parent_path(), error);  // what is wrong, writing tells
    const Status written = write_file(path, text);
    if (written.ok()) continue;
    std::string message = written.error().message();
    message.replace(0, temporary.string().size(), folder.string());
    return Error{written.error().kind, std::move(message)};
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

Status move_files(const fs::path& from, const fs::path& folder,
                  const std::map<std::string, std::string>& files) {
  for (const auto& [name, text] : files) {
    std::error_code error;
    fs::create_directories((folder / name).parent_path(), error);
    fs::rename(from / name, folder / name, error);
    if (error) return failed(folder / name, error.message());
  }
  return Ok{};
}

// Makes a folder of its own beside `path` and writes the files there; `then` moves them away.
template <typename Move>
Status write_beside(const fs::path& path, const fs::path& target,
                    const std::map<std::string, std::string>& files, const Move& then) {
  std::error_code error;
  fs::path temporary;
  do {
    temporary = temporary_beside(path);
  } while (!fs::create_directory(temporary, error) && !error);
  if (error) return failed(target, error.message());
  Status written = write_files(temporary, target, files);
  if (written.ok()) written = then(temporary);
  fs::remove_all(temporary, error);
  return written;
}

}  // namespace

fs::path folder_behind_links(const fs::path& folder) {
  return behind_links(folder.has_filename() ? folder : folder.parent_path());
}

Status make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder_behind_links(folder), error);
  if (!error) return Ok{};
  return Error{ErrorKind::kCannotWrite, fmt::format("{}: cannot be made: {}; choose another folder",
                                                    folder.string(), error.message())};
}

Status write_folder(const fs::path& folder, const std::map<std::string, std::string>& files,
                    bool force) {
  std::error_code error;
  const fs::path target = folder_behind_links(folder);
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
    // Nothing is replaced before everything is written.
    return write_beside(target / "new", target, files, [&](const fs::path& temporary) {
      return move_files(temporary, target, files);
    });
  }
  fs::create_directories(target.parent_path(), error);  // what is wrong, the next one tells
  return write_beside(target, target, files, [&](const fs::path& temporary) {
    return move_into_place(temporary, target);
  });
}

}  // namespace espalier
