// Every supported feature of the ONNX reader, on models of a few nodes, with values.
#include "espalier/import/onnx_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "equivalent.hpp"
#include "espalier/ir/input.hpp"
#include "espalier/kernels/reference.hpp"
#include "sample_models.hpp"

namespace espalier {
namespace {

using testing::Dims;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::OnnxBuilder;
using testing::ramp;
using testing::set_attribute;

// Imports, or fails the test with the diagnostics.
ir::Graph import_ok(const OnnxBuilder& builder) {
  Result<ir::Graph> graph = builder.import();
  if (!graph.ok()) {
    ADD_FAILURE() << graph.error().message();
    return {};
  }
  return std::move(graph).value();
}

template <typename Params>
const Params& params(const ir::Graph& graph, std::size_t op) {
  return std::get<Params>(graph.ops.at(op).params);
}

// A model with input [N,channels,size,size] (scale 0.02, zero 3), one op made by `body`, which gets
// the dequantised input and returns the name of a dequantised tensor of `features` elements.
template <typename Body>
ir::Graph one_op(std::int64_t channels, std::int64_t size, std::int64_t features, Body body) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, channels, size, size}), "input", 0.02F, 3);
  b.classifier(body(b, x), features, 2);
  return import_ok(b);
}

TEST(OnnxReader, SmallModel) {
  const ir::Graph graph = import_ok(testing::small_model());
  ASSERT_EQ(graph.ops.size(), 2U);
  EXPECT_EQ(graph.tensor(graph.input).name, "input_q");
  EXPECT_EQ(graph.tensor(graph.input).shape, (ir::Shape{6, 6, 2}));
  EXPECT_EQ(graph.tensor(graph.input).quantization, (ir::Quantization{0.02F, 3}));
  const ir::Conv2D& conv = params<ir::Conv2D>(graph, 0);
  EXPECT_EQ(graph.ops[0].name, "c0");
  EXPECT_EQ(graph.tensor(graph.ops[0].output).name, "c0_q");
  EXPECT_EQ(testing::values(conv.window), (std::array{3, 3, 1, 1, 1, 1, 1, 1}));
  EXPECT_THAT(conv.bias, ElementsAre(100, -200, 300, -400));
  EXPECT_THAT(conv.weight_scales, ElementsAre(0.01F, 0.02F, 0.03F, 0.04F));
  // [o][i][y][x] = -127 + ((o*2+i)*9 + y*3+x), stored [o][y][x][i].
  EXPECT_EQ(conv.weights[0], -127);
  EXPECT_EQ(conv.weights[1], -127 + 9);
  EXPECT_EQ(conv.weights[2], -127 + 1);
  EXPECT_EQ(conv.weights[(1 * 9 + 4) * 2 + 1], -127 + 18 + 9 + 4);
  EXPECT_EQ(graph.ops[0].clamp_low, -128);
  EXPECT_EQ(graph.ops[0].clamp_high, 127);
  EXPECT_EQ(testing::values(params<ir::AveragePool>(graph, 1).window),
            (std::array{6, 6, 1, 1, 0, 0, 0, 0}));
  EXPECT_EQ(graph.tensor(graph.features).name, "pool_q");
  EXPECT_EQ(graph.head.classes, 3);
  EXPECT_EQ(graph.head.features, 4);
  EXPECT_FLOAT_EQ(graph.head.weights[5], -0.45F);
  EXPECT_FLOAT_EQ(graph.head.bias[2], 0.5F);
}

TEST(OnnxReader, UnsignedActivationsShiftBy128) {
  OnnxBuilder b;
  std::string x = b.quantized<std::uint8_t>(b.input("input", {1, 2, 1, 1}), "input", 0.5F, 200);
  const std::string w = b.weights<std::uint8_t>("w", {2, 2, 1, 1}, {0, 1, 128, 255}, {0.25F}, 128);
  b.node("Conv", {x, w}, "c");
  b.node("Clip", {"c", b.scalar("low", -10.0F), b.scalar("high", 20.0F)}, "clip");
  b.classifier(b.quantized<std::uint8_t>("clip", "c", 0.5F, 28), 2, 2);
  const ir::Graph graph = import_ok(b);
  EXPECT_EQ(ir::file_input_quantization(graph), (ir::Quantization{0.5F, 72}));
  EXPECT_EQ(graph.tensor(graph.ops[0].output).quantization, (ir::Quantization{0.5F, -100}));
  EXPECT_EQ(graph.ops[0].clamp_low, -100 - 20);
  EXPECT_EQ(graph.ops[0].clamp_high, -100 + 40);
  EXPECT_THAT(params<ir::Conv2D>(graph, 0).weights, ElementsAre(-128, -127, 0, 127));
  // 0.25 in the file; the unit of the input is brought to 1/128 of the file's.
  EXPECT_THAT(params<ir::Conv2D>(graph, 0).weight_scales, ElementsAre(32.0F, 32.0F));
  EXPECT_THAT(params<ir::Conv2D>(graph, 0).bias, ElementsAre(0, 0));
}

