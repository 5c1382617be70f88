// Assigns arena offsets. Never reads weights, knows lifetimes and sizes alone.
#pragma once

#include "espalier/compiler/memory_problem.hpp"

namespace espalier::compiler {

/// Offsets, in bytes, for all buffers, with a peak that is small but not proven smallest.
///
/// Tries, and stops as soon as the lower bound is met:
/// - first fit in the order of size, and in the order of the most bytes in use during a buffer's
///   lifetime (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference",
///   2020);
/// - filling the arena from the bottom, always with the buffer that can start lowest, the longest
///   lived one of several (Sekiyama et al., "Profile-guided memory optimization for deep neural
///   networks", 2018);
/// - the same again, after moving a buffer that did not fit below the best peak to the front of
///   those several (squeaky wheel optimization; Joslin and Clements, JAIR 10, 1999), for as many
///   comparisons as a multiple of the square of the number of buffers.
///
/// Deterministic: the same problem has the same plan on every machine. Throws
/// std::invalid_argument when check(problem) fails.
MemoryPlan plan_memory(const MemoryProblem& problem);

}  // namespace espalier::compiler
