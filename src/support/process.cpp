#include "espalier/support/process.hpp"

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
#include <string_view>
#include <system_error>
#include <utility>

namespace espalier {
namespace {

constexpr int kPollMilliseconds = 100;

class Descriptor {
 public:
  Descriptor() = default;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  void own(int number) { number_ = number; }
  void close() {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
  }
  [[nodiscard]] int number() const { return number_; }

 private:
  int number_ = -1;
};

struct Pipe {
  Descriptor from;
  Descriptor to;
  bool open() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return false;
    from.own(ends[0]);
    to.own(ends[1]);
    return true;
  }
};

// A child that leads a process group of its own, so that the compiler's own children can be ended
// with it. While it is not reaped, nothing else can have its number.
class Child {
 public:
  // The child does the same: whoever is first, a kill of the group finds it from here on.
  explicit Child(pid_t number) : number_(number) { ::setpgid(number, number); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (number_ > 0) reap();
  }
  // Does not reap it.
  [[nodiscard]] bool has_ended() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(number_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           info.si_pid == number_;
  }
  // Ends it and what is left of its group, as long as it is not reaped.
  void kill() const {
    if (::kill(-number_, SIGKILL) != 0) ::kill(number_, SIGKILL);
  }
  // Its status; the rest of its group ends. Nothing when somebody else has reaped it, as the system
  // does where SIGCHLD is ignored.
  std::optional<int> reap() {
    siginfo_t info{};
    const pid_t number = std::exchange(number_, -1);
    if (::waitid(P_PID, static_cast<id_t>(number), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
      return {};
    }
    if (::kill(-number, SIGKILL) != 0) ::kill(number, SIGKILL);
    int status = 0;
    pid_t reaped = 0;
    do {
      reaped = ::waitpid(number, &status, 0);
    } while (reaped < 0 && errno == EINTR);
    if (reaped != number) return {};
    return status;
  }

 private:
  pid_t number_;
};

// In the child: becomes the program, or tells `failure` why not.
[[noreturn]] void become(char* const* argv, char* const* environment,
                         const std::filesystem::path& folder, int output, int failure, bool merge,
                         pid_t parent) {
  ::setpgid(0, 0);
  // Of a parent that is killed, only this process hears, not what it will have started.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // it was killed before
  ::dup2(output, STDOUT_FILENO);
  if (merge) ::dup2(output, STDERR_FILENO);
  if (::chdir(folder.c_str()) == 0) ::execvpe(argv[0], argv, environment);
  const int reason = errno;
  (void)!::write(failure, &reason, sizeof reason);
  ::_exit(127);
}

// This process's, with another TMPDIR.
std::vector<std::string> environment_with(const std::filesystem::path& temporaries) {
  std::vector<std::string> all{"TMPDIR=" + temporaries.string()};
  for (char* const* variable = environ; *variable != nullptr; ++variable) {
    if (!std::string_view(*variable).starts_with("TMPDIR=")) all.emplace_back(*variable);
  }
  return all;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (const std::string& text : texts) all.push_back(const_cast<char*>(text.c_str()));
  all.push_back(nullptr);
  return all;
}

enum class Read { kSome, kNothing, kEnd };

// Appends what there is within the time of one poll, as long as `output` is below `largest`.
Read read_some(int from, int milliseconds, std::size_t largest, std::string& output) {
  pollfd waiting{from, POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&waiting, 1, milliseconds);
  } while (ready < 0 && errno == EINTR && milliseconds == 0);
  if (ready <= 0) return Read::kNothing;
  std::array<char, 65536> buffer{};
  const ssize_t n = ::read(from, buffer.data(), buffer.size());
  if (n < 0) return errno == EINTR ? Read::kNothing : Read::kEnd;
  if (output.size() <= largest) output.append(buffer.data(), static_cast<std::size_t>(n));
  return n > 0 ? Read::kSome : Read::kEnd;
}

}  // namespace

Result<ProcessResult> run_process(const std::vector<std::string>& arguments,
                                  const std::filesystem::path& folder,
                                  const ProcessOptions& options) {
  Pipe output;
  Pipe failure;  // carries errno of a failed exec; closed by a successful one
  if (!output.open() || !failure.open()) {
    return Error{ErrorKind::kInternal, fmt::format("pipe: {}", std::strerror(errno))};
  }
  const std::vector<char*> argv = pointers(arguments);
  std::vector<std::string> variables;
  std::error_code ignored;
  if (options.temporaries_in_folder) {
    variables = environment_with(std::filesystem::absolute(folder, ignored));
  }
  const std::vector<char*> own = pointers(variables);
  char* const* environment = options.temporaries_in_folder ? own.data() : environ;
  const pid_t parent = ::getpid();
  const pid_t number = ::fork();
  if (number < 0) return Error{ErrorKind::kInternal, fmt::format("fork: {}", std::strerror(errno))};
  if (number == 0) {
    become(argv.data(), environment, folder, output.to.number(), failure.to.number(), options.merge,
           parent);
  }
  Child child(number);
  output.to.close();
  failure.to.close();

  const auto deadline = std::chrono::steady_clock::now() + options.limit;
  ProcessResult result;
  std::optional<Error> ended;
  const auto read = [&](int milliseconds) {
    const Read what =
        read_some(output.from.number(), milliseconds, options.largest_output, result.output);
    if (!ended && result.output.size() > options.largest_output) {
      ended = Error{ErrorKind::kMismatch, fmt::format("{}: printed more than {} bytes",
                                                      arguments[0], options.largest_output)};
    }
    return what;
  };
  // A program may close its output and go on, so its end is waited for.
  bool open = true;
  while (true) {
    if (!ended) {
      if (options.keep_going && !options.keep_going()) {
        ended = Error{ErrorKind::kInterrupted, "check: interrupted"};
      } else if (std::chrono::steady_clock::now() > deadline) {
        ended = Error{ErrorKind::kMismatch,
                      fmt::format("{}: still running after {} s", arguments[0],
                                  std::chrono::duration<double>(options.limit).count())};
      }
    }
    if (ended) child.kill();
    if (child.has_ended()) break;
    if (open) {
      open = read(kPollMilliseconds) != Read::kEnd;
    } else {
      ::poll(nullptr, 0, kPollMilliseconds / 10);
    }
  }
  const std::optional<int> status = child.reap();
  // All that it wrote is in the pipe. What left its group may hold the pipe open for as long as it
  // likes.
  while (!ended && open && read(0) == Read::kSome) {
  }
  int reason = 0;
  if (::read(failure.from.number(), &reason, sizeof reason) == sizeof reason) {
    return Error{ErrorKind::kMissingInput,
                 fmt::format("{}: cannot be run: {}{}{}", arguments[0], std::strerror(reason),
                             options.advice.empty() ? "" : "; ", options.advice)};
  }
  if (ended) return *ended;
  if (!status) {
    return Error{
        ErrorKind::kInternal,
        fmt::format("{}: its end cannot be known; run without SIGCHLD ignored", arguments[0])};
  }
  result.exit_code = WIFEXITED(*status) ? WEXITSTATUS(*status) : 128 + WTERMSIG(*status);
  return result;
}

}  // namespace espalier
