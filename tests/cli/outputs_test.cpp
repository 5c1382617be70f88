// What commands write, and where: every output option against every input, however the file is
// spelt; files that are something else; two processes at once; outputs that fail.
#include <algorithm>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "outputs_workspace.hpp"

namespace espalier::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kUsage = 2;
constexpr int kCannotWrite = 73;

using Case = OutputCase;
using OutputsTest = OutputsWorkspace;

TEST_F(OutputsTest, TheCasesNameEveryOutputOptionOfEveryCommand) {
  std::set<std::string> commands;
  std::map<Arguments, std::set<std::string>> known;
  for (const Case& c : cases()) {
    commands.insert(c.words.front());
    known[c.words].insert(c.files.begin(), c.files.end());
    known[c.words].insert(c.folders.begin(), c.folders.end());
  }
  for (const Case& c : cases()) {
    std::set<std::string> named;
    const std::string help = succeed(c.words + Arguments{"--help"}).out;
    const std::regex output("\n  (--[a-z-]+) PATH");
    for (auto it = std::sregex_iterator(help.begin(), help.end(), output);
         it != std::sregex_iterator(); ++it) {
      named.insert((*it)[1]);
    }
    EXPECT_EQ(named, known[c.words]) << ::testing::PrintToString(c.words);
  }
  const std::string help = succeed({"--help"}).out;
  const std::string list = help.substr(0, help.find("Order of work"));
  const std::regex command("\n  ([a-z]+) ");
  for (auto it = std::sregex_iterator(list.begin(), list.end(), command);
       it != std::sregex_iterator(); ++it) {
    EXPECT_TRUE(commands.contains((*it)[1])) << (*it)[1];
  }
}

TEST_F(OutputsTest, NoInputIsReplacedHoweverItIsSpelt) {
  fs::create_directory(path("links"));
  std::size_t turn = 0;
  for (const Case& c : cases()) {
    Case all = c;
    all.inputs.emplace_back("config.toml");
    for (const std::string& input : all.inputs) {
      const std::string soft = "links/soft-" + input;
      const std::string hard = "links/hard-" + input;
      if (!fs::exists(path(soft))) {
        fs::create_symlink(path(input), path(soft));
        fs::create_hard_link(path(input), path(hard));
      }
      const std::vector<std::string> spellings{"./" + input, "links/../" + input,
                                               path(input).string(), soft, hard};
      for (const std::string& option : c.files) {
        for (const std::string& spelling : {input, spellings[turn++ % spellings.size()]}) {
          fail(kUsage, with(c, option, spelling),
               {spelling + ": " + option + " would replace an input of this command"});
        }
      }
    }
  }
}

TEST_F(OutputsTest, NothingIsWrittenIntoADataset) {
  const Arguments analyze{"analyze", "model.onnx", "--train", "folder:pictures"};
  const Arguments train{"train",   "model.onnx", "--plan", "plan.json",
                        "--train", "idx:a,b",    "--test", "folder:pictures"};
  write("pictured.json", R"({"schema": "espalier.sweep/1", "name": "one",
    "models": [{"name": "m", "file": "model.onnx"}],
    "datasets": [{"name": "d", "train": "idx:train-images,train-labels",
                  "test": "folder:pictures"}],
    "training": {"seeds": [0]}})");
  const Arguments sweep{"sweep", "pictured.json"};
  for (const char* at : {"pictures/class0/0.png", "pictures/new.json", "./pictures/class1/x"}) {
    const std::string text = " would write into the dataset folder:pictures";
    fail(kUsage, analyze + Arguments{"--out", at}, {"--out" + text});
    fail(kUsage, analyze + Arguments{"--out", "new.json", "--json", at}, {"--json" + text});
    fail(kUsage, train + Arguments{"--json", at}, {"--json" + text});
    fail(kUsage, train + Arguments{"--export", at}, {"--export" + text});
    fail(kUsage, train + Arguments{"--store", at}, {"--store" + text});
    fail(kUsage, analyze + Arguments{"--out", "new.json", "--store", at}, {"--store" + text});
    fail(kUsage, sweep + Arguments{"--out", at}, {"--out" + text});
    fail(kUsage, sweep + Arguments{"--out", "swept", "--json", at}, {"--json" + text});
  }
  fail(kUsage, train + Arguments{"--store", "pictures"}, {"would replace an input"});
}

