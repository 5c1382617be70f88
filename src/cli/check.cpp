// espalier check DIR: the emitted C on the host and on the simulated core.
#include "espalier/device/check.hpp"

#include <fmt/format.h>

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
  std::string riscv_compiler;
  std::string host_compiler = "cc";
  int steps = 3;
  std::uint64_t max_cycles = 0;
};

Status run(const Options& options) {
  ESPALIER_CHECK_OK(check_outputs({options.common.json}));
  device::CheckOptions check;
  check.seed = options.common.seed;
  check.steps = options.steps;
  check.inputs = options.inputs;
  check.max_cycles = options.max_cycles;
  check.keep = options.keep;
  check.riscv_compiler = options.riscv_compiler;
  check.host_compiler = options.host_compiler;
  ESPALIER_TRY(check.stack, parse_size(options.stack, "--stack"));
  if (options.inputs.empty() != options.labels.empty()) {
    return Error{ErrorKind::kUsage, "--inputs and --labels go together"};
  }
  if (!options.labels.empty()) {
    ESPALIER_TRY(check.labels, parse_int_list(options.labels, "--labels"));
  }
  if (!options.device.empty()) {
    ESPALIER_TRY(check.device, cost::load_device(options.device));
  }
  Progress progress(options.common.progress(), "check " + options.folder, options.steps);
  double done = 0;
  check.progress = [&](double share) {
    const double now = share * options.steps;
    progress.advance(now - done);
    done = now;
    return !interrupted();
  };
  ESPALIER_TRY(const device::CheckReport report, device::check(options.folder, check));
  if (report.failure.empty()) print(options.common, device::to_table(report));
  Json json = device::to_json(report);
  json["tool_version"] = kVersion;
  ESPALIER_CHECK_OK(write_report(options.common, json));
  return device::verdict(report);
}

}  // namespace

Command add_check(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  CLI::App* command = add_command(
      app, "check", "Run a compiled folder on the host and on the simulated core", o->common);
  command->add_option("folder", o->folder, "Folder that compile wrote")->required();
  command->add_option("--steps", o->steps, "Training steps, one sample each")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command->add_option("--inputs", o->inputs,
                      "int8 samples, one after the other; otherwise random ones by --seed");
  command->add_option("--labels", o->labels, "Labels of --inputs, such as 1,0,3");
  command->add_option("--device", o->device,
                      "RISC-V device profile: memories, instructions (default espalier-core)");
  command->add_option("--stack", o->stack, "SRAM for the stack")->capture_default_str();
  command
      ->add_option("--max-cycles", o->max_cycles,
                   "A program that needs more has failed; 0 = 50 million a step and 100 a "
                   "multiply-accumulate, 600 with soft float")
      ->capture_default_str();
  command->add_option("--keep", o->keep, "Folder in which to leave the builds");
  command->add_option("--riscv-cc", o->riscv_compiler,
                      "Cross compiler; otherwise the one that the folder names");
  command->add_option("--host-cc", o->host_compiler, "Compiler of the host")->capture_default_str();
  return {command, [o] { return run(*o); }, std::shared_ptr<CommonOptions>(o, &o->common)};
}

}  // namespace espalier::cli
