// What measured plans say about plans that were not measured: a Gaussian process over candidates.
//
// A plan's gain is the sum of the gains of its parts, as the contribution analysis has it, plus a
// smooth function of the whole plan (what adding up leaves out), plus an effect of its own. What is
// observed holds an effect of the seed besides: the order of the samples suits all plans alike. The
// parts' gains have the measured single gains, shrunk by a fitted factor, as prior mean, and a
// prior covariance that ties neighbouring depths and the options of one layer. An observation is a
// gain measured with one seed. Rasmussen and Williams, "Gaussian Processes for Machine Learning"
// (2006), sections 2.2, 2.7 and 5.4, is the theory.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <span>
#include <vector>

#include "espalier/search/problem.hpp"
#include "espalier/support/rng.hpp"

namespace espalier::study {

/// The gain of a plan as trainings measured it.
struct Observation {
  search::Candidate candidate;
  double gain = 0;         ///< mean over the trainings
  std::uint64_t seed = 0;  ///< of the training; the same for all where each is a mean over seeds
  int trainings = 1;
};

/// What is believed of the parts before anything is observed.
enum class Prior {
  kSingleGains,  ///< about what the contribution analysis measured, shrunk by a fitted factor
  /// The same where channels take turns: an option brings a fitted share, too, of how far the
  /// largest option of its layer is above it, for in the end all its channels have trained.
  kTurns,
  /// Zero, give or take a fitted size; and nothing but parts and noise, which is all that plans of
  /// one or two parts can tell apart.
  kNothing,
  /// The same of gains over training the head alone with the same seeds: what noise these had is in
  /// all of them.
  kNothingOverHead,
};

/// Standard deviations in the unit of the gains.
struct ModelScales {
  double depth = 0;        ///< of a depth's gain around its shrunk single gain
  double option = 0;       ///< likewise of an option's
  double interaction = 0;  ///< of what adding up leaves out, shared by similar plans
  double own = 0;          ///< of a plan's own effect, shared by nothing
  double seed = 0;         ///< of a seed's effect, shared by all plans that trained with it
  double noise = 0;        ///< what is left between trainings of one plan
};

struct Prediction {
  double mean = 0;
  double deviation = 0;  ///< of the expected gain over seeds, noise of a training left out
};

class PlanModel {
 public:
  /// `problem` gives layers, options and single gains; its constraints are not read. Fits the
  /// scales and the factor of the single gains to the observations by their marginal likelihood.
  PlanModel(const search::Problem& problem, std::vector<Observation> observations,
            Prior prior = Prior::kSingleGains);

  [[nodiscard]] const ModelScales& scales() const { return scales_; }
  /// Posterior mean of the factor that single gains are multiplied by.
  [[nodiscard]] double shrinkage() const;

  [[nodiscard]] Prediction predict(const search::Candidate& candidate) const;
  /// How far the expected gain of `a` is above that of `b`.
  [[nodiscard]] Prediction compare(const search::Candidate& a, const search::Candidate& b) const;
  /// One draw of the expected gains of all candidates together.
  [[nodiscard]] std::vector<double> sample(std::span<const search::Candidate> candidates,
                                           Rng& rng) const;
  /// `problem` with gains drawn from the posterior of the additive part, or with its mean.
  [[nodiscard]] search::Problem sample_gains(search::Problem problem, Rng& rng) const;
  [[nodiscard]] search::Problem mean_gains(search::Problem problem) const;

  /// What each observation would have been predicted as without it (leave one plan out: all
  /// observations of the same candidate are left out together).
  [[nodiscard]] std::vector<double> predictions_without() const;

 private:
  using Features = std::vector<int>;  // parts of a plan, ascending

  [[nodiscard]] Features features(const search::Candidate& candidate) const;
  [[nodiscard]] Eigen::MatrixXd part_covariance(const ModelScales& scales) const;
  [[nodiscard]] double prior_mean(const Features& x) const;
  [[nodiscard]] double covariance(const Features& a, const Features& b) const;
  /// Prior covariance of a candidate's gain with each observation's.
  [[nodiscard]] Eigen::VectorXd shared_with(const search::Candidate& candidate) const;
  [[nodiscard]] double own_effect(const search::Candidate& a, const search::Candidate& b) const;
  void fit(Prior prior);
  double set_scales(const ModelScales& scales);  // returns the log of the marginal likelihood
  [[nodiscard]] search::Problem with_gains(search::Problem problem,
                                           const Eigen::VectorXd& parts) const;
  [[nodiscard]] Eigen::VectorXd part_means() const;

  int layers_ = 0;
  int options_ = 0;
  double unit_ = 1;  // typical size of a single gain
  Eigen::VectorXd single_;
  bool over_head_ = false;   // kNothingOverHead
  Eigen::VectorXd missing_;  // kTurns: how far the largest option of the layer is above the part
  std::vector<Observation> observations_;
  std::vector<Features> rows_;
  ModelScales scales_;
  Eigen::MatrixXd parts_;   // prior covariance of the parts' gains
  Eigen::MatrixXd factor_;  // Cholesky factor of the observations' covariance
  Eigen::VectorXd residual_;
  Eigen::VectorXd weights_;  // inverse covariance times residual
};

}  // namespace espalier::study
