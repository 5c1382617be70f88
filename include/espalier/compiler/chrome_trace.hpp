// A memory plan as a picture: a trace for chrome://tracing or Perfetto. Knows nothing of the
// planner.
#pragma once

#include <string>
#include <vector>

#include "espalier/compiler/memory_problem.hpp"

namespace espalier::compiler {

/// JSON in the Trace Event Format (object form), one event a line; a step is one microsecond. Holds
/// - one complete event per buffer, from its first step to its last, with offset and size in bytes;
///   rows go from low addresses to high ones, and bars of one row never overlap;
/// - one counter event per step with the bytes in use (sizes rounded up to the alignment), and a
///   last one of 0;
/// - one complete event per named step, on a row of their own.
/// A buffer without a name is called by its index; names beyond the last step are left out. Throws
/// std::invalid_argument when check() fails or the plan has another number of buffers.
std::string chrome_trace(const MemoryProblem& problem, const MemoryPlan& plan,
                         const std::vector<std::string>& buffer_names,
                         const std::vector<std::string>& step_names);

}  // namespace espalier::compiler
