#include "espalier/plan/published.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "espalier/support/file.hpp"
#include "plan/chain_graph.hpp"
#include "plan/published_networks.hpp"

namespace espalier::plan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Result<UpdatePlan> read(const std::string& text) {
  return from_published(testing::chain_graph(), parse_json(text, "text").value());
}

std::vector<int> convs_of(const UpdatePlan& plan) {
  std::vector<int> convs;
  for (const WeightUpdate& update : plan.weights) convs.push_back(update.conv);
  return convs;
}

TEST(Published, ReadsLists) {
  const ir::Graph graph = testing::chain_graph();
  const Result<UpdatePlan> plan = read(
      R"({"n_bias_update": 3, "manual_weight_idx": [1, 3], "weight_update_ratio": [0.5, null]})");
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  EXPECT_TRUE(validate(*plan, graph).ok());
  EXPECT_EQ(plan->bias_depth, 3);
  ASSERT_THAT(convs_of(*plan), ElementsAre(1, 3));
  EXPECT_EQ(plan->weights[0], make_weight_update(graph, 1, 0.5));
  EXPECT_EQ(plan->weights[1], make_weight_update(graph, 3, 1.0));
}

TEST(Published, ReadsTheSpellingsOfTheConfigurationFiles) {
  const Result<UpdatePlan> dashes = read(
      R"({"n_bias_update": "all", "manual_weight_idx": "1-3", "weight_update_ratio": "0.5-1"})");
  ASSERT_TRUE(dashes.ok()) << dashes.error().message();
  EXPECT_EQ(dashes->bias_depth, 4);
  EXPECT_THAT(convs_of(*dashes), ElementsAre(1, 3));
  EXPECT_EQ(dashes->weights[0].ratio, 0.5);

  const Result<UpdatePlan> one =
      read(R"({"n_bias_update": 2, "manual_weight_idx": 2, "weight_update_ratio": 0.25})");
  ASSERT_TRUE(one.ok()) << one.error().message();
  EXPECT_THAT(convs_of(*one), ElementsAre(2));
  EXPECT_EQ(one->weights[0].ratio, 0.25);

  const Result<UpdatePlan> last =
      read(R"({"n_bias_update": 3, "manual_weight_idx": null, "n_weight_update": 2,
               "weight_update_ratio": null, "weight_select_criteria": "magnitude+",
               "pw1_weight_only": 0})");
  ASSERT_TRUE(last.ok()) << last.error().message();
  EXPECT_THAT(convs_of(*last), ElementsAre(2, 3));
  EXPECT_EQ(last->weights[0].ratio, 1.0);

  const Result<UpdatePlan> all =
      read(R"({"n_bias_update": "all", "n_weight_update": "all", "weight_update_ratio": null})");
  ASSERT_TRUE(all.ok()) << all.error().message();
  EXPECT_EQ(*all, full(testing::chain_graph()));
}

TEST(Published, BiasOnly) {
  for (const char* text :
       {R"({"n_bias_update": 2})",
        R"({"n_bias_update": 2, "manual_weight_idx": [], "weight_update_ratio": []})"}) {
    const Result<UpdatePlan> plan = read(text);
    ASSERT_TRUE(plan.ok()) << plan.error().message();
    EXPECT_EQ(*plan, bias_only(testing::chain_graph(), 2).value());
  }
}

TEST(Published, DropsRatiosThatKeepNoChannel) {
  const Result<UpdatePlan> plan = read(
      R"({"n_bias_update": 4, "manual_weight_idx": [0, 1, 2], "weight_update_ratio": [0.25, 0, 1]})");
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  // 0.25 of 3 input channels is none, like a ratio of 0.
  EXPECT_THAT(convs_of(*plan), ElementsAre(2));
  EXPECT_EQ(plan->bias_depth, 4);
}

struct BadCase {
  std::string name;
  std::string text;
  std::string complaint;
};

class BadPublished : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadPublished, IsRejected) {
  const Result<UpdatePlan> plan = read(GetParam().text);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(plan.error().message(), HasSubstr("published plan: "));
  EXPECT_THAT(plan.error().message(), HasSubstr(GetParam().complaint));
}

