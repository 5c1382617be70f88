// The analytic problem of the three published networks: evolution against the proven optimum at
// budgets of the paper's range, with gains made up to look like measured ones.
#include "plan/published_networks.hpp"

#include <gtest/gtest.h>

#include <ctime>

#include "espalier/search/evolution.hpp"
#include "espalier/search/exact.hpp"
#include "espalier/search/validate.hpp"
#include "search/synthetic_gains.hpp"

namespace espalier::search {
namespace {

#ifdef ESPALIER_SLOW_TESTS
constexpr int kBudgetsKib[] = {50, 75, 100, 125, 150};
#else
constexpr int kBudgetsKib[] = {75, 125};
#endif
constexpr double kEvolutionSeconds = 5.0;
constexpr double kExactSeconds = 2.0;

// Time of this thread's own work, so that other programs do not count.
double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

void expect_optimum(const Problem& problem, std::uint64_t seed) {
  const double before_exact = cpu_seconds();
  const Result<ExactResult> exact = solve_exact(problem);
  const double before_evolution = cpu_seconds();
  ASSERT_TRUE(exact.ok()) << exact.error().message();
  ASSERT_TRUE(validate(problem, exact->best).ok());
  const Result<EvolutionResult> evolved = solve_evolution(problem, {.seed = seed});
  const double after = cpu_seconds();
  ASSERT_TRUE(evolved.ok()) << evolved.error().message();
  ASSERT_TRUE(validate(problem, evolved->best).ok());
  EXPECT_NEAR(evolved->best.objective, exact->best.objective, 1e-12);
  EXPECT_LT(before_evolution - before_exact, kExactSeconds);
  EXPECT_LT(after - before_evolution, kEvolutionSeconds);
}

struct Shape {
  const char* name;
  testing::GainShape gains;
};

class PublishedNetwork : public ::testing::TestWithParam<const char*> {
 protected:
  // Runs `shape` with gains and solver seeded by `seed` at every budget.
  void run(const Shape& shape, std::uint64_t seed, bool bound_macs) {
    const auto data = testing::shared_data();
    if (!data) GTEST_SKIP() << "set ESPALIER_SHARED to the folder with the test data";
    const ir::Graph& graph = testing::published_network(*data, GetParam());
    const cost::AdditiveTerms memory = cost::analytic_terms(graph, testing::kRatios);
    Problem problem = testing::synthetic_problem(
        memory, cost::available_ratios(graph, testing::kRatios), shape.gains, seed);
    for (const int kib : kBudgetsKib) {
      SCOPED_TRACE(std::string(shape.name) + " seed " + std::to_string(seed) + " " +
                   std::to_string(kib) + " KiB");
      problem.constraints = {testing::memory_limit(memory, kib)};
      if (bound_macs) {
        const cost::AdditiveTerms macs = cost::mac_terms(graph, testing::kRatios);
        problem.constraints.push_back({"MACs per step",
                                       macs.base * (650 + kib) / 500,
                                       AdditiveCost{macs.base, macs.by_depth, macs.by_ratio},
                                       "MACs",
                                       {}});
      }
      expect_optimum(problem, seed);
    }
  }
};

#ifndef ESPALIER_SLOW_TESTS

TEST_P(PublishedNetwork, EvolutionReachesTheOptimum) { run({"plain", {}}, 1, false); }

TEST_P(PublishedNetwork, AProblemWithCoarseGainsIsSolvedExactly) {
  const auto data = testing::shared_data();
  if (!data) GTEST_SKIP() << "set ESPALIER_SHARED to the folder with the test data";
  const ir::Graph& graph = testing::published_network(*data, GetParam());
  const cost::AdditiveTerms memory = cost::analytic_terms(graph, testing::kRatios);
  Problem problem =
      testing::synthetic_problem(memory, cost::available_ratios(graph, testing::kRatios), {}, 2);
  // An accuracy on 200 images has this resolution, and many ties.
  for (auto& row : problem.weight_gain) {
    for (double& gain : row) gain = std::round(gain * 200) / 200;
  }
  for (const int kib : kBudgetsKib) {
    problem.constraints = {testing::memory_limit(memory, kib)};
    const double before = cpu_seconds();
    const Result<ExactResult> exact = solve_exact(problem);
    ASSERT_TRUE(exact.ok()) << exact.error().message();
    EXPECT_TRUE(validate(problem, exact->best).ok());
    EXPECT_LT(cpu_seconds() - before, kExactSeconds);
  }
}

TEST_P(PublishedNetwork, ABudgetBelowTheHeadIsInfeasible) {
  const auto data = testing::shared_data();
  if (!data) GTEST_SKIP() << "set ESPALIER_SHARED to the folder with the test data";
  const ir::Graph& graph = testing::published_network(*data, GetParam());
  const cost::AdditiveTerms memory = cost::analytic_terms(graph, testing::kRatios);
  Problem problem =
      testing::synthetic_problem(memory, cost::available_ratios(graph, testing::kRatios), {}, 2);
  problem.constraints = {testing::memory_limit(memory, 0)};
  EXPECT_EQ(solve_exact(problem).error().kind, ErrorKind::kInfeasible);
  EXPECT_EQ(solve_evolution(problem).error().kind, ErrorKind::kInfeasible);
}

#else

constexpr Shape kShapes[] = {
    {"plain", {}},
    {"size does not matter", {0.0, 0.0, 0.4, 0.3, -0.002}},
    {"last layers matter", {2.0, 0.6, 0.6, 0.5, -0.004}},
    {"almost proportional to channels", {1.0, 0.5, 0.9, 0.1, 0.0}},
    {"proportional to memory", {0.5, 1.0, 1.0, 0.0, 0.0}},
    {"noise", {0.0, 0.2, 0.2, 1.0, -0.005}},
};

TEST_P(PublishedNetwork, EvolutionReachesTheOptimumOfEveryProfile) {
  for (const Shape& shape : kShapes) {
    for (std::uint64_t seed = 0; seed < 3; ++seed) run(shape, seed, false);
  }
}

TEST_P(PublishedNetwork, EvolutionReachesTheOptimumUnderABoundOnMacs) {
  for (const Shape& shape : kShapes) run(shape, 3, true);
}

#endif

INSTANTIATE_TEST_SUITE_P(Networks, PublishedNetwork,
                         ::testing::ValuesIn(testing::kPublishedNetworks), [](const auto& param) {
                           std::string name = param.param;
                           std::erase_if(name, [](char c) { return c == '-' || c == '.'; });
                           return name;
                         });

}  // namespace
}  // namespace espalier::search
