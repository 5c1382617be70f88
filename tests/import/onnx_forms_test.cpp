// ONNX as converters write it: operators on integers, transpositions, computed shapes, leftovers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "equivalent.hpp"
#include "espalier/import/onnx_reader.hpp"
#include "espalier/ir/input.hpp"
#include "sample_models.hpp"
#include "testing/forward.hpp"
#include "testing/random_graph.hpp"

namespace espalier {
namespace {

using testing::Dims;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::OnnxBuilder;
using testing::ramp;
using testing::set_attribute;

ir::Graph import_ok(const OnnxBuilder& builder) {
  Result<ir::Graph> graph = builder.import();
  if (!graph.ok()) {
    throw std::runtime_error(graph.error().message());
  }
  return std::move(graph).value();
}

std::vector<std::string> diagnostics(const OnnxBuilder& builder) {
  const Result<ir::Graph> graph = builder.import();
  if (!graph.ok()) return graph.error().diagnostics;
  ADD_FAILURE() << "was imported";
  return {};
}

template <typename Params>
const Params& params(const ir::Graph& graph, std::size_t op) {
  return std::get<Params>(graph.ops.at(op).params);
}

// Scale and zero point of an activation, as operators on integers name them.
template <typename T>
std::vector<std::string> quantisation(OnnxBuilder& b, const std::string& name, float scale,
                                      int zero) {
  return {b.scalar(name + "_scale", scale),
          b.constant<T>(name + "_zp", {}, {static_cast<T>(zero)})};
}

std::vector<std::string> joined(std::vector<std::vector<std::string>> parts) {
  std::vector<std::string> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// The same network, conv - max pool - add - global mean - flatten - product - softmax, in both
// forms.
template <typename T>
OnnxBuilder qdq_form(int shift) {
  OnnxBuilder b;
  const std::string x = b.quantized<T>(b.input("input", {0, 2, 6, 6}), "input", 0.02F, 3 + shift);
  const std::string w =
      b.weights("c_w", {4, 2, 3, 3}, ramp<std::int8_t>(72, -60, 60), {0.01F, 0.02F, 0.03F, 0.04F});
  const std::string bias = b.bias("c_b", {10, -20, 30, -40}, {0.0002F, 0.0004F, 0.0006F, 0.0008F});
  set_attribute(b.node("Conv", {x, w, bias}, "c"), "pads", Dims{1, 1, 1, 1});
  const std::string c = b.quantized<T>("c", "c", 0.1F, -5 + shift);
  set_attribute(b.node("MaxPool", {c}, "max"), "kernel_shape", Dims{2, 2});
  const std::string max = b.quantized<T>("max", "max", 0.1F, -5 + shift);
  b.node("Add", {max, max}, "sum");
  const std::string sum = b.quantized<T>("sum", "sum", 0.2F, 1 + shift);
  b.node("GlobalAveragePool", {sum}, "mean");
  const std::string mean = b.quantized<T>("mean", "mean", 0.2F, 1 + shift);
  set_attribute(b.node("Flatten", {mean}, "flat"), "axis", std::int64_t{1});
  const std::string v = b.weights("m_w", {4, 3}, ramp<std::int8_t>(12, -6, 5), {0.1F});
  b.node("MatMul", {"flat", v}, "m");
  b.node("Softmax", {b.quantized<T>("m", "m", 0.1F, shift)}, "scores");
  b.output("scores", {0, 3});
  return b;
}

template <typename T>
OnnxBuilder operator_form(int shift) {
  OnnxBuilder b;
  const auto in = quantisation<T>(b, "in", 0.02F, 3 + shift);
  const auto c = quantisation<T>(b, "cq", 0.1F, -5 + shift);
  const auto sum = quantisation<T>(b, "sumq", 0.2F, 1 + shift);
  const auto m = quantisation<T>(b, "mq", 0.1F, shift);
  b.node("QuantizeLinear", joined({{b.input("input", {0, 2, 6, 6})}, in}), "input_q");
  b.constant<std::int8_t>("w", {4, 2, 3, 3}, ramp<std::int8_t>(72, -60, 60));
  b.constant<float>("w_scale", {4}, {0.01F, 0.02F, 0.03F, 0.04F});
  b.constant<std::int8_t>("w_zp", {4}, {0, 0, 0, 0});
  b.constant<std::int32_t>("c_b", {4}, {10, -20, 30, -40});
  set_attribute(
      b.node("QLinearConv", joined({{"input_q"}, in, {"w", "w_scale", "w_zp"}, c, {"c_b"}}), "c"),
      "pads", Dims{1, 1, 1, 1});
  set_attribute(b.node("MaxPool", {"c"}, "max"), "kernel_shape", Dims{2, 2});
  b.node("QLinearAdd", joined({{"max"}, c, {"max"}, c, sum}), "sum").set_domain("com.microsoft");
  b.node("QLinearGlobalAveragePool", joined({{"sum"}, sum, sum}), "mean")
      .set_domain("com.microsoft");
  set_attribute(b.node("Flatten", {"mean"}, "flat"), "axis", std::int64_t{1});
  b.constant<std::int8_t>("m_w", {4, 3}, ramp<std::int8_t>(12, -6, 5));
  const auto weights = quantisation<std::int8_t>(b, "m_w", 0.1F, 0);
  b.node("QLinearMatMul", joined({{"flat"}, sum, {"m_w"}, weights, m}), "m");
  b.node("QLinearSoftmax", joined({{"m"}, m, m}), "scores_q").set_domain("com.microsoft");
  b.node("DequantizeLinear", joined({{"scores_q"}, m}), "scores");
  b.output("scores", {0, 3});
  return b;
}

TEST(OnnxForms, OperatorsOnIntegersAreTheSameNetwork) {
  const ir::Graph graph = import_ok(qdq_form<std::int8_t>(0));
  ASSERT_EQ(graph.ops.size(), 4U);
  testing::expect_equivalent(graph, import_ok(operator_form<std::int8_t>(0)));
  testing::expect_equivalent(graph, import_ok(qdq_form<std::uint8_t>(128)));
  testing::expect_equivalent(graph, import_ok(operator_form<std::uint8_t>(128)));
}

TEST(OnnxForms, OldOpsetsWithOneScaleATensor) {
  for (const std::int64_t opset : {10, 11, 12}) {
    OnnxBuilder b(opset);
    const std::string x = b.quantized(b.input("input", {0, 2, 1, 1}), "input", 0.02F, 3);
    b.node("Conv", {x, b.weights("w", {2, 2, 1, 1}, ramp<std::int8_t>(4, 1, 4), {0.1F})}, "c");
    b.classifier(b.quantized("c", "c", 0.1F, 0), 2, 2);
    EXPECT_EQ(import_ok(b).ops.size(), 1U) << opset;
  }
}

// Weights that tell where each feature went: output 0 of a head of one row.
std::vector<float> head_of(const ir::Graph& graph) {
  return {graph.head.weights.begin(), graph.head.weights.begin() + graph.head.features};
}

// A head whose weight of feature k is k.
void counting_head(OnnxBuilder& b, const std::string& features, std::int64_t in) {
  std::vector<float> values;
  for (int row = 0; row < 2; ++row) {
    for (std::int64_t k = 0; k < in; ++k) values.push_back(static_cast<float>(k));
  }
  b.constant<float>("fc", {2, in}, values);
  set_attribute(b.node("Gemm", {features, "fc"}, "logits"), "transB", std::int64_t{1});
  b.output("logits", {0, 2});
}

TEST(OnnxForms, TransposedFeaturesPermuteTheWeights) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 2, 2, 3}), "input", 0.02F, 3);
  set_attribute(b.node("Transpose", {x}, "nhwc"), "perm", Dims{0, 2, 3, 1});
  set_attribute(b.node("Flatten", {"nhwc"}, "flat"), "axis", std::int64_t{1});
  counting_head(b, "flat", 12);
  // In the order of the graph, which is that of the transposition.
  EXPECT_THAT(head_of(import_ok(b)), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
  OnnxBuilder plain;
  const std::string y = plain.quantized(plain.input("input", {0, 2, 2, 3}), "input", 0.02F, 3);
  set_attribute(plain.node("Flatten", {y}, "flat"), "axis", std::int64_t{1});
  counting_head(plain, "flat", 12);
  EXPECT_THAT(head_of(import_ok(plain)), ElementsAre(0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11));
}

