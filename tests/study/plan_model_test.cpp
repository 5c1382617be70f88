#include "espalier/study/plan_model.hpp"

#include <gtest/gtest.h>

#include <Eigen/QR>
#include <cmath>
#include <numeric>

#include "espalier/support/statistics.hpp"

namespace espalier::study {
namespace {

using search::Candidate;

// Six layers of two options, without constraints.
search::Problem prior() {
  search::Problem problem;
  problem.layers = 6;
  problem.options = 2;
  for (int depth = 0; depth <= 6; ++depth) problem.bias_gain.push_back(0.1 * std::sqrt(depth));
  for (int layer = 0; layer < 6; ++layer) {
    problem.weight_gain.push_back({0.0, 0.01 * (layer + 1), 0.015 * (layer + 1)});
  }
  return problem;
}

Candidate random_candidate(Rng& rng) {
  Candidate candidate{static_cast<int>(1 + rng.below(6)), std::vector<std::uint8_t>(6, 0)};
  for (int layer = 6 - candidate.depth; layer < 6; ++layer) {
    candidate.choice[static_cast<std::size_t>(layer)] = static_cast<std::uint8_t>(rng.below(3));
  }
  return candidate;
}

TEST(PlanModel, WithoutObservationsIsTheShrunkSum) {
  const search::Problem problem = prior();
  const PlanModel model(problem, {});
  Rng rng{1};
  for (int i = 0; i < 20; ++i) {
    const Candidate candidate = random_candidate(rng);
    const Prediction p = model.predict(candidate);
    EXPECT_NEAR(p.mean, model.shrinkage() * search::objective(problem, candidate), 1e-12);
    EXPECT_GT(p.deviation, 0);
  }
}

// A network may have no convolutions: its only plan trains the head.
TEST(PlanModel, KnowsAPlanWithoutParts) {
  search::Problem problem;
  problem.bias_gain = {0.0};
  problem.options = 2;
  const PlanModel model(problem, {{Candidate{}, 0.0, 0}, {Candidate{}, 0.01, 1}});
  Rng rng{1};
  EXPECT_EQ(model.sample_gains(problem, rng).bias_gain, problem.bias_gain);
  EXPECT_EQ(model.mean_gains(problem).bias_gain, problem.bias_gain);
  EXPECT_EQ(model.sample(std::vector<Candidate>{Candidate{}}, rng).size(), 1U);
}

// What is observed again and again is believed, and its neighbours move along.
TEST(PlanModel, FollowsWhatItObserves) {
  const search::Problem problem = prior();
  const Candidate plan{4, {0, 0, 1, 0, 2, 0}};
  const Candidate near{4, {0, 0, 1, 0, 1, 0}};
  std::vector<Observation> observations(12, {plan, 0.9});
  for (std::size_t i = 0; i < observations.size(); ++i) {
    observations[i].gain += i % 2 == 0 ? 0.01 : -0.01;
  }
  const PlanModel before(problem, {});
  const PlanModel model(problem, observations);
  EXPECT_NEAR(model.predict(plan).mean, 0.9, 0.02);
  EXPECT_LT(model.predict(plan).deviation, before.predict(plan).deviation);
  EXPECT_GT(model.predict(near).mean, before.predict(near).mean + 0.1);
}

// A seed that suits all plans alike says nothing for the plans that happened to train with it.
TEST(PlanModel, TellsASeedsEffectFromAPlans) {
  const search::Problem problem = prior();
  Rng rng{5};
  std::vector<Observation> observations;
  for (int i = 0; i < 80; ++i) {
    const Candidate candidate = random_candidate(rng);
    const auto seed = static_cast<std::uint64_t>(i % 4);
    const double effect = seed == 0 ? 0.3 : -0.1;
    observations.push_back({candidate, search::objective(problem, candidate) + effect, seed});
  }
  const PlanModel model(problem, observations);
  EXPECT_GT(model.scales().seed, 0.05);
  EXPECT_LT(model.scales().noise, 0.05);
  for (const Observation& o : observations) {
    EXPECT_NEAR(model.predict(o.candidate).mean, search::objective(problem, o.candidate), 0.1);
  }
}

// Gains of a linear world with another factor and other parts are found from its plans.
TEST(PlanModel, LearnsALinearWorld) {
  const search::Problem problem = prior();
  Rng rng{7};
  search::Problem world = problem;
  for (double& gain : world.bias_gain) gain *= 0.5;
  for (auto& row : world.weight_gain) {
    for (std::size_t option = 1; option < row.size(); ++option)
      row[option] += rng.uniform(-0.03, 0.03);
  }
  std::vector<Observation> observations;
  for (int i = 0; i < 150; ++i) {
    const Candidate candidate = random_candidate(rng);
    observations.push_back(
        {candidate, search::objective(world, candidate) + rng.uniform(-0.005, 0.005)});
  }
  const PlanModel model(problem, observations);
  std::vector<double> predicted;
  std::vector<double> truth;
  for (int i = 0; i < 100; ++i) {
    const Candidate candidate = random_candidate(rng);
    predicted.push_back(model.predict(candidate).mean);
    truth.push_back(search::objective(world, candidate));
  }
  EXPECT_GT(*rank_correlation(predicted, truth), 0.97);
  EXPECT_GT(*explained_variance(predicted, truth), 0.95);
  EXPECT_LT(model.scales().noise, 0.02);
}

// Which depth a candidate of six layers has, and which option of which layer.
Eigen::VectorXd parts_of(const Candidate& candidate) {
  Eigen::VectorXd parts = Eigen::VectorXd::Zero(18);
  parts[candidate.depth - 1] = 1;
  for (int layer = 0; layer < 6; ++layer) {
    const int choice = candidate.choice[static_cast<std::size_t>(layer)];
    if (choice > 0) parts[6 + 2 * layer + choice - 1] = 1;
  }
  return parts;
}

// The best that a sum of parts can say of all observations: least squares.
Eigen::VectorXd sum_of_parts(const std::vector<Observation>& observations) {
  Eigen::MatrixXd design(static_cast<Eigen::Index>(observations.size()), 18);
  Eigen::VectorXd gains(design.rows());
  for (Eigen::Index i = 0; i < design.rows(); ++i) {
    const Observation& o = observations[static_cast<std::size_t>(i)];
    design.row(i) = parts_of(o.candidate);
    gains[i] = o.gain;
  }
  return design.colPivHouseholderQr().solve(gains);
}

// Parts that get in each other's way, or help, are more than any sum of parts can say.
TEST(PlanModel, LearnsWhatPairsAreBesidesTheirSum) {
  const search::Problem problem = prior();
  for (const std::uint64_t seed : {11, 12, 13}) {
    Rng rng{seed};
    double pairs[6][6];
    for (auto& row : pairs) {
      for (double& pair : row) pair = rng.uniform(-0.06, 0.06);
    }
    const auto gain = [&](const Candidate& candidate) {
      double sum = search::objective(problem, candidate);
      for (std::size_t a = 0; a < 6; ++a) {
        for (std::size_t b = 0; b < a; ++b) {
          if (candidate.choice[a] != 0 && candidate.choice[b] != 0) sum += pairs[a][b];
        }
      }
      return sum;
    };
    std::vector<Observation> observations;
    for (int i = 0; i < 120; ++i) {
      const Candidate candidate = random_candidate(rng);
      observations.push_back({candidate, gain(candidate) + rng.uniform(-0.005, 0.005)});
    }
    const PlanModel model(problem, observations);
    const PlanModel sums(problem, observations, Prior::kNothing);
    const Eigen::VectorXd fitted = sum_of_parts(observations);
    std::vector<double> truth;
    std::vector<double> predicted;
    std::vector<double> added;
    std::vector<double> regressed;
    for (int i = 0; i < 200; ++i) {
      const Candidate candidate = random_candidate(rng);
      truth.push_back(gain(candidate));
      predicted.push_back(model.predict(candidate).mean);
      added.push_back(sums.predict(candidate).mean);
      regressed.push_back(parts_of(candidate).dot(fitted));
    }
    EXPECT_GT(model.scales().interaction, 0.01);
    for (const std::vector<double>& sum : {added, regressed}) {
      EXPECT_LT(1 - *explained_variance(predicted, truth),
                0.5 * (1 - *explained_variance(sum, truth)));
    }
  }
}

// Luck of the head's trainings is in every gain: many that are alike are no evidence.
TEST(PlanModel, WhatAllGainsOverOneHeadShareIsUnsure) {
  const search::Problem problem = prior();
  int sure = 0;
  int sure_without = 0;
  for (std::uint64_t luck = 1; luck <= 40; ++luck) {
    Rng rng{luck};
    const auto error = [&] {
      double sum = 0;
      for (int i = 0; i < 12; ++i) sum += rng.uniform(-0.5, 0.5);
      return 0.03 * sum;
    };
    const double head = error();
    std::vector<Observation> observations;
    const auto observe = [&](const Candidate& c) {
      observations.push_back({c, error() - head, 0});
    };
    Candidate plan = search::empty_candidate(problem);
    const Candidate nothing = plan;
    for (plan.depth = 1; plan.depth <= problem.layers; ++plan.depth) observe(plan);
    plan.depth = problem.layers;
    for (std::uint8_t& choice : plan.choice) {
      for (choice = 1; choice <= problem.options; ++choice) observe(plan);
      choice = 0;
    }
    const auto is_sure = [&](Prior prior) {
      const Prediction d = PlanModel(problem, observations, prior).compare(plan, nothing);
      return std::abs(d.mean) > 2.5 * d.deviation;
    };
    sure += is_sure(Prior::kNothingOverHead);
    sure_without += is_sure(Prior::kNothing);
  }
  EXPECT_LE(sure, 4);
  EXPECT_GT(sure_without, 8);
}

// Where turns bring small options most of what the largest brings, few plans show it, and it holds
// for layers that none of them trained.
TEST(PlanModel, LearnsWhatTurnsBringToLayersNotYetTried) {
  search::Problem problem = prior();
  for (auto& row : problem.weight_gain) row[2] = 5 * row[1];
  search::Problem world = problem;
  for (auto& row : world.weight_gain) row[1] += 0.8 * (row[2] - row[1]);
  Rng rng{9};
  std::vector<Observation> observations;
  for (int i = 0; i < 30; ++i) {
    Candidate candidate = random_candidate(rng);
    candidate.choice[5] = 0;
    observations.push_back(
        {candidate, 0.7 * search::objective(world, candidate) + rng.uniform(-0.005, 0.005)});
  }
  const Candidate untried{1, {0, 0, 0, 0, 0, 1}};
  const double truth = 0.7 * search::objective(world, untried);
  const double believed = PlanModel(problem, observations, Prior::kTurns).predict(untried).mean;
  const double without = PlanModel(problem, observations).predict(untried).mean;
  EXPECT_NEAR(believed, truth, 0.15 * truth);
  EXPECT_LT(without, 0.8 * truth);
}

// Leaving a plan out by the formula equals fitting without it, scales held.
TEST(PlanModel, PredictionsWithoutAPlanDoNotKnowIt) {
  const search::Problem problem = prior();
  Rng rng{3};
  std::vector<Observation> observations;
  for (int i = 0; i < 30; ++i) {
    const Candidate candidate = random_candidate(rng);
    observations.push_back({candidate, search::objective(problem, candidate)});
  }
  const std::vector<double> usual = PlanModel(problem, observations).predictions_without();
  // A plan far off what is expected must not pull its own prediction along.
  observations[0].gain += 0.05;
  const PlanModel model(problem, observations);
  const double without = model.predictions_without()[0];
  EXPECT_LT(std::abs(without - usual[0]), 0.02);
  EXPECT_GT(model.predict(observations[0].candidate).mean, without);
}

// Draws have the mean and the deviation that predictions claim, and agree on equal plans.
TEST(PlanModel, SamplesItsPosterior) {
  const search::Problem problem = prior();
  Rng rng{5};
  std::vector<Observation> observations;
  for (int i = 0; i < 20; ++i) {
    const Candidate candidate = random_candidate(rng);
    observations.push_back({candidate, 0.5 * search::objective(problem, candidate)});
  }
  const PlanModel model(problem, observations);
  const std::vector<Candidate> plans{random_candidate(rng), random_candidate(rng)};
  constexpr int kDraws = 4000;
  std::vector<double> sum(2);
  std::vector<double> squares(2);
  for (int draw = 0; draw < kDraws; ++draw) {
    Rng key{11, static_cast<std::uint64_t>(draw)};
    const std::vector<double> values = model.sample(plans, key);
    for (std::size_t i = 0; i < 2; ++i) {
      sum[i] += values[i];
      squares[i] += values[i] * values[i];
    }
  }
  for (std::size_t i = 0; i < 2; ++i) {
    const Prediction p = model.predict(plans[i]);
    const double mean = sum[i] / kDraws;
    EXPECT_NEAR(mean, p.mean, 5 * p.deviation / std::sqrt(kDraws));
    EXPECT_NEAR(std::sqrt(squares[i] / kDraws - mean * mean), p.deviation, 0.06 * p.deviation);
  }
}

}  // namespace
}  // namespace espalier::study
