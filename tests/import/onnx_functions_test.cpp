// Activation functions, products, joins and dilated convolutions as ONNX files have them.
#include "onnx_functions.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "channel_function.hpp"
#include "espalier/import/onnx_reader.hpp"
#include "espalier/import/onnx_writer.hpp"
#include "testing/forward.hpp"
#include "testing/random_graph.hpp"

namespace espalier {
namespace {

using ::testing::AllOf;
using testing::around;
using testing::Dims;
using ::testing::ElementsAre;
using testing::hard_sigmoid;
using ::testing::HasSubstr;
using testing::kIn;
using testing::kInZero;
using testing::kOut;
using testing::kOutZero;
using testing::OnnxBuilder;
using testing::ramp;
using testing::set_attribute;
using testing::unary;

ir::Graph import_ok(const OnnxBuilder& builder) {
  Result<ir::Graph> graph = builder.import();
  if (!graph.ok()) throw std::runtime_error(graph.error().message());
  return std::move(graph).value();
}

std::vector<std::string> diagnostics(const OnnxBuilder& builder) {
  const Result<ir::Graph> graph = builder.import();
  if (!graph.ok()) return graph.error().diagnostics;
  ADD_FAILURE() << "was imported";
  return {};
}

std::vector<std::string> kinds(const ir::Graph& graph) {
  std::vector<std::string> names;
  for (const ir::Op& op : graph.ops) names.emplace_back(ir::mnemonic(op.params));
  return names;
}

class OnnxFunctions : public ::testing::TestWithParam<testing::FunctionCase> {};

// Whatever the chain, it is one table: the real function, rounded half to even.
TEST_P(OnnxFunctions, IsOneTable) {
  const ir::Graph graph = import_ok(around(GetParam().nodes, 2, 14));
  ASSERT_THAT(kinds(graph), ElementsAre("lookup", "average_pool"));
  const auto& table = std::get<ir::Lookup>(graph.ops[0].params);
  int exact = 0;
  for (int q = -128; q <= 127; ++q) {
    const double real =
        GetParam().formula(static_cast<double>(static_cast<float>(q - kInZero) * kIn));
    const double units = std::clamp(real / static_cast<double>(kOut) + kOutZero, -128.0, 127.0);
    // Single precision may round a half the other way.
    EXPECT_NEAR(table.output(static_cast<std::int8_t>(q)), units, 0.5001) << q;
    exact += table.output(static_cast<std::int8_t>(q)) == std::nearbyint(units) ? 1 : 0;
  }
  EXPECT_GE(exact, 254);
}

INSTANTIATE_TEST_SUITE_P(All, OnnxFunctions, ::testing::ValuesIn(testing::kFunctionCases),
                         [](const auto& tested) { return tested.param.name; });

TEST(OnnxFunctions, QuantisedBetweenAreTwoOps) {
  const ir::Graph graph = import_ok(around([](OnnxBuilder& b, const std::string& x) {
    const std::string gate = b.quantized(hard_sigmoid(b, x), "gate", 1.0F / 255, -128);
    b.node("Mul", {gate, x}, "f");
    return std::string("f");
  }));
  EXPECT_THAT(kinds(graph), ElementsAre("lookup", "mul", "average_pool"));
}

// The mean of a map has two readers, and its gate multiplies the map, in either order.
TEST(OnnxFunctions, SqueezeAndExcite) {
  for (const bool first : {false, true}) {
    const ir::Graph graph = import_ok(around([first](OnnxBuilder& b, const std::string& x) {
      b.node("GlobalAveragePool", {x}, "squeezed");
      const std::string s = b.quantized("squeezed", "squeezed", kIn, kInZero);
      b.node("Conv", {s, b.weights("w", {2, 2, 1, 1}, ramp<std::int8_t>(4, -9, 90), {0.01F})}, "c");
      const std::string gate =
          b.quantized(hard_sigmoid(b, b.quantized("c", "c", 0.05F, 3)), "gate", 1.0F / 255, -128);
      b.node("Mul", first ? std::vector<std::string>{gate, x} : std::vector<std::string>{x, gate},
             "excited");
      const std::string y = b.quantized("excited", "excited", kIn, kInZero);
      b.node("Add", {y, s}, "never");  // not read
      return y;
    }));
    ASSERT_THAT(kinds(graph),
                ElementsAre("average_pool", "conv2d", "lookup", "mul", "rescale", "average_pool"));
    EXPECT_EQ(graph.ops[3].inputs[0], graph.input);
    EXPECT_TRUE(ir::is_gate(graph, graph.ops[3]));
  }
}

// As PyTorch writes `y.view(b, c, 1, 1).expand_as(x)`.
TEST(OnnxFunctions, GatesOfDenseLayers) {
  const ir::Graph graph = import_ok(around([](OnnxBuilder& b, const std::string& x) {
    b.node("GlobalAveragePool", {x}, "squeezed");
    const std::string s = b.quantized("squeezed", "squeezed", kIn, kInZero);
    b.node("Flatten", {s}, "flat");
    b.node("Gemm", {"flat", b.weights("w", {2, 2}, ramp<std::int8_t>(4, -9, 90), {0.01F})}, "fc");
    b.node("Sigmoid", {b.quantized("fc", "fc", 0.05F, 3)}, "scores");
    const std::string gate = b.quantized("scores", "gate", 1.0F / 255, -128);
    b.node("Reshape", {gate, b.constant<std::int64_t>("to", {4}, {-1, 2, 1, 1})}, "shaped");
    b.node("Shape", {x}, "shape");
    b.node("Expand", {"shaped", "shape"}, "wide");
    b.node("Mul", {x, "wide"}, "excited");
    return std::string("excited");
  }));
  ASSERT_THAT(kinds(graph), ElementsAre("average_pool", "conv2d", "lookup", "mul", "average_pool"));
  EXPECT_TRUE(ir::is_gate(graph, graph.ops[3]));
}

// Wherever the file repeats a gate: in front of its quantisation, or of the function that it is.
TEST(OnnxFunctions, GatesRepeatedToTheirMaps) {
  for (const bool function : {false, true}) {
    const ir::Graph graph = import_ok(around([&](OnnxBuilder& b, const std::string& x) {
      b.node("GlobalAveragePool", {x}, "squeezed");
      std::string gate = "squeezed";
      if (function) gate = unary(b, "Sigmoid", b.quantized(gate, gate, kIn, kInZero));
      b.node("Expand", {gate, b.constant<std::int64_t>("to", {4}, {1, 2, 3, 3})}, "wide");
      b.node("Mul", {b.quantized("wide", "gate", kIn, kInZero), x}, "excited");
      return std::string("excited");
    }));
    if (function) {
      EXPECT_THAT(kinds(graph), ElementsAre("average_pool", "lookup", "mul", "average_pool"));
    } else {
      EXPECT_THAT(kinds(graph), ElementsAre("average_pool", "mul", "average_pool"));
    }
    EXPECT_TRUE(ir::is_gate(graph, graph.ops[graph.ops.size() - 2]));
  }
}

// What else reads what is repeated would read a tensor that is not there.
TEST(OnnxFunctions, NothingButProductsReadsWhatIsRepeated) {
  const auto refused = [](const std::function<void(OnnxBuilder&, const std::string&)>& read) {
    const std::vector<std::string> all =
        diagnostics(around([&](OnnxBuilder& b, const std::string& x) {
          b.node("GlobalAveragePool", {x}, "squeezed");
          const std::string s = b.quantized("squeezed", "squeezed", kIn, kInZero);
          b.node("Expand", {s, b.constant<std::int64_t>("to", {4}, {1, 2, 3, 3})}, "repeated");
          read(b, b.quantized("repeated", "wide", kIn, kInZero));
          return std::string("read");
        }));
    return all.size() == 1 ? all[0] : ::testing::PrintToString(all);
  };
  const auto reads = AllOf(HasSubstr("reads a tensor of [N,2,1,1] that is repeated to [N,2,3,3]"),
                           HasSubstr("only a product (Mul)"));
  EXPECT_THAT(
      refused([](OnnxBuilder& b, const std::string& wide) {
        const std::string w = b.weights("w", {2, 2, 3, 3}, ramp<std::int8_t>(36, -9, 90), {0.01F});
        set_attribute(b.node("Conv", {wide, w}, "read"), "pads", Dims{1, 1, 1, 1});
      }),
      AllOf(HasSubstr("'read' (Conv)"), reads));
  EXPECT_THAT(refused([](OnnxBuilder& b, const std::string& wide) {
                b.node("Add", {"input_dq", wide}, "read");
              }),
              reads);
  EXPECT_THAT(refused([](OnnxBuilder& b, const std::string& wide) {
                b.node("GlobalAveragePool", {wide}, "read");
              }),
              reads);
  EXPECT_THAT(
      refused([](OnnxBuilder& b, const std::string& wide) { b.node("Flatten", {wide}, "read"); }),
      HasSubstr("changes the shape of a tensor repeated to [N,2,3,3]"));
  // Larger than what it multiplies.
  EXPECT_THAT(refused([](OnnxBuilder& b, const std::string& wide) {
                b.node("Mul", {wide, "squeezed_dq"}, "read");
              }),
              HasSubstr("repeated to more than the other has"));
}

// Two clips, a product of which one side is always zero, and their sum: rounded once.
TEST(OnnxFunctions, SlopesOfEachChannel) {
  for (const auto& slopes : {std::vector<float>{0.3F, -0.5F}, {0.0F, 1.7F}}) {
    const ir::Graph graph = import_ok(around([&](OnnxBuilder& b, const std::string& x) {
      b.node("PRelu", {x, b.constant<float>("s", {2, 1, 1}, slopes)}, "f");
      return std::string("f");
    }));
    ASSERT_THAT(kinds(graph), ElementsAre("rescale", "rescale", "conv2d", "add", "average_pool"));
    testing::RealFunctions functions;
    for (const float slope : slopes) {
      functions.emplace_back([slope](double x) { return x < 0 ? double{slope} * x : x; });
    }
    testing::expect_by_channel(graph, {kOut, kOutZero}, functions);
  }
  // Clipped behind it.
  const ir::Graph clipped = import_ok(around([&](OnnxBuilder& b, const std::string& x) {
    b.node("PRelu", {x, b.constant<float>("s", {2, 1, 1}, {0.3F, -0.5F})}, "f");
    b.node("Max", {b.scalar("least", -0.5F), "f"}, "m");
    b.node("Min", {"m", b.scalar("most", 1.0F)}, "c");
    return std::string("c");
  }));
  testing::expect_by_channel(
      clipped, {kOut, kOutZero},
      {[](double x) { return std::clamp(x < 0 ? 0.3 * x : x, -0.5, 1.0); },
       [](double x) { return std::clamp(x < 0 ? -0.5 * x : x, -0.5, 1.0); }});
}

// Scales go by an axis, of which each has many elements.
TEST(OnnxFunctions, ConstantsOfFewerScalesThanElements) {
  const ir::Graph graph = import_ok(around([](OnnxBuilder& b, const std::string& x) {
    std::vector<std::int8_t> halves(9, 2);
    halves.resize(18, 1);
    b.node("PRelu", {x, b.weights("s", {2, 3, 3}, halves, {0.25F, 0.5F})}, "f");
    return std::string("f");
  }));
  ASSERT_THAT(kinds(graph), ElementsAre("lookup", "average_pool"));
  const auto slope = [](double x) { return x < 0 ? x / 2 : x; };
  testing::expect_by_channel(graph, {kOut, kOutZero}, {slope, slope});
  for (const char* type : {"Add", "Mul", "Sub", "Div", "PRelu"}) {
    const OnnxBuilder b = around([&](OnnxBuilder& made, const std::string& x) {
      const Dims dims{2, 3, std::int64_t{1} << 20};
      const std::string k =
          made.weights("k", dims, ramp<std::int8_t>(6 << 20, 1, 9), {0.25F, 0.5F});
      made.node(type, {x, k}, "f");
      return std::string("f");
    });
    EXPECT_THAT(diagnostics(b), ElementsAre(HasSubstr(std::string("'f' (") + type + ")"))) << type;
  }
}

// ONNX Runtime has no PRelu on integers: among its operators on these it stands between the two
// changes of type, its slopes float or quantised.
TEST(OnnxFunctions, SlopesAmongOperatorsOnIntegers) {
  for (const bool each : {false, true}) {
    for (const bool quantised : {false, true}) {
      OnnxBuilder b;
      b.input("input", {0, 2, 3, 3});
      const auto parameters = [&](const std::string& name, float scale, int zero) {
        b.scalar(name + "_scale", scale);
        b.constant<std::int8_t>(name + "_zp", {}, {static_cast<std::int8_t>(zero)});
        return std::vector<std::string>{name + "_scale", name + "_zp"};
      };
      const auto call = [&](const std::string& type, std::vector<std::string> inputs,
                            const std::vector<std::string>& more, const std::string& output) {
        inputs.insert(inputs.end(), more.begin(), more.end());
        b.node(type, inputs, output);
      };
      const auto in = parameters("x", kIn, kInZero);
      const auto out = parameters("y", kOut, kOutZero);
      call("QuantizeLinear", {"input"}, in, "x");
      call("DequantizeLinear", {"x"}, in, "x_f");
      const std::string slopes =
          quantised ? b.weights<std::int8_t>(
                          "s", {2, 1, 1}, {30, static_cast<std::int8_t>(each ? -50 : 30)}, {0.01F})
                    : b.constant<float>("s", {2, 1, 1}, {0.3F, each ? -0.5F : 0.3F});
      b.node("PRelu", {"x_f", slopes}, "y_f");
      call("QuantizeLinear", {"y_f"}, out, "y");
      auto pool = out;
      pool.insert(pool.end(), out.begin(), out.end());
      pool.insert(pool.begin(), "y");
      auto& mean = b.node("QLinearGlobalAveragePool", pool, "mean");
      mean.set_domain("com.microsoft");
      set_attribute(mean, "channels_last", std::int64_t{0});
      call("DequantizeLinear", {"mean"}, out, "mean_f");
      b.classifier("mean_f", 2, 3);
      testing::expect_by_channel(
          import_ok(b), {kOut, kOutZero},
          {[](double x) { return x < 0 ? 0.3 * x : x; },
           [each](double x) { return x < 0 ? (each ? -0.5 : 0.3) * x : x; }});
    }
  }
}

TEST(OnnxFunctions, ExtremaOfOneNumberAreClips) {
  const ir::Graph graph = import_ok(around([&](OnnxBuilder& b, const std::string& x) {
    b.node("Min", {x, b.scalar("most", 1.2F), b.scalar("other", 2.0F)}, "m");
    b.node("Max", {b.scalar("least", -0.9F), "m"}, "c");
    return std::string("c");
  }));
  ASSERT_THAT(kinds(graph), ElementsAre("rescale", "average_pool"));
  const auto clip = [](double x) { return std::clamp(x, -0.9, 1.2); };
  testing::expect_by_channel(graph, {kOut, kOutZero}, {clip, clip});
}

TEST(OnnxFunctions, NumbersOfEachChannel) {
  const ir::Graph graph = import_ok(around([&](OnnxBuilder& b, const std::string& x) {
    b.node("Mul", {b.constant<float>("c", {2, 1, 1}, {0.8F, -0.6F}), x}, "f");
    return std::string("f");
  }));
  ASSERT_THAT(kinds(graph), ElementsAre("conv2d", "average_pool"));
  testing::expect_by_channel(graph, {kOut, kOutZero},
                             {[](double x) { return 0.8 * x; }, [](double x) { return -0.6 * x; }});
}

// Operands keep their order; each is rounded to the output's quantisation on its own.
TEST(OnnxFunctions, ConcatRequantisesItsOperands) {
  const ir::Graph graph = import_ok(around(
      [](OnnxBuilder& b, const std::string& x) {
        const std::string wide = b.quantized(unary(b, "Tanh", x), "wide", 0.01F, 3);
        const std::string same = b.quantized(unary(b, "Sigmoid", x), "same", kOut, kOutZero);
        set_attribute(b.node("Concat", {same, x, wide, x}, "joined"), "axis", std::int64_t{-3});
        return std::string("joined");
      },
      8));
  ASSERT_THAT(kinds(graph), ElementsAre("lookup", "lookup", "lookup", "lookup", "lookup", "concat",
                                        "average_pool"));
  EXPECT_EQ(graph.tensor(graph.ops[5].output).shape, (ir::Shape{3, 3, 8}));
  EXPECT_EQ(graph.ops[5].inputs[0], graph.ops[1].output);
  for (int q = -128; q <= 127; ++q) {
    const double units =
        static_cast<float>(q - kInZero) * kIn / kOut + static_cast<float>(kOutZero);
    EXPECT_EQ(std::get<ir::Lookup>(graph.ops[2].params).output(static_cast<std::int8_t>(q)),
              std::clamp(std::nearbyint(static_cast<float>(q - kInZero) * kIn / kOut) + kOutZero,
                         -128.0F, 127.0F))
        << units;
  }
}

TEST(OnnxFunctions, ConcatOfIntegersMovesThem) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 2, 3, 3}), "input", kIn, kInZero);
  set_attribute(b.node("Concat", {"input_q", "input_q"}, "joined"), "axis", std::int64_t{1});
  b.node("DequantizeLinear", {"joined", "input_scale", "input_zp"}, "joined_dq");
  b.node("GlobalAveragePool", {"joined_dq"}, "mean");
  b.classifier(b.quantized("mean", "mean", kIn, kInZero), 4, 3);
  EXPECT_THAT(kinds(import_ok(b)), ElementsAre("concat", "average_pool"));
}