struct InputCase {
  const char* name;
  Dims dims;                        // of the file, behind the batch
  std::vector<std::int64_t> shape;  // Reshape target; empty: none
  Dims perm;                        // Transpose; empty: none
  ir::Shape expected;
  std::array<std::int64_t, 3> strides;
};

std::ostream& operator<<(std::ostream& out, const InputCase& c) { return out << c.name; }

class Inputs : public ::testing::TestWithParam<InputCase> {};

TEST_P(Inputs, TakeTheShapeInWhichTheyAreUsed) {
  const InputCase& c = GetParam();
  OnnxBuilder b;
  Dims dims = c.dims;
  dims.insert(dims.begin(), 0);
  std::string x = b.input("input", dims);
  if (!c.shape.empty()) {
    b.node("Reshape", {x, b.constant("shape", {std::int64_t(c.shape.size())}, c.shape)}, "image");
    x = "image";
  }
  if (!c.perm.empty()) {
    set_attribute(b.node("Transpose", {x}, "nchw"), "perm", c.perm);
    x = "nchw";
  }
  x = b.quantized(x, "q", 0.02F, 3);
  const bool series = (c.perm.empty() ? c.dims.size() : c.perm.size() - 1) == 2;
  const std::int64_t in = c.expected.channels;
  b.node("Conv",
         {x, b.weights("w", series ? Dims{2, in, 1} : Dims{2, in, 1, 1},
                       ramp<std::int8_t>(2 * in, 1, 9), {0.1F})},
         "c");
  b.node(series ? "GlobalAveragePool" : "GlobalAveragePool", {b.quantized("c", "c", 0.1F, 0)},
         "mean");
  b.classifier(b.quantized("mean", "mean", 0.1F, 0), 2, 2);
  const ir::Graph graph = import_ok(b);
  EXPECT_EQ(graph.tensor(graph.input).shape, c.expected);
  EXPECT_EQ(ir::file_input_dims(graph), c.dims);
  EXPECT_EQ(graph.input_format.strides, c.strides);
}

