// Holds an output against other processes while it is being made.
#pragma once

#include <filesystem>

#include "espalier/support/result.hpp"

namespace espalier {

/// A lock on `PATH.lock` beside an output, or beside what a link to it leads to, which holds the
/// number of the process and the name of its machine. It ends with the process, however that ends;
/// a file that a killed one left does not stand in the way.
class FileLock {
 public:
  /// kCannotWrite says who holds the output. On file systems without locks nothing is held.
  static Result<FileLock> acquire(const std::filesystem::path& output);

  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  FileLock(std::filesystem::path path, int descriptor);

  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace espalier
