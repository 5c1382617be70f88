#include "espalier/study/measured_search.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "../search/random_problem.hpp"
#include "espalier/search/validate.hpp"

namespace espalier::study {
namespace {

using search::Candidate;

// A world where plans are not the sum of their parts: pairs of trained layers add or take away.
class World {
 public:
  explicit World(std::uint64_t seed, double noise = 0.0, int layers = 6, int options = 2)
      : seed_(seed), noise_(noise), truth_(testing::random_problem(seed, layers, options, 1)) {
    Rng rng{seed, 99};
    for (int a = 0; a < layers; ++a) {
      for (int b = 0; b < a; ++b) pairs_[{a, b}] = rng.uniform(-0.5, 0.15);
    }
  }

  /// Single gains as an analysis would have measured them.
  [[nodiscard]] const search::Problem& problem() const { return truth_; }

  [[nodiscard]] double gain(const Candidate& candidate) const {
    double sum = search::objective(truth_, candidate);
    for (const auto& [pair, value] : pairs_) {
      if (candidate.choice[static_cast<std::size_t>(pair.first)] != 0 &&
          candidate.choice[static_cast<std::size_t>(pair.second)] != 0) {
        sum += value;
      }
    }
    return sum;
  }

  [[nodiscard]] Measure measure() const {
    return
        [this](const std::vector<Request>& requests) -> Result<std::vector<std::optional<double>>> {
          std::vector<std::optional<double>> gains;
          for (const Request& r : requests) {
            Rng rng{seed_, r.seed, r.race ? 1U : 0U, key(r.candidate)};
            double sum = 0;
            for (int i = 0; i < 12; ++i) sum += rng.uniform(-0.5, 0.5);
            gains.emplace_back(gain(r.candidate) + noise_ * sum);
          }
          return gains;
        };
  }

  /// The best gain of any feasible plan, and how many there are.
  [[nodiscard]] std::pair<double, int> optimum() const {
    double best = -1e9;
    int count = 0;
    testing::for_each_candidate(truth_, [&](const Candidate& candidate) {
      const search::Constraint& constraint = truth_.constraints[0];
      if (search::cost(constraint, candidate) > constraint.limit) return;
      best = std::max(best, gain(candidate));
      ++count;
    });
    return {best, count};
  }

 private:
  static std::uint64_t key(const Candidate& candidate) {
    std::uint64_t hash = static_cast<std::uint64_t>(candidate.depth);
    for (const std::uint8_t option : candidate.choice) hash = hash * 31 + option;
    return hash;
  }

  std::uint64_t seed_;
  double noise_;
  search::Problem truth_;
  std::map<std::pair<int, int>, double> pairs_;
};

TEST(MeasuredSearch, ReachesTheOptimumWithATenthOfAllTrainings) {
  int worlds = 0;
  for (std::uint64_t seed = 1; seed <= 80 && worlds < 12; ++seed) {
    const World world(seed);
    const auto [best, count] = world.optimum();
    if (count < 400 || best < 0.5) continue;
    ++worlds;
    MeasuredSearchOptions options;
    options.measurements = count / 10 - 12;
    options.seeds = {0};
    options.race_seeds = 2;
    options.finalists = 4;
    options.seed = seed;
    const Result<MeasuredSearchResult> result =
        measured_search({world.problem()}, world.measure(), options);
    ASSERT_TRUE(result.ok()) << result.error().message();
    EXPECT_LE(result->measurements, count / 10);
    EXPECT_GE(world.gain(result->plans[0].solution.candidate), 0.99 * best)
        << "world " << seed << ": " << count << " plans";
  }
  EXPECT_EQ(worlds, 12);
}

TEST(MeasuredSearch, IsNeverWorseThanAddingUpByItsOwnValidation) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    const World world(seed, 0.2);
    MeasuredSearchOptions options;
    options.measurements = 20;
    options.seed = seed;
    const Result<MeasuredSearchResult> result =
        measured_search({world.problem()}, world.measure(), options);
    ASSERT_TRUE(result.ok());
    const MeasuredPlan& plan = result->plans[0];
    EXPECT_TRUE(search::validate(world.problem(),
                                 search::make_solution(world.problem(), plan.solution.candidate))
                    .ok());
    const auto additive =
        std::find_if(plan.finalists.begin(), plan.finalists.end(),
                     [&](const Finalist& f) { return f.candidate == plan.additive.candidate; });
    ASSERT_NE(additive, plan.finalists.end());
    EXPECT_GE(plan.solution.objective, additive->mean());
    EXPECT_GE(plan.over_additive, 0.5);
  }
}

