// Options that would have no effect: refused on the command line, told of in a configuration file,
// left out of the one that is printed.
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kUsage = 2;

const Arguments kInspect{"inspect", "model.onnx"};
const Arguments kAnalyze{"analyze", "model.onnx", "--train", "idx:train-images,train-labels"};
const Arguments kSearch{"search", "profile.json", "--model", "model.onnx", "--budget", "1KiB"};
const Arguments kMake{"plan", "make", "model.onnx", "--full", "--out", "new.json"};
const Arguments kImport{"plan", "import", "model.onnx", "--out", "new.json", "--published", "{}"};
const Arguments kRotate{"plan",       "rotate", "plan.json", "--model",
                        "model.onnx", "--out",  "new.json"};
const Arguments kShow{"plan", "show", "plan.json", "--model", "model.onnx"};
const Arguments kTrain{"train",   "model.onnx", "--plan", "plan.json",
                       "--train", "idx:a,b",    "--test", "idx:a,b"};
const Arguments kCompile{"compile", "model.onnx", "--plan", "plan.json"};
const Arguments kCheck{"check", "c"};
const Arguments kSweep{"sweep", "sweep.json", "--out", "swept"};
const Arguments kReport{"report", "plan.json", "--out", "page"};
const Arguments kEvaluate{"evaluate", "model.onnx", "--test", "idx:a,b"};

// An option beside which it has no effect, and beside which it has one.
struct Rule {
  Arguments option;
  Arguments command;
  Arguments without;
  Arguments with;
  bool never = false;  // has one beside nothing
};

// What search takes for its trainings alone.
const std::vector<Arguments> kOfMeasuring{{"--train", "cifar10:a"},
                                          {"--val", "cifar10:a"},
                                          {"--limit-train", "3"},
                                          {"--limit-val", "3"},
                                          {"--seeds", "2"},
                                          {"--race-seeds", "3"},
                                          {"--race-folds", "2"},
                                          {"--rates", "0.1,0.2"},
                                          {"--known", "plan.json"},
                                          {"--store", "new"},
                                          {"--cache-limit", "1MiB"},
                                          {"--preprocess", "identity"},
                                          {"--subset", "first"},
                                          {"--epochs", "3"},
                                          {"--race-epochs", "3"},
                                          {"--batch", "8"},
                                          {"--lr", "0.5"},
                                          {"--warmup", "0.5"},
                                          {"--head-epochs", "1"},
                                          {"--clip", "3"},
                                          {"--schedule", "published"},
                                          {"--no-qas"}};

