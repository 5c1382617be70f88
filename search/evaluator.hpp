// Costs of candidates, each computed once. Thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "candidate_map.hpp"
#include "espalier/search/problem.hpp"

namespace espalier::search {

class Evaluator {
 public:
  explicit Evaluator(const Problem& problem)
      : problem_(problem), has_functions_(!is_additive(problem)) {}

  /// Costs by constraint. The candidate must be legal.
  std::vector<std::int64_t> costs(const Candidate& candidate);

  /// Whether costs satisfy every constraint.
  [[nodiscard]] bool feasible(const std::vector<std::int64_t>& costs) const;

  /// The candidate with its objective and costs.
  Solution evaluate(Candidate candidate);

  /// Distinct candidates so far. Does not depend on the order or the number of threads.
  [[nodiscard]] std::int64_t evaluations() const { return known_.size(); }

  [[nodiscard]] const Problem& problem() const { return problem_; }

  /// Whether some constraint is a function, so that only costs() can tell feasibility.
  [[nodiscard]] bool has_functions() const { return has_functions_; }

 private:
  const Problem& problem_;
  bool has_functions_ = false;
  CandidateMap<std::vector<std::int64_t>> known_;
};

}  // namespace espalier::search
