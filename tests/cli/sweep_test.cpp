// espalier sweep, from the command line: the same results however it is run, divided, stopped or
// killed, and what is wrong with a configuration.
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <future>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include "espalier/support/rng.hpp"
#include "sweep_workspace.hpp"

namespace espalier::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kUsage = 2;

using SweepTest = SweepWorkspace;

TEST_F(SweepTest, GivesTheSameResultsHoweverItIsDivided) {
  const Files expected = whole({"--jobs", "1"});
  EXPECT_THAT(expected, ::testing::Contains(::testing::Key("sweep.json")));
  EXPECT_EQ(whole({"--jobs", "2"}), expected);
  for (const std::vector<int>& order : {std::vector{0, 1, 2}, {2, 0, 1}, {1, 2, 0}}) {
    const std::string out = fresh();
    for (const int shard : order) {
      succeed(sweep(out) + Arguments{"--shard", std::to_string(shard) + "/3"});
      EXPECT_FALSE(fs::exists(path(out) / "sweep.json"));
    }
    const long trained = records(out);
    EXPECT_EQ(finish(out), expected);
    EXPECT_EQ(records(out), trained);  // nothing was left for the merging run
  }
}

TEST_F(SweepTest, TwoProcessesShareAFolder) {
  const Files expected = whole({});
  for (const bool shards : {false, true}) {
    const std::string out = fresh();
    const auto worker = [&](int index) {
      Arguments command = sweep(out);
      if (shards) command = command + Arguments{"--shard", std::to_string(index) + "/2"};
      return run(command).exit_code;
    };
    auto other = std::async(std::launch::async, worker, 1);
    EXPECT_EQ(worker(0), 0);
    EXPECT_EQ(other.get(), 0);
    EXPECT_EQ(finish(out), expected);
  }
}

TEST_F(SweepTest, KilledAtAnyMomentItGoesOn) { kill_often(6); }

TEST_F(SweepTest, StopsWhenAskedAndGoesOn) {
  const Files expected = whole({});
  const std::string out = fresh();
  RunOptions options;
  options.interrupt_when = [&] { return records(out) >= 2; };
  const Finished stopped = run(sweep(out) + Arguments{"--jobs", "1"}, options);
  // It may have been too quick to be stopped.
  if (stopped.exit_code != 0) {
    EXPECT_EQ(stopped.exit_code, 130) << stopped.err;
    EXPECT_THAT(stopped.err, HasSubstr("run the same command again to continue"));
    EXPECT_FALSE(fs::exists(path(out) / "sweep.json"));
  }
  EXPECT_EQ(finish(out), expected);
}

TEST_F(SweepTest, RecordsOfAnotherVersionOrDamagedOnesAreNotBelieved) {
  const std::string out = fresh();
  const Files expected = finish(out);
  int turn = 0;
  for (const auto& entry : fs::directory_iterator(path(out) / "trials")) {
    if (entry.path().extension() != ".json") continue;
    const std::string name = fs::relative(entry.path(), path(".")).string();
    std::string text = read(name);
    switch (turn++ % 3) {
      case 0:
        text.resize(text.size() / 2);
        break;
      case 1: {
        const std::size_t at = text.find("\"tool_version\": \"");
        ASSERT_NE(at, std::string::npos);
        text.insert(at + 17, "9");
        break;
      }
      default:
        text.clear();
    }
    write(name, text);
  }
  const Finished again = succeed(sweep(out));
  EXPECT_THAT(again.err, HasSubstr("this trial is run again"));
  EXPECT_EQ(results(out), expected);
}

