// Constants of each channel that no layer took in: equal to the file's own arithmetic whatever the
// input, or refused by name.
#include "channel_numbers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "testing/forward.hpp"
#include "tflite_builder.hpp"

namespace espalier {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::NumbersForm;
using testing::OnnxBuilder;

int quantised(float real, const ir::Quantization& to) {
  const float units = std::nearbyint(real / to.scale) + static_cast<float>(to.zero_point);
  return static_cast<int>(std::clamp(units, -128.0F, 127.0F));
}

// What the only op makes of one value in all channels.
std::vector<std::int8_t> result(const ir::Graph& graph, int q) {
  const ir::TensorId input = graph.ops[0].inputs[0];
  const std::vector<std::int8_t> x(static_cast<std::size_t>(graph.tensor(input).shape.elements()),
                                   static_cast<std::int8_t>(q));
  const std::vector<std::vector<std::int8_t>> inputs{x};
  return kernels::reference::forward(graph, graph.ops[0], inputs).output;
}

class ChannelNumbers : public ::testing::TestWithParam<NumbersForm> {};

TEST_P(ChannelNumbers, AreExactForEveryInput) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    SCOPED_TRACE(seed);
    const testing::NumbersModel model = testing::numbers_model(GetParam(), seed);
    const Result<ir::Graph> graph = model.builder.import();
    ASSERT_TRUE(graph.ok()) << graph.error().message();
    ASSERT_EQ(graph->ops.size(), 1U);
    for (int q = -128; q <= 127; ++q) {
      const std::vector<std::int8_t> y = result(*graph, q);
      const float real = static_cast<float>(q - model.in.zero_point) * model.in.scale;
      for (std::size_t c = 0; c < y.size(); ++c) {
        ASSERT_EQ(y[c], quantised(model.formula(c, real), model.out)) << q << " channel " << c;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ChannelNumbers, ::testing::ValuesIn(testing::kNumbersForms));

// Every other value is a half, and halves go to even: no multiplication rounds so.
TEST(ChannelNumbersRefused, WhereNoLineIsExact) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 2, 1, 1}), "input", 0.25F, 0);
  b.node("Mul", {x, b.constant<float>("half", {2, 1, 1}, {1.0F, 0.5F})}, "y");
  b.classifier(b.quantized("y", "y", 0.25F, 0), 2, 3);
  const Result<ir::Graph> graph = b.import();
  ASSERT_FALSE(graph.ok());
  EXPECT_THAT(
      graph.error().message(),
      AllOf(HasSubstr("'y' (Mul)"), HasSubstr("channel 1, x * 0.5 + 0"),
            HasSubstr("is not exact in integers"), HasSubstr("fold it into the layer before it")));
}

// BatchNormalization is along the axis behind the batch, which a transposition makes that of rows.
TEST(ChannelNumbersRefused, AlongAnotherAxis) {
  const auto diagnosis = [](bool transposed, std::int64_t training) {
    OnnxBuilder b;
    std::string x = b.quantized(b.input("input", {0, 3, 3, 2}), "input", 0.05F, 4);
    if (transposed) {
      testing::set_attribute(b.node("Transpose", {x}, "t"), "perm", testing::Dims{0, 2, 3, 1});
      x = "t";
    }
    const auto list = [&](const std::string& name, float first) {
      return b.constant<float>(name, {3}, {first, 1.1F, 0.7F});
    };
    onnx::NodeProto& node =
        b.node("BatchNormalization",
               {x, list("g", 0.9F), list("b", 0.2F), list("m", 0.1F), list("v", 1.3F)}, "y");
    if (training != 0) testing::set_attribute(node, "training_mode", training);
    b.classifier(b.quantized("y", "y", 0.05F, 0), 18, 3);
    const Result<ir::Graph> graph = b.import();
    return graph.ok() ? std::string() : graph.error().message();
  };
  EXPECT_EQ(diagnosis(false, 0), "");
  EXPECT_THAT(diagnosis(true, 0), HasSubstr("not with one number a channel"));
  EXPECT_THAT(diagnosis(false, 1), HasSubstr("it is in training mode"));
}

// A negative factor turns the weights of a layer that it goes into around, and 128 is none of int8.
TEST(ChannelNumbersRefused, WhereAWeightCannotBeTurnedAround) {
  const auto diagnosis = [](const std::string& type, std::vector<float> numbers, int lowest) {
    OnnxBuilder b;
    const std::string x = b.quantized(b.input("input", {0, 1, 1, 1}), "input", 0.05F, 5);
    const std::vector<std::int8_t> weights{static_cast<std::int8_t>(lowest), 100};
    b.node("Conv", {x, b.weights("w", {2, 1, 1, 1}, weights, {0.02F})}, "c");
    if (type == "BatchNormalization") {
      const auto list = [&](const std::string& name, const std::vector<float>& values) {
        return b.constant<float>(name, {2}, values);
      };
      b.node(type,
             {"c", list("g", numbers), list("b", {0, 0}), list("m", {0, 0}), list("v", {1, 1})},
             "y");
    } else {
      const std::string k = b.constant<float>("k", {2, 1, 1}, numbers);
      std::vector<std::string> inputs{"c", k};
      if (type == "Sub") std::swap(inputs[0], inputs[1]);
      b.node(type, inputs, "y");
    }
    b.classifier(b.quantized("y", "y", 0.1F, 0), 2, 3);
    const Result<ir::Graph> graph = b.import();
    return graph.ok() ? std::string() : graph.error().message();
  };
  const auto turned = AllOf(HasSubstr("turns a weight of -128 around, and int8 ends at 127"),
                            HasSubstr("fold it into the layer before it"));
  EXPECT_THAT(diagnosis("Mul", {-1, 1}, -128), turned);
  EXPECT_THAT(diagnosis("Div", {-2, 1}, -128), turned);
  EXPECT_THAT(diagnosis("Sub", {3, 4}, -128), turned);
  EXPECT_THAT(diagnosis("BatchNormalization", {-0.5F, 1}, -128), turned);
  // Of another channel, of -127, and where nothing turns around.
  EXPECT_EQ(diagnosis("Mul", {1, -1}, -128), "");
  EXPECT_EQ(diagnosis("Mul", {-1, 1}, -127), "");
  EXPECT_EQ(diagnosis("Mul", {0, 0.5F}, -128), "");
}

