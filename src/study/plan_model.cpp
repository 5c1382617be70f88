#include "espalier/study/plan_model.hpp"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>

namespace espalier::study {
namespace {

// The factor of single gains before anything is known, and how far it may be from that: sums of
// single gains promise more than plans keep.
constexpr double kShrinkage = 0.7;
constexpr double kShrinkageDeviation = 0.3;
// Likewise the share that turns bring of what a smaller option lacks.
constexpr double kTurnsShare = 0.3;
constexpr double kTurnsShareDeviation = 0.3;
// Depths this far apart share 1/e of their deviation; neighbouring options share this much.
constexpr double kDepthLength = 4.0;
constexpr double kOptionCorrelation = 0.8;
// Keeps Cholesky factors of nearly equal plans finite, relative to the largest variance.
constexpr double kJitter = 1e-9;

double normal(Rng& rng) {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - rng.uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * rng.uniform());
}

Eigen::VectorXd normals(Eigen::Index count, Rng& rng) {
  Eigen::VectorXd z(count);
  for (double& value : z) value = normal(rng);
  return z;
}

Eigen::MatrixXd lower_factor(Eigen::MatrixXd matrix) {
  const double largest = std::max(matrix.diagonal().maxCoeff(), 1e-300);
  for (double jitter = kJitter; jitter < 1; jitter *= 10) {
    matrix.diagonal().array() += jitter * largest;
    const Eigen::LLT<Eigen::MatrixXd> factor(matrix);
    if (factor.info() == Eigen::Success) return factor.matrixL();
  }
  return matrix.diagonal().cwiseMax(0).cwiseSqrt().asDiagonal();
}

bool is_of_parts_alone(Prior prior) {
  return prior == Prior::kNothing || prior == Prior::kNothingOverHead;
}

}  // namespace

PlanModel::PlanModel(const search::Problem& problem, std::vector<Observation> observations,
                     Prior prior)
    : layers_(problem.layers), options_(problem.options), observations_(std::move(observations)) {
  single_ = Eigen::VectorXd::Zero(std::int64_t{layers_} * (1 + options_));
  double sum = 0;
  int count = 0;
  const auto put = [&](Eigen::Index part, double gain, bool available) {
    if (!available) return;
    single_[part] = gain;
    sum += gain * gain;
    ++count;
  };
  for (int depth = 1; depth <= layers_; ++depth) {
    put(depth - 1, problem.bias_gain[static_cast<std::size_t>(depth)],
        search::is_depth_available(problem, depth));
  }
  for (int layer = 0; layer < layers_; ++layer) {
    for (int option = 1; option <= options_; ++option) {
      put(layers_ + std::int64_t{layer} * options_ + option - 1,
          problem.weight_gain[static_cast<std::size_t>(layer)][static_cast<std::size_t>(option)],
          search::is_available(problem, layer, option));
    }
  }
  missing_ = Eigen::VectorXd::Zero(single_.size());
  for (int layer = 0; prior == Prior::kTurns && layer < layers_; ++layer) {
    auto options = single_.segment(layers_ + std::int64_t{layer} * options_, options_);
    // Left at 0 where it is not available.
    const double largest = options[options_ - 1];
    for (int option = 0; option < options_ && largest > 0; ++option) {
      if (search::is_available(problem, layer, option + 1)) {
        missing_[layers_ + std::int64_t{layer} * options_ + option] =
            std::max(0.0, largest - options[option]);
      }
    }
  }
  unit_ = count > 0 && sum > 0 ? std::sqrt(sum / count) : 1.0;
  if (is_of_parts_alone(prior)) single_.setZero();
  over_head_ = prior == Prior::kNothingOverHead;
  for (const Observation& o : observations_) rows_.push_back(features(o.candidate));
  fit(prior);
}

PlanModel::Features PlanModel::features(const search::Candidate& candidate) const {
  Features parts;
  if (candidate.depth > 0) parts.push_back(candidate.depth - 1);
  for (std::size_t layer = 0; layer < candidate.choice.size(); ++layer) {
    if (candidate.choice[layer] == 0) continue;
    parts.push_back(layers_ + static_cast<int>(layer) * options_ + candidate.choice[layer] - 1);
  }
  return parts;
}

