// A compiler, its size tool, and the flags that a folder carries.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/codegen/target.hpp"
#include "espalier/device/check.hpp"
#include "espalier/support/process.hpp"

namespace espalier::device {

class Toolchain {
 public:
  /// `target` is what to build for, `what` that in words ("the host"), `option` the one that names
  /// another compiler. All must outlive this.
  Toolchain(std::string compiler, const codegen::Target& target, std::string_view what,
            std::string_view option, const CheckOptions& options);

  /// Runs the compiler in `folder` with the target's flags and `arguments`. kMissingInput when
  /// there is no such compiler, kBadInput with what it says when it fails, kInfeasible when the
  /// program does not fit its memories.
  [[nodiscard]] Status compile(const std::vector<std::string>& arguments,
                               const std::filesystem::path& folder) const;

  /// kUsage when the name of the compiler does not tell that of its size tool.
  [[nodiscard]] Status check_size_tool() const;

  /// Bytes of the sections of an object or a program for which `counts` holds.
  [[nodiscard]] Result<std::int64_t> section_bytes(
      const std::filesystem::path& file,
      const std::function<bool(const std::string&)>& counts) const;

 private:
  [[nodiscard]] Result<ProcessResult> run(const std::vector<std::string>& arguments,
                                          const std::filesystem::path& folder,
                                          std::string advice) const;
  [[nodiscard]] Result<std::string> size_tool() const;

  std::string compiler_;
  const codegen::Target& target_;
  std::string_view what_;
  std::string_view option_;
  const CheckOptions& options_;
};

/// Asks the caller whether to go on. No share of the steps is done before the target runs.
std::function<bool()> keep_going(const CheckOptions& options);

}  // namespace espalier::device
