#include "program.hpp"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "dispatch.hpp"
#include "espalier/support/interrupt.hpp"
#include "espalier/support/progress.hpp"

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

}  // namespace

namespace espalier::cli {

int run_program(std::vector<std::string> arguments) {
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("espalier", std::make_shared<LogSink>()));
  spdlog::set_pattern("espalier: %v");
  install_interrupt_handler();
  // A file too large for its limit is then an error of the write, with a name and a reason.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return finish(run_command(std::move(arguments)));
  } catch (const std::bad_alloc&) {
    return report({ErrorKind::kInternal, "out of memory; use fewer samples or --jobs 1"});
  } catch (const std::exception& error) {
    return report(
        {ErrorKind::kInternal, std::string("internal error, please report it: ") + error.what()});
  }
}

}  // namespace espalier::cli