std::vector<Rule> rules() {
  const Arguments device{"--numerics", "device"};
  const Arguments integer{"--numerics", "integer"};
  const Arguments out{"--out", "c"};
  const Arguments estimate{"--estimate"};
  const Arguments measured{"--measure", "9", "--train", "idx:a,b"};
  std::vector<Rule> all{
      {{"--accumulate", "2"}, kTrain, {}, device},
      {{"--rounding", "nearest"}, kTrain, {}, device},
      {{"--replay", "10KiB"}, kTrain, {}, device},
      {{"--classes-in-turn", "2"}, kTrain, {}, device},
      {{"--replays", "3"}, kTrain, {}, device + Arguments{"--replay", "10KiB"}},
      {{"--replays", "3"}, kTrain, device, device + Arguments{"--replay", "10KiB"}},
      {{"--batch", "3"}, kTrain, device, {}},
      {{"--gradient-bits", "16"}, kTrain, {}, integer},
      {{"--gradient-bits", "16"}, kCompile, {}, integer},
      {{"--gradient-bits", "16"}, kSearch, {}, integer},
      {{"--input", "rows"}, kSearch, {}, {"--memory", "planned"}},
      {{"--accumulate", "2"}, kSearch, {}, {"--memory", "planned"}},
      {{"--device", "stm32f746"}, kSearch, {}, {"--memory", "planned"}},
      {{"--stack", "1KiB"}, kSearch, {}, {"--device", "stm32f746", "--memory", "planned"}},
      {{"--reserve", "1KiB"}, kSearch, {}, {"--device", "stm32f746", "--memory", "planned"}},
      {{"--train", "cifar10:a"}, kCompile, {}, out + integer},
      {{"--train", "cifar10:a"}, kCompile, out, out + integer},
      {{"--train", "cifar10:a"}, kCompile, integer, out + integer},
      {{"--train-preprocess", "identity"},
       kCompile,
       {},
       out + integer + Arguments{"--train", "cifar10:a"}},
      {{"--train-preprocess", "identity"},
       kCompile,
       out + integer,
       out + integer + Arguments{"--train", "cifar10:a"}},
      {{"--target", "rv32imf+pm4adda.b"}, kSearch, {}, {"--max-cycles", "1000"}},
      {{"--rates-of", "finalists"}, kSearch, {}, measured + Arguments{"--rates", "0.2"}},
      {{"--rates-of", "finalists"}, kSearch + measured, {}, {"--rates", "0.2"}},
      {{"--input", "rows"}, kSearch + measured, {}, {"--memory", "planned"}},
      {{"--device", "stm32f746"}, kSearch + measured, {}, {"--memory", "planned"}},
      {{"--target", "rv32imf+pm4adda.b"}, kSearch + measured, {}, {"--max-cycles", "1000"}},
      {{"--subset", "first"}, kTrain, {}, {"--limit-test", "3"}},
      {{"--seed", "1"}, kSearch, {"--solver", "exact"}, {}},
      {{"--ir"}, kInspect, {"--json", "-"}, {}},
      {{"--ir"}, kInspect, {"--quiet"}, {}},
      {{"--out", "new.json"}, kAnalyze, estimate, {}},
      {{"--cache-limit", "1MiB"}, kAnalyze, estimate, {"--out", "new.json"}},
      {{"--store", "new"}, kAnalyze, estimate, {"--out", "new.json"}},
      {{"--share", "0.5"}, kAnalyze, estimate, {"--out", "new.json"}},
      {{"--stack", "1KiB"}, kCompile, {}, {"--device", "device.json"}},
      {{"--seed", "1"}, kCompile, {}, out},
      {{"--clip", "3"}, kCompile, {}, out},
      {{"--name", "other"}, kCompile, {}, out},
      {{"--kernels", "plain"}, kCompile, {}, out},
      {{"--head", "fresh"}, kCompile, {}, out},
      {{"--lr", "0.5"}, kCompile, {}, out},
      {{"--rounding", "nearest"}, kCompile, {}, out},
      {{"--replay", "10KiB"}, kCompile, {}, out},
      {{"--preprocess", "identity"}, kCompile, {}, out},
      {{"--package", "zephyr"}, kCompile, {}, out},
      {{"--classes", "3"}, kShow, {"--published"}, {}},
      {{"--seed", "1"}, kCheck, {"--inputs", "samples", "--labels", "0"}, {}},
  };
  for (const Arguments& option : kOfMeasuring) {
    all.push_back({option, kSearch, {}, {"--measure", "9"}});
  }
  for (const Arguments& command :
       {kInspect, kMake, kImport, kRotate, kShow, kSweep, Arguments{"devices"}, kReport}) {
    all.push_back({{"--seed", "1"}, command, {}, {}, true});
  }
  const Arguments limit{"--limit-test", "3"};
  all.push_back({{"--seed", "1"}, kEvaluate, {}, limit});
  all.push_back({{"--seed", "1"}, kEvaluate, limit + Arguments{"--subset", "first"}, limit});
  all.push_back({{"--subset", "first"}, kEvaluate, {}, limit});
  const Arguments everything{"--limit-train", "0", "--limit-val", "0"};
  all.push_back({{"--subset", "first"}, kAnalyze, everything, {}});
  all.push_back({{"--subset", "first"},
                 kSearch + Arguments{"--measure", "9", "--train", "idx:a,b"},
                 everything,
                 {}});
  all.push_back({{"--cache-limit", "1MiB"}, kSweep, {"--dry-run"}, {}});
  const Arguments slurm{"--engine", "slurm"};
  all.push_back({{"--shard", "0/2"}, kSweep, slurm, {}});
  all.push_back({{"--shard", "0/2"}, kSweep, {"--dry-run"}, {}});
  all.push_back({{"--jobs", "1"}, kSweep, slurm, {}});
  all.push_back({{"--json", "new.json"}, kSweep, slurm, {"--dry-run"}});
  all.push_back({{"--json", "new.json"}, kSweep, {"--shard", "0/2"}, {}});
  all.push_back({{"--solver", "exact"}, kSearch, {"--measure", "9"}, {}});
  for (const Arguments& command : {kInspect, kAnalyze, kSearch, kMake, kImport, kRotate, kShow,
                                   kTrain, kCompile, kCheck, kSweep, Arguments{"devices"}}) {
    all.push_back({{"--verbose"}, command, {"--quiet"}, {}});
  }
  return all;
}

