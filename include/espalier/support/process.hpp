// Runs other programs.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "espalier/support/result.hpp"

namespace espalier {

struct ProcessResult {
  int exit_code = 0;  ///< 128 + signal when one ended it
  std::string output;
};

struct ProcessOptions {
  bool merge = false;  ///< standard error goes to `output` too; otherwise to this process's
  bool temporaries_in_folder =
      false;  ///< TMPDIR is the folder: what the program leaves goes with it
  std::chrono::milliseconds limit = std::chrono::hours{24};  ///< then the program is ended
  std::size_t largest_output = std::size_t{16} << 20;        ///< bytes; more end the program
  std::function<bool()> keep_going;  ///< polled; false ends the program. Null for always
  std::string advice;                ///< what to do when the program cannot be run: "install it"
};

/// Runs `arguments[0]`, found on PATH, without a shell, in `folder`. What it started ends with it,
/// except for what left its process group. If this process is killed, the program ends too, but not
/// what the program has started. kMissingInput with `advice` when the program cannot be run,
/// kMismatch when it reaches a limit, kInterrupted when `keep_going` says so.
Result<ProcessResult> run_process(const std::vector<std::string>& arguments,
                                  const std::filesystem::path& folder,
                                  const ProcessOptions& options);

}  // namespace espalier