INSTANTIATE_TEST_SUITE_P(
    All, Inputs,
    ::testing::Values(InputCase{"ChannelsFirst", {3, 4, 5}, {}, {}, {4, 5, 3}, {5, 1, 20}},
                      InputCase{"ChannelsLast", {4, 5, 3}, {}, {0, 3, 1, 2}, {4, 5, 3}, {15, 3, 1}},
                      InputCase{"Flat", {20}, {-1, 4, 5, 1}, {0, 3, 1, 2}, {4, 5, 1}, {5, 1, 0}},
                      InputCase{"FlatGrey", {20}, {0, 1, 4, 5}, {}, {4, 5, 1}, {5, 1, 0}},
                      InputCase{
                          "FlatColours", {60}, {0, 4, 5, 3}, {0, 3, 1, 2}, {4, 5, 3}, {15, 3, 1}},
                      InputCase{"Series", {3, 7}, {}, {}, {1, 7, 3}, {0, 1, 7}},
                      InputCase{"SeriesLast", {7, 3}, {}, {0, 2, 1}, {1, 7, 3}, {0, 3, 1}}),
    [](const auto& tested) { return tested.param.name; });

TEST(OnnxForms, TurnedImagesTurnTheirWindows) {
  // Rows and columns swapped in front of a convolution.
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 1, 4, 6}), "input", 0.02F, 3);
  b.node("Conv", {x, b.weights("a_w", {2, 1, 1, 1}, ramp<std::int8_t>(2, 1, 2), {0.1F})}, "a");
  const std::string a = b.quantized("a", "a", 0.1F, 0);
  set_attribute(b.node("Transpose", {a}, "turned"), "perm", Dims{0, 1, 3, 2});
  auto& conv = b.node(
      "Conv", {"turned", b.weights("w", {1, 2, 2, 3}, ramp<std::int8_t>(12, 0, 11), {0.1F})}, "c");
  set_attribute(conv, "strides", Dims{2, 1});
  set_attribute(conv, "pads", Dims{0, 1, 0, 1});
  b.classifier(b.quantized("c", "c", 0.1F, 0), 12, 2);
  const ir::Graph graph = import_ok(b);
  const ir::Conv2D& turned = params<ir::Conv2D>(graph, 1);
  EXPECT_EQ(testing::values(turned.window), (std::array{3, 2, 1, 2, 1, 0, 1, 0}));
  EXPECT_EQ(graph.tensor(graph.features).shape, (ir::Shape{4, 3, 1}));
  // w[i][row][column] = i * 6 + row * 3 + column, at [column][row][i].
  EXPECT_EQ(turned.weights[(2 * 2 + 1) * 2 + 1], 6 + 3 + 2);
  EXPECT_EQ(turned.weights[(1 * 2 + 0) * 2 + 0], 1);
}

