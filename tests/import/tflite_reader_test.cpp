// Every operator of the TFLite reader, on models of a few operators, with values; and every
// refusal.
#include "espalier/import/tflite_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "equivalent.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/ir/input.hpp"
#include "espalier/support/rng.hpp"
#include "testing/forward.hpp"
#include "testing/random_graph.hpp"
#include "tflite_builder.hpp"

namespace espalier {
namespace {

using ::testing::AllOf;
using testing::BuiltinOperator;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TensorType;
using testing::TfliteBuilder;
using tflite::Activation;
using tflite::Padding;

std::vector<std::int8_t> ramp(int count) {
  std::vector<std::int8_t> values;
  for (int i = 0; i < count; ++i) values.push_back(static_cast<std::int8_t>(i % 255 - 127));
  return values;
}

ir::Graph import_ok(const TfliteBuilder& builder) {
  Result<ir::Graph> graph = builder.import();
  if (!graph.ok()) {
    throw std::runtime_error(graph.error().message());
  }
  return std::move(graph).value();
}

std::vector<std::string> diagnostics(const TfliteBuilder& builder) {
  const Result<ir::Graph> graph = builder.import();
  if (graph.ok()) {
    ADD_FAILURE() << "was imported";
    return {};
  }
  EXPECT_EQ(graph.error().kind, ErrorKind::kBadInput);
  return graph.error().diagnostics;
}

template <typename Params>
const Params& params(const ir::Graph& graph, std::size_t op) {
  return std::get<Params>(graph.ops.at(op).params);
}

// 6x5x2 image, 3x3 CONV_2D with stride 2 and RELU6, DEPTHWISE_CONV_2D with multiplier 2, ADD,
// MEAN, FULLY_CONNECTED, SOFTMAX.
TfliteBuilder small_model(TensorType input = TensorType::INT8) {
  TfliteBuilder b;
  const int zero = input == TensorType::UINT8 ? 131 : 3;
  const int x = b.input({1, 6, 5, 2}, 0.02F, zero, input);
  const int c0 = b.activation("c0", {1, 3, 3, 4}, 0.05F, -128);
  b.conv({x, b.weights("c0_w", {4, 3, 3, 2}, ramp(72), {0.01F, 0.02F, 0.03F, 0.04F}),
          b.integers("c0_b", {100, -200, 300, -400})},
         c0, {Padding::SAME, 2, 2, Activation::RELU6});
  const int d = b.activation("d", {1, 3, 3, 8}, 0.1F, 5);
  b.depthwise({c0, b.weights("d_w", {1, 1, 1, 8}, {1, 2, 3, 4, 5, 6, 7, 8}, {0.5F}, 3),
               b.integers("d_b", std::vector<std::int32_t>(8, 0))},
              d, 2, {Padding::VALID});
  const int sum = b.activation("sum", {1, 3, 3, 8}, 0.2F, 1);
  b.sum(d, d, sum, Activation::RELU);
  const int mean = b.activation("mean", {1, 8}, 0.2F, 1);
  b.mean(sum, {1, 2}, mean);
  b.classifier(mean, 8, 3);
  return b;
}

TEST(TfliteReader, SmallModel) {
  const ir::Graph graph = import_ok(small_model());
  ASSERT_EQ(graph.ops.size(), 4U);
  EXPECT_EQ(graph.tensor(graph.input).shape, (ir::Shape{6, 5, 2}));
  EXPECT_EQ(ir::file_input_quantization(graph), (ir::Quantization{0.02F, 3}));
  EXPECT_EQ(graph.input_format.element, ir::InputElement::kInt8);
  EXPECT_THAT(ir::file_input_dims(graph), ElementsAre(6, 5, 2));
  const ir::Conv2D& conv = params<ir::Conv2D>(graph, 0);
  EXPECT_EQ(graph.ops[0].name, "c0");
  // SAME at stride 2: 6 rows need one below, 5 columns one on each side.
  EXPECT_EQ(testing::values(conv.window), (std::array{3, 3, 2, 2, 0, 1, 1, 1}));
  EXPECT_EQ(conv.weights, ramp(72));
  EXPECT_THAT(conv.bias, ElementsAre(100, -200, 300, -400));
  EXPECT_EQ(graph.ops[0].clamp_low, -128);
  EXPECT_EQ(graph.ops[0].clamp_high, -8);
  const ir::Conv2D& depthwise = params<ir::Conv2D>(graph, 1);
  EXPECT_EQ(depthwise.groups, 4);
  EXPECT_EQ(depthwise.out_channels, 8);
  EXPECT_THAT(depthwise.weights, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_TRUE(std::holds_alternative<ir::Add>(graph.ops[2].params));
  EXPECT_EQ(graph.ops[2].clamp_low, 1);
  const ir::AveragePool& pool = params<ir::AveragePool>(graph, 3);
  EXPECT_EQ(testing::values(pool.window), (std::array{3, 3, 1, 1, 0, 0, 0, 0}));
  EXPECT_EQ(pool.rounding, ir::HalfRounding::kAwayFromZero);
  EXPECT_EQ(graph.head.classes, 3);
  EXPECT_FLOAT_EQ(graph.head.weights[9], -0.39F);
  EXPECT_FLOAT_EQ(graph.head.bias[2], 25 * 0.2F * 0.01F);
}

TEST(TfliteReader, InputTypesAreOneNetwork) {
  const ir::Graph int8 = import_ok(small_model());
  testing::expect_equivalent(int8, import_ok(small_model(TensorType::UINT8)));
  // Behind a QUANTIZE: float, and uint8 to int8.
  for (const TensorType type : {TensorType::FLOAT32, TensorType::UINT8}) {
    TfliteBuilder b = small_model();
    const int outer = b.activation("outer", {1, 6, 5, 2}, 0.02F, 131, type);
    b.add(BuiltinOperator::QUANTIZE, {outer}, b.graph().inputs[0]);
    std::rotate(b.graph().operators.begin(), b.graph().operators.end() - 1,
                b.graph().operators.end());
    b.graph().inputs = {outer};
    const ir::Graph graph = import_ok(b);
    testing::expect_equivalent(int8, graph);
    EXPECT_EQ(graph.input_format.element,
              type == TensorType::FLOAT32 ? ir::InputElement::kFloat : ir::InputElement::kUint8);
  }
}

TEST(TfliteReader, FloatOutputBehindDequantize) {
  TfliteBuilder b = small_model();
  const int out = b.activation("out", {1, 3}, 0, 0, TensorType::FLOAT32);
  b.add(BuiltinOperator::DEQUANTIZE, {b.graph().outputs[0]}, out);
  b.graph().outputs = {out};
  testing::expect_equivalent(import_ok(small_model()), import_ok(b));
}

TEST(TfliteReader, PaddingGoesIntoTheConvolution) {
  TfliteBuilder b;
  const int x = b.input({1, 6, 6, 2}, 0.02F, 3);
  const int padded = b.like(x, "padded", {1, 7, 7, 2});
  b.add(BuiltinOperator::PAD, {x, b.integers("pads", {0, 0, 0, 1, 0, 1, 0, 0}, {4, 2})}, padded);
  const int c = b.activation("c", {1, 3, 3, 2}, 0.1F, 0);
  b.conv({padded, b.weights("w", {2, 3, 3, 2}, ramp(36), {0.1F}), b.integers("b", {0, 0})}, c,
         {Padding::VALID, 2, 2});
  b.classifier(b.reshape(c, {1, 18}), 18, 2);
  const ir::Graph graph = import_ok(b);
  ASSERT_EQ(graph.ops.size(), 1U);
  EXPECT_EQ(testing::values(params<ir::Conv2D>(graph, 0).window),
            (std::array{3, 3, 2, 2, 0, 0, 1, 1}));
}

// Where values can be negative, zeros of the border win: these are a layer of their own.
TEST(TfliteReader, ZerosAroundAMaximum) {
  const auto build = [](Activation activation) {
    TfliteBuilder b;
    const int x = b.input({1, 4, 4, 1}, 0.02F, 3);
    const int c = b.activation("c", {1, 4, 4, 2}, 0.1F, -10);
    b.conv({x, b.weights("w", {2, 1, 1, 1}, {1, 2}, {0.1F}), b.integers("b", {0, 0})}, c,
           {Padding::VALID, 1, 1, activation});
    const int padded = b.like(c, "padded", {1, 6, 6, 2});
    b.add(BuiltinOperator::PAD, {c, b.integers("pads", {0, 0, 1, 1, 1, 1, 0, 0}, {4, 2})}, padded);
    const int max = b.like(c, "max", {1, 2, 2, 2});
    b.pool(BuiltinOperator::MAX_POOL_2D, padded, max, 3, 3, {Padding::VALID, 2, 2});
    b.classifier(b.reshape(max, {1, 8}), 8, 2);
    return b;
  };
  const ir::Graph graph = import_ok(build(Activation::RELU));
  EXPECT_EQ(testing::values(params<ir::MaxPool>(graph, 1).window),
            (std::array{3, 3, 2, 2, 1, 1, 1, 1}));
  const ir::Graph border = import_ok(build(Activation::NONE));
  EXPECT_EQ(testing::values(params<ir::Conv2D>(border, 1).window),
            (std::array{3, 3, 1, 1, 2, 2, 2, 2}));
  EXPECT_EQ(testing::values(params<ir::MaxPool>(border, 2).window),
            (std::array{3, 3, 2, 2, 0, 0, 0, 0}));
  Rng rng{11};
  for (int sample = 0; sample < 10; ++sample) {
    const testing::Activations all = testing::forward(border, testing::random_int8(rng, 16));
    const auto tensor = [&](std::size_t op) -> const std::vector<std::int8_t>& {
      return all.tensors[static_cast<std::size_t>(border.ops[op].output)];
    };
    for (int i = 0; i < 8; ++i) {
      const int y = i / 4;
      const int x = i / 2 % 2;
      int most = -128;
      for (int row = 2 * y - 1; row <= 2 * y + 1; ++row) {
        for (int column = 2 * x - 1; column <= 2 * x + 1; ++column) {
          const bool outside = row < 0 || row > 3 || column < 0 || column > 3;
          most = std::max<int>(
              most, outside ? -10 : tensor(0)[std::size_t((row * 4 + column) * 2 + i % 2)]);
        }
      }
      EXPECT_EQ(tensor(2)[std::size_t(i)], most) << i;
    }
  }
}

// An uneven border, of another shape than the map.
TEST(TfliteReader, UnevenBorderAroundAMaximum) {
  TfliteBuilder b;
  const int x = b.input({1, 3, 4, 1}, 0.02F, 3);
  const int padded = b.like(x, "padded", {1, 5, 5, 1});
  b.add(BuiltinOperator::PAD, {x, b.integers("pads", {0, 0, 0, 2, 1, 0, 0, 0}, {4, 2})}, padded);
  const int max = b.like(x, "max", {1, 5, 5, 1});
  b.pool(BuiltinOperator::MAX_POOL_2D, padded, max, 1, 1, {Padding::VALID, 1, 1});
  b.classifier(b.reshape(max, {1, 25}), 25, 2);
  const ir::Graph graph = import_ok(b);
  Rng rng{12};
  const std::vector<std::int8_t> input = testing::random_int8(rng, 12);
  const testing::Activations all = testing::forward(graph, input);
  const auto& y = all.tensors[static_cast<std::size_t>(graph.features)];
  for (int row = 0; row < 5; ++row) {
    for (int column = 0; column < 5; ++column) {
      const bool outside = row > 2 || column == 0;
      EXPECT_EQ(y[std::size_t(row * 5 + column)],
                outside ? 3 : input[std::size_t(row * 4 + column - 1)]);
    }
  }
}

// A causal Conv1D: the series is padded in front, and then an image of one row.
TEST(TfliteReader, PaddedSeriesBecomeImages) {
  TfliteBuilder b;
  const int x = b.input({1, 5, 2}, 0.02F, 3);
  const int padded = b.like(x, "padded", {1, 7, 2});
  b.add(BuiltinOperator::PAD, {x, b.integers("pads", {0, 0, 2, 0, 0, 0}, {3, 2})}, padded);
  const int image = b.like(x, "image", {1, 1, 7, 2});
  b.add(BuiltinOperator::EXPAND_DIMS, {padded, b.integers("axis", {1})}, image);
  const int y = b.activation("y", {1, 1, 5, 4}, 0.1F, 0);
  b.conv({image, b.weights("w", {4, 1, 3, 2}, ramp(24), {0.1F}), -1}, y, {Padding::VALID});
  b.classifier(b.reshape(y, {1, 20}), 20, 2);
  const ir::Graph graph = import_ok(b);
  EXPECT_EQ(graph.tensor(graph.input).shape, (ir::Shape{1, 5, 2}));
  EXPECT_EQ(testing::values(params<ir::Conv2D>(graph, 0).window),
            (std::array{1, 3, 1, 1, 0, 2, 0, 0}));
  // Other changes of shape would cut the padding apart.
  b.tensor(image).shape = {1, 2, 7, 1};
  EXPECT_THAT(diagnostics(b), Contains(HasSubstr("across padding")));
}

TEST(TfliteReader, FlatInputTakesTheShapeInWhichItIsUsed) {
  TfliteBuilder b;
  const int x = b.reshape(b.input({1, 24}, 0.02F, 3), {1, 4, 3, 2});
  const int c = b.activation("c", {1, 4, 3, 2}, 0.1F, 0);
  b.conv({x, b.weights("w", {2, 1, 1, 2}, {1, 2, 3, 4}, {0.1F}), b.integers("b", {0, 0})}, c, {});
  b.classifier(b.reshape(c, {1, 24}), 24, 2);
  const ir::Graph graph = import_ok(b);
  EXPECT_EQ(graph.tensor(graph.input).shape, (ir::Shape{4, 3, 2}));
  EXPECT_THAT(ir::file_input_dims(graph), ElementsAre(24));
  const std::vector<std::int64_t> order = ir::file_input_order(graph);
  for (std::size_t i = 0; i < order.size(); ++i) EXPECT_EQ(order[i], static_cast<int>(i));
}

TEST(TfliteReader, SeriesAreImagesOfHeightOne) {
  // Keras: Conv1D expands the rows, MaxPooling1D the columns.
  TfliteBuilder b;
  const int x = b.input({1, 8, 3}, 0.02F, 3);
  const int image = b.like(x, "image", {1, 1, 8, 3});
  b.add(BuiltinOperator::EXPAND_DIMS, {x, b.integers("axis", {1})}, image);
  const int c = b.activation("c", {1, 1, 8, 2}, 0.1F, -128);
  b.conv({image, b.weights("w", {2, 1, 3, 3}, ramp(18), {0.1F}), b.integers("b", {0, 0})}, c,
         {Padding::SAME, 1, 1, Activation::RELU});
  const int series = b.like(c, "series", {1, 8, 2});
  b.add(BuiltinOperator::SQUEEZE, {c}, series);
  const int column = b.reshape(series, {1, 8, 1, 2});
  const int max = b.like(c, "max", {1, 4, 1, 2});
  b.pool(BuiltinOperator::MAX_POOL_2D, column, max, 2, 1, {Padding::VALID, 2, 1});
  b.classifier(b.reshape(max, {1, 8}), 8, 2);
  const ir::Graph graph = import_ok(b);
  EXPECT_EQ(graph.tensor(graph.input).shape, (ir::Shape{1, 8, 3}));
  EXPECT_EQ(testing::values(params<ir::Conv2D>(graph, 0).window),
            (std::array{1, 3, 1, 1, 0, 1, 0, 1}));
  EXPECT_EQ(testing::values(params<ir::MaxPool>(graph, 1).window),
            (std::array{1, 2, 1, 2, 0, 0, 0, 0}));
  EXPECT_EQ(graph.tensor(graph.features).shape, (ir::Shape{1, 4, 2}));
}

TEST(TfliteReader, TransposedFeaturesPermuteTheWeights) {
  TfliteBuilder b;
  const int x = b.input({1, 2, 2, 3}, 0.02F, 3);
  const int t = b.like(x, "t", {1, 3, 2, 2});
  b.add(BuiltinOperator::TRANSPOSE, {x, b.integers("perm", {0, 3, 1, 2})}, t);
  b.classifier(b.reshape(t, {1, 12}), 12, 2);
  const ir::Graph graph = import_ok(b);
  for (int p = 0; p < 4; ++p) {
    for (int c = 0; c < 3; ++c) {
      EXPECT_FLOAT_EQ(graph.head.weights[static_cast<std::size_t>(p * 3 + c)],
                      static_cast<float>((c * 4 + p) % 97 - 48) * 0.01F);
    }
  }
}

TEST(TfliteReader, ComputedShapesAreFolded) {
  TfliteBuilder b;
  const int x = b.input({1, 2, 2, 3}, 0.02F, 3);
  const int shape = b.activation("shape", {4}, 1, 0, TensorType::INT32);
  b.add(BuiltinOperator::SHAPE, {x}, shape);
  const int batch = b.activation("batch", {}, 1, 0, TensorType::INT32);
  b.add(BuiltinOperator::STRIDED_SLICE,
        {shape, b.integers("begin", {0}), b.integers("end", {1}), b.integers("step", {1})}, batch);
  const int packed = b.activation("packed", {2}, 1, 0, TensorType::INT32);
  b.add(BuiltinOperator::PACK, {batch, b.integers("features", {12})}, packed);
  const int flat = b.like(x, "flat", {1, 12});
  b.add(BuiltinOperator::RESHAPE, {x, packed}, flat);
  b.classifier(flat, 12, 2);
  EXPECT_EQ(import_ok(b).head.features, 12);
}

TEST(TfliteReader, DensePerPositionIsAPointwiseConvolution) {
  TfliteBuilder b;
  const int x = b.input({1, 5, 3}, 0.02F, 3);
  const int y = b.activation("y", {1, 5, 2}, 0.1F, 0);
  b.dense({x, b.weights("w", {2, 3}, ramp(6), {0.1F, 0.2F}), -1}, y, Activation::RELU_N1_TO_1);
  b.classifier(b.reshape(y, {1, 10}), 10, 2);
  const ir::Graph graph = import_ok(b);
  EXPECT_TRUE(params<ir::Conv2D>(graph, 0).pointwise());
  EXPECT_EQ(graph.ops[0].clamp_low, -10);
  EXPECT_EQ(graph.ops[0].clamp_high, 10);
  EXPECT_EQ(graph.tensor(graph.features).shape, (ir::Shape{1, 5, 2}));
}

// The older scheme of uint8: one zero point for all weights, from which they reach up to 255.
TEST(TfliteReader, WeightsBeyondInt8GetAScaleOfTheirOwn) {
  TfliteBuilder b;
  const int x = b.input({1, 1, 1, 2}, 0.02F, 3);
  const int c = b.activation("c", {1, 1, 1, 2}, 0.1F, 0);
  const int w = b.constant<std::uint8_t>("w", {2, 1, 1, 2}, {255, 75, 65, 45}, TensorType::UINT8,
                                         {0.01F}, 0, 55);
  b.conv({x, w, b.integers("b", {1000, -1000})}, c, {});
  b.classifier(c, 2, 3);
  const ir::Graph graph = import_ok(b);
  const ir::Conv2D& conv = params<ir::Conv2D>(graph, 0);
  EXPECT_THAT(conv.weights, ElementsAre(127, 13, 10, -10));
  EXPECT_THAT(conv.bias, ElementsAre(635, -1000));
  EXPECT_FLOAT_EQ(conv.weight_scales[0] / conv.weight_scales[1], 200.0F / 127);
  EXPECT_THAT(model_doubts(graph), ElementsAre(HasSubstr("the weights of 1 output channel of ")));
  b.model.buffers[b.tensor(w).buffer]->data[0] = 55 + 127;
  EXPECT_THAT(model_doubts(import_ok(b)), ::testing::IsEmpty());
}

// 2x3x4 map, a dense layer at each of its positions, which may be the rows of a matrix for it: as
// Keras writes it, with a RESHAPE in front or without.
TfliteBuilder dense_on_a_map(bool matrix_in, bool matrix_out) {
  using Extents = std::vector<std::int32_t>;
  TfliteBuilder b;
  const int x = b.input({1, 2, 3, 2}, 0.02F, 3);
  const int map = b.activation("map", {1, 2, 3, 4}, 0.05F, -7);
  b.conv({x, b.weights("map_w", {4, 1, 1, 2}, ramp(8), {0.1F}), -1}, map, {});
  const int rows = matrix_in ? b.reshape(map, {6, 4}) : map;
  const int y = b.activation("y", matrix_out ? Extents{6, 5} : Extents{1, 2, 3, 5}, 0.1F, 0);
  b.dense({rows, b.weights("w", {5, 4}, ramp(20), {0.1F}), -1}, y, Activation::RELU);
  return b;
}

TEST(TfliteReader, PositionsOfAMapMayBeRowsOfAMatrix) {
  const auto classified = [](TfliteBuilder b, bool image) {
    const int y = b.op(b.graph().operators.size() - 1).outputs[0];
    b.classifier(b.reshape(image ? b.reshape(y, {1, 2, 3, 5}) : y, {1, 30}), 30, 2);
    return import_ok(b);
  };
  const ir::Graph graph = classified(dense_on_a_map(false, false), false);
  EXPECT_TRUE(params<ir::Conv2D>(graph, 1).pointwise());
  EXPECT_EQ(graph.tensor(graph.features).shape, (ir::Shape{2, 3, 5}));
  for (const bool image : {false, true}) {
    testing::expect_equivalent(graph, classified(dense_on_a_map(true, true), image));
    testing::expect_equivalent(graph, classified(dense_on_a_map(false, true), image));
  }
}

// Axes of such a matrix are not those behind a batch.
TEST(TfliteReader, RowsOfAMatrixAreNotTakenForABatch) {
  TfliteBuilder b = dense_on_a_map(true, true);
  const int mean = b.activation("mean", {1, 6}, 0.1F, 0);
  b.mean(b.op(2).outputs[0], {1}, mean);
  b.classifier(mean, 6, 2);
  EXPECT_THAT(diagnostics(b),
              ElementsAre(HasSubstr("'y', whose rows are positions of one sample")));
  TfliteBuilder scores = dense_on_a_map(true, true);
  scores.op(2).options.AsFullyConnectedOptions()->activation = Activation::NONE;
  scores.graph().outputs = {scores.op(2).outputs[0]};
  EXPECT_THAT(diagnostics(scores), ElementsAre(HasSubstr("scores at every position of [N,6,4]")));
}

TEST(TfliteReader, LogisticOfOneOutputIsAClassifierOfTwo) {
  TfliteBuilder b;
  const int x = b.input({1, 4}, 0.02F, 3);
  b.classifier(x, 4, 1, false);
  EXPECT_THAT(diagnostics(b), ElementsAre(HasSubstr("a regression, not a classifier")));
  const int scores = b.activation("scores", {1, 1}, 1.0F / 256, -128);
  b.add(BuiltinOperator::LOGISTIC, {b.graph().outputs[0]}, scores);
  b.graph().outputs = {scores};
  const ir::Graph graph = import_ok(b);
  EXPECT_EQ(graph.head.classes, 2);
  EXPECT_THAT(std::vector(graph.head.weights.begin(), graph.head.weights.begin() + 4), Each(0.0F));
  EXPECT_FLOAT_EQ(graph.head.weights[4], -0.48F);
}

// ------------------------------------------------------------------------------------------------
// Refusals

void expect_one(const std::string& text, const std::function<void(TfliteBuilder&)>& change) {
  TfliteBuilder b = small_model();
  change(b);
  EXPECT_THAT(diagnostics(b), ElementsAre(HasSubstr(text)));
}

TEST(BadTflite, Files) {
  const auto refused = [](std::string_view bytes) {
    const Result<ir::Graph> graph = import_tflite_bytes(bytes, "model.tflite", "model");
    return graph.ok() ? std::string("was imported") : graph.error().message();
  };
  EXPECT_THAT(refused(""), HasSubstr("is empty"));
  EXPECT_THAT(refused("TFL3"), HasSubstr("is not a TFLite model"));
  const std::string bytes = small_model().bytes();
  for (std::size_t size = 1; size < bytes.size(); size += 7) {
    EXPECT_NE(refused(std::string_view(bytes).substr(0, size)), "was imported") << size;
  }
  expect_one("version 2 of the format", [](TfliteBuilder& b) { b.model.version = 2; });
  expect_one("no sound graph", [](TfliteBuilder& b) { b.op(0).inputs[0] = 99; });
  expect_one("no sound graph", [](TfliteBuilder& b) { b.graph().operators.clear(); });
}

TEST(BadTflite, FormsOfQuantisation) {
  TfliteBuilder b;
  const int x = b.input({1, 4}, 0, 0, TensorType::FLOAT32);
  const int y = b.activation("y", {1, 2}, 0, 0, TensorType::FLOAT32);
  b.dense({x, b.weights("w", {2, 4}, ramp(8), {0.1F}), -1}, y);
  b.graph().outputs = {y};
  EXPECT_THAT(diagnostics(b), ElementsAre(HasSubstr("only its weights are quantised")));
  b.tensor(1 + 1).type = TensorType::FLOAT32;
  EXPECT_THAT(diagnostics(b), ElementsAre(HasSubstr("is a float model; ")));
  expect_one("is INT16; convert with int8 activations", [](TfliteBuilder& c) {
    for (auto& tensor : c.graph().tensors) {
      if (tensor->name == "sum") tensor->type = TensorType::INT16;
    }
  });
}

TEST(BadTflite, OneLineAKind) {
  TfliteBuilder b = small_model();
  const int mean = b.op(3).outputs[0];
  int x = mean;
  for (int i = 0; i < 5; ++i) {
    const int y = b.like(mean, "h" + std::to_string(i), {1, 8});
    b.add(BuiltinOperator::L2_NORMALIZATION, {x}, y);
    x = y;
  }
  auto& operators = b.graph().operators;
  std::rotate(operators.begin() + 4, operators.end() - 5, operators.end());
  b.op(9).inputs[0] = x;
  EXPECT_THAT(diagnostics(b),
              ElementsAre(HasSubstr("node 4 'h0' (L2_NORMALIZATION) and 4 more like it: this "
                                    "operator is not supported; rewrite the network")));
}

// A converter that does not know a shape states 1 for every extent.
TEST(BadTflite, ShapesComputedAtRunTime) {
  TfliteBuilder b;
  const int x = b.input({1, 4, 3}, 0.02F, 3);
  const int flat = b.like(x, "flat", {1, 1});
  b.tensor(flat).shape_signature = {-1, -1};
  b.add(BuiltinOperator::RESHAPE, {x, b.integers("shape", {1, 12})}, flat);
  b.classifier(flat, 12, 2);
  EXPECT_THAT(diagnostics(b), ElementsAre(HasSubstr("reshapes [N,4,3] to a shape that is computed "
                                                    "at run time; convert the model for a batch")));
}

TEST(BadTflite, WhatToDoDependsOnTheOperator) {
  const auto behind_input = [](BuiltinOperator code, const char* custom = nullptr) {
    TfliteBuilder b;
    const int x = b.input({1, 4}, 0.02F, 3);
    const int y = b.like(x, "y", {1, 4});
    b.add(code, {x}, y);
    if (custom != nullptr) b.model.operator_codes[0]->custom_code = custom;
    b.classifier(y, 4, 2);
    return diagnostics(b);
  };
  EXPECT_THAT(behind_input(BuiltinOperator::VAR_HANDLE),
              ElementsAre(AllOf(HasSubstr("'y' (VAR_HANDLE)"), HasSubstr("a whole window"))));
  EXPECT_THAT(behind_input(BuiltinOperator::DENSIFY), ElementsAre(HasSubstr("stored sparse")));
  for (const char* custom : {"edgetpu-custom-op", "ethos-u", "NeutronGraph", "XC_pad"}) {
    EXPECT_THAT(behind_input(BuiltinOperator::CUSTOM, custom),
                ElementsAre(AllOf(HasSubstr(custom), HasSubstr("compiled for an accelerator"))));
  }
  EXPECT_THAT(behind_input(BuiltinOperator::CUSTOM, "Mine"),
              ElementsAre(HasSubstr("(Mine): this operator is not supported; rewrite")));
}

TEST(BadTflite, Layers) {
  expect_one("a dilation is out of range",
             [](TfliteBuilder& b) { b.op(0).options.AsConv2DOptions()->dilation_w = 0; });
  expect_one("stride", [](TfliteBuilder& b) { b.op(0).options.AsConv2DOptions()->stride_w = 0; });
  expect_one("options are missing", [](TfliteBuilder& b) { b.op(0).options.Reset(); });
  expect_one("SIGN_BIT is not supported", [](TfliteBuilder& b) {
    b.op(0).options.AsConv2DOptions()->activation = Activation::SIGN_BIT;
  });
  expect_one("its weights is not a constant", [](TfliteBuilder& b) { b.op(0).inputs[1] = -1; });
  expect_one("RELU follows it", [](TfliteBuilder& b) {
    b.op(4).options.AsFullyConnectedOptions()->activation = Activation::RELU;
  });
  expect_one("promises 72 elements", [](TfliteBuilder& b) { b.model.buffers[1]->data.pop_back(); });
  expect_one("its output is", [](TfliteBuilder& b) { b.tensor(3 + 1).shape = {1, 3, 3, 5}; });
  expect_one("2 outputs", [](TfliteBuilder& b) { b.graph().outputs.push_back(0); });
  expect_one("has 2 inputs", [](TfliteBuilder& b) { b.graph().inputs.push_back(0); });
  expect_one("averages axes 3",
             [](TfliteBuilder& b) { b.op(3).inputs[1] = b.integers("one", {3}); });
}

TEST(BadTflite, MutatedBytesNeverCrash) {
  const std::string good = small_model().bytes();
  int accepted = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    Rng rng{11, seed};
    std::string bytes = good;
    for (std::uint64_t n = 1 + rng.below(4); n > 0; --n) {
      bytes[rng.below(bytes.size())] = static_cast<char>(rng.below(256));
    }
    const Result<ir::Graph> graph = import_tflite_bytes(bytes, "model.tflite", "model");
    if (graph.ok()) {
      ++accepted;
      EXPECT_TRUE(ir::verify(*graph).ok());
    } else {
      EXPECT_EQ(graph.error().kind, ErrorKind::kBadInput);
    }
  }
  EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace espalier
