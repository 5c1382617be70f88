// How many classes a program is made for: what profile and plan say, told and never assumed in
// silence. The model has 4 classes, the data 3.
#include <string>
#include <vector>

#include "espalier/support/bytes.hpp"
#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kModelClasses = 4;
constexpr int kDataClasses = 3;

// A command that makes a head, and where its report says of how many classes.
struct Case {
  Arguments command;
  std::string document;  // that says how many
  std::vector<std::string> member;
  std::string printed;  // around the number, on standard output
};

class ClassCountTest : public Workspace {
 protected:
  ClassCountTest() {
    make_model();
    make_idx("train", 24, kDataClasses);
    make_profile();
    succeed({"search", "profile.json", "--model", "model.onnx", "--budget", "1KiB", "--out",
             "plan.json"});
  }

  static std::vector<Case> cases() {
    return {
        {{"search", "profile.json", "--model", "model.onnx", "--budget", "1MiB"},
         "profile.json",
         {"classes"},
         "SRAM for {} classes"},
        {{"search", "profile.json", "--model", "model.onnx", "--budget", "1MiB", "--memory",
          "planned"},
         "profile.json",
         {"classes"},
         "SRAM for {} classes"},
        {{"plan", "show", "plan.json", "--model", "model.onnx"},
         "plan.json",
         {"planned", "classes"},
         "on the device, {} classes"},
        {{"compile", "model.onnx", "--plan", "plan.json", "--emit-ir", "graph.txt"},
         "plan.json",
         {"classes"},
         "{} classes; SRAM"},
    };
  }

  // Expects `classes` in the report and on standard output. Returns standard error.
  std::string expect(const Case& c, const Arguments& more, int classes) {
    SCOPED_TRACE(::testing::PrintToString(c.command + more));
    Json value = report(c.command + more);
    if (const std::size_t names = value.value("class_names", Json::array()).size(); names > 0) {
      EXPECT_EQ(names, static_cast<std::size_t>(classes));
    }
    for (const std::string& name : c.member) value = Json(value.at(name));
    EXPECT_EQ(value, classes);
    const Finished finished = succeed(c.command + more);
    std::string printed = c.printed;
    printed.replace(printed.find("{}"), 2, std::to_string(classes));
    EXPECT_THAT(finished.out, HasSubstr(printed));
    return finished.err;
  }
};

TEST_F(ClassCountTest, PlansMadeByRuleSay) {
  const auto planned = [&](const std::string& plan) {
    return report({"plan", "show", plan, "--model", "model.onnx"})["planned"]["classes"];
  };
  make_plan("number.json", {"--last", "2", "--classes", "7"});
  EXPECT_EQ(planned("number.json"), 7);
  make_plan("names.json", {"--last", "2", "--classes", "cat,dog,a horse"});
  EXPECT_EQ(planned("names.json"), 3);
  EXPECT_EQ(read_json("names.json")["classes"], (Json{"cat", "dog", "a horse"}));
  succeed({"plan", "import", "model.onnx", "--published",
           R"({"n_bias_update": 1, "manual_weight_idx": [], "weight_update_ratio": []})",
           "--classes", "5", "--out", "imported.json"});
  EXPECT_EQ(planned("imported.json"), 5);
  // Numbers are data without names.
  make_plan("idx.json", {"--head-only", "--classes", std::to_string(kDataClasses)});
  const std::string data = "idx:train-images,train-labels";
  const Arguments train{"train", "model.onnx", "--train", data, "--test", data, "--epochs", "1"};
  succeed(train + Arguments{"--plan", "idx.json"});
  fail(65, train + Arguments{"--plan", "number.json"}, {"7 classes"});
  for (const char* wrong :
       {"0", "1", "40000", "99999999999999999999", "cat", "cat,,dog", "a,b,a"}) {
    fail(2, {"plan", "make", "model.onnx", "--head-only", "--classes", wrong, "--out", "no.json"},
         {"--classes " + std::string(wrong) + ": "});
  }
}

