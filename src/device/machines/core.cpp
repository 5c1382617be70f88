// The simulated RISC-V core, with the memories of a device.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <optional>
#include <span>

#include "device_sources.hpp"
#include "espalier/device/fit.hpp"
#include "espalier/support/file.hpp"
#include "machines/machine.hpp"
#include "tb/simulator.hpp"
#include "toolchain.hpp"

namespace espalier::device {
namespace {

namespace fs = std::filesystem;

class Core : public Machine {
 public:
  [[nodiscard]] std::string_view where() const override { return "the core"; }
  [[nodiscard]] Status prepare(const Folder& folder, const CheckOptions& options) const override;
  [[nodiscard]] Result<Run> run(const Job& job, CheckReport& report) const override;
};

Toolchain toolchain_of(const Folder& folder, const CheckOptions& options) {
  return {options.target_compiler.empty() ? folder.target.compiler_prefix + "gcc"
                                          : options.target_compiler,
          folder.target, "RISC-V", "--target-cc", options};
}

// ---- Devices -----------------------------------------------------------------------------------

// What of the target the device has not.
std::string_view missing(const cost::DeviceProfile& device, const codegen::Target& target) {
  if (target.dot_product && !device.has_extension("pm4adda.b")) return "pm4adda.b";
  if (target.load_dot && !device.has_extension("lwdota.b")) return "lwdota.b";
  return "a float unit";
}

int optional_parts(const codegen::Target& target) {
  return int{target.float_unit} + int{target.dot_product} + int{target.load_dot};
}

// A device's own core is never simulated; the one here stands for those that run the same
// instructions.
Status check_device(const cost::DeviceProfile& device) {
  if (!device.has_extension("i") || !device.has_extension("m")) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: isa '{}' is not what the simulated core can stand for; that is "
                             "rv32im, with or without f",
                             device.name, device.isa)};
  }
  if (!device.sram_base || !device.flash_base) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: has no sram_base and flash_base, which the simulation needs; add "
                             "them, or leave --device out",
                             device.name)};
  }
  return Ok{};
}

Status check_instructions(const Folder& folder, const cost::DeviceProfile& device) {
  const codegen::Target& target = folder.target;
  if (runs(device, target)) return Ok{};
  // What makes most of the device; the first runs on each that check_device() takes.
  const codegen::Target* other = &codegen::target_named("rv32im");
  for (const codegen::Target& row : codegen::targets()) {
    if (row.machine != target.machine || !runs(device, row)) continue;
    if (optional_parts(row) > optional_parts(*other)) other = &row;
  }
  return Error{
      ErrorKind::kInfeasible,
      fmt::format("{}: uses {}, which {} has not; compile it with --target {}",
                  folder.path.string(), missing(device, target), device.name, other->name)};
}

// ---- Memories ----------------------------------------------------------------------------------

// The linker script of the device: its memories, and where they hold what.
std::string linker_script(const Job& job, std::int64_t flash_bytes) {
  const cost::DeviceProfile& device = job.options.device;
  return fmt::format(
      "/* Memories of {}. The flash is as large as the samples of the check need. */\n"
      "ESPALIER_FLASH_BASE = {:#010x};\nESPALIER_FLASH_SIZE = {:#x};\n"
      "ESPALIER_SRAM_BASE = {:#010x};\nESPALIER_SRAM_SIZE = {:#x};\n"
      "ESPALIER_STACK_SIZE = {:#x};\nINCLUDE {}\n",
      device.name, *device.flash_base, flash_bytes, *device.sram_base, device.sram.count,
      job.options.stack.count, job.folder.target.linker_script);
}

// Bytes of flash for the run: the device's, samples and labels, and room for the driver. What the
// program takes of it is checked apart.
std::int64_t flash_for_run(const Folder& folder, const CheckOptions& options, std::int64_t steps) {
  const std::int64_t samples = (folder.input_bytes + std::int64_t{sizeof(std::int32_t)}) * steps;
  return (options.device.flash.count + samples + (std::int64_t{1} << 20)) / 16 * 16;
}

// The simulated system with so much flash, or what is wrong with it.
std::optional<std::string> configure(const cost::DeviceProfile& device, std::int64_t flash_bytes,
                                     hw::SimulatorConfig& config) {
  if (flash_bytes > kLargestSize || device.sram.count > kLargestSize) {
    return fmt::format("{} bytes of flash and {} of SRAM are more than {}", flash_bytes,
                       device.sram.count, kLargestSize);
  }
  config.flash_base = *device.flash_base;
  config.sram_base = *device.sram_base;
  config.flash_size = static_cast<std::uint32_t>(flash_bytes);
  config.sram_size = static_cast<std::uint32_t>(device.sram.count);
  config.profile = true;
  return hw::check(config);
}