// Files that a folder of outputs holds by their own names.
TEST_F(OutputsTest, NoInputIsReplacedInTheFolderThatIsWritten) {
  const std::string data = "idx:../train-images,../train-labels";
  write("swept/sweep.json", R"({"schema": "espalier.sweep/1", "name": "one",
    "models": [{"name": "m", "file": "../model.onnx"}],
    "datasets": [{"name": "d", "train": ")" +
                                data + R"(", "test": ")" + data + R"("}],
    "training": {"seeds": [0], "recipe": {"epochs": 1}}})");
  write("swept/config.json", read("swept/sweep.json"));
  fs::create_directory(path("swept/trials"));
  const std::string replaced = "--out would replace an input of this command, ";
  fail(kUsage, {"sweep", "swept/sweep.json", "--out", "./swept"},
       {"./swept: " + replaced + "swept/sweep.json"});
  succeed({"sweep", "swept/config.json", "--out", "swept"});

  fs::create_directories(path("fits/on-part"));
  fs::copy_file(path("model.onnx"), path("fits/on-part/tuned.onnx"));
  fail(kUsage,
       {"fit", "fits/on-part/tuned.onnx", "--train", "idx:a,b", "--test", "idx:a,b", "--device",
        "device.json", "--out", "fits"},
       {"fits: " + replaced + "fits/on-part/tuned.onnx"});
  write("page/report.json", "{}");
  fail(kUsage, {"report", "page/report.json", "--out", "page"}, {"page: " + replaced});
  write("dump/01-table.txt", read("table.txt"));
  fail(kUsage,
       {"compile", "model.onnx", "--plan", "plan.json", "--out", "new", "--preprocess",
        "lut=dump/01-table.txt", "--dump-passes", "dump"},
       {"dump: --dump-passes would replace an input of this command, dump/01-table.txt"});
}

// Also the place that a store has without being named.
TEST_F(OutputsTest, AStoreIsNoFolderOfSomethingElse) {
  const Arguments analyze{"analyze", "model.onnx", "--train", "idx:train-images,train-labels"};
  write("new.json.trials/diary", "dear diary\n");
  fail(kUsage, analyze + Arguments{"--out", "new.json"},
       {"new.json.trials: is not empty; name another folder"});
  write("plain.json.trials", "dear diary\n");
  fail(kCannotWrite, analyze + Arguments{"--out", "plain.json"},
       {"plain.json.trials: is not a folder"});
  fail(kUsage, analyze + Arguments{"--out", "a.json", "--json", "a.json.trials"},
       {"is to hold two outputs"});
}

TEST_F(OutputsTest, WhatIsSomethingElseIsNotReplaced) {
  const std::vector<std::string> others{
      "dear diary\n", std::string("\x89PNG\r\n\x1a\n"), R"({"schema": "another.tool/1"})",
      R"({"schema": "espalier.search/2"})", R"({"name": "schema", "espalier.plan/1": 1})"};
  for (const Case& c : cases()) {
    for (const std::string& option : c.files) {
      for (const std::string& other : others) {
        write("other", other);
        fail(kUsage, with(c, option, "other"), {"other: exists and is not a"});
      }
      // A document of another command is no less dear.
      for (const char* document : {"profile.json", "plan.json", "model.onnx"}) {
        if (read(document).find("espalier.plan/1") != std::string::npos &&
            c.words.front() == "plan" && c.words.back() != "show") {
          continue;  // what plan make and plan import write
        }
        if (option == "--out" && (c.words.front() == "search" || c.words.front() == "analyze")) {
          continue;
        }
        if (option == "--json" && c.words.front() == "analyze") continue;
        if (option == "--export" && std::string(document) == "model.onnx") continue;
        write("other", read(document));
        fail(kUsage, with(c, option, "other"), {"other: exists and is not a"});
      }
    }
    for (const std::string& option : c.folders) {
      write("folder/diary", "dear diary\n");
      fail(kUsage, with(c, option, "folder"), {"folder: is not empty; name another folder"});
    }
  }
  // An estimate does not take the place of the profile that it estimates.
  const Arguments estimate{"analyze", "model.onnx", "--estimate", "--train",
                           "idx:train-images,train-labels"};
  fail(kUsage, estimate + Arguments{"--json", "profile.json"},
       {"profile.json: exists and is not a document of schema espalier.estimate/1"});
}