TEST(OnnxReader, DefaultZeroPointIsUnsignedZero) {
  OnnxBuilder b;
  b.scalar("s", 0.5F);
  b.node("QuantizeLinear", {b.input("input", {1, 3}), "s"}, "q");
  b.node("DequantizeLinear", {"q", "s"}, "dq");
  b.classifier("dq", 3, 2);
  EXPECT_EQ(ir::file_input_quantization(import_ok(b)), (ir::Quantization{0.5F, -128}));
}

TEST(OnnxReader, IntegerInput) {
  OnnxBuilder b;
  b.scalar("s", 0.5F);
  b.constant<std::uint8_t>("z", {}, {128});
  b.node("DequantizeLinear", {b.input("image", {0, 3, 2, 2}, onnx::TensorProto::UINT8), "s", "z"},
         "dq");
  b.node("GlobalAveragePool", {"dq"}, "pool");
  b.classifier(b.quantized<std::uint8_t>("pool", "pool", 0.5F, 128), 3, 2);
  const ir::Graph graph = import_ok(b);
  EXPECT_EQ(graph.tensor(graph.input).name, "image");
  EXPECT_EQ(graph.tensor(graph.input).shape, (ir::Shape{2, 2, 3}));
  EXPECT_EQ(ir::file_input_quantization(graph), (ir::Quantization{0.5F, 0}));
}

struct ClampCase {
  const char* name;
  const char* op;
  float low, high;
  float scale;
  int zero;
  int clamp_low, clamp_high;
};

std::ostream& operator<<(std::ostream& out, const ClampCase& c) { return out << c.name; }

class Clamps : public ::testing::TestWithParam<ClampCase> {};

