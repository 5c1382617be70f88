#include "machines/machine.hpp"

#include <fmt/format.h>

namespace espalier::device {

std::unique_ptr<Machine> find_machine(std::string_view name) {
  if (name == "host") return make_host();
  if (name == "core") return make_core();
  return make_emulator(name);
}

std::vector<std::string> driver_definitions(const Folder& folder) {
  return {fmt::format("-DPROGRAM={}", folder.name), fmt::format("-DHEADER=\"{}.h\"", folder.name),
          "-I", folder.path.string()};
}

}  // namespace espalier::device
