// Runs other programs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "espalier/support/result.hpp"

namespace espalier::device {

struct ProcessResult {
  int exit_code = 0;  ///< 128 + signal when one ended it
  std::string output;
};

/// Runs `arguments[0]`, found on PATH, without a shell, in `folder`. Standard output goes to
/// `output`; so does standard error when `merge` says so, and otherwise to this process's.
/// kMissingInput when the program is not there.
Result<ProcessResult> run_process(const std::vector<std::string>& arguments,
                                  const std::filesystem::path& folder, bool merge);

}  // namespace espalier::device
