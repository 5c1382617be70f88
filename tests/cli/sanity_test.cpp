// Results that mean nothing are told apart from those that do, and a model is evaluated as it is.
#include <fmt/format.h>

#include <string>
#include <vector>

#include "data/data_files.hpp"
#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class SanityTest : public Workspace {
 protected:
  SanityTest() {
    make_model();
    make_idx("train", 80);
    make_idx("test", 40);
    make_plan("plan.json", {"--last", "2"});
  }

  [[nodiscard]] static Arguments train(const std::string& training, const std::string& test,
                                       const Arguments& more = {}) {
    return Arguments{"train",  "model.onnx", "--plan",   "plan.json", "--train", training,
                     "--test", test,         "--epochs", "4",         "--batch", "8"} +
           more;
  }

  // The warnings of the report, which are also shown.
  std::vector<std::string> warnings(const Arguments& arguments) const {
    const Finished finished = succeed(arguments + Arguments{"--json", "report.json"});
    const auto list = read_json("report.json")["warnings"].get<std::vector<std::string>>();
    for (const std::string& warning : list) EXPECT_THAT(finished.err, HasSubstr(warning));
    return list;
  }

  // NAME-images and NAME-labels with so many pictures of each class.
  void make_uneven(const std::string& name, const std::vector<int>& counts) const {
    std::string images;
    std::string labels;
    std::uint32_t seed = 0;
    for (std::size_t c = 0; c < counts.size(); ++c) {
      for (int i = 0; i < counts[c]; ++i) {
        for (const std::uint8_t p : noise_image(12, 12, 1, ++seed).pixels) {
          images += static_cast<char>(p / 4 + 40 * static_cast<int>(c));
        }
        labels += static_cast<char>(c);
      }
    }
    const auto n = static_cast<std::uint32_t>(labels.size());
    write(name + "-images", idx_file({n, 12, 12}, images));
    write(name + "-labels", idx_file({n}, labels));
  }
};

const std::string kTrain = "idx:train-images,train-labels";
const std::string kTest = "idx:test-images,test-labels";

TEST_F(SanityTest, ASoundTrainingHasNoWarnings) {
  const Json report = this->report(train(kTrain, kTest, {"--lr", "1"}));
  EXPECT_THAT(report["warnings"], IsEmpty());
  EXPECT_GT(report["test_balanced_accuracy"].get<double>(), 0.5);
  ASSERT_EQ(report["test_classes"].size(), 4U);
  std::int64_t correct = 0;
  for (const Json& c : report["test_classes"]) {
    EXPECT_EQ(c["samples"], 10);
    correct += static_cast<std::int64_t>(c["accuracy"].get<double>() * 10 + 0.5);
  }
  EXPECT_DOUBLE_EQ(report["test_accuracy"].get<double>(), static_cast<double>(correct) / 40);
  EXPECT_THAT(succeed(train(kTrain, kTest)).out, HasSubstr("balanced"));
}

TEST_F(SanityTest, EachCauseIsNamed) {
  EXPECT_THAT(warnings(train(kTrain, kTrain)), Contains(HasSubstr("every sample of")));
  EXPECT_THAT(warnings(train(kTrain, kTest, {"--lr", "0"})), Contains(HasSubstr("no better than")));
  EXPECT_THAT(warnings(train(kTrain, kTest, {"--preprocess", "mean=127.5,std=127.5"})),
              Contains(HasSubstr("nearly the same")));
  EXPECT_THAT(warnings(train(kTrain, kTest, {"--classes", "2"})),
              Contains(HasSubstr("are of class '2'")));
  EXPECT_THAT(warnings(train(kTrain, kTest, {"--limit-train", "3"})),
              Contains(HasSubstr("3 samples are fewer than its 4 classes")));
  make_uneven("one", {0, 8, 8, 8});
  EXPECT_THAT(warnings(train("idx:one-images,one-labels", kTest)),
              Contains(HasSubstr("labels begin at 1")));
  make_uneven("most", {150, 3});
  make_uneven("many", {300, 6});
  EXPECT_THAT(warnings(train("idx:most-images,most-labels", "idx:many-images,many-labels",
                             {"--lr", "0.001"})),
              Contains(HasSubstr("of '0' (98.04 %)")));
  const Finished analysis =
      succeed({"analyze", "model.onnx", "--out", "p.json", "--train", kTrain, "--val", kTrain,
               "--epochs", "1", "--layers", "6", "--ratios", "1"});
  EXPECT_THAT(analysis.err, HasSubstr("every sample of"));
}

// Gains over a head that learned nothing mean nothing either.
TEST_F(SanityTest, AnalyzeJudgesTheHeadAlone) {
  const Arguments analyze{"analyze", "model.onnx", "--train",  kTrain, "--val",    kTest,
                          "--batch", "8",          "--layers", "6",    "--ratios", "1"};
  const Finished bad =
      succeed(analyze + Arguments{"--out", "bad.json", "--epochs", "1", "--lr", "0"});
  EXPECT_THAT(bad.err, HasSubstr("the head alone, which every gain is measured against: "));
  EXPECT_THAT(bad.err, HasSubstr("no better than"));
  EXPECT_THAT(read_json("bad.json")["warnings"],
              Contains(HasSubstr("the head alone, which every gain is measured against: ")));
  // Also when every training comes from the store.
  const Finished again =
      succeed(analyze + Arguments{"--out", "bad.json", "--epochs", "1", "--lr", "0", "--force"});
  EXPECT_THAT(again.err, HasSubstr("the head alone"));
  const Finished good =
      succeed(analyze + Arguments{"--out", "good.json", "--epochs", "4", "--lr", "1"});
  EXPECT_THAT(good.err, Not(HasSubstr("the head alone")));
  EXPECT_FALSE(read_json("good.json").contains("warnings"));
}

