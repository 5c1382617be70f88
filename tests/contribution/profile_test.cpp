#include "espalier/contribution/profile.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "espalier/support/file.hpp"
#include "testing/embedded.hpp"
#include "testing/random_graph.hpp"

namespace espalier::contribution {
namespace {

// Two seeds, one conv measured at two ratios; the second seed's full ratio diverged.
Profile sample_profile(const ir::Graph& graph) {
  Profile p;
  p.model = graph.name;
  p.model_sha256 = graph.sha256;
  p.tool_version = "test";
  p.data = {{"train", {{"count", 2}}}, {"validation", {{"count", 1}}}};
  p.seeds = {1, 2};
  p.ratios = {0.5, 1.0};
  p.trials = {{{0, -1, 0, 1}, 0.50, 1.5},  {{0, -1, 0, 2}, 0.54, 1.4},
              {{1, -1, 0, 1}, 0.60, 1.2},  {{1, -1, 0, 2}, 0.60, 1.3},
              {{1, 6, 0.5, 1}, 0.65, 1.1}, {{1, 6, 0.5, 2}, 0.67, 1.0},
              {{1, 6, 1.0, 1}, 0.70, 0.9}, {{1, 6, 1.0, 2}, 0.0, 0.0, true}};
  summarise(p, 7);
  return p;
}

TEST(Profile, GainsArePairedBySeed) {
  const Profile p = sample_profile(espalier::testing::small_network(1));
  EXPECT_NEAR(p.baseline_accuracy.mean, 0.52, 1e-12);
  EXPECT_NEAR(p.bias[1].accuracy->mean, 0.08, 1e-12);
  EXPECT_NEAR(*p.bias[1].accuracy->standard_error, 0.02, 1e-12);
  EXPECT_NEAR(p.bias[1].loss->mean, 0.2, 1e-12);
  EXPECT_NEAR(p.weight[6][0].accuracy->mean, 0.06, 1e-12);
  EXPECT_NEAR(*p.weight[6][0].accuracy->standard_error, 0.01, 1e-12);
  EXPECT_FALSE(p.weight[6][1].accuracy.has_value());
  EXPECT_EQ(p.weight[6][1].diverged, 1);
  EXPECT_EQ(p.bias[2].seeds, 0);
}

TEST(Profile, OneSeedHasNoStandardError) {
  EXPECT_FALSE(estimate({0.4}).standard_error.has_value());
  EXPECT_NEAR(*estimate({1, 2, 3}).standard_error, 0.57735026919, 1e-9);
}

TEST(Profile, SurvivesJson) {
  const ir::Graph graph = espalier::testing::small_network(1);
  const Json document = to_json(sample_profile(graph));
  const Result<Profile> read = profile_from_json(document, graph, "profile");
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_EQ(to_json(*read), document);
  Profile device = sample_profile(graph);
  device.numerics = trials::Numerics::kDevice;
  EXPECT_FALSE(to_json(device).contains("rounding"));
  device.stochastic = false;
  EXPECT_EQ(to_json(device)["rounding"], "nearest");
  EXPECT_FALSE(profile_from_json(to_json(device), graph, "profile")->stochastic);
}

TEST(Profile, RefusesDamage) {
  const ir::Graph graph = espalier::testing::small_network(1);
  const Json good = to_json(sample_profile(graph));
  const auto refused = [&](const std::function<void(Json&)>& damage) {
    Json bad = good;
    damage(bad);
    const Result<Profile> read = profile_from_json(bad, graph, "profile.json");
    return !read.ok() && read.error().kind == ErrorKind::kBadInput &&
           read.error().message().rfind("profile.json", 0) == 0;
  };
  EXPECT_TRUE(refused([](Json& j) { j["model"]["sha256"] = "other"; }));
  EXPECT_TRUE(refused([](Json& j) { j.erase("trials"); }));
  EXPECT_TRUE(refused([](Json& j) { j["ratios"] = {1.0, 0.5}; }));
  EXPECT_TRUE(refused([](Json& j) { j["ratios"] = {"half"}; }));
  EXPECT_TRUE(refused([](Json& j) { j["seeds"] = {-1}; }));
  EXPECT_TRUE(refused([](Json& j) { j["trials"][3]["depth"] = 99; }));
  EXPECT_TRUE(refused([](Json& j) { j["trials"][4]["conv"] = 5; }));
  EXPECT_TRUE(refused([](Json& j) { j["trials"][4]["ratio"] = 1.5; }));
  // One behind the last conv fits depth 0 and is none.
  EXPECT_TRUE(refused([](Json& j) {
    j["trials"][4]["depth"] = 0;
    j["trials"][4]["conv"] = 7;
  }));
  EXPECT_TRUE(refused([](Json& j) { j["trials"][0].erase("accuracy"); }));
  EXPECT_TRUE(refused([](Json& j) { j["trials"] = Json::array(); }));
  EXPECT_TRUE(refused([](Json& j) { j["trials"][3]["seed"] = -2; }));
  EXPECT_TRUE(refused([](Json& j) { j["trials"].push_back(j["trials"][5]); }));
  EXPECT_TRUE(refused([](Json& j) { j["data"] = {1}; }));
  EXPECT_TRUE(refused([](Json& j) { j["data"]["train"] = "a"; }));
  EXPECT_TRUE(refused([](Json& j) { j["data"]["validation"]["preprocess"] = 5; }));
  EXPECT_TRUE(refused([](Json& j) { j["data"]["train"]["selections"] = "all"; }));
  EXPECT_TRUE(refused([](Json& j) { j["recipe"]["epochs"] = nullptr; }));
  EXPECT_TRUE(refused([](Json& j) { j["rounding"] = 5; }));
  EXPECT_TRUE(refused([](Json& j) { j["rounding"] = "up"; }));
}

// Plans made from them are trained on the data that the classes' names say.
TEST(Profile, ShippedOnesNameTheirClasses) {
  const std::map<std::string, std::string> first{{"fmnist-mbv2", "0"}, {"mcunet-5fps", "airplane"}};
  for (const auto& [model, name] : first) {
    const auto folder = testing::embedded_model().parent_path().parent_path() / model;
    Profile profile;
    profile.data = read_json(folder / "contributions.json", kProfileSchema)->at("data");
    const std::vector<std::string> names = class_names(profile);
    ASSERT_EQ(static_cast<int>(names.size()), class_count(profile)) << model;
    EXPECT_EQ(names.front(), name);
    EXPECT_EQ(profile.data["train"]["class_names"], profile.data["validation"]["class_names"]);
    // Of a set of numbers those that were kept.
    const Json& selections = profile.data["train"]["selections"];
    if (!selections[0].contains("classes")) continue;
    for (std::size_t i = 0; i < names.size(); ++i) {
      EXPECT_EQ(names[i], std::to_string(selections[0]["classes"][i].get<int>()));
    }
  }
}

}  // namespace
}  // namespace espalier::contribution