TEST(OnnxForms, DynamicBatchIsFolded) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 2, 2, 3}), "input", 0.02F, 3);
  b.node("Shape", {x}, "shape");
  b.node("Gather", {"shape", b.constant<std::int64_t>("zero", {}, {0})}, "batch");
  b.node("Unsqueeze", {"batch", b.constant<std::int64_t>("axis", {1}, {0})}, "batches");
  b.node("Concat", {"batches", b.constant<std::int64_t>("rest", {1}, {-1})}, "target");
  b.node("Reshape", {x, "target"}, "flat");
  counting_head(b, "flat", 12);
  EXPECT_EQ(import_ok(b).head.features, 12);
  OnnxBuilder sliced;
  const std::string y = sliced.quantized(sliced.input("input", {1, 2, 2, 3}), "input", 0.02F, 3);
  sliced.node("Shape", {y}, "shape");
  sliced.node("Slice",
              {"shape", sliced.constant<std::int64_t>("from", {1}, {0}),
               sliced.constant<std::int64_t>("to", {1}, {1})},
              "batch");
  sliced.node("Concat", {"batch", sliced.constant<std::int64_t>("rest", {1}, {12})}, "target");
  sliced.node("Cast", {"target"}, "cast");
  set_attribute(sliced.node_at(sliced.graph().node_size() - 1), "to",
                std::int64_t{onnx::TensorProto::INT64});
  sliced.node("Reshape", {y, "cast"}, "flat");
  counting_head(sliced, "flat", 12);
  EXPECT_EQ(import_ok(sliced).head.features, 12);
}

// From opset 15 on Shape may give a part of the extents, counted from either end and cut off at
// both.
TEST(OnnxForms, PartsOfShapes) {
  struct Part {
    std::optional<std::int64_t> start, end;
    std::vector<std::int64_t> rest;  // of the new shape, behind the part
  };
  const auto build = [](const Part& part) {
    OnnxBuilder b(15);
    const std::string x = b.quantized(b.input("input", {1, 4, 2, 8}), "input", 0.02F, 3);
    onnx::NodeProto& shape = b.node("Shape", {x}, "shape");
    if (part.start) set_attribute(shape, "start", *part.start);
    if (part.end) set_attribute(shape, "end", *part.end);
    const std::int64_t more = static_cast<std::int64_t>(part.rest.size());
    b.node("Concat", {"shape", b.constant<std::int64_t>("rest", {more}, part.rest)}, "target");
    b.node("Reshape", {x, "target"}, "reshaped");
    return b;
  };
  // The new shape of each is [1,4,16].
  for (const Part& part :
       {Part{{}, 1, {4, 16}}, Part{0, 2, {16}}, Part{-9, -2, {16}}, Part{{}, -3, {4, 16}},
        Part{7, {}, {1, 4, 16}}, Part{2, 1, {1, 4, 16}}}) {
    OnnxBuilder b = build(part);
    b.node("Conv", {"reshaped", b.weights("w", {2, 4, 1}, ramp<std::int8_t>(8, 1, 8), {0.1F})},
           "c");
    b.classifier(b.quantized("c", "c", 0.1F, 0), 32, 2);
    const ir::Graph graph = import_ok(b);
    EXPECT_EQ(graph.tensor(graph.input).shape, (ir::Shape{1, 16, 4}));
  }
  OnnxBuilder wrong = build({1, 3, {8}});
  wrong.node("Flatten", {"reshaped"}, "flat");
  counting_head(wrong, "flat", 64);
  EXPECT_THAT(diagnostics(wrong), ElementsAre(HasSubstr("it changes the batch to 4")));
}

