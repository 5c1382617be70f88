// Cortex-M parts, as boards that qemu-system-arm emulates: bits, memory and instructions. Emulation
// knows no cycles.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "device_sources.hpp"
#include "espalier/device/fit.hpp"
#include "espalier/support/file.hpp"
#include "espalier/support/process.hpp"
#include "machines/machine.hpp"
#include "toolchain.hpp"

namespace espalier::device {
namespace {

namespace fs = std::filesystem;

// Where a board has memory enough to stand for a device's. Vectors may have to lie in another
// memory than the flash.
struct Board {
  std::string_view name;  // of the machine, for targets and for qemu
  std::uint32_t vectors;
  std::uint32_t flash;
  std::uint32_t flash_bytes;
  std::uint32_t sram;
  std::uint32_t sram_bytes;
};

constexpr Board kBoards[] = {
    {"mps2-an385", 0x00000000, 0x00000000, 4U << 20, 0x20000000, 4U << 20},
    {"mps2-an386", 0x00000000, 0x00000000, 4U << 20, 0x20000000, 4U << 20},
    {"mps2-an500", 0x00000000, 0x00000000, 4U << 20, 0x20000000, 4U << 20},
    {"mps2-an505", 0x10000000, 0x10000000, 4U << 20, 0x38000000, 4U << 20},
    {"mps3-an547", 0x10000000, 0x11000000, 2U << 20, 0x31000000, 4U << 20},
};

// What the memory of the program is filled with, one run each.
constexpr std::uint8_t kPaints[] = {0xA5, 0x5A};

class Emulator : public Machine {
 public:
  explicit Emulator(const Board& board) : board_(board) {}
  [[nodiscard]] std::string_view where() const override { return "the emulated part"; }
  [[nodiscard]] cost::DeviceProfile usual_device(const CheckOptions&) const override;
  [[nodiscard]] Status prepare(const Folder& folder, const CheckOptions& options) const override;
  [[nodiscard]] Result<Run> run(const Job& job, CheckReport& report) const override;

 private:
  [[nodiscard]] Status build(const Job& job, CheckReport& report) const;
  [[nodiscard]] Status link(const Job& job, std::uint8_t paint) const;
  [[nodiscard]] Result<std::string> execute(const Job& job, std::uint8_t paint) const;
  [[nodiscard]] std::string linker_script(const Job& job) const;

  const Board& board_;
};

Toolchain toolchain_of(const Folder& folder, const CheckOptions& options) {
  return {options.target_compiler.empty() ? folder.target.compiler_prefix + "gcc"
                                          : options.target_compiler,
          folder.target, "Arm", "--target-cc", options};
}

std::string elf_name(std::uint8_t paint) { return fmt::format("painted_{:02x}.elf", paint); }

// The device's memories, on the board's addresses. The flash is as large as the samples need; what
// the program takes of it is checked apart.
std::string Emulator::linker_script(const Job& job) const {
  return fmt::format(
      "/* Memories of {}, where {} has some. */\n"
      "ESPALIER_VECTORS = {:#010x};\n"
      "ESPALIER_FLASH_BASE = {:#010x};\nESPALIER_FLASH_SIZE = {:#x};\n"
      "ESPALIER_SRAM_BASE = {:#010x};\nESPALIER_SRAM_SIZE = {:#x};\n"
      "ESPALIER_STACK_SIZE = {:#x};\nINCLUDE {}\n",
      job.options.device.name, board_.name, board_.vectors, board_.flash, board_.flash_bytes,
      board_.sram, std::min(job.options.device.sram.count, std::int64_t{board_.sram_bytes}),
      job.options.stack.count, job.folder.target.linker_script);
}

cost::DeviceProfile Emulator::usual_device(const CheckOptions& options) const {
  const auto& devices = cost::shipped_devices();
  const auto found = std::find_if(devices.begin(), devices.end(),
                                  [](const auto& device) { return device.name == "stm32f746"; });
  return found == devices.end() ? options.device : *found;
}

Status Emulator::prepare(const Folder& folder, const CheckOptions& options) const {
  const cost::DeviceProfile& device = options.device;
  if (options.device_named && !runs(device, folder.target)) {
    return Error{ErrorKind::kInfeasible,
                 fmt::format("{}: compiled for {}, whose instructions begin with '{}', and {} has "
                             "'{}'; compile it with another --target",
                             folder.path.string(), folder.target.name, folder.target.isa,
                             device.name, device.isa)};
  }
  ESPALIER_CHECK_OK(fits_sram(folder, options));
  if (folder.sram + options.stack.count > board_.sram_bytes) {
    return Error{
        ErrorKind::kInfeasible,
        fmt::format("{} bytes of SRAM and {} of stack are more than the {} of the emulated "
                    "{}, though {} has them",
                    folder.sram, options.stack.count, board_.sram_bytes, board_.name, device.name)};
  }
  return toolchain_of(folder, options).check_size_tool();
}

Status Emulator::link(const Job& job, std::uint8_t paint) const {
  const Toolchain toolchain = toolchain_of(job.folder, job.options);
  return toolchain.compile(
      {"-nostartfiles", "-Wl,--gc-sections",
       fmt::format("-Wl,--defsym=ESPALIER_PAINT={:#04x}", paint), "-Tdevice.ld", "start_arm.o",
       "driver.o", "program.o", job.folder.name + "_params.o", "-o", elf_name(paint)},
      job.work);
}

Status Emulator::build(const Job& job, CheckReport& report) const {
  const Folder& folder = job.folder;
  const Toolchain toolchain = toolchain_of(folder, job.options);
  for (const auto& [name, text] : device_sources()) {
    ESPALIER_CHECK_OK(write_file_atomic(job.work / std::string(name), text));
  }
  ESPALIER_CHECK_OK(write_file_atomic(job.work / "device.ld", linker_script(job)));
  const std::string parameters = folder.name + "_params.o";
  const auto object = [&](const fs::path& source, const std::string& name,
                          std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"-c", source.string(), "-o", name});
    return toolchain.compile(arguments, job.work);
  };
  std::vector<std::string> definitions = driver_definitions(job);
  definitions.push_back("-DESPALIER_ARM");
  ESPALIER_CHECK_OK(object(job.work / "driver.c", "driver.o", definitions));
  ESPALIER_CHECK_OK(object(job.source, "program.o", {"-I", folder.path.string()}));
  ESPALIER_CHECK_OK(object(folder.path / (folder.name + "_params.c"), parameters, {}));
  ESPALIER_CHECK_OK(object(job.work / "start_arm.c", "start_arm.o", {"-std=gnu11"}));
  for (const std::uint8_t paint : kPaints) ESPALIER_CHECK_OK(link(job, paint));
  if (job.traced) return Ok{};
  return measure_program(job, toolchain, "program.o", report);
}

