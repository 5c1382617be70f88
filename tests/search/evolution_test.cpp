#include "espalier/search/evolution.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <set>

#include "espalier/search/exact.hpp"
#include "espalier/search/validate.hpp"
#include "search/random_problem.hpp"

namespace espalier::search {
namespace {

using ::testing::HasSubstr;

// Enough for problems of a few layers.
EvolutionOptions small() {
  return {.population = 16, .max_generations = 60, .stagnation = 5, .restarts = 1};
}

// A memory model that no sum over layers can express: the largest working set of any trained layer,
// plus what all of them keep.
Problem with_peak(Problem problem, std::int64_t limit) {
  problem.constraints = {{"peak memory",
                          limit,
                          CostFunction([](const Candidate& candidate) {
                            std::int64_t kept = 2 * candidate.depth;
                            std::int64_t peak = 0;
                            for (std::size_t layer = 0; layer < candidate.choice.size(); ++layer) {
                              const auto option = std::int64_t{candidate.choice[layer]};
                              kept += option;
                              const auto size = static_cast<std::int64_t>(layer * 7 % 11) + 3;
                              peak = std::max(peak, option * size);
                            }
                            return kept + peak;
                          }),
                          "",
                          {}}};
  return problem;
}

TEST(Evolution, FindsTheOptimumOfSmallProblems) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    const Problem problem = testing::random_problem(seed, 1 + static_cast<int>(seed % 6), 3,
                                                    static_cast<int>(seed % 3));
    EvolutionOptions options = small();
    options.seed = seed;
    const Result<EvolutionResult> result = solve_evolution(problem, options);
    ASSERT_TRUE(result.ok()) << result.error().message();
    ASSERT_TRUE(validate(problem, result->best).ok());
    EXPECT_DOUBLE_EQ(result->best.objective, testing::brute_force(problem).objective);
  }
}

TEST(Evolution, FindsTheOptimumUnderAMemoryModelThatIsNoSum) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    const Problem problem =
        with_peak(testing::random_problem(seed, 6, 3, 0), 4 + static_cast<std::int64_t>(seed % 30));
    EvolutionOptions options = small();
    options.seed = seed;
    const Result<EvolutionResult> result = solve_evolution(problem, options);
    ASSERT_TRUE(result.ok()) << result.error().message();
    ASSERT_TRUE(validate(problem, result->best).ok());
    EXPECT_DOUBLE_EQ(result->best.objective, testing::brute_force(problem).objective);
  }
}

TEST(Evolution, NeverBeatsTheProvenOptimumAndReachesItOnLargeProblems) {
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    const Problem problem = testing::random_problem(seed, 40, 4, 1 + static_cast<int>(seed % 2));
    const Solution optimum = solve_exact(problem)->best;
    const Result<EvolutionResult> result = solve_evolution(problem, {.seed = seed});
    ASSERT_TRUE(result.ok());
    ASSERT_TRUE(validate(problem, result->best).ok());
    EXPECT_NEAR(result->best.objective, optimum.objective, 1e-9);
  }
}

TEST(Evolution, TheSameSeedGivesTheSameResultWithAnyNumberOfThreads) {
  for (const bool functions : {false, true}) {
    Problem problem = testing::random_problem(11, 20, 4, 2);
    if (functions) problem = testing::with_functions(problem);
    EvolutionOptions options = small();
    options.seed = 5;
    const EvolutionResult first = solve_evolution(problem, options).value();
    for (const int jobs : {1, 2, 5}) {
      options.jobs = jobs;
      const EvolutionResult again = solve_evolution(problem, options).value();
      EXPECT_EQ(again.best, first.best);
      EXPECT_EQ(again.evaluations, first.evaluations);
      EXPECT_EQ(again.generations, first.generations);
      EXPECT_EQ(again.history, first.history);
    }
  }
}

TEST(Evolution, SeedsDiffer) {
  const Problem problem = testing::random_problem(11, 20, 4, 1);
  std::set<std::int64_t> evaluations;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    EvolutionOptions options = small();
    options.seed = seed;
    evaluations.insert(solve_evolution(problem, options)->evaluations);
  }
  EXPECT_GT(evaluations.size(), 1U);
}