const BadCase kBadCases[] = {
    {"NotAnObject", "[1]", "must be an object such as"},
    {"NoDepth", "{}", "'n_bias_update' must be present"},
    {"DepthTooLarge", R"({"n_bias_update": 5})", "an integer from 0 to 4"},
    {"DepthNegative", R"({"n_bias_update": -1})", "an integer from 0 to 4"},
    {"DepthText", R"({"n_bias_update": "some"})", "must be \"all\" or an integer"},
    {"ConvBeforeBiases", R"({"n_bias_update": 2, "manual_weight_idx": [1]})",
     "raise 'n_bias_update' to at least 3"},
    {"ConvUnknown", R"({"n_bias_update": 2, "manual_weight_idx": [4]})", "conv 4 does not exist"},
    {"ConvFraction", R"({"n_bias_update": 2, "manual_weight_idx": [2.5]})", "does not exist"},
    {"ConvNull", R"({"n_bias_update": 2, "manual_weight_idx": [null]})", "must be an array of"},
    {"ConvTwice", R"({"n_bias_update": 2, "manual_weight_idx": [2, 2]})", "list each conv once"},
    {"ConvOrder", R"({"n_bias_update": 2, "manual_weight_idx": "3-2"})", "in ascending order"},
    {"ConvText", R"({"n_bias_update": 2, "manual_weight_idx": "2-x"})", "must be an array of"},
    {"ConvEmptyText", R"({"n_bias_update": 2, "manual_weight_idx": ""})", "must be an array of"},
    {"RatioCount",
     R"({"n_bias_update": 2, "manual_weight_idx": [2], "weight_update_ratio": [1, 1]})",
     "one ratio for each conv"},
    {"RatioTooLarge",
     R"({"n_bias_update": 2, "manual_weight_idx": [2], "weight_update_ratio": [2]})",
     "give 0 to 1"},
    {"RatioText", R"({"n_bias_update": 2, "manual_weight_idx": [2], "weight_update_ratio": "all"})",
     "'weight_update_ratio' must be"},
    {"RatioBool",
     R"({"n_bias_update": 2, "manual_weight_idx": [2], "weight_update_ratio": [true]})",
     "'weight_update_ratio' must be"},
    {"Criteria", R"({"n_bias_update": 2, "weight_select_criteria": "random"})", "magnitude+"},
    {"Pw1Only", R"({"n_bias_update": 2, "pw1_weight_only": 1})", "'pw1_weight_only'"},
    {"TooManyWeights", R"({"n_bias_update": 2, "n_weight_update": 3})", "from 0 to 2"},
};

INSTANTIATE_TEST_SUITE_P(EachCase, BadPublished, ::testing::ValuesIn(kBadCases),
                         [](const auto& param) { return param.param.name; });

TEST(Published, ReportsEverythingInOneRun) {
  const Result<UpdatePlan> plan =
      read(R"({"n_bias_update": 9, "manual_weight_idx": [7, 8], "weight_update_ratio": [2]})");
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().diagnostics.size(), 5U);
}

TEST(Published, RoundTrips) {
  const ir::Graph graph = testing::chain_graph();
  UpdatePlan plan = bias_only(graph, 4).value();
  plan.weights.push_back(make_weight_update(graph, 0, 0.4));
  plan.weights.push_back(make_weight_update(graph, 3, 1.0));
  const Json document = to_published(plan);
  EXPECT_EQ(document.dump(),
            R"({"n_bias_update":4,"manual_weight_idx":[0,3],"weight_update_ratio":[0.4,1.0]})");
  const Result<UpdatePlan> again = from_published(graph, document);
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(*again, plan);
}

TEST(Published, EveryPublishedPlanReadsAndRoundTrips) {
  ESPALIER_SHARED_DATA_OR_SKIP(data);
  const Json reference =
      parse_json(read_file(data / "reference" / "memory_reference.json").value(), "reference")
          .value();
  const Json channels =
      parse_json(read_file(data / "reference" / "published_plan_channels.json").value(),
                 "reference")
          .value();
  int plans = 0;
  for (const auto& [model, entries] : channels.items()) {
    const ir::Graph& graph = testing::published_network(data, model);
    for (const auto& [name, kept] : entries.items()) {
      SCOPED_TRACE(model + " " + name);
      const Result<UpdatePlan> plan =
          from_published(graph, reference["models"][model]["configs"][name]);
      ASSERT_TRUE(plan.ok()) << plan.error().message();
      EXPECT_TRUE(validate(*plan, graph).ok());
      for (const auto& [conv, entry] : kept.items()) {
        const auto ours = trained_channels(*plan, std::stoi(conv));
        EXPECT_EQ(ours ? ours->size() : 0U, entry["n_keep"].get<std::size_t>());
        if (!ours || entry["boundary_tie"].get<bool>()) continue;
        EXPECT_EQ(std::vector<int>(ours->begin(), ours->end()),
                  entry["keep_in_channels"].get<std::vector<int>>());
      }
      EXPECT_EQ(from_published(graph, to_published(*plan)).value(), *plan);
      ++plans;
    }
  }
  EXPECT_EQ(plans, 15);
}

}  // namespace
}  // namespace espalier::plan
