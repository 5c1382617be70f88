// The command line: parses, dispatches, and turns errors into diagnostics and exit codes.
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "command.hpp"
#include "espalier/kernels/choice.hpp"
#include "espalier/support/interrupt.hpp"
#include "espalier/version.hpp"

namespace {

using espalier::Error;
using espalier::ErrorKind;

// Lines on standard error, none of them behind a progress line. No colours, whatever the terminal.
class LogSink : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    espalier::Progress::clear_line();
    std::fwrite(line.data(), 1, line.size(), stderr);
  }
  void flush_() override { std::fflush(stderr); }
};

int report(const Error& error) {
  espalier::Progress::clear_line();
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

constexpr const char* kFooter =
    R"(Order of work:
  inspect    what a model holds               model.onnx
  analyze    what training each part gains    -> contributions.json
  search     the best plan under a budget     -> plan.json  (or plan make, plan import)
  train      what the plan reaches            -> result.json, tuned.onnx
  compile    C that trains on the device      -> firmware/
  check      that C on the simulated core
  report     all of it as one page            -> report.html

Example:
  espalier analyze model.onnx --train cifar10:train.bin --out contributions.json
  espalier search contributions.json --model model.onnx --budget 100KiB --out plan.json
  espalier train model.onnx --plan plan.json --train cifar10:train.bin --test cifar10:test.bin
  espalier compile model.onnx --plan plan.json --target rv32imf --out firmware
  espalier check firmware
espalier COMMAND --help shows the options of a command.

Exit codes: 0 done, 2 usage, 3 no feasible plan, 4 verification mismatch, 65 bad input data,
66 input missing, 70 internal, 73 cannot write, 130 interrupted with state saved)";

void set_log_level(const espalier::cli::CommonOptions& common) {
  spdlog::set_level(common.quiet     ? spdlog::level::err
                    : common.verbose ? spdlog::level::debug
                                     : spdlog::level::info);
}

// Runs a command whose options are understood: nothing is written before every output is claimed.
espalier::Status run(const espalier::cli::Command& command, const CLI::App* parsed) {
  const auto* app = dynamic_cast<const espalier::cli::CommandApp*>(parsed);
  set_log_level(*command.common);
  ESPALIER_CHECK_OK(app->check_effects());
  if (command.common->print_config) {
    std::fputs(espalier::cli::config_text(app).c_str(), stdout);
    return espalier::Ok{};
  }
  ESPALIER_CHECK_OK(espalier::kernels::check_chosen_kernels());
  ESPALIER_TRY(const std::vector<espalier::FileLock> locks,
               app->claim_outputs(command.common->force));
  return command.run();
}

int run(int argc, char** argv) {
  CLI::App app{"Decides which parts of a pre-trained int8 network learn on a microcontroller"};
  app.name("espalier");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string(espalier::kVersion));
  app.footer(kFooter);
  app.formatter(std::make_shared<espalier::cli::HelpFormatter>());
  const std::vector<espalier::cli::Command> commands{
      espalier::cli::add_inspect(app), espalier::cli::add_analyze(app),
      espalier::cli::add_search(app),  espalier::cli::add_plan(app),
      espalier::cli::add_train(app),   espalier::cli::add_compile(app),
      espalier::cli::add_check(app),   espalier::cli::add_devices(app),
      espalier::cli::add_report(app)};
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::FileError& error) {
    return report({ErrorKind::kMissingInput, error.what()});
  } catch (const CLI::Error& error) {
    const CLI::App* command = chosen(app);
    const std::string what = espalier::cli::explain(error, *command);
    return report({ErrorKind::kUsage, what + (what.ends_with('?') ? " See " : "; see ") +
                                          full_name(command) + " --help"});
  }
  for (const auto& command : commands) {
    if (command.app->parsed()) return finish(run(command, chosen(app)));
  }
  return static_cast<int>(ErrorKind::kInternal);
}

}  // namespace

int main(int argc, char** argv) {
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("espalier", std::make_shared<LogSink>()));
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