TEST_F(SweepTest, SaysWhatItWouldDo) {
  const std::string out = fresh();
  const Json before = report(sweep(out) + Arguments{"--dry-run"});
  EXPECT_EQ(before["schema"], "espalier.sweep_outline/1");
  EXPECT_EQ(before["stored"], 0);
  EXPECT_FALSE(before["exact"].get<bool>());
  EXPECT_GT(before["seconds"].get<double>(), 0);
  EXPECT_EQ(records(out), 0);
  EXPECT_FALSE(fs::exists(path(out) / "sweep.json"));
  succeed(sweep(out));
  const Json after = report(sweep(out) + Arguments{"--dry-run"});
  EXPECT_TRUE(after["exact"].get<bool>());
  EXPECT_EQ(after["stored"], after["trials"]);
  // Trials that groups share are one record; at most as many were expected.
  EXPECT_GE(after["trials"].get<long>(), records(out));
  EXPECT_GE(before["trials"].get<long>(), after["trials"].get<long>());
  EXPECT_EQ(after["seconds"], 0);
  // Where only plans that are still to be found are left, they take time.
  Json more = config();
  more["searches"][0]["solver"] = "measured";
  write("sweep.json", more.dump());
  const Json left = report(sweep(out) + Arguments{"--dry-run"});
  EXPECT_FALSE(left["exact"].get<bool>());
  EXPECT_GT(left["trials"], left["stored"]);
  EXPECT_GT(left["seconds"].get<double>(), 0);
}

TEST_F(SweepTest, WhatIsDoneForOneModelIsNotForAnother) {
  make_model("other.onnx", 9);
  Json two = config();
  two["models"].push_back({{"name", "n"}, {"file", "other.onnx"}});
  two["searches"][0] = {
      {"budgets", {"1KiB"}}, {"solver", "measured"}, {"trainings", 2}, {"race_seeds", 2}};
  two["training"]["seeds"] = {0};
  write("sweep.json", two.dump());
  const std::string out = fresh();
  succeed(sweep(out) + Arguments{"--models", "m"});
  const Arguments dry{"--dry-run"};
  EXPECT_TRUE(report(sweep(out) + dry + Arguments{"--models", "m"})["exact"].get<bool>());
  EXPECT_FALSE(report(sweep(out) + dry + Arguments{"--models", "n"})["exact"].get<bool>());
  EXPECT_THAT(succeed(sweep(out) + Arguments{"--models", "n"}).err,
              HasSubstr("without the results of m, which were there"));
  EXPECT_THAT(succeed(sweep(out)).err, Not(HasSubstr("without the results")));
  EXPECT_EQ(read_json(out + "/sweep.json")["results"].size(), 2U);
}

TEST_F(SweepTest, WhatIsSpentTwiceIsTrainedOnce) {
  const std::string out = fresh();
  succeed(sweep(out));
  const long trained = records(out);
  Json wider = config();
  wider["training"]["seeds"].push_back(7);
  write("wider.json", wider.dump());
  succeed({"sweep", "wider.json", "--out", out});
  const Json results = read_json(out + "/sweep.json");
  const auto added = static_cast<long>(results["results"][0]["plans"].size()) * 2;
  EXPECT_LE(records(out), trained + added);
  EXPECT_GT(records(out), trained);
}

// Days of work may stand in them; and a report must not take them for those of the sweep that runs.
TEST_F(SweepTest, ResultsOfAnotherConfigurationAreKept) {
  const std::string out = fresh();
  const std::string first = finish(out).at("sweep.json");
  Json wider = config();
  wider["training"]["seeds"].push_back(7);
  write("wider.json", wider.dump());
  const Arguments other{"sweep", "wider.json", "--out", out};
  const auto before = files();
  succeed(other + Arguments{"--dry-run"});
  EXPECT_EQ(files(), before);
  Json small = wider;
  small["searches"][0]["budgets"] = {"3"};
  write("wider.json", small.dump());
  EXPECT_EQ(run(other).exit_code, 3);
  write("wider.json", wider.dump());
  EXPECT_EQ(files(), before);
  EXPECT_EQ(read(out + "/sweep.json"), first);

  const Finished part = succeed(other + Arguments{"--shard", "0/2"});
  const std::regex words(
      "sweep.json held results of another configuration; it is kept as "
      "(\\S*sweep.other-options-[0-9a-f]{8}.json)");
  std::smatch name;
  ASSERT_TRUE(std::regex_search(part.err, name, words)) << part.err;
  EXPECT_EQ(read(name[1].str()), first);
  EXPECT_FALSE(fs::exists(path(out) / "sweep.json"));
  const std::string digits = fs::path(name[1].str()).stem().extension().string();
  for (const char* folder : {"models", "plans", "profiles"}) {
    EXPECT_FALSE(fs::exists(path(out) / folder)) << folder;
    EXPECT_FALSE(fs::is_empty(path(out) / (folder + digits))) << folder;
  }
  const Finished unfinished = run({"report", out, "--out", "page.html"});
  EXPECT_EQ(unfinished.exit_code, 65);  // nothing of this configuration is there yet
  EXPECT_THAT(unfinished.err, HasSubstr("the sweep is not finished"));
  EXPECT_THAT(unfinished.err,
              HasSubstr("results of another configuration or version; passed over"));
  EXPECT_THAT(succeed({"report", name[1].str(), "--out", "page.html"}).err,
              Not(HasSubstr("passed over")));

  EXPECT_THAT(succeed(other).err, Not(HasSubstr("kept as")));
  const std::string second = read(out + "/sweep.json");
  EXPECT_NE(second, first);
  EXPECT_THAT(succeed(other).err, Not(HasSubstr("kept as")));
  EXPECT_EQ(read(out + "/sweep.json"), second);
  EXPECT_EQ(read(name[1].str()), first);
  // And back: nothing is lost, nor trained again.
  const long trained = records(out);
  EXPECT_EQ(finish(out).at("sweep.json"), first);
  EXPECT_EQ(records(out), trained);
  // What was kept is not taken away when the same is to be kept again.
  write(out + "/plans" + digits + "/mine.json", "{}");
  succeed(other + Arguments{"--shard", "1/2"});
  EXPECT_FALSE(fs::exists(path(out) / "plans"));
  EXPECT_EQ(read(out + "/plans" + digits + "/mine.json"), "{}");
}

