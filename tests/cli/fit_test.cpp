// What boards have room for, by one command.
#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class FitTest : public Workspace {
 protected:
  FitTest() {
    make_model();
    make_idx("train", 48);
    make_idx("test", 24);
    write("ample.json", device("ample", 262144));
    write("small.json", device("small", 2000));
    write("none.json", device("none", 100));
  }
  // Without a target: nothing is run on a machine.
  static std::string device(const std::string& name, int sram) {
    return R"({"schema": "espalier.device/1", "name": ")" + name + R"(", "isa": "xtensa",
      "sram_bytes": )" +
           std::to_string(sram) + R"(, "flash_bytes": 1000000, "clock_hz": 1000000})";
  }
  static Arguments fit(const std::string& devices) {
    return {"fit",       "model.onnx",
            "--train",   "idx:train-images,train-labels",
            "--test",    "idx:test-images,test-labels",
            "--device",  devices,
            "--out",     "fit",
            "--epochs",  "1",
            "--stack",   "512B",
            "--reserve", "256B",
            "--ratios",  "1"};
  }
};

TEST_F(FitTest, OneThatIsInterruptedAdvisesItsOwnOptions) {
  for (const std::string out : {"fit", "told"}) {
    Arguments command = fit("ample.json") + Arguments{"--batch", "8", "--jobs", "1"};
    *std::next(std::find(command.begin(), command.end(), "--epochs")) = "100";
    *std::next(std::find(command.begin(), command.end(), "--out")) = out;
    if (out == "told") command.emplace_back("--verbose");
    RunOptions options;
    options.interrupt_when = [&] {
      // A trial is done, and there is the lock.
      std::error_code ignored;
      const std::filesystem::directory_iterator files(path(out + "/contributions.json.trials"),
                                                      ignored);
      return !ignored && std::distance(files, {}) >= 2;
    };
    const Finished finished = run(command, options);
    EXPECT_EQ(finished.exit_code, 130);
    EXPECT_THAT(finished.err,
                HasSubstr("again to continue from " + out + "/contributions.json.trials\n"));
  }
}

TEST_F(FitTest, AVerboseOneLeavesStandardOutputToItsReport) {
  const Finished done = succeed(fit("ample.json") + Arguments{"--verbose", "--json", "-"});
  EXPECT_EQ(Json::parse(done.out)["schema"], "espalier.fit/1");
  EXPECT_THAT(done.err, HasSubstr("wrote fit/on-ample/plan.json"));
  EXPECT_THAT(succeed(fit("ample.json") + Arguments{"--verbose", "--force"}).out,
              HasSubstr("head only: "));
}

TEST_F(FitTest, FindsWhatEachBoardHasRoomFor) {
  const Finished done = succeed(fit("ample.json,small.json,none.json") + Arguments{"--json", "-"});
  const Json report = Json::parse(done.out);
  EXPECT_EQ(report["schema"], "espalier.fit/1");
  ASSERT_EQ(report["devices"].size(), 3U);
  const Json& ample = report["devices"][0];
  EXPECT_EQ(ample["device"], "ample");
  EXPECT_EQ(ample["budget_bytes"], 262144 - 512 - 256);
  EXPECT_TRUE(ample["failure"].is_null());
  EXPECT_LE(ample["sram_bytes"], ample["budget_bytes"]);
  EXPECT_EQ(ample["test_accuracy"], read_json("fit/on-ample/result.json")["test_accuracy"]);
  EXPECT_EQ(ample["test_balanced_accuracy"],
            read_json("fit/on-ample/result.json")["test_balanced_accuracy"]);
  EXPECT_EQ(ample["warnings"], read_json("fit/on-ample/result.json")["warnings"]);
  EXPECT_EQ(ample["bias_depth"], read_json("fit/on-ample/plan.json")["bias_depth"]);
  EXPECT_EQ(ample["sram_bytes"], read_json("fit/on-ample/c/program.json")["sram_bytes"]);
  EXPECT_EQ(report["class_names"], Json({"0", "1", "2", "3"}));
  // The model has as many classes, and what was measured began anew.
  EXPECT_EQ(read_json("fit/on-ample/compile.json")["head"], "fresh");
  EXPECT_TRUE(ample["milliseconds_per_step"].is_null());
  for (const int i : {1, 2}) {
    EXPECT_THAT(report["devices"][i]["failure"].get<std::string>(),
                HasSubstr(i == 1 ? "small: " : "none: 100 B of SRAM leave nothing"));
    EXPECT_TRUE(report["devices"][i]["sram_bytes"].is_null());
  }
  EXPECT_EQ(read_json("fit/fit.json"), report);
  // Again, over its own folder, also where it keeps an analysis of other options: the same.
  write("fit/contributions.other-options-0123abcd.json", read("fit/contributions.json"));
  EXPECT_EQ(
      report,
      Json::parse(succeed(fit("ample.json,small.json,none.json") + Arguments{"--json", "-"}).out));
}

