// What plans gain at learning rates, from a race in which each of them ran at several: what a rate
// brings is much the same for plans of one size, and eight trainings of one plan at two rates say
// less about it than those of all plans.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "espalier/study/plan_model.hpp"

namespace espalier::study {

/// What one training of a race gained. Plans, rates and seeds are numbers, equal for equal ones.
struct RaceGain {
  std::size_t plan = 0;
  std::size_t rate = 0;
  std::size_t seed = 0;
  double gain = 0;
};

/// A gain is an effect of the plan, one of the rate and one of the seed, of all of which nothing is
/// believed before, one of the plan at this rate, and noise. How large the fourth is beside the
/// noise has most marginal likelihood (Rasmussen and Williams, "Gaussian Processes for Machine
/// Learning" (2006), section 5.4), where it may be nothing.
class RateModel {
 public:
  /// Of at least one gain.
  explicit RateModel(std::vector<RaceGain> gains);

  /// By how much a plan at a rate is expected to gain more than another at another. Seeds and noise
  /// are left out; of a plan or a rate that has no gain nothing is known.
  [[nodiscard]] Prediction difference(std::size_t plan, std::size_t rate, std::size_t other_plan,
                                      std::size_t other_rate) const;

  /// Variance of a plan's own effect of a rate, in units of that of the noise.
  [[nodiscard]] double own() const { return own_; }

 private:
  [[nodiscard]] Eigen::MatrixXd covariance(double own) const;
  [[nodiscard]] Eigen::VectorXd shared_with(std::size_t plan, std::size_t rate) const;

  std::vector<RaceGain> gains_;
  double own_ = 0;
  double noise_ = 0;         // variance
  Eigen::MatrixXd inverse_;  // of the gains' covariance, in units of the noise
  Eigen::VectorXd weights_;
};

}  // namespace espalier::study
