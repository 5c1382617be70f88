#include "process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>

namespace espalier::device {
namespace {

constexpr int kPollMilliseconds = 100;

// In the child: becomes the program, or tells `failure` why not.
[[noreturn]] void become(char* const* argv, const std::filesystem::path& folder, int output,
                         int failure, bool merge) {
  // A group of its own, so that the compiler's own children can be ended with it; nothing outlives
  // a parent that is killed.
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::dup2(output, STDOUT_FILENO);
  if (merge) ::dup2(output, STDERR_FILENO);
  if (::chdir(folder.c_str()) == 0) ::execvp(argv[0], argv);
  const int reason = errno;
  (void)!::write(failure, &reason, sizeof reason);
  ::_exit(127);
}

// Reads what there is within the time of one poll; false at the end of the output.
bool read_some(int from, std::string& output) {
  pollfd waiting{from, POLLIN, 0};
  if (::poll(&waiting, 1, kPollMilliseconds) <= 0) return true;
  std::array<char, 65536> buffer{};
  const ssize_t n = ::read(from, buffer.data(), buffer.size());
  if (n < 0) return errno == EINTR;
  output.append(buffer.data(), static_cast<std::size_t>(n));
  return n > 0;
}

}  // namespace

Result<ProcessResult> run_process(const std::vector<std::string>& arguments,
                                  const std::filesystem::path& folder,
                                  const ProcessOptions& options) {
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
  if (child == 0) become(argv.data(), folder, output[1], failure[1], options.merge);
  ::close(output[1]);
  ::close(failure[1]);

  const auto deadline = std::chrono::steady_clock::now() + options.limit;
  ProcessResult result;
  std::optional<Error> ended;
  bool open = true;
  int status = 0;
  // A program may close its output and go on, so both are waited for.
  for (bool running = true; running || open;) {
    if (open) {
      open = read_some(output[0], result.output);
    } else {
      ::poll(nullptr, 0, kPollMilliseconds / 10);
    }
    if (running) running = ::waitpid(child, &status, WNOHANG) == 0;
    if (ended) continue;
    if (options.keep_going && !options.keep_going()) {
      ended = Error{ErrorKind::kInterrupted, "check: interrupted"};
    } else if (std::chrono::steady_clock::now() > deadline) {
      ended = Error{ErrorKind::kMismatch, fmt::format("{}: still running after {} s", arguments[0],
                                                      options.limit.count())};
    }
    if (ended) ::kill(-child, SIGKILL);
  }
  int reason = 0;
  const bool failed = ::read(failure[0], &reason, sizeof reason) == sizeof reason;
  ::close(output[0]);
  ::close(failure[0]);
  if (failed) {
    return Error{
        ErrorKind::kMissingInput,
        fmt::format("{}: cannot be run: {}; install it, or name another one with --riscv-cc or "
                    "--host-cc",
                    arguments[0], std::strerror(reason))};
  }
  if (ended) return *ended;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace espalier::device