TEST_F(ClassCountTest, DocumentsSay) {
  for (const Case& c : cases()) {
    EXPECT_THAT(expect(c, {}, kDataClasses), Not(HasSubstr("--classes")));
    const std::string same = std::to_string(kDataClasses);
    EXPECT_THAT(expect(c, {"--classes", same}, kDataClasses), Not(HasSubstr("--classes")));
    EXPECT_THAT(expect(c, {"--classes", "10"}, 10),
                HasSubstr("--classes 10: " + c.document + " was made for data of 3 classes"));
  }
}

TEST_F(ClassCountTest, TheModelsOwnAreNotTakenInSilence) {
  Json profile = read_json("profile.json");
  profile["data"]["train"].erase("classes");
  profile["data"]["train"].erase("class_names");
  write("profile.json", profile.dump());
  Json plan = read_json("plan.json");
  ASSERT_EQ(plan["classes"].size(), kDataClasses);
  plan.erase("classes");
  write("plan.json", plan.dump());
  for (const Case& c : cases()) {
    EXPECT_THAT(expect(c, {}, kModelClasses),
                HasSubstr(c.document +
                          " does not say how many classes its data has: taken are the model's own "
                          "4; give --classes"));
    EXPECT_THAT(expect(c, {"--classes", "10"}, 10), Not(HasSubstr("--classes")));
  }
  // A classifier that is kept leaves no choice.
  const Arguments keep{"compile", "model.onnx", "--plan", "plan.json",
                       "--out",   "kept",       "--head", "keep"};
  EXPECT_THAT(succeed(keep).err, Not(HasSubstr("--classes")));
}

TEST_F(ClassCountTest, AProfileOfAnEarlierVersionHasNoNames) {
  Json profile = read_json("profile.json");
  profile["data"]["train"].erase("class_names");
  write("profile.json", profile.dump());
  succeed({"search", "profile.json", "--model", "model.onnx", "--budget", "1KiB", "--out",
           "plan.json"});
  EXPECT_EQ(read_json("plan.json")["classes"], Json({"0", "1", "2"}));
  for (const int wrong : {-1, 0, 32768, 2000000000}) {
    profile["data"]["train"]["classes"] = wrong;
    write("profile.json", profile.dump());
    EXPECT_THAT(expect(cases().front(), {}, kModelClasses), HasSubstr("does not say how many"));
  }
}

TEST_F(ClassCountTest, AHeadThatIsKeptMustFitThem) {
  fail(2, {"compile", "model.onnx", "--plan", "plan.json", "--out", "c", "--head", "keep"},
       {"--head keep: the model has 4 classes, plan.json says 3; use --head fresh"});
}

TEST_F(ClassCountTest, SearchShowsWhatTheCompiledProgramTakes) {
  for (const std::string memory : {"analytic", "planned"}) {
    const Arguments search{"search", "profile.json", "--model",    "model.onnx", "--memory",
                           memory,   "--budgets",    "40000,1MiB", "--out",      "found.json"};
    const Json found = report(search);
    const Json compiled = report({"compile", "model.onnx", "--plan", "found.json"});
    const Json shown = report({"plan", "show", "found.json", "--model", "model.onnx"});
    EXPECT_EQ(found["planned_bytes"], compiled["sram_bytes"]);
    EXPECT_EQ(found["planned_bytes"], shown["planned"]["planned_bytes"]);
    EXPECT_EQ(found["analytic_bytes"], shown["analytic_bytes"]);
    EXPECT_EQ(found["memory_bytes"], found[memory + "_bytes"]);
    EXPECT_EQ(read_json("found.json")["memory_bytes"],
              Json({{"analytic", found["analytic_bytes"]}, {"planned", found["planned_bytes"]}}));
    for (const Json& point : found["front"]) {
      EXPECT_EQ(point["plan"]["memory_bytes"]["planned"], point["planned_bytes"]);
    }
    const std::string table = succeed(search + Arguments{"--force"}).out;
    EXPECT_THAT(table, HasSubstr(" bounds " + memory + " memory"));
    for (const char* column : {"analytic_bytes", "planned_bytes"}) {
      EXPECT_THAT(table, HasSubstr(format_bytes(Bytes{found[column].get<std::int64_t>()})));
    }
  }
}

}  // namespace
}  // namespace espalier::testing
