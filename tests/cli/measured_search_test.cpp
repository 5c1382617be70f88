// espalier search --measure, from its options to its documents.
#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kUsage = 2;

class MeasuredSearchTest : public Workspace {
 protected:
  MeasuredSearchTest() {
    make_model();
    make_idx("train", 96);
    make_profile();
  }

  /// The search of two budgets with 8 trainings, its plan under `out`.
  static Arguments search(const std::string& out, const std::string& measure = "8") {
    return {"search",       "profile.json",
            "--model",      "model.onnx",
            "--out",        out,
            "--train",      "idx:train-images,train-labels",
            "--store",      "trials",
            "--seeds",      "2",
            "--race-seeds", "2",
            "--measure",    measure,
            "--budgets",    "1KiB,3KiB"};
  }

  [[nodiscard]] long records() const {
    const auto all = files();
    return std::count_if(all.begin(), all.end(), [](const std::string& name) {
      return name.starts_with("trials/") && name.ends_with(".json");
    });
  }
};

TEST_F(MeasuredSearchTest, GivesTheSamePlanWithAnyJobsAndGoesOnFromItsStore) {
  const Json first = report(search("one.json") + Arguments{"--jobs", "1"});
  const long trained = records();
  EXPECT_GT(trained, 8);
  Json second = report(search("two.json") + Arguments{"--jobs", "2"});
  EXPECT_EQ(records(), trained);  // all of it was there
  EXPECT_EQ(read("one.json"), read("two.json"));
  EXPECT_EQ(first["measured"], second["measured"]);
  EXPECT_EQ(first["race"], second["race"]);
  Arguments fresh = search("three.json") + Arguments{"--jobs", "2"};
  *std::find(fresh.begin(), fresh.end(), "trials") = "others";
  succeed(fresh);
  EXPECT_EQ(read("one.json"), read("three.json"));

  EXPECT_EQ(first["solver"], "measured");
  ASSERT_EQ(first["front"].size(), 2U);
  EXPECT_EQ(first["front"][1]["plan"], read_json("one.json"));
  EXPECT_EQ(read_json("one.json")["measured"]["gain"], first["race"]["gain"]);
  EXPECT_GE(first["measured"]["trainings"], 8);
  for (const char* key : {"before", "after"}) {
    EXPECT_TRUE(first["measured"][key].contains("rank_correlation"));
    EXPECT_TRUE(first["measured"][key].contains("r2"));
  }
}

TEST_F(MeasuredSearchTest, TellsHowPlansWereRankedAndWhichIsBetter) {
  const Finished finished = succeed(search("plan.json"));
  EXPECT_THAT(finished.out, HasSubstr("by adding up single gains"));
  EXPECT_THAT(finished.out, HasSubstr("than the runner-up"));
  EXPECT_THAT(finished.err, HasSubstr("then race on"));
  EXPECT_THAT(finished.err, Not(HasSubstr("other validation samples")));
  // The plan goes on as any other.
  succeed({"train", "model.onnx", "--plan", "plan.json", "--train", "idx:train-images,train-labels",
           "--test", "idx:train-images,train-labels"});
}

TEST_F(MeasuredSearchTest, ThePlanCarriesTheRateItWasBestAt) {
  const Arguments rates{"--rates", "0.1,0.2", "--race-epochs", "3", "--epochs", "1"};
  const Finished finished =
      succeed(search("plan.json", "4") + rates + Arguments{"--json", "search.json"});
  EXPECT_THAT(finished.out, HasSubstr("by learning rate; the plan carries that with a star"));
  const Json race = read_json("search.json")["race"];
  ASSERT_EQ(race["rates"].size(), 2U);
  const Json plan = read_json("plan.json");
  EXPECT_EQ(race["learning_rate"], race["rates"][0]["learning_rate"]);
  EXPECT_EQ(plan["recipe"]["learning_rate"], race["learning_rate"]);
  EXPECT_EQ(plan["recipe"]["epochs"], 3);
  EXPECT_EQ(plan["measured"]["gain"], race["rates"][0]["mean"]);
  const Json trained =
      report({"train", "model.onnx", "--plan", "plan.json", "--train",
              "idx:train-images,train-labels", "--test", "idx:train-images,train-labels"});
  EXPECT_EQ(trained["recipe"]["learning_rate"], race["learning_rate"]);
  EXPECT_EQ(trained["recipe"]["epochs"], 3);
  const Json all = report(search("all.json", "4") +
                          Arguments{"--rates", "0.05,1e-9", "--rates-of", "finalists"})["race"];
  EXPECT_EQ(all["rates"].size(), 2U);
  EXPECT_EQ(all["learning_rate"], 0.05);
  for (const Json& finalist : all["finalists"]) EXPECT_EQ(finalist["learning_rate"], 0.05);
  const Finished kept = succeed(search("other.json", "4") + Arguments{"--rates", "1e-9"});
  EXPECT_THAT(kept.err, HasSubstr("at none of the rates"));
  EXPECT_NE(read_json("other.json")["recipe"]["learning_rate"], 1e-9);
  fail(kUsage, search("none.json") + Arguments{"--rates", "0.1,1e300"}, {"--rates: --lr 1e+300"});
  fail(kUsage, search("none.json") + Arguments{"--rates", "0.1,auto"}, {"'auto' is no number"});
}

