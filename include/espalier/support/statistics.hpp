// Agreement between two series of numbers.
#pragma once

#include <optional>
#include <span>

namespace espalier {

/// Spearman's correlation of ranks, equal values sharing their mean rank. Without a value for fewer
/// than three pairs, or when one side is constant.
std::optional<double> rank_correlation(std::span<const double> a, std::span<const double> b);

/// Share of the variance of `observed` that `predicted` explains: 1 for equal series, below 0 when
/// their mean would predict better. Without a value for fewer than three pairs, or when `observed`
/// is constant.
std::optional<double> explained_variance(std::span<const double> predicted,
                                         std::span<const double> observed);

}  // namespace espalier
