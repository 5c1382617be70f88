#include "espalier/support/file_lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "espalier/support/folder.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

// One for all links to the output.
fs::path lock_path(const fs::path& output) {
  fs::path path = folder_behind_links(output);
  path += ".lock";
  return path;
}

// Of a process: its number and its machine.
std::string own_name() {
  std::array<char, HOST_NAME_MAX + 1> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) return fmt::format("{}", ::getpid());
  return fmt::format("{} on {}", ::getpid(), host.data());
}

// What the file holds: the name of a process, nothing, or somebody else's text.
std::string content(int descriptor) {
  std::array<char, HOST_NAME_MAX + 32> buffer{};
  const ssize_t n = ::pread(descriptor, buffer.data(), buffer.size(), 0);
  std::string text(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

bool names_a_process(const std::string& text) {
  const std::string_view rest =
      std::string_view(text).substr(std::min(text.find_first_not_of("0123456789"), text.size()));
  return rest.empty() || (rest.size() < text.size() && rest.starts_with(" on ") &&
                          rest.find('\n') == std::string_view::npos);
}

// A holder that finished meanwhile has unlinked the file that was opened here.
bool still_there(int descriptor, const fs::path& path) {
  struct stat opened {};
  struct stat named {};
  return ::fstat(descriptor, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
         opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

}  // namespace

FileLock::FileLock(fs::path path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor) {}

FileLock::FileLock(FileLock&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

FileLock::~FileLock() {
  if (descriptor_ < 0) return;
  // Unlinked before it is released: whoever takes the name next finds a file of its own.
  ::unlink(path_.c_str());
  ::close(descriptor_);
}

Result<FileLock> FileLock::acquire(const fs::path& output) {
  const fs::path path = lock_path(output);
  const auto fail = [&](const std::string& why) {
    return Error{ErrorKind::kCannotWrite, fmt::format("{}: {}", output.string(), why)};
  };
  while (true) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor < 0) {
      return fail(fmt::format("cannot be locked with {}: {}; choose another output path",
                              path.string(), std::generic_category().message(errno)));
    }
    FileLock lock(path, descriptor);
    const std::string holder = content(descriptor);
    if (!names_a_process(holder)) {
      lock.descriptor_ = -1;
      ::close(descriptor);
      return fail(fmt::format("{} is no lock of Espalier's; move it away", path.string()));
    }
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      const bool held = errno == EWOULDBLOCK;
      lock.descriptor_ = -1;
      ::close(descriptor);
      if (!held) return FileLock({}, -1);
      return fail(fmt::format("process {} is writing it; wait until it ends, or name another path",
                              holder.empty() ? "(unknown)" : holder));
    }
    if (!still_there(descriptor, path)) {
      lock.descriptor_ = -1;
      ::close(descriptor);
      continue;
    }
    const std::string text = own_name() + "\n";
    if (::ftruncate(descriptor, 0) != 0 ||
        ::pwrite(descriptor, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
      return fail(fmt::format("{} cannot be written: {}; choose another output path", path.string(),
                              std::generic_category().message(errno)));
    }
    return lock;
  }
}

}  // namespace espalier