TEST_P(Clamps, FoldBehindAConvAndStandAlone) {
  const ClampCase& c = GetParam();
  const auto clip = [&](OnnxBuilder& b, const std::string& x) {
    if (std::string(c.op) == "Relu") return b.relu(x, "clip");
    b.node("Clip", {x, b.scalar("low", c.low), b.scalar("high", c.high)}, "clip");
    return std::string("clip");
  };
  const ir::Graph folded = one_op(2, 1, 2, [&](OnnxBuilder& b, const std::string& x) {
    b.node("Conv", {x, b.weights<std::int8_t>("w", {2, 2, 1, 1}, {1, 2, 3, 4}, {0.1F})}, "c");
    return b.quantized(clip(b, "c"), "y", c.scale, c.zero);
  });
  const ir::Graph alone = one_op(2, 1, 2, [&](OnnxBuilder& b, const std::string& x) {
    return b.quantized(clip(b, x), "y", c.scale, c.zero);
  });
  ASSERT_EQ(folded.ops.size(), 1U);
  ASSERT_EQ(alone.ops.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<ir::Conv2D>(folded.ops[0].params));
  EXPECT_TRUE(std::holds_alternative<ir::Rescale>(alone.ops[0].params));
  for (const ir::Graph* graph : {&folded, &alone}) {
    EXPECT_EQ(graph->ops[0].clamp_low, c.clamp_low);
    EXPECT_EQ(graph->ops[0].clamp_high, c.clamp_high);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Bounds, Clamps,
    ::testing::Values(ClampCase{"ReluAtTheEnd", "Relu", 0, 0, 0.1F, -128, -128, 127},
                      ClampCase{"ReluInside", "Relu", 0, 0, 0.1F, -5, -5, 127},
                      ClampCase{"Relu6AsSaturation", "Clip", 0, 6, 6.0F / 255, -128, -128, 127},
                      ClampCase{"Relu6Inside", "Clip", 0, 6, 0.05F, -128, -128, -8},
                      ClampCase{"HalfRoundsToEven", "Clip", -0.75F, 0.75F, 0.5F, 0, -2, 2},
                      ClampCase{"BothAboveTheRange", "Clip", 100, 200, 0.1F, 0, 127, 127},
                      ClampCase{"Unbounded", "Clip", -std::numeric_limits<float>::infinity(),
                                std::numeric_limits<float>::infinity(), 0.1F, 7, -128, 127}),
    [](const auto& tested) { return tested.param.name; });

TEST(OnnxReader, ReluThenClipIntersect) {
  const ir::Graph graph = one_op(2, 1, 2, [](OnnxBuilder& b, const std::string& x) {
    b.node("Add", {x, x}, "sum");
    b.relu("sum", "relu");
    b.node("Clip", {"relu", "", b.scalar("high", 3.0F)}, "clip");
    return b.quantized("clip", "y", 0.1F, 10);
  });
  EXPECT_TRUE(std::holds_alternative<ir::Add>(graph.ops[0].params));
  EXPECT_THAT(graph.ops[0].inputs, ElementsAre(0, 0));
  EXPECT_EQ(graph.ops[0].clamp_low, 10);
  EXPECT_EQ(graph.ops[0].clamp_high, 40);
}

TEST(OnnxReader, RequantisationAndItsAbsence) {
  const ir::Graph changed = one_op(
      2, 1, 2, [](OnnxBuilder& b, const std::string& x) { return b.quantized(x, "y", 0.1F, 10); });
  ASSERT_EQ(changed.ops.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<ir::Rescale>(changed.ops[0].params));
  EXPECT_EQ(changed.tensor(changed.features).quantization, (ir::Quantization{0.1F, 10}));
  const ir::Graph same = one_op(
      2, 1, 2, [](OnnxBuilder& b, const std::string& x) { return b.quantized(x, "y", 0.02F, 3); });
  EXPECT_TRUE(same.ops.empty());
  EXPECT_EQ(same.features, same.input);
}

struct PadCase {
  const char* auto_pad;
  std::array<int, 4> pads;  // top, left, bottom, right
  int height, width;
};

std::ostream& operator<<(std::ostream& out, const PadCase& c) { return out << c.auto_pad; }

class AutoPad : public ::testing::TestWithParam<PadCase> {};

TEST_P(AutoPad, BecomesExplicit) {
  const PadCase& c = GetParam();
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 1, 6, 5}), "input", 0.02F, 3);
  const std::string w = b.weights("w", {1, 1, 3, 4}, ramp<std::int8_t>(12, 1, 12), {0.1F});
  auto& conv = b.node("Conv", {x, w}, "c");
  set_attribute(conv, "auto_pad", std::string(c.auto_pad));
  set_attribute(conv, "strides", Dims{2, 1});
  b.classifier(b.quantized("c", "c", 0.1F, 0), c.height * c.width, 2);
  const ir::Graph graph = import_ok(b);
  const ir::Window& window = params<ir::Conv2D>(graph, 0).window;
  EXPECT_EQ((std::array{window.pad_top, window.pad_left, window.pad_bottom, window.pad_right}),
            c.pads);
  EXPECT_EQ(graph.tensor(graph.features).shape, (ir::Shape{c.height, c.width, 1}));
}

INSTANTIATE_TEST_SUITE_P(Modes, AutoPad,
                         ::testing::Values(PadCase{"SAME_UPPER", {0, 1, 1, 2}, 3, 5},
                                           PadCase{"SAME_LOWER", {1, 2, 0, 1}, 3, 5},
                                           PadCase{"VALID", {0, 0, 0, 0}, 2, 2},
                                           PadCase{"NOTSET", {0, 0, 0, 0}, 2, 2}),
                         [](const auto& tested) { return tested.param.auto_pad; });

TEST(OnnxReader, AsymmetricPads) {
  const ir::Graph graph = one_op(1, 4, 12, [](OnnxBuilder& b, const std::string& x) {
    const std::string w = b.weights("w", {1, 1, 3, 3}, ramp<std::int8_t>(9, 1, 9), {0.1F});
    set_attribute(b.node("Conv", {x, w}, "c"), "pads", Dims{0, 1, 1, 1});
    return b.quantized("c", "c", 0.1F, 0);
  });
  EXPECT_EQ(testing::values(params<ir::Conv2D>(graph, 0).window),
            (std::array{3, 3, 1, 1, 0, 1, 1, 1}));
  EXPECT_EQ(graph.tensor(graph.features).shape, (ir::Shape{3, 4, 1}));
}

