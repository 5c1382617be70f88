// What makes an emitted folder a package of a build system for firmware, as it lies.
#pragma once

#include <string>
#include <vector>

namespace espalier::codegen {

/// Names of the packages there are: esp-idf, arduino, zephyr, cmsis-pack.
std::vector<std::string> package_names();

}  // namespace espalier::codegen