TEST_F(SweepTest, ResultsOfAnotherConfigurationThatEndsMeanwhileAreKept) {
  const std::string before = fresh();
  succeed(sweep(before));
  const std::string other = read(before + "/sweep.json");
  Json wider = config();
  wider["training"]["seeds"] = {0, 1, 2, 3, 4, 5, 6, 7};
  write("wider.json", wider.dump());
  const std::string out = fresh();
  bool put = false;
  RunOptions options;
  options.interrupt_when = [&] {
    if (!put && records(out) > 0) {
      write("ended.json", other);
      fs::rename(path("ended.json"), path(out) / "sweep.json");
      put = true;
    }
    return false;
  };
  EXPECT_EQ(run({"sweep", "wider.json", "--out", out, "--jobs", "1"}, options).exit_code, 0);
  // It may have been too quick.
  if (!put || read(out + "/sweep.json") == other) return;
  const Files left = results(out);
  EXPECT_TRUE(std::any_of(left.begin(), left.end(), [&](const auto& file) {
    return file.first.starts_with("sweep.other-options-") && file.second == other;
  }));
}

// No version reads another's records, so that nothing but these results is left of them.
TEST_F(SweepTest, ResultsOfAnotherVersionAreKept) {
  Json two = config();
  for (const char* key : {"analysis", "searches", "plans"}) two.erase(key);
  two["models"].push_back({{"name", "n"}, {"file", "model.onnx"}});
  two["training"] = {{"seeds", {0}}, {"recipe", {{"epochs", 1}, {"batch", 16}}}};
  write("sweep.json", two.dump());
  const std::string out = fresh();
  succeed(sweep(out));
  Json older = read_json(out + "/sweep.json");
  older["tool_version"] = "0.0.1";
  write(out + "/sweep.json", older.dump(2) + "\n");
  const Finished part = succeed(sweep(out) + Arguments{"--models", "n"});
  const std::regex words(
      "sweep.json held results of another version; it is kept as "
      "(\\S*sweep.other-options-[0-9a-f]{8}.json)");
  std::smatch name;
  ASSERT_TRUE(std::regex_search(part.err, name, words)) << part.err;
  EXPECT_EQ(read_json(name[1].str()), older);
  EXPECT_EQ(read_json(out + "/sweep.json")["results"].size(), 1U);
  EXPECT_THAT(succeed(sweep(out)).err, Not(HasSubstr("kept as")));

  // Not even the schema has to be this version's, or the file a result.
  older["schema"] = "espalier/sweep/v99";
  for (const std::string& other : {older.dump(), std::string("not JSON")}) {
    write(out + "/sweep.json", other);
    const Finished again = succeed(sweep(out));
    const std::regex unreadable(
        "sweep.json held what this version cannot read; it is kept as "
        "(\\S*sweep.other-options-[0-9a-f]{8}.json)");
    ASSERT_TRUE(std::regex_search(again.err, name, unreadable)) << again.err;
    EXPECT_EQ(read(name[1].str()), other);
    EXPECT_EQ(read_json(out + "/sweep.json")["results"].size(), 2U);
  }
}

