// Wrong command lines, models, plans, profiles and outputs: each ends with its exit code and one
// clear diagnostic, and leaves every file as it was.
#include <filesystem>
#include <string>
#include <vector>

#include "import/onnx_builder.hpp"
#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::HasSubstr;

constexpr int kUsage = 2;
constexpr int kInfeasible = 3;
constexpr int kBadData = 65;
constexpr int kMissing = 66;
constexpr int kCannotWrite = 73;

const Arguments kOnIdx{"--train", "idx:train-images,train-labels"};

class BadInputTest : public Workspace {
 protected:
  BadInputTest() {
    make_model();
    make_idx("train", 60);
  }

  void inspect_fails(const std::string& name, const std::vector<std::string>& texts) const {
    fail(kBadData, {"inspect", name}, texts);
  }
  /// `train` of plan.json on the IDX data.
  [[nodiscard]] static Arguments train() {
    return Arguments{"train", "model.onnx", "--plan", "plan.json", "--epochs", "1"} + kOnIdx +
           Arguments{"--test", "idx:train-images,train-labels"};
  }
};

TEST_F(BadInputTest, CommandLine) {
  fail(kUsage, {}, {"a command is required: inspect, analyze, "});
  fail(kUsage, {"prune"}, {"unexpected 'prune'; see espalier --help"});
  fail(kUsage, {"plan", "prune"}, {"unexpected 'prune'; see espalier plan --help"});
  fail(kUsage, {"plan"}, {"see espalier plan --help"});
  fail(kUsage, {"inspect"}, {"model is required; see espalier inspect --help"});
  fail(kUsage, {"inspect", "--colour"}, {"unexpected '--colour'; see espalier inspect --help"});
  fail(kUsage, {"inspect", "model.onnx", "--json"}, {"--json"});
  fail(kUsage, {"inspect", "model.onnx", "other.onnx"}, {"other.onnx"});
  fail(kUsage, {"inspect", "model.onnx", "--jobs", "-1"}, {"--jobs"});
  fail(kUsage, {"inspect", "model.onnx", "--seed", "-1"}, {"--seed"});
  fail(kUsage, {"inspect", "model.onnx", "--seed", "x"}, {"--seed"});
  fail(kUsage, {"train", "model.onnx"}, {"--plan is required; see espalier train --help"});
}

TEST_F(BadInputTest, Models) {
  const std::string whole = read("model.onnx");
  for (const std::size_t part : {1U, 3U, 8U, 2U}) {
    write("cut.onnx", whole.substr(0, whole.size() * part / 9));
    inspect_fails("cut.onnx", {"cut.onnx: "});
  }
  std::string noise;
  for (int i = 0; i < 5000; ++i) noise += static_cast<char>(i * i * 31 + 7 * i);
  write("random.onnx", noise);
  inspect_fails("random.onnx", {"random.onnx: is not an ONNX model"});
  write("random.bin", noise);
  inspect_fails("random.bin", {"random.bin: is not a model format that Espalier knows"});
  write("empty.onnx", "");
  inspect_fails("empty.onnx", {"empty.onnx: the file is empty"});
  std::filesystem::create_directory(path("folder.onnx"));
  inspect_fails("folder.onnx", {"folder.onnx: is a directory"});
  fail(kMissing, {"inspect", "nowhere.onnx"}, {"nowhere.onnx: cannot be opened"});
}

TEST_F(BadInputTest, ADamagedModelInEveryCommand) {
  write("empty.onnx", "");
  const std::string text = "empty.onnx: the file is empty";
  fail(kBadData, {"plan", "make", "empty.onnx", "--full", "--out", "plan.json"}, {text});
  fail(kBadData, {"plan", "import", "empty.onnx", "--published", "{}", "--out", "p.json"}, {text});
  fail(kBadData, {"plan", "show", "plan.json", "--model", "empty.onnx"}, {text});
  fail(kBadData, Arguments{"analyze", "empty.onnx", "--out", "out.json"} + kOnIdx, {text});
  fail(kBadData, {"search", "p.json", "--model", "empty.onnx", "--budget", "1KiB"}, {text});
  Arguments training = train();
  training[1] = "empty.onnx";
  fail(kBadData, training, {text});
}

