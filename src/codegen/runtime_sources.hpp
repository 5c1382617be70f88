// The text of src/codegen/runtime, embedded at build time, by file name.
#pragma once

#include <map>
#include <string_view>

namespace espalier::codegen {

const std::map<std::string_view, std::string_view>& runtime_sources();

}  // namespace espalier::codegen
