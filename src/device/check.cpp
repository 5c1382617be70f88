#include "espalier/device/check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "compiled_folder.hpp"
#include "device_sources.hpp"
#include "espalier/support/file.hpp"
#include "machines/machine.hpp"
#include "run.hpp"
#include "samples.hpp"
#include "trace.hpp"
#include "work_folder.hpp"

namespace espalier::device {
namespace {

namespace fs = std::filesystem;

// So many that they end with an update, where that takes few.
int usual_steps(const Folder& folder, const CheckOptions& options) {
  constexpr std::int64_t kUsual = 3;
  const std::int64_t whole =
      (kUsual + folder.accumulate - 1) / folder.accumulate * folder.accumulate;
  const auto labels = static_cast<std::int64_t>(options.labels.size());
  const bool few = whole <= kMostUsualSteps && (options.labels.empty() || whole <= labels);
  return static_cast<int>(few ? whole : kUsual);
}

// What is known when the program fails; other errors stay errors.
Result<CheckReport> failed(CheckReport report, const Error& error) {
  if (error.kind != ErrorKind::kMismatch) return error;
  report.failure = error.message();
  report.kernels.clear();
  return report;
}

Result<std::unique_ptr<Machine>> machine_of(const Folder& folder) {
  std::unique_ptr<Machine> machine = find_machine(folder.target.machine);
  if (machine == nullptr) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: there is no machine '{}'; compile the folder again",
                             (folder.path / "program.json").string(), folder.target.machine)};
  }
  if (folder.target.machine == "host") {
    return Error{ErrorKind::kUsage,
                 fmt::format("{}: compiled for the host alone, with which other machines are "
                             "compared; compile it with --target rv32imf",
                             folder.path.string())};
  }
  return machine;
}

// The calls of a traced form, and what they call, need a little more than the program itself.
void enlarge(CheckOptions& options) {
  constexpr std::int64_t kMore = 1024;
  options.stack.count += kMore;
  options.device.sram.count += kMore;
}