// The same network in both forms.
TEST(OnnxFunctions, OperatorsOnIntegers) {
  OnnxBuilder b;
  b.input("input", {0, 2, 3, 3});
  const auto parameters = [&](const std::string& name, float scale, int zero) {
    b.scalar(name + "_scale", scale);
    b.constant<std::uint8_t>(name + "_zp", {}, {static_cast<std::uint8_t>(zero)});
    return std::vector<std::string>{name + "_scale", name + "_zp"};
  };
  const auto call = [&](const std::string& type, std::vector<std::vector<std::string>> parts,
                        const std::string& output) -> onnx::NodeProto& {
    std::vector<std::string> inputs;
    for (const auto& part : parts) inputs.insert(inputs.end(), part.begin(), part.end());
    onnx::NodeProto& node = b.node(type, inputs, output);
    if (type != "QuantizeLinear" && type != "DequantizeLinear") node.set_domain("com.microsoft");
    return node;
  };
  const auto in = parameters("x", kIn, kInZero + 128);
  const auto leaky = parameters("leaky", 0.05F, 100);
  const auto gate = parameters("gate", 1.0F / 256, 0);
  const auto product = parameters("product", 0.02F, 128);
  const auto joined = parameters("joined", kOut, kOutZero + 128);
  const auto mean = parameters("mean", kOut, kOutZero + 128);
  call("QuantizeLinear", {{"input"}, in}, "x");
  set_attribute(call("QLinearLeakyRelu", {{"x"}, in, leaky}, "leaky"), "alpha", 0.5F);
  call("QLinearSigmoid", {{"x"}, in, gate}, "gate");
  call("QLinearMul", {{"leaky"}, leaky, {"gate"}, gate, product}, "product");
  set_attribute(call("QLinearConcat", {joined, {"product"}, product, {"x"}, in}, "joined"), "axis",
                std::int64_t{1});
  set_attribute(call("QLinearGlobalAveragePool", {{"joined"}, joined, mean}, "mean"),
                "channels_last", std::int64_t{0});
  call("DequantizeLinear", {{"mean"}, mean}, "mean_dq");
  b.classifier("mean_dq", 4, 3);
  const ir::Graph graph = import_ok(b);
  ASSERT_THAT(kinds(graph),
              ElementsAre("lookup", "lookup", "mul", "lookup", "lookup", "concat", "average_pool"));
  const auto& sigmoid = std::get<ir::Lookup>(graph.ops[1].params);
  EXPECT_EQ(sigmoid.output(7), 0);
  const auto& table = std::get<ir::Lookup>(graph.ops[0].params);
  EXPECT_EQ(table.output(32), 20 + 100 - 128);    // 25 * 0.04 / 0.05
  EXPECT_EQ(table.output(-18), -10 + 100 - 128);  // half of that below zero
}

