// What a sweep's folder becomes in a report.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "espalier/report/build.hpp"
#include "support/temp_folder.hpp"

namespace espalier::testing {
namespace {

using report::Report;
using report::Section;
using report::Table;
using ::testing::HasSubstr;
using ::testing::Not;

// A sweep of one model: head only, two last-k curves, a published plan and a found one.
class SweepReport : public ::testing::Test {
 protected:
  SweepReport() {
    add("head-only", "head_only", 0, Json::array(), 100, {0.60, 0.62});
    add("last-1", "last_k", 1, {{{"conv", 3}, {"ratio", 1}}}, 20480, {0.70, 0.72});
    add("last-2", "last_k", 2, {{{"conv", 2}, {"ratio", 1}}, {{"conv", 3}, {"ratio", 1}}}, 61440,
        {0.80, 0.82});
    add("published-p", "published", 2, {{{"conv", 2}, {"ratio", 0.5}}}, 10240, {0.75, 0.77});
    add("found-10KiB", "found", 2, {{{"conv", 2}, {"ratio", 1}}}, 10200, {0.85, 0.87});
  }

  void add(const std::string& name, const std::string& kind, int depth, const Json& updates,
           int bytes, const std::vector<double>& accuracies) {
    Json trainings = Json::array();
    for (std::size_t seed = 0; seed < accuracies.size(); ++seed) {
      trainings.push_back({{"numerics", "simulation"},
                           {"seed", seed},
                           {"diverged", false},
                           {"collapsed", false},
                           {"test_accuracy", accuracies[seed]},
                           {"test_loss", 1 - accuracies[seed]}});
    }
    plans_.push_back({{"name", name},
                      {"kind", kind},
                      {"sha256", "plan " + name},
                      {"bias_depth", depth},
                      {"updates", updates},
                      {"analytic_bytes", bytes},
                      {"budget_bytes", nullptr},
                      {"predicted_gain", nullptr},
                      {"trainings", std::move(trainings)}});
  }

  static Json samples(const std::string& digest) {
    return {{"spec", "idx:a,b"},
            {"sha256", digest},
            {"count", 10},
            {"classes", 2},
            {"preprocess", "x"}};
  }

  [[nodiscard]] Json sweep() const {
    const Json recipe{{"epochs", 1},        {"batch", 8},  {"learning_rate", 0.1},
                      {"warmup_epochs", 0}, {"qas", true}, {"seed", 0}};
    return {{"schema", "espalier.sweep_results/1"},
            {"name", "s"},
            {"recipes", {recipe}},
            {"accumulate", 1},
            {"rounding", "stochastic"},
            {"results",
             {{{"model", {{"name", "m"}, {"sha256", "model"}}},
               {"dataset", "d"},
               {"data", {{"train", samples("right")}, {"test", samples("test")}}},
               {"plans", plans_}}}}};
  }

  // Gains that tell the data they were measured on by their size.
  static Json profile(const std::string& digest, double gain) {
    const Json gains{{"mean", gain}};
    return {{"schema", "espalier.contributions/1"},
            {"model", {{"name", "m"}, {"sha256", "model"}}},
            {"data", {{"train", samples(digest)}}},
            {"seeds", {0}},
            {"baseline", Json::object()},
            {"bias", {{{"depth", 2}, {"accuracy_gain", gains}, {"loss_gain", gains}}}},
            {"weight",
             {{{"conv", 2}, {"ratio", 1}, {"accuracy_gain", gains}, {"loss_gain", gains}},
              {{"conv", 2}, {"ratio", 0.5}, {"accuracy_gain", gains}, {"loss_gain", gains}}}},
            {"trials", Json::array()}};
  }

  [[nodiscard]] Report report() const {
    static_cast<void>(folder_.write("sweep.json", sweep().dump()));
    static_cast<void>(folder_.write("profiles/a.json", profile("wrong", 5).dump()));
    static_cast<void>(folder_.write("profiles/m.d.json", profile("right", 0.1).dump()));
    const auto documents = report::read_documents({folder_.path()});
    EXPECT_TRUE(documents.ok()) << documents.error().message();
    return report::build_report(*documents);
  }

