// Options from files: what --print-config prints, --config reads.
#include <string>
#include <utility>
#include <vector>

#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::HasSubstr;

class ConfigTest : public Workspace {
 protected:
  ConfigTest() {
    make_model();
    make_idx("train", 60);
  }

  /// The options in effect, stored as config.toml.
  std::string print_config(const Arguments& arguments) const {
    const std::string text = succeed(arguments + Arguments{"--print-config"}).out;
    write("config.toml", text);
    return text;
  }
};

TEST_F(ConfigTest, RepeatsAnAnalysis) {
  const Arguments analyze =
      Arguments{"analyze",  "model.onnx", "--out", "profile.json",  "--seed", "3",
                "--no-qas", "--lr",       "0.05",  "--limit-train", "32",     "--quiet"} +
      kAnalyzeTiny;
  const std::string config = print_config(analyze);
  EXPECT_EQ(files(), (std::vector<std::string>{"config.toml", "model.onnx", "train-images",
                                               "train-labels"}));
  EXPECT_EQ(print_config({"analyze", "--config", "config.toml"}), config);

  succeed(analyze);
  // What the command line says goes before the file.
  succeed({"analyze", "--config", "config.toml", "--out", "again.json"});
  EXPECT_EQ(read("again.json"), read("profile.json"));
  const Json profile = read_json("profile.json");
  EXPECT_FALSE(profile["recipe"]["qas"]);
  EXPECT_EQ(profile["seeds"], Json({3}));
}

TEST_F(ConfigTest, DefaultsMeanTheSameWhenWrittenDown) {
  print_config({"analyze", "model.onnx", "--train", "idx:train-images,train-labels", "--layers",
                "6", "--out", "a.json"});
  succeed({"analyze", "--config", "config.toml"});
  const Json profile = read_json("a.json");
  EXPECT_TRUE(profile["recipe"]["qas"]);
  EXPECT_EQ(profile["recipe"]["epochs"], 5);
  EXPECT_EQ(profile["ratios"], Json({0.125, 0.25, 0.5, 1.0}));
}

// A default that excludes what was given is not written down beside it.
TEST_F(ConfigTest, RepeatsAnAnalysisOfATime) {
  const std::string config =
      print_config({"analyze", "model.onnx", "--train", "idx:train-images,train-labels", "--layers",
                    "6", "--out", "a.json", "--time", "15min"});
  EXPECT_THAT(config, HasSubstr("\ntime=\"15min\"\n"));
  EXPECT_EQ(print_config({"analyze", "--config", "config.toml"}), config);
}

TEST_F(ConfigTest, RepeatsEveryPlan) {
  for (const Arguments& arguments :
       {Arguments{"plan", "make", "model.onnx", "--last", "3", "--out", "plan.json"},
        Arguments{"plan", "make", "model.onnx", "--full", "--out", "plan.json"},
        Arguments{"plan", "import", "model.onnx", "--out", "plan.json", "--published",
                  R"({"n_bias_update": 3, "manual_weight_idx": [4, 6]})"}}) {
    const std::string config = print_config(arguments);
    succeed(arguments);
    const std::string plan = read("plan.json");
    succeed({"plan", arguments[1], "--config", "config.toml"});
    EXPECT_EQ(read("plan.json"), plan) << config;
  }
}

TEST_F(ConfigTest, RepeatsTrainingAndSearch) {
  make_profile();
  make_plan("plan.json", {"--bias", "2"});
  const Arguments train{"train",    "model.onnx",
                        "--plan",   "plan.json",
                        "--epochs", "1",
                        "--train",  "idx:train-images,train-labels",
                        "--test",   "idx:train-images,train-labels",
                        "--json",   "result.json",
                        "--quiet"};
  print_config(train);
  succeed(train);
  succeed({"train", "--config", "config.toml", "--json", "again.json"});
  EXPECT_EQ(read_json("again.json")["test_loss"], read_json("result.json")["test_loss"]);

  print_config({"search", "profile.json", "--model", "model.onnx", "--budgets", "1KiB,2KiB",
                "--solver", "exact", "--json", "-"});
  const Json found = Json::parse(succeed({"search", "--config", "config.toml"}).out);
  EXPECT_EQ(found["solver"], "exact");
  EXPECT_EQ(found["front"].size(), 2U);
}