// Runs the traced form on both machines, in a folder of its own, and names the first node that
// differs.
Result<std::string> compare_nodes(const Folder& folder, const Machine& machine,
                                  const CheckOptions& given, const fs::path& work,
                                  CheckReport& report) {
  CheckOptions options = given;
  options.steps = traced_steps(folder, given.steps);
  enlarge(options);
  ESPALIER_TRY(const WorkFolder here, WorkFolder::make(work / "trace"));
  // Apart from the driver, whose name the program may have.
  ESPALIER_TRY(const WorkFolder program, WorkFolder::make(here.path() / "program"));
  ESPALIER_TRY(const Trace trace, write_trace(folder, program.path(), true));
  ESPALIER_CHECK_OK(write_samples(folder, options, here.path()));
  ESPALIER_CHECK_OK(write_file_atomic(here.path() / "driver.c", device_sources().at("driver.c")));
  Job job{folder, options, here.path(), program.path() / (folder.name + ".c"), true};
  // Behind these steps comes one of the head alone.
  const auto given_steps = static_cast<std::uint64_t>(given.steps);
  job.traced_cycles = static_cast<std::uint64_t>(options.steps + 1) * trace.nodes.size() *
                          static_cast<std::uint64_t>(4 * folder.sram + 10'000) +
                      (given.max_cycles + given_steps - 1) / given_steps;
  CheckReport unmeasured;
  ESPALIER_TRY(const Run host, make_host()->run(job, unmeasured));
  ESPALIER_TRY(const Run other, machine.run(job, unmeasured));
  report.traced_nodes = static_cast<int>(trace.nodes.size());
  report.traced_steps = options.steps;
  return first_node(trace, host, other, machine.where());
}

// Times the nodes, in a build and a run of their own.
Status time_nodes(const Folder& folder, const Machine& machine, const CheckOptions& given,
                  const fs::path& work, CheckReport& report) {
  CheckOptions options = given;
  enlarge(options);
  ESPALIER_TRY(const WorkFolder here, WorkFolder::make(work / "timed"));
  ESPALIER_TRY(const WorkFolder program, WorkFolder::make(here.path() / "program"));
  ESPALIER_TRY(const Trace trace, write_trace(folder, program.path(), false));
  options.device.sram.count +=
      static_cast<std::int64_t>(trace.nodes.size() * sizeof(std::uint64_t));
  ESPALIER_CHECK_OK(write_samples(folder, options, here.path()));
  ESPALIER_CHECK_OK(write_file_atomic(here.path() / "driver.c", device_sources().at("driver.c")));
  Job job{folder, options, here.path(), program.path() / (folder.name + ".c"), true};
  job.timed_nodes = static_cast<int>(trace.nodes.size());
  CheckReport unmeasured;
  ESPALIER_TRY(const Run run, machine.run(job, unmeasured));
  for (std::size_t i = 0; i < run.took.size() && i < trace.nodes.size(); ++i) {
    report.nodes.push_back({trace.nodes[i], static_cast<double>(run.took[i]) / options.steps});
  }
  return Ok{};
}

// Counts instructions by kernel, likewise.
Status count_kernels(const Folder& folder, const Machine& machine, const CheckOptions& given,
                     const fs::path& work, CheckReport& report) {
  CheckOptions options = given;
  enlarge(options);
  ESPALIER_TRY(const WorkFolder here, WorkFolder::make(work / "counted"));
  ESPALIER_TRY(const WorkFolder program, WorkFolder::make(here.path() / "program"));
  ESPALIER_TRY(const std::vector<std::string> kernels, write_counted(folder, program.path()));
  ESPALIER_CHECK_OK(write_samples(folder, options, here.path()));
  ESPALIER_CHECK_OK(write_file_atomic(here.path() / "driver.c", device_sources().at("driver.c")));
  Job job{folder, options, here.path(), program.path() / (folder.name + ".c"), true};
  job.counted_kernels = static_cast<int>(kernels.size());
  CheckReport unmeasured;
  ESPALIER_TRY(const Run run, machine.run(job, unmeasured));
  for (std::size_t i = 0; i < run.took.size() && i < kernels.size(); ++i) {
    KernelCycles kernel{.name = kernels[i], .cycles = 0, .instructions = 0, .macs = {}};
    kernel.instructions = static_cast<double>(run.took[i]) / options.steps;
    const auto macs = folder.macs.find(kernel.name);
    if (macs != folder.macs.end() && macs->second > 0) kernel.macs = macs->second;
    report.kernels.push_back(std::move(kernel));
  }
  std::stable_sort(report.kernels.begin(), report.kernels.end(),
                   [](const auto& a, const auto& b) { return a.instructions > b.instructions; });
  return Ok{};
}

// What the folder's machine cannot tell, or tells anyway.
Status check_figures(const Folder& folder, const CheckOptions& options) {
  const bool core = folder.target.machine == "core";
  if (options.node_cycles && !core) {
    return Error{
        ErrorKind::kUsage,
        fmt::format("--node-cycles: {} runs on an emulator, which knows no cycles; leave it "
                    "out, or compile for RISC-V",
                    folder.target.name)};
  }
  if (options.kernel_instructions && core) {
    return Error{ErrorKind::kUsage,
                 fmt::format("--kernel-instructions: {} runs on the core, which tells them anyway; "
                             "leave it out",
                             folder.target.name)};
  }
  return Ok{};
}

// The share of all runs that is done, told by a run that knows its own. Builds tell nothing, and
// nothing goes backwards.
class Stages {
 public:
  Stages(const CheckOptions& given, int runs) : given_(given), runs_(runs) {}

  // For the next run.
  std::function<bool(double)> next() {
    return [this, before = begun_++](double share) {
      reached_ = std::max(reached_, (before + share) / runs_);
      return !given_.progress || given_.progress(reached_);
    };
  }

 private:
  const CheckOptions& given_;
  int runs_;
  int begun_ = 0;
  double reached_ = 0;
};

}  // namespace

