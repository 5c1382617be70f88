#include "machines/machine.hpp"

#include <fmt/format.h>

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
  if (job.traced) definitions.push_back("-DESPALIER_TRACED");
  return definitions;
}

}  // namespace espalier::device
