// Exported models against the originals in ONNX Runtime, which knows nothing of this code.
// Needs node and the npm package onnxruntime-node (see tools/setup.sh); skipped without them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "channel_numbers.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/import/onnx_writer.hpp"
#include "espalier/support/file.hpp"
#include "espalier/support/rng.hpp"
#include "onnx_functions.hpp"
#include "sample_models.hpp"
#include "selection_steps.hpp"
#include "testing/forward.hpp"
#include "testing/npy.hpp"
#include "testing/random_graph.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

// The node_modules folder with onnxruntime-node; empty when there is none.
fs::path find_modules() {
  std::vector<fs::path> candidates;
  if (const char* given = std::getenv("ESPALIER_ORT_MODULES")) {
    candidates.emplace_back(given);
  }
  const std::string here = ESPALIER_ORT_MODULES_HERE;
  const std::size_t colon = here.find(':');
  candidates.emplace_back(here.substr(0, colon));
  candidates.emplace_back(here.substr(colon + 1));
  for (const fs::path& folder : candidates) {
    if (fs::exists(folder / "onnxruntime-node")) return folder;
  }
  return {};
}

std::string quoted(const fs::path& path) { return "'" + path.string() + "'"; }

class OnnxRuntime : public ::testing::Test {
 protected:
  void SetUp() override {
    modules_ = find_modules();
    if (modules_.empty()) {
      GTEST_SKIP() << "set ESPALIER_ORT_MODULES to a node_modules folder with onnxruntime-node";
    }
    if (std::system("node --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "node is not there";
    folder_ = fs::path(::testing::TempDir()) /
              ("espalier_ort_" +
               std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::create_directories(folder_);
  }
  void TearDown() override {
    if (!folder_.empty()) fs::remove_all(folder_);
  }

  // Output of a model for float images of `dims`.
  std::vector<float> run(const std::string& model, const std::vector<float>& images,
                         const std::vector<std::int64_t>& dims) {
    const fs::path model_file = folder_ / "model.onnx";
    const fs::path input = folder_ / "input.bin";
    const fs::path output = folder_ / "output.bin";
    EXPECT_TRUE(write_file_atomic(model_file, model).ok());
    EXPECT_TRUE(write_file_atomic(input, {reinterpret_cast<const char*>(images.data()),
                                          images.size() * sizeof(float)})
                    .ok());
    std::string command = "node " + quoted(ESPALIER_ORT_SCRIPT) + " " + quoted(modules_) + " " +
                          quoted(model_file) + " " + quoted(input) + " " + quoted(output);
    for (const std::int64_t d : dims) command += " " + std::to_string(d);
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    const Result<std::string> bytes = read_file(output);
    if (!bytes.ok()) {
      ADD_FAILURE() << bytes.error().message();
      return {};
    }
    std::vector<float> values(bytes->size() / sizeof(float));
    std::memcpy(values.data(), bytes->data(), values.size() * sizeof(float));
    return values;
  }

  // Original and exported model on the same images.
  void run_both(const std::string& original, const std::vector<float>& images,
                const std::vector<std::int64_t>& dims) {
    const Result<ir::Graph> graph = import_onnx_bytes(original, "original.onnx", "original");
    ASSERT_TRUE(graph.ok()) << graph.error().message();
    const Result<std::string> exported = export_onnx_bytes(*graph);
    ASSERT_TRUE(exported.ok()) << exported.error().message();
    original_ = run(original, images, dims);
    exported_ = run(*exported, images, dims);
    ASSERT_EQ(original_.size(), exported_.size());
  }

  fs::path modules_;
  fs::path folder_;
  std::vector<float> original_;
  std::vector<float> exported_;
};

std::size_t argmax(const float* first, std::size_t count) {
  return static_cast<std::size_t>(std::max_element(first, first + count) - first);
}

TEST_F(OnnxRuntime, PublishedModelOnGoldenImages) {
  ESPALIER_SHARED_DATA_OR_SKIP(path);
  const Result<std::string> original = read_file(path / "models" / "mcunet-5fps.onnx");
  ASSERT_TRUE(original.ok());
  const auto input =
      testing::read_npy<float>(path / "reference" / "golden_mcunet5fps_forward" / "input_q.npy");
  std::vector<float> images;
  for (const float q : input.values) images.push_back(q * (2.0F / 255));
  run_both(*original, images, input.shape);
  ASSERT_EQ(exported_.size(), 4U * 1000);
  // The original quantises its logits, scale 0.16980317; the exported head is float.
  constexpr float kLogitScale = 0.16980317F;
  for (std::size_t i = 0; i < exported_.size(); ++i) {
    ASSERT_NEAR(exported_[i], original_[i], kLogitScale * 0.501F) << i;
  }
  for (std::size_t n = 0; n < 4; ++n) {
    const std::size_t best = argmax(&exported_[n * 1000], 1000);
    const float highest = *std::max_element(&original_[n * 1000], &original_[n * 1000] + 1000);
    // The quantised logits may tie.
    EXPECT_EQ(original_[n * 1000 + best], highest) << "image " << n;
  }
}

TEST_F(OnnxRuntime, SmallModel) {
  std::vector<float> images;
  Rng rng{5};
  for (int i = 0; i < 3 * 72; ++i) images.push_back(static_cast<float>(rng.uniform(-2.5, 2.5)));
  run_both(testing::small_model().bytes(), images, {3, 2, 6, 6});
  for (std::size_t i = 0; i < exported_.size(); ++i) EXPECT_NEAR(exported_[i], original_[i], 1e-5);
}

// Tables of activation functions, on all 256 integers.
TEST_F(OnnxRuntime, FunctionsAreTabulatedAsTheyAreComputed) {
  std::vector<float> images;
  for (int i = 0; i < 15 * 18; ++i) {
    const int q = std::min(i, 255) - 128;
    images.push_back(static_cast<float>(q - testing::kInZero) * testing::kIn);
  }
  for (const testing::FunctionCase& function : testing::kFunctionCases) {
    SCOPED_TRACE(function.name);
    testing::OnnxBuilder b = testing::around(function.nodes, 2, 14);
    const Result<ir::Graph> graph = b.import();
    ASSERT_TRUE(graph.ok()) << graph.error().message();
    b.graph().mutable_output(0)->set_name("result_dq");
    b.graph().mutable_output(0)->mutable_type()->mutable_tensor_type()->clear_shape();
    const std::vector<float> outputs = run(b.bytes(), images, {15, 2, 3, 3});
    ASSERT_EQ(outputs.size(), images.size());
    const auto& table = std::get<ir::Lookup>(graph->ops[0].params);
    for (int i = 0; i < 256; ++i) {
      const int theirs =
          static_cast<int>(std::lround(outputs[static_cast<std::size_t>(i)] / testing::kOut)) +
          testing::kOutZero;
      EXPECT_EQ(table.output(static_cast<std::int8_t>(i - 128)), theirs) << i - 128;
    }
  }
}

// Numbers of each channel, on all 256 integers.
TEST_F(OnnxRuntime, NumbersOfEachChannelAreExact) {
  constexpr std::int64_t kChannels = testing::NumbersModel::kChannels;
  for (const testing::NumbersForm form : testing::kNumbersForms) {
    for (std::uint64_t seed = 100; seed < 103; ++seed) {
      SCOPED_TRACE(::testing::Message() << form << " " << seed);
      testing::NumbersModel model = testing::numbers_model(form, seed);
      const Result<ir::Graph> graph = model.builder.import();
      ASSERT_TRUE(graph.ok()) << graph.error().message();
      std::vector<float> images;
      for (int q = -128; q <= 127; ++q) {
        images.insert(images.end(), kChannels,
                      static_cast<float>(q - model.in.zero_point) * model.in.scale);
      }
      const std::vector<float> logits =
          run(export_onnx_bytes(*graph).value(), images, {256, kChannels, 1, 1});
      onnx::GraphProto& file = model.builder.graph();
      file.mutable_output(0)->set_name("result_dq");
      file.mutable_output(0)->mutable_type()->mutable_tensor_type()->clear_shape();
      const std::vector<float> theirs = run(model.builder.bytes(), images, {256, kChannels, 1, 1});
      ASSERT_EQ(theirs.size(), images.size());
      for (int q = -128; q <= 127; ++q) {
        const std::vector<std::vector<std::int8_t>> x{
            std::vector<std::int8_t>(kChannels, static_cast<std::int8_t>(q))};
        const auto ours = kernels::reference::forward(*graph, graph->ops[0], x).output;
        for (std::size_t c = 0; c < ours.size(); ++c) {
          EXPECT_EQ(theirs[static_cast<std::size_t>(q + 128) * kChannels + c],
                    static_cast<float>(ours[c] - model.out.zero_point) * model.out.scale)
              << q << " channel " << c;
        }
        const std::vector<double> scores = testing::head(*graph, ours);
        for (std::size_t i = 0; i < scores.size(); ++i) {
          EXPECT_NEAR(logits[static_cast<std::size_t>(q + 128) * scores.size() + i], scores[i],
                      1e-3)
              << q << ", exported";
        }
      }
    }
  }
}

// Channels taken apart, shuffled and joined: nothing is rounded.
TEST_F(OnnxRuntime, SelectionsAreExact) {
  using testing::kSelectionChannels;
  constexpr std::size_t kPixels = testing::kSelectionHeight * testing::kSelectionWidth;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    testing::OnnxBuilder b = testing::SelectionSteps(seed, 5).onnx(seed % 2 == 0 ? 11 : 13);
    const Result<ir::Graph> graph = b.import();
    ASSERT_TRUE(graph.ok()) << graph.error().message();
    b.graph().mutable_output(0)->set_name("result_dq");
    b.graph().mutable_output(0)->mutable_type()->mutable_tensor_type()->clear_shape();
    Rng rng{seed, 3};
    const auto x = testing::random_int8(rng, kPixels * kSelectionChannels);
    std::vector<float> image;
    for (std::size_t c = 0; c < kSelectionChannels; ++c) {
      for (std::size_t p = 0; p < kPixels; ++p) {
        image.push_back(
            static_cast<float>(x[p * kSelectionChannels + c] - testing::kSelectionZero) *
            testing::kSelectionScale);
      }
    }
    const std::vector<float> theirs =
        run(b.bytes(), image,
            {1, kSelectionChannels, testing::kSelectionHeight, testing::kSelectionWidth});
    const auto all = testing::forward(*graph, x);
    const auto& ours = all.tensors[static_cast<std::size_t>(graph->ops.back().inputs[0])];
    ASSERT_EQ(theirs.size(), ours.size());
    const std::size_t channels = ours.size() / kPixels;
    for (std::size_t i = 0; i < ours.size(); ++i) {
      EXPECT_EQ(theirs[i % channels * kPixels + i / channels],
                static_cast<float>(ours[i] - testing::kSelectionZero) * testing::kSelectionScale)
          << i;
    }
  }
}

// Every op of random networks, exported. Float convolutions may round a half otherwise.
TEST_F(OnnxRuntime, RandomNetworks) {
  constexpr int kNetworks = 40;
  int equal = 0;
  for (std::uint64_t seed = 0; seed < kNetworks; ++seed) {
    ir::Graph graph = testing::random_network(seed);
    for (ir::Op& op : graph.ops) {
      if (auto* pool = std::get_if<ir::AveragePool>(&op.params)) {
        pool->rounding = ir::HalfRounding::kToEven;
      }
    }
    const ir::Tensor& x = graph.tensor(graph.input);
    Rng rng{seed, 8};
    const auto input = testing::random_int8(rng, static_cast<std::size_t>(x.shape.elements()));
    std::vector<float> image;
    for (int c = 0; c < x.shape.channels; ++c) {
      for (std::int64_t p = 0; p < x.shape.pixels(); ++p) {
        const int q = input[static_cast<std::size_t>(p * x.shape.channels + c)];
        image.push_back(static_cast<float>(q - x.quantization.zero_point) * x.quantization.scale);
      }
    }
    const std::vector<float> theirs = run(export_onnx_bytes(graph).value(), image,
                                          {1, x.shape.channels, x.shape.height, x.shape.width});
    const std::vector<double> ours = testing::forward(graph, input).logits;
    ASSERT_EQ(theirs.size(), ours.size()) << seed;
    bool same = true;
    for (std::size_t i = 0; i < ours.size(); ++i) {
      same = same && std::abs(theirs[i] - ours[i]) < 1e-3 * (1 + std::abs(ours[i]));
    }
    equal += same ? 1 : 0;
  }
  EXPECT_GE(equal, kNetworks - 4);
}

// uint8, padding, groups, clips, pools and a fully connected layer, in front of the classifier.
class MixedModel : public OnnxRuntime {
 protected:
  void expect_same_products(testing::OnnxBuilder b, float tolerance) {
    const Result<ir::Graph> graph = b.import();
    ASSERT_TRUE(graph.ok()) << graph.error().message();
    const Result<std::string> exported = export_onnx_bytes(*graph);
    ASSERT_TRUE(exported.ok()) << exported.error().message();
    // The original quantises the product before it adds the bias; the exported head does not.
    b.graph().mutable_output(0)->set_name("m");
    float spread = 0;
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      SCOPED_TRACE(seed);
      Rng rng{6, seed};
      std::vector<float> images;
      for (int i = 0; i < 216; ++i) images.push_back(static_cast<float>(rng.uniform(-2.4, 2.7)));
      const std::vector<float> product = run(b.bytes(), images, {1, 3, 9, 8});
      const std::vector<float> logits = run(*exported, images, {1, 3, 9, 8});
      ASSERT_EQ(product.size(), 3U);
      ASSERT_EQ(logits.size(), 3U);
      for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_NEAR(logits[i] - graph->head.bias[i], product[i], tolerance) << i;
      }
      spread = std::max(spread, std::abs(product[0] - product[2]));
    }
    EXPECT_GT(spread, 1.0F) << "the model says nothing";
  }
};

// One unit of the features is 0.02 and the largest weight 1.6, so a single rounding shows.
TEST_F(MixedModel, IsTheSameWhenPoolsKeepTheirQuantisation) {
  testing::OnnxBuilder b = testing::mixed_model();
  for (onnx::TensorProto& t : *b.graph().mutable_initializer()) {
    if (t.name() == "average_scale") t = testing::make_tensor<float>(t.name(), {}, {0.04F});
    if (t.name() == "average_zp") t = testing::make_tensor<std::uint8_t>(t.name(), {}, {10});
  }
  expect_same_products(std::move(b), 0.0001F);
}

TEST_F(MixedModel, DiffersByOneMoreRoundingWhenAPoolChangesIt) {
  expect_same_products(testing::mixed_model(), 0.05F);
}

}  // namespace
}  // namespace espalier
