#include "espalier/search/stand_in.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "espalier/search/evolution.hpp"
#include "espalier/search/remember.hpp"
#include "random_problem.hpp"

namespace espalier::search {
namespace {

TEST(StandIn, FindsAFeasiblePlanAndOneBeyond) {
  int both = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    const Problem problem = testing::with_peak(testing::random_problem(seed, 5, 3, 1), 0.4);
    const std::vector<Candidate> found = stand_in_optima(problem, empty_candidate(problem), 8);
    ASSERT_FALSE(found.empty());
    ASSERT_LE(found.size(), 2U);
    if (found.size() < 2) continue;
    ++both;
    EXPECT_FALSE(is_feasible(problem, found[0]));
    EXPECT_TRUE(is_feasible(problem, found[1]));
    EXPECT_GE(objective(problem, found[0]), objective(problem, found[1]));
  }
  EXPECT_GT(both, 20);
}

// What it is for: a few generations from there lose little.
TEST(StandIn, BeginsAShortEvolutionWell) {
  double lost = 0;
  double lost_without = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const Problem problem = testing::with_peak(testing::random_problem(seed, 6, 3, 1), 0.4);
    const double best = testing::brute_force(problem).objective;
    EvolutionOptions options{
        .population = 4, .max_generations = 2, .restarts = 0, .confirmations = 2, .seed = seed};
    const auto loss = [&] { return best - solve_evolution(problem, options)->best.objective; };
    lost_without += loss();
    options.initial = stand_in_optima(problem, empty_candidate(problem));
    lost += loss();
  }
  EXPECT_LT(lost, 0.6 * lost_without);
}

TEST(StandIn, AdditiveConstraintsStayAsTheyAre) {
  int bound = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    // Three constraints, which the exact solver does not take, of two costs.
    Problem problem = testing::random_problem(seed, 4, 2, 2);
    problem.constraints.push_back(problem.constraints[1]);
    Constraint& hidden = problem.constraints[1];
    hidden.stand_in = std::get<AdditiveCost>(hidden.cost);
    hidden.cost = CostFunction(
        [sum = problem.constraints[2]](const Candidate& c) { return cost(sum, c) / 2; });
    for (const Candidate& found : stand_in_optima(problem, empty_candidate(problem))) {
      for (const std::size_t c : {0, 2}) {
        EXPECT_LE(cost(problem.constraints[c], found), problem.constraints[c].limit);
      }
      bound += found.depth > 0 ? 1 : 0;
    }
  }
  EXPECT_GT(bound, 20);
}

TEST(StandIn, WithoutOneThereIsNothing) {
  const Problem problem = testing::with_functions(testing::random_problem(3, 4, 2, 1));
  EXPECT_TRUE(stand_in_optima(problem, empty_candidate(problem)).empty());
}

TEST(Remember, EachCandidateIsCostedOnceForAllCopies) {
  std::atomic<int> calls = 0;
  const CostFunction one = remembered([&calls](const Candidate& candidate) {
    ++calls;
    return std::int64_t{candidate.depth} * 10;
  });
  const CostFunction two = one;  // a copy on purpose
  for (int repeat = 0; repeat < 3; ++repeat) {
    for (int depth = 0; depth < 5; ++depth) {
      EXPECT_EQ((repeat % 2 == 0 ? one : two)({depth, {1, 2, 3}}), depth * 10);
    }
  }
  EXPECT_EQ(calls, 5);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&one] {
      for (int depth = 0; depth < 200; ++depth) EXPECT_EQ(one({depth, {7}}), depth * 10);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(calls, 205);
}

}  // namespace
}  // namespace espalier::search