TEST(OnnxForms, LeftoverNormalisationAndFactors) {
  const auto build = [](bool leftover, bool quantised = false) {
    OnnxBuilder b;
    const std::string x = b.quantized(b.input("input", {0, 1, 1, 1}), "input", 0.02F, 0);
    // Scale of the accumulator 0.02 * 0.5; factors 2 and -4, offsets 1 and 3.
    const std::vector<float> scales =
        leftover ? std::vector<float>{0.5F, 0.5F} : std::vector<float>{1.0F, 2.0F};
    const std::vector<std::int8_t> weights =
        leftover ? std::vector<std::int8_t>{10, 20} : std::vector<std::int8_t>{10, -20};
    b.node("Conv",
           {x, b.weights("w", {2, 1, 1, 1}, weights, scales),
            b.constant<float>(
                "b", {2},
                leftover ? std::vector<float>{0.5F, 0.25F} : std::vector<float>{2.0F, 2.0F})},
           "c");
    std::string y = "c";
    if (leftover) {
      auto& node =
          b.node("BatchNormalization",
                 {"c",
                  quantised ? b.weights<std::int8_t>("gamma", {2}, {64, -128}, {0.0625F})
                            : b.constant<float>("gamma", {2}, {4, -8}),
                  b.constant<float>("beta", {2}, {1, 3}), b.constant<float>("mean", {2}, {0, 0}),
                  b.constant<float>("variance", {2}, {4, 4})},
                 "bn");
      set_attribute(node, "epsilon", 0.0F);
      b.node("Mul", {"bn", b.scalar("one", 1.0F)}, "mul");
      b.node("Add", {"mul", b.constant<float>("none", {1, 2, 1, 1}, {0, 0})}, "add");
      y = "add";
    }
    b.classifier(b.quantized(y, "y", 0.1F, 0), 2, 2);
    return import_ok(b);
  };
  testing::expect_equivalent(build(false), build(true));
  testing::expect_equivalent(build(false), build(true, true));
}

TEST(OnnxForms, ScalingOfTheInputIsLeftToPreprocessing) {
  OnnxBuilder b;
  b.input("pixels", {0, 1, 2, 2});
  b.node("Sub", {"pixels", b.scalar("mean", 128.0F)}, "centred");
  const std::string x = b.quantized("centred", "x", 1.0F / 64, 0);
  set_attribute(b.node("Flatten", {x}, "flat"), "axis", std::int64_t{1});
  counting_head(b, "flat", 4);
  EXPECT_THAT(diagnostics(b), ElementsAre(HasSubstr("leave the scaling of the input")));
}

// Pads of some axes alone, in any order.
TEST(OnnxForms, PadsOfSomeAxes) {
  const auto build = [](const Dims& pads, const Dims& axes) {
    OnnxBuilder b(18);
    const std::string x = b.quantized(b.input("input", {0, 1, 4, 5}), "input", 0.02F, 3);
    std::vector<std::string> inputs{
        x, b.constant<std::int64_t>("pads", {std::int64_t(pads.size())}, pads)};
    if (!axes.empty()) {
      inputs.emplace_back("");
      inputs.push_back(b.constant<std::int64_t>("axes", {std::int64_t(axes.size())}, axes));
    }
    b.node("Pad", inputs, "padded");
    b.node("Conv", {"padded", b.weights("w", {1, 1, 3, 3}, ramp<std::int8_t>(9, 1, 9), {0.1F})},
           "c");
    b.classifier(b.quantized("c", "c", 0.1F, 0), 20, 2);
    return b;
  };
  const ir::Graph all = import_ok(build({0, 0, 1, 2, 0, 0, 1, 0}, {}));
  testing::expect_equivalent(all, import_ok(build({1, 2, 1, 0}, {2, 3})));
  testing::expect_equivalent(all, import_ok(build({2, 1, 0, 1}, {-1, -2})));
  testing::expect_equivalent(all, import_ok(build({2, 1, 0, 0, 0, 1, 0, 0}, {3, 2, 1, 0})));
  EXPECT_THAT(diagnostics(build({1, 1, 1, 1}, {2})), ElementsAre(HasSubstr("its pads are")));
  EXPECT_THAT(diagnostics(build({1, 1, 1, 1}, {2, 4})), ElementsAre(HasSubstr("its pads are")));
}