// Every command that trains, and what shows its results.
TEST_F(SanityTest, SweepsSearchesAndReportsSaySoToo) {
  write("sweep.json", R"({"schema": "espalier.sweep/1", "name": "one",
    "models": [{"name": "m", "file": "model.onnx"}],
    "datasets": [{"name": "d", "train": "idx:train-images,train-labels",
                  "test": "idx:train-images,train-labels"}],
    "training": {"seeds": [0, 1], "recipe": {"epochs": 1, "learning_rate": 1e-9}}})");
  const Finished swept = succeed({"sweep", "sweep.json", "--out", "swept"});
  EXPECT_THAT(swept.err,
              HasSubstr("m on d: every sample of idx:train-images,train-labels is also"));
  EXPECT_THAT(swept.err, HasSubstr("m on d, head-only, seed 0: "));
  EXPECT_THAT(swept.err, HasSubstr("m on d, head-only: 1 more trainings are as doubtful"));
  const Json result = read_json("swept/sweep.json")["results"][0];
  EXPECT_THAT(result["warnings"], Contains(HasSubstr("every sample of")));
  const Json& training = result["plans"][0]["trainings"][0];
  EXPECT_THAT(training["warnings"], Contains(HasSubstr("no better than")));
  EXPECT_EQ(training["test_class_accuracy"].size(), 4U);
  EXPECT_NEAR(training["test_balanced_accuracy"].get<double>(),
              training["test_accuracy"].get<double>(), 1e-9);

  succeed({"report", "swept", "--out", "page.html", "--json", "page.json"});
  EXPECT_THAT(read_json("page.json")["warnings"],
              Contains(HasSubstr("sweep.json, m on d, head-only, simulation, seed 1: ")));
  EXPECT_THAT(read("page.html"), HasSubstr("<p class=\"warning\">sweep.json: every sample of"));

  succeed({"analyze", "model.onnx", "--out", "p.json", "--train", kTrain, "--val", kTrain,
           "--epochs", "1", "--layers", "6", "--ratios", "1"});
  const Finished searched =
      succeed({"search", "p.json", "--model", "model.onnx", "--budget", "1KiB", "--measure", "1",
               "--train", kTrain, "--val", kTrain, "--race-seeds", "2", "--epochs", "1"});
  // A part of it is set aside for the race.
  EXPECT_THAT(searched.err, HasSubstr("part of what is measured is memory"));
}

TEST_F(SanityTest, EvaluateMeasuresATunedModel) {
  const Json trained = report(train(kTrain, kTest, {"--lr", "0.001", "--export", "tuned.onnx"}));
  // Weights of the simulation may leave int8; an exported model then is another one.
  ASSERT_EQ(trained["export"]["saturated_weights"], 0);
  const Json evaluated = report({"evaluate", "tuned.onnx", "--test", kTest});
  EXPECT_EQ(evaluated["schema"], "espalier.evaluate/1");
  EXPECT_EQ(evaluated["accuracy"], trained["test_accuracy"]);
  EXPECT_NEAR(evaluated["loss"].get<double>(), trained["test_loss"].get<double>(), 1e-4);
  EXPECT_EQ(evaluated["classes"], trained["test_classes"]);
  std::int64_t diagonal = 0;
  std::int64_t all = 0;
  for (std::size_t label = 0; label < 4; ++label) {
    for (std::size_t taken = 0; taken < 4; ++taken) {
      const auto n = evaluated["confusion"][label][taken].get<std::int64_t>();
      all += n;
      if (label == taken) diagonal += n;
    }
  }
  EXPECT_EQ(all, 40);
  EXPECT_DOUBLE_EQ(static_cast<double>(diagonal) / 40, evaluated["accuracy"].get<double>());
  const Finished text = succeed({"evaluate", "tuned.onnx", "--test", kTest, "--head", "keep"});
  EXPECT_THAT(text.out, HasSubstr("taken for"));
  EXPECT_THAT(text.out, HasSubstr("of 40 samples"));
}

TEST_F(SanityTest, EvaluateRefusesDataOfAnotherTask) {
  make_folder("pets", 2, 3);
  fail(65, {"evaluate", "model.onnx", "--test", "folder:pets"},
       {"the model tells 4 classes apart, folder:pets has 3 classes: class0, class1, class2"});
  make_folder("more", 2, 5);
  fail(65, {"evaluate", "model.onnx", "--test", "folder:more"}, {"has 5 classes"});
  // Data without names may lack the last ones.
  make_idx("few", 9, 3);
  const Json report =
      this->report({"evaluate", "model.onnx", "--test", "idx:few-images,few-labels"});
  EXPECT_EQ(report["classes"].size(), 4U);
  EXPECT_TRUE(report["classes"][3]["accuracy"].is_null());
}

TEST_F(SanityTest, ALimitReadsChosenPicturesAlone) {
  make_folder("pets", 3, 2);
  const std::string good = read("pets/class0/0.png");
  write("pets/damaged/0.png", good.substr(0, good.size() / 2));
  fail(65, train("folder:pets", "folder:pets"), {"damaged/0.png: cannot be decoded"});
  succeed(
      train("folder:pets", "folder:pets", {"--classes", "class0,class1", "--limit-train", "4"}));
}

}  // namespace
}  // namespace espalier::testing