Eigen::MatrixXd PlanModel::part_covariance(const ModelScales& scales) const {
  Eigen::MatrixXd covariance =
      kShrinkageDeviation * kShrinkageDeviation * single_ * single_.transpose() +
      kTurnsShareDeviation * kTurnsShareDeviation * missing_ * missing_.transpose();
  const double depth = scales.depth * scales.depth;
  for (int a = 0; a < layers_; ++a) {
    for (int b = 0; b < layers_; ++b) {
      covariance(a, b) += depth * std::exp(-std::abs(a - b) / kDepthLength);
    }
  }
  const double option = scales.option * scales.option;
  for (int layer = 0; layer < layers_; ++layer) {
    const int first = layers_ + layer * options_;
    for (int a = 0; a < options_; ++a) {
      for (int b = 0; b < options_; ++b) {
        covariance(first + a, first + b) += option * std::pow(kOptionCorrelation, std::abs(a - b));
      }
    }
  }
  return covariance;
}

double PlanModel::prior_mean(const Features& x) const {
  double sum = 0;
  for (const int part : x) sum += kShrinkage * single_[part] + kTurnsShare * missing_[part];
  return sum;
}

// Of the additive part and of the smooth one, which is the square of the additive part's
// correlation: as much as all products of two parts together.
double PlanModel::covariance(const Features& a, const Features& b) const {
  const auto additive = [&](const Features& x, const Features& y) {
    double sum = 0;
    for (const int i : x) {
      for (const int j : y) sum += parts_(i, j);
    }
    return sum;
  };
  if (a.empty() || b.empty()) return 0;
  const double shared = additive(a, b);
  const double correlation = shared / std::sqrt(additive(a, a) * additive(b, b));
  return shared + scales_.interaction * scales_.interaction * correlation * correlation;
}

double PlanModel::own_effect(const search::Candidate& a, const search::Candidate& b) const {
  return a == b ? scales_.own * scales_.own : 0.0;
}

Eigen::VectorXd PlanModel::shared_with(const search::Candidate& candidate) const {
  const Features x = features(candidate);
  Eigen::VectorXd row(static_cast<Eigen::Index>(rows_.size()));
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    row[static_cast<Eigen::Index>(i)] =
        covariance(x, rows_[i]) + own_effect(candidate, observations_[i].candidate);
  }
  return row;
}

double PlanModel::set_scales(const ModelScales& scales) {
  scales_ = scales;
  parts_ = part_covariance(scales);
  const auto count = static_cast<Eigen::Index>(rows_.size());
  // Plans repeat, so their features do: additive sums and norms are worth keeping.
  Eigen::MatrixXd design = Eigen::MatrixXd::Zero(count, single_.size());
  for (Eigen::Index i = 0; i < count; ++i) {
    for (const int part : rows_[static_cast<std::size_t>(i)]) design(i, part) = 1;
  }
  Eigen::MatrixXd matrix = design * parts_ * design.transpose();
  const Eigen::VectorXd norm = matrix.diagonal().cwiseMax(1e-300).cwiseSqrt();
  const double interaction = scales.interaction * scales.interaction;
  residual_.resize(count);
  for (Eigen::Index i = 0; i < count; ++i) {
    const auto row = static_cast<std::size_t>(i);
    residual_[i] = observations_[row].gain - prior_mean(rows_[row]);
    for (Eigen::Index j = 0; j < count; ++j) {
      const double correlation = matrix(i, j) / (norm[i] * norm[j]);
      const Observation& other = observations_[static_cast<std::size_t>(j)];
      matrix(i, j) += interaction * correlation * correlation +
                      own_effect(observations_[row].candidate, other.candidate);
      if (observations_[row].seed != other.seed) continue;
      matrix(i, j) += scales.seed * scales.seed;
      // As many trainings of the head as one of the plan.
      if (over_head_) {
        matrix(i, j) +=
            scales.noise * scales.noise / std::max(observations_[row].trainings, other.trainings);
      }
    }
  }
  for (Eigen::Index i = 0; i < count; ++i) {
    matrix(i, i) +=
        scales.noise * scales.noise / observations_[static_cast<std::size_t>(i)].trainings;
  }
  factor_ = count > 0 ? lower_factor(matrix) : Eigen::MatrixXd();
  if (count == 0) return 0;
  const auto lower = factor_.triangularView<Eigen::Lower>();
  const Eigen::VectorXd half = lower.solve(residual_);
  weights_ = factor_.transpose().triangularView<Eigen::Upper>().solve(half);
  return -0.5 * half.squaredNorm() - factor_.diagonal().array().log().sum();
}

