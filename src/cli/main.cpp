// The command line: parses, dispatches, and turns errors into diagnostics and exit codes.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <exception>
#include <iostream>
#include <new>

#include "command.hpp"
#include "espalier/kernels/choice.hpp"
#include "espalier/support/interrupt.hpp"
#include "espalier/version.hpp"

namespace {

using espalier::Error;
using espalier::ErrorKind;

int report(const Error& error) {
  for (const std::string& line : error.diagnostics) {
    std::fprintf(stderr, "espalier: %s\n", line.c_str());
  }
  return static_cast<int>(error.kind);
}

// The exit code. What was printed counts only once it has arrived.
int finish(const espalier::Status& status) {
  if (!status.ok()) return report(status.error());
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return 0;
  return report({ErrorKind::kCannotWrite, "standard output: cannot be written"});
}

// The subcommand that was chosen, at the deepest level.
const CLI::App* chosen(const CLI::App& app) {
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  return command;
}

std::string full_name(const CLI::App* command) {
  if (command->get_parent() == nullptr) return command->get_name();
  return full_name(command->get_parent()) + " " + command->get_name();
}

int run(int argc, char** argv) {
  CLI::App app{"Decides which parts of a pre-trained int8 network learn on a microcontroller"};
  app.name("espalier");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string(espalier::kVersion));
  const std::vector<espalier::cli::Command> commands{
      espalier::cli::add_inspect(app), espalier::cli::add_analyze(app),
      espalier::cli::add_search(app),  espalier::cli::add_plan(app),
      espalier::cli::add_train(app),   espalier::cli::add_compile(app),
      espalier::cli::add_check(app)};
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::FileError& error) {
    std::fprintf(stderr, "espalier: %s\n", error.what());
    return static_cast<int>(ErrorKind::kMissingInput);
  } catch (const CLI::ParseError& error) {
    // What a missing argument was misspelt as says more than that it is missing.
    const CLI::App* command = chosen(app);
    const std::vector<std::string> unknown = command->remaining();
    const std::string what = unknown.empty() ? error.what() : "unexpected '" + unknown[0] + "'";
    return report({ErrorKind::kUsage, what + "; see " + full_name(command) + " --help"});
  }
  for (const auto& command : commands) {
    if (!command.app->parsed()) continue;
    if (command.common->print_config) {
      std::fputs(espalier::cli::config_text(chosen(app)).c_str(), stdout);
      return finish(espalier::Ok{});
    }
    spdlog::set_level(command.common->quiet     ? spdlog::level::err
                      : command.common->verbose ? spdlog::level::debug
                                                : spdlog::level::info);
    const espalier::Status kernels = espalier::kernels::check_chosen_kernels();
    return finish(kernels.ok() ? command.run() : kernels);
  }
  return static_cast<int>(ErrorKind::kInternal);
}

}  // namespace

int main(int argc, char** argv) {
  spdlog::set_default_logger(spdlog::stderr_color_mt("espalier"));
  spdlog::set_pattern("espalier: %v");
  espalier::install_interrupt_handler();
  try {
    return run(argc, argv);
  } catch (const std::bad_alloc&) {
    return report({ErrorKind::kInternal, "out of memory; use fewer samples or --jobs 1"});
  } catch (const std::exception& error) {
    return report(
        {ErrorKind::kInternal, std::string("internal error, please report it: ") + error.what()});
  }
}