TEST(Evolution, CostsEachCandidateOnce) {
  Problem problem = testing::random_problem(2, 8, 3, 1);
  const Constraint additive = problem.constraints[0];
  std::set<std::pair<int, std::vector<std::uint8_t>>> seen;
  std::int64_t calls = 0;
  problem.constraints[0].cost = [&](const Candidate& candidate) {
    ++calls;
    seen.insert({candidate.depth, candidate.choice});
    return cost(additive, candidate);
  };
  const Result<EvolutionResult> result = solve_evolution(problem, small());
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->evaluations, static_cast<std::int64_t>(seen.size()));
  // One more call checks feasibility before the search begins.
  EXPECT_EQ(calls, result->evaluations + 1);
}

TEST(Evolution, OnlyCostsLegalCandidates) {
  Problem problem = testing::with_functions(testing::random_problem(6, 7, 3, 1));
  const auto inner = std::get<CostFunction>(problem.constraints[0].cost);
  std::atomic<int> illegal = 0;
  problem.constraints[0].cost = [&](const Candidate& candidate) {
    bool legal = is_depth_available(problem, candidate.depth);
    for (int layer = 0; layer < problem.layers; ++layer) {
      const int option = candidate.choice[static_cast<std::size_t>(layer)];
      legal &= is_available(problem, layer, option);
      legal &= option == 0 || layer >= problem.layers - candidate.depth;
    }
    if (!legal) ++illegal;
    return inner(candidate);
  };
  ASSERT_TRUE(solve_evolution(problem, small()).ok());
  EXPECT_EQ(illegal, 0);
}

TEST(Evolution, HistoryNeverFallsAndEndsAtTheBest) {
  const Problem problem = testing::random_problem(8, 30, 4, 1);
  const EvolutionResult result = solve_evolution(problem, small()).value();
  ASSERT_EQ(result.history.size(), static_cast<std::size_t>(result.generations) + 1);
  for (std::size_t i = 1; i < result.history.size(); ++i) {
    EXPECT_EQ(result.history[i].generation, static_cast<int>(i));
    EXPECT_GE(result.history[i].objective, result.history[i - 1].objective);
    EXPECT_GE(result.history[i].evaluations, result.history[i - 1].evaluations);
  }
  EXPECT_EQ(result.history.back().objective, result.best.objective);
  EXPECT_EQ(result.history.back().evaluations, result.evaluations);
}

TEST(Evolution, BeginsWithWhatItIsGiven) {
  const Problem problem = testing::random_problem(8, 30, 4, 1);
  const Solution optimum = solve_exact(problem)->best;
  EvolutionOptions options = small();
  options.max_generations = 1;
  options.initial = {optimum.candidate};
  const EvolutionResult result = solve_evolution(problem, options).value();
  EXPECT_EQ(result.history.front().objective, optimum.objective);
}

TEST(Evolution, RepairsWhatItIsGiven) {
  const Problem problem = testing::random_problem(8, 10, 4, 1);
  EvolutionOptions options = small();
  options.initial = {{10, std::vector<std::uint8_t>(10, 4)}};
  const Result<EvolutionResult> result = solve_evolution(problem, options);
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(validate(problem, result->best).ok());
}

TEST(Evolution, StopsWhenAsked) {
  const Problem problem = testing::random_problem(8, 30, 4, 1);
  EvolutionOptions options;
  int asked = 0;
  options.stop = [&] { return ++asked > 3; };
  EXPECT_EQ(solve_evolution(problem, options)->generations, 3);

  options = {};
  options.max_evaluations = 100;
  const EvolutionResult limited = solve_evolution(problem, options).value();
  EXPECT_GE(limited.evaluations, 100);
  EXPECT_LT(limited.evaluations, 1000);
}

TEST(Evolution, StopsAtABoundThatItReaches) {
  const Problem problem = testing::random_problem(8, 30, 4, 1);
  const double optimum = solve_exact(problem)->best.objective;
  const EvolutionResult free = solve_evolution(problem).value();
  ASSERT_EQ(free.best.objective, optimum);
  EvolutionOptions options;
  options.bound = optimum;
  const EvolutionResult bounded = solve_evolution(problem, options).value();
  EXPECT_EQ(bounded.best.objective, optimum);
  EXPECT_LT(bounded.generations, free.generations);
  EXPECT_EQ(bounded.history.back().objective, optimum);
  EXPECT_TRUE(bounded.history.size() < 2 ||
              bounded.history[bounded.history.size() - 2].objective < optimum);
  // One that is not reached changes nothing.
  options.bound = optimum + 1;
  EXPECT_EQ(solve_evolution(problem, options)->history, free.history);
}