TEST_F(OutputsTest, WhatACommandWroteItReplaces) {
  for (const Case& c : cases()) {
    if (c.words.front() == "check" || c.words.front() == "analyze") continue;  // below, and slow
    for (const std::string& option : c.files) {
      write("mine", "");  // an empty file is nobody's
      succeed(with(c, option, "mine"));
      const std::string first = read("mine");
      EXPECT_FALSE(first.empty());
      succeed(with(c, option, "mine"));
      write("mine", "dear diary\n");
      succeed(with(c, option, "mine") + Arguments{"--force"});
      EXPECT_EQ(read("mine").substr(0, 20), first.substr(0, 20));
      fs::remove(path("mine"));
    }
  }
  const Arguments dump{"compile", "model.onnx", "--plan", "plan.json", "--dump-passes", "dump"};
  succeed(dump);
  succeed(dump);
  const Arguments estimate{
      "analyze", "model.onnx",   "--estimate", "--train", "idx:train-images,train-labels",
      "--json",  "estimate.json"};
  succeed(estimate);
  succeed(estimate);
  const Arguments show{"plan",       "show",        "plan.json", "--model",
                       "model.onnx", "--published", "--json",    "shown.json"};
  succeed(show);
  succeed(show);
}

TEST_F(OutputsTest, AnInputIsReplacedWhenForced) {
  succeed({"plan", "import", "model.onnx", "--published", "notation.json", "--out", "notation.json",
           "--force"});
  EXPECT_EQ(read_json("notation.json")["schema"], "espalier.plan/1");
}

TEST_F(OutputsTest, TwoOutputsInOnePlaceHoweverItIsSpelt) {
  const Arguments make{"plan", "make", "model.onnx", "--full", "--out", "a.json", "--json"};
  write("a.json", "");
  fs::create_symlink("a.json", path("link.json"));
  for (const std::string& other : {std::string("a.json"), std::string("./a.json"),
                                   path("a.json").string(), std::string("link.json")}) {
    fail(kUsage, make + Arguments{other}, {"is to hold two outputs; name another path"});
  }
  succeed({"plan", "make", "model.onnx", "--full", "--out", "a.json", "--json", "/dev/null"});
}

TEST_F(OutputsTest, AnAnalysisOfOtherOptionsIsKept) {
  const Arguments analyze{"analyze",  "model.onnx",
                          "--out",    "profile.json",
                          "--train",  "idx:train-images,train-labels",
                          "--layers", "6",
                          "--ratios", "1"};
  const std::string first = read("profile.json");
  succeed(analyze + Arguments{"--epochs", "1"});
  EXPECT_EQ(read("profile.json"), first);
  EXPECT_EQ(std::count_if(fs::directory_iterator(path(".")), fs::directory_iterator(),
                          [](const auto& entry) {
                            return entry.path().string().find("other-options") != std::string::npos;
                          }),
            0);
  // Nothing is lost when the new one has everything.
  const Arguments once{"--epochs", "1"};
  succeed(analyze + once + Arguments{"--seeds", "2"});
  EXPECT_NE(read("profile.json"), first);
  EXPECT_THAT(files(), Not(::testing::Contains(HasSubstr("other-options"))));
  succeed(analyze + once + Arguments{"--force"});
  const Finished other = succeed(analyze + Arguments{"--epochs", "2"});
  EXPECT_NE(read("profile.json"), first);
  const std::regex kept("it is kept as (profile.other-options-[0-9a-f]{8}.json)");
  std::smatch name;
  ASSERT_TRUE(std::regex_search(other.err, name, kept)) << other.err;
  EXPECT_EQ(read(name[1].str()), first);
  // Forced, it is gone.
  succeed(analyze + Arguments{"--epochs", "1", "--force"});
  EXPECT_EQ(read("profile.json"), first);
  EXPECT_THAT(files(), ::testing::Contains(name[1].str()));
  // What a sweep has rounded another way is no part of it.
  Json nearest = read_json("profile.json");
  nearest["rounding"] = "nearest";
  write("profile.json", nearest.dump());
  const Finished rounded = succeed(analyze + once);
  ASSERT_TRUE(std::regex_search(rounded.err, name, kept)) << rounded.err;
  EXPECT_EQ(read_json(name[1].str()), nearest);
  EXPECT_EQ(read("profile.json"), first);
}

