#include "espalier/device/fit.hpp"

#include <fmt/format.h>

#include <string>
#include <vector>

namespace espalier::device {

Status runs(const codegen::Target& target, const cost::DeviceProfile& device) {
  if (target.machine == "host") return Ok{};
  const auto has = [&](bool wanted, std::string_view extension) {
    return !wanted || device.has_extension(extension);
  };
  // Targets that name no instructions are RISC-V, and say what they use of it.
  const bool able = target.isa.empty()
                        ? has(true, "i") && has(true, "m") && has(target.float_unit, "f") &&
                              has(target.dot_product, "pm4adda.b") &&
                              has(target.load_dot, "lwdota.b")
                        : device.isa.starts_with(target.isa);
  if (able) return Ok{};
  return Error{ErrorKind::kInfeasible,
               fmt::format("--target {}: {} has '{}' and does not run what that makes; {}",
                           target.name, device.name, device.isa,
                           device.target.empty() ? "use --target host, which is portable C"
                                                 : "leave --target out for " + device.target)};
}

Status fits(const compiler::Program& program, Bytes parameters, const cost::DeviceProfile& device,
            Bytes stack) {
  std::vector<std::string> problems;
  const std::int64_t sram = program.sram_bytes().count + stack.count;
  if (sram > device.sram.count) {
    problems.push_back(fmt::format(
        "{}: {} bytes of SRAM are {} too few: {} arena, {} state, {} stack (--stack); search with "
        "a smaller budget",
        device.name, device.sram.count, sram - device.sram.count, program.arena_bytes().count,
        program.state.bytes, stack.count));
    const std::vector<std::string> alive = compiler::alive_at_peak(program);
    problems.push_back(fmt::format("{}: the arena's peak is {}", device.name, alive.front()));
    for (std::size_t i = 1; i < alive.size(); ++i) problems.push_back("  " + alive[i]);
  }
  if (parameters.count > device.flash.count) {
    problems.push_back(fmt::format(
        "{}: {} bytes of flash are {} too few for {} bytes of constants, code not counted",
        device.name, device.flash.count, parameters.count - device.flash.count, parameters.count));
  }
  if (!problems.empty()) return Error{ErrorKind::kInfeasible, problems};
  return Ok{};
}

Result<Bytes> left_for_training(const cost::DeviceProfile& device, Bytes stack, Bytes reserve) {
  const Bytes left{device.sram.count - stack.count - reserve.count};
  if (left.count > 0) return left;
  return Error{
      ErrorKind::kInfeasible,
      fmt::format("{}: {} of SRAM leave nothing beside {} of stack and {} in reserve", device.name,
                  format_bytes(device.sram), format_bytes(stack), format_bytes(reserve))};
}

}  // namespace espalier::device
