// Each kind of broken plan, and what the validator says about it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "espalier/plan/update_plan.hpp"
#include "plan/chain_graph.hpp"

namespace espalier::plan {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

UpdatePlan sound_plan(const ir::Graph& graph) {
  UpdatePlan plan = bias_only(graph, 3).value();
  plan.weights.push_back(make_weight_update(graph, 1, 0.5));
  plan.weights.push_back(make_weight_update(graph, 2, 0.25));
  plan.weights.push_back(make_weight_update(graph, 3, 1.0));
  return plan;
}

struct Corruption {
  std::string name;
  std::function<void(UpdatePlan&)> apply;
  std::string complaint;
};

class Validate : public ::testing::TestWithParam<Corruption> {};

TEST(ValidatePlan, AcceptsASoundPlan) {
  const ir::Graph graph = testing::chain_graph();
  EXPECT_TRUE(validate(sound_plan(graph), graph).ok());
}

TEST_P(Validate, Names) {
  const ir::Graph graph = testing::chain_graph();
  UpdatePlan plan = sound_plan(graph);
  GetParam().apply(plan);
  const Status status = validate(plan, graph, "some.json");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(status.error().message(), StartsWith("some.json: "));
  EXPECT_THAT(status.error().message(), HasSubstr(GetParam().complaint));
}

const Corruption kCorruptions[] = {
    {"OtherModel", [](UpdatePlan& p) { p.model = "other", p.model_sha256 = std::string(64, 'b'); },
     "made for model 'other' (SHA-256 bbbb"},
    {"NegativeDepth", [](UpdatePlan& p) { p.bias_depth = -1; }, "bias_depth -1 is out of range"},
    {"DepthTooLarge", [](UpdatePlan& p) { p.bias_depth = 5; }, "give 0 to 4"},
    {"UnknownConv", [](UpdatePlan& p) { p.weights[2].conv = 4; }, "conv 4 does not exist"},
    {"NegativeConv", [](UpdatePlan& p) { p.weights[0].conv = -1; }, "convs 0 to 3"},
    {"ConvBelowDepth", [](UpdatePlan& p) { p.bias_depth = 2; }, "raise bias_depth to at least 3"},
    {"ConvTwice", [](UpdatePlan& p) { p.weights[1] = p.weights[0]; }, "conv 1 is listed twice"},
    {"ConvOrder", [](UpdatePlan& p) { std::swap(p.weights[0], p.weights[1]); },
     "conv 1 is out of order"},
    {"NextTooFew", [](UpdatePlan& p) { p.weights[0].next_channels = {{}}; },
     "weights[0]: next_channels[0]: 0 channels listed"},
    {"NextUnknown",
     [](UpdatePlan& p) {
       p.weights[0].next_channels = {p.weights[0].channels, p.weights[0].channels};
       p.weights[0].next_channels[1].back() = 999;
     },
     "next_channels[1]: channel 999 does not exist"},
    {"RatioZero", [](UpdatePlan& p) { p.weights[0].ratio = 0; }, "ratio 0 of conv 1"},
    {"RatioAboveOne", [](UpdatePlan& p) { p.weights[0].ratio = 1.5; }, "more than 0, at most 1"},
    {"RatioNaN",
     [](UpdatePlan& p) { p.weights[0].ratio = std::numeric_limits<double>::quiet_NaN(); },
     "ratio nan of conv 1"},
    {"NoChannel", [](UpdatePlan& p) { p.weights[0].ratio = 0.1, p.weights[0].channels.clear(); },
     "keeps none of its 8 input channels"},
    {"ChannelMissing", [](UpdatePlan& p) { p.weights[0].channels.pop_back(); },
     "3 channels listed, but ratio 0.5 of conv 1 trains 4 of 8"},
    {"ChannelOutOfRange", [](UpdatePlan& p) { p.weights[0].channels.back() = 8; },
     "channel 8 does not exist"},
    {"ChannelNegative", [](UpdatePlan& p) { p.weights[0].channels.front() = -1; },
     "channel -1 does not exist"},
    {"ChannelTwice", [](UpdatePlan& p) { p.weights[0].channels[1] = p.weights[0].channels[0]; },
     "is listed twice"},
    {"ChannelOrder",
     [](UpdatePlan& p) { std::swap(p.weights[0].channels[0], p.weights[0].channels[1]); },
     "is out of order"},
};

INSTANTIATE_TEST_SUITE_P(EachCorruption, Validate, ::testing::ValuesIn(kCorruptions),
                         [](const auto& param) { return param.param.name; });

TEST(ValidatePlan, ReportsEverythingInOneRun) {
  const ir::Graph graph = testing::chain_graph();
  UpdatePlan plan = sound_plan(graph);
  plan.bias_depth = 9;
  plan.weights[0].channels.back() = 100;
  plan.weights[2].ratio = 2;
  const Status status = validate(plan, graph);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().diagnostics.size(), 3U);
}

TEST(ValidatePlan, ARenamedModelFileIsTheSameModel) {
  const ir::Graph graph = testing::chain_graph();
  UpdatePlan plan = sound_plan(graph);
  plan.model = "the name it had before";
  EXPECT_TRUE(validate(plan, graph).ok());
}

TEST(ValidatePlan, WithoutDigestsTheNameTellsModelsApart) {
  ir::Graph graph = testing::chain_graph();
  graph.sha256.clear();
  UpdatePlan plan = sound_plan(graph);
  EXPECT_TRUE(validate(plan, graph).ok());
  plan.model = "other";
  EXPECT_FALSE(validate(plan, graph).ok());
}

}  // namespace
}  // namespace espalier::plan
