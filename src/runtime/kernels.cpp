#include "espalier/runtime/kernels.hpp"

#include <iterator>
#include <stdexcept>

namespace espalier::runtime {
namespace {

constexpr std::string_view kNames[] = {
#define ESPALIER_KERNEL(name, parameters) #name,
#include "runtime/kernels.def"
#undef ESPALIER_KERNEL
};

}  // namespace

std::string_view kernel_name(Kernel kernel) { return kNames[static_cast<std::size_t>(kernel)]; }

std::string source_file(Kernel kernel) {
  std::string_view name = kernel_name(kernel);
  const std::size_t bits = name.rfind("_q");
  if (bits != std::string_view::npos &&
      name.find_first_not_of("0123456789", bits + 2) == std::string_view::npos) {
    name = name.substr(0, bits + 2);
  }
  return std::string(name) + ".c";
}

std::string_view source_of(std::string_view file, std::span<const std::string> overlays) {
  const auto& sources = runtime_sources();
  auto found = sources.find(file);
  for (const std::string& overlay : overlays) {
    const auto other = sources.find(overlay + "/" + std::string(file));
    if (other != sources.end()) found = other;
  }
  if (found == sources.end()) throw std::logic_error("no kernel source " + std::string(file));
  return found->second;
}

}  // namespace espalier::runtime
