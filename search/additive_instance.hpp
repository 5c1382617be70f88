// A problem whose constraints are all additive, laid out for dynamic programming from the last
// layer to the first. Position p is layer (layers - 1 - p), so depth d covers positions 0..d-1.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "espalier/search/problem.hpp"

namespace espalier::search {

/// More constraints than this have no exact solver.
inline constexpr std::size_t kMaxExactConstraints = 2;

/// One number per constraint; problems with fewer constraints leave the rest 0.
using CostVector = std::array<std::int64_t, kMaxExactConstraints>;

inline bool fits(const CostVector& cost, const CostVector& room) {
  return cost[0] <= room[0] && cost[1] <= room[1];
}

inline CostVector sum(const CostVector& a, const CostVector& b) {
  return {a[0] + b[0], a[1] + b[1]};
}

/// An option worth considering.
struct Item {
  std::uint8_t option = 0;
  double gain = 0;
  CostVector cost{};
};

struct AdditiveInstance {
  int layers = 0;
  /// [position]: available options of positive gain that no other option of the layer dominates.
  /// The others cannot make any plan better, because costs are never negative.
  std::vector<std::vector<Item>> items;
  std::vector<CostVector> room;      ///< [depth]: limit less base less by_depth; for the items
  std::vector<double> bias_gain;     ///< [depth]
  std::vector<bool> depth_possible;  ///< [depth]: available, and room is not negative
  double tolerance = 0;              ///< above the rounding error of any sum of gains
};

/// kUsage when the problem has too many constraints or one that is not additive.
Result<AdditiveInstance> make_additive_instance(const Problem& problem);

}  // namespace espalier::search
