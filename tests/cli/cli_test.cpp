// The program from end to end on tiny data: every command, and each one's output as the next one's
// input.
#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "testing/npy.hpp"
#include "testing/published_plans.hpp"
#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class CliTest : public Workspace {
 protected:
  CliTest() {
    make_model();
    make_idx("train", 60);
    make_idx("test", 20);
  }

  /// `train` of a plan on the IDX data.
  [[nodiscard]] static Arguments train_with(const std::string& plan) {
    return {"train",    "model.onnx",
            "--plan",   plan,
            "--train",  "idx:train-images,train-labels",
            "--test",   "idx:test-images,test-labels",
            "--epochs", "2",
            "--batch",  "16"};
  }
};

TEST_F(CliTest, InspectShowsEveryConv) {
  const Finished text = succeed({"inspect", "model.onnx"});
  EXPECT_THAT(text.out, HasSubstr("model  input 8x8x3"));
  EXPECT_THAT(text.out, HasSubstr("7 convs"));
  EXPECT_THAT(text.out, HasSubstr("head 40 -> 4"));
  EXPECT_EQ(text.err,
            "espalier: next: espalier analyze model.onnx --train DATA --out contributions.json\n");

  const Json report = this->report({"inspect", "model.onnx"});
  EXPECT_EQ(report["schema"], "espalier.inspect/1");
  EXPECT_EQ(report["model"]["name"], "model");
  EXPECT_EQ(report["convs"].size(), kConvs);
  EXPECT_EQ(report["convs"][2]["kind"], "depthwise");
  EXPECT_EQ(report["head"], Json({{"features", 40}, {"classes", 4}}));
  EXPECT_EQ(report["training"][0]["analytic_bytes"], kHeadBytes);

  EXPECT_THAT(succeed({"inspect", "model.onnx", "--ir"}).out, HasSubstr("conv"));
  EXPECT_EQ(succeed({"inspect", "model.onnx", "--quiet"}).out, "");
}

TEST_F(CliTest, ReportsGoToAFileToo) {
  const Finished finished = succeed({"inspect", "model.onnx", "--json", "report.json"});
  EXPECT_THAT(finished.out, HasSubstr("7 convs"));
  EXPECT_EQ(read_json("report.json"), report({"inspect", "model.onnx"}));
}

TEST_F(CliTest, HelpAndVersion) {
  EXPECT_THAT(succeed({"--help"}).out, HasSubstr("analyze"));
  EXPECT_THAT(succeed({"--version"}).out, HasSubstr("0."));
  for (const char* command : {"inspect", "analyze", "search", "train"}) {
    const std::string help = succeed({command, "--help"}).out;
    for (const char* flag :
         {"--seed", "--jobs", "--json", "--quiet", "--no-progress", "--config", "--print-config"}) {
      EXPECT_THAT(help, HasSubstr(flag)) << command;
    }
  }
}

TEST_F(CliTest, DevicesAreListedAndTakenByName) {
  const Json report = this->report({"devices"});
  EXPECT_EQ(report["schema"], "espalier.devices/1");
  EXPECT_GE(report["devices"].size(), 3U);
  EXPECT_THAT(succeed({"devices"}).out, HasSubstr("stm32f746"));
  make_plan("plan.json", {"--head-only"});
  const Arguments compile{"compile", "model.onnx", "--plan", "plan.json", "--json", "-"};
  for (const Json& device : report["devices"]) {
    succeed(compile + Arguments{"--device", device["name"].get<std::string>()});
  }
  EXPECT_EQ(run(compile + Arguments{"--device", "stm32"}).exit_code, 2);
}

TEST_F(CliTest, PlansMadeByRule) {
  struct Rule {
    Arguments arguments;
    int depth;
    std::size_t weights;
  };
  for (const Rule& rule : {Rule{{"--head-only"}, 0, 0}, Rule{{"--bias", "3"}, 3, 0},
                           Rule{{"--last", "2"}, 2, 2}, Rule{{"--full"}, kConvs, kConvs}}) {
    const Finished finished =
        succeed(Arguments{"plan", "make", "model.onnx", "--out", "plan.json"} + rule.arguments);
    EXPECT_THAT(finished.out, HasSubstr("plan.json: biases of the last"));
    const Json plan = read_json("plan.json");
    EXPECT_EQ(plan["schema"], "espalier.plan/1");
    EXPECT_EQ(plan["model"], "model");
    EXPECT_EQ(plan["bias_depth"], rule.depth);
    EXPECT_EQ(plan["weights"].size(), rule.weights);

    const Json shown = report({"plan", "show", "plan.json", "--model", "model.onnx"});
    EXPECT_EQ(shown["schema"], "espalier.plan_memory/1");
    EXPECT_EQ(shown["plan"], plan);
    std::int64_t bits = shown["analytic_bits"]["head"].get<std::int64_t>();
    for (const Json& conv : shown["analytic_bits"]["convs"]) {
      bits += conv["total_bits"].get<std::int64_t>();
    }
    EXPECT_EQ(shown["analytic_bits"]["total"], bits);
    EXPECT_EQ(shown["analytic_bytes"], plan["memory_bytes"]["analytic"]);
  }
  EXPECT_EQ(succeed({"plan", "make", "model.onnx", "--full", "--out", "-"}).out, read("plan.json"));
  EXPECT_EQ(report({"plan", "make", "model.onnx", "--full", "--out", "same.json"}),
            read_json("plan.json"));
}

