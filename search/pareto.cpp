#include "espalier/search/pareto.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace espalier::search {
namespace {

Error every_limit_infeasible(const Constraint& constraint, std::int64_t smallest,
                             std::int64_t largest_limit) {
  return Error{
      ErrorKind::kInfeasible,
      fmt::format("{}: no limit can be met; the largest is {}, and training the head alone "
                  "takes {}; allow at least that",
                  constraint.name, format_cost(constraint, largest_limit),
                  format_cost(constraint, smallest))};
}

}  // namespace

Result<ParetoFront> pareto_front(const Problem& problem, std::size_t index,
                                 std::span<const std::int64_t> limits, const Solver& solver) {
  ESPALIER_CHECK_OK(check(problem));
  if (index >= problem.constraints.size()) {
    return Error{ErrorKind::kUsage, fmt::format("Pareto front: constraint {} does not exist; the "
                                                "problem has {}",
                                                index, problem.constraints.size())};
  }
  if (limits.empty()) {
    return Error{ErrorKind::kUsage, "Pareto front: no limits are given; give at least one"};
  }
  std::vector<std::int64_t> ascending(limits.begin(), limits.end());
  std::sort(ascending.begin(), ascending.end());
  ascending.erase(std::unique(ascending.begin(), ascending.end()), ascending.end());

  ParetoFront front;
  Problem limited = problem;
  Constraint& constraint = limited.constraints[index];
  const std::int64_t smallest = cost(constraint, empty_candidate(problem));
  for (const std::int64_t limit : ascending) {
    if (limit < smallest) {
      front.infeasible.push_back(limit);
      continue;
    }
    constraint.limit = limit;
    const ParetoPoint* previous = front.points.empty() ? nullptr : &front.points.back();
    ESPALIER_TRY(Solution solution,
                 solver(limited, previous == nullptr ? nullptr : &previous->solution.candidate));
    // A heuristic may miss what it found under a smaller limit.
    if (previous != nullptr && previous->solution.objective >= solution.objective) {
      solution = previous->solution;
    }
    front.points.push_back({limit, std::move(solution)});
  }
  if (front.points.empty()) return every_limit_infeasible(constraint, smallest, ascending.back());
  return front;
}

}  // namespace espalier::search
