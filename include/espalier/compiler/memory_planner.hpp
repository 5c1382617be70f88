// Assigns arena offsets. Never reads weights, knows lifetimes and sizes alone.
#pragma once

#include "espalier/compiler/memory_problem.hpp"

namespace espalier::compiler {

/// Offsets for all buffers, with a peak that is small but not proven smallest.
///
/// Buffers are placed one after another, each in the lowest gap between those that are alive with
/// it (first fit); the outcome depends on the order alone. Tried are greedy orders (by size and by
/// breadth: Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020;
/// by lifetime, as in Sekiyama et al., "Profile-guided memory optimization for deep neural
/// networks", 2018), then a local search that moves buffers which do not fit below the best peak
/// to an earlier place in the order. Stops as soon as the lower bound is met, otherwise after
/// effort that grows with the square of the number of buffers.
///
/// Deterministic: the same problem has the same plan on every machine. Throws
/// std::invalid_argument when check(problem) fails.
MemoryPlan plan_memory(const MemoryProblem& problem);

}  // namespace espalier::compiler
