// Channels taken apart, shuffled and joined, in both formats.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "equivalent.hpp"
#include "espalier/import/onnx_writer.hpp"
#include "selection_steps.hpp"
#include "testing/forward.hpp"
#include "testing/random_graph.hpp"

namespace espalier {
namespace {

using testing::BuiltinOperator;
using testing::Dims;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::OnnxBuilder;
using testing::SelectionSteps;
using testing::set_attribute;
using testing::TfliteBuilder;

std::vector<std::string> kinds(const ir::Graph& graph) {
  std::vector<std::string> names;
  for (const ir::Op& op : graph.ops) names.emplace_back(ir::mnemonic(op.params));
  return names;
}

const ir::Op* writer(const ir::Graph& graph, ir::TensorId id) {
  for (const ir::Op& op : graph.ops) {
    if (op.output == id) return &op;
  }
  return nullptr;
}

// What the mean at the end reads is the input's channels, moved; no selection is of another one or
// of nothing but all channels in order.
void expect_moved(const Result<ir::Graph>& graph, const std::vector<int>& channels) {
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  for (const ir::Op& op : graph->ops) {
    const auto* select = std::get_if<ir::Select>(&op.params);
    if (select == nullptr) continue;
    const ir::Op* before = writer(*graph, op.inputs[0]);
    EXPECT_TRUE(before == nullptr || !std::holds_alternative<ir::Select>(before->params));
    EXPECT_FALSE(static_cast<int>(select->channels.size()) ==
                     graph->tensor(op.inputs[0]).shape.channels &&
                 std::is_sorted(select->channels.begin(), select->channels.end()));
  }
  Rng rng{1};
  const ir::Shape shape = graph->tensor(graph->input).shape;
  const auto x = testing::random_int8(rng, static_cast<std::size_t>(shape.elements()));
  const auto all = testing::forward(*graph, x);
  const std::vector<std::int8_t>& y =
      all.tensors[static_cast<std::size_t>(graph->ops.back().inputs[0])];
  const std::size_t count = channels.size();
  ASSERT_EQ(y.size(), static_cast<std::size_t>(shape.pixels()) * count);
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::size_t from =
        i / count * testing::kSelectionChannels + static_cast<std::size_t>(channels[i % count]);
    ASSERT_EQ(y[i], x[from]) << i;
  }
}

TEST(Selection, OfRandomStepsInBothFormats) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    const SelectionSteps steps(seed, 1 + static_cast<int>(seed % 6));
    for (const std::int64_t opset : {11, 13}) {
      ASSERT_NO_FATAL_FAILURE(expect_moved(steps.onnx(opset).import(), steps.channels));
    }
    ASSERT_NO_FATAL_FAILURE(expect_moved(steps.tflite().import(), steps.channels));
  }
}

TEST(Selection, SurvivesExport) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    const Result<ir::Graph> graph = SelectionSteps(seed, 4).onnx(13).import();
    ASSERT_TRUE(graph.ok());
    const Result<std::string> bytes = export_onnx_bytes(*graph);
    ASSERT_TRUE(bytes.ok()) << bytes.error().message();
    const Result<ir::Graph> back = import_onnx_bytes(*bytes, "back.onnx", "back");
    ASSERT_TRUE(back.ok()) << back.error().message();
    ASSERT_NO_FATAL_FAILURE(testing::expect_equivalent(*graph, *back));
  }
}

TEST(Selection, OneIndexDropsItsAxis) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 4, 3, 2}), "input", 0.04F, 7);
  b.node("Reshape", {x, b.constant<std::int64_t>("apart_to", {5}, {0, 2, 2, 3, 2})}, "apart");
  set_attribute(b.node("Gather", {"apart", b.constant<std::int64_t>("second", {}, {1})}, "half"),
                "axis", std::int64_t{1});
  b.node("GlobalAveragePool", {b.quantized("half", "half", 0.04F, 7)}, "mean");
  b.classifier(b.quantized("mean", "mean", 0.04F, 7), 2, 3);
  const Result<ir::Graph> graph = b.import();
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  ASSERT_THAT(kinds(*graph), ElementsAre("select", "average_pool"));
  EXPECT_THAT(std::get<ir::Select>(graph->ops[0].params).channels, ElementsAre(2, 3));
}

// Two functions of halves of one tensor are no function of one tensor.
TEST(Selection, GatedLinearUnit) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 4, 3, 2}), "input", 0.04F, 7);
  auto& split = b.node("Split", {x}, "value");
  set_attribute(split, "axis", std::int64_t{1});
  split.add_output("gate");
  const std::string value = b.quantized("value", "value", 0.04F, 7);
  b.node("Sigmoid", {b.quantized("gate", "gate", 0.04F, 7)}, "opened");
  b.node("Mul", {value, b.quantized("opened", "opened", 1.0F / 256, -128)}, "product");
  b.node("GlobalAveragePool", {b.quantized("product", "product", 0.04F, 7)}, "mean");
  b.classifier(b.quantized("mean", "mean", 0.04F, 7), 2, 3);
  const Result<ir::Graph> graph = b.import();
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  EXPECT_THAT(kinds(*graph), ElementsAre("select", "lookup", "select", "mul", "average_pool"));

  b = OnnxBuilder();
  const std::string y = b.quantized(b.input("input", {0, 4, 3, 2}), "input", 0.04F, 7);
  auto& halves = b.node("Split", {y}, "left");
  set_attribute(halves, "axis", std::int64_t{1});
  halves.add_output("right");
  b.node("Mul", {"left", "right"}, "product");
  b.node("GlobalAveragePool", {b.quantized("product", "product", 0.04F, 7)}, "mean");
  b.classifier(b.quantized("mean", "mean", 0.04F, 7), 2, 3);
  const Result<ir::Graph> halves_graph = b.import();
  ASSERT_TRUE(halves_graph.ok()) << halves_graph.error().message();
  EXPECT_THAT(kinds(*halves_graph), ElementsAre("select", "select", "mul", "average_pool"));
}