TEST(Evolution, DegenerateProblems) {
  Problem nothing;
  nothing.bias_gain = {0.5};
  EXPECT_EQ(solve_evolution(nothing)->best.objective, 0.5);

  Problem biases_only;
  biases_only.layers = 3;
  biases_only.bias_gain = {0, 1, 3, 2};
  biases_only.weight_gain.assign(3, {0});
  EXPECT_EQ(solve_evolution(biases_only)->best.candidate.depth, 2);
}

TEST(Evolution, WithoutLocalSearchItIsPlainEvolution) {
  const Problem problem = testing::random_problem(21, 6, 2, 1);
  EvolutionOptions options;
  options.local_search = 0;
  options.stagnation = 40;
  const EvolutionResult result = solve_evolution(problem, options).value();
  EXPECT_TRUE(validate(problem, result.best).ok());
  EXPECT_DOUBLE_EQ(result.best.objective, testing::brute_force(problem).objective);
}

TEST(Evolution, AnInfeasibleLimitIsReported) {
  for (const bool functions : {false, true}) {
    Problem problem = testing::random_problem(1, 4, 2, 1);
    const std::int64_t least = cost(problem.constraints[0], empty_candidate(problem));
    problem.constraints[0].limit = least - 1;
    if (functions) problem = testing::with_functions(problem);
    const Result<EvolutionResult> result = solve_evolution(problem);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().kind, ErrorKind::kInfeasible);
    EXPECT_THAT(result.error().message(), HasSubstr(std::to_string(least)));
    problem.constraints[0].limit = least;
    ASSERT_TRUE(solve_evolution(problem, small()).ok());
  }
}

struct BadOption {
  std::string name;
  std::function<void(EvolutionOptions&)> apply;
};

class BadEvolutionOptions : public ::testing::TestWithParam<BadOption> {};

TEST_P(BadEvolutionOptions, AreRejected) {
  EvolutionOptions options;
  GetParam().apply(options);
  const Result<EvolutionResult> result =
      solve_evolution(testing::random_problem(1, 4, 2, 1), options);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, ErrorKind::kUsage);
}

const BadOption kBadOptions[] = {
    {"Population", [](EvolutionOptions& o) { o.population = 1; }},
    {"Generations", [](EvolutionOptions& o) { o.max_generations = 0; }},
    {"Stagnation", [](EvolutionOptions& o) { o.stagnation = 0; }},
    {"Restarts", [](EvolutionOptions& o) { o.restarts = -1; }},
    {"NoElite", [](EvolutionOptions& o) { o.elite = 0; }},
    {"EliteOnly", [](EvolutionOptions& o) { o.elite = o.population + 1; }},
    {"Tournament", [](EvolutionOptions& o) { o.tournament = 0; }},
    {"Crossover", [](EvolutionOptions& o) { o.crossover_rate = 1.5; }},
    {"LayerMutations", [](EvolutionOptions& o) { o.layer_mutations = -1; }},
    {"DepthMutation", [](EvolutionOptions& o) { o.depth_mutation = -0.1; }},
    {"DepthStep", [](EvolutionOptions& o) { o.max_depth_step = 0; }},
    {"DepthShare", [](EvolutionOptions& o) { o.depth_share = 0; }},
    {"LocalSearch", [](EvolutionOptions& o) { o.local_search = 2; }},
    {"DepthSearch", [](EvolutionOptions& o) { o.depth_search = 2; }},
    {"Confirmations", [](EvolutionOptions& o) { o.confirmations = -1; }},
    {"Evaluations", [](EvolutionOptions& o) { o.max_evaluations = -1; }},
    {"Jobs", [](EvolutionOptions& o) { o.jobs = 0; }},
    {"InitialSize",
     [](EvolutionOptions& o) {
       o.initial = {{0, {0}}};
     }},
    {"InitialOption",
     [](EvolutionOptions& o) {
       o.initial = {{1, {0, 0, 0, 9}}};
     }},
    {"InitialDepth",
     [](EvolutionOptions& o) {
       o.initial = {{5, {0, 0, 0, 0}}};
     }},
};

INSTANTIATE_TEST_SUITE_P(EachOption, BadEvolutionOptions, ::testing::ValuesIn(kBadOptions),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace espalier::search