// What a machine says of one board is no news about the others.
TEST_F(FitTest, ABoardThatCannotBeRunDoesNotEndTheOthers) {
  const auto core = [](const std::string& name, int flash, const std::string& more) {
    return R"({"schema": "espalier.device/1", "name": ")" + name + R"(", "isa": "rv32imf",
      "target": "rv32imf", "sram_bytes": 262144, "clock_hz": 1000000, "flash_bytes": )" +
           std::to_string(flash) + more + "}";
  };
  write("bare.json", core("bare", 1000000, ""));
  write("narrow.json",
        core("narrow", 12000, R"(, "sram_base": "0x20000000", "flash_base": "0x08000000")"));
  const Finished done = succeed(fit("bare.json,narrow.json,ample.json") + Arguments{"--json", "-"});
  const Json devices = Json::parse(done.out)["devices"];
  ASSERT_EQ(devices.size(), 3U);
  EXPECT_TRUE(devices[0]["failure"].is_null());
  EXPECT_TRUE(devices[0]["cycles_per_step"].is_null());
  EXPECT_THAT(devices[0]["warnings"].dump(), HasSubstr("not timed: "));
  EXPECT_THAT(devices[0]["warnings"].dump(), HasSubstr("sram_base"));
  EXPECT_THAT(devices[1]["failure"].get<std::string>(), HasSubstr("narrow"));
  EXPECT_TRUE(devices[1]["test_accuracy"].is_null());
  EXPECT_TRUE(devices[2]["failure"].is_null());
}

TEST_F(FitTest, TellsPeopleAndNothingElse) {
  const Finished done = succeed(fit("ample.json"));
  EXPECT_THAT(done.out, HasSubstr("ample: search within"));
  EXPECT_THAT(done.out, HasSubstr("classifier alone"));
  EXPECT_THAT(done.out, Not(HasSubstr("epoch ")));  // of the trainings inside
}

TEST_F(FitTest, NothingFits) {
  const Finished none = run(fit("none.json"));
  EXPECT_EQ(none.exit_code, 3);
  EXPECT_THAT(none.err, HasSubstr("none: 100 B of SRAM leave nothing beside 512 B of stack"));
  const Finished unknown = run(fit("nobody"));
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("device 'nobody' is not known"));
  write("fit/letters.txt", "mine");
  const Finished mine = run(fit("ample.json"));
  EXPECT_EQ(mine.exit_code, 2);
  EXPECT_EQ(read("fit/letters.txt"), "mine");
}

TEST_F(FitTest, SaysWhatIsDoubtful) {
  Arguments command = fit("ample.json");
  *std::find(command.begin(), command.end(), "idx:test-images,test-labels") =
      "idx:train-images,train-labels";
  EXPECT_THAT(succeed(command).out, HasSubstr("\nample: every sample of"));
}

// What the last of many steps would stumble over is said before the first.
TEST_F(FitTest, IsRefusedBeforeTheWork) {
  write("other.json", device("ample", 2000));
  const std::vector<std::pair<Arguments, std::string>> cases{
      {{"--stack", "some"}, "--stack: 'some' is not a size"},
      {{"--reserve", "some"}, "--reserve: 'some' is not a size"},
      {{"--epochs", "0"}, "--epochs 0"},
      {{"--no-qas"}, "the device always scales gradients"},
      {{"--no-qas", "--numerics", "device"}, "the device always scales gradients"},
      {{"--device", "ample.json,other.json"}, "ample.json and other.json are both named ample"}};
  for (const auto& [options, says] : cases) {
    Arguments command = fit("ample.json");
    const auto given = std::find(command.begin(), command.end(), options.front());
    if (given != command.end()) command.erase(given, given + 2);
    fail(2, command + options, {says});
  }
}