// Lists of floats and numbers of older exporters' spelling.
TEST(OnnxForms, ConstantsAsAttributesAndSums) {
  const auto build = [](bool odd) {
    OnnxBuilder b;
    const std::string x = b.quantized(b.input("input", {0, 2, 1, 1}), "input", 0.02F, 3);
    if (odd) {
      onnx::NodeProto& node = b.node("Constant", {}, "k");
      onnx::AttributeProto& a = *node.add_attribute();
      a.set_name("value_floats");
      a.set_type(onnx::AttributeProto::FLOATS);
      a.add_floats(0.25F);
    } else {
      b.constant<float>("k", {1}, {0.25F});
    }
    b.node(odd ? "Sum" : "Add", {x, "k"}, "s");
    const std::string s = b.quantized("s", "s", 0.03F, -4);
    b.node(odd ? "Sum" : "Add", {s, x}, "t");
    b.classifier(b.quantized("t", "t", 0.05F, 1), 2, 2);
    return import_ok(b);
  };
  testing::expect_equivalent(build(false), build(true));
}

// The class in place of its scores, behind them or behind their Softmax.
TEST(OnnxForms, ArgMaxAtTheEndIsDropped) {
  const auto build = [](std::int64_t axis) {
    OnnxBuilder b;
    set_attribute(
        b.node("Flatten", {b.quantized(b.input("input", {0, 2, 2, 1}), "x", 0.02F, 3)}, "flat"),
        "axis", std::int64_t{1});
    counting_head(b, "flat", 4);
    b.node("Softmax", {"logits"}, "scores");
    onnx::NodeProto& node = b.node("ArgMax", {"scores"}, "class");
    set_attribute(node, "axis", axis);
    set_attribute(node, "keepdims", std::int64_t{0});
    b.graph().clear_output();
    b.output("class", {0});
    return b;
  };
  for (const std::int64_t axis : {1, -1}) EXPECT_EQ(import_ok(build(axis)).head.features, 4);
  EXPECT_THAT(diagnostics(build(0)), ElementsAre(HasSubstr("compares along axis 0")));
}

TEST(OnnxForms, CastIntegerInput) {
  OnnxBuilder b;
  b.input("pixels", {0, 1, 2, 2}, onnx::TensorProto::UINT8);
  set_attribute(b.node("Cast", {"pixels"}, "real"), "to", std::int64_t{onnx::TensorProto::FLOAT});
  const std::string x = b.quantized<std::uint8_t>("real", "x", 1.0F, 0);
  set_attribute(b.node("Flatten", {x}, "flat"), "axis", std::int64_t{1});
  counting_head(b, "flat", 4);
  const ir::Graph graph = import_ok(b);
  EXPECT_EQ(ir::file_input_quantization(graph), (ir::Quantization{1.0F, -128}));
  EXPECT_EQ(graph.input_format.element, ir::InputElement::kUint8);
}

