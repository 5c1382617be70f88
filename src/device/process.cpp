#include "process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace espalier::device {

Result<ProcessResult> run_process(const std::vector<std::string>& arguments,
                                  const std::filesystem::path& folder, bool merge) {
  std::array<int, 2> output{};
  std::array<int, 2> failure{};  // carries errno of a failed exec; closed by a successful one
  if (::pipe2(output.data(), O_CLOEXEC) != 0 || ::pipe2(failure.data(), O_CLOEXEC) != 0) {
    return Error{ErrorKind::kInternal, fmt::format("pipe: {}", std::strerror(errno))};
  }
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return Error{ErrorKind::kInternal, fmt::format("fork: {}", std::strerror(errno))};
  if (child == 0) {
    ::dup2(output[1], STDOUT_FILENO);
    if (merge) ::dup2(output[1], STDERR_FILENO);
    if (::chdir(folder.c_str()) == 0) ::execvp(argv[0], argv.data());
    const int reason = errno;
    (void)!::write(failure[1], &reason, sizeof reason);
    ::_exit(127);
  }
  ::close(output[1]);
  ::close(failure[1]);
  ProcessResult result;
  std::array<char, 65536> buffer{};
  for (;;) {
    const ssize_t n = ::read(output[0], buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    result.output.append(buffer.data(), static_cast<std::size_t>(n));
  }
  int reason = 0;
  const bool failed = ::read(failure[0], &reason, sizeof reason) == sizeof reason;
  ::close(output[0]);
  ::close(failure[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (failed) {
    return Error{ErrorKind::kMissingInput,
                 fmt::format("{}: cannot be run: {}; install it, or name another one", arguments[0],
                             std::strerror(reason))};
  }
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace espalier::device
