#include "run_program.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <system_error>
#include <thread>

#include "espalier/support/file.hpp"
#include "support/temp_folder.hpp"

namespace espalier::testing {
namespace {

class FileActions {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;

  void open(int descriptor, const std::filesystem::path& path, int flags) {
    posix_spawn_file_actions_addopen(&actions_, descriptor, path.c_str(), flags, 0600);
  }
  void change_folder(const std::filesystem::path& folder) {
    posix_spawn_file_actions_addchdir_np(&actions_, folder.c_str());
  }
  [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

// A list as C has it, with a null pointer at its end.
std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

int exit_code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }

}  // namespace

Finished run_program(const std::vector<std::string>& arguments, const RunOptions& options) {
  const TempFolder streams;
  const std::filesystem::path out = streams.path() / "out";
  const std::filesystem::path err = streams.path() / "err";
  FileActions actions;
  actions.change_folder(options.folder);
  actions.open(STDIN_FILENO, "/dev/null", O_RDONLY);
  actions.open(STDOUT_FILENO, options.stdout_path.empty() ? out : options.stdout_path,
               O_WRONLY | O_CREAT);
  actions.open(STDERR_FILENO, err, O_WRONLY | O_CREAT);

  std::vector<std::string> words{ESPALIER_PROGRAM};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const std::vector<char*> argv = pointers(words);
  std::vector<std::string> variables = options.environment;
  for (char** variable = environ; *variable != nullptr; ++variable)
    variables.emplace_back(*variable);

  pid_t child = 0;
  const int error =
      posix_spawn(&child, argv[0], actions.get(), nullptr, argv.data(), pointers(variables).data());
  if (error != 0) throw std::system_error(error, std::generic_category(), words[0]);

  Finished finished;
  const auto deadline = std::chrono::steady_clock::now() + options.timeout;
  bool interrupt_sent = false;
  int status = 0;
  rusage used{};
  while (wait4(child, &status, WNOHANG, &used) == 0) {
    if (options.interrupt_when && !interrupt_sent && options.interrupt_when()) {
      kill(child, options.signal);
      interrupt_sent = true;
    }
    if (!finished.hung && std::chrono::steady_clock::now() > deadline) {
      kill(child, SIGKILL);
      finished.hung = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  finished.exit_code = exit_code_of(status);
  finished.peak_bytes = std::int64_t{used.ru_maxrss} * 1024;
  if (options.stdout_path.empty()) finished.out = *read_file(out);
  finished.err = *read_file(err);
  return finished;
}

}  // namespace espalier::testing