TEST(OnnxReader, GroupedAndDepthwise) {
  const ir::Graph graph = one_op(4, 1, 8, [](OnnxBuilder& b, const std::string& x) {
    std::string w = b.weights("w_g", {6, 2, 1, 1}, ramp<std::int8_t>(12, 1, 12), {0.1F});
    set_attribute(b.node("Conv", {x, w}, "c"), "group", std::int64_t{2});
    const std::string y = b.quantized("c", "c", 0.1F, 0);
    w = b.weights("w_d", {6, 1, 1, 1}, ramp<std::int8_t>(6, 1, 6), {0.1F});
    set_attribute(b.node("Conv", {y, w}, "d"), "group", std::int64_t{6});
    const std::string z = b.quantized("d", "d", 0.1F, 0);
    w = b.weights("w_p", {8, 6, 1, 1}, ramp<std::int8_t>(48, 1, 48), {0.1F});
    b.node("Conv", {z, w}, "p");
    return b.quantized("p", "p", 0.1F, 0);
  });
  EXPECT_EQ(params<ir::Conv2D>(graph, 0).groups, 2);
  EXPECT_EQ(params<ir::Conv2D>(graph, 0).in_channels, 4);
  EXPECT_FALSE(params<ir::Conv2D>(graph, 0).depthwise());
  EXPECT_TRUE(params<ir::Conv2D>(graph, 1).depthwise());
  EXPECT_TRUE(params<ir::Conv2D>(graph, 2).pointwise());
}

TEST(OnnxReader, BiasKinds) {
  // Scale of the bias: 0.02 * 0.5 = 0.01.
  const auto bias_of = [](auto make) {
    const ir::Graph graph = one_op(1, 1, 2, [&](OnnxBuilder& b, const std::string& x) {
      const std::string w = b.weights<std::int8_t>("w", {2, 1, 1, 1}, {1, 2}, {0.5F});
      b.node("Conv", {x, w, make(b)}, "c");
      return b.quantized("c", "c", 0.1F, 0);
    });
    return params<ir::Conv2D>(graph, 0).bias;
  };
  EXPECT_THAT(bias_of([](OnnxBuilder& b) {
                return b.constant<float>("b", {2}, {1.004F, -1e30F});
              }),
              ElementsAre(100, INT32_MIN));
  // The same scale up to rounding keeps the integers, at the ends of the range too.
  EXPECT_THAT(bias_of([](OnnxBuilder& b) {
                return b.bias("b", {INT32_MAX, -7}, {0.010001F, 0.01F});
              }),
              ElementsAre(INT32_MAX, -7));
  EXPECT_THAT(bias_of([](OnnxBuilder& b) {
                return b.bias("b", {50, -7}, {0.02F, 0.01F});
              }),
              ElementsAre(100, -7));
  EXPECT_THAT(bias_of([](OnnxBuilder& b) {
                return b.weights<std::int8_t>("b", {2}, {50, -7}, {0.1F}, 1);
              }),
              ElementsAre(490, -80));
}

TEST(OnnxReader, GemmBehindFlattenCoversTheImage) {
  // 12 features in ONNX order c*6 + y*3 + x; weight of output o is its own index.
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 2, 2, 3}), "input", 0.02F, 3);
  set_attribute(b.node("Flatten", {x}, "flat"), "axis", std::int64_t{-3});
  const std::string flat = b.quantized("flat", "flat", 0.02F, 3);
  const std::string w = b.weights("w", {2, 12}, ramp<std::int8_t>(24, 0, 23), {0.1F, 0.2F});
  auto& gemm = b.node("Gemm", {flat, w, b.constant<float>("c", {1, 2}, {0.02F, 0.04F})}, "g");
  set_attribute(gemm, "transB", std::int64_t{1});
  b.classifier(b.quantized("g", "g", 0.1F, 0), 2, 2);
  const ir::Graph graph = import_ok(b);
  ASSERT_EQ(graph.ops.size(), 1U);
  const ir::Conv2D& conv = params<ir::Conv2D>(graph, 0);
  EXPECT_EQ(testing::values(conv.window), (std::array{2, 3, 1, 1, 0, 0, 0, 0}));
  EXPECT_EQ(conv.in_channels, 2);
  EXPECT_THAT(conv.bias, ElementsAre(10, 10));
  for (int o = 0; o < 2; ++o) {
    for (int p = 0; p < 6; ++p) {
      for (int c = 0; c < 2; ++c) {
        EXPECT_EQ(conv.weights[static_cast<std::size_t>((o * 6 + p) * 2 + c)], o * 12 + c * 6 + p);
      }
    }
  }
  EXPECT_EQ(graph.tensor(graph.features).shape, (ir::Shape{1, 1, 2}));
}