TEST_F(CliTest, PlansInThePublishedNotation) {
  const std::string notation =
      R"({"n_bias_update":4,"manual_weight_idx":[4,6],"weight_update_ratio":[1.0,0.25]})";
  succeed({"plan", "import", "model.onnx", "--published", notation, "--out", "plan.json"});
  const Json plan = read_json("plan.json");
  EXPECT_EQ(plan["bias_depth"], 4);
  EXPECT_EQ(plan["weights"][0]["channels"].size(), 8U);
  EXPECT_EQ(plan["weights"][1]["channels"].size(), 5U);

  write("notation.json", notation);
  succeed({"plan", "import", "model.onnx", "--published", "notation.json", "--out", "same.json"});
  EXPECT_EQ(read("same.json"), read("plan.json"));

  const Arguments show{"plan", "show", "plan.json", "--model", "model.onnx", "--published"};
  EXPECT_EQ(report(show), Json::parse(notation));
  EXPECT_EQ(Json::parse(succeed(show).out), Json::parse(notation));
  EXPECT_THAT(succeed({"plan", "show", "plan.json", "--model", "model.onnx"}).out,
              HasSubstr("5 of 20"));
}

TEST_F(CliTest, ChannelsOfAPlanTakeTurns) {
  const std::string notation =
      R"({"n_bias_update":4,"manual_weight_idx":[4,6],"weight_update_ratio":[1.0,0.25]})";
  succeed({"plan", "import", "model.onnx", "--published", notation, "--out", "plan.json"});
  const Arguments rotate{"plan", "rotate", "plan.json", "--model", "model.onnx", "--out"};
  succeed(rotate + Arguments{"turns.json"});
  const Json plan = read_json("plan.json");
  Json turns = read_json("turns.json");
  EXPECT_EQ(turns["memory_bytes"]["analytic"], plan["memory_bytes"]["analytic"]);
  EXPECT_FALSE(turns["weights"][0].contains("next_channels"));
  EXPECT_EQ(turns["weights"][1]["next_channels"].size(), 3U);
  turns["weights"][1].erase("next_channels");
  EXPECT_EQ(turns, plan);
  // What a search said of the plan is not said of another; channels of one's own are missed aloud.
  Json found = plan;
  found["predicted_gain"] = 0.5;
  found["gain_metric"] = "loss";
  found["budget_bytes"] = 1;
  found["weights"][1]["channels"] = read_json("turns.json")["weights"][1]["next_channels"][0];
  write("found.json", found.dump());
  EXPECT_THAT(
      succeed({"plan", "rotate", "found.json", "--model", "model.onnx", "--out", "new.json"}).err,
      HasSubstr("found.json: conv 6 begins with the channels of the largest norm"));
  EXPECT_EQ(read("new.json"), read("turns.json"));
  make_idx("train", 12);
  const Arguments train{"train",   "model.onnx",
                        "--plan",  "turns.json",
                        "--train", "idx:train-images,train-labels",
                        "--test",  "idx:train-images,train-labels",
                        "--json",  "result.json",
                        "--epochs"};
  EXPECT_THAT(succeed(train + Arguments{"3"}).err,
              HasSubstr("up to 4 turns, an epoch each, of which 3"));
  EXPECT_EQ(read_json("result.json")["plan"]["updates"][1]["turns"], 4);
  EXPECT_FALSE(read_json("result.json")["plan"]["updates"][0].contains("turns"));
  EXPECT_THAT(succeed(train + Arguments{"4"}).err, Not(HasSubstr("turns, an epoch each")));
  // Classes in turn have all epochs each; a turn has at least one update.
  const Arguments device{"--numerics", "device"};
  EXPECT_THAT(succeed(train + Arguments{"2", "--classes-in-turn", "1"} + device).err,
              Not(HasSubstr("turns, an epoch each")));
  EXPECT_THAT(succeed(train + Arguments{"4", "--accumulate", "24"} + device).err,
              HasSubstr("up to 4 turns, an epoch each, of which 2"));
  fail(2, train + Arguments{"4", "--export", "tuned.bin"}, {"tuned.bin: networks are written as"});
  const Arguments show{"plan", "show", "turns.json", "--model", "model.onnx"};
  EXPECT_THAT(succeed(show).out, HasSubstr("5 of 20 x4"));
  EXPECT_THAT(succeed(show + Arguments{"--published"}).err, HasSubstr("channels take turns"));
  // Again: the same. Where every channel trains, none can take turns.
  succeed({"plan", "rotate", "turns.json", "--model", "model.onnx", "--out", "again.json"});
  EXPECT_EQ(read("again.json"), read("turns.json"));
  succeed({"plan", "make", "model.onnx", "--full", "--out", "full.json"});
  fail(65, {"plan", "rotate", "full.json", "--model", "model.onnx", "--out", "new.json"},
       {"full.json: no conv trains a part of its channels"});
}

