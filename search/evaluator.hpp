// Costs of candidates, each computed once. Thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "espalier/search/problem.hpp"

namespace espalier::search {

class Evaluator {
 public:
  explicit Evaluator(const Problem& problem);

  /// Costs by constraint. The candidate must be legal.
  std::vector<std::int64_t> costs(const Candidate& candidate);

  /// Whether costs satisfy every constraint.
  [[nodiscard]] bool feasible(const std::vector<std::int64_t>& costs) const;

  /// The candidate with its objective and costs.
  Solution evaluate(Candidate candidate);

  /// Distinct candidates so far. Does not depend on the order or the number of threads.
  [[nodiscard]] std::int64_t evaluations() const;

  [[nodiscard]] const Problem& problem() const { return problem_; }

  /// Whether some constraint is a function, so that only costs() can tell feasibility.
  [[nodiscard]] bool has_functions() const { return has_functions_; }

 private:
  struct Hash {
    std::size_t operator()(const Candidate& candidate) const;
  };
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<Candidate, std::vector<std::int64_t>, Hash> known;
  };
  static constexpr std::size_t kShards = 16;

  const Problem& problem_;
  bool has_functions_ = false;
  std::array<Shard, kShards> shards_;
};

}  // namespace espalier::search
