// Runs other programs.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "espalier/support/result.hpp"

namespace espalier::device {

struct ProcessResult {
  int exit_code = 0;  ///< 128 + signal when one ended it
  std::string output;
};

struct ProcessOptions {
  bool merge = false;  ///< standard error goes to `output` too; otherwise to this process's
  std::chrono::seconds limit = std::chrono::hours{24};  ///< then the program is ended
  std::function<bool()> keep_going;  ///< polled; false ends the program. Null for always
};

/// Runs `arguments[0]`, found on PATH, without a shell, in `folder`. Whatever it started ends with
/// it. kMissingInput when the program is not there, kMismatch when it reaches the limit,
/// kInterrupted when `keep_going` says so.
Result<ProcessResult> run_process(const std::vector<std::string>& arguments,
                                  const std::filesystem::path& folder,
                                  const ProcessOptions& options);

}  // namespace espalier::device
