// Holds any solver's answer against the problem. Knows no solver.
#pragma once

#include "espalier/search/problem.hpp"

namespace espalier::search {

/// Whether the candidate is legal and available, satisfies every constraint, and has the objective
/// and costs that the solution claims. kMismatch lists every violation. Says nothing of optimality.
/// The problem must pass check().
Status validate(const Problem& problem, const Solution& solution);

}  // namespace espalier::search
