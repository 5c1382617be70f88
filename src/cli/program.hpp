// The program but for its process: runs the command line, and turns errors into diagnostics and
// exit codes.
#pragma once

#include <string>
#include <vector>

namespace espalier::cli {

/// Takes the words behind the program's name, writes to standard output and standard error, and
/// returns the exit code. Changes the process's logger and its handler of interrupts.
int run_program(std::vector<std::string> arguments);

}  // namespace espalier::cli