TEST_F(CliTest, AnalysisMeasuresWhatWasAskedFor) {
  const Finished finished =
      succeed(Arguments{"analyze", "model.onnx", "--out", "profile.json", "--seeds", "2",
                        "--limit-train", "24", "--limit-val", "12", "--seed", "5"} +
              kAnalyzeTiny);
  EXPECT_THAT(finished.out, HasSubstr("head only:"));
  const Json profile = read_json("profile.json");
  EXPECT_EQ(profile["schema"], "espalier.contributions/1");
  EXPECT_EQ(profile["seeds"], Json({5, 6}));
  EXPECT_EQ(profile["ratios"], Json({0.5, 1.0}));
  EXPECT_EQ(profile["recipe"]["epochs"], 1);
  EXPECT_EQ(profile["data"]["train"]["count"], 24);
  EXPECT_EQ(profile["data"]["validation"]["count"], 12);
  // Twice: the head, and for each of two convs its biases and two ratios of its weights.
  EXPECT_EQ(profile["trials"].size(), 2U * (1 + 2 * 3));
  ASSERT_EQ(profile["bias"].size(), 3U);
  ASSERT_EQ(profile["weight"].size(), 4U);
  for (const Json& row : profile["weight"]) {
    EXPECT_EQ(row["seeds"], 2);
    EXPECT_TRUE(row["accuracy_gain"]["standard_error"].is_number());
    EXPECT_TRUE(row["loss_gain"]["mean"].is_number());
  }
  EXPECT_THAT(finished.out, HasSubstr("validation loss removed, nats, mean and standard error"));
  EXPECT_THAT(finished.out, Not(HasSubstr("\x1b")));  // no terminal
}

TEST_F(CliTest, AnalysisOfTwoSources) {
  const Json profile = report(Arguments{"analyze", "model.onnx", "--out", "profile.json", "--val",
                                        "idx:test-images,test-labels"} +
                              kAnalyzeTiny);
  EXPECT_EQ(profile, read_json("profile.json"));
  EXPECT_EQ(profile["data"]["train"]["count"], 60);
  EXPECT_EQ(profile["data"]["validation"]["count"], 20);
  EXPECT_EQ(Json::parse(succeed(Arguments{"analyze", "model.onnx", "--out", "-", "--val",
                                          "idx:test-images,test-labels"} +
                                kAnalyzeTiny)
                            .out),
            profile);
  EXPECT_THAT(files(), Not(::testing::Contains("-.trials")));
}

TEST_F(CliTest, AnEstimateTrainsNothing) {
  const Json estimate = report(Arguments{"analyze", "model.onnx", "--estimate"} + kAnalyzeTiny);
  EXPECT_EQ(estimate["schema"], "espalier.estimate/1");
  EXPECT_EQ(estimate["trials"], 7);
  EXPECT_GT(estimate["seconds"], 0.0);
  EXPECT_FALSE(estimate.contains("fisher"));
  const Finished scored = succeed(
      Arguments{"analyze", "model.onnx", "--estimate", "--fisher", "--json", "scores.json"} +
      kAnalyzeTiny);
  EXPECT_THAT(scored.out, HasSubstr("Fisher scores of"));
  EXPECT_EQ(read_json("scores.json")["fisher"]["weight"][0].size(), 2U);
  EXPECT_EQ(read_json("scores.json")["fisher"]["channel"].size(),
            read_json("scores.json")["fisher"]["weight"].size());
}

TEST_F(CliTest, AnEstimateCountsAClassifierOfTheDatasClasses) {
  const auto macs = [&](const std::string& classes) {
    return report(Arguments{"analyze", "model.onnx", "--estimate", "--limit-train", "12",
                            "--limit-val", "6", "--classes", classes} +
                  kAnalyzeTiny)["macs"]
        .get<double>();
  };
  // Forward and weights of the head alone; likewise of six others, and back through it.
  constexpr int kPasses = (2 * 12 + 6) + 6 * (3 * 12 + 6);
  EXPECT_EQ(macs("0-3") - macs("0,1"), 2.0 * kHeadBytes * kPasses);
}

