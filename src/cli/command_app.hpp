// A subcommand whose options say what they are: which name inputs, which name outputs, and which
// have an effect only beside others. So no command can forget to look before it writes.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "espalier/support/file_lock.hpp"
#include "espalier/support/result.hpp"
#include "formats.hpp"

namespace espalier::cli {

class CommandApp : public CLI::App {
 public:
  CommandApp(const std::string& description, const std::string& name)
      : CLI::App(description, name) {}

  /// An option, or a positional, that names a file or folder to read.
  CLI::Option* add_input(const std::string& name, std::string& path,
                         const std::string& description);
  /// One that names a dataset, such as folder:DIR; nothing may be written into such a folder.
  CLI::Option* add_data(const std::string& name, std::string& spec, const std::string& description);
  /// Any other option that may name files to read: `paths` says which.
  void reads(std::function<std::vector<std::filesystem::path>()> paths);
  /// Any other place that may name datasets: `specs` says which.
  void reads_data(std::function<std::vector<std::string>()> specs);
  /// An option that names a file or folder to write, or - for standard output. What it holds may
  /// depend on other options.
  CLI::Option* add_output(const std::string& name, std::string& path,
                          std::function<Format()> format, const std::string& description);
  /// The same for a folder that several processes may work in.
  CLI::Option* add_shared_folder(const std::string& name, std::string& path, Format format,
                                 const std::string& description);
  /// --store: a folder of finished trials; without it `usual()`, empty for none.
  void add_store(std::string& path, const std::string& description,
                 std::function<std::string()> usual);

  /// The option has an effect only while `condition` holds; `advice` says what to do otherwise.
  void effective_if(const std::string& option, std::function<bool()> condition, std::string advice);
  /// Where these options are not given, a file that is read later decides (`source` names it). Help
  /// says so, and a printed configuration leaves them out.
  void decided_by_file(const std::vector<std::string>& options, const std::string& source);
  [[nodiscard]] bool is_decided_by_file(const CLI::Option* option) const;
  /// Options given for nothing are refused (kUsage) on the command line and told of in a
  /// configuration file, which may serve several calls.
  [[nodiscard]] Status check_effects() const;
  /// An empty value, as a variable of the shell that is not set leaves it, would pass for an option
  /// that was not given (kUsage).
  [[nodiscard]] Status check_values() const;
  /// Whether an option would have an effect if it were given.
  [[nodiscard]] bool effective(const CLI::Option* option) const;

  /// Notes that a configuration file, not the command line, set an option.
  void set_by_file(const CLI::Option* option) { from_file_.insert(option); }

  /// Holds every output for this process until the locks go. Refused are, unless `force`: an
  /// output that is an input, however it is spelt, and one that exists and is something else than
  /// will be written (kUsage); and always what cannot be written, two outputs in one place, and
  /// what another process writes. Call it before any work.
  [[nodiscard]] Result<std::vector<FileLock>> claim_outputs(bool force) const;

 private:
  struct Output {
    std::string option;
    std::filesystem::path path;
    Format format;
    bool shared = false;
  };
  struct Effect {
    CLI::Option* option;
    std::function<bool()> condition;
    std::string advice;
  };

  [[nodiscard]] std::vector<Output> named_outputs() const;
  [[nodiscard]] Status check_places(const std::vector<Output>& outputs, bool force) const;
  [[nodiscard]] Status check_replacement(const Output& output) const;
  [[nodiscard]] Status check_inputs(const Output& output) const;

  std::vector<std::function<std::vector<std::filesystem::path>()>> inputs_;
  std::vector<std::function<std::vector<std::string>()>> datasets_;
  std::vector<std::function<Output()>> outputs_;
  std::vector<Effect> effects_;
  std::set<const CLI::Option*> from_file_;
  std::set<const CLI::Option*> decided_by_file_;
};

/// Whether what lies at a path may be replaced without --force: nothing, or an earlier output of
/// the format. kUsage otherwise.
Status check_replaceable(const std::filesystem::path& path, const Format& format);

}  // namespace espalier::cli
