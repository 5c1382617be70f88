// From the words of a command line to the command that runs.
#pragma once

#include <string>
#include <vector>

#include "espalier/support/result.hpp"

namespace espalier::cli {

/// Parses the words behind the program's name and runs the command. Commands made of others run
/// these the same way, `nested`: then only progress and warnings are shown, unless it is verbose,
/// and `results` only where these have a place on standard output.
Status run_command(std::vector<std::string> arguments, bool nested = false, bool results = true);

}  // namespace espalier::cli
