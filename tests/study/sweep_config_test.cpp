#include "espalier/study/sweep_config.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "espalier/support/json.hpp"

namespace espalier::study {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json smallest() {
  return {{"schema", "espalier.sweep/1"},
          {"name", "small"},
          {"models", {{{"name", "m"}, {"file", "models/m.onnx"}}}},
          {"datasets", {{{"name", "d"}, {"train", "idx:a,b"}, {"test", "idx:/x/c,d.gz"}}}},
          {"training", {{"seeds", {0, 1}}}}};
}

Json whole() {
  Json json = smallest();
  json["analysis"] = {{"limit_train", 100},
                      {"ratios", {1, 0.5}},
                      {"seeds", {3}},
                      {"recipe", {{"epochs", 2}, {"schedule", "published"}}}};
  json["searches"] = {{{"budgets", {"24KiB", "48KB"}}, {"solver", "exact"}}};
  json["plans"] = {{"head_only", false},
                   {"bias_only", "all"},
                   {"last_k", {3, 1}},
                   {"full", true},
                   {"published",
                    {{{"name", "p"},
                      {"model", "m"},
                      {"n_bias_update", 2},
                      {"manual_weight_idx", {1}},
                      {"weight_update_ratio", {0.5}}}}}};
  json["training"]["numerics"] = {"simulation", "device"};
  json["training"]["accumulate"] = 8;
  json["slurm"] = {{"shards", 3}, {"partition", "long"}, {"time", "1-02:00:00"}, {"memory", "2G"}};
  return json;
}

Result<SweepConfig> parse(const Json& json) {
  return parse_sweep_config(json.dump(), "c.json", "/base");
}

std::string error(const Json& json) {
  const Result<SweepConfig> config = parse(json);
  if (config.ok()) return "";
  EXPECT_EQ(config.error().kind, ErrorKind::kBadInput);
  return config.error().message();
}

// Names of members and columns are no files, whose absence would be told.
TEST(SweepConfig, ReadsFilesAndNotWhatIsInThem) {
  Json json = smallest();
  json["datasets"] = {{{"name", "d"},
                       {"train", "npz:train.npz,X,Y"},
                       {"test", "csv:/x/test.csv,species"},
                       {"preprocess", "resize=8,lut=tables/t.txt,crop=4"}}};
  const Result<SweepConfig> config = parse(json);
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(config->datasets[0].train, "npz:/base/train.npz,X,Y");
  EXPECT_EQ(config->datasets[0].preprocess, "resize=8,lut=/base/tables/t.txt,crop=4");
  EXPECT_THAT(inputs_of(*config), ElementsAre("/base/models/m.onnx", "/base/train.npz",
                                              "/x/test.csv", "/base/tables/t.txt"));
}

TEST(SweepConfig, OnlyMeasuredSearchesTrain) {
  Json json = smallest();
  json["analysis"] = Json::object();
  json["searches"] = {{{"budgets", {"1KiB"}},
                       {"solver", "measured"},
                       {"trainings", 7},
                       {"limit_train", 5000},
                       {"recipe", {{"epochs", 10}}},
                       {"finalists", 3},
                       {"race_seeds", 4},
                       {"race_folds", 3},
                       {"rates", {0.1, 0.2}},
                       {"rates_of", "finalists"},
                       {"head_epochs", 1},
                       {"warmup_epochs", 2.5},
                       {"clip", 3}}};
  const Result<SweepConfig> config = parse(json);
  ASSERT_TRUE(config.ok()) << config.error().message();
  const SweepSearch::Measure& measure = config->searches[0].measure;
  EXPECT_EQ(measure.trainings, 7);
  EXPECT_EQ(measure.limit_train, 5000);
  EXPECT_EQ(measure.recipe->epochs, 10);
  EXPECT_EQ(measure.finalists, 3);
  EXPECT_EQ(measure.race_seeds, 4);
  EXPECT_EQ(measure.race_folds, 3);
  EXPECT_TRUE(measure.rates_of_finalists);
  EXPECT_THAT(measure.rates, ElementsAre(0.1, 0.2));
  EXPECT_EQ(measure.own.head_epochs, 1);
  EXPECT_EQ(measure.own.warmup_epochs, 2.5);
  EXPECT_EQ(measure.own.clip, 3);
  EXPECT_EQ(config->searches[0].plan_name("49KB"), "found-49KB-measured-head1-warmup2.5-clip3");
  json["searches"][0]["warmup_epochs"] = 10;
  EXPECT_THAT(error(json), HasSubstr("/searches: --warmup 10 must lie"));
  json["searches"][0]["warmup_epochs"] = 1;
  json["searches"][0]["head_epochs"] = 10;
  json["training"]["recipe"] = {{"epochs", 10}};
  EXPECT_THAT(error(json), HasSubstr("/searches: --head-epochs 10 must lie in 0..9"));
  json["searches"][0]["head_epochs"] = 1;
  json["searches"][0]["rates"] = "auto";
  EXPECT_TRUE(parse(json)->searches[0].measure.automatic_rates);
  json["searches"][0].erase("rates");
  EXPECT_THAT(error(json), HasSubstr("/searches: rates_of says whose the rates are"));
  json["searches"][0]["rates"] = {0.1, 1e300};
  EXPECT_THAT(error(json), HasSubstr("/searches/rates: --lr 1e+300 must"));
  json["searches"][0]["rates"] = {0.1};
  json["searches"][0]["solver"] = "exact";
  const std::string refused = error(json);
  for (const char* key :
       {"trainings", "limit_train", "recipe", "finalists", "race_seeds", "race_folds", "rates",
        "rates_of", "head_epochs", "warmup_epochs", "clip"}) {
    EXPECT_THAT(refused, HasSubstr(fmt::format("{} is of the solver \"measured\" alone", key)));
  }
}

TEST(SweepConfig, RatesOfPlansReplaceThatOfOneRecipe) {
  Json json = smallest();
  json["plans"]["published"] = {{{"name", "49KB"},
                                 {"model", json["models"][0]["name"]},
                                 {"n_bias_update", 2},
                                 {"manual_weight_idx", Json::array()},
                                 {"weight_update_ratio", Json::array()},
                                 {"learning_rate", 0.2},
                                 {"head_epochs", 1},
                                 {"warmup_epochs", 3},
                                 {"clip", 2}}};
  const Result<SweepConfig> config = parse(json);
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(config->published[0].own.learning_rate, 0.2);
  EXPECT_EQ(config->published[0].own.head_epochs, 1);
  EXPECT_FALSE(config->published[0].document.contains("learning_rate"));
  EXPECT_EQ(config->published[0].own.warmup_epochs, 3);
  for (const char* ours : {"head_epochs", "warmup_epochs", "clip", "name", "model"}) {
    EXPECT_FALSE(config->published[0].document.contains(ours));
  }
  const train::Recipe own = config->published[0].own.applied({.epochs = 7});
  EXPECT_EQ(
      own,
      (train::Recipe{
          .epochs = 7, .learning_rate = 0.2, .warmup_epochs = 3, .head_epochs = 1, .clip = 2}));
  json["plans"]["published"][0]["head_epochs"] = 7;
  json["training"]["recipe"] = {{"epochs", 7}};
  EXPECT_THAT(error(json), HasSubstr("/plans/published: --head-epochs 7 must lie in 0..6"));
  json["plans"]["published"][0]["head_epochs"] = 1;
  json["training"].erase("recipe");
  json["training"]["recipes"] = {{{"name", "a"}}, {{"name", "b"}, {"epochs", 3}}};
  EXPECT_THAT(error(json), HasSubstr("epochs of the head of their own need one recipe"));
}

TEST(SweepConfig, BudgetsMayBeThoseOfPublishedPlans) {
  Json json = smallest();
  json["analysis"] = Json::object();
  json["plans"]["published"] = {{{"name", "49KB"},
                                 {"model", json["models"][0]["name"]},
                                 {"n_bias_update", 2},
                                 {"manual_weight_idx", Json::array()},
                                 {"weight_update_ratio", Json::array()}}};
  const Json search{{"budgets", "published"}, {"solver", "exact"}};
  json["searches"] = {search};
  const Result<SweepConfig> config = parse(json);
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_TRUE(config->searches[0].at_published);
  EXPECT_EQ(config->searches[0].plan_name("49KB"), "found-49KB-exact");
  json["searches"] = {search};
  json["searches"][0]["budgets"] = {"10KiB", "published"};
  EXPECT_THAT(error(json), HasSubstr("published stands in place of the array"));
  json["searches"] = {search, search};
  json["searches"][1]["gains"] = "measured";
  const Result<SweepConfig> both = parse(json);
  ASSERT_TRUE(both.ok()) << both.error().message();
  EXPECT_TRUE(both->searches[0].believed);
  EXPECT_FALSE(both->searches[1].believed);
  EXPECT_EQ(both->searches[1].plan_name("49KB"), "found-49KB-exact-raw");
  json["searches"][1]["solver"] = "measured";
  EXPECT_THAT(error(json), HasSubstr("remove gains"));
  json["searches"] = {search, search};
  EXPECT_THAT(error(json), HasSubstr("must differ in solver, metric, gains, rotate, "
                                     "head_epochs, warmup_epochs or clip"));
  json["searches"] = {search, search};
  json["searches"][1]["budgets"] = {"10KiB", "49KB"};
  EXPECT_TRUE(parse(json).ok());  // found-47.85KiB-exact
  json["plans"]["published"][0]["name"] = "10KiB";
  EXPECT_THAT(error(json), HasSubstr("would both find 'found-10KiB-exact'"));
  json["searches"] = {search};
  json["searches"][0]["memory"] = "planned";
  json["searches"][0]["solver"] = "auto";
  EXPECT_THAT(error(json), HasSubstr("are of analytic memory"));
  const Json planned{{"budgets", {"50KiB"}}, {"memory", "planned"}, {"solver", "measured"}};
  json["searches"] = {planned};
  const Result<SweepConfig> on_chip = parse(json);
  ASSERT_TRUE(on_chip.ok()) << on_chip.error().message();
  EXPECT_EQ(on_chip->searches[0].plan_name(Bytes{50 * 1024}), "found-50KiB-planned-measured");
  json["searches"][0]["solver"] = "exact";
  EXPECT_THAT(error(json), HasSubstr("the solver exact needs an additive cost"));
  json["searches"] = {search};
  json["plans"].erase("published");
  EXPECT_THAT(error(json), HasSubstr("there are none in /plans/published"));
}

// What finds plans may train as the device does, as something must in the end.
TEST(SweepConfig, NumericsOfTheAnalysis) {
  Json json = whole();
  json["analysis"]["numerics"] = "device";
  const Result<SweepConfig> config = parse(json);
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(config->analysis->numerics, trials::Numerics::kDevice);
  json["analysis"]["recipe"]["qas"] = false;
  EXPECT_THAT(error(json), HasSubstr("/analysis/recipe: --no-qas"));
  json["analysis"]["recipe"].erase("qas");
  json["analysis"]["numerics"] = "integer";
  EXPECT_THAT(error(json), HasSubstr("/training/numerics lacks \"integer\""));
}

TEST(SweepConfig, RecipesAreSuchAsTheDeviceCanFollow) {
  Json json = whole();
  const auto refused = [&](const char* place, Json recipe) {
    json["training"].erase("recipe");
    json["training"].erase("recipes");
    json["training"][place] = std::move(recipe);
    return error(json);
  };
  EXPECT_THAT(refused("recipe", {{"qas", false}}), HasSubstr("/training/recipe: --no-qas"));
  EXPECT_THAT(refused("recipes", {{{"name", "a"}}, {{"name", "b"}, {"qas", false}}}),
              HasSubstr("/training/recipes/b: --no-qas"));
  json["training"]["numerics"] = {"simulation"};
  for (const char* of_device : {"accumulate", "rounding"}) json["training"].erase(of_device);
  json["analysis"].erase("numerics");
  EXPECT_EQ(refused("recipe", {{"qas", false}}), "");
}

// m.x.d.head-only.json would be of both.
TEST(SweepConfig, FilesOfTwoPairsMayNotHaveOneName) {
  Json json = smallest();
  Json model = json["models"][0];
  Json dataset = json["datasets"][0];
  model["name"] = "m.x";
  dataset["name"] = "x.d";
  json["models"].push_back(model);
  EXPECT_EQ(error(json), "");
  json["datasets"].push_back(dataset);
  EXPECT_EQ(error(json),
            "c.json: /datasets: files of 'm' on 'x.d' and of 'm.x' on 'd' would both be called "
            "m.x.d; give one of these another name");
  json["datasets"][1]["name"] = "xd";
  EXPECT_EQ(error(json), "");
}

TEST(SweepConfig, KeepsTheModelsThatAreWanted) {
  Json json = whole();
  Json other = json["models"][0];
  other["name"] = "other";
  json["models"].push_back(other);
  Result<SweepConfig> config = parse(json);
  ASSERT_TRUE(config.ok()) << config.error().message();
  const Status unknown = keep_models(*config, {"other", "third"});
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(unknown.error().message(),
              HasSubstr("'third' is none of the configuration's models: m, other"));
  ASSERT_TRUE(keep_models(*config, {"other"}).ok());
  ASSERT_EQ(config->models.size(), 1U);
  EXPECT_EQ(config->models[0].name, "other");
  EXPECT_TRUE(config->published.empty());
}

TEST(SweepConfig, SmallestHasDefaults) {
  const Result<SweepConfig> config = parse(smallest());
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(config->models[0].file, "/base/models/m.onnx");
  EXPECT_EQ(config->datasets[0].train, "idx:/base/a,/base/b");
  EXPECT_EQ(config->datasets[0].test, "idx:/x/c,/base/d.gz");
  EXPECT_FALSE(config->analysis.has_value());
  EXPECT_TRUE(config->head_only);
  EXPECT_THAT(config->training.seeds, ElementsAre(0, 1));
  EXPECT_EQ(config->training.recipes.at(0).recipe, train::Recipe{});
}

TEST(SweepConfig, ReadsEverything) {
  const Result<SweepConfig> config = parse(whole());
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_THAT(config->analysis->ratios, ElementsAre(0.5, 1));
  EXPECT_EQ(config->analysis->recipe.epochs, 2);
  EXPECT_EQ(config->analysis->recipe.schedule, train::Schedule::kPublished);
  EXPECT_THAT(config->searches[0].budgets, ElementsAre(Bytes{24 * 1024}, Bytes{48000}));
  EXPECT_EQ(config->searches[0].solver, SweepSolver::kExact);
  EXPECT_EQ(config->searches[0].plan_name(Bytes{24 * 1024}), "found-24KiB-exact");
  EXPECT_FALSE(config->head_only);
  EXPECT_TRUE(config->bias_only.all);
  EXPECT_THAT(config->last_k.depths, ElementsAre(1, 3));
  EXPECT_TRUE(config->full);
  EXPECT_EQ(config->published[0].document["n_bias_update"], 2);
  EXPECT_THAT(config->training.numerics,
              ElementsAre(trials::Numerics::kSimulation, trials::Numerics::kDevice));
  EXPECT_EQ(config->training.accumulate, 8);
  EXPECT_EQ(config->slurm.shards, 3);
  EXPECT_EQ(config->slurm.partition, "long");
}

TEST(SweepConfig, CommentsChangeNothing) {
  const std::string plain = smallest().dump(2);
  std::string commented = "// What is measured.\n" + plain;
  commented.insert(commented.rfind('}'), "/* the end */");
  const auto one = parse_sweep_config(plain, "c", "/");
  const auto two = parse_sweep_config(commented, "c", "/");
  ASSERT_TRUE(one.ok() && two.ok()) << two.error().message();
  EXPECT_EQ(one->sha256, two->sha256);
}

// A misspelt member anywhere is named with its place and with the one that was meant.
TEST(SweepConfig, UnknownMembersComeWithTheNearestOne) {
  const Json json = whole();
  const Json flat = json.flatten();
  int members = 0;
  for (const auto& [pointer, value] : flat.items()) {
    const std::size_t slash = pointer.rfind('/');
    const std::string key = pointer.substr(slash + 1);
    if (key.find_first_not_of("0123456789") == std::string::npos || key.size() < 4) continue;
    Json broken = json;
    Json& parent = broken[Json::json_pointer(pointer.substr(0, slash))];
    parent[key + "x"] = 1;
    const std::string message = error(broken);
    EXPECT_THAT(message, HasSubstr("'" + key + "x' is not known here")) << pointer;
    EXPECT_THAT(message, HasSubstr("did you mean '" + key + "'?")) << pointer;
    ++members;
  }
  EXPECT_GE(members, 20);
}

// Every member with a value of another type is refused, and its place is told.
TEST(SweepConfig, WrongTypesAreNamed) {
  const Json json = whole();
  const Json flat = json.flatten();
  for (const auto& [pointer, value] : flat.items()) {
    if (pointer.find("n_bias_update") != std::string::npos ||
        pointer.find("manual_weight_idx") != std::string::npos ||
        pointer.find("weight_update_ratio") != std::string::npos) {
      continue;  // the published notation is read with the model
    }
    Json broken = json;
    broken[Json::json_pointer(pointer)] = Json::object();
    EXPECT_THAT(error(broken), HasSubstr("c.json: ")) << pointer;
  }
}

TEST(SweepConfig, WhatContradictsItselfIsListed) {
  Json json = whole();
  json["models"].push_back(json["models"][0]);
  json["plans"]["published"][0]["model"] = "other";
  json["searches"][0]["budgets"] = {"24 parsecs"};
  json.erase("analysis");
  const std::string message = error(json);
  EXPECT_THAT(message, HasSubstr("the name 'm' is used twice"));
  EXPECT_THAT(message, HasSubstr("'other', which is not among the models"));
  EXPECT_THAT(message, HasSubstr("24 parsecs"));
  EXPECT_THAT(message, HasSubstr("a search needs contributions"));
}

TEST(SweepConfig, MissingMembersAreNamed) {
  Json json = smallest();
  json.erase("training");
  EXPECT_THAT(error(json), HasSubstr("'training' is missing"));
  json = smallest();
  json["datasets"][0].erase("test");
  EXPECT_THAT(error(json), HasSubstr("/datasets/0: 'test' is missing"));
}

TEST(SweepConfig, OptionsWithoutEffectAreRefused) {
  Json json = smallest();
  json["training"]["accumulate"] = 8;
  EXPECT_THAT(error(json), HasSubstr("no part in simulation"));
}

TEST(SweepConfig, MissingFile) {
  const auto config = load_sweep_config("/nowhere/sweep.json");
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error().kind, ErrorKind::kMissingInput);
}

}  // namespace
}  // namespace espalier::study