// What is no result of an earlier run is neither replaced nor removed.
TEST_F(FitTest, KeepsWhatIsNotItsOwn) {
  succeed(fit("ample.json"));
  const std::string c = "fit/on-ample/c/";
  std::map<std::string, std::string> emitted;
  for (const auto& entry : std::filesystem::directory_iterator(path(c))) {
    const std::string name = entry.path().filename().string();
    emitted[name] = read(c + name);
  }
  write(c + "main.c", "int main(void) { return 0; }\n");
  succeed(fit("ample.json"));
  EXPECT_EQ(read(c + "main.c"), "int main(void) { return 0; }\n");
  for (const auto& [name, text] : emitted) EXPECT_EQ(read(c + name), text) << name;
  for (const char* name : {"fit.json", "contributions.json", "head-only.result.json",
                           "on-ample/plan.json", "on-ample/result.json", "on-ample/compile.json"}) {
    const std::string file = std::string("fit/") + name;
    const std::string before = read(file);
    write(file, "{\"my\": \"notes\"}\n");
    fail(2, fit("ample.json"), {file + ": exists and is not a document of schema"});
    write(file, before);
  }
}

TEST_F(FitTest, ReadsTheTestDataBeforeTheWork) {
  Arguments command = fit("ample.json");
  *std::find(command.begin(), command.end(), "idx:test-images,test-labels") = "idx:none,none";
  fail(66, command, {"none"});
  fail(2, fit("ample.json") + Arguments{"--limit-test", "1000"}, {"limit 1000"});
}

// Sums of gradients over a batch take memory, too, which the search has to know of.
TEST_F(FitTest, PlansFitWithTheBatchTheyAreTrainedIn) {
  const auto sram_on = [&](const std::string& device, const std::string& batch) {
    const Json report = Json::parse(
        succeed(fit(device) + Arguments{"--numerics", "device", "--batch", batch, "--json", "-"})
            .out);
    return report["devices"][0]["sram_bytes"].get<int>();
  };
  const int alone = sram_on("ample.json", "1");
  write("tight.json", device("tight", alone + 512 + 256));
  EXPECT_LE(sram_on("tight.json", "4"), alone);
  EXPECT_EQ(read_json("fit/on-tight/c/program.json")["accumulate"], 4);
  // A board that has room no more does not keep what was made for it.
  write("tight.json", device("tight", 100));
  EXPECT_EQ(run(fit("tight.json")).exit_code, 3);
  EXPECT_FALSE(std::filesystem::exists(path("fit/on-tight/c")));
  EXPECT_FALSE(std::filesystem::exists(path("fit/on-tight/plan.json")));
}

TEST_F(FitTest, DeviceNumerics) {
  succeed(fit("ample.json") + Arguments{"--numerics", "device", "--batch", "2", "--lr", "0.5"});
  const Json program = read_json("fit/on-ample/c/program.json");
  EXPECT_EQ(program["accumulate"], 2);
  EXPECT_EQ(program["learning_rate"], 0.5);
  EXPECT_EQ(read_json("fit/on-ample/result.json")["numerics"], "device");
  EXPECT_EQ(read_json("fit/contributions.json")["numerics"], "device");
}

// As compile has it with the data, and no functions for pixels come with the preprocessing.
TEST_F(FitTest, IntegerGradientsStartFromTheDataHoweverItIsPreprocessed) {
  const std::string preprocess = "mean=0.5,std=0.5";
  succeed(fit("ample.json") +
          Arguments{"--numerics", "integer", "--batch", "2", "--preprocess", preprocess});
  EXPECT_THAT(read("fit/on-ample/c/model.h"), Not(HasSubstr("_rgb_row(")));
  succeed({"compile", "model.onnx", "--plan", "fit/on-ample/plan.json", "--head", "fresh",
           "--accumulate", "2", "--numerics", "integer", "--train", "idx:train-images,train-labels",
           "--out", "c", "--preprocess", preprocess});
  EXPECT_EQ(read_json("fit/on-ample/c/program.json")["recorded"],
            read_json("c/program.json")["recorded"]);
}

}  // namespace
}  // namespace espalier::testing
