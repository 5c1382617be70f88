// Runs the built program in a folder and keeps what it prints.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace espalier::testing {

struct RunOptions {
  std::filesystem::path folder;          ///< working folder
  std::filesystem::path stdout_path;     ///< empty = kept in Finished::out
  std::vector<std::string> environment;  ///< NAME=value, beside what this process has
  /// Polled while the program runs; the first time it holds, SIGINT is sent. Null for never.
  std::function<bool()> interrupt_when;
  int signal = 2;                     ///< that is sent instead, such as SIGKILL
  std::chrono::seconds timeout{120};  ///< then the program is ended and `hung` set
};

struct Finished {
  int exit_code = -1;  ///< -1 when a signal ended it
  bool hung = false;
  std::string out;
  std::string err;
  std::int64_t peak_bytes = 0;  ///< largest resident set; at least that of this process
};

/// Runs `espalier` with these arguments; no shell is involved.
Finished run_program(const std::vector<std::string>& arguments, const RunOptions& options);

}  // namespace espalier::testing