TEST_F(MeasuredSearchTest, SaysWhenNoTrainingOfThePlanLearned) {
  const Arguments high{"--epochs", "1", "--lr", "2e3", "--json", "search.json"};
  const Finished finished = succeed(search("plan.json", "2") + high);
  EXPECT_THAT(finished.err, HasSubstr("trainings of the plan in the race diverged"));
  const std::size_t table = finished.out.find("accuracy gained in the race");
  ASSERT_NE(table, std::string::npos);
  const std::size_t line = finished.out.find("3.00 KiB", table);
  ASSERT_NE(line, std::string::npos);
  const std::string row = finished.out.substr(line, finished.out.find('\n', line) - line);
  EXPECT_THAT(row, ::testing::StartsWith("3.00 KiB" + std::string(15, ' ') + "lost"));
  EXPECT_EQ(std::isdigit(static_cast<unsigned char>(row.back())), 0) << row;  // no probability
  const Json race = read_json("search.json")["race"];
  const Json winner = race["finalists"][0];
  EXPECT_EQ(winner["diverged"], winner["gains"].size());
  EXPECT_EQ(race["lost"], true);
  EXPECT_FALSE(read_json("plan.json").contains("measured"));
}

TEST_F(MeasuredSearchTest, RatesMayComeFromShortTrainings) {
  const Json found = report(search("plan.json", "4") + Arguments{"--rates", "auto"});
  ASSERT_EQ(found["rate_sweeps"].size(), 2U);  // of the least budget and of the largest
  const Json rates = found["race"]["rates"];
  for (const Json& sweep : found["rate_sweeps"]) {
    const double half = sweep["chosen"].get<double>() / 2;
    EXPECT_TRUE(std::any_of(rates.begin(), rates.end(), [&](const Json& tried) {
      return std::abs(tried["learning_rate"].get<double>() - half) < 0.05 * half;
    })) << half;
  }
}

TEST_F(MeasuredSearchTest, ChannelsMayTakeTurns) {
  const Arguments data{"--train", "idx:train-images,train-labels"};
  succeed(Arguments{"analyze", "model.onnx", "--out", "halves.json", "--ratios", "0.25,0.5",
                    "--epochs", "2"} +
          data);
  const auto find = [&](const std::string& out, const Arguments& more) {
    Arguments command = search(out, "4");
    command[1] = "halves.json";
    succeed(command + more + Arguments{"--json", out + ".report"});
    return read_json(out);
  };
  const Json fixed = find("fixed.json", {});
  const Json plan = find("plan.json", {"--rotate"});
  EXPECT_EQ(fixed.dump().find("next_channels"), std::string::npos);
  ASSERT_FALSE(plan["weights"].empty());
  for (const Json& update : plan["weights"]) {
    EXPECT_GE(update["next_channels"].size(), update["ratio"] == 0.5 ? 1U : 3U);
  }
  EXPECT_THAT(succeed(search("one.json", "1") +
                      Arguments{"--rotate", "--epochs", "3", "--head-epochs", "2", "--warmup", "0"})
                  .err,
              HasSubstr("the race trains one behind those of the head"));
  // What was trained one way is not taken for the other.
  EXPECT_NE(read_json("plan.json.report")["race"]["finalists"],
            read_json("fixed.json.report")["race"]["finalists"]);
  const Arguments train{"train",    "model.onnx", "--test", "idx:train-images,train-labels",
                        "--epochs", "3",          "--plan"};
  EXPECT_EQ(report(train + Arguments{"plan.json"} + data)["epochs"].size(), 3U);
  EXPECT_THAT(succeed({"plan", "show", "plan.json", "--model", "model.onnx"}).out,
              HasSubstr("of 20 x"));
}