// A recipe that comes with the plan, or the profile, is not replaced by defaults that were written
// down beside it.
TEST_F(ConfigTest, LeavesToFilesWhatTheyDecide) {
  make_plan("plain.json", {"--bias", "2"});
  Json plan = read_json("plain.json");
  plan["recipe"] = {{"epochs", 2},          {"batch", 7},  {"learning_rate", 0.03},
                    {"warmup_epochs", 0.5}, {"qas", true}, {"seed", 0}};
  write("plan.json", plan.dump());
  const Arguments train{"train",   "model.onnx",
                        "--plan",  "plan.json",
                        "--train", "idx:train-images,train-labels",
                        "--test",  "idx:train-images,train-labels"};
  const std::string config = print_config(train);
  for (const char* option :
       {"epochs", "batch", "lr", "warmup", "head-epochs", "clip", "schedule", "no-qas"}) {
    EXPECT_THAT(config, Not(HasSubstr(std::string("\n") + option + "="))) << config;
  }
  EXPECT_EQ(report({"train", "--config", "config.toml"})["recipe"], report(train)["recipe"]);
  // What goes with the plan's epochs need not go with the default ones.
  plan["recipe"]["epochs"] = 12;
  write("plan.json", plan.dump());
  EXPECT_EQ(report(train + Arguments{"--warmup", "11"})["recipe"]["warmup_epochs"], 11);
  plan["recipe"]["epochs"] = 2;
  plan["recipe"]["head_epochs"] = 1;
  write("plan.json", plan.dump());
  EXPECT_EQ(report(train)["recipe"]["head_epochs"], 1);
  const Arguments without{"--head-epochs", "0"};
  EXPECT_FALSE(report(train + without)["recipe"].contains("head_epochs"));
  plan["recipe"]["clip"] = 3;
  write("plan.json", plan.dump());
  EXPECT_EQ(report(train)["recipe"]["clip"], 3);
  EXPECT_EQ(report(train + Arguments{"--clip", "4"})["recipe"]["clip"], 4);
  EXPECT_FALSE(report(train + Arguments{"--clip", "0"})["recipe"].contains("clip"));
  fail(2, train + Arguments{"--clip", "128"},
       {"rate 0.03 clipped at 128", "--clip 128 must lie in 0..127; what no option gives is of"});
  const Arguments stream{"--numerics", "device", "--classes-in-turn", "2"};
  fail(2, train + stream,
       {"the first 1 of the head alone", "the plan's updates are of 7 samples, here of 1",
        "--head-epochs 1: goes with neither --classes-in-turn nor --replay"});
  succeed(train + stream + without);
  fail(2, train + Arguments{"--epochs", "1"},
       {"the first 1 of the head alone",
        "--head-epochs 1 must lie in 0..0, fewer than all epochs; what no option gives is of the "
        "recipe of plan.json"});
  EXPECT_THAT(print_config(train + Arguments{"--lr", "0.1"}), HasSubstr("\nlr=0.1\n"));

  make_profile();
  const Arguments search{
      "search", "profile.json", "--model", "model.onnx", "--budget",
      "1KiB",   "--measure",    "2",       "--train",    "idx:train-images,train-labels"};
  succeed(search + Arguments{"--out", "a.json"});
  print_config(search + Arguments{"--out", "b.json"});
  succeed({"search", "--config", "config.toml"});
  EXPECT_EQ(read("b.json"), read("a.json"));
  plan["recipe"]["epochs"] = 0;
  write("plan.json", plan.dump());
  fail(65, train, {"plan.json: recipe: --epochs 0"});
  fail(65, {"compile", "model.onnx", "--plan", "plan.json", "--out", "c"},
       {"plan.json: recipe: --epochs 0"});
}