// Whatever classes the datasets have.
TEST_F(SweepTest, ModelsAreDescribedAsTheirFilesAre) {
  Json two = config();
  for (const char* key : {"analysis", "searches", "plans"}) two.erase(key);
  two["training"].update({{"seeds", {0}}, {"numerics", {"simulation"}}});
  Json few = two["datasets"][0];
  few.update({{"name", "few"}, {"classes", "0,2"}});
  two["datasets"].push_back(few);
  write("sweep.json", two.dump());
  const Files written = finish(fresh());
  EXPECT_EQ(Json::parse(written.at("models/m.json")), report({"inspect", "model.onnx"}));
}

TEST_F(SweepTest, MeasuredPlansAreTheSameInShards) {
  Json measured = config();
  measured["searches"][0] = {{"budgets", {"1KiB"}}, {"solver", "measured"},      {"trainings", 3},
                             {"limit_train", 16},   {"recipe", {{"epochs", 2}}}, {"finalists", 2},
                             {"race_seeds", 2},     {"rates", {0.025, 0.05}},    {"race_folds", 2}};
  Json on_chip = measured["searches"][0];
  measured["searches"][0]["rates_of"] = "finalists";
  on_chip["budgets"] = {"64KiB"};
  on_chip["memory"] = "planned";
  on_chip.erase("rates");
  on_chip["rotate"] = true;
  on_chip["head_epochs"] = 1;
  on_chip["warmup_epochs"] = 0.5;
  measured["searches"].push_back(on_chip);
  measured["training"]["seeds"] = {0};
  measured["training"]["recipe"]["epochs"] = 3;
  write("sweep.json", measured.dump());
  const Files expected = whole({"--jobs", "1"});
  const std::string out = fresh();
  for (const char* shard : {"1/2", "0/2"}) succeed(sweep(out) + Arguments{"--shard", shard});
  EXPECT_FALSE(report(sweep(out) + Arguments{"--dry-run"})["exact"].get<bool>());
  EXPECT_EQ(finish(out), expected);
  const Json left = report(sweep(out) + Arguments{"--dry-run"});
  EXPECT_TRUE(left["exact"].get<bool>());
  EXPECT_EQ(left["stored"], left["trials"]);
  const Json plan = Json::parse(expected.at("plans/m.d.found-1KiB-measured.json"));
  // It carries the recipe it is trained with, the one with a rate of its own at that.
  const Json trained = Json::parse(expected.at("sweep.json"))["recipes"][0];
  Json recipe = trained;
  EXPECT_NE(recipe["epochs"], 2);
  recipe["learning_rate"] = plan["recipe"]["learning_rate"];
  EXPECT_EQ(plan["recipe"], recipe);
  EXPECT_LE(plan["measured"]["trainings"], 2);
  for (const Json& row : Json::parse(expected.at("sweep.json"))["results"][0]["plans"]) {
    EXPECT_EQ(row.contains("learning_rate"), row["name"] == "found-1KiB-measured");
    if (row.contains("learning_rate")) {
      EXPECT_EQ(row["learning_rate"], plan["recipe"]["learning_rate"]);
    }
    ASSERT_EQ(row.contains("search"), row["kind"] == "found");
    if (row.contains("search")) {
      EXPECT_LE(row["search"]["measured"]["trainings"], 3);
      EXPECT_TRUE(row["search"]["measured"]["after"].contains("rank_correlation"));
      EXPECT_FALSE(row["search"]["race"]["finalists"].empty());
    }
    const bool own = row["name"].get<std::string>().ends_with("-head1-warmup0.5");
    EXPECT_EQ(row.value("head_epochs", 0), own);
    EXPECT_EQ(row.value("warmup_epochs", 0.0), own ? 0.5 : 0.0);
    EXPECT_EQ(row.value("memory", ""), own ? "planned" : "");
  }
  const Json planned = Json::parse(
      expected.at("plans/m.d.found-64KiB-planned-measured-rotating-head1-warmup0.5.json"));
  for (const Json& update : planned["weights"]) {
    EXPECT_EQ(update.contains("next_channels"), update["ratio"] != 1);
  }
  EXPECT_EQ(planned["solver"], "measured");
  recipe = trained;
  recipe["head_epochs"] = 1;
  recipe["warmup_epochs"] = 0.5;
  EXPECT_EQ(planned["recipe"], recipe);
  EXPECT_LE(planned["memory_bytes"]["planned"], 64 * 1024);
}