TEST_F(MeasuredSearchTest, StepsAreRoundedAsThoseOfTheProfile) {
  Json profile = read_json("profile.json");
  profile["numerics"] = "device";
  profile["rounding"] = "nearest";
  write("profile.json", profile.dump());
  succeed(search("plan.json", "2") + Arguments{"--epochs", "1"});
  EXPECT_GT(records(), 2);
  for (const std::string& name : files()) {
    if (!name.starts_with("trials/") || !name.ends_with(".json")) continue;
    EXPECT_EQ(read_json(name)["inputs"]["rounding"], "nearest") << name;
  }
}

TEST_F(MeasuredSearchTest, PlannedMemoryOfAChipIsKept) {
  const Arguments program{"--numerics", "integer", "--input", "rows"};
  make_plan("head.json", {"--head-only"});
  const Json head = report(Arguments{"compile", "model.onnx", "--plan", "head.json"} + program);
  const std::string small = std::to_string(head["sram_bytes"].get<long>() + 150);
  Arguments command =
      search("plan.json", "4") + program + Arguments{"--memory", "planned", "--gradient-bits", "8"};
  *(std::find(command.begin(), command.end(), "--budgets") + 1) = "100," + small + ",1MiB";
  const Finished finished = succeed(command + Arguments{"--json", "-", "--jobs", "2"});
  EXPECT_THAT(finished.err, HasSubstr("budget 100 B: not even the head fits; left out"));
  const Json found = Json::parse(finished.out);
  EXPECT_EQ(found["memory"], "planned");
  ASSERT_EQ(found["front"].size(), 2U);
  for (const Json& point : found["front"]) {
    EXPECT_LE(point["planned_bytes"], point["budget_bytes"]);
    EXPECT_EQ(point["planned_bytes"], point["memory_bytes"]);
    EXPECT_EQ(point["optimum"], nullptr);
    EXPECT_GE(point["bound"], point["objective"]);
    EXPECT_TRUE(point["race"].contains("above_additive"));
    write("found.json", point["plan"].dump());
    const Json compiled =
        report(Arguments{"compile", "model.onnx", "--plan", "found.json"} + program);
    EXPECT_EQ(compiled["sram_bytes"], point["planned_bytes"]);
  }
  *(std::find(command.begin(), command.end(), "--budgets") + 1) = "100";
  *std::find(command.begin(), command.end(), "plan.json") = "none.json";
  const Finished none = run(command);
  EXPECT_EQ(none.exit_code, run({"search", "profile.json", "--model", "model.onnx", "--memory",
                                 "planned", "--budget", "100"})
                                .exit_code);
  EXPECT_THAT(none.err, HasSubstr("training the head alone takes"));
}

TEST_F(MeasuredSearchTest, CyclesOfAChipAreKept) {
  const Arguments command = search("plan.json", "4") + Arguments{"--target", "rv32imf+pm4adda.b"};
  const Json wide = report(command + Arguments{"--max-cycles", "1000000000"});
  const auto cycles = wide["step_cycles"].get<long>();
  const std::string bound = std::to_string(cycles - 1);
  const Json found = report(command + Arguments{"--max-cycles", bound});
  EXPECT_EQ(found["max_step_cycles"], cycles - 1);
  EXPECT_LT(found["step_cycles"], cycles);
  EXPECT_NE(found["front"][1]["plan"], wide["front"][1]["plan"]);
  fail(kUsage, search("none.json") + Arguments{"--max-cycles", bound}, {"name it with --target"});
}

TEST_F(MeasuredSearchTest, TakesATimeInPlaceOfANumber) {
  const Json json = report(search("plan.json", "0.01s"));
  EXPECT_LT(json["measured"]["trainings"], 100);
}

