// Activation functions, products, joins and dilated convolutions as TFLite files have them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "channel_function.hpp"
#include "equivalent.hpp"
#include "espalier/import/tflite_reader.hpp"
#include "testing/forward.hpp"
#include "testing/random_graph.hpp"
#include "tflite_builder.hpp"

namespace espalier {
namespace {

using testing::BuiltinOperator;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TensorType;
using testing::TfliteBuilder;

ir::Graph import_ok(const TfliteBuilder& builder) {
  Result<ir::Graph> graph = builder.import();
  if (!graph.ok()) throw std::runtime_error(graph.error().message());
  return std::move(graph).value();
}

std::vector<std::string> kinds(const ir::Graph& graph) {
  std::vector<std::string> names;
  for (const ir::Op& op : graph.ops) names.emplace_back(ir::mnemonic(op.params));
  return names;
}

constexpr float kIn = 0.04F;
constexpr int kInZero = 7;
constexpr float kOut = 0.03F;
constexpr int kOutZero = -40;

// [1,3,3,2], whatever `ops` makes of it, mean and classifier.
TfliteBuilder around(const std::function<int(TfliteBuilder&, int)>& ops, int channels = 2) {
  TfliteBuilder b;
  const int y = ops(b, b.input({1, 3, 3, 2}, kIn, kInZero));
  const int mean = b.like(y, "mean", {1, channels});
  b.mean(y, {1, 2}, mean);
  b.classifier(mean, channels, 3);
  return b;
}

int result(TfliteBuilder& b, int channels = 2) {
  return b.activation("result", {1, 3, 3, channels}, kOut, kOutZero);
}

struct Case {
  std::string name;
  std::function<int(TfliteBuilder&, int)> ops;
  double (*formula)(double);
  double tolerance = 0.5001;
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }

std::function<int(TfliteBuilder&, int)> unary(BuiltinOperator code) {
  return [code](TfliteBuilder& b, int x) {
    const int y = result(b);
    b.add(code, {x}, y);
    return y;
  };
}

int scalar(TfliteBuilder& b, int q, float scale) {
  return b.constant<std::int8_t>("scalar", {}, {static_cast<std::int8_t>(q)}, TensorType::INT8,
                                 {scale});
}

const Case kCases[]{
    {"Logistic", unary(BuiltinOperator::LOGISTIC), [](double x) { return 1 / (1 + std::exp(-x)); }},
    {"Tanh", unary(BuiltinOperator::TANH), [](double x) { return std::tanh(x); }},
    {"Elu", unary(BuiltinOperator::ELU), [](double x) { return x < 0 ? std::exp(x) - 1 : x; }},
    // In 16-bit fixed point.
    {"HardSwish", unary(BuiltinOperator::HARD_SWISH),
     [](double x) { return x * std::clamp(x + 3, 0.0, 6.0) / 6; }, 0.52},
    {"LeakyRelu",
     [](TfliteBuilder& b, int x) {
       const int y = result(b);
       tflite::LeakyReluOptionsT options;
       options.alpha = 0.3F;
       b.add(BuiltinOperator::LEAKY_RELU, {x}, y).options.Set(options);
       return y;
     },
     [](double x) { return x < 0 ? 0.3 * x : x; }},
    {"LeakyReluTurned",
     [](TfliteBuilder& b, int x) {
       const int y = result(b);
       tflite::LeakyReluOptionsT options;
       options.alpha = -0.5F;
       b.add(BuiltinOperator::LEAKY_RELU, {x}, y).options.Set(options);
       return y;
     },
     [](double x) { return x < 0 ? -0.5 * x : x; }},
    {"Prelu",
     [](TfliteBuilder& b, int x) {
       const int y = result(b);
       const int slope =
           b.constant<std::int8_t>("slope", {1, 1, 2}, {25, 25}, TensorType::INT8, {0.01F});
       b.add(BuiltinOperator::PRELU, {x, slope}, y);
       return y;
     },
     [](double x) { return x < 0 ? 0.25 * x : x; }},
    {"TimesNumber",
     [](TfliteBuilder& b, int x) {
       const int y = result(b);
       b.add(BuiltinOperator::MUL, {scalar(b, -75, 0.01F), x}, y)
           .options.Set(tflite::MulOptionsT{});
       return y;
     },
     [](double x) { return -0.75 * x; }},
    {"PlusNumber",
     [](TfliteBuilder& b, int x) {
       const int y = result(b);
       b.add(BuiltinOperator::ADD, {x, scalar(b, 50, 0.02F)}, y).options.Set(tflite::AddOptionsT{});
       return y;
     },
     [](double x) { return x + 1; }},
    {"NumberMinus",
     [](TfliteBuilder& b, int x) {
       const int y = result(b);
       tflite::SubOptionsT options;
       options.activation = tflite::Activation::RELU;
       b.add(BuiltinOperator::SUB, {scalar(b, 50, 0.02F), x}, y).options.Set(options);
       return y;
     },
     [](double x) { return std::max(0.0, 1 - x); }},
};

class TfliteFunctions : public ::testing::TestWithParam<Case> {};

TEST_P(TfliteFunctions, IsOneTable) {
  const ir::Graph graph = import_ok(around(GetParam().ops));
  ASSERT_THAT(kinds(graph), ElementsAre("lookup", "average_pool"));
  const auto& table = std::get<ir::Lookup>(graph.ops[0].params);
  for (int q = -128; q <= 127; ++q) {
    const double real = GetParam().formula((q - kInZero) * static_cast<double>(kIn));
    const double units = std::clamp(real / static_cast<double>(kOut) + kOutZero, -128.0, 127.0);
    EXPECT_NEAR(table.output(static_cast<std::int8_t>(q)), units, GetParam().tolerance) << q;
  }
}

INSTANTIATE_TEST_SUITE_P(All, TfliteFunctions, ::testing::ValuesIn(kCases),
                         [](const auto& tested) { return tested.param.name; });

// The fixed-point form at other scales: far beyond the bend, with a shift to the left in the gate,
// and with one to the right.
TEST(TfliteFunctions, HardSwishAtAnyScale) {
  for (const float scale : {0.004F, 0.02F, 0.1F, 0.5F, 3.0F}) {
    TfliteBuilder b;
    const int x = b.input({1, 3, 3, 2}, scale, 10);
    const int y = b.activation("y", {1, 3, 3, 2}, scale, -50);
    b.add(BuiltinOperator::HARD_SWISH, {x}, y);
    const int mean = b.like(y, "mean", {1, 2});
    b.mean(y, {1, 2}, mean);
    b.classifier(mean, 2, 3);
    const ir::Graph graph = import_ok(b);
    const auto& table = std::get<ir::Lookup>(graph.ops[0].params);
    for (int q = -128; q <= 127; ++q) {
      const double real = (q - 10) * static_cast<double>(scale);
      const double swish = real * std::clamp(real + 3, 0.0, 6.0) / 6;
      const double units = std::clamp(swish / static_cast<double>(scale) - 50, -128.0, 127.0);
      EXPECT_NEAR(table.output(static_cast<std::int8_t>(q)), units, 0.55) << scale << ' ' << q;
    }
  }
}

TEST(TfliteFunctions, SlopesOfEachChannel) {
  const ir::Graph graph = import_ok(around([](TfliteBuilder& b, int x) {
    const int y = result(b);
    b.add(BuiltinOperator::PRELU,
          {x, b.constant<std::int8_t>("s", {1, 1, 2}, {25, -60}, TensorType::INT8, {0.01F})}, y);
    return y;
  }));
  ASSERT_THAT(kinds(graph), ElementsAre("rescale", "rescale", "conv2d", "add", "average_pool"));
  testing::expect_by_channel(graph, {kOut, kOutZero},
                             {[](double x) { return x < 0 ? 0.25 * x : x; },
                              [](double x) { return x < 0 ? -0.6 * x : x; }});
}

TEST(TfliteFunctions, ExtremaOfOneNumberAreClips) {
  const ir::Graph graph = import_ok(around([](TfliteBuilder& b, int x) {
    const int least = b.like(x, "least", {1, 3, 3, 2});
    b.add(BuiltinOperator::MINIMUM, {x, scalar(b, 30, 0.04F)}, least);
    const int y = b.like(x, "y", {1, 3, 3, 2});
    const int bound = b.constant<std::int8_t>("bound", {}, {-20}, TensorType::INT8, {0.04F});
    b.add(BuiltinOperator::MAXIMUM, {bound, least}, y);
    return y;
  }));
  ASSERT_THAT(kinds(graph), ElementsAre("rescale", "rescale", "average_pool"));
  const auto clip = [](double x) { return std::clamp(x, -0.8, 1.2); };
  testing::expect_by_channel(graph, {kIn, kInZero}, {clip, clip}, 0.001);
}

TEST(TfliteFunctions, SqueezeAndExcite) {
  const ir::Graph graph = import_ok(around([](TfliteBuilder& b, int x) {
    const int squeezed = b.like(x, "squeezed", {1, 1, 1, 2});
    b.mean(x, {1, 2}, squeezed);
    const int c = b.activation("c", {1, 1, 1, 2}, 0.05F, 3);
    b.conv({squeezed, b.weights("w", {2, 1, 1, 2}, {1, -90, 50, 7}, {0.01F}),
            b.integers("bias", {10, -10})},
           c, {});
    const int gate = b.activation("gate", {1, 1, 1, 2}, 1.0F / 256, -128);
    b.add(BuiltinOperator::LOGISTIC, {c}, gate);
    const int y = result(b);
    b.add(BuiltinOperator::MUL, {gate, x}, y).options.Set(tflite::MulOptionsT{});
    return y;
  }));
  ASSERT_THAT(kinds(graph), ElementsAre("average_pool", "conv2d", "lookup", "mul", "average_pool"));
  EXPECT_EQ(graph.ops[3].inputs[0], graph.input);
  EXPECT_TRUE(ir::is_gate(graph, graph.ops[3]));
}

TEST(TfliteFunctions, Concatenation) {
  const ir::Graph graph = import_ok(around(
      [](TfliteBuilder& b, int x) {
        const int t = b.like(x, "t", {1, 3, 3, 2});
        b.add(BuiltinOperator::TANH, {x}, t);
        const int y = b.like(x, "y", {1, 3, 3, 6});
        tflite::ConcatenationOptionsT options;
        options.axis = -1;
        b.add(BuiltinOperator::CONCATENATION, {x, t, x}, y).options.Set(options);
        return y;
      },
      6));
  ASSERT_THAT(kinds(graph), ElementsAre("lookup", "concat", "average_pool"));
  EXPECT_EQ(graph.ops[1].inputs[0], graph.input);
  EXPECT_EQ(graph.ops[1].inputs[2], graph.input);
}

// (x - mean) / deviation with one number a channel: a depthwise layer each.
TEST(TfliteFunctions, NormalisationByConstants) {
  const ir::Graph graph = import_ok(around([](TfliteBuilder& b, int x) {
    const int shifted = b.activation("shifted", {1, 3, 3, 2}, 0.05F, 2);
    b.add(BuiltinOperator::SUB,
          {x, b.constant<std::int8_t>("m", {2}, {10, -50}, TensorType::INT8, {0.02F})}, shifted)
        .options.Set(tflite::SubOptionsT{});
    const int y = result(b);
    b.add(BuiltinOperator::MUL,
          {shifted,
           b.constant<std::int8_t>("d", {1, 1, 1, 2}, {30, -60}, TensorType::INT8, {0.02F})},
          y)
        .options.Set(tflite::MulOptionsT{});
    return y;
  }));
  ASSERT_THAT(kinds(graph), ElementsAre("conv2d", "conv2d", "average_pool"));
  Rng rng{4};
  const auto input = testing::random_int8(rng, 18);
  const testing::Activations all = testing::forward(graph, input);
  const auto& shifted = all.tensors[static_cast<std::size_t>(graph.ops[0].output)];
  const auto& y = all.tensors[static_cast<std::size_t>(graph.ops[1].output)];
  for (std::size_t i = 0; i < 18; ++i) {
    const double real = (input[i] - kInZero) * static_cast<double>(kIn) - (i % 2 == 0 ? 0.2 : -1);
    EXPECT_NEAR(shifted[i], std::clamp(real / 0.05 + 2, -128.0, 127.0), 0.51);
    const double product = (shifted[i] - 2) * 0.05 * (i % 2 == 0 ? 0.6 : -1.2);
    EXPECT_NEAR(y[i], std::clamp(product / static_cast<double>(kOut) + kOutZero, -128.0, 127.0),
                0.51);
  }
}

TEST(TfliteFunctions, DilationSpreadsTheWeights) {
  const auto model = [](bool dilated, bool depthwise) {
    TfliteBuilder b;
    const int x = b.input({1, 9, 8, 2}, 0.02F, 3);
    std::vector<std::int8_t> w;
    for (int i = 0; i < 24; ++i) w.push_back(static_cast<std::int8_t>(i * 9 - 100));
    // 3x2 taps and 2 channels for each of 2 outputs, or of a depthwise layer.
    const int outputs = depthwise ? 1 : 2;
    std::vector<std::int8_t> spread(std::size_t(outputs * 7 * 3 * 2), 0);
    for (int o = 0; o < outputs; ++o) {
      for (int t = 0; t < 6; ++t) {
        for (int c = 0; c < 2; ++c) {
          spread[std::size_t(((o * 7 + t / 2 * 3) * 3 + t % 2 * 2) * 2 + c)] =
              w[std::size_t((o * 6 + t) * 2 + c)];
        }
      }
    }
    w.resize(std::size_t(outputs * 12));
    const int weights = dilated ? b.weights("w", {outputs, 3, 2, 2}, w, {0.01F})
                                : b.weights("w", {outputs, 7, 3, 2}, spread, {0.01F});
    const int y = b.activation("c", {1, 9, 8, 2}, 0.05F, 3);
    const int bias = b.integers("b", {100, -100});
    if (depthwise) {
      b.depthwise({x, weights, bias}, y, 1, {});
      auto& options = *b.op(0).options.AsDepthwiseConv2DOptions();
      options.dilation_h = dilated ? 3 : 1;
      options.dilation_w = dilated ? 2 : 1;
    } else {
      b.conv({x, weights, bias}, y, {});
      auto& options = *b.op(0).options.AsConv2DOptions();
      options.dilation_h = dilated ? 3 : 1;
      options.dilation_w = dilated ? 2 : 1;
    }
    const int mean = b.like(y, "mean", {1, 2});
    b.mean(y, {1, 2}, mean);
    b.classifier(mean, 2, 3);
    return import_ok(b);
  };
  for (const bool depthwise : {false, true}) {
    const ir::Graph dilated = model(true, depthwise);
    const ir::Graph spread = model(false, depthwise);
    EXPECT_TRUE(std::get<ir::Conv2D>(dilated.ops[0].params).window.dilated());
    Rng rng{3};
    for (int i = 0; i < 5; ++i) {
      const auto input = testing::random_int8(rng, 144);
      EXPECT_EQ(testing::forward(dilated, input).tensors[1],
                testing::forward(spread, input).tensors[1]);
    }
  }
}

// Older converters write dilation as blocks that become samples and come back.
TEST(TfliteFunctions, BlocksAreDilation) {
  const auto model = [](bool blocks) {
    TfliteBuilder b;
    const int x = b.input({1, 9, 8, 2}, 0.02F, 3);
    std::vector<std::int8_t> w;
    for (int i = 0; i < 18; ++i) w.push_back(static_cast<std::int8_t>(i * 13 - 100));
    const int weights = b.weights("w", {1, 3, 3, 2}, w, {0.01F});
    const int bias = b.integers("b", {100, -100});
    const int y = b.activation("y", {1, 9, 8, 2}, 0.05F, 3);
    if (blocks) {
      // SAME: two zeros on each side; 13 rows are filled up to 14.
      const int block = b.integers("block", {2, 2});
      const int spread = b.like(x, "spread", {4, 7, 6, 2});
      b.add(BuiltinOperator::SPACE_TO_BATCH_ND,
            {x, block, b.integers("pads", {2, 3, 2, 2}, {2, 2})}, spread);
      const int c = b.like(y, "c", {4, 5, 4, 2});
      b.depthwise({spread, weights, bias}, c, 1,
                  {tflite::Padding::VALID, 1, 1, tflite::Activation::RELU});
      b.add(BuiltinOperator::BATCH_TO_SPACE_ND,
            {c, block, b.integers("crops", {0, 1, 0, 0}, {2, 2})}, y);
    } else {
      b.depthwise({x, weights, bias}, y, 1,
                  {tflite::Padding::SAME, 1, 1, tflite::Activation::RELU});
      b.op(0).options.AsDepthwiseConv2DOptions()->dilation_h = 2;
      b.op(0).options.AsDepthwiseConv2DOptions()->dilation_w = 2;
    }
    const int mean = b.like(y, "mean", {1, 2});
    b.mean(y, {1, 2}, mean);
    b.classifier(mean, 2, 3);
    return b;
  };
  testing::expect_equivalent(import_ok(model(true)), import_ok(model(false)));
  TfliteBuilder other = model(true);
  other.op(1).options.AsDepthwiseConv2DOptions()->stride_w = 2;
  EXPECT_THAT(other.import().error().message(),
              HasSubstr("behind SPACE_TO_BATCH_ND without a BATCH_TO_SPACE_ND"));
  // Modulo 2^32 this is a dilation of 2.
  TfliteBuilder wide = model(true);
  wide.op(1).options.AsDepthwiseConv2DOptions()->dilation_w = 20857;
  for (const auto& tensor : wide.graph().tensors) {
    const std::int32_t blocks[]{2, 823698};
    if (tensor->name != "block") continue;
    std::memcpy(wide.model.buffers[tensor->buffer]->data.data(), blocks, sizeof blocks);
  }
  EXPECT_THAT(wide.import().error().message(),
              HasSubstr("its dilation of 2x17179869186 is out of range"));
}

// Modulo 2^32 it would be none.
TEST(TfliteFunctions, PaddingOfManyOperatorsIsRefused) {
  TfliteBuilder b;
  int x = b.input({1, 4, 4, 2}, 0.02F, 3);
  const int amounts = b.integers("pads", {0, 0, 1 << 20, 0, 0, 0, 0, 0}, {4, 2});
  for (int i = 0; i < 4096; ++i) {
    const int padded = b.like(x, "padded", {1, 4, 4, 2});
    b.add(BuiltinOperator::PAD, {x, amounts}, padded);
    x = padded;
  }
  const int mean = b.like(x, "mean", {1, 2});
  b.mean(x, {1, 2}, mean);
  b.classifier(mean, 2, 3);
  EXPECT_THAT(b.import().error().message(), HasSubstr("its padding is out of range"));
}

// Likewise of a causal Conv1D, as Keras writes it: blocks of the series, an image of one row for
// the convolution alone.
TEST(TfliteFunctions, BlocksOfASeriesAreADilation) {
  const auto model = [](bool blocks) {
    TfliteBuilder b;
    const int x = b.input({1, 9, 2}, 0.02F, 3);
    std::vector<std::int8_t> values;
    for (int i = 0; i < 24; ++i) values.push_back(static_cast<std::int8_t>(5 * i - 50));
    const int weights = b.weights("w", {4, 1, 3, 2}, values, {0.1F});
    const int padded = b.like(x, "padded", {1, 13, 2});
    b.add(BuiltinOperator::PAD, {x, b.integers("causal", {0, 0, 4, 0, 0, 0}, {3, 2})}, padded);
    int y = -1;
    if (blocks) {
      const int block = b.integers("block", {2});
      const int spread = b.like(x, "spread", {2, 7, 2});
      b.add(BuiltinOperator::SPACE_TO_BATCH_ND, {padded, block, b.integers("pads", {0, 1}, {1, 2})},
            spread);
      const int image = b.like(x, "image", {2, 1, 7, 2});
      b.add(BuiltinOperator::EXPAND_DIMS, {spread, b.integers("axis", {1})}, image);
      const int c = b.activation("c", {2, 1, 5, 4}, 0.1F, 0);
      b.conv({image, weights, -1}, c, {tflite::Padding::VALID});
      const int row = b.reshape(c, {2, 5, 4});
      y = b.like(c, "y", {1, 9, 4});
      b.add(BuiltinOperator::BATCH_TO_SPACE_ND, {row, block, b.integers("crops", {0, 1}, {1, 2})},
            y);
    } else {
      const int image = b.like(x, "image", {1, 1, 13, 2});
      b.add(BuiltinOperator::EXPAND_DIMS, {padded, b.integers("axis", {1})}, image);
      const int c = b.activation("c", {1, 1, 9, 4}, 0.1F, 0);
      b.conv({image, weights, -1}, c, {tflite::Padding::VALID});
      b.op(2).options.AsConv2DOptions()->dilation_w = 2;
      y = b.reshape(c, {1, 9, 4});
    }
    b.classifier(b.reshape(y, {1, 36}), 36, 3);
    return b;
  };
  testing::expect_equivalent(import_ok(model(true)), import_ok(model(false)));
}

// What fuzzing found: extents whose product no integer holds.
TEST(TfliteFunctions, ImpossibleExtentsAreRefused) {
  TfliteBuilder b = around([](TfliteBuilder& made, int x) {
    return made.reshape(x, {1, 1 << 20, 1 << 20, 1 << 20, 1 << 20});
  });
  EXPECT_FALSE(b.import().ok());
}

TEST(TfliteFunctions, RefusalsAreNamed) {
  const auto refused = [](const std::function<int(TfliteBuilder&, int)>& ops) {
    const Result<ir::Graph> graph = around(ops).import();
    return graph.ok() ? std::string("was imported") : graph.error().message();
  };
  EXPECT_THAT(
      refused([](TfliteBuilder& b, int x) {
        const int y = result(b);
        b.add(BuiltinOperator::PRELU,
              {x, b.constant<std::int8_t>("s", {1, 3, 1}, {25, 26, 2}, TensorType::INT8, {0.01F})},
              y);
        return y;
      }),
      HasSubstr("its slopes of [1,3,1] are not one a channel"));
  EXPECT_THAT(
      refused([](TfliteBuilder& b, int x) {
        const int y = result(b);
        b.add(BuiltinOperator::MINIMUM,
              {x, b.constant<std::int8_t>("s", {1, 1, 2}, {25, 26}, TensorType::INT8, {0.01F})}, y);
        return y;
      }),
      HasSubstr("compares with more than one number"));
  EXPECT_THAT(refused([](TfliteBuilder& b, int x) {
                const int y = b.activation("result", {1, 3, 3, 2}, kIn / 1000, kOutZero);
                b.add(BuiltinOperator::HARD_SWISH, {x}, y);
                return y;
              }),
              HasSubstr("a scale below 1/128 of its input's"));
  EXPECT_THAT(refused([](TfliteBuilder& b, int x) {
                const int y = b.activation("result", {1, 6, 3, 2}, kIn, kInZero);
                tflite::ConcatenationOptionsT options;
                options.axis = 1;
                b.add(BuiltinOperator::CONCATENATION, {x, x}, y).options.Set(options);
                return y;
              }),
              HasSubstr("along axis 1"));
  EXPECT_THAT(refused([](TfliteBuilder& b, int x) {
                const int y = result(b);
                b.add(BuiltinOperator::SUB, {x, x}, y).options.Set(tflite::SubOptionsT{});
                return y;
              }),
              HasSubstr("subtracts two tensors"));
}

// As many numbers as channels, but along the rows of which there are as many.
TEST(TfliteFunctions, NumbersAlongAnotherAxisAreRefused) {
  for (const BuiltinOperator code :
       {BuiltinOperator::ADD, BuiltinOperator::MUL, BuiltinOperator::PRELU}) {
    for (const bool rows : {false, true}) {
      TfliteBuilder b;
      const int x = b.input({1, 4, 3, 4}, 0.02F, 3);
      const int k = b.weights(
          "k", rows ? std::vector<std::int32_t>{4, 1, 1} : std::vector<std::int32_t>{1, 1, 4},
          {10, 20, 30, 40}, {0.01F});
      const int y = b.activation("y", {1, 4, 3, 4}, 0.02F, 3);
      b.add(code, {x, k}, y);
      b.classifier(b.reshape(y, {1, 48}), 48, 3);
      const Result<ir::Graph> graph = b.import();
      EXPECT_EQ(graph.ok(), !rows);
      if (graph.ok()) continue;
      EXPECT_THAT(graph.error().message(), HasSubstr("one"));
      EXPECT_THAT(graph.error().message(), HasSubstr("a channel"));
    }
  }
}

TEST(TfliteFunctions, MaximaOfAxes) {
  for (const bool keep : {false, true}) {
    TfliteBuilder b;
    const int x = b.input({1, 4, 3, 2}, 0.02F, 3);
    const int y = b.like(
        x, "most", keep ? std::vector<std::int32_t>{1, 1, 1, 2} : std::vector<std::int32_t>{1, 2});
    tflite::ReducerOptionsT options;
    options.keep_dims = keep;
    b.add(BuiltinOperator::REDUCE_MAX, {x, b.integers("axes", {1, 2})}, y).options.Set(options);
    b.classifier(y, 2, 3);
    const Result<ir::Graph> graph = b.import();
    ASSERT_TRUE(graph.ok()) << graph.error().message();
    std::vector<std::int8_t> q;
    for (int i = 0; i < 24; ++i) q.push_back(static_cast<std::int8_t>((i * 37) % 101 - 50));
    const auto all = testing::forward(*graph, q);
    for (std::size_t c = 0; c < 2; ++c) {
      int most = -128;
      for (std::size_t i = c; i < q.size(); i += 2) most = std::max<int>(most, q[i]);
      EXPECT_EQ(all.tensors[static_cast<std::size_t>(graph->features)][c], most);
    }
  }
}

// As converters write the padding of a maximum pool: what is lowest never wins.
TEST(TfliteFunctions, PaddingWithTheLowestValue) {
  const auto build = [](int value, BuiltinOperator pool) {
    TfliteBuilder b;
    const int x = b.input({1, 3, 4, 1}, 0.02F, 3);
    const int padded = b.like(x, "padded", {1, 5, 5, 1});
    const int fill = b.constant<std::int8_t>("fill", {}, {static_cast<std::int8_t>(value)},
                                             TensorType::INT8, {0.02F}, 0, 3);
    b.add(BuiltinOperator::PADV2, {x, b.integers("pads", {0, 0, 1, 1, 0, 1, 0, 0}, {4, 2}), fill},
          padded);
    const int y = b.like(x, "y", {1, 2, 2, 1});
    b.pool(pool, padded, y, 3, 3,
           {.padding = tflite::Padding::VALID, .stride_h = 2, .stride_w = 2});
    b.classifier(b.reshape(y, {1, 4}), 4, 3);
    return b;
  };
  const std::vector<std::int8_t> q{-50, -40, -30, -20, -60, -70, -80, -90, -10, -11, -12, -13};
  const ir::Graph graph = import_ok(build(-128, BuiltinOperator::MAX_POOL_2D));
  EXPECT_THAT(kinds(graph), ElementsAre("max_pool"));
  EXPECT_THAT(testing::forward(graph, q).tensors.back(), ElementsAre(-30, -20, -10, -12));
  const ir::Graph zeros = import_ok(build(3, BuiltinOperator::MAX_POOL_2D));
  EXPECT_THAT(testing::forward(zeros, q).tensors.back(), ElementsAre(3, 3, 3, 3));
  for (const auto& [value, pool] : {std::pair(-128, BuiltinOperator::AVERAGE_POOL_2D),
                                    std::pair(-100, BuiltinOperator::MAX_POOL_2D)}) {
    const Result<ir::Graph> refused = build(value, pool).import();
    ASSERT_FALSE(refused.ok());
    EXPECT_THAT(refused.error().message(), HasSubstr("another value than zero"));
  }
}

TEST(TfliteFunctions, ArgMaxAtTheEndIsDropped) {
  TfliteBuilder b;
  b.classifier(b.input({1, 4}, 0.02F, 3), 4, 3);
  const int y = b.activation("class", {1}, 0, 0, TensorType::INT64);
  b.tensor(y).quantization.reset();
  b.add(BuiltinOperator::ARG_MAX, {b.graph().outputs[0], b.integers("axis", {1})}, y);
  b.graph().outputs = {y};
  const Result<ir::Graph> graph = b.import();
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  EXPECT_EQ(graph->head.classes, 3);
}

}  // namespace
}  // namespace espalier
