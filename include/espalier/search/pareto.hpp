// The best plans over a range of limits of one constraint.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "espalier/search/problem.hpp"

namespace espalier::search {

/// Solves one problem. `warm_start` is the best solution under the next smaller limit, feasible
/// here too, or null.
using Solver = std::function<Result<Solution>(const Problem&, const Candidate* warm_start)>;

struct ParetoPoint {
  std::int64_t limit = 0;
  Solution solution;
};

struct ParetoFront {
  /// Ascending limit; the objective never falls. A larger limit that gains nothing repeats the
  /// solution before it.
  std::vector<ParetoPoint> points;
  std::vector<std::int64_t> infeasible;  ///< limits, ascending, below the cost of the empty plan
};

/// Solves the problem once for each limit of constraint `index`; the others stay as they are.
/// Limits may come in any order; duplicates are solved once. Errors: check(); kUsage for a
/// constraint that does not exist or no limits; kInfeasible when every limit is; any other error of
/// the solver.
Result<ParetoFront> pareto_front(const Problem& problem, std::size_t index,
                                 std::span<const std::int64_t> limits, const Solver& solver);

}  // namespace espalier::search