// Contributions, searches and races in the numerics and the update of what is deployed.
TEST_F(SweepTest, FindsWithTheNumericsOfTheAnalysis) {
  Json integer = config();
  integer["analysis"]["numerics"] = "integer";
  integer["searches"] = {{{"budgets", {"1KiB"}},
                          {"solver", "measured"},
                          {"trainings", 3},
                          {"limit_train", 16},
                          {"recipe", {{"epochs", 2}}},
                          {"finalists", 2},
                          {"race_seeds", 2}}};
  integer["training"]["seeds"] = {0};
  integer["training"]["numerics"] = {"simulation", "integer"};
  integer["training"]["accumulate"] = 3;
  write("sweep.json", integer.dump());
  const std::string out = fresh();
  succeed(sweep(out));
  const Json profile = read_json(out + "/profiles/m.d.json");
  EXPECT_EQ(profile["numerics"], "integer");
  EXPECT_EQ(profile["recipe"]["batch"], 3);
  EXPECT_EQ(read_json(out + "/plans/m.d.found-1KiB-measured.json")["recipe"]["batch"], 3);
  // None of the trials that found it was a simulation.
  int simulated = 0;
  int trained = 0;
  for (const auto& entry : fs::directory_iterator(path(out) / "trials")) {
    if (entry.path().extension() != ".json") continue;
    const Json trial = read_json(out + "/trials/" + entry.path().filename().string());
    simulated += trial["inputs"]["numerics"] == "simulation" ? 1 : 0;
  }
  const Json results = read_json(out + "/sweep.json");
  for (const Json& row : results["results"][0]["plans"]) {
    for (const Json& run : row["trainings"]) trained += run["numerics"] == "simulation" ? 1 : 0;
  }
  EXPECT_LE(simulated, trained);
  EXPECT_GT(simulated, 0);
}

// The program that the final trainings stand for is the one whose memory is planned.
TEST_F(SweepTest, PlannedMemoryIsThatOfTheNumericsThatAreTrained) {
  Json planned = config();
  planned["searches"][0] = {{"budgets", {"64KiB"}}, {"memory", "planned"}};
  planned["training"]["seeds"] = {0};
  const auto plan_of = [&](const char* numerics, int accumulate, const std::string& budget) {
    planned["searches"][0]["budgets"] = {budget};
    planned["training"]["numerics"] = {numerics};
    planned["training"].erase("accumulate");
    if (accumulate > 1) planned["training"]["accumulate"] = accumulate;
    write("sweep.json", planned.dump());
    const std::string out = fresh();
    succeed(sweep(out));
    for (const auto& entry : fs::directory_iterator(path(out) / "plans")) {
      const std::string name = entry.path().filename().string();
      if (name.find("found-") != std::string::npos) return out + "/plans/" + name;
    }
    return std::string();
  };
  const auto planned_bytes = [&](const std::string& plan) {
    return read_json(plan)["memory_bytes"]["planned"].get<int>();
  };
  const int alone = planned_bytes(plan_of("device", 1, "64KiB"));
  for (const auto& [numerics, accumulate] : {std::pair{"device", 8}, {"integer", 1}}) {
    const std::string plan = plan_of(numerics, accumulate, std::to_string(alone) + "B");
    const Json compiled = report({"compile", "model.onnx", "--plan", plan, "--numerics", numerics,
                                  "--accumulate", std::to_string(accumulate), "--out", fresh()});
    EXPECT_LE(compiled["sram_bytes"], alone) << numerics << accumulate;
    EXPECT_EQ(planned_bytes(plan), compiled["sram_bytes"]) << numerics << accumulate;
  }
}

