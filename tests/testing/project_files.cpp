// Files of the project and of its build that tests use.
#include "testing/embedded.hpp"
#include "testing/quick_compiler.hpp"

namespace espalier::testing {

std::filesystem::path embedded_model() {
  return std::filesystem::path(ESPALIER_PROFILES) / "models/fmnist-mbv2/fmnist-mbv2.onnx";
}

std::string quick_tool(const std::string& name) { return ESPALIER_QUICK_TOOLS "/" + name; }

}  // namespace espalier::testing