// The simulated system, with flash for samples; kInfeasible when no such system can be.
Result<hw::SimulatorConfig> simulated_system(const Folder& folder, const CheckOptions& options) {
  hw::SimulatorConfig config;
  const auto wrong_with = [&](std::int64_t steps) {
    return configure(options.device, flash_for_run(folder, options, steps), config);
  };
  const std::optional<std::string> wrong = wrong_with(options.steps);
  if (!wrong) return config;
  std::int64_t fit = 0;  // and `too_many` do not
  for (std::int64_t too_many = options.steps; too_many - fit > 1;) {
    const std::int64_t middle = fit + (too_many - fit) / 2;
    (wrong_with(middle) ? too_many : fit) = middle;
  }
  return Error{ErrorKind::kInfeasible,
               fmt::format("{}: cannot be simulated with the samples of {} steps: {}; {}",
                           options.device.name, options.steps, *wrong,
                           fit > 0 ? fmt::format("{} steps fit, lower --steps", fit)
                                   : "not even one step fits, the device needs other memories")};
}

std::uint64_t cycle_limit(const Folder& folder, const CheckOptions& options) {
  if (options.max_cycles != 0) return options.max_cycles;
  double macs = 0;
  for (const auto& [kernel, count] : folder.macs) macs += count;
  const double step = 5e7 + (folder.target.float_unit ? 100 : 600) * std::clamp(macs, 0.0, 1e11);
  return static_cast<std::uint64_t>(step * options.steps);
}

// ---- Build -------------------------------------------------------------------------------------

// Builds core.elf, and the program alone for its size.
Status build(const Job& job, std::int64_t flash_for_samples, CheckReport& report) {
  const Folder& folder = job.folder;
  const Toolchain toolchain = toolchain_of(folder, job.options);
  for (const auto& [name, text] : device_sources()) {
    ESPALIER_CHECK_OK(write_file_atomic(job.work / std::string(name), text));
  }
  ESPALIER_CHECK_OK(
      write_file_atomic(job.work / "device.ld", linker_script(job, flash_for_samples)));
  const std::string program = folder.name + ".o";
  const std::string parameters = folder.name + "_params.o";
  // Names of our own files hold a hyphen, which no name of a program does.
  const auto object = [&](const fs::path& source, const std::string& name,
                          std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"-c", source.string(), "-o", name});
    return toolchain.compile(arguments, job.work);
  };
  std::vector<std::string> definitions = driver_definitions(job);
  const std::vector<std::string> headers{"-I", folder.path.string()};
  definitions.push_back("-DESPALIER_CORE");
  ESPALIER_CHECK_OK(object(job.work / "driver.c", "check-driver.o", definitions));
  ESPALIER_CHECK_OK(object(job.source, program, headers));
  ESPALIER_CHECK_OK(object(folder.path / (folder.name + "_params.c"), parameters, {}));
  ESPALIER_CHECK_OK(
      toolchain.compile({"-nostartfiles", "-Wl,--gc-sections", "-Tdevice.ld", "crt0.S",
                         "check-driver.o", program, parameters, "-o", "core.elf"},
                        job.work));
  if (job.traced) return Ok{};
  return measure_program(job, toolchain, program, report);
}

// ---- Run ---------------------------------------------------------------------------------------

// Clocks the core until the program ends, telling how many of the steps are done.
Result<hw::RunResult> clock(hw::Simulator& simulator, const CheckOptions& options,
                            std::uint64_t max_cycles) {
  constexpr std::uint64_t kSlice = 2'000'000;
  for (std::uint64_t limit = kSlice;; limit += kSlice) {
    const hw::RunResult result = simulator.run(std::min(limit, max_cycles));
    if (result.outcome != hw::Outcome::kCycleLimit || limit >= max_cycles) return result;
    const std::string& console = simulator.console();
    std::size_t done = 0;
    for (std::size_t at = 0; (at = console.find("cost", at)) != std::string::npos; ++at) ++done;
    if (options.progress &&
        !options.progress(static_cast<double>(done) / static_cast<double>(options.steps))) {
      return Error{ErrorKind::kInterrupted, "check: interrupted"};
    }
  }
}