TEST(OnnxReader, GemmAndMatMulAgreeOnUntransposedWeights) {
  const auto build = [](bool matmul) {
    return one_op(3, 1, 2, [&](OnnxBuilder& b, const std::string& x) {
      b.node("Reshape", {x, b.constant<std::int64_t>("shape", {2}, {-1, 3})}, "flat");
      // [in][out], scales along the outputs.
      const std::string w =
          b.weights<std::int8_t>("w", {3, 2}, {1, 2, 3, 4, 5, 6}, {0.5F, 0.25F}, 0, 1);
      const std::string bias = b.constant<float>("bias", {2}, {1.0F, -1.0F});
      if (matmul) {
        b.node("MatMul", {"flat", w}, "m");
        b.node("Add", {bias, "m"}, "y");
      } else {
        b.node("Gemm", {"flat", w, bias}, "y");
      }
      return b.quantized(b.relu("y", "r"), "y", 0.1F, 0);
    });
  };
  const ir::Graph gemm = build(false);
  testing::expect_equivalent(gemm, build(true));
  const ir::Conv2D& conv = params<ir::Conv2D>(gemm, 0);
  EXPECT_THAT(conv.weights, ElementsAre(1, 3, 5, 2, 4, 6));
  EXPECT_THAT(conv.bias, ElementsAre(100, -200));
  EXPECT_EQ(gemm.ops[0].clamp_low, 0);
}

TEST(OnnxReader, BiasAddedBehindAConv) {
  const ir::Graph graph = one_op(1, 2, 8, [](OnnxBuilder& b, const std::string& x) {
    const std::string w = b.weights<std::int8_t>("w", {2, 1, 1, 1}, {1, 2}, {0.5F});
    b.node("Conv", {x, w, b.constant<float>("c_b", {2}, {0.1F, 0.2F})}, "c");
    b.node("Add", {"c", b.constant<float>("b", {1, 2, 1, 1}, {1.0F, 2.0F})}, "y");
    return b.quantized("y", "y", 0.1F, 0);
  });
  EXPECT_THAT(params<ir::Conv2D>(graph, 0).bias, ElementsAre(110, 220));
}

TEST(OnnxReader, Pools) {
  const ir::Graph graph = one_op(2, 5, 2, [](OnnxBuilder& b, const std::string& x) {
    auto& max = b.node("MaxPool", {x}, "max");
    set_attribute(max, "kernel_shape", Dims{3, 2});
    set_attribute(max, "strides", Dims{2, 1});
    set_attribute(max, "pads", Dims{1, 0, 1, 1});
    const std::string y = b.quantized("max", "max", 0.02F, 3);  // [3][5]
    auto& average = b.node("AveragePool", {y}, "average");
    set_attribute(average, "kernel_shape", Dims{3, 3});
    set_attribute(average, "pads", Dims{1, 1, 1, 1});
    const std::string z = b.quantized("average", "average", 0.01F, -7);  // another quantisation
    b.node("ReduceMean", {z}, "mean");
    set_attribute(b.node_at(b.graph().node_size() - 1), "axes", Dims{-1, 2});
    set_attribute(b.node_at(b.graph().node_size() - 1), "keepdims", std::int64_t{0});
    return b.quantized("mean", "mean", 0.01F, -7);
  });
  ASSERT_EQ(graph.ops.size(), 3U);
  EXPECT_EQ(testing::values(params<ir::MaxPool>(graph, 0).window),
            (std::array{3, 2, 2, 1, 1, 0, 1, 1}));
  EXPECT_EQ(graph.tensor(graph.ops[0].output).shape, (ir::Shape{3, 5, 2}));
  EXPECT_EQ(testing::values(params<ir::AveragePool>(graph, 1).window),
            (std::array{3, 3, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(params<ir::AveragePool>(graph, 1).rounding, ir::HalfRounding::kToEven);
  EXPECT_EQ(graph.tensor(graph.ops[1].output).quantization, (ir::Quantization{0.01F, -7}));
  EXPECT_EQ(testing::values(params<ir::AveragePool>(graph, 2).window),
            (std::array{3, 5, 1, 1, 0, 0, 0, 0}));
}

// Windows that reach over the border where the output size is rounded up.
TEST(OnnxReader, PoolsOfCeilMode) {
  for (const char* type : {"MaxPool", "AveragePool"}) {
    const ir::Graph graph = one_op(1, 6, 9, [&](OnnxBuilder& b, const std::string& x) {
      auto& pool = b.node(type, {x}, "pool");
      set_attribute(pool, "kernel_shape", Dims{3, 2});
      set_attribute(pool, "strides", Dims{2, 2});
      set_attribute(pool, "ceil_mode", std::int64_t{1});
      return b.quantized("pool", "pool", 0.02F, 3);
    });
    EXPECT_EQ(graph.tensor(graph.features).shape, (ir::Shape{3, 3, 1})) << type;
    const auto* max = std::get_if<ir::MaxPool>(&graph.ops[0].params);
    EXPECT_EQ(
        testing::values(max != nullptr ? max->window : params<ir::AveragePool>(graph, 0).window),
        (std::array{3, 2, 2, 2, 0, 0, 1, 0}));
  }
}

// Where quantisers leave a maximum between a layer and its quantisation, or quantise it never: the
// same network as with a quantisation on either side of it.
TEST(OnnxReader, MaximaOfWhatIsNotYetOrNoLongerQuantised) {
  const auto network = [](int form) {
    return one_op(1, 4, 8, [&](OnnxBuilder& b, const std::string& x) {
      const std::string w = b.weights<std::int8_t>("w", {2, 1, 1, 1}, {100, -50}, {0.05F});
      b.node("Conv", {x, w}, "c");
      std::string y = form == 2 ? "c" : b.relu("c", "r");
      if (form == 0) y = b.quantized(y, "y", 0.02F, -128);
      auto& max = b.node("MaxPool", {y}, "max");
      set_attribute(max, "kernel_shape", Dims{2, 2});
      set_attribute(max, "strides", Dims{2, 2});
      y = form == 2 ? b.relu("max", "late") : "max";
      return form == 0 ? y : b.quantized(y, "m", 0.02F, -128);
    });
  };
  const ir::Graph usual = network(0);
  ASSERT_EQ(usual.ops.size(), 2U);
  for (const int form : {1, 2}) {
    const ir::Graph graph = network(form);
    ASSERT_EQ(graph.ops.size(), 2U);
    testing::expect_equivalent(usual, graph);
  }
}

TEST(OnnxReader, AveragesThatAreNotQuantised) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 2, 4, 4}), "input", 0.02F, 3);
  b.node("GlobalAveragePool", {x}, "mean");
  b.output("mean", {0, 2, 1, 1});
  const Result<ir::Graph> refused = b.import();
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().diagnostics,
              ElementsAre(HasSubstr("averages class maps and is not quantised; put a "
                                    "QuantizeLinear")));
}

