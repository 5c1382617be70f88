// Start-up code, linker script and driver, embedded at build time, by file name.
#pragma once

#include <map>
#include <string_view>

namespace espalier::device {

const std::map<std::string_view, std::string_view>& device_sources();

}  // namespace espalier::device
