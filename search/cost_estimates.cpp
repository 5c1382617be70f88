#include "cost_estimates.hpp"

#include <algorithm>

namespace espalier::search {
namespace {

std::size_t index(int value) { return static_cast<std::size_t>(value); }

}  // namespace

CostEstimates::CostEstimates(Evaluator& evaluator) {
  const Problem& problem = evaluator.problem();
  for (const Constraint& constraint : problem.constraints) {
    if (const auto* additive = std::get_if<AdditiveCost>(&constraint.cost)) {
      AdditiveCost& terms = terms_.emplace_back(*additive);
      for (std::int64_t& term : terms.by_depth) term += terms.base;
      terms.base = 0;
    } else {
      AdditiveCost& terms = terms_.emplace_back();
      terms.by_depth.assign(index(problem.layers + 1), 0);
      terms.by_option.assign(index(problem.layers),
                             std::vector<std::int64_t>(index(problem.options + 1), 0));
    }
  }
  Candidate candidate = empty_candidate(problem);
  for (int depth = 0; depth <= problem.layers; ++depth) {
    if (!is_depth_available(problem, depth)) continue;
    candidate.depth = depth;
    const std::vector<std::int64_t> costs = evaluator.costs(candidate);
    for (std::size_t c = 0; c < costs.size(); ++c) terms_[c].by_depth[index(depth)] = costs[c];
    if (evaluator.feasible(costs)) depths_.push_back(depth);
  }
  if (evaluator.has_functions()) probe(evaluator);
}

void CostEstimates::probe(Evaluator& evaluator) {
  const Problem& problem = evaluator.problem();
  Candidate candidate = empty_candidate(problem);
  for (int layer = 0; layer < problem.layers; ++layer) {
    // The shallowest update that lets the layer train.
    const auto depth = std::lower_bound(depths_.begin(), depths_.end(), problem.layers - layer);
    if (depth == depths_.end()) continue;
    candidate.depth = *depth;
    for (int option = 1; option <= problem.options; ++option) {
      if (!is_available(problem, layer, option)) continue;
      candidate.choice[index(layer)] = static_cast<std::uint8_t>(option);
      const std::vector<std::int64_t> costs = evaluator.costs(candidate);
      for (std::size_t c = 0; c < costs.size(); ++c) {
        if (std::holds_alternative<AdditiveCost>(problem.constraints[c].cost)) continue;
        // Work that shares memory with something larger seems free alone.
        terms_[c].by_option[index(layer)][index(option)] =
            std::max<std::int64_t>(costs[c] - of_depth(c, *depth), 0);
      }
    }
    candidate.choice[index(layer)] = 0;
  }
}

}  // namespace espalier::search
