// Agreement between two series of numbers, and what few numbers allow to say.
#pragma once

#include <optional>
#include <span>

namespace espalier {

/// Standard error of the mean of at least two values, which is `mean`.
double standard_error(std::span<const double> values, double mean);

/// Spearman's correlation of ranks, equal values sharing their mean rank. Without a value for fewer
/// than three pairs, or when one side is constant.
std::optional<double> rank_correlation(std::span<const double> a, std::span<const double> b);

/// Share of the variance of `observed` that `predicted` explains: 1 for equal series, below 0 when
/// their mean would predict better. Without a value for fewer than three pairs, or when `observed`
/// is constant.
std::optional<double> explained_variance(std::span<const double> predicted,
                                         std::span<const double> observed);

/// Probability that Student's t with `freedom` degrees, at least 1, is below `t` (Abramowitz and
/// Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4).
double student_cdf(double t, int freedom);

/// Probability that a standard normal variable is below `z`.
double normal_cdf(double z);

}  // namespace espalier
