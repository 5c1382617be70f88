#include "espalier/search/exact.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "espalier/search/validate.hpp"
#include "search/random_problem.hpp"

namespace espalier::search {
namespace {

using ::testing::HasSubstr;

class ExactAgainstBruteForce : public ::testing::TestWithParam<int> {};

TEST_P(ExactAgainstBruteForce, FindsTheOptimum) {
  const int constraints = GetParam();
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    const int layers = 1 + static_cast<int>(seed % 6);
    const int options = 1 + static_cast<int>(seed / 6 % 3);
    const Problem problem = testing::random_problem(seed, layers, options, constraints);
    const Result<ExactResult> exact = solve_exact(problem);
    ASSERT_TRUE(exact.ok()) << exact.error().message();
    ASSERT_TRUE(validate(problem, exact->best).ok());
    const Solution expected = testing::brute_force(problem);
    // To the last bit: both add gains in the order of objective().
    EXPECT_EQ(exact->best.objective, expected.objective);
    if (constraints > 0) {
      EXPECT_EQ(exact->best.costs[0], expected.costs[0]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Constraints, ExactAgainstBruteForce, ::testing::Values(0, 1, 2));

TEST(Exact, IsExactWithoutABeamToo) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const Problem problem = testing::random_problem(seed, 5, 3, 2);
    EXPECT_EQ(solve_exact(problem, {.beam = 1})->best, solve_exact(problem)->best);
  }
}

// 60 layers of 4 options, more than any of the published networks.
TEST(Exact, LargeProblemsTakeModerateEffort) {
  for (int constraints = 1; constraints <= 2; ++constraints) {
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      const Problem problem = testing::random_problem(seed, 60, 4, constraints);
      const Result<ExactResult> exact = solve_exact(problem);
      ASSERT_TRUE(exact.ok()) << exact.error().message();
      EXPECT_TRUE(validate(problem, exact->best).ok());
      EXPECT_LT(exact->states, 200'000);
    }
  }
}

TEST(Exact, ALooseLimitTakesEveryGain) {
  Problem problem = testing::random_problem(4, 6, 3, 1);
  problem.depth_available.clear();
  problem.available.clear();
  problem.constraints[0].limit = INT64_MAX;
  problem.bias_gain = {0, 0, 0, 0, 0, 0, 1};
  double expected = 0;
  for (int layer = 5; layer >= 0; --layer) {
    const auto& gains = problem.weight_gain[static_cast<std::size_t>(layer)];
    expected += *std::max_element(gains.begin(), gains.end());
  }
  EXPECT_EQ(solve_exact(problem)->best.objective, expected + 1);
}

TEST(Exact, NothingWorthTrainingLeavesEverythingFrozen) {
  Problem problem = testing::random_problem(4, 6, 3, 1);
  for (std::size_t depth = 1; depth < problem.bias_gain.size(); ++depth) {
    problem.bias_gain[depth] = -0.5;
  }
  for (auto& row : problem.weight_gain) {
    for (std::size_t option = 1; option < row.size(); ++option) row[option] = -0.25;
  }
  EXPECT_EQ(solve_exact(problem)->best.candidate, empty_candidate(problem));
}

TEST(Exact, APoorBiasGainIsWorthPassingThrough) {
  Problem problem;
  problem.layers = 2;
  problem.options = 1;
  problem.bias_gain = {0, -0.5, -0.75};
  problem.weight_gain = {{0, 2}, {0, 0.1}};
  problem.constraints = {{"memory", 10, AdditiveCost{0, {0, 1, 2}, {{0, 8}, {0, 1}}}, "", {}}};
  EXPECT_EQ(solve_exact(problem)->best.candidate, (Candidate{2, {1, 0}}));
}

TEST(Exact, WorksWithoutLayers) {
  Problem problem;
  problem.bias_gain = {0.5};
  const Result<ExactResult> exact = solve_exact(problem);
  ASSERT_TRUE(exact.ok());
  EXPECT_EQ(exact->best.objective, 0.5);
}

TEST(Exact, AnInfeasibleLimitIsReported) {
  Problem problem = testing::random_problem(1, 4, 2, 2);
  problem.constraints[1].limit = std::get<AdditiveCost>(problem.constraints[1].cost).base - 1;
  const Result<ExactResult> exact = solve_exact(problem);
  ASSERT_FALSE(exact.ok());
  EXPECT_EQ(exact.error().kind, ErrorKind::kInfeasible);
  EXPECT_THAT(exact.error().message(), HasSubstr("constraint 1: the limit of"));
}

TEST(Exact, OnlyAdditiveConstraintsHaveAProof) {
  const Problem problem = testing::with_functions(testing::random_problem(1, 4, 2, 1));
  const Result<ExactResult> exact = solve_exact(problem);
  ASSERT_FALSE(exact.ok());
  EXPECT_EQ(exact.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(exact.error().message(), HasSubstr("'constraint 0' is not a sum over layers"));
}

TEST(Exact, ThreeConstraintsAreTooMany) {
  const Result<ExactResult> exact = solve_exact(testing::random_problem(1, 4, 2, 3));
  ASSERT_FALSE(exact.ok());
  EXPECT_EQ(exact.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(exact.error().message(), HasSubstr("3 constraints are given, at most 2"));
}

TEST(Exact, GivesUpAtTheStateLimit) {
  // Gains in proportion to costs: no bound tells states apart.
  Problem problem = testing::random_problem(3, 40, 4, 1);
  auto& terms = std::get<AdditiveCost>(problem.constraints[0].cost);
  for (std::size_t layer = 0; layer < 40; ++layer) {
    for (std::size_t option = 1; option <= 4; ++option) {
      std::int64_t& cost = terms.by_option[layer][option];
      cost = 1001 * cost + 17;
      problem.weight_gain[layer][option] = static_cast<double>(cost);
    }
  }
  problem.constraints[0].limit = 400'000;
  const Result<ExactResult> exact = solve_exact(problem, {.beam = 1, .max_states = 100});
  ASSERT_FALSE(exact.ok());
  EXPECT_EQ(exact.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(exact.error().message(), HasSubstr("more than 100 states"));
}

TEST(Exact, AMalformedProblemIsRejected) {
  Problem problem = testing::random_problem(1, 4, 2, 1);
  problem.bias_gain.clear();
  EXPECT_EQ(solve_exact(problem).error().kind, ErrorKind::kUsage);
}

}  // namespace
}  // namespace espalier::search