TEST_F(BadInputTest, AFloatModel) {
  OnnxBuilder b;
  b.constant<float>("w", {2, 3, 1, 1}, {1, 2, 3, 4, 5, 6});
  b.node("Conv", {b.input("input", {0, 3, 8, 8}), "w"}, "conv");
  b.node("GlobalAveragePool", {"conv"}, "pool");
  b.classifier("pool", 2, 2);
  write("float.onnx", b.bytes());
  inspect_fails("float.onnx", {"float.onnx: is a float model"});
}

TEST_F(BadInputTest, EveryUnsupportedOperatorIsNamed) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 3, 8, 8}), "input", 0.02F, 3);
  b.node("LRN", {x}, "norm");
  const std::string y = b.quantized("norm", "norm", 0.02F, 3);
  b.node("Hardmax", {y}, "most");
  b.node("GlobalAveragePool", {b.quantized("most", "most", 0.02F, 3)}, "pool");
  b.classifier(b.quantized("pool", "pool", 0.02F, 3), 3, 2);
  write("odd.onnx", b.bytes());
  inspect_fails("odd.onnx", {"'norm' (LRN): this operator is not supported",
                             "'most' (Hardmax): this operator is not supported"});
}

TEST_F(BadInputTest, PlanRules) {
  const Arguments make{"plan", "make", "model.onnx", "--out", "plan.json"};
  fail(kUsage, make, {"give one of --head-only"});
  fail(kUsage, make + Arguments{"--full", "--last", "2"}, {"give one of --head-only"});
  fail(kUsage, make + Arguments{"--bias", "8"}, {"cannot train the last 8 convs"});
  fail(kUsage, make + Arguments{"--last", "99"}, {"0 to 7"});
  fail(kUsage, make + Arguments{"--last", "-1"}, {"--last"});
}

TEST_F(BadInputTest, PublishedNotation) {
  const auto import_fails = [&](int code, const std::string& notation,
                                const std::vector<std::string>& texts) {
    fail(code, {"plan", "import", "model.onnx", "--published", notation, "--out", "plan.json"},
         texts);
  };
  import_fails(kBadData, "{\"n_bias_update\":\n  nine}", {"--published:2:"});
  import_fails(kBadData, "{}", {"'n_bias_update' must be present"});
  import_fails(kMissing, "nowhere.json", {"nowhere.json: cannot be opened"});
  import_fails(kBadData, R"({"n_bias_update":3,"manual_weight_idx":[7],"weight_update_ratio":[2]})",
               {"conv 7 does not exist", "2 is out of range"});
  import_fails(kBadData, R"({"n_bias_update":3,"manual_weight_idx":[2]})",
               {"raise 'n_bias_update' to at least 5"});
}

TEST_F(BadInputTest, Plans) {
  make_plan("plan.json", {"--last", "2"});
  make_model("other.onnx", 2);
  const Arguments show{"plan", "show", "plan.json", "--model"};
  fail(kBadData, show + Arguments{"other.onnx"}, {"plan.json: made for model 'model'"});
  fail(kMissing, {"plan", "show", "nowhere.json", "--model", "model.onnx"},
       {"nowhere.json: cannot be opened"});

  const Json good = read_json("plan.json");
  const auto with = [&](const auto& change, const std::vector<std::string>& texts) {
    Json plan = good;
    change(plan);
    write("plan.json", plan.dump());
    fail(kBadData, show + Arguments{"model.onnx"}, texts);
    fail(kBadData, train(), texts);
  };
  with([](Json& plan) { plan["weights"][1]["conv"] = 7; }, {"conv 7 does not exist"});
  with([](Json& plan) { plan["weights"][1]["ratio"] = 1.5; }, {"ratio 1.5 of conv 6"});
  with([](Json& plan) { plan["weights"][1]["channels"][19] = 20; }, {"channel 20 does not exist"});
  with([](Json& plan) { plan["bias_depth"] = 99; }, {"bias_depth 99 is out of range"});
  with([](Json& plan) { plan["bias_depth"] = "2"; }, {"'bias_depth' must be an integer"});
  with(
      [](Json& plan) {
        plan["weights"][0]["ratio"] = -1;
        plan["weights"][1]["conv"] = -1;
      },
      {"ratio -1 of conv 5", "conv -1 does not exist"});
  with([](Json& plan) { plan["schema"] = "espalier.plan/9"; }, {"schema is 'espalier.plan/9'"});
  write("plan.json", "{\n  \"schema\": \"espalier.plan/1\",\n  oops\n}\n");
  fail(kBadData, show + Arguments{"model.onnx"}, {"plan.json:3:3: not valid JSON"});
  write("plan.json", "");
  fail(kBadData, show + Arguments{"model.onnx"}, {"plan.json:1:1: not valid JSON"});
}