TEST_F(CliTest, AnalysisSaysHowWellFisherScoresRank) {
  const Finished finished = succeed(
      Arguments{"analyze", "model.onnx", "--out", "profile.json", "--fisher"} + kAnalyzeTiny);
  EXPECT_THAT(finished.out, HasSubstr("rank correlation of the Fisher score"));
  EXPECT_TRUE(read_json("profile.json")["weight"][0]["fisher"].is_number());
  // The scores do not stand in a search's way.
  succeed({"search", "profile.json", "--model", "model.onnx", "--budget", "100KiB", "--out",
           "plan.json"});
}

TEST_F(CliTest, AnalysisDoesNotDependOnThreads) {
  const auto with_jobs = [&](const std::string& jobs, const std::string& out) {
    succeed(Arguments{"analyze", "model.onnx", "--out", out, "--jobs", jobs, "--seeds", "2"} +
            kAnalyzeTiny);
    return read(out);
  };
  EXPECT_EQ(with_jobs("1", "one.json"), with_jobs("2", "two.json"));
}

TEST_F(CliTest, AnInterruptedAnalysisGoesOn) {
  const Arguments analyze{"analyze",  "model.onnx", "--train", "idx:train-images,train-labels",
                          "--epochs", "6",          "--batch", "8",
                          "--ratios", "0.25,0.5,1"};
  const std::string store = "profile.json.trials";
  RunOptions options;
  options.interrupt_when = [&] {
    // Two trials are done, and there is the lock.
    std::error_code ignored;
    const std::filesystem::directory_iterator files(path(store), ignored);
    return !ignored && std::distance(files, {}) >= 3;
  };
  const Arguments to_profile = analyze + Arguments{"--out", "profile.json"};
  const Finished stopped = run(to_profile + Arguments{"--jobs", "1"}, options);
  EXPECT_EQ(stopped.exit_code, 130) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("run the same command again to continue from " + store));
  EXPECT_EQ(stopped.out, "");
  EXPECT_FALSE(std::filesystem::exists(path("profile.json")));
  // As the message says, what is there makes a profile.
  EXPECT_THAT(stopped.err, HasSubstr(", or with --time 1s to make a profile of what is there"));
  const std::size_t kept = [&] {
    const std::filesystem::directory_iterator files(path(store));
    return static_cast<std::size_t>(std::count_if(begin(files), end(files), [](const auto& file) {
      return file.path().extension() == ".json";
    }));
  }();
  succeed(analyze + Arguments{"--store", store, "--time", "0.001s", "--out", "part.json"});
  EXPECT_GE(read_json("part.json")["trials"].size(), kept);

  const Finished resumed = succeed(to_profile + Arguments{"--jobs", "2"});
  EXPECT_THAT(resumed.err, HasSubstr("trials taken from " + store));
  // Another rate in between takes nothing away.
  succeed(to_profile + Arguments{"--lr", "0.05"});
  const Finished again = succeed(to_profile);
  EXPECT_THAT(again.err, HasSubstr("trials taken from " + store));
  succeed(analyze + Arguments{"--out", "whole.json"});
  EXPECT_EQ(read("profile.json"), read("whole.json"));
}

TEST_F(CliTest, AnalysisSaysWhenTrainingDoesHarm) {
  const Finished finished = succeed(
      Arguments{"analyze", "model.onnx", "--out", "profile.json", "--lr", "300"} + kAnalyzeTiny);
  EXPECT_THAT(finished.out, HasSubstr("updates diverge or make the loss worse: the rate is too "
                                      "high (--lr 300"));
}