// A mean of 10 values of 0 or 1 unit in units a tenth as large is known exactly; rounded at the
// input's scale it would be 0 or 1. The clip behind it bounds it.
TEST(OnnxReader, MeansAreRoundedOnceAtTheirOwnScale) {
  const ir::Graph graph = one_op(1, 10, 1, [](OnnxBuilder& b, const std::string& x) {
    b.node("GlobalAveragePool", {x}, "mean");
    b.node("Clip",
           {"mean", b.constant<float>("low", {}, {0.0F}), b.constant<float>("high", {}, {0.016F})},
           "clipped");
    return b.quantized("clipped", "clipped", 0.002F, -5);
  });
  ASSERT_EQ(graph.ops.size(), 1U);
  for (int ones = 0; ones <= 10; ++ones) {
    std::vector<std::int8_t> x(static_cast<std::size_t>(graph.tensor(graph.input).shape.elements()),
                               3);
    const auto all = static_cast<int>(x.size());
    std::fill_n(x.begin(), ones * all / 10, std::int8_t{4});
    const std::vector<std::vector<std::int8_t>> inputs{x};
    EXPECT_EQ(kernels::reference::forward(graph, graph.ops[0], inputs).output,
              std::vector<std::int8_t>{static_cast<std::int8_t>(std::min(ones, 8) - 5)});
  }
}

// A pool itself has no clamp; what a Relu behind it takes away can be negative or cannot.
TEST(OnnxReader, ReluBehindAPool) {
  for (const bool before : {false, true}) {
    const ir::Graph graph = one_op(2, 4, 18, [&](OnnxBuilder& b, const std::string& x) {
      std::string y = x;
      if (before) {
        b.node("Relu", {x}, "positive");
        y = b.quantized("positive", "positive", 0.02F, 3);
      }
      auto& max = b.node("MaxPool", {y}, "max");
      set_attribute(max, "kernel_shape", Dims{2, 2});
      b.node("Relu", {"max"}, "relu");
      return b.quantized("relu", "relu", 0.02F, 3);
    });
    ASSERT_EQ(graph.ops.size(), 2U);
    const std::size_t pool = before ? 1 : 0;
    EXPECT_TRUE(std::holds_alternative<ir::MaxPool>(graph.ops[pool].params));
    EXPECT_TRUE(std::holds_alternative<ir::Rescale>(graph.ops[1 - pool].params));
    EXPECT_EQ(graph.ops[pool].clamp_low, -128);
    EXPECT_EQ(graph.ops[1 - pool].clamp_low, 3);
  }
}

