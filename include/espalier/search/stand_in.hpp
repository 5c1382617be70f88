// Where to begin a search under costs that are functions: optima under additive costs that stand in
// for them. Nothing here decides what is feasible but the functions themselves.
#pragma once

#include <vector>

#include "espalier/search/problem.hpp"

namespace espalier::search {

/// Candidates for EvolutionOptions::initial, best guess last: the optimum under the stand-ins with
/// the largest limits found at which it is truly feasible, and before it the last optimum that was
/// not, which a repair may make better. Limits of stand-ins begin at what `anchor`, a candidate
/// that is feasible, costs by them. Additive constraints stay as they are. At most `solves` exact
/// solutions. Empty where a function has no stand-in, or the exact solver does not take what there
/// is. The problem must pass check().
std::vector<Candidate> stand_in_optima(const Problem& problem, const Candidate& anchor,
                                       int solves = 6);

}  // namespace espalier::search
