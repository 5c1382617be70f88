#include "command_app.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "espalier/data/dataset.hpp"
#include "espalier/support/file.hpp"

namespace espalier::cli {
namespace {

namespace fs = std::filesystem;

// Both exist and are one, whatever links lead there.
bool same(const fs::path& a, const fs::path& b) {
  std::error_code error;
  return fs::equivalent(a, b, error) && !error;
}

// Without links and dots, as far as it exists; without a final slash.
fs::path resolved(const fs::path& path) {
  std::error_code error;
  fs::path full = fs::weakly_canonical(fs::absolute(path), error);
  if (error) full = fs::absolute(path).lexically_normal();
  return full.has_filename() ? full : full.parent_path();
}

bool lies_within(const fs::path& path, const fs::path& folder) {
  for (fs::path at = resolved(path); at != at.parent_path(); at = at.parent_path()) {
    if (same(at, folder)) return true;
  }
  return false;
}

// Such as /dev/null: written in place, and by as many as like.
bool is_device(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  return fs::exists(status) && !fs::is_directory(status) && !fs::is_regular_file(status);
}

// What exists is a folder.
Status check_folder(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error) || fs::is_directory(path, error)) return Ok{};
  return Error{ErrorKind::kCannotWrite,
               fmt::format("{}: is not a folder; name another path", path.string())};
}

// Nothing is lost when it is replaced.
bool holds_nothing(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error) || is_device(path)) return true;
  return fs::is_empty(path, error) && !error;
}

Error two_in_one(const fs::path& path) {
  return Error{ErrorKind::kUsage,
               fmt::format("{}: is to hold two outputs; name another path for one of them",
                           path == "-" ? "standard output" : path.string())};
}

constexpr std::string_view kFolder = "folder:";

// The path is the file that the shell opened for what is printed.
bool is_stream(int stream, const fs::path& path) {
  struct stat out {};
  struct stat named {};
  return ::fstat(stream, &out) == 0 && S_ISREG(out.st_mode) && ::stat(path.c_str(), &named) == 0 &&
         out.st_dev == named.st_dev && out.st_ino == named.st_ino;
}

}  // namespace

CLI::Option* CommandApp::add_input(const std::string& name, std::string& path,
                                   const std::string& description) {
  reads([&path] { return std::vector<fs::path>{path}; });
  return add_option(name, path, description)->type_name("FILE");
}

CLI::Option* CommandApp::add_data(const std::string& name, std::string& spec,
                                  const std::string& description) {
  reads_data([&spec] { return std::vector<std::string>{spec}; });
  return add_option(name, spec, description)->type_name("DATA");
}

void CommandApp::reads(std::function<std::vector<fs::path>()> paths) {
  inputs_.push_back(std::move(paths));
}

void CommandApp::reads_data(std::function<std::vector<std::string>()> specs) {
  reads([specs] {
    std::vector<fs::path> files;
    for (const std::string& spec : specs()) {
      const std::vector<fs::path> some = data::spec_files(spec);
      files.insert(files.end(), some.begin(), some.end());
    }
    return files;
  });
  datasets_.push_back(std::move(specs));
}

CLI::Option* CommandApp::add_output(const std::string& name, std::string& path,
                                    std::function<Format()> format,
                                    const std::string& description) {
  outputs_.push_back([name, &path, format = std::move(format)] {
    return Output{name, path, format()};
  });
  return add_option(name, path, description)->type_name("PATH");
}

CLI::Option* CommandApp::add_shared_folder(const std::string& name, std::string& path,
                                           Format format, const std::string& description) {
  outputs_.push_back([name, &path, format = std::move(format)] {
    return Output{name, path, format, true};
  });
  return add_option(name, path, description)->type_name("PATH");
}

void CommandApp::add_store(std::string& path, const std::string& description,
                           std::function<std::string()> usual) {
  add_shared_folder("--store", path, store_format(), description);
  outputs_.push_back([&path, usual = std::move(usual)] {
    return Output{"--store", path.empty() ? usual() : std::string(), store_format(), true};
  });
}

void CommandApp::effective_if(const std::string& option, std::function<bool()> condition,
                              std::string advice) {
  effects_.push_back({get_option(option), std::move(condition), std::move(advice)});
}

void CommandApp::decided_by_file(const std::vector<std::string>& options,
                                 const std::string& source) {
  for (const std::string& name : options) {
    CLI::Option* option = get_option(name);
    option->description(fmt::format("{} [{}]", option->get_description(),
                                    fmt::format(fmt::runtime(source), option->get_default_str())));
    option->default_str("");
    decided_by_file_.insert(option);
  }
}

bool CommandApp::is_decided_by_file(const CLI::Option* option) const {
  return option->empty() && decided_by_file_.contains(option);
}

bool CommandApp::effective(const CLI::Option* option) const {
  return std::all_of(effects_.begin(), effects_.end(), [&](const Effect& effect) {
    return effect.option != option || effect.condition();
  });
}

