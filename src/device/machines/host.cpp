// This machine: what every other one is compared with. Runs in a process of its own.
#include <fmt/format.h>

#include <cstdint>
#include <cstring>

#include "espalier/support/process.hpp"
#include "machines/machine.hpp"
#include "toolchain.hpp"

namespace espalier::device {
namespace {

namespace fs = std::filesystem;

class Host : public Machine {
 public:
  [[nodiscard]] std::string_view where() const override { return "the host"; }
  [[nodiscard]] Status prepare(const Folder&, const CheckOptions&) const override { return Ok{}; }
  [[nodiscard]] Result<Run> run(const Job& job, CheckReport& report) const override;
};

Status build(const Job& job) {
  const Toolchain toolchain(job.options.host_compiler, codegen::target_named("host"), "the host",
                            "--host-cc", job.options);
  std::vector<std::string> arguments = driver_definitions(job);
  for (const fs::path& source :
       {job.work / "driver.c", job.source, job.folder.path / (job.folder.name + "_params.c")}) {
    arguments.push_back(source.string());
  }
  arguments.insert(arguments.end(), {"-o", (job.work / "host").string()});
  return toolchain.compile(arguments, job.work);
}

Result<Run> Host::run(const Job& job, CheckReport& /*report*/) const {
  const Folder& folder = job.folder;
  const CheckOptions& options = job.options;
  ESPALIER_CHECK_OK(build(job));
  // Lines of steps, bytes of arrays in hexadecimal, and much to spare.
  const std::int64_t output = options.steps * (9 * folder.classes + 64) +
                              2 * (folder.sram + folder.parameters) + (std::int64_t{1} << 20) +
                              (job.traced ? options.steps * (std::int64_t{1} << 18) : 0);
  Result<ProcessResult> result =
      run_process({(job.work / "host").string()}, job.work,
                  {.limit = options.host_limit *
                            (options.steps + static_cast<int>(folder.recorded.steps.size())),
                   .largest_output = static_cast<std::size_t>(output),
                   .keep_going = keep_going(options),
                   .advice = fmt::format("set {} to a folder that may execute",
                                         options.keep.empty() ? "TMPDIR" : "--keep")});
  if (!result.ok()) {
    if (result.error().kind != ErrorKind::kMismatch) return result.error();
    return Error{ErrorKind::kMismatch, "on the host: " + result.error().message()};
  }
  if (result->exit_code > 128) {
    return Error{ErrorKind::kMismatch,
                 fmt::format("on the host: ended by signal {} ({})", result->exit_code - 128,
                             ::strsignal(result->exit_code - 128))};
  }
  if (result->exit_code != 0) {
    return Error{ErrorKind::kMismatch,
                 fmt::format("on the host: exited with code {}", result->exit_code)};
  }
  return parse_run(result->output, folder, options.steps, from_hex);
}

}  // namespace

std::unique_ptr<Machine> make_host() { return std::make_unique<Host>(); }

}  // namespace espalier::device