// ---- refusals ----

std::string refusal(const std::function<std::string(OnnxBuilder&, const std::string&)>& nodes) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 4, 3, 2}), "input", 0.04F, 7);
  b.node("GlobalAveragePool", {b.quantized(nodes(b, x), "y", 0.04F, 7)}, "mean");
  b.classifier(b.quantized("mean", "mean", 0.04F, 7), 4, 3);
  const Result<ir::Graph> graph = b.import();
  return graph.ok() ? "was imported" : graph.error().message();
}

TEST(Selection, RefusesWhatIsNotChannels) {
  const auto gather = [](std::int64_t axis, std::vector<std::int64_t> indices) {
    return refusal([=](OnnxBuilder& b, const std::string& x) {
      const auto size = static_cast<std::int64_t>(indices.size());
      set_attribute(b.node("Gather", {x, b.constant("i", {size}, indices)}, "f"), "axis", axis);
      return std::string("f");
    });
  };
  EXPECT_THAT(gather(2, {0, 1}), HasSubstr("takes 2 elements of axis 2 of [N,4,3,2], which is not "
                                           "one of channels"));
  EXPECT_THAT(gather(0, {0}), HasSubstr("works along axis 0 of [N,4,3,2], the batch or none"));
  EXPECT_THAT(gather(1, {0, 2, 0}), HasSubstr("takes a channel more than once"));
  EXPECT_THAT(gather(1, {4}), HasSubstr("its indices are no list of numbers below 4"));
  EXPECT_THAT(refusal([](OnnxBuilder& b, const std::string& x) {
                set_attribute(b.node("Split", {x, b.constant<std::int64_t>("s", {1}, {3})}, "f"),
                              "axis", std::int64_t{1});
                return std::string("f");
              }),
              HasSubstr("its 1 parts do not make up 4 elements"));
  EXPECT_THAT(
      refusal([](OnnxBuilder& b, const std::string& x) {
        b.node("Slice",
               {x, b.constant<std::int64_t>("a", {1}, {0}), b.constant<std::int64_t>("b", {1}, {1}),
                b.constant<std::int64_t>("c", {1}, {3})},
               "f");
        return std::string("f");
      }),
      HasSubstr("takes 1 elements of axis 3"));
}

std::string refusal(const std::function<int(TfliteBuilder&, int)>& ops) {
  TfliteBuilder b;
  const int y = ops(b, b.input({1, 3, 2, 4}, 0.04F, 7));
  const int mean = b.like(y, "mean", {1, 4});
  b.mean(y, {1, 2}, mean);
  b.classifier(mean, 4, 3);
  const Result<ir::Graph> graph = b.import();
  return graph.ok() ? "was imported" : graph.error().message();
}

TEST(Selection, RefusesWhatIsNotChannelsInTflite) {
  const auto strided = [](std::vector<std::int32_t> begins, std::vector<std::int32_t> ends) {
    return refusal([=](TfliteBuilder& b, int x) {
      const int y = b.like(x, "y", {1, 3, 2, 4});
      b.add(BuiltinOperator::STRIDED_SLICE,
            {x, b.integers("b", begins), b.integers("e", ends), b.integers("s", {1, 1, 1, 1})}, y)
          .options.Set(tflite::StridedSliceOptionsT{});
      return y;
    });
  };
  EXPECT_THAT(strided({0, 1, 0, 0}, {1, 3, 2, 4}), HasSubstr("takes 2 elements of axis 1"));
  EXPECT_THAT(strided({1, 0, 0, 0}, {1, 3, 2, 4}), HasSubstr("takes samples apart"));
  EXPECT_THAT(strided({0, 0, 0}, {1, 3, 2, 4}), HasSubstr("do not fit its input"));
  EXPECT_THAT(strided({0, 0, 0, 1}, {1, 3, 2, 4}), HasSubstr("the file says [N,3,2,4]"));
  EXPECT_THAT(refusal([](TfliteBuilder& b, int x) {
                const int y = b.like(x, "y", {1, 3, 2, 2});
                auto& op = b.add(BuiltinOperator::SPLIT, {b.integers("axis", {0}, {1}), x}, y);
                op.outputs = {y, b.like(x, "z", {1, 3, 2, 2})};
                return y;
              }),
              HasSubstr("works along axis 0 of [N,3,2,4]"));
}

}  // namespace
}  // namespace espalier