TEST_F(CliTest, TrainingTakesTheRecipeOfItsPlan) {
  make_profile();
  succeed({"search", "profile.json", "--model", "model.onnx", "--budget", "100KiB", "--out",
           "plan.json"});
  const Json recipe = read_json("plan.json")["recipe"];
  EXPECT_EQ(recipe, read_json("profile.json")["recipe"]);
  const Arguments train{"train",   "model.onnx",
                        "--plan",  "plan.json",
                        "--train", "idx:train-images,train-labels",
                        "--test",  "idx:test-images,test-labels"};
  const Finished said = succeed(train + Arguments{"--json", "a.json"});
  EXPECT_THAT(said.err, HasSubstr("recipe of the plan where no option says otherwise"));
  Json expected = recipe;
  EXPECT_EQ(read_json("a.json")["recipe"], expected);
  succeed(train + Arguments{"--epochs", "2", "--lr", "0.3", "--seed", "4", "--json", "b.json"});
  expected["epochs"] = 2;
  expected["learning_rate"] = 0.3;
  expected["seed"] = 4;
  EXPECT_EQ(read_json("b.json")["recipe"], expected);
  // On the device a sample is a step, whatever the batch; the C begins with the plan's rate, too.
  const std::string of_plan = recipe["batch"].dump();
  const std::string other = "the plan's updates are of " + of_plan + " samples, here of 1: ";
  EXPECT_THAT(succeed(train + Arguments{"--numerics", "device"}).err,
              AllOf(HasSubstr("epochs, 1 samples an update by --accumulate, rate "),
                    HasSubstr(other + "--accumulate gives another")));
  EXPECT_THAT(succeed(train + Arguments{"--numerics", "device", "--accumulate", of_plan}).err,
              Not(HasSubstr("the plan's updates are of")));
  EXPECT_THAT(said.err, Not(HasSubstr("the plan's updates are of")));
  // What comes next compiles what was trained.
  EXPECT_THAT(succeed(train + Arguments{"--numerics", "integer", "--accumulate", "2", "--rounding",
                                        "nearest", "--lr", "0.625", "--clip", "3"})
                  .err,
              HasSubstr("--plan plan.json --head fresh --numerics integer "
                        "--train idx:train-images,train-labels --accumulate 2 --rounding nearest "
                        "--lr 0.625 --clip 3 --out"));
  Json plan = read_json("plan.json");
  plan["recipe"]["learning_rate"] = 0.75;
  write("plan.json", plan.dump());
  const Arguments compile{"compile", "model.onnx", "--plan", "plan.json", "--out"};
  EXPECT_THAT(succeed(compile + Arguments{"c"}).err,
              AllOf(HasSubstr("learning rate 0.75 of the plan's"), HasSubstr(other)));
  EXPECT_EQ(read_json("c/program.json")["learning_rate"], 0.75);
  succeed(compile + Arguments{"d", "--lr", "0.5"});
  EXPECT_EQ(read_json("d/program.json")["learning_rate"], 0.5);
  fail(2, compile + Arguments{"e", "--lr", "1e39"}, {"--lr 1e+39 must be a number"});
  // A rate for gradients that are not scaled is far too high for those of the device.
  plan["recipe"]["qas"] = false;
  write("plan.json", plan.dump());
  fail(2, compile + Arguments{"e"}, {"rate of 0.75 is for gradients without"});
  succeed(compile + Arguments{"e", "--lr", "0.5"});
}

// Word by word as it stands there, for a model of as many classes as the data.
TEST_F(CliTest, WhatComesNextBehindTrainingCompilesWhatWasTrained) {
  make_plan("plan.json", {"--last", "2"});
  const Arguments train{"train",    "model.onnx",
                        "--plan",   "plan.json",
                        "--train",  "idx:train-images,train-labels",
                        "--test",   "idx:test-images,test-labels",
                        "--epochs", "1"};
  const auto next = [&](const Arguments& more) {
    const std::string said = succeed(train + more).err;
    const std::string before = "next: espalier ";
    const std::size_t at = said.find(before);
    EXPECT_NE(at, std::string::npos) << said;
    if (at == std::string::npos) return std::string();
    const std::size_t begin = at + before.size();
    return said.substr(begin, said.find('\n', begin) - begin);
  };
  const Arguments integer{"--numerics", "integer"};
  const std::string advice =
      next(integer + Arguments{"--seed", "7", "--preprocess", "mean=0.5,std=0.5"});
  EXPECT_EQ(advice,
            "compile model.onnx --plan plan.json --classes 4 --head fresh --seed 7 --numerics "
            "integer --train idx:train-images,train-labels --train-preprocess mean=0.5,std=0.5 "
            "--out FOLDER");
  std::istringstream text(advice);
  Arguments command;
  for (std::string word; text >> word;) command.push_back(word == "FOLDER" ? "c" : word);
  succeed(command + Arguments{"--json", "compile.json"});
  EXPECT_EQ(read_json("compile.json")["head"], "fresh");
  EXPECT_EQ(read_json("compile.json")["numerics"], "integer");
  EXPECT_EQ(read_json("c/program.json")["seed"], 7);
  EXPECT_EQ(next({"--head", "keep"}),
            "compile model.onnx --plan plan.json --classes 4 --head keep --out FOLDER");
  // Data of which compile cannot take a part, and a rate that is none for the device.
  EXPECT_EQ(next(integer + Arguments{"--classes", "0,2"}),
            "compile model.onnx --plan plan.json --classes 2 --head fresh --numerics integer "
            "--out FOLDER");
  EXPECT_EQ(next({"--no-qas", "--lr", "0.0001"}),
            "compile model.onnx --plan plan.json --classes 4 --head fresh --lr RATE --out FOLDER");
}