TEST(MeasuredSearch, GivesTheSameAnswerTwice) {
  const World world(3, 0.1);
  MeasuredSearchOptions options;
  options.measurements = 30;
  const auto run = [&] { return measured_search({world.problem()}, world.measure(), options); };
  const Result<MeasuredSearchResult> one = run();
  const Result<MeasuredSearchResult> two = run();
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(one->plans[0].solution, two->plans[0].solution);
  ASSERT_EQ(one->observations.size(), two->observations.size());
  for (std::size_t i = 0; i < one->observations.size(); ++i) {
    EXPECT_EQ(one->observations[i].candidate, two->observations[i].candidate);
    EXPECT_EQ(one->observations[i].gain, two->observations[i].gain);
  }
}

TEST(MeasuredSearch, SharesTrainingsBetweenBudgets) {
  const World world(5);
  search::Problem small = world.problem();
  small.constraints[0].limit = (small.constraints[0].limit + 25) / 2;
  const Result<MeasuredSearchResult> result =
      measured_search({world.problem(), small}, world.measure(), {.measurements = 60});
  ASSERT_TRUE(result.ok()) << result.error().message();
  ASSERT_EQ(result->plans.size(), 2U);
  EXPECT_LE(search::cost(small.constraints[0], result->plans[1].solution.candidate),
            small.constraints[0].limit);
  EXPECT_GE(world.gain(result->plans[0].solution.candidate),
            world.gain(result->plans[1].solution.candidate) - 1e-9);
  EXPECT_GT(*result->after.rank, *result->before.rank);
}

TEST(MeasuredSearch, PlansThatDivergeAreAvoided) {
  const World world(4);
  const Measure truth = world.measure();
  const Measure half = [&](const std::vector<Request>& requests) {
    auto gains = truth(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (requests[i].candidate.depth >= 5) (*gains)[i] = std::nullopt;
    }
    return gains;
  };
  const Result<MeasuredSearchResult> result =
      measured_search({world.problem()}, half, {.measurements = 60});
  ASSERT_TRUE(result.ok());
  EXPECT_LT(result->plans[0].solution.candidate.depth, 5);
}

// A few trainings in a hundred end in ruin, whatever the plan: that must neither look like noise of
// all others nor be what the winner is chosen by.
TEST(MeasuredSearch, AFewThatDivergeSpoilNothing) {
  double lost = 0;
  int worlds = 0;
  int diverged = 0;
  for (std::uint64_t seed = 1; seed <= 60 && worlds < 8; ++seed) {
    const World world(seed, 0.02);
    const auto [best, count] = world.optimum();
    if (count < 400 || best < 0.5) continue;
    ++worlds;
    const Measure truth = world.measure();
    const Measure some = [&](const std::vector<Request>& requests) {
      auto gains = truth(requests);
      for (std::size_t i = 0; i < requests.size(); ++i) {
        Rng rng{seed, requests[i].seed, i, static_cast<std::uint64_t>(requests[i].candidate.depth)};
        if (!requests[i].race && rng.chance(0.03)) (*gains)[i] = std::nullopt;
      }
      return gains;
    };
    MeasuredSearchOptions options;
    options.measurements = 80;
    options.seed = seed;
    const Result<MeasuredSearchResult> result = measured_search({world.problem()}, some, options);
    ASSERT_TRUE(result.ok()) << result.error().message();
    diverged += result->diverged;
    lost += 1 - world.gain(result->plans[0].solution.candidate) / best;
  }
  EXPECT_EQ(worlds, 8);
  EXPECT_GT(diverged, 8);
  EXPECT_LT(lost / worlds, 0.02);
}

TEST(MeasuredSearch, BadOptionsAreNamed) {
  const World world(1);
  const auto error = [&](MeasuredSearchOptions options) {
    const auto result = measured_search({world.problem()}, world.measure(), options);
    return result.ok() ? std::string() : result.error().message();
  };
  EXPECT_THAT(error({.measurements = 0}), ::testing::HasSubstr("at least one measurement"));
  EXPECT_THAT(error({.seeds = {1, 1}}), ::testing::HasSubstr("distinct"));
  EXPECT_THAT(error({.finalists = 1}), ::testing::HasSubstr("two finalists"));
  EXPECT_THAT(error({.seeds = {2'000'000}}), ::testing::HasSubstr("those of the race begin"));
}

TEST(MeasuredSearch, ErrorsOfATrainingAreHandedOn) {
  const World world(1);
  const Measure failing =
      [](const std::vector<Request>&) -> Result<std::vector<std::optional<double>>> {
    return Error{ErrorKind::kInterrupted, "interrupted"};
  };
  const auto result = measured_search({world.problem()}, failing);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, ErrorKind::kInterrupted);
}

}  // namespace
}  // namespace espalier::study
