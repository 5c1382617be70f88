// A folder to build in.
#pragma once

#include <filesystem>
#include <utility>

#include "espalier/support/result.hpp"

namespace espalier::device {

/// Goes, with all that is in it, when the check ends, unless it is to be kept.
class WorkFolder {
 public:
  /// `keep`, made if need be, or a temporary folder when that is empty. kCannotWrite.
  static Result<WorkFolder> make(const std::filesystem::path& keep);
  WorkFolder(WorkFolder&& other) noexcept
      : path_(std::exchange(other.path_, {})), keep_(other.keep_) {}
  WorkFolder& operator=(WorkFolder&&) = delete;
  ~WorkFolder();
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  WorkFolder() = default;
  std::filesystem::path path_;
  bool keep_ = false;
};

}  // namespace espalier::device
