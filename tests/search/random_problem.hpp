// Small random problems, and their optimum by trying everything.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "espalier/search/problem.hpp"
#include "espalier/support/rng.hpp"

namespace espalier::testing {

/// Gains of both signs, costs in no relation to them, options and depths that are not available,
/// and `constraints` additive constraints that bind more or less tightly. Feasible.
inline search::Problem random_problem(std::uint64_t seed, int layers, int options,
                                      int constraints) {
  Rng rng{seed, 17};
  search::Problem problem;
  problem.layers = layers;
  problem.options = options;
  // Coarse gains make ties, which are hard on a solver's book-keeping.
  const bool coarse = rng.chance(0.3);
  const auto gain = [&](double low, double high) {
    const double value = rng.uniform(low, high);
    return coarse ? static_cast<double>(static_cast<int>(value * 8)) / 8 : value;
  };
  const bool all_available = rng.chance(0.3);
  problem.bias_gain.push_back(0);
  for (int depth = 1; depth <= layers; ++depth) problem.bias_gain.push_back(gain(-0.5, 1.0));
  if (rng.chance(0.5)) {
    problem.depth_available.push_back(true);
    for (int depth = 1; depth <= layers; ++depth) {
      problem.depth_available.push_back(rng.chance(0.8));
    }
  }
  for (int layer = 0; layer < layers; ++layer) {
    std::vector<double>& gains = problem.weight_gain.emplace_back(1, 0.0);
    std::vector<bool> available(1, true);
    for (int option = 1; option <= options; ++option) {
      gains.push_back(gain(-0.4, 1.0));
      available.push_back(rng.chance(0.85));
    }
    if (!all_available) problem.available.push_back(available);
  }
  for (int c = 0; c < constraints; ++c) {
    search::AdditiveCost terms;
    terms.base = static_cast<std::int64_t>(rng.below(20));
    terms.by_depth.push_back(static_cast<std::int64_t>(rng.below(5)));
    std::int64_t largest = 0;
    for (int depth = 1; depth <= layers; ++depth) {
      terms.by_depth.push_back(terms.by_depth[0] + static_cast<std::int64_t>(rng.below(10)) +
                               3 * depth);
    }
    for (int layer = 0; layer < layers; ++layer) {
      std::vector<std::int64_t>& row = terms.by_option.emplace_back(1, 0);
      for (int option = 1; option <= options; ++option) {
        row.push_back(static_cast<std::int64_t>(rng.below(40)));
      }
      largest += row.back();
    }
    const std::int64_t room = largest + terms.by_depth.back();
    const std::int64_t limit =
        terms.base + terms.by_depth[0] +
        static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(room) + 1));
    problem.constraints.push_back(
        {"constraint " + std::to_string(c), limit, std::move(terms), "", {}});
  }
  return problem;
}

/// Calls `visit` for every legal and available candidate, feasible or not.
inline void for_each_candidate(const search::Problem& problem,
                               const std::function<void(const search::Candidate&)>& visit) {
  search::Candidate candidate = search::empty_candidate(problem);
  const std::function<void(int)> descend = [&](int layer) {
    if (layer == problem.layers) {
      visit(candidate);
      return;
    }
    for (int option = 0; option <= problem.options; ++option) {
      if (!search::is_available(problem, layer, option)) continue;
      candidate.choice[static_cast<std::size_t>(layer)] = static_cast<std::uint8_t>(option);
      descend(layer + 1);
    }
    candidate.choice[static_cast<std::size_t>(layer)] = 0;
  };
  for (int depth = 0; depth <= problem.layers; ++depth) {
    if (!search::is_depth_available(problem, depth)) continue;
    candidate.depth = depth;
    descend(problem.layers - depth);
  }
}

/// The largest objective of any feasible candidate, and the smallest first cost that reaches it.
inline search::Solution brute_force(const search::Problem& problem) {
  std::optional<search::Solution> best;
  for_each_candidate(problem, [&](const search::Candidate& candidate) {
    search::Solution solution = search::make_solution(problem, candidate);
    for (std::size_t c = 0; c < solution.costs.size(); ++c) {
      if (solution.costs[c] > problem.constraints[c].limit) return;
    }
    if (!best || solution.objective > best->objective ||
        (solution.objective == best->objective && solution.costs < best->costs)) {
      best = std::move(solution);
    }
  });
  return *best;
}

/// The problem with its first constraint made a cost that no sum over layers can express: the
/// largest working set of any trained layer beside what all of them keep. The additive cost, in its
/// own unit, stands in for it; the limit is the cost of the plan at `share` of the way between the
/// cheapest and the dearest.
inline search::Problem with_peak(search::Problem problem, double share) {
  search::Constraint& constraint = problem.constraints[0];
  const auto sum = std::get<search::AdditiveCost>(constraint.cost);
  constraint.stand_in = sum;
  constraint.cost = search::CostFunction([sum](const search::Candidate& candidate) {
    std::int64_t kept = 2 * candidate.depth;
    std::int64_t peak = 3;
    for (std::size_t layer = 0; layer < candidate.choice.size(); ++layer) {
      const std::int64_t size = sum.by_option[layer][candidate.choice[layer]];
      kept += size / 4;
      peak = std::max(peak, size + 2 * static_cast<std::int64_t>(layer * 7 % 11));
    }
    return kept + peak;
  });
  const std::int64_t least = search::cost(constraint, search::empty_candidate(problem));
  std::int64_t most = least;
  for_each_candidate(problem, [&](const search::Candidate& candidate) {
    most = std::max(most, search::cost(constraint, candidate));
  });
  constraint.limit = least + static_cast<std::int64_t>(share * static_cast<double>(most - least));
  return problem;
}

/// The same problem with every cost hidden in a function.
inline search::Problem with_functions(search::Problem problem) {
  for (search::Constraint& constraint : problem.constraints) {
    const search::Constraint additive = constraint;
    constraint.cost = [additive](const search::Candidate& candidate) {
      return search::cost(additive, candidate);
    };
  }
  return problem;
}

}  // namespace espalier::testing
