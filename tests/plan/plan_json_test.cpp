#include "espalier/plan/plan_json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "espalier/support/file.hpp"
#include "plan/chain_graph.hpp"

namespace espalier::plan {
namespace {

using ::testing::HasSubstr;

UpdatePlan rich_plan(const ir::Graph& graph) {
  UpdatePlan plan = bias_only(graph, 3).value();
  plan.weights.push_back(make_weight_update(graph, 1, 0.3));
  plan.weights.push_back(make_weight_update(graph, 3, 1.0));
  plan.classes = {"ant", "cat"};
  plan.predicted_gain = 0.1234567890123456;
  plan.gain_metric = "accuracy";
  plan.memory = {{"analytic", Bytes{1234}}, {"planned", Bytes{5678}}};
  plan.budget = Bytes{102400};
  plan.solver = "evolution";
  plan.seed = 18446744073709551615ULL;
  plan.tool_version = "0.1.0";
  return plan;
}

class PlanFile : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::path(::testing::TempDir()) /
            (std::string("espalier_plan_") + info->name() + ".json");
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::filesystem::path path_;
};

TEST(PlanJson, RoundTrips) {
  const ir::Graph graph = testing::chain_graph();
  UpdatePlan rotating = rich_plan(graph);
  add_rotation(rotating, graph);
  EXPECT_TRUE(rotates(rotating));
  for (const UpdatePlan& plan : {rich_plan(graph), rotating, head_only(graph), full(graph)}) {
    const std::string text = to_json(plan).dump(2);
    const Result<UpdatePlan> again = from_json(parse_json(text, "text").value(), graph);
    ASSERT_TRUE(again.ok()) << again.error().message();
    EXPECT_EQ(*again, plan);
    EXPECT_EQ(to_json(*again).dump(2), text);
  }
}

TEST(PlanJson, WritesTheContractInAStableOrder) {
  const ir::Graph graph = testing::chain_graph();
  UpdatePlan plan = rich_plan(graph);
  plan.weights.resize(1);
  EXPECT_EQ(
      to_json(plan).dump(),
      R"({"schema":"espalier.plan/1","model":"chain","model_sha256":")" + std::string(64, 'a') +
          R"(","bias_depth":3,"weights":[{"conv":1,"ratio":0.3,"channels":)" +
          Json(plan.weights[0].channels).dump() +
          R"(}],"classes":["ant","cat"],"predicted_gain":0.1234567890123456,"gain_metric":"accuracy",)"
          R"("memory_bytes":{"analytic":1234,"planned":5678},"budget_bytes":102400,)"
          R"("solver":"evolution","seed":18446744073709551615,"tool_version":"0.1.0"})");
}

TEST_F(PlanFile, SavesAndLoads) {
  const ir::Graph graph = testing::chain_graph();
  const UpdatePlan plan = rich_plan(graph);
  ASSERT_TRUE(save_plan(path_, plan).ok());
  const Result<UpdatePlan> again = load_plan(path_, graph);
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(*again, plan);
}

TEST_F(PlanFile, ErrorsNameTheFile) {
  const ir::Graph graph = testing::chain_graph();
  const Result<UpdatePlan> missing = load_plan(path_, graph);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().kind, ErrorKind::kMissingInput);

  ASSERT_TRUE(write_file_atomic(path_, "{\"schema\": \"espalier.plan/1\",").ok());
  const Result<UpdatePlan> truncated = load_plan(path_, graph);
  ASSERT_FALSE(truncated.ok());
  EXPECT_EQ(truncated.error().kind, ErrorKind::kBadInput);

  UpdatePlan plan = rich_plan(graph);
  plan.bias_depth = 77;
  ASSERT_TRUE(save_plan(path_, plan).ok());
  const Result<UpdatePlan> wrong = load_plan(path_, graph);
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(wrong.error().message(), HasSubstr(path_.string() + ": bias_depth 77"));
}

struct Damage {
  std::string name;
  std::function<void(Json&)> apply;
  std::string complaint;
};

class DamagedPlan : public ::testing::TestWithParam<Damage> {};

TEST_P(DamagedPlan, IsRejected) {
  const ir::Graph graph = testing::chain_graph();
  Json document = to_json(rich_plan(graph));
  GetParam().apply(document);
  const Result<UpdatePlan> plan = from_json(document, graph, "p.json");
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(plan.error().message(), HasSubstr("p.json"));
  EXPECT_THAT(plan.error().message(), HasSubstr(GetParam().complaint));
}

