// Compiler flags of targets as text, by file name (flags/rv32imf); also response files of gcc.
#pragma once

#include <map>
#include <string_view>

namespace espalier::codegen {

const std::map<std::string_view, std::string_view>& flag_files();

}  // namespace espalier::codegen
