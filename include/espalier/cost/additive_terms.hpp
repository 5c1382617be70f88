// Costs of a plan as a sum of independent terms, the form that solvers take: one for what every
// plan pays, one by the bias depth, one by the ratio of each conv. The sums equal analytic_memory()
// and training_macs() of the plan exactly.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "espalier/ir/graph.hpp"

namespace espalier::cost {

/// cost(plan) = base + by_depth[bias_depth] + sum over convs of by_ratio[conv][option], where
/// option 0 is frozen weights and option r > 0 is the r-th ratio.
struct AdditiveTerms {
  std::int64_t base = 0;                            ///< of head-only training
  std::vector<std::int64_t> by_depth;               ///< [0..conv count], ascending from 0
  std::vector<std::vector<std::int64_t>> by_ratio;  ///< [conv][0..ratio count], [conv][0] = 0
};

/// Terms of analytic_memory(), in bits.
AdditiveTerms analytic_terms(const ir::Graph& graph, std::span<const double> ratios);

/// Terms of training_macs().total().
AdditiveTerms mac_terms(const ir::Graph& graph, std::span<const double> ratios);

/// [conv][option]: whether the ratio is an update of its own, which keeps more input channels than
/// those before it (`ratios` ascend) and so at least one; option 0 always is.
std::vector<std::vector<bool>> available_ratios(const ir::Graph& graph,
                                                std::span<const double> ratios);

}  // namespace espalier::cost