// A network whose class maps are averaged has no last layer: the head passes its scores on.
TEST(OnnxReader, AveragesOfClassMapsAreScores) {
  for (const bool softmax : {false, true}) {
    OnnxBuilder b;
    const std::string x = b.quantized(b.input("input", {0, 1, 4, 4}), "input", 0.02F, 3);
    b.node("Conv", {x, b.weights<std::int8_t>("w", {3, 1, 1, 1}, {1, 2, 3}, {0.5F})}, "c");
    const std::string maps = b.quantized(b.relu("c", "r"), "c", 0.1F, -128);
    b.node("GlobalAveragePool", {maps}, "mean");
    const std::string scores = b.quantized("mean", "mean", 0.05F, -128);
    set_attribute(b.node("Flatten", {scores}, "flat"), "axis", std::int64_t{1});
    if (softmax) b.node("Softmax", {"flat"}, "probabilities");
    b.output(softmax ? "probabilities" : "flat", {0, 3});
    const ir::Graph graph = import_ok(b);
    ASSERT_EQ(graph.ops.size(), 2U);
    EXPECT_TRUE(std::holds_alternative<ir::Conv2D>(graph.ops[0].params));
    EXPECT_EQ(graph.head.classes, 3);
    EXPECT_THAT(graph.head.weights, ElementsAre(1, 0, 0, 0, 1, 0, 0, 0, 1));
    EXPECT_THAT(graph.head.bias, ElementsAre(0, 0, 0));
  }
}

TEST(OnnxReader, ChangesOfView) {
  const ir::Graph graph = one_op(3, 1, 3, [](OnnxBuilder& b, const std::string& x) {
    b.node("Identity", {x}, "a");
    b.node("Dropout", {"a"}, "b");
    b.node("Squeeze", {"b", b.constant<std::int64_t>("axes", {2}, {2, -1})}, "c");
    b.node("Reshape", {"c", b.constant<std::int64_t>("shape", {4}, {0, -1, 1, 1})}, "d");
    return b.quantized("d", "d", 0.02F, 3);
  });
  EXPECT_TRUE(graph.ops.empty());
}

TEST(OnnxReader, ConstantNodes) {
  const ir::Graph graph = one_op(1, 2, 4, [](OnnxBuilder& b, const std::string& x) {
    const auto constant = [&](const std::string& name, const onnx::TensorProto& tensor) {
      onnx::AttributeProto& a = *b.node("Constant", {}, name).add_attribute();
      a.set_name("value");
      a.set_type(onnx::AttributeProto::TENSOR);
      *a.mutable_t() = tensor;
    };
    constant("w", testing::make_tensor<std::int8_t>("", {1, 1, 1, 1}, {5}));
    constant("w_scale", testing::make_tensor<float>("", {}, {0.5F}));
    b.node("DequantizeLinear", {"w", "w_scale"}, "w_dq");
    b.node("Conv", {x, "w_dq"}, "c");
    set_attribute(b.node("Constant", {}, "high"), "value_float", 1.0F);
    b.node("Clip", {"c", "", "high"}, "clip");
    const std::string y = b.quantized("clip", "c", 0.1F, 0);
    set_attribute(b.node("Constant", {}, "shape"), "value_ints", Dims{0, -1});
    b.node("Reshape", {y, "shape"}, "flat");
    return std::string("flat");
  });
  EXPECT_THAT(params<ir::Conv2D>(graph, 0).weights, ElementsAre(5));
  EXPECT_EQ(graph.ops[0].clamp_high, 10);
}

TEST(OnnxReader, FloatWeightsBehindQuantizeLinear) {
  const ir::Graph graph = one_op(2, 1, 2, [](OnnxBuilder& b, const std::string& x) {
    b.constant<float>("w", {2, 2, 1, 1}, {0.1F, -0.2F, 0.26F, 100.0F});
    b.constant<float>("s", {2}, {0.1F, 0.05F});
    b.constant<std::int8_t>("z", {2}, {0, 0});
    set_attribute(b.node("QuantizeLinear", {"w", "s", "z"}, "w_q"), "axis", std::int64_t{0});
    set_attribute(b.node("DequantizeLinear", {"w_q", "s", "z"}, "w_dq"), "axis", std::int64_t{0});
    b.node("Conv", {x, "w_dq"}, "c");
    return b.quantized("c", "c", 0.1F, 0);
  });
  EXPECT_THAT(params<ir::Conv2D>(graph, 0).weights, ElementsAre(1, -2, 5, 127));
}