TEST_F(OutputsTest, ASecondProcessSaysWhoHoldsTheOutput) {
  const Arguments analyze{"analyze", "model.onnx", "--train",  "idx:train-images,train-labels",
                          "--out",   "long.json",  "--epochs", "20000"};
  bool refused = false;
  RunOptions options;
  options.interrupt_when = [&] {
    if (!fs::exists(path("long.json.lock")) || read("long.json.lock").empty()) return false;
    std::string holder = read("long.json.lock");
    holder.pop_back();
    for (const char* spelling : {"long.json", "./long.json"}) {
      const Finished second = run({"plan", "make", "model.onnx", "--full", "--out", spelling});
      EXPECT_EQ(second.exit_code, kCannotWrite);
      EXPECT_THAT(second.err, HasSubstr("long.json: process " + holder + " is writing it"));
    }
    refused = true;
    return true;
  };
  EXPECT_EQ(run(analyze, options).exit_code, 130);
  EXPECT_TRUE(refused);
  EXPECT_FALSE(fs::exists(path("long.json.lock")));
}

TEST_F(OutputsTest, AnOutputThatFailsCostsNoOther) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
  fs::create_symlink("/dev/full", path("full"));
  for (const Case& c : cases()) {
    if (c.words.front() == "check" || c.words.front() == "inspect" ||
        c.words.front() == "devices") {
      continue;
    }
    if (c.words == Arguments{"plan", "show"}) continue;  // one output
    for (const std::string& failing : c.files) {
      Arguments command = with(c, failing, "full");
      if (c.words.front() == "analyze") {
        command = command + Arguments{"--epochs", "1", "--layers", "6", "--ratios", "1"};
      }
      std::vector<std::string> expected;
      for (const std::string& other : c.files) {
        if (other == failing) continue;
        const std::string file = "file" + other;
        command.erase(std::remove(command.begin(), command.end(), "new"), command.end());
        const auto at = std::find(command.begin(), command.end(), other);
        if (at != command.end()) {
          command.erase(at);
          std::erase(command, "new.json");
        }
        command = command + Arguments{other, file};
        expected.push_back(file);
      }
      const Finished finished = run(command);
      SCOPED_TRACE(::testing::PrintToString(command));
      EXPECT_EQ(finished.exit_code, kCannotWrite) << finished.err;
      EXPECT_THAT(finished.err, HasSubstr("full: cannot be written"));
      for (const std::string& file : expected) {
        EXPECT_TRUE(fs::exists(path(file))) << file;
        fs::remove(path(file));
      }
      fs::remove_all(path("full.trials"));
    }
  }
}

TEST_F(OutputsTest, AnInputThatIsStandardOutputIsRefused) {
  RunOptions options;
  options.stdout_path = path("plan.json");
  const Finished finished = run({"plan", "show", "plan.json", "--model", "model.onnx"}, options);
  EXPECT_EQ(finished.exit_code, kUsage);
  EXPECT_THAT(finished.err, HasSubstr("plan.json: is both an input and standard output"));
}