Result<std::string> Emulator::execute(const Job& job, std::uint8_t paint) const {
  const CheckOptions& options = job.options;
  const std::int64_t output = options.steps * (9 * job.folder.classes + 128) +
                              4 * (job.folder.sram + job.folder.parameters) +
                              (std::int64_t{1} << 20) +
                              (job.traced ? options.steps * (std::int64_t{1} << 18) : 0);
  // The same virtual time for every instruction: SysTick then counts them.
  Result<ProcessResult> result =
      run_process({"qemu-system-arm", "-machine", std::string(board_.name), "-nographic",
                   "-monitor", "none", "-serial", "none", "-semihosting", "-icount",
                   "shift=7,align=off,sleep=off", "-kernel", elf_name(paint)},
                  job.work,
                  {.merge = true,
                   .limit = options.host_limit * options.steps,
                   .largest_output = static_cast<std::size_t>(output),
                   .keep_going = keep_going(options),
                   .advice = "install Debian's qemu-system-arm"});
  if (!result.ok()) {
    if (result.error().kind != ErrorKind::kMismatch) return result.error();
    return Error{ErrorKind::kMismatch, fmt::format("on {}: {}", where(), result.error().message())};
  }
  if (result->exit_code != 0) {
    return Error{ErrorKind::kMismatch,
                 fmt::format("on {}: {}; raise --stack if it needs more", where(),
                             result->exit_code == 99
                                 ? std::string("a fault")
                                 : fmt::format("exited with code {}", result->exit_code))};
  }
  return std::move(result->output);
}

// The bytes of all lines that begin with `what`, and without these lines the text.
std::vector<std::uint8_t> take_bytes(std::string& text, std::string_view what) {
  std::istringstream lines(text);
  std::string rest;
  std::vector<std::uint8_t> bytes;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(what, 0) != 0) {
      rest += line + '\n';
      continue;
    }
    const std::string hex = line.substr(what.size());
    const std::vector<std::uint8_t> part =
        from_hex(hex, static_cast<std::uint32_t>(hex.size() / 2));
    bytes.insert(bytes.end(), part.begin(), part.end());
  }
  text = std::move(rest);
  return bytes;
}

Result<Run> Emulator::run(const Job& job, CheckReport& report) const {
  ESPALIER_CHECK_OK(build(job, report));
  std::vector<std::uint8_t> memory[2];
  std::string console;
  for (std::size_t i = 0; i < 2; ++i) {
    ESPALIER_TRY(console, execute(job, kPaints[i]));
    memory[i] = take_bytes(console, "memory ");
    const std::vector<std::uint8_t> stack = take_bytes(console, "stack ");
    std::int64_t used = 0;
    for (const std::uint8_t byte : stack) used = used * 256 + byte;
    report.stack_used = Bytes{std::max(report.stack_used.count, used)};
  }
  if (memory[0].size() != memory[1].size()) {
    return Error{ErrorKind::kMismatch, fmt::format("on {}: two runs differ in memory", where())};
  }
  for (std::size_t i = 0; i < memory[0].size(); ++i) {
    const bool untouched = memory[0][i] == kPaints[0] && memory[1][i] == kPaints[1];
    if (!untouched) ++report.used_sram.count;
  }
  return parse_run(console, job.folder, job.options.steps, from_hex);
}

}  // namespace

std::unique_ptr<Machine> make_emulator(std::string_view name) {
  const auto* board = std::find_if(std::begin(kBoards), std::end(kBoards),
                                   [&](const Board& b) { return b.name == name; });
  return board == std::end(kBoards) ? nullptr : std::make_unique<Emulator>(*board);
}

}  // namespace espalier::device
