// Networks of other people from the file to the tuned file and to C, on data of their own task.
#include <fmt/format.h>

#include <filesystem>
#include <string>

#include "espalier/import/importer.hpp"
#include "testing/npy.hpp"
#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::HasSubstr;

class PublicModels : public Workspace {
 protected:
  // Measures some convs, finds a plan, trains it by the recipe that it carries, and brings it back
  // into its file and to C; import_core checks such C. `data` trains and tests.
  void end_to_end(const std::string& model, const std::string& data, const std::string& budget,
                  const Arguments& analysis) {
    succeed(Arguments{"analyze", model, "--train", data, "--limit-train", "200", "--limit-val",
                      "80", "--batch", "16", "--ratios", "0.5,1", "--out", "profile.json"} +
            analysis);
    succeed({"search", "profile.json", "--model", model, "--budget", budget, "--out", "plan.json"});
    EXPECT_GT(read_json("plan.json")["bias_depth"].get<int>(), 0);
    const Arguments train{"train",  model, "--plan",        "plan.json", "--train",      data,
                          "--test", data,  "--limit-train", "400",       "--limit-test", "200"};
    const Json trained = report(train + Arguments{"--export", "tuned.tflite"});
    EXPECT_EQ(report(train + Arguments{"--export", "tuned.onnx"})["test_accuracy"],
              trained["test_accuracy"]);
    // The file's head is int8 again: a few of 200 samples may be taken for another class.
    const Json back = report({"evaluate", "tuned.tflite", "--test", data, "--limit-test", "200"});
    EXPECT_NEAR(back["accuracy"].get<double>(), trained["test_accuracy"].get<double>(), 0.02);
    succeed({"compile", model, "--plan", "plan.json", "--out", "c"});
    EXPECT_EQ(read_json("c/program.json")["schema"], "espalier.program/1");
  }
};

TEST_F(PublicModels, KeywordSpottingFromFeatures) {
  ESPALIER_SHARED_DATA_OR_SKIP(shared);
  const std::string model = (shared / "models_public" / "kws_ref_model.tflite").string();
  const std::string data = fmt::format("npy:{},{}", (shared / "kws" / "features.npy").string(),
                                       (shared / "kws" / "labels.npy").string());
  const Json original = report({"evaluate", model, "--test", data});
  EXPECT_NEAR(original["accuracy"].get<double>(), 0.902, 0.002);
  end_to_end(model, data, "8KiB", {"--layers", "7,8", "--epochs", "3", "--lr", "1"});
}

// The same features for a file that quantises its float input otherwise: their scale and zero point
// are those of the TFLite file.
TEST_F(PublicModels, FeaturesInAnotherQuantisation) {
  ESPALIER_SHARED_DATA_OR_SKIP(shared);
  const std::string model = (shared / "models_public" / "kws_ref_model.onnx").string();
  const Arguments evaluate{"evaluate", model, "--test",
                           fmt::format("npy:{},{}", (shared / "kws" / "features.npy").string(),
                                       (shared / "kws" / "labels.npy").string())};
  const Finished wrong = succeed(evaluate);
  EXPECT_THAT(wrong.err, HasSubstr("of scale 0.9765625 and zero point 3; if they carry another "
                                   "quantisation, say so with --preprocess "
                                   "quantized=SCALE:ZERO_POINT"));
  const Json right = report(evaluate + Arguments{"--preprocess", "quantized=0.5847029:83"});
  EXPECT_GT(right["accuracy"].get<double>(), 0.85);
}

TEST_F(PublicModels, Resnet8OnCifar10) {
  ESPALIER_SHARED_DATA_OR_SKIP(shared);
  end_to_end((shared / "mlperf_tiny" / "pretrainedResnet_quant.tflite").string(),
             "cifar10:" + (shared / "cifar10" / "test_2k.bin").string(), "32KiB",
             {"--layers", "6-8", "--epochs", "3", "--lr", "1"});
}

}  // namespace
}  // namespace espalier::testing