// Into the bias of a convolution that is not yet quantised; rounded once, to the accumulator's
// unit, however many nodes there are.
TEST(ChannelNumbersOfALayer, AreRoundedOnce) {
  constexpr int kChannels = 40;
  Rng rng{11};
  const auto values = [&](double low, double high) {
    std::vector<float> made;
    for (int c = 0; c < kChannels; ++c) made.push_back(static_cast<float>(rng.uniform(low, high)));
    return made;
  };
  const std::vector<float> bias = values(-1, 1), factors = values(-2, 2), shifts = values(-1, 1);
  constexpr float kInput = 0.05F, kWeight = 0.02F;
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 1, 1, 1}), "input", kInput, 5);
  b.node("Conv",
         {x,
          b.weights("w", {kChannels, 1, 1, 1}, testing::ramp<std::int8_t>(kChannels, 1, 90),
                    {kWeight}),
          b.constant<float>("bias", {kChannels}, bias)},
         "c");
  b.node("Mul", {"c", b.constant<float>("f", {kChannels, 1, 1}, factors)}, "m");
  b.node("Add", {"m", b.constant<float>("s", {kChannels, 1, 1}, shifts)}, "a");
  b.classifier(b.quantized("a", "a", 0.05F, 0), kChannels, 3);
  const Result<ir::Graph> graph = b.import();
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  const auto& conv = std::get<ir::Conv2D>(graph->ops[0].params);
  for (std::size_t c = 0; c < kChannels; ++c) {
    const double unit = double{kInput} * kWeight;
    const double units = bias[c] / unit + double{shifts[c]} / (unit * factors[c]);
    EXPECT_NEAR(conv.bias[c] * (factors[c] < 0 ? -1 : 1), units, 0.501) << c;
    EXPECT_FLOAT_EQ(conv.weight_scales[c] * graph->tensor(graph->input).quantization.scale,
                    kInput * kWeight * std::abs(factors[c]));
  }
}

// A channel that was pruned is a constant.
TEST(ChannelNumbersOfALayer, MayBeZero) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 1, 1, 1}), "input", 0.05F, 5);
  b.node("Conv", {x, b.weights("w", {2, 1, 1, 1}, {50, -70}, {0.02F})}, "c");
  b.node("Mul", {"c", b.constant<float>("f", {2, 1, 1}, {0, 1})}, "m");
  b.node("Add", {"m", b.constant<float>("s", {2, 1, 1}, {0.7F, 0})}, "a");
  b.classifier(b.quantized("a", "a", 0.1F, 0), 2, 3);
  const Result<ir::Graph> graph = b.import();
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  for (const int q : {-128, -3, 127}) EXPECT_EQ(result(*graph, q)[0], 7);
}

TEST(ChannelNumbersOfTflite, AreExactForEveryInput) {
  using tflite::BuiltinOperator;
  using tflite::TensorType;
  constexpr int kChannels = 24;
  for (const BuiltinOperator code : {BuiltinOperator::ADD, BuiltinOperator::MUL}) {
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      Rng rng{seed, 77};
      const auto scale = [&] { return static_cast<float>(rng.uniform(0.01, 0.06)); };
      const auto zero = [&] { return static_cast<int>(rng.uniform(-128, 128)); };
      const ir::Quantization in{scale(), zero()}, out{scale(), zero()}, numbers{scale(), zero()};
      testing::TfliteBuilder b;
      const int x = b.input({1, 1, 1, kChannels}, in.scale, in.zero_point);
      std::vector<std::int8_t> values;
      for (int c = 0; c < kChannels; ++c) values.push_back(static_cast<std::int8_t>(zero()));
      const int k = b.constant("k", {kChannels}, values, TensorType::INT8, {numbers.scale}, 0,
                               numbers.zero_point);
      const int y = b.activation("y", {1, 1, 1, kChannels}, out.scale, out.zero_point);
      if (code == BuiltinOperator::ADD) {
        b.sum(k, x, y, tflite::Activation::RELU);
      } else {
        tflite::MulOptionsT options;
        options.activation = tflite::Activation::RELU;
        b.add(code, {k, x}, y).options.Set(options);
      }
      b.classifier(b.reshape(y, {1, kChannels}), kChannels, 3);
      const Result<ir::Graph> graph = b.import();
      ASSERT_TRUE(graph.ok()) << graph.error().message();
      for (int q = -128; q <= 127; ++q) {
        const std::vector<std::int8_t> y8 = result(*graph, q);
        const double real = (q - in.zero_point) * double{in.scale};
        for (std::size_t c = 0; c < kChannels; ++c) {
          const double number = (values[c] - numbers.zero_point) * double{numbers.scale};
          const double sum = code == BuiltinOperator::ADD ? real + number : real * number;
          const double units = std::max(sum, 0.0) / double{out.scale} + out.zero_point;
          ASSERT_NEAR(y8[c], std::clamp(units, -128.0, 127.0), 0.5001) << q << " channel " << c;
        }
      }
    }
  }
}

}  // namespace
}  // namespace espalier
