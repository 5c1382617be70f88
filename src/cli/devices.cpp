// espalier devices: the parts that --device knows by name, and what is known of each.
#include <fmt/format.h>

#include "command.hpp"
#include "espalier/cost/device_profile.hpp"
#include "espalier/version.hpp"

namespace espalier::cli {
namespace {

struct Options {
  CommonOptions common;
};

std::string address(const std::optional<std::uint32_t>& base) {
  return base ? fmt::format("{:#010x}", *base) : "-";
}

Status run(const Options& options) {
  std::string table = fmt::format("{:<14} {:<26} {:>11} {:>11} {:>8}  {:<10}  {:<10}  {}\n", "name",
                                  "isa", "SRAM", "flash", "clock", "SRAM at", "flash at", "target");
  Json devices = Json::array();
  for (const cost::DeviceProfile& device : cost::shipped_devices()) {
    table += fmt::format("{:<14} {:<26} {:>11} {:>11} {:>4} MHz  {:<10}  {:<10}  {}\n    {}\n",
                         device.name, device.isa, format_bytes(device.sram),
                         format_bytes(device.flash), device.clock_hz / 1000000,
                         address(device.sram_base), address(device.flash_base),
                         device.target.empty() ? "-" : device.target, device.description);
    devices.push_back(cost::to_json(device));
  }
  print(options.common, table);
  return write_report(options.common,
                      {{"schema", "espalier.devices/1"},
                       {"tool_version", kVersion},
                       {"devices", std::move(devices)}},
                      "espalier fit, or --device NAME of search, compile and check");
}

}  // namespace

Command add_devices(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  CommandApp* command = add_command(app, "devices", "List the devices that --device knows by name",
                                    o->common, "espalier.devices/1");
  command->effective_if(
      "--seed", [] { return false; }, "nothing is drawn at random");
  command->footer("Example:\n  espalier compile model.onnx --plan plan.json --device stm32f746");
  return {command, [o] { return run(*o); }, std::shared_ptr<CommonOptions>(o, &o->common)};
}

}  // namespace espalier::cli
