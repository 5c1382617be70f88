#include "toolchain.hpp"

#include <fmt/format.h>

#include <sstream>
#include <utility>

namespace espalier::device {

namespace fs = std::filesystem;

std::function<bool()> keep_going(const CheckOptions& options) {
  return [&options] { return !options.progress || options.progress(0); };
}

Toolchain::Toolchain(std::string compiler, const codegen::Target& target, std::string_view what,
                     std::string_view option, const CheckOptions& options)
    : compiler_(std::move(compiler)),
      target_(target),
      what_(what),
      option_(option),
      options_(options) {}

// A compiler, or what belongs to it. No fault of it is one of the program.
Result<ProcessResult> Toolchain::run(const std::vector<std::string>& arguments,
                                     const fs::path& folder, std::string advice) const {
  Result<ProcessResult> result = run_process(arguments, folder,
                                             {.merge = true,
                                              .temporaries_in_folder = true,
                                              .keep_going = keep_going(options_),
                                              .advice = std::move(advice)});
  if (!result.ok() && result.error().kind == ErrorKind::kMismatch) {
    return Error{ErrorKind::kBadInput, result.error().message()};
  }
  return result;
}

Status Toolchain::compile(const std::vector<std::string>& arguments, const fs::path& folder) const {
  std::vector<std::string> command{compiler_};
  for (const std::string& flag : codegen::compile_flags(target_)) command.push_back(flag);
  command.insert(command.end(), arguments.begin(), arguments.end());
  ESPALIER_TRY(
      const ProcessResult result,
      run(command, folder, fmt::format("install it, or name another one with {}", option_)));
  if (result.exit_code == 0) return Ok{};
  const bool too_large = result.output.find("do not fit") != std::string::npos ||
                         result.output.find("will not fit") != std::string::npos;
  return Error{too_large ? ErrorKind::kInfeasible : ErrorKind::kBadInput,
               fmt::format("the build for {} failed:\n{}", what_, result.output)};
}

// The size tool of the compiler's binutils, beside it: riscv64-unknown-elf-gcc-12 has
// riscv64-unknown-elf-size.
Result<std::string> Toolchain::size_tool() const {
  const fs::path compiler = compiler_;
  const std::string name = compiler.filename().string();
  const std::size_t at = name.rfind("gcc");
  if (at == std::string::npos) {
    return Error{
        ErrorKind::kUsage,
        fmt::format("{0} {1}: its size tool cannot be told from a name without 'gcc'; name "
                    "it as in {2}gcc, beside which lies {2}size",
                    option_, compiler_, target_.compiler_prefix)};
  }
  return (compiler.parent_path() / (name.substr(0, at) + "size")).string();
}

Status Toolchain::check_size_tool() const {
  const Result<std::string> tool = size_tool();
  if (!tool.ok()) return tool.error();
  return Ok{};
}

Result<std::int64_t> Toolchain::section_bytes(
    const fs::path& file, const std::function<bool(const std::string&)>& counts) const {
  ESPALIER_TRY(const std::string tool, size_tool());
  ESPALIER_TRY(const ProcessResult sizes,
               run({tool, "-A", file.string()}, file.parent_path(),
                   fmt::format("it belongs to {}; install both, or name another one with {}",
                               compiler_, option_)));
  std::int64_t total = 0;
  std::istringstream lines(sizes.output);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string section;
    std::int64_t bytes = 0;
    if (fields >> section >> bytes && counts(section)) total += bytes;
  }
  if (sizes.exit_code != 0 || total == 0) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: cannot tell sizes:\n{}", tool, sizes.output)};
  }
  return total;
}

}  // namespace espalier::device