TEST_F(MeasuredSearchTest, MeasuresKnownPlans) {
  make_plan("known.json", {"--bias", "2"});
  make_plan("full.json", {"--full"});
  const Finished finished =
      succeed(search("plan.json") + Arguments{"--known", "known.json,full.json"});
  EXPECT_EQ(finished.err.find("known.json:"), std::string::npos);
  EXPECT_THAT(finished.err,
              HasSubstr("full.json: the profile measured nothing of one of its parts; "
                        "it is not measured"));
  Json other = read_json("known.json");
  other["classes"] = {"cat", "dog", "cow", "hen", "pig", "ant", "bee"};
  write("other.json", other.dump());
  EXPECT_THAT(succeed(search("plan.json", "4") + Arguments{"--known", "other.json"}).err,
              HasSubstr("other.json was made for 7 classes"));
  Arguments small = search("plan.json", "4") + Arguments{"--known", "known.json"};
  *(std::find(small.begin(), small.end(), "--budgets") + 1) = "60";
  EXPECT_THAT(succeed(small).err,
              HasSubstr("known.json: it exceeds every budget; it is not measured"));
  // What stands for no candidate is told of, whatever the reason.
  Json odd;
  const auto told = [&](const std::string& what) {
    write("odd.json", odd.dump());
    EXPECT_THAT(succeed(search("plan.json", "4") + Arguments{"--known", "odd.json"}).err,
                HasSubstr("odd.json: " + what + "; it is not measured"));
  };
  succeed({"plan", "import", "model.onnx", "--out", "part.json", "--published",
           R"({"n_bias_update": 2, "manual_weight_idx": [6], "weight_update_ratio": [0.5]})"});
  succeed({"plan", "rotate", "part.json", "--model", "model.onnx", "--out", "turns.json"});
  odd = read_json("turns.json");
  told("its channels take turns, and those of this search do not");
  Json& update = odd["weights"][0];
  update["channels"] = update["next_channels"][0];
  update.erase("next_channels");
  told("the channels of conv 6 are not those of the largest norm");
  succeed({"plan", "import", "model.onnx", "--out", "odd.json", "--published",
           R"({"n_bias_update": 2, "manual_weight_idx": [6], "weight_update_ratio": [0.35]})"});
  odd = read_json("odd.json");
  told("its ratios are not among 0.5, 1");
  EXPECT_EQ(succeed(search("plan.json", "4") + Arguments{"--known", "turns.json", "--rotate"})
                .err.find("turns.json: its"),
            std::string::npos);
  fail(66, search("new.json") + Arguments{"--known", "none.json"}, {"none.json"});
}

TEST_F(MeasuredSearchTest, WarnsOfOtherValidationSamples) {
  const Finished finished = succeed(search("plan.json") + Arguments{"--seed", "3"});
  EXPECT_THAT(finished.err, HasSubstr("measured on other validation samples"));
}

TEST_F(MeasuredSearchTest, WarnsOfFoldsThatNeverJudge) {
  const Arguments folds{"--race-folds", "3"};
  EXPECT_THAT(succeed(search("plan.json") + folds).err,
              HasSubstr("a race of 2 seeds is judged by no more than 2 of the 3 folds"));
  Arguments enough = search("other.json") + folds;
  *(std::find(enough.begin(), enough.end(), "--race-seeds") + 1) = "3";
  EXPECT_THAT(succeed(enough).err, Not(HasSubstr("is judged by no more than")));
}

TEST_F(MeasuredSearchTest, SaysWhatIsWrong) {
  for (const char* effort : {"0", "-3", "many", "1.5", "15 min", "1e9", "h"}) {
    fail(kUsage, search("new.json", effort),
         {std::string("--measure: '") + effort + "' is neither a number of trainings nor a time"});
  }
  Arguments without = search("new.json");
  const auto at = std::find(without.begin(), without.end(), "--train");
  without.erase(at, at + 2);
  fail(kUsage, without, {"--measure trains plans; give it data with --train"});
  fail(kUsage, search("new.json") + Arguments{"--memory", "planned", "--solver", "exact"},
       {"--solver has no effect here; --measure has its own solvers"});
  fail(kUsage, search("new.json") + Arguments{"--preprocess", "resize=9,crop=8"},
       {"give --preprocess as for that analysis"});
}

TEST_F(MeasuredSearchTest, StopsWithItsTrainingsKept) {
  RunOptions options;
  options.interrupt_when = [&] { return records() >= 3; };
  const Arguments longer = search("plan.json", "60") + Arguments{"--epochs", "300"};
  EXPECT_EQ(run(longer, options).exit_code, 130);
  const long kept = records();
  EXPECT_GE(kept, 3);
  EXPECT_THAT(files(), Not(::testing::Contains("plan.json")));
}

}  // namespace
}  // namespace espalier::testing
