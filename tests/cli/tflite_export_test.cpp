// train --export FILE.tflite: what the file holds of a classifier that was trained for other data.
#include <algorithm>
#include <string>
#include <vector>

#include "espalier/support/file.hpp"
#include "import/tflite_builder.hpp"
#include "workspace.hpp"

namespace espalier::testing {
namespace {

// Four features, a hidden layer of eight, three classes whose logits have this scale.
std::string network(float scale, const std::vector<std::int32_t>& input = {1, 4}) {
  TfliteBuilder b;
  std::vector<std::int8_t> w;
  for (int i = 0; i < 32; ++i) w.push_back(static_cast<std::int8_t>(i * 37 % 201 - 100));
  const int hidden = b.activation("hidden", {1, 8}, 0.05F, 0);
  b.dense({b.input(input, 0.02F, 0), b.weights("w", {8, 4}, w, {0.01F}),
           b.integers("b", std::vector<std::int32_t>(8, 0))},
          hidden);
  b.classifier(hidden, 8, 3);
  for (const auto& t : b.graph().tensors) {
    if (t->name == "logits") t->quantization->scale = {scale};
  }
  return b.bytes();
}

float logit_scale(const std::string& file) {
  for (const auto* t : *tflite::GetModel(file.data())->subgraphs()->Get(0)->tensors()) {
    if (t->name()->str() == "logits") return t->quantization()->scale()->Get(0);
  }
  return 0;
}

class TfliteExport : public Workspace {
 protected:
  TfliteExport() {
    std::string rows = "a,b,c,d,label\n";
    for (int i = 0; i < 60; ++i) {
      const int label = i % 3;
      for (int f = 0; f < 4; ++f) rows += f == label ? "2," : "-0." + std::to_string(i % 10) + ",";
      rows += std::to_string(label) + "\n";
    }
    write("data.csv", rows);
  }

  // Scale of the logits in the file that a training of the classifier alone exports.
  float exported(float scale) {
    write("model.tflite", network(scale));
    succeed({"plan", "make", "model.tflite", "--head-only", "--force", "--out", "plan.json"});
    train("tuned.tflite");
    return logit_scale(read("tuned.tflite"));
  }

  Finished train(const std::string& file) const {
    return succeed({"train", "model.tflite", "--plan", "plan.json", "--train", "csv:data.csv",
                    "--test", "csv:data.csv", "--epochs", "4", "--batch", "16", "--export", file,
                    "--force"});
  }
};

// The logits of whatever the file was made for lie within +-0.13, those of the trained classifier
// do not; in steps of 10 they would all be 0.
TEST_F(TfliteExport, LogitsHaveTheRangeOfTheTrainedClassifier) {
  const float fitted = exported(0.001F);
  EXPECT_GT(fitted, 0.002F);
  EXPECT_LT(fitted, 1.0F);
  EXPECT_EQ(exported(10.0F), fitted);
}

// An empty archive is the shortest: its end.
TEST_F(TfliteExport, SaysThatPackedLabelsStay) {
  for (const bool packed : {false, true}) {
    const std::string archive = packed ? "PK\x05\x06" + std::string(18, '\0') : "";
    write("model.tflite", network(0.1F) + archive);
    succeed({"plan", "make", "model.tflite", "--head-only", "--force", "--out", "plan.json"});
    EXPECT_EQ(train("tuned.tflite").err.find("still those of model.tflite") != std::string::npos,
              packed);
    EXPECT_TRUE(read("tuned.tflite").ends_with(archive));
  }
}

// An ONNX export has channels first, and a row of a CSV file no axes that would tell it from one in
// the order of the model's file.
TEST_F(TfliteExport, ToOnnxWarnsWhereFlatSamplesLieInAnotherOrder) {
  const auto told = ::testing::HasSubstr("tuned.onnx reads channels first: flat samples");
  exported(0.02F);
  EXPECT_THAT(train("tuned.onnx").err, ::testing::Not(told));
  write("model.tflite", network(0.02F, {1, 2, 2}));
  succeed({"plan", "make", "model.tflite", "--head-only", "--force", "--out", "plan.json"});
  EXPECT_THAT(train("tuned.onnx").err, told);
  EXPECT_THAT(train("tuned.tflite").err, ::testing::Not(::testing::HasSubstr("channels first")));
}

}  // namespace
}  // namespace espalier::testing
