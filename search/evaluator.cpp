#include "evaluator.hpp"

#include <algorithm>
#include <string_view>

namespace espalier::search {

Evaluator::Evaluator(const Problem& problem) : problem_(problem) {
  has_functions_ =
      std::any_of(problem.constraints.begin(), problem.constraints.end(),
                  [](const Constraint& c) { return std::holds_alternative<CostFunction>(c.cost); });
}

std::size_t Evaluator::Hash::operator()(const Candidate& candidate) const {
  const std::string_view bytes(reinterpret_cast<const char*>(candidate.choice.data()),
                               candidate.choice.size());
  return std::hash<std::string_view>{}(bytes)*31 + static_cast<std::size_t>(candidate.depth);
}

std::vector<std::int64_t> Evaluator::costs(const Candidate& candidate) {
  // The low bits choose the bucket inside the map.
  Shard& shard = shards_[(Hash{}(candidate) >> 48) % kShards];
  {
    const std::lock_guard lock(shard.mutex);
    const auto known = shard.known.find(candidate);
    if (known != shard.known.end()) return known->second;
  }
  // Not under the lock: a cost function may take long. Two threads may compute the same costs; they
  // are equal, and counted once.
  std::vector<std::int64_t> costs;
  for (const Constraint& constraint : problem_.constraints) {
    costs.push_back(cost(constraint, candidate));
  }
  const std::lock_guard lock(shard.mutex);
  return shard.known.try_emplace(candidate, std::move(costs)).first->second;
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

std::int64_t Evaluator::evaluations() const {
  std::size_t sum = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    sum += shard.known.size();
  }
  return static_cast<std::int64_t>(sum);
}

}  // namespace espalier::search