// The words of a command before its first file or option.
std::string name_of(const Arguments& command) {
  return command[0] == "plan" ? "plan " + command[1] : command[0];
}

using EffectsTest = Workspace;

TEST_F(EffectsTest, WhatHasNoneIsRefused) {
  for (const Rule& rule : rules()) {
    SCOPED_TRACE(::testing::PrintToString(rule.command + rule.without + rule.option));
    const std::string text = rule.option[0] + " has no effect here; ";
    fail(kUsage, rule.command + rule.without + rule.option, {text});

    // A file may serve several calls.
    const std::string key = rule.option[0].substr(2);
    const std::string line = key + "=" + (rule.option.size() > 1 ? rule.option[1] : "true") + "\n";
    write("config.toml", line);
    const Arguments print{"--config", "config.toml", "--print-config"};
    const Finished told = run_here(rule.command + rule.without + print);
    EXPECT_EQ(told.exit_code, 0) << told.err;
    const bool quiet = rule.without == Arguments{"--quiet"};
    EXPECT_THAT(told.err, HasSubstr(quiet ? std::string() : text));
    if (quiet) {
      EXPECT_EQ(told.err, "");
    }
    EXPECT_THAT("\n" + told.out, Not(HasSubstr("\n" + key + "=")));

    if (rule.never) continue;
    const Finished taken = run_here(rule.command + rule.with + print);
    EXPECT_EQ(taken.exit_code, 0) << taken.err;
    EXPECT_THAT(taken.err, Not(HasSubstr("no effect")));
    EXPECT_THAT("\n" + taken.out, HasSubstr("\n" + key + "="));
  }
}

// As a script has it whose variable is not set: without its check a program would be compiled for
// no device in particular, and a sweep would be strewn over the working folder.
TEST_F(EffectsTest, EmptyValuesAreRefused) {
  const std::string text = ": an empty value; give one";
  const std::string optional = text + ", or leave the option out";
  for (const auto& [command, option] :
       {std::pair(kCompile + Arguments{"--out", "c"}, "--device"), std::pair(kTrain, "--export"),
        std::pair(kTrain, "--classes"), std::pair(kSearch, "--out"), std::pair(kCheck, "--keep"),
        std::pair(kInspect, "--json")}) {
    fail(kUsage, command + Arguments{option, ""}, {option + optional});
  }
  fail(kUsage, {"sweep", "sweep.json", "--out", ""}, {"--out" + text});
  fail(kUsage, {"inspect", ""}, {"model" + text});
  fail(kUsage, {"report", "plan.json", "", "--out", "page"}, {"documents" + text});
  write("config.toml", "classes=\n");
  fail(kUsage, kTrain + Arguments{"--config", "config.toml"}, {"--classes" + optional});
}

// The rules above are all that a command alone breaks.
TEST_F(EffectsTest, TheRulesAreAllThereAre) {
  std::set<std::pair<std::string, std::string>> known;
  for (const Rule& rule : rules()) {
    if (rule.without.empty()) known.insert({name_of(rule.command), rule.option[0]});
  }
  std::set<std::pair<std::string, std::string>> found;
  std::set<std::string> seen;
  for (const Rule& rule : rules()) {
    const std::string name = name_of(rule.command);
    if (!seen.insert(name).second) continue;
    Arguments help = rule.command;
    help.resize(name.starts_with("plan ") ? 2 : 1);
    const std::string text = run_here(help + Arguments{"--help"}).out;
    const std::regex option("\n  (?:-[a-z],\\s*)?(--[a-z-]+)");
    for (auto it = std::sregex_iterator(text.begin(), text.end(), option);
         it != std::sregex_iterator(); ++it) {
      const std::string given = (*it)[1];
      // As a flag, with a number and with a word: one of them is understood.
      for (const Arguments& value : {Arguments{},
                                     {"3"},
                                     {"16"},
                                     {"plain"},
                                     {"fresh"},
                                     {"nearest"},
                                     {"first"},
                                     {"published"},
                                     {"zephyr"},
                                     {"rows"},
                                     {"rv32imf+pm4adda.b"},
                                     {"finalists"},
                                     {"other"}}) {
        const Finished finished =
            run_here(rule.command + Arguments{given} + value + Arguments{"--print-config"});
        const bool without = finished.err.find(given + " has no effect here") != std::string::npos;
        if (without) found.insert({name, given});
        if (without || finished.exit_code == 0) break;
      }
    }
  }
  EXPECT_EQ(found, known);
}

}  // namespace
}  // namespace espalier::testing
