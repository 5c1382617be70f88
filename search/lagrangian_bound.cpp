#include "lagrangian_bound.hpp"

#include <algorithm>

namespace espalier::search {
namespace {

constexpr int kBisections = 40;
// Around the optimum of the whole problem; states that spent more or less than their share of the
// room have their own optimum farther away.
constexpr std::array kScales{0.25, 0.5, 0.7, 0.85, 0.95, 1.0, 1.05, 1.18, 1.4, 2.0, 4.0};
// Directions between "only the first constraint counts" and "only the second".
constexpr int kDirections = 8;

}  // namespace

LagrangianBound::LagrangianBound(const AdditiveInstance& instance, std::size_t constraints)
    : instance_(instance), depths_(static_cast<std::size_t>(instance.layers) + 1) {
  for (int depth = 0; depth <= instance.layers; ++depth) {
    const std::vector<Multiplier> lambdas = family(depth, constraints);
    family_size_ = lambdas.size();
    lambdas_.insert(lambdas_.end(), lambdas.begin(), lambdas.end());
  }
  rest_.assign(depths_ * depths_ * family_size_, 0.0);
  for (std::size_t depth = 0; depth < depths_; ++depth) {
    for (std::size_t f = 0; f < family_size_; ++f) {
      const Multiplier& lambda = lambdas_[depth * family_size_ + f];
      double value = instance.bias_gain[depth] + price(lambda, instance.room[depth]);
      for (std::size_t position = depth + 1; position-- > 0;) {
        if (position < depth) {
          double best = 0;
          for (const Item& item : instance.items[position]) {
            best = std::max(best, item.gain - price(lambda, item.cost));
          }
          value += best;
        }
        rest_[(position * depths_ + depth) * family_size_ + f] = value;
      }
    }
  }
}

// The relaxation is convex along a ray; its slope is the room less the cost of the items it takes.
LagrangianBound::Multiplier LagrangianBound::best_along(const Multiplier& direction,
                                                        int depth) const {
  double low = 0;
  double high = 0;
  for (int p = 0; p < depth; ++p) {
    for (const Item& item : instance_.items[static_cast<std::size_t>(p)]) {
      const double unit = price(direction, item.cost);
      if (unit > 0) high = std::max(high, item.gain / unit);
    }
  }
  for (int i = 0; i < kBisections; ++i) {
    const double middle = 0.5 * (low + high);
    double slope = price(direction, instance_.room[static_cast<std::size_t>(depth)]);
    for (int p = 0; p < depth; ++p) {
      double best = 0;
      double taken = 0;
      for (const Item& item : instance_.items[static_cast<std::size_t>(p)]) {
        const double unit = price(direction, item.cost);
        const double value = item.gain - middle * unit;
        if (value > best) {
          best = value;
          taken = unit;
        }
      }
      slope -= taken;
    }
    (slope < 0 ? low : high) = middle;
  }
  return {high * direction[0], high * direction[1]};
}

std::vector<LagrangianBound::Multiplier> LagrangianBound::family(int depth,
                                                                 std::size_t constraints) const {
  const CostVector& room = instance_.room[static_cast<std::size_t>(depth)];
  const auto unit = [&](std::size_t c) {
    return 1.0 / static_cast<double>(std::max<std::int64_t>(room[c], 1));
  };
  std::vector<Multiplier> lambdas;
  const int directions = constraints > 1 ? kDirections : 0;
  for (int i = 0; i <= directions; ++i) {
    const double share = directions == 0 ? 0.0 : static_cast<double>(i) / directions;
    const Multiplier best = best_along({(1.0 - share) * unit(0), share * unit(1)}, depth);
    for (const double scale : kScales) lambdas.push_back({scale * best[0], scale * best[1]});
  }
  return lambdas;
}

}  // namespace espalier::search
