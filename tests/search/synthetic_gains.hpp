// Contribution profiles made up for tests, shaped like measured ones: gains grow with a layer's
// size and position, diminish as the ratio grows, carry the noise of an accuracy, and are sometimes
// negative.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "espalier/cost/additive_terms.hpp"
#include "espalier/search/problem.hpp"
#include "espalier/support/rng.hpp"

namespace espalier::testing {

struct GainShape {
  double position = 1.0;   ///< how strongly gains grow towards the last layer
  double size = 0.3;       ///< exponent of the memory a ratio costs
  double ratio = 0.4;      ///< exponent of the ratio; smaller diminishes faster
  double noise = 0.3;      ///< relative
  double offset = -0.002;  ///< absolute, so that small gains become negative
};

/// Ratios of a measured contribution analysis.
inline constexpr double kRatios[] = {0.125, 0.25, 0.5, 1.0};

inline double normal(Rng& rng) {
  return std::sqrt(-2.0 * std::log(1.0 - rng.uniform())) *
         std::cos(6.283185307179586 * rng.uniform());
}

/// A problem over the graph's analytic terms, without constraints, gains by shape and seed.
inline search::Problem synthetic_problem(const cost::AdditiveTerms& memory,
                                         const std::vector<std::vector<bool>>& available,
                                         const GainShape& shape, std::uint64_t seed) {
  search::Problem problem;
  problem.layers = static_cast<int>(memory.by_ratio.size());
  problem.options = static_cast<int>(memory.by_ratio.front().size()) - 1;
  problem.available = available;
  problem.bias_gain.push_back(0);
  for (int depth = 1; depth <= problem.layers; ++depth) {
    Rng rng{seed, 1, static_cast<std::uint64_t>(depth)};
    const double reach = static_cast<double>(depth) / problem.layers;
    problem.bias_gain.push_back(0.08 * (1 - std::exp(-3 * reach)) - 0.015 * reach +
                                0.003 * normal(rng));
  }
  for (int layer = 0; layer < problem.layers; ++layer) {
    std::vector<double>& row = problem.weight_gain.emplace_back(1, 0.0);
    const auto& costs = memory.by_ratio[static_cast<std::size_t>(layer)];
    Rng rng{seed, 2, static_cast<std::uint64_t>(layer)};
    const double position = std::exp(shape.position * (layer + 1.0) / problem.layers - 1.0);
    const double size = std::pow(static_cast<double>(costs.back()) / 4e5, shape.size);
    const double quality = 0.02 * position * size * std::exp(shape.noise * normal(rng));
    for (int option = 1; option <= problem.options; ++option) {
      const double diminishing = std::pow(kRatios[option - 1], shape.ratio);
      const double gain = quality * diminishing + shape.offset + 0.002 * normal(rng);
      row.push_back(gain);
    }
  }
  return problem;
}

inline search::Constraint memory_limit(const cost::AdditiveTerms& terms, std::int64_t kib) {
  return {"analytic memory",
          kib * 8192,
          search::AdditiveCost{terms.base, terms.by_depth, terms.by_ratio},
          "bits",
          {}};
}

}  // namespace espalier::testing