// Whatever texts hold: files are named so.
TEST_F(ConfigTest, RepeatsEveryText) {
  const Arguments train{"train",     "model.onnx",
                        "--plan",    "o \"q\" #1'.json",
                        "--train",   "folder:C# \\ pictures",
                        "--test",    "a=b; c",
                        "--classes", "cat#1,dog",
                        "--json",    " spaces ",
                        "--store",   "[x]",
                        "--export",  "'",
                        "--verbose"};
  const std::string config = print_config(train);
  EXPECT_EQ(print_config({"train", "--config", "config.toml"}), config);
  EXPECT_THAT(config, HasSubstr(R"(plan="o \"q\" #1'.json")"));
  EXPECT_THAT(config, HasSubstr(R"(train="folder:C# \\ pictures")"));
  const std::string analyze =
      print_config({"analyze", "model.onnx", "--train", "a", "--out", "true"});
  EXPECT_EQ(print_config({"analyze", "--config", "config.toml"}), analyze);
}

TEST_F(ConfigTest, PeopleWriteThemInManyWays) {
  const Arguments analyze{"analyze", "model.onnx", "--train",  "a",
                          "--out",   "b",          "--config", "config.toml"};
  write("config.toml",
        "\xef\xbb\xbf# for all\r\n\r\nlr = 0.3  # why\r\n; more\nno-qas\n'val' = 'it # is'\n"
        "ratios = [ 0.5, # half\n  \"1\" ]\nclasses=cat, dog\n");
  const std::string config = print_config(analyze);
  for (const char* line : {"lr=0.3\n", "no-qas=true\n", "val=\"it # is\"\n", "ratios=[0.5,1]\n",
                           "classes=\"cat, dog\"\n"}) {
    EXPECT_THAT(config, HasSubstr(line));
  }
}

TEST_F(ConfigTest, ThePublishedRecipeIsRead) {
  const std::string recipe = std::string(ESPALIER_CONFIGS) + "/published-recipe.toml";
  const std::string config = print_config({"train", "model.onnx", "--plan", "p", "--train", "a",
                                           "--test", "b", "--config", recipe, "--epochs", "2"});
  EXPECT_THAT(config, HasSubstr("limit-train=5000\n"));
  EXPECT_THAT(config, HasSubstr("subset=\"first\"\n"));
  EXPECT_THAT(config, HasSubstr("schedule=\"published\"\n"));
  EXPECT_THAT(config, HasSubstr("epochs=2\n"));
}

TEST_F(ConfigTest, WrongFilesAreRefused) {
  const Arguments inspect{"inspect", "model.onnx", "--config", "config.toml"};
  fail(66, inspect, {"config.toml: cannot be opened"});
  // Nothing is passed over.
  const std::vector<std::pair<std::string, std::string>> wrong{
      {"jobs=1\nlerning-rate=2\n", "2: 'lerning-rate' is not an option of this command"},
      {"[inspect]\njobs=1\n", "1: '[inspect]' is not an option of this command"},
      {"jobs\n", "1: 'jobs' has no value; write jobs=VALUE"},
      {"x\n", "1: 'x' is not an option"},
      {"\njobs=1\njobs=2\n", "3: 'jobs' stands there a second time"},
      {"json=\"a\" b\n", "1: text stands behind the value"},
      {"json=\"a\n", "1: the closing \" is missing"},
      {"json='a\n", "1: the closing ' is missing"},
      {"json=\"\\x\"\n", "1: only "},
      {"json=[a\n\n", "2: the list has no closing ]"},
      {"json=[a] b\n", "1: text stands behind the closing ]"},
      {"json=[\"a\" \"b\"]\n", "1: text stands behind an element of the list"}};
  for (const auto& [text, says] : wrong) {
    write("config.toml", text);
    fail(2, inspect, {"config.toml:" + says});
  }
  write("config.toml", "jobs=many\n");
  fail(2, inspect, {"--jobs"});
  write("config.toml", "print-config=true\n");
  fail(2, inspect, {"'print-config' is not an option"});
  write("config.toml", "# only a comment\n");
  EXPECT_EQ(succeed(inspect + Arguments{"--quiet"}).err, "");
}

}  // namespace
}  // namespace espalier::testing
