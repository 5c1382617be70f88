#include "evaluator.hpp"

namespace espalier::search {

std::vector<std::int64_t> Evaluator::costs(const Candidate& candidate) {
  return known_.get(candidate, [&] {
    std::vector<std::int64_t> costs;
    for (const Constraint& constraint : problem_.constraints) {
      costs.push_back(cost(constraint, candidate));
    }
    return costs;
  });
}

bool Evaluator::feasible(const std::vector<std::int64_t>& costs) const {
  for (std::size_t c = 0; c < costs.size(); ++c) {
    if (costs[c] > problem_.constraints[c].limit) return false;
  }
  return true;
}

Solution Evaluator::evaluate(Candidate candidate) {
  Solution solution;
  solution.objective = objective(problem_, candidate);
  solution.costs = costs(candidate);
  solution.candidate = std::move(candidate);
  return solution;
}

}  // namespace espalier::search