const Damage kDamages[] = {
    {"NotAnObject", [](Json& j) { j = Json::array(); }, "must be a JSON object"},
    {"NoSchema", [](Json& j) { j.erase("schema"); }, "'schema' must be"},
    {"OtherSchema", [](Json& j) { j["schema"] = "espalier.plan/2"; },
     "schema is 'espalier.plan/2'"},
    {"NoModel", [](Json& j) { j.erase("model"); }, "'model' must be"},
    {"OtherModel", [](Json& j) { j["model_sha256"] = std::string(64, 'c'); },
     "used with model 'chain'"},
    {"DepthText", [](Json& j) { j["bias_depth"] = "3"; }, "'bias_depth' must be"},
    {"DepthFraction", [](Json& j) { j["bias_depth"] = 2.5; }, "'bias_depth' must be"},
    {"DepthTooLarge", [](Json& j) { j["bias_depth"] = 5; }, "bias_depth 5 is out of range"},
    {"NoWeights", [](Json& j) { j.erase("weights"); }, "'weights' must be an array"},
    {"WeightsObject", [](Json& j) { j["weights"] = Json::object(); }, "'weights' must be an array"},
    {"EntryNumber", [](Json& j) { j["weights"][0] = 3; }, "weights[0]: 'conv' must be"},
    {"NoConv", [](Json& j) { j["weights"][1].erase("conv"); }, "weights[1]: 'conv' must be"},
    {"HugeConv", [](Json& j) { j["weights"][1]["conv"] = 1LL << 40; },
     "weights[1]: 'conv' must be"},
    {"RatioText", [](Json& j) { j["weights"][0]["ratio"] = "half"; },
     "weights[0]: 'ratio' must be"},
    {"RatioNull", [](Json& j) { j["weights"][0]["ratio"] = nullptr; }, "'ratio' must be"},
    {"NoChannels", [](Json& j) { j["weights"][0].erase("channels"); }, "'channels' must be"},
    {"ChannelText", [](Json& j) { j["weights"][0]["channels"][0] = "0"; }, "must be an integer"},
    {"ChannelFraction", [](Json& j) { j["weights"][0]["channels"][0] = 0.5; },
     "channel 0.5 must be an integer"},
    {"ChannelHuge", [](Json& j) { j["weights"][0]["channels"][0] = UINT64_MAX; }, "channel"},
    {"GainText", [](Json& j) { j["predicted_gain"] = "much"; }, "'predicted_gain' must be"},
    {"MetricNumber", [](Json& j) { j["gain_metric"] = 1; }, "'gain_metric' must be"},
    {"ClassesText", [](Json& j) { j["classes"] = "ant"; }, "'classes' must be"},
    {"ClassesNumbers",
     [](Json& j) {
       j["classes"] = {0, 1};
     },
     "'classes' must be"},
    {"ClassesTwice",
     [](Json& j) {
       j["classes"] = {"ant", "ant"};
     },
     "'classes' must be"},
    {"ClassesObject",
     [](Json& j) {
       j["classes"] = {{"a", "ant"}};
     },
     "'classes' must be"},
    {"ClassesNone", [](Json& j) { j["classes"] = Json::array(); }, "'classes' must be"},
    {"MemoryArray", [](Json& j) { j["memory_bytes"] = Json::array(); }, "'memory_bytes' must be"},
    {"MemoryText", [](Json& j) { j["memory_bytes"]["analytic"] = "1 KiB"; },
     "memory_bytes: 'analytic' must be"},
    {"BudgetText", [](Json& j) { j["budget_bytes"] = "100KiB"; }, "'budget_bytes' must be"},
    {"SolverNumber", [](Json& j) { j["solver"] = 1; }, "'solver' must be"},
    {"NegativeSeed", [](Json& j) { j["seed"] = -1; }, "'seed' must be"},
    {"VersionNumber", [](Json& j) { j["tool_version"] = 1; }, "'tool_version' must be"},
};

INSTANTIATE_TEST_SUITE_P(EachDamage, DamagedPlan, ::testing::ValuesIn(kDamages),
                         [](const auto& param) { return param.param.name; });

TEST(PlanJson, ReportsEveryWrongTypeInOneRun) {
  const ir::Graph graph = testing::chain_graph();
  Json document = to_json(rich_plan(graph));
  document["bias_depth"] = "x";
  document["weights"][0]["conv"] = "y";
  document["solver"] = 4;
  const Result<UpdatePlan> plan = from_json(document, graph);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().diagnostics.size(), 3U);
}

TEST(PlanJson, UnknownMembersAreLeftForLaterVersions) {
  const ir::Graph graph = testing::chain_graph();
  Json document = to_json(rich_plan(graph));
  document["comment"] = "by hand";
  EXPECT_TRUE(from_json(document, graph).ok());
}

}  // namespace
}  // namespace espalier::plan
