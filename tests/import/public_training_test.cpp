// Networks of other people through the compiler: head only, the last three convolutions, and
// everything, trained a few steps in device numerics, and back into their file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

#include "espalier/compiler/compile.hpp"
#include "espalier/engine/engine.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/import/tflite_reader.hpp"
#include "espalier/import/tflite_writer.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/support/file.hpp"
#include "espalier/support/rng.hpp"
#include "testing/forward.hpp"
#include "testing/npy.hpp"
#include "testing/random_graph.hpp"
#include "testing/test_name.hpp"

namespace espalier {
namespace {

struct Trained {
  const char* file;
};

std::ostream& operator<<(std::ostream& out, const Trained& t) { return out << t.file; }

class PublicTraining : public ::testing::TestWithParam<Trained> {};

// The network after a few steps on one random sample of the class that it thinks of least. At one
// of the usual rates the loss has to fall.
ir::Graph train(const ir::Graph& graph, const plan::UpdatePlan& plan) {
  const Result<compiler::Program> program = compiler::compile(graph, plan, {});
  if (!program.ok()) throw std::runtime_error(program.error().message());
  Rng rng{5};
  const auto elements = static_cast<std::size_t>(graph.tensor(graph.input).shape.elements());
  const std::vector<std::int8_t> input = testing::random_int8(rng, elements);
  const std::vector<double> logits = testing::forward(graph, input).logits;
  const auto label =
      static_cast<int>(std::min_element(logits.begin(), logits.end()) - logits.begin());
  for (const float rate : {1e-2F, 1e-3F, 1e-4F}) {
    engine::Engine engine(*program, {});
    EXPECT_TRUE(engine.set_learning_rate(rate));
    std::vector<float> losses;
    for (int step = 0; step < 4; ++step) {
      std::copy(input.begin(), input.end(), engine.input());
      losses.push_back(engine.train_step(label));
      EXPECT_GE(losses.back(), 0);
    }
    if (losses.back() < losses.front()) return engine.tuned_graph();
  }
  ADD_FAILURE() << "the loss does not fall";
  return graph;
}

TEST_P(PublicTraining, EveryKindOfPlan) {
  ESPALIER_SHARED_DATA_OR_SKIP(path);
  const std::filesystem::path file = path / GetParam().file;
  const Result<ir::Graph> graph = import_model(file);
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  std::vector<plan::UpdatePlan> plans{plan::head_only(*graph)};
  const int convs = static_cast<int>(ir::conv_ops(*graph).size());
  plans.push_back(*plan::last_k(*graph, std::min(3, convs)));
  plans.push_back(plan::full(*graph));
  for (const plan::UpdatePlan& plan : plans) {
    SCOPED_TRACE(plan.bias_depth);
    const ir::Graph tuned = train(*graph, plan);
    EXPECT_TRUE(ir::verify(tuned).ok());
    if (file.extension() != ".tflite") continue;
    const Result<std::string> written = export_tflite_bytes(tuned, *read_file(file));
    ASSERT_TRUE(written.ok()) << written.error().message();
    const Result<ir::Graph> back = import_tflite_bytes(*written, "tuned", "tuned");
    ASSERT_TRUE(back.ok()) << back.error().message();
    for (const int op : ir::conv_ops(tuned)) {
      EXPECT_EQ(ir::conv(*back, op).weights, ir::conv(tuned, op).weights);
      EXPECT_EQ(ir::conv(*back, op).bias, ir::conv(tuned, op).bias);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, PublicTraining,
                         ::testing::Values(Trained{"models_public/kws_ref_model.tflite"},
                                           Trained{"models_public/aww.tflite"},
                                           Trained{"models_public/cnn_s.tflite"},
                                           Trained{"models_public/micro_speech.tflite"},
                                           Trained{"models_public/micro_kws_m.tflite"},
                                           Trained{"models_public/mobilenet_v2_0.35_128.tflite"},
                                           Trained{"models_public/miniresnet_64x50.tflite"},
                                           Trained{"models_public/vww_mobilenet_v1.onnx"},
                                           Trained{"models_public/kws_ref_model.onnx"},
                                           Trained{"models_public/micro_kws_m_qdq.onnx"},
                                           Trained{"models_public/micro_kws_m_qoperator.onnx"},
                                           Trained{"mlperf_tiny/pretrainedResnet_quant.tflite"}),
                         [](const auto& tested) { return testing::test_name(tested.param.file); });

}  // namespace
}  // namespace espalier
