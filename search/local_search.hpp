// Makes candidates feasible, and feasible candidates better. Deterministic.
#pragma once

#include <vector>

#include "cost_estimates.hpp"
#include "espalier/support/rng.hpp"
#include "evaluator.hpp"

namespace espalier::search {

class LocalSearch {
 public:
  /// `confirmations`: proposals that function constraints may reject before improve() gives up.
  LocalSearch(Evaluator& evaluator, const CostEstimates& estimates, int confirmations);

  /// A feasible candidate near this one: its depth lowered to a possible one, choices outside it
  /// dropped, then options exchanged for cheaper ones, least gain lost per cost saved first. `rng`
  /// disturbs that order by up to `noise`, relative.
  Solution repair(Candidate candidate, Rng& rng, double noise) const;

  /// A feasible candidate of this depth, filled in order of gain per cost, disturbed by `noise`.
  Solution greedy(int depth, Rng& rng, double noise) const;

  /// Applies the best change, or pair of changes, of options until none helps; `move_depth` lets
  /// changes of the depth take part.
  void improve(Solution& solution, bool move_depth) const;

 private:
  class Neighbourhood;

  [[nodiscard]] std::vector<std::int64_t> costs_of(const Candidate& candidate) const;
  void cheapen(Candidate& candidate, const std::vector<std::int64_t>& costs, Rng& rng,
               double noise) const;
  bool improve_once(Solution& solution, bool move_depth, int& confirmations) const;

  Evaluator& evaluator_;
  const CostEstimates& estimates_;
  const Problem& problem_;
  int confirmations_;
  double tolerance_;  ///< gains below it may be rounding errors
};

}  // namespace espalier::search