// Zeros around an image count, whether a Pad puts them there or the pool does.
TEST(OnnxForms, ZerosAroundAMeanMayCount) {
  const auto build = [](bool pad, std::int64_t ceil) {
    OnnxBuilder b(19);  // where what lies over the border does not count
    const std::string x = b.quantized(b.input("input", {0, 1, 4, 6}), "input", 0.02F, 3);
    if (pad) b.node("Pad", {x, b.constant<std::int64_t>("p", {8}, {0, 0, 1, 2, 0, 0, 1, 0})}, "y");
    auto& pool = b.node("AveragePool", {pad ? "y" : x}, "mean");
    set_attribute(pool, "kernel_shape", Dims{3, 3});
    set_attribute(pool, "strides", Dims{2, 3});
    set_attribute(pool, "ceil_mode", ceil);
    if (!pad) {
      set_attribute(pool, "pads", Dims{1, 2, 1, 0});
      set_attribute(pool, "count_include_pad", std::int64_t{1});
    }
    b.classifier(b.quantized("mean", "mean", 0.02F, 3), ceil == 0 ? 4 : 9, 2);
    return import_ok(b);
  };
  for (const std::int64_t ceil : {0, 1}) {
    testing::expect_equivalent(build(false, ceil), build(true, ceil));
  }
  const ir::Graph graph = build(false, 0);
  Rng rng{12};
  for (int sample = 0; sample < 10; ++sample) {
    const auto in = testing::random_int8(rng, 24);
    const testing::Activations all = testing::forward(graph, in);
    for (int i = 0; i < 4; ++i) {
      int sum = 0;
      for (int row = i / 2 * 2 - 1; row < i / 2 * 2 + 2; ++row) {
        for (int column = i % 2 * 3 - 2; column < i % 2 * 3 + 1; ++column) {
          const bool inside = row >= 0 && row < 4 && column >= 0 && column < 6;
          sum += inside ? in[static_cast<std::size_t>(row * 6 + column)] - 3 : 0;
        }
      }
      EXPECT_EQ(all.tensors[static_cast<std::size_t>(graph.features)][static_cast<std::size_t>(i)],
                std::clamp(static_cast<int>(std::nearbyint(sum / 9.0)) + 3, -128, 127))
          << i;
    }
  }
}

TEST(OnnxForms, PadGoesIntoTheWindow) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 1, 4, 4}), "input", 0.02F, 3);
  b.node("Pad", {x, b.constant<std::int64_t>("pads", {8}, {0, 0, 0, 1, 0, 0, 2, 0})}, "padded");
  const std::string p = b.quantized("padded", "padded", 0.02F, 3);
  b.node("Conv", {p, b.weights("w", {1, 1, 3, 3}, ramp<std::int8_t>(9, 1, 9), {0.1F})}, "c");
  b.classifier(b.quantized("c", "c", 0.1F, 0), 12, 2);
  const ir::Graph graph = import_ok(b);
  EXPECT_EQ(testing::values(params<ir::Conv2D>(graph, 0).window),
            (std::array{3, 3, 1, 1, 0, 1, 2, 0}));
}

TEST(OnnxForms, AConstantBehindAQuantisationIsALayer) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 3}), "input", 0.02F, 3);
  b.node("MatMul", {x, b.weights("w", {3, 2}, ramp<std::int8_t>(6, 1, 6), {0.1F})}, "m");
  const std::string m = b.quantized("m", "m", 0.5F, 0);
  b.node("Add", {m, b.weights<std::int8_t>("k", {2}, {10, -20}, {0.25F})}, "sum");
  b.classifier(b.quantized("sum", "sum", 0.25F, 0), 2, 2);
  const ir::Graph graph = import_ok(b);
  ASSERT_EQ(graph.ops.size(), 2U);
  const ir::Conv2D& sum = params<ir::Conv2D>(graph, 1);
  EXPECT_TRUE(sum.depthwise());
  EXPECT_THAT(sum.weights, ElementsAre(127, 127));
  // 10 * 0.25 and -20 * 0.25 in units of 0.5 / 127.
  EXPECT_THAT(sum.bias, ElementsAre(635, -1270));
}

TEST(OnnxForms, OneQuantiserForEveryReader) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 2, 1, 1}), "input", 0.02F, 3);
  b.node("Conv", {x, b.weights("w", {2, 2, 1, 1}, ramp<std::int8_t>(4, 1, 4), {0.1F})}, "c");
  const std::string y = b.quantized("c", "y", 0.1F, 0);
  const std::string z = b.quantized("c", "z", 0.1F, 0);
  b.node("Add", {y, z}, "sum");
  b.classifier(b.quantized("sum", "sum", 0.1F, 0), 2, 2);
  const ir::Graph graph = import_ok(b);
  ASSERT_EQ(graph.ops.size(), 2U);
  EXPECT_THAT(graph.ops[1].inputs, ElementsAre(1, 1));
}

