// Additive costs of every constraint, to guide repair and local search: the given ones where the
// constraint is additive, otherwise each depth and each option evaluated alone.
#pragma once

#include <cstdint>
#include <vector>

#include "evaluator.hpp"

namespace espalier::search {

class CostEstimates {
 public:
  explicit CostEstimates(Evaluator& evaluator);

  /// Estimated cost of a depth with everything frozen, base included.
  [[nodiscard]] std::int64_t of_depth(std::size_t constraint, int depth) const {
    return terms_[constraint].by_depth[static_cast<std::size_t>(depth)];
  }

  /// Estimated cost of an option of a layer.
  [[nodiscard]] std::int64_t of_option(std::size_t constraint, int layer, int option) const {
    return terms_[constraint]
        .by_option[static_cast<std::size_t>(layer)][static_cast<std::size_t>(option)];
  }

  /// Depths that are available and feasible with everything frozen, ascending; depth 0 is one.
  [[nodiscard]] const std::vector<int>& depths() const { return depths_; }

 private:
  void probe(Evaluator& evaluator);

  std::vector<AdditiveCost> terms_;  ///< [constraint]
  std::vector<int> depths_;
};

}  // namespace espalier::search