TEST(OnnxReader, TypedFieldsInsteadOfRawData) {
  OnnxBuilder b = testing::small_model();
  for (onnx::TensorProto& t : *b.graph().mutable_initializer()) {
    const std::string raw = t.raw_data();
    t.clear_raw_data();
    if (t.data_type() == onnx::TensorProto::FLOAT) {
      for (std::size_t i = 0; i < raw.size(); i += 4) {
        float value = 0;
        std::memcpy(&value, raw.data() + i, 4);
        t.add_float_data(value);
      }
    } else if (t.data_type() == onnx::TensorProto::INT8) {
      for (const char c : raw) t.add_int32_data(static_cast<signed char>(c));
    } else {
      for (std::size_t i = 0; i < raw.size(); i += 4) {
        std::int32_t value = 0;
        std::memcpy(&value, raw.data() + i, 4);
        t.add_int32_data(value);
      }
    }
  }
  testing::expect_equivalent(import_ok(testing::small_model()), import_ok(b));
}

TEST(OnnxReader, HeadOnAnImageReordersFeatures) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 2, 2, 2}), "input", 0.02F, 3);
  const std::vector<float> weights = b.classifier(x, 8, 3);
  const ir::Graph graph = import_ok(b);
  EXPECT_EQ(graph.head.features, 8);
  for (std::size_t k = 0; k < 3; ++k) {
    for (std::size_t p = 0; p < 4; ++p) {
      for (std::size_t c = 0; c < 2; ++c) {
        EXPECT_EQ(graph.head.weights[k * 8 + p * 2 + c], weights[k * 8 + c * 4 + p]);
      }
    }
  }
}

TEST(OnnxReader, QuantisedHeadWithBiasBehindItAndSoftmax) {
  const ir::Graph graph = import_ok(testing::mixed_model());
  EXPECT_EQ(graph.head.classes, 3);
  EXPECT_EQ(graph.head.features, 5);
  // m_w is [in][out] = -7 + 3*in + out, scale 0.2.
  EXPECT_FLOAT_EQ(graph.head.weights[1 * 5 + 3], (-7 + 3 * 3 + 1) * 0.2F);
  EXPECT_THAT(graph.head.bias, ElementsAre(::testing::FloatEq(-1.18F), ::testing::FloatEq(0.0F),
                                           ::testing::FloatEq(1.22F)));
}

TEST(OnnxReader, MixedModel) {
  const ir::Graph graph = import_ok(testing::mixed_model());
  // conv, grouped conv, add, max pool, average pool, fully connected.
  ASSERT_EQ(graph.ops.size(), 6U);
  EXPECT_EQ(testing::values(params<ir::Conv2D>(graph, 0).window),
            (std::array{3, 3, 2, 2, 1, 1, 1, 0}));
  EXPECT_EQ(testing::values(params<ir::Conv2D>(graph, 1).window),
            (std::array{3, 3, 1, 1, 0, 1, 2, 1}));
  EXPECT_EQ(graph.ops[1].clamp_low, 77 - 128 - 50);
  EXPECT_EQ(graph.ops[1].clamp_high, 77 - 128 + 100);
  EXPECT_EQ(graph.ops[2].clamp_low, 10 - 128);
  EXPECT_EQ(testing::values(params<ir::MaxPool>(graph, 3).window),
            (std::array{2, 2, 1, 1, 0, 0, 1, 0}));
  EXPECT_EQ(testing::values(params<ir::AveragePool>(graph, 4).window),
            (std::array{3, 2, 2, 1, 1, 0, 1, 1}));
  EXPECT_EQ(testing::values(params<ir::Conv2D>(graph, 5).window),
            (std::array{3, 3, 1, 1, 0, 0, 0, 0}));
}

TEST(OnnxReader, UnusedThingsDoNotMatter) {
  OnnxBuilder b = testing::small_model();
  onnx::TensorProto& external = *b.graph().add_initializer();
  external.set_name("unused");
  external.set_data_location(onnx::TensorProto::EXTERNAL);
  b.node("Einsum", {"pool_dq"}, "dead");
  b.input("unused_input", {1});
  testing::expect_equivalent(import_ok(testing::small_model()), import_ok(b));
}

}  // namespace
}  // namespace espalier
