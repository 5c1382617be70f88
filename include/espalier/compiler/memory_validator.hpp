// Holds a memory plan against its problem. Knows nothing of the planner.
#pragma once

#include "espalier/compiler/memory_problem.hpp"
#include "espalier/support/result.hpp"

namespace espalier::compiler {

/// Errors: those of check(problem); kMismatch with every finding: another number of offsets than
/// buffers, a negative or misaligned offset, two buffers that are alive together and overlap (both
/// buffers, their first common step, both address ranges in bytes), a buffer that ends beyond the
/// claimed peak, a claimed peak or lower bound that differs from the real one.
Status validate(const MemoryProblem& problem, const MemoryPlan& plan);

}  // namespace espalier::compiler