// The head has no gradients of maps, which integers would make smaller, and a state that their
// ranges make larger.
TEST_F(SweepTest, PlannedMemoryIsEnoughForAllNumericsThatAreTrained) {
  make_plan("head.json", {"--head-only"});
  const auto sram = [&](const std::string& plan, const char* numerics) {
    const Json compiled =
        report({"compile", "model.onnx", "--plan", plan, "--numerics", numerics, "--out", fresh()});
    return compiled["sram_bytes"].get<int>();
  };
  const int device = sram("head.json", "device");
  const int integer = sram("head.json", "integer");
  ASSERT_GT(integer, device);
  Json planned = config();
  planned["searches"][0] = {{"budgets", {"64KiB"}}, {"memory", "planned"}};
  planned["training"]["seeds"] = {0};
  planned["training"]["numerics"] = {"device", "integer"};
  const auto with_budget = [&](int bytes) {
    const std::string budget = std::to_string(bytes) + "B";
    planned["searches"][0]["budgets"] = {budget};
    write("sweep.json", planned.dump());
  };
  with_budget(device);
  const Finished small = run(sweep(fresh()));
  EXPECT_EQ(small.exit_code, 3);
  EXPECT_THAT(small.err, HasSubstr("not even the head fits"));
  with_budget(integer);
  const std::string out = fresh();
  succeed(sweep(out));
  int found = 0;
  const Json results = read_json(out + "/sweep.json");
  for (const Json& row : results["results"][0]["plans"]) {
    if (row["kind"] != "found") continue;
    ++found;
    EXPECT_EQ(row["planned_bytes"], integer);
    const std::string plan = out + "/plans/m.d." + row["name"].get<std::string>() + ".json";
    for (const char* numerics : {"device", "integer"}) EXPECT_LE(sram(plan, numerics), integer);
  }
  EXPECT_EQ(found, 1);
}

TEST_F(SweepTest, LayersThatAreNotThereAreToldBeforeAnythingIsTrained) {
  Json json = config();
  json["analysis"]["layers"] = {5, 99};
  write("sweep.json", json.dump());
  for (const Arguments& how : {Arguments{}, Arguments{"--dry-run"}}) {
    const std::string out = fresh();
    const Finished finished = run(sweep(out) + how);
    EXPECT_EQ(finished.exit_code, kUsage);
    EXPECT_THAT(finished.err, HasSubstr("m on d: /analysis: layer 99 must lie in 0.."));
    EXPECT_EQ(records(out), 0);
  }
}

TEST_F(SweepTest, TrainingsWithoutAnUpdateAreToldBeforeAnythingIsTrained) {
  Json json = config();
  json["training"].update({{"numerics", {"device"}}, {"accumulate", 65}});
  for (const bool analysis : {false, true}) {
    if (analysis) {
      json["analysis"]["numerics"] = "device";
      json["training"]["recipe"]["epochs"] = 2;
    }
    write("sweep.json", json.dump());
    const std::string out = fresh();
    const Finished finished = run(sweep(out));
    EXPECT_EQ(finished.exit_code, kUsage);
    EXPECT_THAT(finished.err, HasSubstr(analysis ? "m on d: /analysis: " : "m on d: /training: "));
    EXPECT_THAT(finished.err, HasSubstr("make no update of 65; give fewer to an update: lower "
                                        "/training/accumulate"));
    EXPECT_EQ(records(out), 0);
  }
}

// At the memory of a published plan that plan is measured with the recipe of the search.
TEST_F(SweepTest, PublishedPlansAreMeasuredAtTheirBudgets) {
  Json measured = config();
  measured["searches"][0] = {
      {"budgets", "published"},    {"solver", "measured"}, {"trainings", 2}, {"limit_train", 16},
      {"recipe", {{"epochs", 2}}}, {"finalists", 2},       {"race_seeds", 2}};
  measured["analysis"].erase("layers");
  // No plan that adding up would come to.
  measured["plans"]["published"][0]["n_bias_update"] = 6;
  measured["plans"]["published"][0]["manual_weight_idx"] = Json::array();
  measured["plans"]["published"][0]["weight_update_ratio"] = Json::array();
  const auto times_measured = [&] {
    write("sweep.json", measured.dump());
    const std::string out = fresh();
    const Json published = Json::parse(finish(out).at("plans/m.d.published-p.json"));
    int times = 0;
    for (const auto& entry : fs::directory_iterator(path(out) / "trials")) {
      if (entry.path().extension() != ".json") continue;
      const Json inputs = read_json(fs::relative(entry.path(), path(".")).string())["inputs"];
      const Json& plan = inputs["plan"];
      times += inputs["recipe"]["epochs"] == 2 && plan["bias_depth"] == published["bias_depth"] &&
               plan["weights"].empty();
    }
    return times;
  };
  EXPECT_GE(times_measured(), 1);
  // A plan of other memory is not theirs to know; its optimum is another one.
  measured["searches"][0]["budgets"] = {"64KiB"};
  EXPECT_EQ(times_measured(), 0);
}

