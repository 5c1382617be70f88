// Each way in which a solver's answer can be wrong.
#include "espalier/search/validate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace espalier::search {
namespace {

using ::testing::HasSubstr;

Problem three_layers() {
  Problem problem;
  problem.layers = 3;
  problem.options = 2;
  problem.bias_gain = {0, 0.5, 0.25, 0.75};
  problem.weight_gain = {{0, 1, 2}, {0, 3, 4}, {0, 5, 6}};
  problem.available = {{true, true, true}, {true, false, true}, {true, true, true}};
  problem.depth_available = {true, true, true, false};
  const auto parity = [](const Candidate& c) { return std::int64_t{c.depth % 2}; };
  problem.constraints = {
      {"memory", 50, AdditiveCost{1, {0, 2, 4, 6}, {{0, 5, 6}, {0, 7, 8}, {0, 9, 10}}}, "B", {}},
      {"parity", 0, parity, "", {}}};
  return problem;
}

struct Corruption {
  std::string name;
  std::function<void(Solution&)> apply;
  std::string complaint;
};

class ValidateSolution : public ::testing::TestWithParam<Corruption> {};

TEST(Validate, AcceptsTruth) {
  const Problem problem = three_layers();
  for (const Candidate& candidate :
       {Candidate{0, {0, 0, 0}}, Candidate{2, {0, 2, 1}}, Candidate{2, {0, 0, 0}}}) {
    const Status status = validate(problem, make_solution(problem, candidate));
    EXPECT_TRUE(status.ok()) << status.error().message();
  }
}

TEST_P(ValidateSolution, Names) {
  const Problem problem = three_layers();
  Solution solution = make_solution(problem, {2, {0, 2, 1}});
  GetParam().apply(solution);
  const Status status = validate(problem, solution);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, ErrorKind::kMismatch);
  EXPECT_THAT(status.error().message(), HasSubstr(GetParam().complaint));
}

const Corruption kCorruptions[] = {
    {"NegativeDepth", [](Solution& s) { s.candidate.depth = -1; }, "depth -1 is not in 0..3"},
    {"DepthTooLarge", [](Solution& s) { s.candidate.depth = 4; }, "depth 4 is not in 0..3"},
    {"DepthUnavailable", [](Solution& s) { s.candidate.depth = 3; }, "depth 3 is not available"},
    {"ChoiceMissing", [](Solution& s) { s.candidate.choice.pop_back(); }, "2 choices for 3 layers"},
    {"ChoiceTooMany", [](Solution& s) { s.candidate.choice.push_back(0); }, "4 choices"},
    {"OptionTooLarge", [](Solution& s) { s.candidate.choice[2] = 3; }, "option 3 is not in 0..2"},
    {"OptionUnavailable", [](Solution& s) { s.candidate.choice[1] = 1; },
     "layer 1: option 1 is not available"},
    {"LayerBeforeDepth", [](Solution& s) { s.candidate.choice[0] = 1; },
     "layer 0: option 1 lies before the last 2 layers"},
    {"Objective", [](Solution& s) { s.objective += 1e-6; }, "is claimed, the gains sum to"},
    {"ObjectiveNaN", [](Solution& s) { s.objective = std::numeric_limits<double>::quiet_NaN(); },
     "nan is claimed"},
    {"CostsMissing", [](Solution& s) { s.costs.pop_back(); }, "1 costs for 2 constraints"},
    {"Cost", [](Solution& s) { s.costs[0] -= 1; },
     "memory: 21 B is claimed, the candidate takes 22 B"},
};

INSTANTIATE_TEST_SUITE_P(EachCorruption, ValidateSolution, ::testing::ValuesIn(kCorruptions),
                         [](const auto& param) { return param.param.name; });

TEST(Validate, NamesEveryExceededLimit) {
  Problem problem = three_layers();
  problem.constraints[0].limit = 11;
  const Status status = validate(problem, make_solution(problem, {1, {0, 0, 2}}));
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().diagnostics.size(), 2U);
  EXPECT_THAT(status.error().message(), HasSubstr("memory: 13 B exceeds the limit of 11 B"));
  EXPECT_THAT(status.error().message(), HasSubstr("parity: 1 exceeds the limit of 0"));
}

}  // namespace
}  // namespace espalier::search