Result<CheckReport> check(const fs::path& path, const CheckOptions& given) {
  CheckOptions options = given;
  if (options.steps < 0) return Error{ErrorKind::kUsage, "--steps must be at least 1"};
  if (options.stack.count < 1) return Error{ErrorKind::kUsage, "--stack must be above 0"};
  // The linker aligns the stack; it then has what is said here.
  options.stack = Bytes{(options.stack.count + 15) / 16 * 16};
  ESPALIER_TRY(const Folder folder, read_folder(path));
  ESPALIER_TRY(const std::unique_ptr<Machine> machine, machine_of(folder));
  ESPALIER_CHECK_OK(check_figures(folder, options));
  if (options.steps == 0) options.steps = usual_steps(folder, options);
  CheckReport report;
  report.name = folder.name;
  report.target = folder.target.name;
  report.machine = machine->where();
  report.steps = options.steps;
  report.accumulate = folder.accumulate;
  report.updates = options.steps / folder.accumulate;
  report.promised_sram = Bytes{folder.sram};
  report.promised_parameters = Bytes{folder.parameters};
  report.stack_allowed = options.stack;
  if (!options.device_named) options.device = machine->usual_device(options);
  ESPALIER_CHECK_OK(machine->prepare(folder, options));
  Stages stages(given, 1 + static_cast<int>(options.nodes) + static_cast<int>(options.node_cycles) +
                           static_cast<int>(options.kernel_instructions));
  options.progress = stages.next();
  ESPALIER_TRY(const WorkFolder work, WorkFolder::make(options.keep));
  ESPALIER_CHECK_OK(write_samples(folder, options, work.path()));
  ESPALIER_CHECK_OK(write_file_atomic(work.path() / "driver.c", device_sources().at("driver.c")));
  const Job job{folder, options, work.path(), folder.path / (folder.name + ".c")};
  const Result<Run> on_host = make_host()->run(job, report);
  if (!on_host.ok()) return failed(report, on_host.error());
  for (const auto& step : on_host->steps) {
    float loss = 0;
    std::memcpy(&loss, step.data(), sizeof loss);
    report.losses.push_back(loss);
  }
  const Result<Run> on_target = machine->run(job, report);
  if (!on_target.ok()) return failed(report, on_target.error());
  report.mismatch = first_difference(*on_host, *on_target, machine->where());
  for (const auto& [name, array] : on_host->arrays) {
    ++report.compared_arrays;
    report.compared.count += static_cast<std::int64_t>(array.bytes.size());
  }
  for (std::size_t i = 0; i < on_target->cycles.size(); ++i) {
    report.cycles_per_step += static_cast<double>(on_target->cycles[i]) / options.steps;
    report.instructions_per_step += static_cast<double>(on_target->instructions[i]) / options.steps;
  }
  Result<std::string> node = std::string();
  if (options.nodes) options.progress = stages.next();
  if (options.nodes) node = compare_nodes(folder, *machine, options, work.path(), report);
  if (!node.ok()) return failed(report, node.error());
  if (options.node_cycles) {
    options.progress = stages.next();
    const Status timed = time_nodes(folder, *machine, options, work.path(), report);
    if (!timed.ok()) return failed(report, timed.error());
  }
  if (options.kernel_instructions) {
    options.progress = stages.next();
    const Status counted = count_kernels(folder, *machine, options, work.path(), report);
    if (!counted.ok()) return failed(report, counted.error());
  }
  report.recorded_steps = static_cast<int>(folder.recorded.steps.size());
  for (const std::string& found : {*node, first_unrecorded(*on_host, folder)}) {
    if (found.empty()) continue;
    report.mismatch = found + (report.mismatch.empty() ? "" : "; " + report.mismatch);
  }
  return report;
}

}  // namespace espalier::device