// Coordinate search over the logarithms of the scales, held by a wide prior around the size of the
// single gains: few observations say little about some of them.
void PlanModel::fit(Prior prior) {
  ModelScales start{0.3 * unit_, 0.3 * unit_, 0.2 * unit_, 0.1 * unit_, 0.1 * unit_, 0.2 * unit_};
  std::vector<double ModelScales::*> members{&ModelScales::depth, &ModelScales::option,
                                             &ModelScales::noise};
  if (!is_of_parts_alone(prior)) {
    members.insert(members.end(),
                   {&ModelScales::interaction, &ModelScales::own, &ModelScales::seed});
  } else {
    start.interaction = start.own = start.seed = 0;
  }
  const auto score = [&](const ModelScales& scales) {
    double penalty = 0;
    for (const auto member : members) {
      const double distance = std::log(scales.*member / start.*member);
      penalty += distance * distance / 2;
    }
    return set_scales(scales) - penalty;
  };
  ModelScales best = start;
  if (!observations_.empty()) {
    double best_score = score(best);
    for (double step = 0.8; step > 0.15; step /= 2) {
      for (int sweep = 0; sweep < 2; ++sweep) {
        for (const auto member : members) {
          for (const double direction : {std::exp(step), std::exp(-step)}) {
            for (ModelScales next = best;;) {
              next.*member *= direction;
              const double value = score(next);
              if (!(value > best_score)) break;
              best_score = value;
              best = next;
            }
          }
        }
      }
    }
  }
  set_scales(best);
}

double PlanModel::shrinkage() const {
  if (observations_.empty()) return kShrinkage;
  double sum = 0;
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    for (const int part : rows_[i]) sum += single_[part] * weights_[static_cast<Eigen::Index>(i)];
  }
  return kShrinkage + kShrinkageDeviation * kShrinkageDeviation * sum;
}

Prediction PlanModel::predict(const search::Candidate& candidate) const {
  const Features x = features(candidate);
  Prediction prediction{prior_mean(x), 0};
  double variance = covariance(x, x) + own_effect(candidate, candidate);
  if (!observations_.empty()) {
    const Eigen::VectorXd shared = shared_with(candidate);
    prediction.mean += shared.dot(weights_);
    variance -= factor_.triangularView<Eigen::Lower>().solve(shared).squaredNorm();
  }
  prediction.deviation = std::sqrt(std::max(0.0, variance));
  return prediction;
}

Prediction PlanModel::compare(const search::Candidate& a, const search::Candidate& b) const {
  if (a == b) return {};
  const Prediction first = predict(a);
  const Prediction second = predict(b);
  double together = covariance(features(a), features(b));
  if (!observations_.empty()) {
    const auto lower = factor_.triangularView<Eigen::Lower>();
    together -= lower.solve(shared_with(a)).dot(lower.solve(shared_with(b)));
  }
  const double variance = first.deviation * first.deviation + second.deviation * second.deviation;
  return {first.mean - second.mean, std::sqrt(std::max(0.0, variance - 2 * together))};
}