TEST(OnnxFunctions, ProductsOfIntegersWithConstants) {
  for (const bool one : {true, false}) {
    OnnxBuilder b;
    b.quantized(b.input("input", {0, 2, 3, 3}), "input", kIn, kInZero);
    b.scalar("y_scale", kOut);
    b.constant<std::int8_t>("y_zp", {}, {static_cast<std::int8_t>(kOutZero)});
    b.scalar("c_scale", 0.01F);
    b.constant<std::int8_t>("c_zp", {}, {-20});
    if (one) {
      b.constant<std::int8_t>("c", {}, {60});
    } else {
      b.constant<std::int8_t>("c", {2, 1, 1}, {60, -80});
    }
    b.node("QLinearMul",
           {"c", "c_scale", "c_zp", "input_q", "input_scale", "input_zp", "y_scale", "y_zp"}, "y")
        .set_domain("com.microsoft");
    b.node("DequantizeLinear", {"y", "y_scale", "y_zp"}, "y_dq");
    b.node("GlobalAveragePool", {"y_dq"}, "mean");
    b.classifier(b.quantized("mean", "mean", kOut, kOutZero), 2, 3);
    const ir::Graph graph = import_ok(b);
    EXPECT_THAT(kinds(graph), ElementsAre(one ? "lookup" : "conv2d", "average_pool"));
    const double second = one ? 0.8 : -0.6;
    testing::expect_by_channel(
        graph, {kOut, kOutZero},
        {[](double v) { return 0.8 * v; }, [second](double v) { return second * v; }});
  }
}

