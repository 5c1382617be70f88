// Networks of other people from the file to the tuned file and to C, on data of their own task.
#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "espalier/import/importer.hpp"
#include "espalier/support/file.hpp"
#include "testing/npy.hpp"
#include "tflite/schema_generated.h"
#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::HasSubstr;

// Bytes of a buffer that the file holds; empty where it holds none.
std::string bytes_of(const tflite::Model& model, std::uint32_t buffer) {
  const auto* data = model.buffers()->Get(buffer)->data();
  return data == nullptr ? std::string() : std::string(data->begin(), data->end());
}

// Name and bytes of each entry of metadata, which the schema here does not have: field 6 of a
// model, of tables with a name and the number of a buffer.
std::vector<std::pair<std::string, std::string>> metadata_of(const tflite::Model& model) {
  constexpr flatbuffers::voffset_t kMetadata = 16;
  constexpr flatbuffers::voffset_t kName = 4;
  constexpr flatbuffers::voffset_t kBuffer = 6;
  using Entries = flatbuffers::Vector<flatbuffers::Offset<flatbuffers::Table>>;
  const auto& table = reinterpret_cast<const flatbuffers::Table&>(model);
  std::vector<std::pair<std::string, std::string>> all;
  const auto* entries = table.GetPointer<const Entries*>(kMetadata);
  for (flatbuffers::uoffset_t i = 0; entries != nullptr && i < entries->size(); ++i) {
    const flatbuffers::Table& entry = *entries->Get(i);
    all.emplace_back(entry.GetPointer<const flatbuffers::String*>(kName)->str(),
                     bytes_of(model, entry.GetField<std::uint32_t>(kBuffer, 0)));
  }
  return all;
}

// A tuned file runs where the original ran: the same operators on the same tensors, the
// quantisation of everything but the head's parameters and scores, and the same metadata.
void expect_same_program(const std::string& original, const std::string& tuned) {
  const tflite::Model& a = *tflite::GetModel(original.data());
  const tflite::Model& b = *tflite::GetModel(tuned.data());
  ASSERT_EQ(a.operator_codes()->size(), b.operator_codes()->size());
  for (flatbuffers::uoffset_t i = 0; i < a.operator_codes()->size(); ++i) {
    EXPECT_EQ(a.operator_codes()->Get(i)->code(), b.operator_codes()->Get(i)->code());
    EXPECT_EQ(a.operator_codes()->Get(i)->version(), b.operator_codes()->Get(i)->version());
  }
  const tflite::SubGraph& x = *a.subgraphs()->Get(0);
  const tflite::SubGraph& y = *b.subgraphs()->Get(0);
  const auto list = [](const flatbuffers::Vector<std::int32_t>* v) {
    return std::vector<int>(v->begin(), v->end());
  };
  ASSERT_EQ(x.operators()->size(), y.operators()->size());
  for (flatbuffers::uoffset_t i = 0; i < x.operators()->size(); ++i) {
    const tflite::Operator& p = *x.operators()->Get(i);
    const tflite::Operator& q = *y.operators()->Get(i);
    EXPECT_EQ(p.opcode_index(), q.opcode_index());
    EXPECT_EQ(p.options_type(), q.options_type());
    EXPECT_EQ(list(p.inputs()), list(q.inputs()));
    EXPECT_EQ(list(p.outputs()), list(q.outputs()));
  }
  ASSERT_EQ(x.tensors()->size(), y.tensors()->size());
  int activations = 0;
  for (flatbuffers::uoffset_t i = 0; i < x.tensors()->size(); ++i) {
    const tflite::Tensor& p = *x.tensors()->Get(i);
    const tflite::Tensor& q = *y.tensors()->Get(i);
    EXPECT_EQ(p.name()->str(), q.name()->str());
    EXPECT_EQ(p.type(), q.type());
    EXPECT_EQ(list(p.shape()), list(q.shape()));
    if (!bytes_of(a, p.buffer()).empty() || p.quantization() == nullptr ||
        p.quantization()->scale() == nullptr) {
      continue;
    }
    ++activations;
    const bool same = p.quantization()->scale()->Get(0) == q.quantization()->scale()->Get(0);
    // Scores that would clip have a wider scale.
    EXPECT_TRUE(same || list(p.shape()).back() ==
                            list(x.tensors()->Get(x.outputs()->Get(0))->shape()).back())
        << p.name()->str();
  }
  EXPECT_GT(activations, 5);
  EXPECT_EQ(metadata_of(a), metadata_of(b));
}

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
    expect_same_program(*read_file(model), *read_file(path("tuned.tflite")));
    // What it wrote it may write again: only the data stops it.
    fail(2,
         {"train", model, "--plan", "plan.json", "--train", "none", "--test", data, "--export",
          "tuned.tflite"},
         {"dataset 'none'"});
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
             {"--layers", "7,8", "--epochs", "2", "--lr", "1"});
}

}  // namespace
}  // namespace espalier::testing