std::vector<double> PlanModel::sample(std::span<const search::Candidate> candidates,
                                      Rng& rng) const {
  const auto count = static_cast<Eigen::Index>(candidates.size());
  const auto observed = static_cast<Eigen::Index>(observations_.size());
  std::vector<Features> rows;
  for (const search::Candidate& c : candidates) rows.push_back(features(c));
  Eigen::VectorXd mean(count);
  Eigen::MatrixXd covariance_matrix(count, count);
  Eigen::MatrixXd shared(observed, count);
  for (Eigen::Index i = 0; i < count; ++i) {
    const auto row = static_cast<std::size_t>(i);
    mean[i] = prior_mean(rows[row]);
    for (Eigen::Index j = 0; j <= i; ++j) {
      const auto column = static_cast<std::size_t>(j);
      covariance_matrix(i, j) = covariance_matrix(j, i) =
          covariance(rows[row], rows[column]) + own_effect(candidates[row], candidates[column]);
    }
    if (observed == 0) continue;
    shared.col(i) = shared_with(candidates[row]);
  }
  if (observed > 0) {
    mean += shared.transpose() * weights_;
    const Eigen::MatrixXd half = factor_.triangularView<Eigen::Lower>().solve(shared);
    covariance_matrix -= half.transpose() * half;
  }
  const Eigen::VectorXd draw = mean + lower_factor(covariance_matrix) * normals(count, rng);
  return {draw.begin(), draw.end()};
}

Eigen::VectorXd PlanModel::part_means() const {
  Eigen::VectorXd sums = Eigen::VectorXd::Zero(single_.size());
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    for (const int part : rows_[i]) sums[part] += weights_[static_cast<Eigen::Index>(i)];
  }
  return kShrinkage * single_ + kTurnsShare * missing_ + parts_ * sums;
}

search::Problem PlanModel::with_gains(search::Problem problem, const Eigen::VectorXd& parts) const {
  for (int depth = 1; depth <= layers_; ++depth) {
    problem.bias_gain[static_cast<std::size_t>(depth)] = parts[depth - 1];
  }
  for (int layer = 0; layer < layers_; ++layer) {
    for (int option = 1; option <= options_; ++option) {
      problem.weight_gain[static_cast<std::size_t>(layer)][static_cast<std::size_t>(option)] =
          parts[layers_ + std::int64_t{layer} * options_ + option - 1];
    }
  }
  return problem;
}

search::Problem PlanModel::mean_gains(search::Problem problem) const {
  return with_gains(std::move(problem), part_means());
}

search::Problem PlanModel::sample_gains(search::Problem problem, Rng& rng) const {
  if (single_.size() == 0) return problem;  // without layers the head is all there is
  Eigen::MatrixXd posterior = parts_;
  if (!rows_.empty()) {
    Eigen::MatrixXd design =
        Eigen::MatrixXd::Zero(static_cast<Eigen::Index>(rows_.size()), single_.size());
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      for (const int part : rows_[i]) design(static_cast<Eigen::Index>(i), part) = 1;
    }
    const Eigen::MatrixXd half = factor_.triangularView<Eigen::Lower>().solve(design * parts_);
    posterior -= half.transpose() * half;
  }
  return with_gains(std::move(problem),
                    part_means() + lower_factor(posterior) * normals(single_.size(), rng));
}

// With A the inverse covariance and B a block of it, leaving the block's observations out moves
// their predictions to y - B^-1 (A r) (ibid., equation 5.12, for blocks).
std::vector<double> PlanModel::predictions_without() const {
  std::vector<double> predictions(observations_.size());
  if (observations_.empty()) return predictions;
  const auto count = static_cast<Eigen::Index>(observations_.size());
  const auto lower = factor_.triangularView<Eigen::Lower>();
  const Eigen::MatrixXd half = lower.solve(Eigen::MatrixXd::Identity(count, count));
  const Eigen::MatrixXd inverse = half.transpose() * half;
  std::map<std::pair<int, std::vector<std::uint8_t>>, std::vector<Eigen::Index>> plans;
  for (std::size_t i = 0; i < observations_.size(); ++i) {
    const search::Candidate& c = observations_[i].candidate;
    plans[{c.depth, c.choice}].push_back(static_cast<Eigen::Index>(i));
  }
  for (const auto& [plan, rows] : plans) {
    const Eigen::MatrixXd block = inverse(rows, rows);
    const Eigen::VectorXd moved = block.ldlt().solve(Eigen::VectorXd(weights_(rows)));
    for (std::size_t k = 0; k < rows.size(); ++k) {
      const auto i = static_cast<std::size_t>(rows[k]);
      predictions[i] = observations_[i].gain - moved[static_cast<Eigen::Index>(k)];
    }
  }
  return predictions;
}

}  // namespace espalier::study