// Without a zero point the result is of its operands' type, and 0 is the zero point.
TEST(OnnxFunctions, IntegersWithConstantsWithoutAZeroPoint) {
  const auto build = [](const std::string& type, auto zero) {
    using T = decltype(zero);
    OnnxBuilder b;
    b.quantized<T>(b.input("input", {0, 2, 3, 3}), "input", kIn, kInZero + zero);
    b.scalar("y_scale", kOut);
    b.scalar("c_scale", 0.01F);
    b.constant<T>("c_zp", {}, {zero});
    b.constant<T>("c", {}, {static_cast<T>(60 + zero)});
    b.node(type, {"input_q", "input_scale", "input_zp", "c", "c_scale", "c_zp", "y_scale"}, "y")
        .set_domain("com.microsoft");
    b.constant<T>("y_zp", {}, {0});
    b.node("DequantizeLinear", {"y", "y_scale", "y_zp"}, "y_dq");
    b.node("GlobalAveragePool", {"y_dq"}, "mean");
    b.classifier(b.quantized<T>("mean", "mean", kOut, 0), 2, 3);
    return import_ok(b);
  };
  const auto sum = [](double v) { return v + 0.6; };
  const auto product = [](double v) { return 0.6 * v; };
  testing::expect_by_channel(build("QLinearAdd", std::int8_t{0}), {kOut, 0}, {sum, sum});
  testing::expect_by_channel(build("QLinearMul", std::int8_t{0}), {kOut, 0}, {product, product});
  testing::expect_by_channel(build("QLinearAdd", std::uint8_t{128}), {kOut, -128}, {sum, sum});
}

