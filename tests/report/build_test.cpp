#include "espalier/report/build.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include "example_documents.hpp"

namespace espalier::testing {
namespace {

using report::build_report;
using report::Report;
using report::Section;
using report::Table;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const Section& section(const Report& report, const std::string& id) {
  for (const Section& s : report.sections) {
    if (s.id == id) return s;
  }
  throw std::runtime_error("no section " + id);
}

std::vector<Json> column(const Table& table, const std::string& key) {
  std::vector<Json> values;
  for (const Json& record : report::records(table)) values.push_back(record.at(key));
  return values;
}

class ReportBuild : public ::testing::Test {
 protected:
  ExampleFolder folder_;
  Report report_ = build_report(folder_.read());
};

TEST_F(ReportBuild, ComparesUpdatesOverSeeds) {
  const Table& plans = section(report_, "comparison").tables.at(0);
  EXPECT_THAT(column(plans, "update"), ElementsAre("head", "biases", "last", "sparse"));
  EXPECT_THAT(column(plans, "kind"), ElementsAre("head only", "biases", "last k", "sparse"));
  EXPECT_THAT(column(plans, "seeds"), ElementsAre(2, 2, 2, 2));
  // Of two values a and b the mean is (a + b) / 2 and the standard error |a - b| / 2.
  const Json sparse = report::records(plans).at(3);
  EXPECT_NEAR(sparse["accuracy"].get<double>(), 67, 1e-9);
  EXPECT_NEAR(sparse["accuracy_error"].get<double>(), 1, 1e-9);
  EXPECT_NEAR(sparse["gain"].get<double>(), 16, 1e-9);
  EXPECT_NEAR(sparse["sram_kib"].get<double>(), 3000.0 / 1024, 1e-9);
  EXPECT_EQ(sparse.count("model"), 0U) << "one model needs no column";
}

TEST_F(ReportBuild, PredictsPlansBySummingContributions) {
  const Section& comparison = section(report_, "comparison");
  const auto& figure = comparison.figures.at(1);
  // Predicted 0.06, 0.56, 0.49 and measured 0.05, 0.2, 0.3 swap two of three ranks: 1 - 6 * 2 / 24.
  EXPECT_THAT(figure.description, HasSubstr("rank correlation is 0.50"));
  const Json sparse = report::records(*report::find_table(comparison, figure.table)).at(2);
  EXPECT_EQ(sparse["update"], "sparse");
  // Biases of depth 3: 0.09; conv 2 at 1/2: 0.1; conv 3 whole: 0.3.
  EXPECT_NEAR(sparse["predicted"].get<double>(), 0.49, 1e-9);
  EXPECT_NEAR(sparse["measured"].get<double>(), 0.3, 1e-9);
}

TEST_F(ReportBuild, DrawsThePlanOverTheNetwork) {
  std::vector<std::string> states;
  for (const Json& record : report::records(section(report_, "network").tables.at(0))) {
    if (record["update"] != "sparse") continue;
    states.push_back(record["state"].get<std::string>() + " " + json_text(record["ratio"]));
  }
  EXPECT_THAT(states, ElementsAre("frozen null", "bias null", "bias and weights 0.5",
                                  "bias and weights 1.0"));
}

TEST_F(ReportBuild, TellsRolesOfTheArenaAndOrdersKernels) {
  const Section& arena = section(report_, "arena");
  EXPECT_THAT(column(arena.tables.at(0), "role"),
              ElementsAre("activation", "mask", "gradient", "activation"));
  EXPECT_THAT(arena.figures.at(0).description, HasSubstr("3000 bytes of SRAM are promised"));
  EXPECT_THAT(column(section(report_, "cycles").tables.at(0), "kernel"),
              ElementsAre("esp_large", "esp_small"));
}

TEST_F(ReportBuild, EveryFigureHasItsTableAndFieldsThatExist) {
  int figures = 0;
  std::set<std::string> ids;
  for (const Section& s : report_.sections) {
    EXPECT_TRUE(ids.insert(s.id).second);
    for (const Table& table : s.tables) {
      EXPECT_TRUE(ids.insert(table.id).second) << table.id;
      for (const auto& row : table.rows) EXPECT_EQ(row.size(), table.columns.size()) << table.id;
    }
    for (const auto& figure : s.figures) {
      ++figures;
      EXPECT_TRUE(ids.insert(figure.id).second) << figure.id;
      const Table* table = report::find_table(s, figure.table);
      ASSERT_NE(table, nullptr) << figure.id;
      std::set<std::string> known{"low", "high", "end"};  // calculated in specifications
      for (const auto& c : table->columns) known.insert({c.key, c.key + "_text"});
      const Json flat = figure.specification.flatten();
      for (const auto& [pointer, value] : flat.items()) {
        if (!pointer.ends_with("/field")) continue;
        EXPECT_TRUE(known.contains(value.get<std::string>())) << figure.id << pointer << value;
      }
    }
  }
  EXPECT_EQ(figures, 7);
}

// What Vega shows of a row without a value is the word null.
TEST_F(ReportBuild, NoTooltipIsOfAColumnThatLacksValues) {
  for (const Section& s : report_.sections) {
    for (const auto& figure : s.figures) {
      const Table& table = *report::find_table(s, figure.table);
      for (const Json& layer : figure.specification.value("layer", Json::array())) {
        if (!layer["encoding"].contains("tooltip")) continue;
        for (const Json& told : layer["encoding"]["tooltip"]) {
          const std::string key = told["field"];
          for (const Json& record : report::records(table)) {
            EXPECT_TRUE(!record.contains(key) || !record[key].is_null()) << figure.id << ' ' << key;
          }
        }
      }
    }
  }
  const Json network = section(report_, "network").figures.at(0).specification;
  EXPECT_THAT(json_text(network["layer"][0]["transform"]),
              HasSubstr("isValid(datum.ratio) ? format(datum.ratio, '.3f') : '–'"));
}

TEST_F(ReportBuild, IsTheSameWheneverItIsMade) {
  EXPECT_EQ(json_text(report::to_json(build_report(folder_.read()))),
            json_text(report::to_json(report_)));
}

TEST_F(ReportBuild, CsvHoldsEveryTraining) {
  const std::string csv = report::to_csv(report_.trials);
  EXPECT_EQ(report_.trials.rows.size(), 5 + 1 + 8U);
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 15);
  EXPECT_THAT(csv, HasSubstr("\nprofile.json,\"a<b & \"\"c\"\" 'd' </script>"));
  EXPECT_THAT(csv, HasSubstr(",validation,4,1,0,1.0,,0,true,,,,\n"));
}

TEST_F(ReportBuild, GainsAreDrawnInTheMetricAskedFor) {
  const Report other = build_report(folder_.read(), {.metric = report::Metric::kAccuracy});
  EXPECT_THAT(json_text(section(other, "contributions").figures.at(0).specification),
              HasSubstr("accuracy_gain"));
  EXPECT_THAT(json_text(section(report_, "contributions").figures.at(0).specification),
              HasSubstr("loss_gain"));
}

// Each kind alone makes a report, and says what is missing instead of drawing it wrongly.
TEST(ReportBuildAlone, EachDocumentMakesAReport) {
  const ExampleFolder folder;
  for (const char* name :
       {"profile.json", "sparse.json", "head.0.json", "compile.json", "check.json"}) {
    const auto documents = report::read_documents({folder.path() / name});
    ASSERT_TRUE(documents.ok()) << name;
    EXPECT_FALSE(build_report(*documents).sections.empty()) << name;
  }
  const auto plan = report::read_documents({folder.path() / "sparse.json"});
  EXPECT_THAT(section(build_report(*plan), "network").paragraphs.at(0),
              HasSubstr("espalier inspect --json"));
}

// A page without a section says why.
TEST(ReportBuildAlone, DocumentsThatShowNothingAloneAreTold) {
  const ExampleFolder folder;
  const auto network = report::read_documents({folder.path() / "inspect.json"});
  ASSERT_TRUE(network.ok()) << network.error().message();
  const Report empty = build_report(*network);
  EXPECT_TRUE(empty.sections.empty());
  EXPECT_THAT(empty.warnings, ElementsAre(HasSubstr("nothing is shown of these documents alone")));
  EXPECT_TRUE(build_report(folder.read()).warnings.empty());
}

// Titles of figures say which is which, such as of two datasets.
TEST(ReportBuildAlone, SeveralProfilesOfAModelAreToldApart) {
  const ExampleFolder folder;
  Json profile = *read_json(folder.path() / "profile.json", "espalier.contributions/1");
  profile["tool_version"] = "another";
  folder.write("other.json", profile);
  const auto documents =
      report::read_documents({folder.path() / "profile.json", folder.path() / "other.json"});
  ASSERT_TRUE(documents.ok());
  const auto figures = section(build_report(*documents), "contributions").figures;
  ASSERT_EQ(figures.size(), 4U);
  EXPECT_THAT(figures[0].title, HasSubstr("(profile.json): gain of weights"));
  EXPECT_THAT(figures[1].title, HasSubstr("(profile.json): gain of biases"));
  EXPECT_THAT(figures[2].title, HasSubstr("(other.json): gain of weights"));
  EXPECT_THAT(figures[3].title, HasSubstr("(other.json): gain of biases"));
}

// Of the example's four convs an analysis of conv 1 alone trains no biases but those from there on.
TEST(ReportBuildAlone, AnAnalysisOfSomeLayersTellsHowManyThereAre) {
  const ExampleFolder folder;
  Json profile = *read_json(folder.path() / "profile.json", "espalier.contributions/1");
  const auto network = [&] {
    folder.write("some.json", profile);
    return section(build_report(*report::read_documents(
                       {folder.path() / "some.json", folder.path() / "sparse.json"})),
                   "network");
  };
  const Json bias = profile["bias"];
  profile["bias"] = {bias[0], bias[3]};
  profile["weight"] = Json::array();
  const Json head = profile["trials"][0];
  Json weights = head;
  weights.update({{"depth", 3}, {"conv", 1}, {"ratio", 1.0}});
  profile["trials"] = {head, weights};
  EXPECT_THAT(network().figures.at(0).description, HasSubstr("of 4 convs"));
  profile["trials"] = Json::array({head});  // nothing tells
  EXPECT_TRUE(network().figures.empty());
}

// Documents of versions that did not name the plan: depth, weights and memory tell.
TEST(ReportBuildAlone, OlderTrainingsFindTheirPlan) {
  const ExampleFolder folder;
  Json old = training_document(plan_document({{2, 0.5}, {3, 1.0}}, 3), 7, 0.7, 1.0);
  old["plan"].erase("sha256");
  old["plan"].erase("updates");
  folder.write("older.json", old);
  const auto documents =
      report::read_documents({folder.path() / "older.json", folder.path() / "sparse.json"});
  ASSERT_TRUE(documents.ok());
  const Report report = build_report(*documents);
  EXPECT_THAT(column(section(report, "comparison").tables.at(0), "update"), ElementsAre("sparse"));
}

TEST(ReportBuildAlone, DivergedTrainingsAreCounted) {
  const ExampleFolder folder;
  Json diverged = training_document(plan_document({}, 2), 2, 0.5, 1.0);
  diverged["test_accuracy"] = nullptr;
  diverged["test_loss"] = nullptr;
  folder.write("biases.2.json", diverged);
  const Report report = build_report(folder.read());
  const Table& plans = section(report, "comparison").tables.at(0);
  EXPECT_THAT(column(plans, "diverged"), ElementsAre(0, 1, 0, 0));
  EXPECT_THAT(column(plans, "seeds"), ElementsAre(2, 2, 2, 2));
  // One training, however many documents tell of it.
  diverged["tool_version"] = "again";
  folder.write("biases.2b.json", diverged);
  const Report again = build_report(folder.read());
  EXPECT_THAT(column(section(again, "comparison").tables.at(0), "diverged"),
              ElementsAre(0, 1, 0, 0));
  EXPECT_THAT(again.warnings, SizeIs(0));
}

// It cannot have done both; what is told first counts.
TEST(ReportBuildAlone, TrainingsThatLearnedAndDivergedAreTold) {
  const ExampleFolder folder;
  Json diverged = training_document(plan_document({}, 2), 1, 0.5, 1.0);
  diverged["test_accuracy"] = nullptr;
  diverged["test_loss"] = nullptr;
  folder.write("biases.1b.json", diverged);
  const Report report = build_report(folder.read());
  const Json biases = report::records(section(report, "comparison").tables.at(0)).at(1);
  EXPECT_EQ(biases["seeds"], 2);
  EXPECT_EQ(biases.count("diverged"), 0U);
  EXPECT_THAT(report.warnings,
              ElementsAre("biases, seed 1: biases.1.json has an accuracy of 0.5600, biases.1b.json "
                          "has no accuracy (it diverged) from the same training; the first is "
                          "shown"));
}

// One class for every sample has numbers, but none that a mean should hold.
TEST(ReportBuildAlone, CollapsedTrainingsAreCountedWithThem) {
  const ExampleFolder folder;
  const Report before = build_report(folder.read());
  Json collapsed = training_document(plan_document({}, 2), 2, 0.1, 9.0);
  collapsed["collapsed"] = true;
  folder.write("biases.2.json", collapsed);
  const Report report = build_report(folder.read());
  const Table& plans = section(report, "comparison").tables.at(0);
  EXPECT_THAT(column(plans, "diverged"), ElementsAre(0, 1, 0, 0));
  EXPECT_EQ(column(plans, "accuracy"),
            column(section(before, "comparison").tables.at(0), "accuracy"));
}

// The report of a search alone.
Report report_of(const Json& search) {
  const TempFolder folder;
  const auto documents = report::read_documents({folder.write("search.json", search.dump())});
  EXPECT_TRUE(documents.ok()) << documents.error().message();
  return build_report(documents.ok() ? *documents : report::Documents{});
}

TEST(ReportMeasuredFront, HasARowForEachRace) {
  const Report report = report_of(search_document());
  const Section& front = section(report, "measured-front");
  EXPECT_THAT(front.paragraphs.at(0),
              HasSubstr("Search A: " + std::string(kOddName) +
                        " (search.json): 40 trainings, 1 of them diverged."));
  const Table& races = *report::find_table(front, "races");
  EXPECT_THAT(column(races, "plan"),
              ElementsAre("plan for 3.00 KiB", "plan for 8.00 KiB", "plan for 16.00 KiB"));
  EXPECT_THAT(column(races, "budget_kib"), ElementsAre(3.0, 8.0, 16.0));
  EXPECT_THAT(column(races, "above_runner_up"), ElementsAre(Json(), 0.75, 0.75));
  EXPECT_THAT(column(races, "above_additive"), ElementsAre(Json(), 0.875, 0.875));
  EXPECT_THAT(column(races, "rate"), ElementsAre(Json(), 0.2, Json()));
  EXPECT_THAT(column(races, "front"), ElementsAre(true, true, false));
  const Json second = report::records(races).at(1);
  EXPECT_NEAR(second["memory_kib"].get<double>(), 7100.0 / 1024, 1e-9);
  EXPECT_NEAR(second["sram_kib"].get<double>(), 50000.0 / 1024, 1e-9);
  EXPECT_NEAR(second["megamacs"].get<double>(), 3, 1e-9);
  EXPECT_NEAR(second["gain"].get<double>(), 8, 1e-9);
  EXPECT_NEAR(second["gain_error"].get<double>(), 2, 1e-9);
  EXPECT_NEAR(second["additive"].get<double>(), 4, 1e-9);
  EXPECT_NEAR(second["additive_error"].get<double>(), 1, 1e-9);
  EXPECT_NEAR(second["rate_gain"].get<double>(), 10, 1e-9);
  EXPECT_NEAR(second["rate_error"].get<double>(), 2, 1e-9);
  EXPECT_EQ(second.count("model") + second.count("search") + second.count("megacycles"), 0U);
}

// The third plan takes more than the second and gains less: drawn, but not on the line.
TEST(ReportMeasuredFront, BeatenPlansAreDrawnBesideTheLine) {
  const Report report = report_of(search_document());
  const Section& front = section(report, "measured-front");
  const report::Figure& figure = front.figures.at(0);
  EXPECT_EQ(figure.id, "front-1");
  EXPECT_THAT(figure.description, HasSubstr("plan for 8.00 KiB gained the most, 10.00 points"));
  const Table& points = *report::find_table(front, figure.table);
  EXPECT_THAT(column(points, "front"), ElementsAre(true, true, false));
  EXPECT_NEAR(points.rows.at(1).at(2).get<double>(), 10, 1e-9);  // at its rate
  EXPECT_NEAR(points.rows.at(1).at(3).get<double>(), 2, 1e-9);
  const Json& layers = figure.specification["layer"];
  EXPECT_EQ(layers[0]["mark"]["type"], "line");
  EXPECT_EQ(layers[0]["transform"][0]["filter"], "datum.front");
  EXPECT_EQ(layers[2]["mark"]["type"], "point");
  EXPECT_FALSE(layers[2].contains("transform"));
}

// One plan that won at two budgets does not beat itself; as much gained with less memory does.
TEST(ReportMeasuredFront, EqualGainsAreBeatenByLessMemoryAlone) {
  const auto fronts = [](const std::vector<std::pair<int, double>>& plans) {
    report::MeasuredSearch search;
    for (const auto& [memory, gain] : plans) {
      search.races.push_back({.memory_bytes = memory, .gained = {gain, std::nullopt}});
    }
    report::Documents documents;
    documents.searches = {search};
    const Report report = build_report(documents);
    return column(section(report, "measured-front").tables.at(0), "front");
  };
  EXPECT_THAT(fronts({{10, 0.1}, {10, 0.1}}), ElementsAre(true, true));
  EXPECT_THAT(fronts({{10, 0.1}, {20, 0.1}}), ElementsAre(true, false));
  EXPECT_THAT(fronts({{10, 0.1}, {10, 0.2}}), ElementsAre(false, true));
  EXPECT_THAT(fronts({{10, -0.1}}), ElementsAre(true));
}

// A plan of which no training learned gained nothing, which is no place on a front.
TEST(ReportMeasuredFront, PlansThatNeverLearnedAreNotOnIt) {
  Json search = search_document();
  Json& race = search["front"][0]["race"];
  race["lost"] = true;
  Json& winner = race["finalists"][0];
  winner["diverged"] = winner["gains"].size();
  const Report report = report_of(search);
  const Section& front = section(report, "measured-front");
  const Table& races = *report::find_table(front, "races");
  EXPECT_THAT(column(races, "front"), ElementsAre(false, true, false));
  EXPECT_THAT(column(races, "diverged"), ElementsAre(winner["gains"].size(), 0, 0));
  EXPECT_EQ(column(races, "gain").at(0), Json());
  EXPECT_THAT(report::find_table(front, front.figures.at(0).table)->rows, SizeIs(2));
  // With a trained seed it gained something.
  race["lost"] = false;
  winner["diverged"] = 1;
  const Report some = report_of(search);
  EXPECT_THAT(column(*report::find_table(section(some, "measured-front"), "races"), "front"),
              ElementsAre(true, true, false));
}

// What budgets bound decides: in planned memory, where the three are alike, the best is all of it.
TEST(ReportMeasuredFront, IsOfTheMemoryThatBudgetsBound) {
  Json search = search_document();
  search["memory"] = "planned";
  for (Json& point : search["front"]) point["memory_bytes"] = point["planned_bytes"];
  const Report report = report_of(search);
  const Section& front = section(report, "measured-front");
  const Table& points = *report::find_table(front, front.figures.at(0).table);
  EXPECT_EQ(points.columns.at(1).title, "SRAM on the device, KiB");
  EXPECT_THAT(column(points, "front"), ElementsAre(false, true, false));
}

// Plans are called as their files are, whatever dots are in the names; seeds are none of it.
TEST(Report, PlansHaveTheNamesOfTheirFiles) {
  for (const auto& [file, name] : std::vector<std::pair<std::string, std::string>>{
           {"sparse.json", "sparse"},
           {"sparse.12.json", "sparse"},
           {"net.data.found-24KiB-exact.json", "net.data.found-24KiB-exact"},
           {"seed.x1.json", "seed.x1"}}) {
    const TempFolder folder;
    const auto documents =
        report::read_documents({folder.write(file, plan_document({{2, 0.5}}, 3).dump())});
    ASSERT_TRUE(documents.ok());
    const report::Report made = report::build_report(*documents);
    EXPECT_EQ(made.sections.front().tables.front().rows.front().front(), name) << file;
  }
}

}  // namespace
}  // namespace espalier::testing
