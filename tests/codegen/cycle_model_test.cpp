// Cycles of a step as the fitted models tell them, held against what was measured.
#include "espalier/codegen/cycle_model.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "espalier/compiler/compile.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/runtime/kernels.hpp"
#include "testing/embedded.hpp"

namespace espalier::codegen {
namespace {

using ::testing::HasSubstr;

Result<compiler::TrainingGraph> graph_of(const ir::Graph& graph, const plan::UpdatePlan& plan,
                                         compiler::Element gradient) {
  compiler::CompileOptions options;
  options.gradient = gradient;
  options.passes = *compiler::without(compiler::kAllPasses, "stream");
  return compiler::training_graph(graph, plan, options);
}

std::int64_t predicted(const CycleModel& model, const ir::Graph& graph,
                       const plan::UpdatePlan& plan,
                       compiler::Element gradient = compiler::Element::kFloat32) {
  const auto training = graph_of(graph, plan, gradient);
  EXPECT_TRUE(training.ok());
  const Result<std::int64_t> cycles = step_cycles(model, *training);
  EXPECT_TRUE(cycles.ok()) << cycles.error().message();
  return cycles.ok() ? *cycles : 0;
}

Json document_of(const CycleModel& model) {
  const std::filesystem::path profiles =
      testing::embedded_model().parent_path().parent_path().parent_path();
  return *read_json(profiles / "cycles" / (model.target + ".json"), kCyclesSchema);
}

TEST(CycleModel, KnowsHowManyPixelsTheKernelKeeps) {
  const std::vector<std::string> overlays{"blocked"};
  EXPECT_THAT(std::string(runtime::source_of("esp_weight_gradient_q.c", overlays)),
              HasSubstr(fmt::format("#define ESP_PIXELS {}\n", kPixelsKept)));
}

TEST(CycleModel, StatedErrorsHoldOfWhatWasMeasured) {
  ASSERT_FALSE(shipped_cycle_models().empty());
  for (const CycleModel& model : shipped_cycle_models()) {
    SCOPED_TRACE(model.target);
    const Json document = document_of(model);
    EXPECT_LT(model.error, 0.05);
    ASSERT_GE(document["steps"].size(), 3U);
    for (const Json& step : document["steps"]) {
      const double off = step["predicted"].get<double>() / step["measured"].get<double>() - 1;
      EXPECT_LE(std::abs(off), model.error + 1e-4) << step;
    }
    for (const auto& [form, row] : document["forms"].items()) {
      // Those of a kernel as a whole stand for windows that nobody measured.
      EXPECT_LT(row["error"].get<double>(), form.find(' ') == std::string::npos ? 0.4 : 0.25)
          << form;
    }
  }
}

// The steps of the embedded default that were measured: the tool that fits and the program that
// predicts agree on what a node has to do.
TEST(CycleModel, TellsTheCyclesOfTheEmbeddedDefault) {
  const ir::Graph graph = testing::embedded();
  int steps = 0;
  for (const CycleModel& model : shipped_cycle_models()) {
    SCOPED_TRACE(model.target);
    const Json document = document_of(model);
    for (const Json& step : document["steps"]) {
      const auto what = step["step"].get<std::string>();
      if (!what.starts_with("fmnist-mbv2, last 12, ")) continue;
      ++steps;
      const auto cycles = static_cast<double>(predicted(
          model, graph, *plan::last_k(graph, 12),
          what.ends_with("integer") ? compiler::Element::kInt8 : compiler::Element::kFloat32));
      EXPECT_NEAR(cycles / step["predicted"].get<double>(), 1, 1e-4) << what;
      EXPECT_NEAR(cycles / step["measured"].get<double>(), 1, model.error + 1e-4) << what;
    }
  }
  EXPECT_GT(steps, 0);
}

TEST(CycleModel, MoreTrainingTakesMoreCycles) {
  const ir::Graph graph = testing::embedded();
  const auto convs = static_cast<int>(ir::conv_ops(graph).size());
  for (const CycleModel& model : shipped_cycle_models()) {
    SCOPED_TRACE(model.target);
    std::int64_t before = 0;
    for (int depth = 0; depth <= convs; ++depth) {
      const plan::UpdatePlan biases = *plan::bias_only(graph, depth);
      const std::int64_t cycles = predicted(model, graph, biases);
      EXPECT_GT(cycles, before) << depth;
      before = cycles;
      if (depth == 0) continue;
      const auto with = [&](double ratio) {
        plan::UpdatePlan plan = biases;
        plan.weights.push_back(plan::make_weight_update(graph, convs - depth, ratio));
        return predicted(model, graph, plan);
      };
      EXPECT_GE(with(0.25), cycles) << depth;
      EXPECT_GE(with(0.5), with(0.25)) << depth;
      // Of all channels none are frozen, which saves merging them: fewer cycles than half may take.
      EXPECT_GE(with(1.0), cycles) << depth;
    }
  }
}

TEST(CycleModel, SaysWhatWasNotMeasured) {
  const ir::Graph graph = testing::embedded();
  CycleModel model = shipped_cycle_models().front();
  const auto training = graph_of(graph, plan::head_only(graph), compiler::Element::kFloat32);
  // A window that was not measured has its kernel's.
  ASSERT_EQ(model.forms.erase("esp_conv_forward 3x3/2"), 1U);
  EXPECT_TRUE(step_cycles(model, *training).ok());
  model.forms.erase("esp_conv_forward");
  const auto unknown = step_cycles(model, *training);
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(unknown.error().message(), HasSubstr("esp_conv_forward was never measured"));
  const auto target = find_cycle_model("cortex-m7");
  ASSERT_FALSE(target.ok());
  EXPECT_THAT(target.error().message(), HasSubstr(shipped_cycle_models().front().target));
}

TEST(CycleModel, ReadsWhatIsSound) {
  const Json sound{{"target", "t"}, {"error", 0.01}, {"forms", {{"f", {{"macs", 2.5}}}}}};
  const auto read = cycle_model_from_json(sound, "file");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->forms.at("f")[0], 2.5);
  EXPECT_EQ(read->forms.at("f")[7], 0);
  Json negative = sound;
  negative["forms"]["f"]["calls"] = -1;
  EXPECT_EQ(cycle_model_from_json(negative, "file").error().kind, ErrorKind::kBadInput);
  Json missing = sound;
  missing.erase("target");
  EXPECT_EQ(cycle_model_from_json(missing, "file").error().kind, ErrorKind::kBadInput);
}

}  // namespace
}  // namespace espalier::codegen
