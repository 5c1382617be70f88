#include "work_folder.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <string>

namespace espalier::device {

namespace fs = std::filesystem;

Result<WorkFolder> WorkFolder::make(const fs::path& keep) {
  WorkFolder folder;
  std::error_code error;
  if (!keep.empty()) {
    folder.path_ = fs::absolute(keep);
    folder.keep_ = true;
    fs::create_directories(folder.path_, error);
    if (error) {
      return Error{ErrorKind::kCannotWrite, fmt::format("{}: {}", keep.string(), error.message())};
    }
    return folder;
  }
  std::string name = (fs::temp_directory_path(error) / "espalier-check-XXXXXX").string();
  if (error || ::mkdtemp(name.data()) == nullptr) {
    return Error{ErrorKind::kCannotWrite, "no temporary folder can be made; set TMPDIR"};
  }
  folder.path_ = name;
  return folder;
}

WorkFolder::~WorkFolder() {
  std::error_code ignored;
  if (!keep_ && !path_.empty()) fs::remove_all(path_, ignored);
}

}  // namespace espalier::device