// A dilated convolution equals one whose weights have zeros between them.
TEST(OnnxFunctions, DilationSpreadsTheWeights) {
  const auto model = [](bool dilated) {
    OnnxBuilder b;
    const std::string x = b.quantized(b.input("input", {0, 2, 9, 8}), "input", 0.02F, 3);
    const std::vector<std::int8_t> w = ramp<std::int8_t>(24, -60, 67);  // 3x2 taps
    std::vector<std::int8_t> spread(2 * 2 * 7 * 3, 0);
    for (int i = 0; i < 4; ++i) {
      for (int y = 0; y < 3; ++y) {
        for (int c = 0; c < 2; ++c)
          spread[std::size_t(i * 21 + y * 9 + c * 2)] = w[std::size_t(i * 6 + y * 2 + c)];
      }
    }
    const std::string weights = dilated ? b.weights("w", {2, 2, 3, 2}, w, {0.01F})
                                        : b.weights("w", {2, 2, 7, 3}, spread, {0.01F});
    auto& conv = b.node("Conv", {x, weights}, "c");
    if (dilated) set_attribute(conv, "dilations", Dims{3, 2});
    set_attribute(conv, "auto_pad", std::string("SAME_UPPER"));
    set_attribute(conv, "strides", Dims{2, 1});
    b.node("GlobalAveragePool", {b.quantized("c", "c", 0.05F, 3)}, "mean");
    b.classifier(b.quantized("mean", "mean", 0.05F, 3), 2, 3);
    return import_ok(b);
  };
  const ir::Graph dilated = model(true);
  const ir::Graph spread = model(false);
  EXPECT_TRUE(std::get<ir::Conv2D>(dilated.ops[0].params).window.dilated());
  Rng rng{3};
  for (int i = 0; i < 5; ++i) {
    const auto input = testing::random_int8(rng, 144);
    EXPECT_EQ(testing::forward(dilated, input).tensors.back(),
              testing::forward(spread, input).tensors.back());
  }
}