// A change of turn is no part of a step.
bool of_turn(const hw::FunctionProfile& function, const Folder& folder) {
  return function.name.starts_with("esp_turn_") || function.name == folder.name + "_next_turn";
}

double turn_cycles(const hw::Simulator& simulator, const Folder& folder, int steps) {
  const std::int64_t turns = (steps - 1) / folder.accumulate;
  if (!folder.turn_bytes || turns == 0) return 0;
  double cycles = 0;
  for (const hw::FunctionProfile& function : simulator.profile()) {
    if (of_turn(function, folder)) cycles += static_cast<double>(function.cycles);
  }
  return cycles / static_cast<double>(turns);
}

// Cycles by kernel, most first.
std::vector<KernelCycles> kernel_cycles(const hw::Simulator& simulator, const Folder& folder,
                                        int steps) {
  // Compilers append what they like to the name of a clone.
  std::map<std::string, KernelCycles> kernels;
  for (const hw::FunctionProfile& function : simulator.profile()) {
    if (function.name.rfind("esp_", 0) != 0 || of_turn(function, folder)) continue;
    const std::string name = function.name.substr(0, function.name.find('.'));
    KernelCycles& kernel = kernels[name];
    kernel.name = name;
    kernel.cycles += static_cast<double>(function.cycles) / steps;
    kernel.instructions += static_cast<double>(function.instructions) / steps;
  }
  std::vector<KernelCycles> all;
  for (auto& [name, kernel] : kernels) {
    const auto macs = folder.macs.find(name);
    if (macs != folder.macs.end() && macs->second > 0) kernel.macs = macs->second;
    all.push_back(kernel);
  }
  std::stable_sort(all.begin(), all.end(), [](const KernelCycles& a, const KernelCycles& b) {
    return a.cycles > b.cycles;
  });
  return all;
}

Status Core::prepare(const Folder& folder, const CheckOptions& options) const {
  ESPALIER_CHECK_OK(check_device(options.device));
  ESPALIER_CHECK_OK(check_instructions(folder, options.device));
  ESPALIER_CHECK_OK(fits_sram(folder, options));
  const Result<hw::SimulatorConfig> config = simulated_system(folder, options);
  if (!config.ok()) return config.error();
  return toolchain_of(folder, options).check_size_tool();
}

Result<Run> Core::run(const Job& job, CheckReport& report) const {
  const CheckOptions& options = job.options;
  ESPALIER_TRY(const hw::SimulatorConfig config, simulated_system(job.folder, options));
  ESPALIER_CHECK_OK(build(job, config.flash_size, report));
  hw::Simulator simulator(config);
  const std::string elf = (job.work / "core.elf").string();
  ESPALIER_TRY(const std::string image, read_file(elf));
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(image.data());
  if (const auto wrong = simulator.load_elf({bytes, image.size()})) {
    return Error{ErrorKind::kInternal, fmt::format("{}: {}", elf, *wrong)};
  }
  const auto start = std::chrono::steady_clock::now();
  ESPALIER_TRY(const hw::RunResult result,
               clock(simulator, options, cycle_limit(job.folder, options) + job.traced_cycles));
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  report.simulated_cycles_per_second = static_cast<double>(result.cycles) / spent.count();
  report.used_sram = Bytes{result.sram.bytes_written_outside_stack};
  report.stack_used = Bytes{result.sram.stack_bytes};
  if (result.outcome != hw::Outcome::kExited || result.exit_code != 0) {
    std::string_view next;
    if (result.outcome == hw::Outcome::kCycleLimit) {
      next = "; raise --max-cycles if it needs longer";
    }
    if (result.outcome == hw::Outcome::kStackOverflow) next = "; raise --stack if it needs more";
    return Error{ErrorKind::kMismatch, fmt::format("on the core: {}{}", result.describe(), next)};
  }
  report.kernels = kernel_cycles(simulator, job.folder, options.steps);
  report.cycles_per_turn = turn_cycles(simulator, job.folder, options.steps);
  return parse_run(simulator.console(), job.folder, options.steps,
                   [&](const std::string& address, std::uint32_t count) {
                     std::vector<std::uint8_t> values(count);
                     const auto at =
                         static_cast<std::uint32_t>(std::strtoul(address.c_str(), nullptr, 16));
                     if (!simulator.read_memory(at, values)) values.clear();
                     return values;
                   });
}

}  // namespace

std::unique_ptr<Machine> make_core() { return std::make_unique<Core>(); }

}  // namespace espalier::device
