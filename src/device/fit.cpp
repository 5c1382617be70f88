#include "espalier/device/fit.hpp"

#include <fmt/format.h>

#include <string>
#include <vector>

namespace espalier::device {

bool runs(const cost::DeviceProfile& device, const codegen::Target& target) {
  if (target.machine == "host") return true;
  // A unit for double precision is of that version, too, and compilers do not spell it out.
  if (target.isa == "armv7e-m+fpv5" && device.isa.starts_with("armv7e-m+fp.dp")) return true;
  if (!target.isa.empty()) return device.isa.starts_with(target.isa);
  // Targets that name no instructions are RISC-V, and say what they use of it.
  return device.has_extension("i") && device.has_extension("m") &&
         (!target.float_unit || device.has_extension("f")) &&
         (!target.dot_product || device.has_extension("pm4adda.b")) &&
         (!target.load_dot || device.has_extension("lwdota.b"));
}

Status fits(const compiler::Program& program, Bytes parameters, const BesideProgram& beside,
            const cost::DeviceProfile& device, Bytes stack) {
  std::vector<std::string> problems;
  const std::int64_t replay = beside.replay.count;
  const std::int64_t pointer = beside.pointer.count;
  const std::int64_t sram = program.sram_bytes().count + pointer + replay + stack.count;
  if (sram > device.sram.count) {
    problems.push_back(fmt::format(
        "{}: {} bytes of SRAM are {} too few: {} arena, {} state, {}{}{} stack "
        "(--stack); search with a smaller budget{}",
        device.name, device.sram.count, sram - device.sram.count, program.arena_bytes().count,
        program.state.bytes, pointer > 0 ? fmt::format("{} pointer to the arena, ", pointer) : "",
        replay > 0 ? fmt::format("{} replay memory (--replay), ", replay) : "", stack.count,
        replay > 0 ? ", or replay fewer samples" : ""));
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
