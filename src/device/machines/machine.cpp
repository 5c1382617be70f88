#include "machines/machine.hpp"

#include <fmt/format.h>

#include <cstdint>

namespace espalier::device {

std::unique_ptr<Machine> find_machine(std::string_view name) {
  if (name == "host") return make_host();
  if (name == "core") return make_core();
  return make_emulator(name);
}

std::vector<std::string> driver_definitions(const Job& job) {
  const Folder& folder = job.folder;
  std::vector<std::string> definitions{fmt::format("-DPROGRAM={}", folder.name),
                                       fmt::format("-DHEADER=\"{}.h\"", folder.name), "-I",
                                       folder.path.string()};
  if (job.counted_kernels > 0) {
    definitions.push_back(fmt::format("-DESPALIER_COUNTED={}", job.counted_kernels));
  } else if (job.timed_nodes > 0) {
    definitions.push_back(fmt::format("-DESPALIER_TIMED={}", job.timed_nodes));
  } else if (job.traced) {
    definitions.push_back("-DESPALIER_TRACED");
  }
  return definitions;
}

Status fits_sram(const Folder& folder, const CheckOptions& options) {
  const std::int64_t there = options.device.sram.count;
  // Nothing here replays: what that takes is a matter of the board.
  const std::int64_t replay = options.device_named ? folder.replay : 0;
  const std::int64_t needed = folder.sram + replay + options.stack.count;
  if (needed <= there) return Ok{};
  return Error{ErrorKind::kInfeasible,
               fmt::format("{} bytes of SRAM{} and {} of stack exceed {} bytes by {}", folder.sram,
                           replay > 0 ? fmt::format(", {} of replay memory", replay) : "",
                           options.stack.count, there, needed - there)};
}

Status measure_program(const Job& job, const Toolchain& toolchain, const std::string& program,
                       CheckReport& report) {
  const std::string parameters = job.folder.name + "_params.o";
  ESPALIER_CHECK_OK(toolchain.compile(
      {"-nostartfiles", "-Tdevice.ld", "-Wl,-e," + job.folder.name + "_train_step", program,
       parameters, "-o", "program.elf"},
      job.work));
  const auto in_flash = [](const std::string& section) {
    return section == ".text" || section == ".rodata" || section == ".data" ||
           section == ".espalier_turns" || section == ".ARM.exidx";
  };
  ESPALIER_TRY(const std::int64_t flash,
               toolchain.section_bytes(job.work / "program.elf", in_flash));
  ESPALIER_TRY(const std::int64_t constants,
               toolchain.section_bytes(job.work / parameters, [](const std::string& section) {
                 return section.starts_with(".rodata") || section.starts_with(".srodata") ||
                        section == ".espalier_turns";
               }));
  report.used_flash = Bytes{flash};
  report.used_parameters = Bytes{constants};
  const std::int64_t there = job.options.device.flash.count;
  if (flash <= there) return Ok{};
  return Error{ErrorKind::kInfeasible,
               fmt::format("{} bytes of code and constants exceed {} bytes of flash by {}", flash,
                           there, flash - there)};
}

}  // namespace espalier::device
