#include "fuzz/corpus.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "data/array_files.hpp"
#include "data/data_files.hpp"
#include "espalier/contribution/profile.hpp"
#include "espalier/import/onnx_writer.hpp"
#include "espalier/plan/plan_json.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/support/json.hpp"
#include "fuzz/program.hpp"
#include "import/sample_models.hpp"
#include "import/tflite_builder.hpp"
#include "ir/small_graph.hpp"
#include "testing/random_graph.hpp"

namespace espalier {
namespace {

using fuzz::Corpus;
using fuzz::program_files;

std::string tflite_model() {
  testing::TfliteBuilder b;
  const int x = b.input({1, 6, 6, 1}, 1.0F, -128);
  const int c = b.activation("c", {1, 3, 3, 2}, 0.1F, -128);
  b.conv({x, b.weights("w", {2, 3, 3, 1}, std::vector<std::int8_t>(18, 5), {0.01F, 0.02F}),
          b.integers("b", {1, 2})},
         c, {tflite::Padding::SAME, 2, 2, tflite::Activation::RELU});
  const int max = b.like(c, "max", {1, 2, 2, 2});
  b.pool(tflite::BuiltinOperator::MAX_POOL_2D, c, max, 2, 2, {tflite::Padding::SAME, 2, 2});
  b.classifier(b.reshape(max, {1, 8}), 8, 3);
  return b.bytes();
}

}  // namespace

Corpus fuzz::corpus() {
  Corpus all;
  const ir::Graph graph = testing::graph_of_every_op();
  all["onnx"] = {testing::small_model().bytes(), testing::mixed_model().bytes(),
                 export_onnx_bytes(graph).value(),
                 export_onnx_bytes(testing::random_network(3)).value()};
  all["tflite"] = {tflite_model()};
  plan::UpdatePlan biases;
  biases.model = graph.name;
  biases.model_sha256 = graph.sha256;
  biases.bias_depth = 1;
  all["plan"] = {json_text(plan::to_json(biases)), json_text(plan::to_json(plan::full(graph)))};
  contribution::Profile profile;
  profile.model = graph.name;
  profile.seeds = {0};
  profile.ratios = {1};
  contribution::summarise(profile, 2);
  all["profile"] = {json_text(contribution::to_json(profile))};
  all["device"] = {R"({"schema": "espalier.device/1", "name": "small", "sram_bytes": 65536,)"
                   R"( "flash_bytes": 262144})"};
  all["program"] = {program_files().at("program.json")};
  const std::string images = testing::idx_file({1, 2, 2}, "abcd");
  all["idx"] = {images, testing::gzip(images)};
  const data::Image picture = testing::noise_image(9, 7, 3);
  all["image"] = {testing::png_file(picture), testing::png_file(testing::noise_image(4, 4, 1)),
                  testing::jpeg_file(picture, 80)};
  const std::string features = testing::npy<float>({0, 1, 2, 3, 4, 5}, {3, 2});
  const std::string labels = testing::npy<std::int64_t>({2, 0, 1}, {3});
  all["npy"] = {features, labels, testing::npy<std::int8_t>({1, 2, 3}, {3, 1}, 2)};
  for (const bool deflated : {false, true}) {
    all["npz"].push_back(testing::zip({{"x.npy", features}, {"y.npy", labels}}, deflated));
  }
  all["csv"] = {"a,b,label\n1,2,cat\n-3.5,4e2,dog\n", "1,2,0\n3,4,1\n",
                "\"x\",label\n0.5,\"a,b\"\n"};
  return all;
}

}  // namespace espalier
