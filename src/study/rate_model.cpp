#include "espalier/study/rate_model.hpp"

#include <Eigen/Cholesky>
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace espalier::study {
namespace {

// Variance of effects of which nothing is believed, in units of the noise: enough to leave them to
// the gains, and little enough for the arithmetic.
constexpr double kAnything = 1e6;
// Candidates for that of a plan's own effect of a rate.
constexpr std::array kOwn{0.0, 1.0 / 32, 1.0 / 16, 1.0 / 8, 1.0 / 4, 1.0 / 2,
                          1.0, 2.0,      8.0,      64.0,    1024.0};

}  // namespace

RateModel::RateModel(std::vector<RaceGain> gains) : gains_(std::move(gains)) {
  const auto count = static_cast<Eigen::Index>(gains_.size());
  Eigen::VectorXd values(count);
  for (Eigen::Index i = 0; i < count; ++i) values[i] = gains_[static_cast<std::size_t>(i)].gain;
  values.array() -= values.mean();
  double best = -std::numeric_limits<double>::infinity();
  for (const double own : kOwn) {
    const Eigen::LLT<Eigen::MatrixXd> factor(covariance(own));
    const Eigen::VectorXd weights = factor.solve(values);
    // Gains that are all alike have no noise; they need a positive one.
    const double noise = std::max(values.dot(weights) / static_cast<double>(count),
                                  std::numeric_limits<double>::min());
    const double determinant = 2 * factor.matrixLLT().diagonal().array().log().sum();
    const double likelihood = -0.5 * (static_cast<double>(count) * std::log(noise) + determinant);
    if (likelihood <= best) continue;
    best = likelihood;
    own_ = own;
    noise_ = noise;
    weights_ = weights;
    inverse_ = factor.solve(Eigen::MatrixXd::Identity(count, count));
  }
}

Eigen::MatrixXd RateModel::covariance(double own) const {
  const auto count = static_cast<Eigen::Index>(gains_.size());
  Eigen::MatrixXd matrix(count, count);
  for (Eigen::Index i = 0; i < count; ++i) {
    const RaceGain& a = gains_[static_cast<std::size_t>(i)];
    for (Eigen::Index j = 0; j < count; ++j) {
      const RaceGain& b = gains_[static_cast<std::size_t>(j)];
      const int shared = (a.plan == b.plan) + (a.rate == b.rate) + (a.seed == b.seed);
      matrix(i, j) =
          kAnything * shared + (a.plan == b.plan && a.rate == b.rate ? own : 0) + (i == j ? 1 : 0);
    }
  }
  return matrix;
}

Eigen::VectorXd RateModel::shared_with(std::size_t plan, std::size_t rate) const {
  Eigen::VectorXd row(static_cast<Eigen::Index>(gains_.size()));
  for (std::size_t i = 0; i < gains_.size(); ++i) {
    const int shared = (gains_[i].plan == plan) + (gains_[i].rate == rate);
    row[static_cast<Eigen::Index>(i)] = kAnything * shared + (shared == 2 ? own_ : 0);
  }
  return row;
}

Prediction RateModel::difference(std::size_t plan, std::size_t rate, std::size_t other_plan,
                                 std::size_t other_rate) const {
  const Eigen::VectorXd row = shared_with(plan, rate) - shared_with(other_plan, other_rate);
  const int apart = (plan != other_plan) + (rate != other_rate);
  const double before = 2 * (kAnything * apart + (apart > 0 ? own_ : 0));
  const double variance = before - row.dot(inverse_ * row);
  return {row.dot(weights_), std::sqrt(noise_ * std::max(0.0, variance))};
}

}  // namespace espalier::study