  static Json rows(const Report& report, const std::string& id) {
    for (const Section& section : report.sections) {
      for (const Table& table : section.tables) {
        if (table.id.starts_with(id)) return report::records(table);
      }
    }
    return Json::array();
  }

  // The first one whose id begins like this.
  [[nodiscard]] report::Figure figure(const std::string& id) const {
    for (const Section& section : report().sections) {
      for (const report::Figure& figure : section.figures) {
        if (figure.id.starts_with(id)) return figure;
      }
    }
    ADD_FAILURE() << "no figure " << id;
    return {};
  }

  static Json row(const Json& rows, const std::string& update) {
    for (const Json& record : rows) {
      if (record["update"] == update) return record;
    }
    return Json::object();
  }

  TempFolder folder_;
  Json plans_ = Json::array();
};

// Beside the published plan of its memory, seed by seed; one of other memory says nothing.
TEST_F(SweepReport, FoundPlansStandBesidePublishedOnes) {
  add("published-far", "published", 2, {{{"conv", 2}, {"ratio", 0.5}}}, 20000, {0.9, 0.9});
  add("published-near", "published", 2, {{{"conv", 2}, {"ratio", 0.5}}}, 10210, {0.80, 0.84});
  const Json pairs = rows(report(), "against-published");
  ASSERT_EQ(pairs.size(), 1U);
  EXPECT_EQ(pairs[0]["update"], "found-10KiB");
  EXPECT_EQ(pairs[0]["published"], "published-near");
  EXPECT_NEAR(pairs[0]["above"].get<double>(), 4, 1e-9);  // 5 and 3
  EXPECT_NEAR(pairs[0]["above_error"].get<double>(), 1, 1e-9);
  EXPECT_EQ(pairs[0]["seeds"], 2);
}

// Plans that one search found are one front; another search of the same sweep has its own.
TEST_F(SweepReport, RacesOfASearchMakeOneFront) {
  const auto found = [&](const std::string& name, int bytes, double gain, int trainings) {
    add(name, "found", 2, {{{"conv", 2}, {"ratio", 1}}}, bytes, {0.85, 0.87});
    const Json ranks{{"rank_correlation", nullptr}, {"r2", nullptr}};
    const Json candidate{{"bias_depth", 2}, {"weights", Json::array()}};
    Json finalist = candidate;
    finalist.update({{"gains", {gain, gain}}, {"mean", gain}, {"standard_error", 0.0}});
    plans_.back()["budget_bytes"] = bytes;
    const Json measured{
        {"trainings", trainings}, {"diverged", 0}, {"before", ranks}, {"after", ranks}};
    const Json race{{"gain", gain},           {"standard_error", 0.0},
                    {"above_runner_up", 1.0}, {"above_additive", 0.5},
                    {"additive", candidate},  {"finalists", Json::array({finalist})}};
    plans_.back()["search"] = Json{{"measured", measured}, {"race", race}};
  };
  found("found-a", 1024, 0.1, 7);
  found("found-b", 2048, 0.05, 7);
  found("found-c", 4096, 0.01, 8);
  const Json races = rows(report(), "races");
  ASSERT_EQ(races.size(), 3U);
  EXPECT_EQ(races[0]["plan"], "found-a");
  EXPECT_EQ(races[0]["search"], "A");
  EXPECT_EQ(races[1]["search"], "A");
  EXPECT_EQ(races[1]["front"], false);
  EXPECT_EQ(races[2]["search"], "B");
  EXPECT_EQ(races[2]["front"], true);
  EXPECT_EQ(races[1]["memory_kib"], 2.0);
  EXPECT_FALSE(races[0].contains("megamacs"));  // which sweeps do not say
  EXPECT_EQ(rows(report(), "front-points").size(), 2U);
  EXPECT_THAT(figure("front-").title, HasSubstr("m, search A: measured gain"));

  // Of budgets that bound planned memory the front is of that.
  for (Json& plan : plans_) {
    if (plan.contains("search")) plan.update({{"memory", "planned"}, {"planned_bytes", 61440}});
  }
  const Json planned = rows(report(), "front-points");
  ASSERT_EQ(planned.size(), 2U);
  EXPECT_EQ(planned[0]["memory_kib"], 60.0);
  EXPECT_EQ(planned[1]["memory_kib"], 60.0);
  EXPECT_EQ(rows(report(), "races")[1]["front"], false);
}

// A plan that takes much less than it might stands beside the one whose memory it might take.
TEST_F(SweepReport, FoundPlansStandBesideThePublishedOneOfTheirBudget) {
  add("published-large", "published", 2, {{{"conv", 2}, {"ratio", 0.5}}}, 20000, {0.80, 0.84});
  EXPECT_EQ(rows(report(), "against-published")[0]["published"], "published-p");
  for (Json& plan : plans_) {
    if (plan["name"] == "found-10KiB") plan["budget_bytes"] = 20000;
  }
  const Json pairs = rows(report(), "against-published");
  ASSERT_EQ(pairs.size(), 1U);
  EXPECT_EQ(pairs[0]["published"], "published-large");
  // A budget of planned memory is none of analytic memory.
  for (Json& plan : plans_) {
    if (plan["name"] == "found-10KiB") plan["memory"] = "planned";
  }
  EXPECT_EQ(rows(report(), "against-published")[0]["published"], "published-p");
}

// One plan at several rates is several updates, of one setting.
TEST_F(SweepReport, PlansWithRatesOfTheirOwnAreTold) {
  add("published-near", "published", 2, {{{"conv", 2}, {"ratio", 0.5}}}, 10210, {0.80, 0.84});
  Json again = plans_.back();
  again["learning_rate"] = 0.2;
  for (Json& run : again["trainings"]) run["test_accuracy"] = 0.9;
  plans_.push_back(again);
  const Json pairs = rows(report(), "against-published");
  ASSERT_EQ(pairs.size(), 2U);
  EXPECT_EQ(pairs[0]["published"], "published-near");
  EXPECT_NEAR(pairs[0]["above"].get<double>(), 4, 1e-9);
  EXPECT_EQ(pairs[1]["published"], "published-near at rate 0.2");
  EXPECT_NEAR(pairs[1]["published_accuracy"].get<double>(), 90, 1e-9);
  EXPECT_EQ(pairs[1]["seeds"], 2);
  again.erase("learning_rate");
  again["head_epochs"] = 1;
  plans_.push_back(again);
  const Json three = rows(report(), "against-published");
  ASSERT_EQ(three.size(), 3U);
  EXPECT_EQ(three[2]["published"], "published-near, head first");
  for (const auto& [epochs, label] :
       {std::pair(0, ", head not first"), std::pair(2, ", head first for 2 epochs")}) {
    plans_.back()["head_epochs"] = epochs;
    EXPECT_EQ(rows(report(), "against-published")[2]["published"],
              "published-near" + std::string(label));
  }
  Json longer = plans_.back();
  longer["warmup_epochs"] = 2.5;
  plans_.push_back(longer);
  const Json four = rows(report(), "against-published");
  ASSERT_EQ(four.size(), 4U);
  EXPECT_EQ(four[3]["published"], "published-near, head first for 2 epochs, warm-up of 2.5");
}

// A model is told by what its file holds, so that one file under two names is one model here.
TEST_F(SweepReport, OneModelUnderTwoNamesIsTold) {
  Json twice = sweep();
  Json other = twice["results"][0];
  other["model"]["name"] = "m-again";
  twice["results"].push_back(other);
  const auto documents = report::read_documents({folder_.write("sweep.json", twice.dump())});
  ASSERT_TRUE(documents.ok()) << documents.error().message();
  const Report report = report::build_report(*documents);
  EXPECT_THAT(report.warnings, ::testing::Contains(HasSubstr("m and m-again are the same model")));
}

// The last k of all layers are everything, whose training is the same one.
TEST_F(SweepReport, OnePlanUnderTwoNamesIsOneRowWithBoth) {
  Json& lost = plans_[2]["trainings"][1];
  lost.update({{"diverged", true}, {"test_accuracy", nullptr}, {"test_loss", nullptr}});
  Json full = plans_[2];
  full.update({{"name", "full"}, {"kind", "full"}});
  plans_.push_back(full);
  Json again = sweep();
  again["name"] = "again";
  const TempFolder other;
  static_cast<void>(folder_.write("sweep.json", sweep().dump()));
  for (const auto& paths : {std::vector<std::filesystem::path>{folder_.path()},
                            std::vector<std::filesystem::path>{
                                folder_.path(), other.write("again.json", again.dump())}}) {
    const auto documents = report::read_documents(paths);
    ASSERT_TRUE(documents.ok()) << documents.error().message();
    const Report report = report::build_report(*documents);
    const Json plans = rows(report, "plans");
    EXPECT_EQ(plans.size(), 5U);
    EXPECT_EQ(row(plans, "last-2, full")["seeds"], 1);
    EXPECT_EQ(row(plans, "last-2, full")["diverged"], 1);
    EXPECT_EQ(row(plans, "last-1")["diverged"], 0);
    EXPECT_THAT(report.warnings, ::testing::IsEmpty());
  }
}

TEST_F(SweepReport, PlansHaveTheirNamesKindsAndErrors) {
  const Json plans = rows(report(), "plans");
  ASSERT_EQ(plans.size(), 5U);
  EXPECT_EQ(row(plans, "found-10KiB")["kind"], "found");
  EXPECT_EQ(row(plans, "published-p")["kind"], "published");
  EXPECT_EQ(row(plans, "last-2")["kind"], "last k");
  EXPECT_NEAR(row(plans, "found-10KiB")["accuracy"].get<double>(), 86, 1e-9);
  EXPECT_NEAR(row(plans, "found-10KiB")["accuracy_error"].get<double>(), 1, 1e-9);
  EXPECT_NEAR(row(plans, "found-10KiB")["gain"].get<double>(), 25, 1e-9);
  EXPECT_EQ(row(plans, "found-10KiB")["seeds"], 2);
}

// What is doubtful stands on the page, and accuracy over classes where it is another.
TEST_F(SweepReport, DoubtsAndBalancedAccuracyAreShown) {
  EXPECT_FALSE(row(rows(report(), "plans"), "last-1").contains("balanced"));  // not said
  for (Json& plan : plans_) {
    for (Json& run : plan["trainings"]) run["test_balanced_accuracy"] = run["test_accuracy"];
  }
  EXPECT_FALSE(row(rows(report(), "plans"), "last-1").contains("balanced"));  // the same
  plans_[1]["trainings"][0]["test_balanced_accuracy"] = 0.5;
  plans_[1]["trainings"][0]["warnings"] = {"mostly the share of 'a'"};
  const Report shown = report();
  EXPECT_NEAR(row(rows(shown, "plans"), "last-1")["balanced"].get<double>(), 61, 1e-9);
  EXPECT_THAT(shown.warnings,
              ::testing::Contains(
                  "sweep.json, m on d, last-1, simulation, seed 0: mostly the share of 'a'"));
}

TEST_F(SweepReport, MemoryIsComparedAtEqualAccuracy) {
  const Json equal = rows(report(), "equal-accuracy");
  ASSERT_EQ(equal.size(), 2U);
  EXPECT_EQ(row(equal, "published-p")["other"], "last-2");
  EXPECT_EQ(row(equal, "published-p")["ratio"], 6.0);
  EXPECT_EQ(row(equal, "found-10KiB")["other"], "none of those trained");
  EXPECT_TRUE(row(equal, "found-10KiB")["ratio"].is_null());
  // And the other way round.
  const Json last = rows(report(), "equal-last-k");
  ASSERT_EQ(last.size(), 2U);
  EXPECT_EQ(row(last, "last-1")["other"], "found-10KiB");
  EXPECT_NEAR(row(last, "last-1")["ratio"].get<double>(), 20480.0 / 10200, 1e-12);
  EXPECT_NEAR(row(last, "last-2")["other_accuracy"].get<double>(), 86, 1e-9);
}

TEST_F(SweepReport, TheMemoryThatTheBestLastLayersDoNotNeedIsDrawn) {
  const report::Figure figure = this->figure("memory-");
  EXPECT_THAT(figure.description,
              HasSubstr("last-2 with 81.00 %, is reached by found-10KiB with 6.0 times less"));
  EXPECT_THAT(figure.specification.dump(), HasSubstr("\"6.0 times less\""));
  plans_.erase(4);  // what is left reaches less, so there is nothing to say
  const report::Figure without = this->figure("memory-");
  EXPECT_THAT(without.description, Not(HasSubstr("times less")));
  EXPECT_THAT(without.specification.dump(), Not(HasSubstr("times less")));
}

TEST_F(SweepReport, KindsOfLayersComeFromItsModels) {
  Json convs = Json::array();
  for (const char* kind : {"full", "pointwise", "depthwise", "pointwise"}) {
    convs.push_back({{"name", "c"}, {"kind", kind}, {"in", {8, 8, 4}}, {"out", {8, 8, 4}}});
  }
  const Json model{{"name", "m"}, {"sha256", "model"}};
  static_cast<void>(folder_.write(
      "models/m.json",
      Json{{"schema", "espalier.inspect/1"}, {"model", model}, {"convs", convs}}.dump()));
  EXPECT_EQ(rows(report(), "weight-gains-1")[0]["kind"], "depthwise");
  for (const auto& section : report().sections) {
    for (const auto& text : section.paragraphs) EXPECT_THAT(text, Not(HasSubstr("not known")));
  }
}

TEST_F(SweepReport, AKindHasOneColourInEveryFigure) {
  const auto domain = [&](const std::string& id) {
    const Json specification = figure(id).specification;
    for (const Json& layer : specification["layer"]) {
      if (layer["encoding"].contains("color")) return layer["encoding"]["color"]["scale"]["domain"];
    }
    return Json();
  };
  EXPECT_FALSE(domain("memory-").is_null());
  EXPECT_EQ(domain("memory-"), domain("predicted-"));
}

TEST_F(SweepReport, NumericsAreNeverMixed) {
  Json& trainings = plans_[0]["trainings"];
  for (const char* numerics : {"device", "integer"}) {
    Json run = trainings[0];
    run["numerics"] = numerics;
    trainings.push_back(run);
  }
  std::string text;
  for (const Section& section : report().sections) {
    for (const std::string& paragraph : section.paragraphs) text += paragraph + "\n";
  }
  EXPECT_THAT(text, HasSubstr("batch 8, rate 0.1, warm-up of 0"));
  EXPECT_THAT(text, HasSubstr("device numerics, rounding stochastic"));
  EXPECT_THAT(text, HasSubstr("integer numerics of 8 bits, rounding stochastic"));
  // One sample a step on the device, with whichever gradients.
  EXPECT_THAT(text.substr(text.find("Setting C")), HasSubstr("batch 1"));
}

// What train says of the training that a sweep made is of the same setting.
TEST_F(SweepReport, TrainingsStandBesideThoseOfTrain) {
  Json& run = plans_[0]["trainings"][0];
  run["numerics"] = "integer";
  static_cast<void>(folder_.write("sweep.json", sweep().dump()));
  const Json whole = sweep();
  Json recipe = whole["recipes"][0];
  recipe["batch"] = 1;
  const Json& result = whole["results"][0];
  Json plan = result["plans"][0];
  plan["weights"] = 0;
  const Json train{{"schema", "espalier.train/1"},
                   {"model", result["model"]},
                   {"data", result["data"]},
                   {"plan", plan},
                   {"recipe", recipe},
                   {"head", "fresh"},
                   {"numerics", "integer"},
                   {"rounding", "stochastic"},
                   {"gradient_bits", 8},
                   {"test_accuracy", run["test_accuracy"]},
                   {"test_loss", run["test_loss"]}};
  static_cast<void>(folder_.write("train.json", train.dump()));
  const auto documents = report::read_documents({folder_.path()});
  ASSERT_TRUE(documents.ok()) << documents.error().message();
  EXPECT_EQ(documents->trainings.front().setting, documents->trainings.back().setting);
  EXPECT_EQ(documents->trainings.back().file, "train.json");
}

TEST_F(SweepReport, ASweepThatIsNotFinishedShowsWhatThereIs) {
  std::filesystem::create_directory(folder_.path() / "trials");
  static_cast<void>(folder_.write("profiles/m.d.json", profile("right", 0.1).dump()));
  const auto documents = report::read_documents({folder_.path()});
  ASSERT_TRUE(documents.ok()) << documents.error().message();
  EXPECT_EQ(documents->profiles.size(), 1U);
  ASSERT_EQ(documents->warnings.size(), 1U);
  EXPECT_THAT(documents->warnings[0], HasSubstr("the sweep is not finished"));
}

// What an earlier configuration reached is not what this one did.
TEST_F(SweepReport, ResultsOfAnotherConfigurationArePassedOver) {
  std::filesystem::create_directory(folder_.path() / "trials");
  static_cast<void>(folder_.write("profiles/m.d.json", profile("right", 0.1).dump()));
  const std::string kept = folder_.write("sweep.other-options-0123abcd.json", sweep().dump());
  const auto documents = report::read_documents({folder_.path()});
  ASSERT_TRUE(documents.ok()) << documents.error().message();
  EXPECT_THAT(documents->trainings, ::testing::IsEmpty());
  EXPECT_THAT(documents->warnings,
              ::testing::ElementsAre(HasSubstr("the sweep is not finished"),
                                     "sweep.other-options-0123abcd.json: results of another "
                                     "configuration or version; passed over, unless it is "
                                     "named"));
  EXPECT_FALSE(report::read_documents({kept})->trainings.empty());
}

TEST_F(SweepReport, PredictionsAreOfTheProfileOfTheSameData) {
  const Json predicted = rows(report(), "prediction");
  EXPECT_NEAR(row(predicted, "found-10KiB")["predicted"].get<double>(), 0.2, 1e-12);
  EXPECT_NEAR(row(predicted, "published-p")["predicted"].get<double>(), 0.2, 1e-12);
}

// Nor does a profile ring what plans of other data train, those whose trainings were lost included.
TEST_F(SweepReport, RingsAreOfPlansOfTheSameData) {
  for (const bool lost : {false, true}) {
    for (Json& plan : plans_) {
      for (Json& training : plan["trainings"]) training["collapsed"] = lost;
    }
    const Report of_right = report();
    for (const Json& weight : rows(of_right, "weight-gains-1")) EXPECT_EQ(weight["chosen"], false);
    int ringed = 0;
    for (const Json& weight : rows(of_right, "weight-gains-2")) ringed += weight["chosen"] == true;
    EXPECT_EQ(ringed, 1);
  }
}

// Single gains are without turns: what a plan trains in turns has the gain of its conv and ratio.
TEST_F(SweepReport, ChannelsThatTakeTurnsHaveTheGainsOfThoseThatDoNot) {
  EXPECT_THAT(figure("predicted-").description, Not(HasSubstr("turns")));
  for (const std::size_t i : {4U, 3U}) plans_.erase(i);
  add("found-turning", "found", 2, {{{"conv", 2}, {"ratio", 0.5}, {"turns", 2}}}, 10240,
      {0.75, 0.77});
  const Report turning = report();
  EXPECT_NEAR(row(rows(turning, "prediction"), "found-turning")["predicted"].get<double>(), 0.2,
              1e-12);
  EXPECT_THAT(figure("predicted-").description, HasSubstr("Contributions are without turns"));
  for (const Json& weight : rows(turning, "weight-gains-2")) {
    EXPECT_EQ(weight["chosen"], weight["ratio"] == 0.5);
  }
  std::string text;
  for (const Section& section : turning.sections) {
    for (const std::string& paragraph : section.paragraphs) text += paragraph;
  }
  EXPECT_THAT(text, HasSubstr("Rings mark what the plan found-turning trains, whose channels take "
                              "turns; the gains are without turns."));
}

// The same file with other classes kept is other data.
TEST_F(SweepReport, PredictionsAreOfTheProfileOfTheSameClasses) {
  Json other = profile("right", 7);
  other["data"]["train"]["class_names"] = {"ant", "bee"};
  static_cast<void>(folder_.write("profiles/a2.json", other.dump()));
  EXPECT_NEAR(row(rows(report(), "prediction"), "found-10KiB")["predicted"].get<double>(), 0.2,
              1e-12);
}

TEST_F(SweepReport, FaultsOfASweepAreNamed) {
  for (const char* member : {"name", "kind", "updates", "trainings", "bias_depth"}) {
    Json broken = sweep();
    broken["results"][0]["plans"][3].erase(member);
    const std::string file = folder_.write("broken.json", broken.dump());
    const auto documents = report::read_documents({file});
    ASSERT_FALSE(documents.ok()) << member;
    EXPECT_THAT(documents.error().message(), HasSubstr("broken.json: results[0]: plans[3]"))
        << member;
  }
}

}  // namespace
}  // namespace espalier::testing