TEST_F(BadInputTest, Profiles) {
  make_profile();
  make_plan("plan.json", {"--head-only"});
  make_model("other.onnx", 2);
  const Arguments rest{"--budget", "1KiB", "--out", "found.json"};
  const auto search_fails = [&](int code, const std::string& profile, const std::string& text) {
    fail(code, Arguments{"search", profile, "--model", "model.onnx"} + rest, {text});
  };
  fail(kBadData, Arguments{"search", "profile.json", "--model", "other.onnx"} + rest,
       {"profile.json: measured on 'model'"});
  search_fails(kMissing, "nowhere.json", "nowhere.json: cannot be opened");
  search_fails(kBadData, "plan.json", "expected 'espalier.contributions/1'");
  const std::string text = read("profile.json");
  write("cut.json", text.substr(0, text.size() / 2));
  search_fails(kBadData, "cut.json", ": not valid JSON");
  Json profile = Json::parse(text);
  profile["trials"][3]["depth"] = 8;
  write("deep.json", profile.dump());
  search_fails(kBadData, "deep.json", "deep.json: trial 3: depth 8");
  profile.erase("trials");
  write("none.json", profile.dump());
  search_fails(kBadData, "none.json", "'trials' must be present");
}

TEST_F(BadInputTest, Budgets) {
  make_profile();
  const Arguments search{"search", "profile.json", "--model", "model.onnx", "--out", "found.json"};
  fail(kInfeasible, search + Arguments{"--budget", "39"}, {"training the head alone takes 40 B"});
  fail(kInfeasible, search + Arguments{"--budgets", "10,20"}, {"allow at least that"});
  fail(kInfeasible, search + Arguments{"--budget", "39", "--solver", "exact"}, {"40 B"});
  fail(kInfeasible, search + Arguments{"--budget", "1KiB", "--max-macs", "1"}, {"MACs"});
  fail(kUsage, search, {"give one of --budget, --budgets and --device"});
  fail(kUsage, search + Arguments{"--budget", "1KiB", "--budgets", "1KiB"}, {"give one of"});
  for (const std::string budget : {"lots", "100XB", "nan", "-5KiB", "1e99GiB"}) {
    fail(kUsage, search + Arguments{"--budget=" + budget},
         {"--budget: '" + budget + "' is not a size"});
  }
  fail(kUsage, search + Arguments{"--budgets", "1KiB,two"}, {"--budgets: 'two' is not a size"});
  fail(kUsage, search + Arguments{"--budget", "1KiB", "--solver", "guess"}, {"--solver"});
}

TEST_F(BadInputTest, AnalysisOptions) {
  const auto analyze_fails = [&](const Arguments& options, const std::vector<std::string>& texts) {
    fail(kUsage, Arguments{"analyze", "model.onnx", "--out", "out.json"} + kOnIdx + options, texts);
  };
  analyze_fails({"--layers", "7"}, {"--layers: conv 7 does not exist; 'model' has convs 0 to 6"});
  analyze_fails({"--layers", "5-8"}, {"conv 7", "conv 8"});
  fail(kUsage, Arguments{"analyze", "model.onnx", "--layers", "7", "--estimate"} + kOnIdx,
       {"--layers: conv 7"});
  analyze_fails({"--layers", "5,x"}, {"--layers '5,x' is not a list of integers"});
  analyze_fails({"--layers", "6-5"}, {"is not a list of integers"});
  for (const std::string ratio : {"0", "-0.5", "1.5", "1000000000", "nan"}) {
    analyze_fails({"--ratios=" + ratio}, {"--ratios: " + ratio + " is out of range"});
  }
  // Before any word of the time it would take, and before there is a store.
  const auto refuses_ratios = [&](const std::string& ratios, const std::string& text) {
    analyze_fails({"--ratios", ratios}, {text});
    fail(kUsage,
         Arguments{"analyze", "model.onnx", "--estimate"} + kOnIdx + Arguments{"--ratios", ratios},
         {text});
  };
  refuses_ratios("0.001,1", "ratio 0.001 trains no input channel");
  refuses_ratios("0.5,0.5", "ratio 0.5 must ascend");
  analyze_fails({"--epochs", "0", "--warmup", "0"}, {"--epochs 0 must lie in"});
  analyze_fails({"--batch", "0", "--lr", "nan"}, {"--batch 0", "--lr nan"});
  analyze_fails({"--seeds", "0"}, {"--seeds"});
  analyze_fails({"--seed", "9007199254740991", "--seeds", "2"}, {"the last of 2 seeds would be"});
  analyze_fails({"--limit-train", "-1"}, {"--limit-train"});
  analyze_fails({"--limit-train", "61"},
                {"limit 61, but only 59 records are there beside those set aside for validation"});
  analyze_fails({"--limit-val", "60"}, {"cannot be set aside for validation"});
  analyze_fails({"--cache-limit", "big"}, {"--cache-limit: 'big' is not a size"});
  analyze_fails({"--classes", "0,9"}, {"no class 9"});
  analyze_fails({"--preprocess", "sharpen"}, {"preprocess"});
  fail(kUsage, Arguments{"analyze", "model.onnx"} + kOnIdx, {"--out is required"});
}

