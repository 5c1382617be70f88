// The proven optimum for additive constraints: dynamic programming over the layers from the last to
// the first. A state is what the layers so far cost and gain. Costs of a depth are added behind the
// layers, so one pass serves all depths. States that another one dominates (costs no more, gains no
// less) are dropped, and so are those that cannot reach the best known objective: an upper bound
// comes from Lagrangian relaxation of the remaining layers (Fisher, Management Science 27, 1981),
// which for this multiple-choice knapsack is as tight as the linear one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "espalier/search/problem.hpp"

namespace espalier::search {

struct ExactOptions {
  std::size_t beam = 128;              ///< states per layer in the first pass, which finds a bound
  std::size_t max_states = 4'000'000;  ///< states per layer at which the exact pass gives up
};

struct ExactResult {
  Solution best;
  std::int64_t states = 0;  ///< states that survived, over all layers
  double seconds = 0;       ///< wall clock
};

/// The optimum. Among equal objectives the one with the smaller first cost, then the smaller depth.
/// Errors: check(); check_feasible(); kUsage for more than two constraints, for one that is not
/// additive, and when max_states is exceeded.
Result<ExactResult> solve_exact(const Problem& problem, const ExactOptions& options = {});

}  // namespace espalier::search
