// espalier check DIR: the emitted C on the host and on the simulated core.
#include "espalier/device/check.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <optional>

#include "command.hpp"
#include "espalier/cost/device_profile.hpp"
#include "espalier/support/interrupt.hpp"
#include "espalier/version.hpp"

namespace espalier::cli {
namespace {

struct Options {
  CommonOptions common;
  std::string folder;
  std::string device;
  std::string stack = "4KiB";
  std::string inputs;
  std::string labels;
  std::string keep;
  std::string target_compiler;
  std::string host_compiler = "cc";
  std::optional<int> steps;
  bool no_nodes = false;
  bool node_cycles = false;
  bool kernel_instructions = false;
  std::uint64_t max_cycles = 0;
};

// With the progress line, which goes before results are printed.
Result<device::CheckReport> run_check(const Options& options, device::CheckOptions& check) {
  Progress progress(options.common.progress(), "check " + options.folder, 1);
  double done = 0;
  check.progress = [&](double share) {
    progress.advance(share - done);
    done = share;
    return !interrupted();
  };
  return device::check(options.folder, check);
}

// A folder of --keep is recognised by the driver in it.
Format kept_builds() {
  return {"a folder that check --keep wrote", true, [](const std::filesystem::path& path) {
            std::error_code error;
            return std::filesystem::exists(path / "driver.c", error);
          }};
}

// Gradients that are only added up are not all that a step is.
void warn_of_updates(const Options& options, const device::CheckReport& report) {
  if (!report.failure.empty() || report.updates > 0) return;
  spdlog::warn(
      "{}: an update takes {} samples, so that none of {} steps made one: cycles and stack are "
      "without it, and it was not compared on {}; --steps {} makes one",
      options.folder, report.accumulate, report.steps, report.machine, report.accumulate);
}

Status run(const Options& options) {
  device::CheckOptions check;
  check.seed = options.common.seed;
  check.steps = options.steps.value_or(0);
  check.nodes = !options.no_nodes;
  check.node_cycles = options.node_cycles;
  check.kernel_instructions = options.kernel_instructions;
  check.inputs = options.inputs;
  check.max_cycles = options.max_cycles;
  check.keep = options.keep;
  check.target_compiler = options.target_compiler;
  check.host_compiler = options.host_compiler;
  ESPALIER_TRY(check.stack, parse_size(options.stack, "--stack"));
  if (options.inputs.empty() != options.labels.empty()) {
    return Error{ErrorKind::kUsage, "--inputs and --labels go together"};
  }
  if (!options.labels.empty()) {
    ESPALIER_TRY(check.labels, parse_int_list(options.labels, "--labels"));
  }
  if (!options.device.empty()) {
    ESPALIER_TRY(check.device, cost::find_device(options.device));
    check.device_named = true;
  }
  ESPALIER_TRY(const device::CheckReport report, run_check(options, check));
  if (report.failure.empty()) print(options.common, device::to_table(report));
  warn_of_updates(options, report);
  Json json = device::to_json(report);
  json["tool_version"] = kVersion;
  Outputs outputs;
  write_report(outputs, options.common, json);
  outputs.add(options.keep, Ok{});
  const Status verdict = device::verdict(report);
  outputs.add({}, verdict);
  outputs.next(fmt::format("build {} into your firmware; its README.md says how", options.folder));
  // A program that is wrong is worse news than a report that was not written.
  if (!verdict.ok()) return verdict;
  return outputs.status();
}

}  // namespace

Command add_check(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  CommandApp* command =
      add_command(app, "check", "Run a compiled folder on the host and on its target", o->common,
                  "espalier.check/1");
  command->add_input("folder", o->folder, "Folder that compile wrote")
      ->type_name("FOLDER")
      ->required();
  command
      ->add_option("--steps", o->steps,
                   fmt::format("Training steps, one sample each [3, or up to {} to end with an "
                               "update]",
                               device::kMostUsualSteps))
      ->check(between(1, 100000));
  command->add_flag("--no-nodes", o->no_nodes,
                    "Compare losses, logits and parameters alone, not the SRAM behind every node; "
                    "takes half the time and finds less");
  command->add_flag("--node-cycles", o->node_cycles,
                    "Also count the cycles of every node on the core, for --json");
  command->add_flag("--kernel-instructions", o->kernel_instructions,
                    "Also count the instructions of every kernel on an emulated part");
  command->add_input("--inputs", o->inputs,
                     "int8 samples, one after the other; otherwise random ones by --seed");
  command->add_option("--labels", o->labels, "Labels of --inputs, such as 1,0,3");
  command->add_input("--device", o->device,
                     "Device, by name or profile: memories, instructions; otherwise espalier-core, "
                     "or stm32f746 for Arm");
  command->add_option("--stack", o->stack, "SRAM for the stack")->capture_default_str();
  command
      ->add_option("--max-cycles", o->max_cycles,
                   "A program that needs more has failed; 0 = 50 million a step and 100 a "
                   "multiply-accumulate, 600 with soft float")
      ->capture_default_str();
  command->add_output(
      "--keep", o->keep, [] { return kept_builds(); }, "Folder in which to leave the builds");
  command->add_option("--target-cc,--riscv-cc", o->target_compiler,
                      "Cross compiler; otherwise the one that the folder names");
  command->add_option("--host-cc", o->host_compiler, "Compiler of the host")->capture_default_str();
  command->effective_if(
      "--seed", [o] { return o->inputs.empty(); },
      "it draws random samples, and --inputs gives them");
  command->footer(
      "Example:\n  espalier check firmware --steps 2\n"
      "Before: espalier compile --target rv32imf");
  return {command, [o] { return run(*o); }, std::shared_ptr<CommonOptions>(o, &o->common)};
}

}  // namespace espalier::cli