Status CommandApp::check_effects() const {
  std::vector<std::string> problems;
  for (const Effect& effect : effects_) {
    if (effect.option->empty() || effect.condition()) continue;
    const std::string text =
        fmt::format("{} has no effect here; {}", effect.option->get_name(), effect.advice);
    if (from_file_.contains(effect.option)) {
      spdlog::warn("{}", text);
    } else {
      problems.push_back(text);
    }
  }
  if (!problems.empty()) return Error{ErrorKind::kUsage, problems};
  return Ok{};
}

Status CommandApp::check_values() const {
  std::vector<std::string> problems;
  for (const CLI::Option* option : get_options()) {
    const std::vector<std::string>& given = option->results();
    if (std::find(given.begin(), given.end(), "") == given.end()) continue;
    problems.push_back(fmt::format("{}: an empty value; give one{}", option->get_name(),
                                   option->get_required() ? "" : ", or leave the option out"));
  }
  if (!problems.empty()) return Error{ErrorKind::kUsage, problems};
  return Ok{};
}

std::vector<CommandApp::Output> CommandApp::named_outputs() const {
  std::vector<Output> named;
  for (const auto& output : outputs_) {
    Output one = output();
    if (!one.path.empty()) named.push_back(std::move(one));
  }
  return named;
}

namespace {

Error refused(const fs::path& output, const std::string& why) {
  return Error{ErrorKind::kUsage, fmt::format("{}: {}", output.string(), why)};
}

// A file of the folder that the output is, and that may be written.
bool is_part(const fs::path& input, const fs::path& output, const Format& format) {
  if (!format.folder || !lies_within(input, output)) return false;
  return !format.writes || format.writes(resolved(input).lexically_relative(resolved(output)));
}

}  // namespace

Status CommandApp::check_inputs(const Output& output) const {
  for (const auto& list : inputs_) {
    for (const fs::path& input : list()) {
      if (input.empty()) continue;
      if (same(output.path, input) || is_part(input, output.path, output.format)) {
        return refused(
            output.path,
            fmt::format("{} would replace an input of this command{}; name another "
                        "path, or --force to replace it",
                        output.option,
                        output.format.folder ? fmt::format(", {}", input.string()) : ""));
      }
    }
  }
  for (const auto& specs : datasets_) {
    for (const std::string& spec : specs()) {
      if (!spec.starts_with(kFolder)) continue;
      const std::string data = spec.substr(kFolder.size());
      if (data.empty() || !lies_within(output.path, data)) continue;
      return refused(output.path,
                     fmt::format("{} would write into the dataset {}; name another path, or "
                                 "--force to write there",
                                 output.option, spec));
    }
  }
  return Ok{};
}

Status CommandApp::check_replacement(const Output& output) const {
  ESPALIER_CHECK_OK(check_inputs(output));
  return check_replaceable(output.path, output.format);
}

Status check_replaceable(const fs::path& path, const Format& format) {
  std::error_code error;
  if (holds_nothing(path)) return Ok{};
  if (fs::is_directory(path, error)) {
    if (!format.folder || format.matches(path)) return Ok{};
    return refused(path,
                   "is not empty; name another folder, or --force to replace the files in it");
  }
  if (format.folder || format.matches(path)) return Ok{};
  return refused(path, fmt::format("exists and is not {}; name another path, or --force to "
                                   "replace it",
                                   format.name));
}

Status CommandApp::check_places(const std::vector<Output>& outputs, bool force) const {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const fs::path& a = outputs[i].path;
    for (std::size_t j = 0; j < i; ++j) {
      const fs::path& b = outputs[j].path;
      if (a == b || (!is_device(a) && (same(a, b) || resolved(a) == resolved(b)))) {
        return two_in_one(b);
      }
    }
    for (const auto& [stream, name] : {std::pair(STDOUT_FILENO, "standard output"),
                                       std::pair(STDERR_FILENO, "standard error")}) {
      if (force || !is_stream(stream, a)) continue;
      return Error{
          ErrorKind::kUsage,
          fmt::format("{}: is {}, where other text goes; name another path", a.string(), name)};
    }
  }
  for (const auto& list : inputs_) {
    for (const fs::path& input : list()) {
      if (force || input.empty() || !is_stream(STDOUT_FILENO, input)) continue;
      return Error{ErrorKind::kUsage,
                   fmt::format("{}: is both an input and standard output; send the output "
                               "elsewhere",
                               input.string())};
    }
  }
  return Ok{};
}

Result<std::vector<FileLock>> CommandApp::claim_outputs(bool force) const {
  const std::vector<Output> outputs = named_outputs();
  ESPALIER_CHECK_OK(check_places(outputs, force));
  std::vector<FileLock> locks;
  for (const Output& output : outputs) {
    if (output.path == "-") continue;
    if (!force) ESPALIER_CHECK_OK(check_replacement(output));
    if (!output.format.folder) ESPALIER_CHECK_OK(check_writable(output.path));
    if (output.format.folder) ESPALIER_CHECK_OK(check_folder(output.path));
    // A folder's parents may still have to be made; then the first to write it wins.
    std::error_code error;
    if (output.shared || is_device(output.path) ||
        !fs::is_directory(behind_links(resolved(output.path)).parent_path(), error)) {
      continue;
    }
    ESPALIER_TRY(FileLock lock, FileLock::acquire(output.path));
    locks.push_back(std::move(lock));
  }
  return locks;
}

}  // namespace espalier::cli