TEST(OnnxFunctions, RefusalsAreNamed) {
  const auto refused =
      [](const std::function<std::string(OnnxBuilder&, const std::string&)>& nodes) {
        const std::vector<std::string> all = diagnostics(around(nodes));
        return all.empty() ? std::string() : all[0];
      };
  EXPECT_THAT(refused([](OnnxBuilder& b, const std::string& x) {
                b.node("PRelu", {x, b.constant<float>("s", {3, 1}, {0.1F, 0.2F, 0.3F})}, "f");
                return std::string("f");
              }),
              HasSubstr("it has 3 slopes, not one a channel"));
  EXPECT_THAT(refused([](OnnxBuilder& b, const std::string& x) {
                b.node("QLinearPRelu", {x}, "f").set_domain("com.microsoft");
                return std::string("f");
              }),
              AllOf(HasSubstr("QLinearPRelu"), HasSubstr("this operator is not supported")));
  EXPECT_THAT(refused([](OnnxBuilder& b, const std::string& x) {
                b.node("Min", {x, b.constant<float>("s", {2, 1, 1}, {0.1F, 0.2F})}, "f");
                return std::string("f");
              }),
              HasSubstr("compares with more than one number"));
  EXPECT_THAT(refused([](OnnxBuilder& b, const std::string& x) {
                b.node("Conv", {x, b.weights("w", {1, 2, 1, 1}, {1, 2}, {0.1F})}, "c");
                b.node("Sigmoid", {b.quantized("c", "c", 0.1F, 0)}, "s");
                b.node("Mul", {x, b.quantized("s", "gate", 1.0F / 256, -128)}, "f");
                return std::string("f");
              }),
              HasSubstr("by a gate of [N,1,3,3], one number a pixel"));
  EXPECT_THAT(refused([](OnnxBuilder& b, const std::string& x) {
                set_attribute(b.node("Concat", {x, x}, "f"), "axis", std::int64_t{2});
                return std::string("f");
              }),
              HasSubstr("joins [N,2,3,3] along axis 2"));
  EXPECT_THAT(refused([](OnnxBuilder& b, const std::string& x) {
                b.node("ReduceMean", {x}, "m");
                return unary(b, "Tanh", "m");
              }),
              HasSubstr("ReduceMean"));
  EXPECT_THAT(refused([](OnnxBuilder& b, const std::string& x) {
                b.node("Div", {x, b.scalar("nothing", 0)}, "f");
                return std::string("f");
              }),
              HasSubstr("is not a finite number"));
  EXPECT_THAT(refused([](OnnxBuilder& b, const std::string& x) { return unary(b, "Log", x); }),
              HasSubstr("is not a finite number"));
  EXPECT_THAT(refused([](OnnxBuilder& b, const std::string& x) {
                b.node("Pow", {x, b.constant<float>("e", {2}, {2, 3})}, "f");
                return std::string("f");
              }),
              HasSubstr("its exponent is not one constant float"));
  EXPECT_THAT(refused([](OnnxBuilder& b, const std::string& x) {
                b.node("Conv", {x, b.weights("w", {2, 2, 1, 1}, {1, 2, 3, 4}, {0.1F})}, "c");
                return unary(b, "Tanh", "c");
              }),
              HasSubstr("reads the float result of node"));
}