TEST_F(SweepTest, SearchesWithContributionsThatAreGiven) {
  const Files measured = whole({});
  write("contributions.json", measured.at("profiles/m.d.json"));
  Json given = config();
  given["models"][0]["profile"] = "contributions.json";
  given["analysis"] = {{"limit_train", 17}};  // nothing is measured on these
  write("sweep.json", given.dump());
  const std::string out = fresh();
  Files found = finish(out);
  const long trained = records(out);
  EXPECT_EQ(found.at("profiles/m.d.json"), measured.at("profiles/m.d.json"));
  for (const auto& [name, content] : measured) {
    if (name.rfind("plans/", 0) != 0) continue;
    EXPECT_EQ(found.at(name), content) << name;
  }
  const Json outline = report(sweep(fresh()) + Arguments{"--dry-run"});
  EXPECT_TRUE(outline["exact"].get<bool>());  // nothing is left to be found
  EXPECT_EQ(outline["trials"], trained);
  const std::string shards = fresh();
  for (const char* shard : {"0/2", "1/2"}) succeed(sweep(shards) + Arguments{"--shard", shard});
  EXPECT_EQ(records(shards), trained);
  EXPECT_EQ(finish(shards), found);

  // Plans are for the data that they are trained on, whatever the contributions were measured on.
  Json fewer = given;
  fewer["datasets"][0]["classes"] = "0,2";
  write("sweep.json", fewer.dump());
  const std::string few = fresh();
  succeed(sweep(few));
  const std::string plan = few + "/plans/m.d.found-2KiB-exact.json";
  EXPECT_EQ(read_json(plan)["classes"], Json({"0", "2"}));
  const std::string data = "idx:train-images,train-labels";
  succeed(
      {"train", "model.onnx", "--plan", plan, "--train", data, "--test", data, "--classes", "0,2"});

  const auto refused = [&](int code, const char* why) {
    write("sweep.json", given.dump());
    const Finished finished = run(sweep(fresh()));
    EXPECT_EQ(finished.exit_code, code);
    EXPECT_THAT(finished.err, HasSubstr(why));
  };
  make_model("other.onnx", 9);
  given["models"][0]["file"] = "other.onnx";
  refused(65, "contributions.json: measured on 'model'");
  given["analysis"]["layers"] = {5};
  refused(65, "/analysis: layers has no effect: every model has a profile");
  given["analysis"].erase("layers");
  given["models"][0]["profile"] = "nowhere.json";
  refused(66, "nowhere.json: does not exist");
}

TEST_F(SweepTest, IsRepeatedFromItsOptions) {
  const std::string options = succeed(sweep("out") + Arguments{"--print-config"}).out;
  write("options.toml", options);
  EXPECT_EQ(succeed({"sweep", "--config", "options.toml", "--print-config"}).out, options);
}

TEST_F(SweepTest, FaultsOfTheConfigurationAreNamed) {
  const auto broken = [&](const std::string& text, int code, const std::vector<std::string>& what) {
    write("broken.json", text);
    fail(code, {"sweep", "broken.json", "--out", "new"}, what);
  };
  broken("{\"schema\": ", 65, {"broken.json:1:"});
  Json json = config();
  json["trainning"] = json["training"];
  json["models"][0]["fil"] = "x";
  broken(json.dump(), 65,
         {"'trainning' is not known here; did you mean 'training'?",
          "'fil' is not known here; did you mean 'file'?"});
  json = config();
  json["datasets"][0]["train"] = "idx:none-images,none-labels";
  broken(json.dump(), 66, {"none-images: does not exist", "none-labels: does not exist"});
  json = config();
  json["datasets"][0]["train"] = "idx:${ESPALIER_NO_SUCH_VARIABLE}/a,b";
  broken(json.dump(), 65, {"the environment variable ESPALIER_NO_SUCH_VARIABLE is not set"});
  json = config();
  json["searches"][0]["budgets"] = {"3"};
  write("broken.json", json.dump());
  const Finished small = run({"sweep", "broken.json", "--out", "new"});
  EXPECT_EQ(small.exit_code, 3);
  EXPECT_THAT(small.err, HasSubstr("not even the head fits"));
  json["searches"][0]["budgets"] = {"1KiB"};
  json["searches"][0]["memory"] = "planned";
  json["searches"][0]["solver"] = "auto";
  write("broken.json", json.dump());
  const Finished planned = run({"sweep", "broken.json", "--out", "new"});
  EXPECT_EQ(planned.exit_code, 3);
  EXPECT_THAT(planned.err, HasSubstr("not even the head fits 1.00 KiB"));
  EXPECT_THAT(planned.err, HasSubstr("as the compiler plans it"));
  EXPECT_EQ(records("new"), 0);
  fail(66, {"sweep", "nowhere.json", "--out", "new2"}, {"nowhere.json: cannot be opened"});
}

