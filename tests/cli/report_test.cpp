// espalier report, from the command line.
#include <filesystem>
#include <string>

#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class ReportTest : public Workspace {
 protected:
  ReportTest() {
    make_model();
    make_plan("plan.json", {"--last", "3"});
    succeed({"inspect", "model.onnx", "--json", "inspect.json"});
    succeed({"compile", "model.onnx", "--plan", "plan.json", "--json", "compile.json"});
  }
};

TEST_F(ReportTest, WhatCommandsWriteMakesAReport) {
  make_idx("train", 60);
  make_idx("test", 20);
  make_profile();
  succeed({"search", "profile.json", "--model", "model.onnx", "--budgets", "2KiB,4KiB", "--json",
           "search.json"});
  succeed({"train", "model.onnx", "--plan", "plan.json", "--train", "idx:train-images,train-labels",
           "--test", "idx:test-images,test-labels", "--epochs", "1", "--json", "result.json"});
  succeed({"report", ".", "--out", "out", "--title", "A <title>"});
  EXPECT_THAT(read("out/report.html"), HasSubstr("<h1>A &lt;title&gt;</h1>"));
  EXPECT_THAT(read("out/trials.csv"), StartsWith("document,model,"));
  const Json report = read_json("out/report.json");
  EXPECT_EQ(report["schema"], "espalier.report/1");
  EXPECT_EQ(report["sources"].size(), 6U);
  std::vector<std::string> sections;
  for (const Json& section : report["sections"]) sections.push_back(section["id"]);
  EXPECT_THAT(sections, ::testing::ElementsAre("comparison", "contributions", "network", "arena"));
  // Again, in place of the first; the same bytes, and its own output is no input.
  const std::string page = read("out/report.html");
  succeed({"report", ".", "--out", "out", "--title", "A <title>"});
  EXPECT_EQ(read("out/report.html"), page);
}

TEST_F(ReportTest, WritesAPageOrADocumentAlone) {
  succeed({"report", "plan.json", "inspect.json", "--out", "why.html"});
  EXPECT_THAT(read("why.html"), StartsWith("<!DOCTYPE html>"));
  succeed({"report", "plan.json", "inspect.json", "--out", "why.html"});
  const Json report = this->report({"report", "plan.json", "inspect.json"});
  EXPECT_EQ(report["sections"][1]["id"], "network");
}

TEST_F(ReportTest, AnEmptyPageIsTold) {
  const Finished finished = succeed({"report", "inspect.json", "--out", "empty.html"});
  EXPECT_THAT(finished.err, HasSubstr("nothing is shown of these documents alone"));
}

TEST_F(ReportTest, WhatIsKeptMakesThePageAgain) {
  succeed({"report", "plan.json", "inspect.json", "--out", "whole", "--title", "Mine"});
  const Finished kept = succeed(
      {"report", "plan.json", "inspect.json", "--out", "kept", "--title", "Mine", "--no-page"});
  EXPECT_THAT(kept.err, HasSubstr("next: espalier report kept/report.json --out report.html"));
  const Finished named = succeed({"report", "plan.json", "--json", "named.json"});
  EXPECT_THAT(named.err, HasSubstr("next: espalier report named.json --out report.html"));
  EXPECT_FALSE(std::filesystem::exists(path("kept/report.html")));
  for (const char* name : {"report.json", "trials.csv"}) {
    EXPECT_EQ(read("kept/" + std::string(name)), read("whole/" + std::string(name)));
  }
  succeed({"report", "kept/report.json", "--out", "again.html"});
  EXPECT_EQ(read("again.html"), read("whole/report.html"));
  fail(2, {"report", "kept/report.json", "--out", "folder"}, {"name a page such as report.html"});
  fail(2, {"report", "kept/report.json", "--out", "new.html", "--title", "x"},
       {"a report.json has its own"});
  fail(2, {"report", "plan.json", "--out", "new.html", "--no-page"},
       {"it is about the folder that --out names"});
}

TEST_F(ReportTest, BelievesNoFigureThatCannotBe) {
  make_idx("train", 40);
  const Arguments train{"train",    "model.onnx",
                        "--plan",   "plan.json",
                        "--train",  "idx:train-images,train-labels",
                        "--test",   "idx:train-images,train-labels",
                        "--epochs", "1",
                        "--json"};
  succeed(train + Arguments{"result.json"});
  Json result = read_json("result.json");
  result["collapsed"] = false;
  const auto refuses = [&](const char* key, const Json& value, const std::string& what) {
    Json edited = result;
    edited[Json::json_pointer(key)] = value;
    write("edited.json", edited.dump());
    fail(65, {"report", "edited.json", "--out", "why.html"}, {"edited.json: " + what});
  };
  refuses("/test_accuracy", 1.7, "'test_accuracy' must be in [0, 1]");
  refuses("/test_accuracy", -0.1, "'test_accuracy' must be in [0, 1]");
  refuses("/test_loss", -1, "'test_loss' is below 0");
  refuses("/plan/analytic_bytes", -5, "plan: 'analytic_bytes' is below 0");
  // Two results of one training: the first is shown, and that there are two is said.
  write("result.json", result.dump());
  Json other = result;
  other["test_accuracy"] = result["test_accuracy"] < 0.5 ? 0.75 : 0.25;
  write("other.json", other.dump());
  succeed({"report", "result.json", "other.json", "--out", "both", "--no-page"});
  EXPECT_THAT(read("both/report.json"), HasSubstr("from the same training; the first is shown"));
}

TEST_F(ReportTest, FailsWithoutChangingAnything) {
  write("broken.json", "{");
  write("other.json", R"({"schema": "espalier.estimate/1"})");
  write("page.html", "<p>mine</p>");
  fail(2, {"report", "plan.json"}, {"nothing to write"});
  fail(66, {"report", "none.json", "--out", "why.html"}, {"none.json: cannot be opened"});
  fail(65, {"report", "broken.json", "--out", "why.html"}, {"broken.json:1:2: not valid JSON"});
  fail(65, {"report", "other.json", "--out", "why.html"},
       {"nothing of schema 'espalier.estimate/1'", "no document that a report can show"});
  fail(2, {"report", "plan.json", "--out", "page.html"}, {"page.html"});
  fail(2, {"report", ".", "--out", "."}, {"--force"});
  fail(73, {"report", "plan.json", "--out", "none/why.html"}, {"none/why.html"});
}

}  // namespace
}  // namespace espalier::testing
