#include "espalier/support/file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <system_error>

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

std::filesystem::path temporary_beside(const std::filesystem::path& path) {
  std::filesystem::path temporary = path;
  temporary += fmt::format(".tmp{}", ::getpid());
  return temporary;
}

}  // namespace

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
  return content;
}

Status check_writable(const std::filesystem::path& path) {
  const std::filesystem::path temporary = temporary_beside(path);
  const auto fail = [&](const std::string& why) {
    return Error{
        ErrorKind::kCannotWrite,
        fmt::format("{}: cannot be written: {}; choose another output path", path.string(), why)};
  };
  if (written_in_place(path)) {
    if (::access(path.c_str(), W_OK) != 0) return fail(reason(errno));
    return Ok{};
  }
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return fail("is a directory");
  const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) return fail(reason(errno));
  ::close(descriptor);
  ::unlink(temporary.c_str());
  return Ok{};
}

Status write_file_atomic(const std::filesystem::path& path, std::string_view content) {
  const bool in_place = written_in_place(path);
  const std::filesystem::path temporary = in_place ? path : temporary_beside(path);
  const auto fail = [&](int error_number) {
    if (!in_place) ::unlink(temporary.c_str());
    return Error{ErrorKind::kCannotWrite,
                 fmt::format("{}: cannot be written: {}; choose another output path", path.string(),
                             reason(error_number))};
  };
  const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) return fail(errno);
  std::size_t written = 0;
  while (written < content.size()) {
    const ssize_t n = ::write(descriptor, content.data() + written, content.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error_number = errno;
      ::close(descriptor);
      return fail(error_number);
    }
    written += static_cast<std::size_t>(n);
  }
  if (::close(descriptor) != 0) return fail(errno);
  if (!in_place && std::rename(temporary.c_str(), path.c_str()) != 0) return fail(errno);
  return Ok{};
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