TEST_F(CliTest, TrainingFindsARate) {
  succeed({"plan", "make", "model.onnx", "--last", "2", "--out", "plan.json"});
  const Arguments train{"train",   "model.onnx",
                        "--plan",  "plan.json",
                        "--train", "idx:train-images,train-labels",
                        "--test",  "idx:test-images,test-labels",
                        "--batch", "8"};
  const Finished finished = succeed(train + Arguments{"--lr", "auto", "--json", "auto.json"});
  EXPECT_THAT(finished.out, HasSubstr("chosen"));
  const Json found = read_json("auto.json");
  EXPECT_EQ(found["rate_sweep"]["tried"].size(), 10U);
  EXPECT_EQ(found["recipe"]["learning_rate"], found["rate_sweep"]["chosen"]);
  const std::string rate = found["recipe"]["learning_rate"].dump();
  EXPECT_EQ(report(train + Arguments{"--lr", rate})["test_loss"], found["test_loss"]);
  fail(2, train + Arguments{"--lr", "fast"}, {"fast is neither a number nor auto"});
}

TEST_F(CliTest, TrainingTakesFromItsStore) {
  succeed({"plan", "make", "model.onnx", "--last", "2", "--out", "plan.json"});
  const Arguments train{"train",    "model.onnx",
                        "--plan",   "plan.json",
                        "--train",  "idx:train-images,train-labels",
                        "--test",   "idx:test-images,test-labels",
                        "--epochs", "2"};
  write("notes", "a file");
  fail(73, train + Arguments{"--store", "notes"}, {"notes: is not a folder"});
  const Arguments kept = train + Arguments{"--store", "kept"};
  for (const Arguments& numerics : {Arguments{}, Arguments{"--numerics", "device"}}) {
    const Finished first = succeed(kept + numerics + Arguments{"--json", "first.json"});
    const Finished second = succeed(kept + numerics + Arguments{"--json", "second.json"});
    EXPECT_THAT(second.err, HasSubstr("taken from kept/"));
    EXPECT_EQ(first.out, second.out);
    Json expected = read_json("first.json");
    expected.erase("host_memory");
    EXPECT_EQ(read_json("second.json"), expected);
  }
  // What a record cannot hold is trained again.
  const Finished exported = succeed(kept + Arguments{"--export", "tuned.onnx"});
  EXPECT_THAT(exported.err, Not(HasSubstr("taken from")));
}

TEST_F(CliTest, SearchSaysHowSureItIs) {
  make_profile();
  const Arguments search{"search",   "profile.json", "--model",  "model.onnx",
                         "--budget", "1.5KiB",       "--solver", "exact"};
  const Json measured = report(search + Arguments{"--gains", "measured"});
  const Json believed = report(search);
  EXPECT_EQ(measured["gains"], "measured");
  EXPECT_EQ(believed["gains"], "believed");
  EXPECT_NE(measured["objective"], believed["objective"]);
  for (const Json& found : {measured, believed}) {
    EXPECT_GE(found["confidence"]["over_head"], 0.0);
    EXPECT_LE(found["confidence"]["over_head"], 1.0);
  }
  EXPECT_THAT(succeed(search).out, HasSubstr("probability that the plan gains more"));
  // Without all channels nothing is known of whole layers, whatever fits.
  succeed({"analyze", "model.onnx", "--out", "halves.json", "--train",
           "idx:train-images,train-labels", "--epochs", "1", "--layers", "5,6", "--ratios", "0.5"});
  EXPECT_THAT(succeed({"search", "halves.json", "--model", "model.onnx", "--budget", "1MiB"}).out,
              HasSubstr("none known fits"));
}

TEST_F(CliTest, AMeasuredSearchTellsWhatWouldSayMore) {
  make_profile();
  const Arguments search{"search",       "profile.json",
                         "--model",      "model.onnx",
                         "--budget",     "1.5KiB",
                         "--train",      "idx:train-images,train-labels",
                         "--measure",    "3",
                         "--race-seeds", "2"};
  EXPECT_THAT(succeed(search).err, HasSubstr("(--head-epochs 1)"));
  EXPECT_THAT(succeed(search + Arguments{"--epochs", "2", "--head-epochs", "1"}).err,
              Not(HasSubstr("(--head-epochs 1)")));
}