TEST_F(BadInputTest, OutputsAreTriedBeforeTheWork) {
  make_profile();
  make_plan("plan.json", {"--head-only"});
  std::filesystem::create_directory(path("folder"));
  // None of these inputs exists: had one been read, the exit code would be another.
  const Arguments inputs{"--train", "idx:no,no"};
  for (const std::string out : {"nowhere/out.json", "folder"}) {
    const std::vector<std::string> text{out + ": cannot be written"};
    const Arguments analyze = Arguments{"analyze", "no.onnx"} + inputs;
    const Arguments train =
        Arguments{"train", "no.onnx", "--plan", "no", "--test", "idx:no,no"} + inputs;
    const Arguments search{"search", "no.json", "--model", "no.onnx", "--budget", "1KiB"};
    const Arguments make{"plan", "make", "no.onnx", "--full"};
    fail(kCannotWrite, {"inspect", "no.onnx", "--json", out}, text);
    fail(kCannotWrite, analyze + Arguments{"--out", out}, text);
    fail(kCannotWrite, analyze + Arguments{"--out", "a.json", "--json", out}, text);
    fail(kCannotWrite, train + Arguments{"--json", out}, text);
    fail(kCannotWrite, train + Arguments{"--export", out}, text);
    fail(kCannotWrite, search + Arguments{"--out", out}, text);
    fail(kCannotWrite, search + Arguments{"--json", out}, text);
    fail(kCannotWrite, make + Arguments{"--out", out}, text);
    fail(kCannotWrite, make + Arguments{"--out", "plan.json", "--json", out}, text);
    fail(kCannotWrite, {"plan", "import", "no.onnx", "--published", "{}", "--out", out}, text);
    fail(kCannotWrite, {"plan", "show", "no.json", "--model", "no.onnx", "--json", out}, text);
  }
}

TEST_F(BadInputTest, OneOutputForTwoThings) {
  fail(kUsage, {"plan", "make", "model.onnx", "--full", "--out", "a.json", "--json", "a.json"},
       {"a.json: is to hold two outputs"});
  fail(kUsage, {"plan", "make", "model.onnx", "--full", "--out", "-", "--json", "-"},
       {"standard output: is to hold two outputs"});
}

TEST_F(BadInputTest, DivergedTraining) {
  make_plan("plan.json", {"--full"});
  const Finished finished = run(train() + Arguments{"--lr", "1e30", "--batch", "16", "--json",
                                                    "result.json", "--export", "tuned.onnx"});
  EXPECT_EQ(finished.exit_code, kUsage);
  EXPECT_THAT(finished.err, HasSubstr("espalier: training diverged at step "));
  EXPECT_THAT(finished.err, HasSubstr("lower --lr (now 1e+30)"));
  const Json result = read_json("result.json");
  EXPECT_TRUE(result["diverged"]);
  EXPECT_TRUE(result["test_accuracy"].is_null());
  EXPECT_TRUE(result["test_loss"].is_null());
  EXPECT_TRUE(result["epochs"].is_array());
  EXPECT_FALSE(std::filesystem::exists(path("tuned.onnx")));

  // What was measured stays in the store; there is no profile.
  const Finished analysis =
      run(Arguments{"analyze", "model.onnx", "--out", "profile.json", "--quiet", "--lr", "1e38"} +
          kAnalyzeTiny);
  EXPECT_EQ(analysis.exit_code, kUsage);
  EXPECT_THAT(analysis.err, HasSubstr("training the head alone diverged"));
  EXPECT_FALSE(std::filesystem::exists(path("profile.json")));
}

}  // namespace
}  // namespace espalier::testing
