#include "espalier/support/file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <system_error>
#include <utility>

namespace espalier {
namespace {

std::string reason(int error_number) { return std::generic_category().message(error_number); }

// Devices, pipes and links to them: a rename would replace what was meant to be written to.
bool written_in_place(const std::filesystem::path& path) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(path, ignored);
  return std::filesystem::exists(status) && !std::filesystem::is_regular_file(status) &&
         !std::filesystem::is_directory(status);
}

Error cannot_write(const std::filesystem::path& path, const std::string& why) {
  return {ErrorKind::kCannotWrite,
          fmt::format("{}: cannot be written: {}; choose another output path", path.string(), why)};
}

constexpr std::string_view kTemporary = ".tmp-";
constexpr std::size_t kTemporaryDigits = 8;
constexpr std::string_view kOtherOptions = ".other-options-";
constexpr std::size_t kOtherDigits = 8;

bool are_digits(std::string_view text, std::size_t count) {
  return text.size() == count &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// A file of a name that no other process has, here or on another machine, open for writing. The
// descriptor is negative, and errno says why, when there can be none.
std::pair<std::filesystem::path, int> create_temporary(const std::filesystem::path& path) {
  while (true) {
    std::filesystem::path temporary = temporary_beside(path);
    const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (descriptor < 0 && errno == EEXIST) continue;
    return {std::move(temporary), descriptor};
  }
}

// What went wrong, 0 for nothing.
int write_all(int descriptor, std::string_view content) {
  while (!content.empty()) {
    const ssize_t n = ::write(descriptor, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return 0;
}

// What a repository with Git LFS holds in place of a large file until that is asked for.
bool is_lfs_pointer(std::string_view content) {
  constexpr std::string_view kFirstLine = "version https://git-lfs.github.com/spec/v1\n";
  constexpr std::size_t kLongest = 1024;  // by the specification
  return content.size() < kLongest && content.substr(0, kFirstLine.size()) == kFirstLine;
}

}  // namespace

std::filesystem::path behind_links(std::filesystem::path path) {
  constexpr int kMostLinks = 40;  // as the kernel follows them
  std::error_code error;
  for (int i = 0; i < kMostLinks && std::filesystem::is_symlink(path, error); ++i) {
    const std::filesystem::path target = std::filesystem::read_symlink(path, error);
    if (error) break;
    path = path.parent_path() / target;
  }
  return path;
}

bool is_temporary_name(std::string_view name) {
  const std::size_t at = name.rfind(kTemporary);
  if (at == std::string_view::npos || at == 0) return false;
  return are_digits(name.substr(at + kTemporary.size()), kTemporaryDigits);
}

bool is_kept_name(std::string_view name, const std::filesystem::path& original) {
  const std::string begin = original.stem().string() + std::string(kOtherOptions);
  const std::string end = original.extension().string();
  if (!name.starts_with(begin) || !name.ends_with(end)) return false;
  name.remove_prefix(begin.size());
  return name.size() >= end.size() &&
         are_digits(name.substr(0, name.size() - end.size()), kOtherDigits);
}

std::filesystem::path kept_path(const std::filesystem::path& path, std::string_view identity) {
  return path.parent_path() / fmt::format("{}{}{}{}", path.stem().string(), kOtherOptions,
                                          sha256_hex(identity).substr(0, kOtherDigits),
                                          path.extension().string());
}

Result<std::filesystem::path> keep_beside(const std::filesystem::path& path,
                                          std::string_view identity) {
  const std::filesystem::path real = behind_links(path);
  const std::filesystem::path kept = kept_path(real, identity);
  std::error_code error;
  std::filesystem::rename(real, kept, error);
  if (error) {
    return Error{ErrorKind::kCannotWrite,
                 fmt::format("{}: cannot be kept as {}: {}; choose another output path",
                             path.string(), kept.string(), error.message())};
  }
  return kept;
}

std::filesystem::path temporary_beside(const std::filesystem::path& path) {
  std::random_device random;
  std::filesystem::path temporary = path;
  temporary += fmt::format("{}{:08x}", kTemporary, random() & 0xFFFFFFFFU);
  return temporary;
}

void remove_stale_temporaries(const std::filesystem::path& folder) {
  constexpr std::chrono::hours kLongAgo{24};
  const auto now = std::filesystem::file_time_type::clock::now();
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;  // another process may do the same
    if (is_temporary_name(at->path().filename().string()) && at->is_regular_file(ignored) &&
        now - at->last_write_time(ignored) > kLongAgo && !ignored) {
      std::filesystem::remove(at->path(), ignored);
    }
  }
}

Result<std::string> read_file(const std::filesystem::path& path) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(path, ignored);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status) &&
      !std::filesystem::is_fifo(status)) {
    // A directory cannot be read and a device may never end.
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: is a {}; name a file", path.string(),
                             std::filesystem::is_directory(status) ? "directory" : "device")};
  }
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (!file) {
    return Error{ErrorKind::kMissingInput,
                 fmt::format("{}: cannot be opened: {}", path.string(), reason(errno))};
  }
  std::string content;
  std::array<char, 65536> buffer;
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), file.get())) {
    content.append(buffer.data(), n);
  }
  if (std::ferror(file.get()) != 0) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: cannot be read: {}", path.string(), reason(errno))};
  }
  if (is_lfs_pointer(content)) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: is a Git LFS pointer, not the file that it stands for; run 'git "
                             "lfs pull' in its repository",
                             path.string())};
  }
  return content;
}

Status check_writable(const std::filesystem::path& path) {
  if (written_in_place(path)) {
    if (::access(path.c_str(), W_OK) != 0) return cannot_write(path, reason(errno));
    return Ok{};
  }
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return cannot_write(path, "is a directory");
  const auto [temporary, descriptor] = create_temporary(behind_links(path));
  if (descriptor < 0) return cannot_write(path, reason(errno));
  ::close(descriptor);
  ::unlink(temporary.c_str());
  return Ok{};
}

Status write_file(const std::filesystem::path& path, std::string_view content) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) return cannot_write(path, reason(errno));
  int failed = write_all(descriptor, content);
  if (::close(descriptor) != 0 && failed == 0) failed = errno;
  if (failed != 0) return cannot_write(path, reason(failed));
  return Ok{};
}

Status write_file_atomic(const std::filesystem::path& path, std::string_view content) {
  if (written_in_place(path)) return write_file(path, content);
  const std::filesystem::path real = behind_links(path);
  const auto [temporary, descriptor] = create_temporary(real);
  if (descriptor < 0) return cannot_write(path, reason(errno));
  int failed = write_all(descriptor, content);
  // On the disk before it has its name: a machine that stops leaves no file of the right name with
  // nothing in it.
  if (failed == 0 && ::fsync(descriptor) != 0) failed = errno;
  if (::close(descriptor) != 0 && failed == 0) failed = errno;
  if (failed == 0 && std::rename(temporary.c_str(), real.c_str()) != 0) failed = errno;
  if (failed == 0) return Ok{};
  ::unlink(temporary.c_str());
  return cannot_write(path, reason(failed));
}

std::string sha256_hex(std::string_view content) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  EVP_Digest(content.data(), content.size(), digest.data(), &length, EVP_sha256(), nullptr);
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace espalier
