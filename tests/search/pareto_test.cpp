#include "espalier/search/pareto.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "espalier/search/evolution.hpp"
#include "espalier/search/exact.hpp"
#include "espalier/search/validate.hpp"
#include "search/random_problem.hpp"

namespace espalier::search {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<Solution> exact(const Problem& problem, const Candidate*) {
  ESPALIER_TRY(ExactResult result, solve_exact(problem));
  return std::move(result.best);
}

TEST(Pareto, EveryPointIsTheOptimumOfItsLimit) {
  Problem problem = testing::random_problem(5, 6, 3, 2);
  const std::int64_t least = cost(problem.constraints[0], empty_candidate(problem));
  std::vector<std::int64_t> limits;
  for (std::int64_t limit = least - 2; limit < least + 120; limit += 7) limits.push_back(limit);
  const Result<ParetoFront> front = pareto_front(problem, 0, limits, exact);
  ASSERT_TRUE(front.ok()) << front.error().message();
  EXPECT_THAT(front->infeasible, ElementsAre(least - 2));
  ASSERT_EQ(front->points.size(), limits.size() - 1);
  double last = -1;
  for (std::size_t i = 0; i < front->points.size(); ++i) {
    const ParetoPoint& point = front->points[i];
    EXPECT_EQ(point.limit, limits[i + 1]);
    problem.constraints[0].limit = point.limit;
    EXPECT_TRUE(validate(problem, point.solution).ok());
    EXPECT_EQ(point.solution.objective, testing::brute_force(problem).objective);
    EXPECT_GE(point.solution.objective, last);
    last = point.solution.objective;
  }
  EXPECT_GT(front->points.back().solution.objective, front->points.front().solution.objective);
}

TEST(Pareto, OrderAndDuplicatesOfLimitsDoNotMatter) {
  const Problem problem = testing::random_problem(5, 6, 3, 1);
  const std::int64_t least = cost(problem.constraints[0], empty_candidate(problem));
  const std::vector<std::int64_t> limits = {least + 50, least, least + 50, least + 20};
  int solved = 0;
  const auto counting = [&](const Problem& limited, const Candidate* warm_start) {
    EXPECT_EQ(warm_start == nullptr, solved == 0);
    ++solved;
    return exact(limited, warm_start);
  };
  const ParetoFront front = pareto_front(problem, 0, limits, counting).value();
  EXPECT_EQ(solved, 3);
  ASSERT_EQ(front.points.size(), 3U);
  EXPECT_EQ(front.points[0].limit, least);
  EXPECT_EQ(front.points[2].limit, least + 50);
}

TEST(Pareto, AHeuristicThatForgetsIsHeldToWhatItFound) {
  const Problem problem = testing::random_problem(5, 6, 3, 1);
  const std::int64_t least = cost(problem.constraints[0], empty_candidate(problem));
  int solved = 0;
  const auto forgetful = [&](const Problem& limited, const Candidate*) -> Result<Solution> {
    if (++solved == 1) return exact(limited, nullptr);
    return make_solution(limited, empty_candidate(limited));
  };
  const ParetoFront front =
      pareto_front(problem, 0, std::vector{least + 60, least + 70}, forgetful).value();
  EXPECT_EQ(front.points[0].solution, front.points[1].solution);
}

TEST(Pareto, EvolutionWithWarmStartsIsMonotone) {
  const Problem problem = testing::random_problem(9, 20, 4, 1);
  const std::int64_t least = cost(problem.constraints[0], empty_candidate(problem));
  const auto evolve = [](const Problem& limited, const Candidate* warm) -> Result<Solution> {
    EvolutionOptions options{.population = 8, .max_generations = 4};
    if (warm != nullptr) options.initial = {*warm};
    ESPALIER_TRY(EvolutionResult result, solve_evolution(limited, options));
    return std::move(result.best);
  };
  std::vector<std::int64_t> limits;
  for (int i = 0; i < 12; ++i) limits.push_back(least + 30 * i);
  const ParetoFront front = pareto_front(problem, 0, limits, evolve).value();
  for (std::size_t i = 1; i < front.points.size(); ++i) {
    EXPECT_GE(front.points[i].solution.objective, front.points[i - 1].solution.objective);
  }
}

TEST(Pareto, NoFeasibleLimitIsAnError) {
  const Problem problem = testing::random_problem(5, 6, 3, 1);
  const std::int64_t least = cost(problem.constraints[0], empty_candidate(problem));
  const auto front = pareto_front(problem, 0, std::vector{least - 5, least - 1}, exact);
  ASSERT_FALSE(front.ok());
  EXPECT_EQ(front.error().kind, ErrorKind::kInfeasible);
  EXPECT_THAT(front.error().message(), HasSubstr("the largest is " + std::to_string(least - 1)));
  EXPECT_THAT(front.error().message(), HasSubstr("takes " + std::to_string(least)));
}

TEST(Pareto, AnotherConstraintMayBeInfeasible) {
  Problem problem = testing::random_problem(5, 6, 3, 2);
  problem.constraints[1].limit = -1;
  const auto front = pareto_front(problem, 0, std::vector<std::int64_t>{1000}, exact);
  ASSERT_FALSE(front.ok());
  EXPECT_EQ(front.error().kind, ErrorKind::kInfeasible);
  EXPECT_THAT(front.error().message(), HasSubstr("constraint 1"));
}

TEST(Pareto, RejectsWrongUse) {
  const Problem problem = testing::random_problem(5, 6, 3, 1);
  EXPECT_EQ(pareto_front(problem, 1, std::vector<std::int64_t>{9}, exact).error().kind,
            ErrorKind::kUsage);
  EXPECT_EQ(pareto_front(problem, 0, {}, exact).error().kind, ErrorKind::kUsage);
}

}  // namespace
}  // namespace espalier::search
