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
  std::string riscv_compiler = "riscv64-unknown-elf-gcc";
  std::string host_compiler = "cc";
  int steps = 3;
  std::uint64_t max_cycles = 0;
  bool soft_float = false;
};

// The system to simulate for a device. Its own core is never simulated; the one here stands for
// those that run the same instructions.
Result<device::System> system_of(const std::string& path) {
  ESPALIER_TRY(const cost::DeviceProfile device, cost::load_device(path));
  const std::string letters = device.isa.starts_with("rv32")
                                  ? device.isa.substr(4, device.isa.find_first_of("_+") - 4)
                                  : std::string();
  const auto has = [&](std::string_view any) {
    return letters.find_first_of(any) != std::string::npos;
  };
  if (!has("ig") || !has("mg")) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: isa '{}' is not what the simulated core can stand for; that is "
                             "rv32im, with or without f",
                             path, device.isa)};
  }
  if (!device.sram_base || !device.flash_base) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: has no sram_base and flash_base, which the simulation needs; add "
                             "them, or leave --device out",
                             path)};
  }
  device::System system;
  system.name = device.name;
  system.sram = device.sram;
  system.flash = device.flash;
  system.sram_base = *device.sram_base;
  system.flash_base = *device.flash_base;
  system.float_unit = has("fdg");
  system.dot_product = device.isa.find("+pm4adda.b") != std::string::npos;
  return system;
}

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
    ESPALIER_TRY(check.system, system_of(options.device));
  }
  if (options.soft_float) check.system.float_unit = false;
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
                      "RISC-V device profile: memories, float unit (default espalier-core)");
  command->add_option("--stack", o->stack, "SRAM for the stack")->capture_default_str();
  command->add_flag("--soft-float", o->soft_float, "Build without the float unit's instructions");
  command
      ->add_option("--max-cycles", o->max_cycles,
                   "A program that needs more has failed; 0 = 50 million a step and 100 a "
                   "multiply-accumulate, 600 with soft float")
      ->capture_default_str();
  command->add_option("--keep", o->keep, "Folder in which to leave the builds");
  command->add_option("--riscv-cc", o->riscv_compiler, "Cross compiler")->capture_default_str();
  command->add_option("--host-cc", o->host_compiler, "Compiler of the host")->capture_default_str();
  return {command, [o] { return run(*o); }, std::shared_ptr<CommonOptions>(o, &o->common)};
}

}  // namespace espalier::cli
