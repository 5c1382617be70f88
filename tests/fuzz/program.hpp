// A compiled program as its files: what program.json belongs to.
#pragma once

#include <map>
#include <string>

namespace espalier::fuzz {

/// The files of a small program that trains biases and some channels, by name.
const std::map<std::string, std::string>& program_files();

}  // namespace espalier::fuzz