TEST_F(CliTest, SearchKeepsTheBudget) {
  make_profile();
  for (const std::string solver : {"evolution", "exact"}) {
    const Json found = report({"search", "profile.json", "--model", "model.onnx", "--budget",
                               "1.5KiB", "--out", "plan.json", "--solver", solver});
    EXPECT_EQ(found["schema"], "espalier.search/1");
    EXPECT_EQ(found["solver"], solver);
    EXPECT_GE(found["objective"], 0.0);
    // Two convs with two ratios each leave nothing to miss.
    EXPECT_NEAR(found["objective"].get<double>(), found["optimum"].get<double>(), 1e-12);
    EXPECT_NEAR(found["gap"].get<double>(), 0, 1e-12);
    EXPECT_LE(found["memory_bytes"], 1536);
    EXPECT_EQ(found["evaluations"] > 0, solver == "evolution");
    EXPECT_GE(found["seconds"], 0.0);

    const Json plan = read_json("plan.json");
    EXPECT_EQ(plan["solver"], solver);
    EXPECT_EQ(plan["budget_bytes"], 1536);
    EXPECT_EQ(plan["predicted_gain"], found["objective"]);
    const Json shown = report({"plan", "show", "plan.json", "--model", "model.onnx"});
    EXPECT_EQ(shown["analytic_bytes"], found["memory_bytes"]);
    EXPECT_EQ(shown["step_macs"]["total"], found["step_macs"]);
  }
  const Arguments search{"search", "profile.json", "--model", "model.onnx", "--budget", "1536"};
  EXPECT_THAT(succeed(search).out, HasSubstr("1.50 KiB"));
  EXPECT_EQ(Json::parse(succeed(search + Arguments{"--out", "-", "--solver", "exact"}).out),
            read_json("plan.json"));
  const Json by_loss = report(search + Arguments{"--metric", "loss", "--max-macs", "200000"});
  EXPECT_EQ(by_loss["metric"], "loss");
  EXPECT_LE(by_loss["step_macs"], 200000);
}

TEST_F(CliTest, ALargerBudgetIsNeverWorse) {
  make_profile();
  const Arguments search{"search",     "profile.json", "--model",
                         "model.onnx", "--budgets",    "1MB,500,40,1KiB,2KiB,39",
                         "--out",      "plan.json"};
  const Json found = report(search);
  ASSERT_EQ(found["front"].size(), 5U);
  EXPECT_EQ(found["front"][0]["memory_bytes"], kHeadBytes);
  EXPECT_EQ(found["front"][0]["objective"], 0.0);
  for (std::size_t i = 0; i < found["front"].size(); ++i) {
    const Json& point = found["front"][i];
    EXPECT_LE(point["memory_bytes"], point["budget_bytes"]);
    if (i == 0) continue;
    EXPECT_GT(point["budget_bytes"], found["front"][i - 1]["budget_bytes"]);
    EXPECT_GE(point["objective"], found["front"][i - 1]["objective"]);
  }
  EXPECT_EQ(found["front"][4]["plan"], read_json("plan.json"));
  EXPECT_EQ(found["objective"], found["front"][4]["objective"]);
  const Finished text = succeed(search);
  EXPECT_THAT(text.err, HasSubstr("espalier: budget 39 B: not even the head fits"));
}

TEST_F(CliTest, TrainReportsWhatItReached) {
  make_plan("plan.json", {"--last", "2"});
  const Json result =
      report(train_with("plan.json") + Arguments{"--export", "tuned.onnx", "--test-every-epoch",
                                                 "--limit-train", "32", "--limit-test", "12"});
  EXPECT_EQ(result["schema"], "espalier.train/1");
  EXPECT_FALSE(result["diverged"]);
  EXPECT_GE(result["test_accuracy"], 0.0);
  EXPECT_LE(result["test_accuracy"], 1.0);
  EXPECT_GT(result["test_loss"], 0.0);
  EXPECT_GT(result["images_per_second"], 0.0);
  EXPECT_EQ(result["data"]["train"]["count"], 32);
  EXPECT_EQ(result["data"]["test"]["count"], 12);
  ASSERT_EQ(result["epochs"].size(), 2U);
  EXPECT_EQ(result["epochs"][0]["epoch"], 1);
  EXPECT_EQ(result["epochs"][1]["test_loss"], result["test_loss"]);
  EXPECT_EQ(result["epochs"][1]["test_accuracy"], result["test_accuracy"]);

  const Json tuned = report({"inspect", "tuned.onnx"});
  EXPECT_EQ(tuned["convs"].size(), kConvs);
  EXPECT_NE(tuned["model"]["sha256"], result["model"]["sha256"]);
}

TEST_F(CliTest, TrainedOnceMoreFromItsOwnHead) {
  make_plan("plan.json", {"--bias", "2"});
  succeed(train_with("plan.json") + Arguments{"--export", "tuned.onnx"});
  succeed({"plan", "make", "tuned.onnx", "--head-only", "--out", "more.json"});
  Arguments again = train_with("more.json") + Arguments{"--head", "keep", "--lr", "0"};
  again[1] = "tuned.onnx";
  const Json kept = report(again);
  EXPECT_EQ(kept["head"], "keep");
  EXPECT_EQ(kept["epochs"][0]["train_loss"], kept["epochs"][1]["train_loss"]);
}

