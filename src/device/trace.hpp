// A build of the program that tells what every node leaves in SRAM, so that a difference that later
// rounding hides is seen, and by node. Beside the measured build, which is the folder as it is.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "compiled_folder.hpp"
#include "run.hpp"

namespace espalier::device {

struct Trace {
  std::string source;              ///< <name>.c with a call of espalier_wrote() behind each node
  std::vector<std::string> nodes;  ///< what each computes, by its comment; the call has its index
};

/// Puts the calls into the text of <name>.c. kBadInput when it holds no nodes.
Result<Trace> trace_of(const std::string& text, const Folder& folder);

/// Writes the traced form to `work`: the source, and the headers of kernels and constants; with
/// `steps`, every step of a parameter is told before it is rounded.
Result<Trace> write_trace(const Folder& folder, const std::filesystem::path& work, bool steps);

/// Writes to `work` the source in a form that calls espalier_enter() and espalier_left() around
/// every call of a kernel, and the headers. The names of the kernels; espalier_left() has their
/// index.
Result<std::vector<std::string>> write_counted(const Folder& folder,
                                               const std::filesystem::path& work);

/// Steps to trace of so many: up to the first update, in which every node has run; hashing takes
/// time.
int traced_steps(const Folder& folder, int steps);

/// The first node after which the SRAM of two traced runs differs, named; empty when there is none.
std::string first_node(const Trace& trace, const Run& host, const Run& other,
                       std::string_view machine);

}  // namespace espalier::device
