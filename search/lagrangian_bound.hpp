// Upper bounds on what a partial selection can still become.
//
// For any multipliers lambda >= 0, a completion at depth d gains at most
//   bias_gain[d] + lambda . (room[d] - cost so far)
//   + sum over remaining positions of max(0, max over items of (gain - lambda . cost)).
// The best multipliers differ from state to state, so each depth keeps a family of them around its
// own optimum, and the bound is the smallest over the family.
#pragma once

#include <cstddef>
#include <vector>

#include "additive_instance.hpp"

namespace espalier::search {

class LagrangianBound {
 public:
  LagrangianBound(const AdditiveInstance& instance, std::size_t constraints);

  /// Bound at one depth for a state behind `position` layers; position <= depth.
  [[nodiscard]] double at_depth(int depth, int position, const CostVector& cost,
                                double gain) const {
    const std::size_t family = static_cast<std::size_t>(depth) * family_size_;
    const Multiplier* lambda = lambdas_.data() + family;
    const double* rest = rest_.data() + (static_cast<std::size_t>(position) * depths_ +
                                         static_cast<std::size_t>(depth)) *
                                            family_size_;
    double smallest = rest[0] - price(lambda[0], cost);
    for (std::size_t f = 1; f < family_size_; ++f) {
      const double value = rest[f] - price(lambda[f], cost);
      smallest = value < smallest ? value : smallest;
    }
    return gain + smallest;
  }

 private:
  using Multiplier = std::array<double, kMaxExactConstraints>;

  static double price(const Multiplier& lambda, const CostVector& cost) {
    return lambda[0] * static_cast<double>(cost[0]) + lambda[1] * static_cast<double>(cost[1]);
  }

  [[nodiscard]] Multiplier best_along(const Multiplier& direction, int depth) const;
  [[nodiscard]] std::vector<Multiplier> family(int depth, std::size_t constraints) const;

  const AdditiveInstance& instance_;
  std::size_t depths_ = 0;
  std::size_t family_size_ = 0;
  std::vector<Multiplier> lambdas_;  ///< [depth][family]
  std::vector<double> rest_;         ///< [position][depth][family]: all but the state's own terms
};

}  // namespace espalier::search