TEST_F(CliTest, TrainDoesNotDependOnThreads) {
  make_plan("plan.json", {"--full"});
  const auto with_jobs = [&](const std::string& jobs) {
    Json result =
        report(train_with("plan.json") + Arguments{"--jobs", jobs, "--export", jobs + ".onnx"});
    result.erase("images_per_second");
    return result;
  };
  EXPECT_EQ(with_jobs("1"), with_jobs("2"));
  EXPECT_EQ(read("1.onnx"), read("2.onnx"));
}

TEST_F(CliTest, EveryDataFormatTrains) {
  make_cifar("first.bin", 20);
  make_cifar("second.bin", 10);
  make_folder("pictures", 4);
  make_plan("plan.json", {"--head-only"});
  struct Source {
    std::string spec;
    int count;
    int classes;
  };
  for (const Source& source :
       {Source{"cifar10:first.bin,second.bin", 30, 10}, Source{"folder:pictures", 12, 3},
        Source{"idx:train-images,train-labels", 60, 4}}) {
    const Json result = report({"train", "model.onnx", "--plan", "plan.json", "--train",
                                source.spec, "--test", source.spec, "--epochs", "1"});
    EXPECT_EQ(result["data"]["train"]["count"], source.count);
    EXPECT_EQ(result["data"]["train"]["classes"], source.classes);
    EXPECT_EQ(result["data"]["train"]["spec"], source.spec);
  }
  const Json chosen = report({"train", "model.onnx", "--plan", "plan.json", "--train",
                              "cifar10:first.bin", "--test", "cifar10:second.bin", "--classes",
                              "2,4-5", "--epochs", "1", "--preprocess", "resize=9,crop=8"});
  EXPECT_EQ(chosen["data"]["train"]["classes"], 3);
  EXPECT_EQ(chosen["data"]["test"]["count"], 3);
}

TEST_F(CliTest, QuietPrintsNothing) {
  make_plan("plan.json", {"--head-only"});
  for (const Arguments& command :
       {train_with("plan.json"),
        Arguments{"analyze", "model.onnx", "--out", "profile.json"} + kAnalyzeTiny,
        Arguments{"search", "profile.json", "--model", "model.onnx", "--budget", "1KiB"}}) {
    const Finished finished = succeed(command + Arguments{"--quiet"});
    EXPECT_EQ(finished.out, "");
    EXPECT_EQ(finished.err, "");
  }
}

TEST_F(CliTest, ADeviceAsOutputStaysADevice) {
  std::filesystem::create_symlink("/dev/null", path("sink"));
  succeed({"inspect", "model.onnx", "--json", "sink"});
  succeed({"plan", "make", "model.onnx", "--full", "--out", "sink"});
  EXPECT_TRUE(std::filesystem::is_character_file(path("sink")));
}

TEST_F(CliTest, AFullStandardOutputIsNoticed) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
  RunOptions options;
  options.stdout_path = "/dev/full";
  for (const Arguments& arguments :
       {Arguments{"inspect", "model.onnx"}, Arguments{"inspect", "model.onnx", "--json", "-"}}) {
    const Finished finished = run(arguments, options);
    EXPECT_EQ(finished.exit_code, 73);
    EXPECT_THAT(finished.err, HasSubstr("espalier: standard output: cannot be written"));
  }
}

TEST_F(CliTest, AFullDiskCostsNoTrial) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
  std::filesystem::create_symlink("/dev/full", path("profile.json"));
  const Arguments analyze =
      Arguments{"analyze", "model.onnx", "--out", "profile.json"} + kAnalyzeTiny;
  const Finished full = run(analyze);
  EXPECT_EQ(full.exit_code, 73);
  EXPECT_THAT(full.err, HasSubstr("espalier: profile.json: cannot be written"));
  std::filesystem::remove(path("profile.json"));
  EXPECT_THAT(succeed(analyze).err, HasSubstr("7 of 7 trials taken from profile.json.trials"));
}

TEST_F(CliTest, PublishedPlanOfMcunet) {
  ESPALIER_SHARED_DATA_OR_SKIP(shared);
  const std::string model = (shared / "models/mcunet-5fps.onnx").string();
  succeed({"plan", "import", model, "--published", published_plan_file("mcunet-5fps").string(),
           "--out", "plan.json"});
  const Json shown = report({"plan", "show", "plan.json", "--model", model});
  EXPECT_EQ(shown["analytic_bits"]["total"], 817920);  // 99.84375 KiB, memory_reference.json
  EXPECT_EQ(report({"inspect", model})["convs"].size(), 42U);
}

}  // namespace
}  // namespace espalier::testing