TEST(OnnxForms, SigmoidOfOneOutputIsAClassifierOfTwo) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 3}), "input", 0.02F, 3);
  b.node("MatMul", {x, b.constant<float>("w", {3, 1}, {1, 2, 3})}, "m");
  b.output("m", {0, 1});
  EXPECT_THAT(diagnostics(b), ElementsAre(HasSubstr("a regression")));
  b.node("Sigmoid", {"m"}, "score");
  b.graph().mutable_output(0)->set_name("score");
  const ir::Graph graph = import_ok(b);
  EXPECT_EQ(graph.head.classes, 2);
  EXPECT_THAT(graph.head.weights, ElementsAre(0, 0, 0, 1, 2, 3));
}

TEST(OnnxForms, AsymmetricWeightsThatFitAreExact) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 2, 1, 1}), "input", 0.02F, 3);
  b.node("Conv", {x, b.weights<std::uint8_t>("w", {2, 2, 1, 1}, {100, 90, 120, 227}, {0.1F}, 100)},
         "c");
  b.classifier(b.quantized("c", "c", 0.1F, 0), 2, 2);
  EXPECT_THAT(params<ir::Conv2D>(import_ok(b), 0).weights, ElementsAre(0, -10, 20, 127));
}

// A channel of others has a scale of its own, in whose unit its bias is, too.
TEST(OnnxForms, AsymmetricWeightsBeyondInt8AreRounded) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 2, 1, 1}), "input", 0.02F, 3);
  b.node("Conv",
         {x, b.weights<std::uint8_t>("w", {2, 2, 1, 1}, {255, 75, 65, 45}, {0.01F}, 55),
          b.bias("b", {1000, -1000}, {0.0002F, 0.0002F})},
         "c");
  b.classifier(b.quantized("c", "c", 0.1F, 0), 2, 2);
  const ir::Graph graph = import_ok(b);
  EXPECT_THAT(params<ir::Conv2D>(graph, 0).weights, ElementsAre(127, 13, 10, -10));
  EXPECT_THAT(params<ir::Conv2D>(graph, 0).bias, ElementsAre(635, -1000));
  EXPECT_EQ(graph.rounded_channels, 1);
}

TEST(OnnxForms, ForeignQuantisersAreNamed) {
  const auto expect_first = [](const std::string& text, const std::string& domain,
                               const std::string& type) {
    OnnxBuilder b;
    b.input("input", {0, 2, 4, 4});
    for (int i = 0; i < 3; ++i) {
      b.node(type, {"input"}, "n" + std::to_string(i)).set_domain(domain);
    }
    b.classifier("n2", 32, 2);
    const std::vector<std::string> all = diagnostics(b);
    ASSERT_GE(all.size(), 1U);
    EXPECT_THAT(all[0],
                ::testing::AllOf(HasSubstr(text), HasSubstr("3 such nodes"), HasSubstr("'n0'")));
  };
  expect_first("is quantised dynamically", "", "DynamicQuantizeLinear");
  expect_first("is quantised dynamically", "", "ConvInteger");
  expect_first("QONNX", "qonnx.custom_op.general", "Quant");
  expect_first("Brevitas", "onnx.brevitas", "Quant");
  expect_first("Sony", "mct_quantizers", "WeightsSymmetricQuantizer");
  expect_first("ONNX-ML", "ai.onnx.ml", "Scaler");
  OnnxBuilder b;
  const std::string x = b.input("input", {0, 2, 4, 4});
  b.node("Conv", {x, b.weights("w", {2, 2, 4, 4}, ramp<std::int8_t>(64, -9, 9), {0.1F})}, "c");
  b.classifier("c", 2, 2);
  EXPECT_THAT(diagnostics(b), ElementsAre(HasSubstr("only its weights are quantised")));
}

TEST(OnnxForms, OneLineAKind) {
  OnnxBuilder b;
  std::string x = b.quantized(b.input("input", {0, 2, 6, 6}), "input", 0.02F, 3);
  for (int i = 0; i < 100; ++i) {
    const std::string name = "norm_" + std::to_string(i);
    b.node("LRN", {x}, name);
    x = b.quantized(name, name + "q", 0.02F, 3);
  }
  b.classifier(x, 72, 2);
  EXPECT_THAT(diagnostics(b),
              ElementsAre(HasSubstr("'norm_0' (LRN) and 99 more like it: this operator")));
}

}  // namespace
}  // namespace espalier
