#include "espalier/search/problem.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "search/random_problem.hpp"

namespace espalier::search {
namespace {

using ::testing::HasSubstr;

// Two layers, two options.
Problem two_layers() {
  Problem problem;
  problem.layers = 2;
  problem.options = 2;
  problem.bias_gain = {0, 0.5, 0.25};
  problem.weight_gain = {{0, 1, 2}, {0, 3, 4}};
  problem.constraints = {
      {"memory", 100, AdditiveCost{10, {1, 20, 30}, {{0, 5, 6}, {0, 7, 8}}}, "bits", {}}};
  return problem;
}

TEST(SearchProblem, AddsGainsAndCosts) {
  const Problem problem = two_layers();
  ASSERT_TRUE(check(problem).ok());
  const Candidate candidate{2, {2, 1}};
  EXPECT_EQ(objective(problem, candidate), 0.25 + 2 + 3);
  EXPECT_EQ(cost(problem.constraints[0], candidate), 10 + 30 + 6 + 7);
  const Solution solution = make_solution(problem, candidate);
  EXPECT_EQ(solution.objective, 5.25);
  EXPECT_EQ(solution.costs, std::vector<std::int64_t>{53});
  EXPECT_EQ(make_solution(problem, empty_candidate(problem)).costs[0], 11);
}

TEST(SearchProblem, CostsMayBeFunctions) {
  Problem problem = two_layers();
  problem.constraints[0].cost = [](const Candidate& c) { return std::int64_t{c.depth} * 1000; };
  ASSERT_TRUE(check(problem).ok());
  EXPECT_EQ(cost(problem.constraints[0], {2, {0, 0}}), 2000);
}

TEST(SearchProblem, AnUnavailableGainMayBeUnknown) {
  Problem problem = two_layers();
  problem.weight_gain[0][1] = std::numeric_limits<double>::quiet_NaN();
  problem.bias_gain[1] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(check(problem).ok());
  problem.available = {{true, false, true}, {true, true, true}};
  problem.depth_available = {true, false, true};
  EXPECT_TRUE(check(problem).ok());
}

struct Fault {
  std::string name;
  std::function<void(Problem&)> apply;
  std::string complaint;
};

class MalformedProblem : public ::testing::TestWithParam<Fault> {};

TEST_P(MalformedProblem, IsRejected) {
  Problem problem = two_layers();
  GetParam().apply(problem);
  const Status status = check(problem);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(status.error().message(), HasSubstr(GetParam().complaint));
}

AdditiveCost& terms(Problem& problem) {
  return std::get<AdditiveCost>(problem.constraints[0].cost);
}

const Fault kFaults[] = {
    {"StandInSize",
     [](Problem& p) {
       p.constraints[0].stand_in = AdditiveCost{0, {0, 1}, {{0, 5, 6}, {0, 7, 8}}};
     },
     "'memory, stand-in': by_depth has 2 entries"},
    {"NegativeLayers", [](Problem& p) { p.layers = -1; }, "out of range"},
    {"TooManyOptions", [](Problem& p) { p.options = 256; }, "out of range"},
    {"BiasGainSize", [](Problem& p) { p.bias_gain.pop_back(); }, "bias_gain has 2 entries"},
    {"WeightGainSize", [](Problem& p) { p.weight_gain.pop_back(); }, "weight_gain has 1 layers"},
    {"WeightGainRow", [](Problem& p) { p.weight_gain[1].push_back(0); },
     "weight_gain[1] has 4 entries"},
    {"FrozenGain", [](Problem& p) { p.weight_gain[1][0] = 1; }, "weight_gain[1][0] must be 0"},
    {"GainInfinite",
     [](Problem& p) { p.weight_gain[0][2] = std::numeric_limits<double>::infinity(); },
     "weight_gain[0][2] is not a finite number"},
    {"AvailableSize",
     [](Problem& p) {
       p.available = {{true, true, true}};
     },
     "available has 1 layers"},
    {"DepthAvailableSize", [](Problem& p) { p.depth_available = {true}; },
     "depth_available has 1 entries"},
    {"DepthZeroUnavailable",
     [](Problem& p) {
       p.depth_available = {false, true, true};
     },
     "depth 0 must be available"},
    {"NoFunction", [](Problem& p) { p.constraints[0].cost = CostFunction(); },
     "constraint 'memory' has no cost function"},
    {"ByDepthSize", [](Problem& p) { terms(p).by_depth.pop_back(); }, "by_depth has 2 entries"},
    {"ByDepthBelowFirst", [](Problem& p) { terms(p).by_depth[2] = 0; }, "by_depth[2] = 0"},
    {"ByOptionSize", [](Problem& p) { terms(p).by_option.clear(); }, "by_option has 0 layers"},
    {"NegativeCost", [](Problem& p) { terms(p).by_option[0][1] = -1; }, "by_option[0][1] = -1"},
    {"FrozenCost", [](Problem& p) { terms(p).by_option[0][0] = 1; }, "by_option[0][0] = 1"},
    {"HugeCost", [](Problem& p) { terms(p).by_option[0][1] = INT64_MAX; }, "by_option[0][1]"},
    {"HugeBase", [](Problem& p) { terms(p).base = INT64_MIN; }, "base is too large"},
};

INSTANTIATE_TEST_SUITE_P(EachFault, MalformedProblem, ::testing::ValuesIn(kFaults),
                         [](const auto& param) { return param.param.name; });

TEST(SearchProblem, InfeasibleNamesTheSmallestCostAndTheLimit) {
  Problem problem = two_layers();
  problem.constraints[0].limit = 10;
  const Status status = check_feasible(problem);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, ErrorKind::kInfeasible);
  EXPECT_EQ(status.error().message(),
            "memory: the limit of 10 bits cannot be met; training the head alone takes 11 bits, "
            "the smallest possible; allow at least that");
  problem.constraints[0].format = [](std::int64_t bits) { return std::to_string(bits) + "!"; };
  EXPECT_THAT(check_feasible(problem).error().message(), HasSubstr("limit of 10! cannot"));
  problem.constraints[0].limit = 11;
  EXPECT_TRUE(check_feasible(problem).ok());
}

TEST(SearchProblem, RandomProblemsAreSound) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const Problem problem = testing::random_problem(seed, 4, 3, 2);
    EXPECT_TRUE(check(problem).ok()) << check(problem).error().message();
    EXPECT_TRUE(check_feasible(problem).ok());
  }
}

}  // namespace
}  // namespace espalier::search