TEST_F(OutputsTest, AnOutputThatIsStandardOutputIsRefused) {
  fs::create_symlink("/proc/self/fd/1", path("out"));
  RunOptions options;
  options.stdout_path = path("log");
  for (const char* name : {"out", "log"}) {
    const Finished finished = run({"plan", "make", "model.onnx", "--full", "--out", name}, options);
    EXPECT_EQ(finished.exit_code, kUsage);
    EXPECT_THAT(finished.err, HasSubstr("is standard output, where other text goes; name another"));
  }
  EXPECT_TRUE(fs::is_symlink(path("out")));
}

TEST_F(OutputsTest, AFolderIsMadeWhereALinkLeads) {
  fs::create_directory_symlink("far/folder", path("link"));
  succeed({"compile", "model.onnx", "--plan", "plan.json", "--out", "link"});
  EXPECT_TRUE(fs::exists(path("far/folder/program.json")));
  EXPECT_TRUE(fs::is_symlink(path("link")));
}

TEST_F(OutputsTest, CommandsSayWhatTheyWroteAndWhatComesNext) {
  const Finished made = succeed({"plan", "make", "model.onnx", "--full", "--out", "a.json"});
  EXPECT_THAT(made.err, HasSubstr("espalier: wrote a.json\n"));
  EXPECT_THAT(made.err, HasSubstr("espalier: next: espalier train model.onnx --plan a.json"));
  const Finished trained =
      succeed({"train", "model.onnx", "--plan", "a.json", "--train", "folder:pictures", "--test",
               "folder:pictures", "--epochs", "1"});
  EXPECT_THAT(trained.err, HasSubstr("next: espalier compile model.onnx --plan a.json --classes 3 "
                                     "--head fresh --out FOLDER\n"));
  const Finished compiled = succeed({"compile", "model.onnx", "--plan", "a.json", "--target",
                                     "rv32imf", "--out", "d", "--json", "b.json"});
  EXPECT_THAT(compiled.err, HasSubstr("wrote d\n"));
  EXPECT_THAT(compiled.err, HasSubstr("wrote b.json\n"));
  EXPECT_THAT(compiled.err, HasSubstr("next: espalier check d\n"));
  std::filesystem::copy_file(path("model.onnx"), path("my model.onnx"));
  EXPECT_THAT(succeed({"plan", "make", "my model.onnx", "--full", "--out", "my plan.json"}).err,
              HasSubstr("espalier train 'my model.onnx' --plan 'my plan.json' --train"));
  EXPECT_THAT(succeed({"plan", "make", "model.onnx", "--full", "--out", "-"}).err,
              HasSubstr("espalier train model.onnx --plan PLAN --train"));
  const std::string idx = "idx:train-images,train-labels";
  const std::vector<std::pair<Arguments, std::string>> last{
      {{"inspect", "model.onnx"}, "espalier analyze model.onnx"},
      {{"evaluate", "model.onnx", "--test", idx}, "espalier analyze model.onnx"},
      {{"devices"}, "espalier fit"},
      {{"plan", "show", "a.json", "--model", "model.onnx"}, "espalier train model.onnx"},
      {{"analyze", "model.onnx", "--train", idx, "--estimate"}, "the same without --estimate"},
      {{"search", "profile.json", "--model", "model.onnx", "--budget", "1KiB"}, "again with --out"},
      {{"sweep", "sweep.json", "--out", "swept", "--dry-run"}, "the same without --dry-run"},
      {{"report", "a.json", "--out", "page.html"}, "open page.html in a browser"}};
  for (const auto& [command, says] : last) {
    EXPECT_THAT(succeed(command).err, HasSubstr("espalier: next: " + says)) << command.front();
  }
  const Finished quiet =
      succeed({"plan", "make", "model.onnx", "--full", "--out", "a.json", "--quiet"});
  EXPECT_EQ(quiet.err, "");
}

}  // namespace
}  // namespace espalier::testing