// What fuzzing found: weights of one dimension, whose bias has no channels to belong to.
TEST(OnnxFunctions, WeightsOfOneDimensionAreRefused) {
  OnnxBuilder b = around([](OnnxBuilder& made, const std::string& x) {
    made.node("Conv",
              {x, made.weights("w", {4}, ramp<std::int8_t>(4, 1, 9), {0.1F}),
               made.constant<float>("bias", {1, 2}, {1, 2})},
              "c");
    return std::string("c");
  });
  EXPECT_FALSE(diagnostics(b).empty());
}

// Every op of random networks survives an export: what comes back computes the same.
TEST(OnnxFunctions, ExportsOfRandomNetworksComputeTheSame) {
  for (std::uint64_t seed = 0; seed < 120; ++seed) {
    SCOPED_TRACE(seed);
    ir::Graph graph = testing::random_network(seed);
    for (ir::Op& op : graph.ops) {
      // ONNX has one way to round a mean.
      if (auto* pool = std::get_if<ir::AveragePool>(&op.params)) {
        pool->rounding = ir::HalfRounding::kToEven;
      }
    }
    const Result<std::string> bytes = export_onnx_bytes(graph);
    ASSERT_TRUE(bytes.ok()) << bytes.error().message();
    const Result<ir::Graph> back = import_onnx_bytes(*bytes, "back.onnx", "back");
    ASSERT_TRUE(back.ok()) << back.error().message();
    Rng rng{seed, 5};
    const auto input = testing::random_int8(
        rng, static_cast<std::size_t>(graph.tensor(graph.input).shape.elements()));
    const testing::Activations a = testing::forward(graph, input);
    const testing::Activations b = testing::forward(*back, input);
    EXPECT_EQ(a.tensors[static_cast<std::size_t>(graph.features)],
              b.tensors[static_cast<std::size_t>(back->features)]);
    std::vector<std::array<float, 256>> slopes[2];
    for (const ir::Graph* g : {static_cast<const ir::Graph*>(&graph), &*back}) {
      for (const ir::Op& op : g->ops) {
        if (const auto* table = std::get_if<ir::Lookup>(&op.params)) {
          slopes[g == &graph ? 0 : 1].push_back(table->derivatives);
        }
      }
    }
    // Tables that nobody reads stay behind.
    for (const auto& slope : slopes[1]) {
      EXPECT_EQ(std::count(slopes[0].begin(), slopes[0].end(), slope) > 0, true);
    }
  }
}

}  // namespace
}  // namespace espalier