TEST_F(SweepTest, WhatALaterPairCannotDoIsToldBeforeAnythingIsTrained) {
  write("damaged-labels", "no labels\n");
  Json json = config();
  json["datasets"].push_back({{"name", "e"},
                              {"train", "idx:train-images,damaged-labels"},
                              {"test", "idx:test-images,test-labels"}});
  write("sweep.json", json.dump());
  for (const Arguments& shard : {Arguments{}, Arguments{"--shard", "0/2"}}) {
    const std::string out = fresh();
    const Finished damaged = run(sweep(out) + shard);
    EXPECT_EQ(damaged.exit_code, 65);
    EXPECT_THAT(damaged.err, HasSubstr("damaged-labels"));
    EXPECT_EQ(records(out), 0);
  }
}

TEST_F(SweepTest, PlacesThatCannotBeItsFolderAreRefused) {
  write("file", "dear diary\n");
  fail(73, sweep("file"), {"file: is not a folder; name another path"});
  fail(73, sweep("/proc/none"), {"choose another place"});
  write("diaries/monday", "dear diary\n");
  fail(kUsage, sweep("diaries"), {"diaries: is not empty; name another folder"});
}

TEST_F(SweepTest, ShardsThatAreNoneAreRefused) {
  for (const char* shard : {"3/3", "1", "-1/2", "a/b", "0/0", "1/2/3", "/"}) {
    fail(kUsage, sweep("new") + Arguments{"--shard", shard}, {"is no shard such as 0/4"});
  }
}

TEST_F(SweepTest, ScriptsForSlurmAreWrittenAndNotSubmitted) {
  const std::string out = fresh();
  const Finished written = succeed(sweep(out) + Arguments{"--engine", "slurm", "--dry-run"});
  EXPECT_THAT(written.err, HasSubstr("sbatch --dependency=afterany:ID"));
  const std::string shards = read(out + "/slurm/shards.sbatch");
  EXPECT_THAT(shards, HasSubstr("#SBATCH --array=0-2%2\n"));
  EXPECT_THAT(shards, HasSubstr("#SBATCH --time=0:10:00\n"));
  EXPECT_THAT(shards, HasSubstr("--shard \"$SLURM_ARRAY_TASK_ID/3\""));
  EXPECT_THAT(read(out + "/slurm/merge.sbatch"), Not(HasSubstr("--shard")));
  EXPECT_EQ(records(out), 0);
}

TEST_F(SweepTest, AnArrayWhoseMergingJobIsRefusedIsTold) {
  write("bin/sbatch", "#!/bin/sh\ncase \"$*\" in *--dependency*) exit 1 ;; esac\necho 42\n");
  fs::permissions(path("bin/sbatch"), fs::perms::owner_all);
  RunOptions options;
  options.environment = {"PATH=" + path("bin").string() + ":/usr/bin:/bin"};
  const Finished refused = run(sweep(fresh()) + Arguments{"--engine", "slurm"}, options);
  EXPECT_EQ(refused.exit_code, kUsage);
  EXPECT_THAT(refused.err, HasSubstr("array 42 is submitted, without the job that merges it"));
  EXPECT_THAT(refused.err, HasSubstr("sbatch --dependency=afterany:42 "));
}

}  // namespace
}  // namespace espalier::testing
