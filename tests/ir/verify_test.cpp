// Every invariant that ir::verify holds, and the words it says it in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <ostream>
#include <string>

#include "small_graph.hpp"

namespace espalier {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Verify, AcceptsEveryOp) {
  const Status verified = ir::verify(testing::graph_of_every_op());
  EXPECT_TRUE(verified.ok()) << verified.error().message();
}

struct Violation {
  std::string name;
  std::function<void(ir::Graph&)> change;
  std::string where;  // "" for the graph as a whole
  std::string what;
};

std::ostream& operator<<(std::ostream& out, const Violation& v) { return out << v.name; }

class VerifyRule : public ::testing::TestWithParam<Violation> {};

TEST_P(VerifyRule, IsHeldAndNamed) {
  const Violation& violation = GetParam();
  ir::Graph graph = testing::graph_of_every_op();
  violation.change(graph);
  const Status verified = ir::verify(graph);
  ASSERT_FALSE(verified.ok());
  EXPECT_EQ(verified.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(verified.error().diagnostics,
              Contains(AllOf(StartsWith("every: "), HasSubstr(violation.where),
                             HasSubstr(violation.what))));
}

ir::Conv2D& weights_of(ir::Graph& graph, std::size_t op) {
  return std::get<ir::Conv2D>(graph.ops[op].params);
}
ir::Quantization& quantization(ir::Graph& graph, std::size_t tensor) {
  return graph.tensors[tensor].quantization;
}

const float kNan = std::numeric_limits<float>::quiet_NaN();
const float kInf = std::numeric_limits<float>::infinity();

INSTANTIATE_TEST_SUITE_P(
    Tensors, VerifyRule,
    ::testing::Values(
        Violation{"ScaleZero", [](ir::Graph& g) { quantization(g, 1).scale = 0; }, "tensor 'c0'",
                  "scale 0 is not a positive number"},
        Violation{"ScaleNegative", [](ir::Graph& g) { quantization(g, 1).scale = -1; },
                  "tensor 'c0'", "is not a positive number"},
        Violation{"ScaleNan", [](ir::Graph& g) { quantization(g, 2).scale = kNan; }, "tensor 'sum'",
                  "is not a positive number"},
        Violation{"ScaleInfinite", [](ir::Graph& g) { quantization(g, 2).scale = kInf; },
                  "tensor 'sum'", "is not a positive number"},
        Violation{"ZeroPointBelow", [](ir::Graph& g) { quantization(g, 0).zero_point = -129; },
                  "tensor 'input'", "zero point -129 is not an int8"},
        Violation{"ZeroPointAbove", [](ir::Graph& g) { quantization(g, 0).zero_point = 128; },
                  "tensor 'input'", "zero point 128 is not an int8"},
        Violation{"NoInput", [](ir::Graph& g) { g.input = -1; }, "",
                  "input or features are undefined"},
        Violation{"FeaturesBeyond",
                  [](ir::Graph& g) { g.features = static_cast<int>(g.tensors.size()); }, "",
                  "input or features are undefined"}),
    [](const auto& tested) { return tested.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Order, VerifyRule,
    ::testing::Values(Violation{"ReadsLater", [](ir::Graph& g) { g.ops[0].inputs[0] = 3; },
                                "op 0 'conv0' (conv2d)", "reads a tensor before it is written"},
                      Violation{"ReadsNothing", [](ir::Graph& g) { g.ops[1].inputs[1] = -1; },
                                "op 1 'add' (add)", "reads a tensor before it is written"},
                      Violation{"ReadsBeyond", [](ir::Graph& g) { g.ops[1].inputs[1] = 99; },
                                "op 1 'add'", "reads a tensor before it is written"},
                      Violation{"WritesTwice",
                                [](ir::Graph& g) { g.ops[3].output = g.ops[2].output; },
                                "op 3 'rescale' (rescale)",
                                "writes an undefined or already written tensor"},
                      Violation{"WritesInput", [](ir::Graph& g) { g.ops[0].output = g.input; },
                                "op 0 'conv0'", "already written"},
                      Violation{"WritesNothing", [](ir::Graph& g) { g.ops[0].output = -1; },
                                "op 0 'conv0'", "undefined or already written"},
                      Violation{"FeaturesUnwritten", [](ir::Graph& g) { g.ops.pop_back(); }, "",
                                "features are never written"},
                      Violation{"TooFewInputs", [](ir::Graph& g) { g.ops[1].inputs.pop_back(); },
                                "op 1 'add'", "has 1 inputs, needs 2"},
                      Violation{"OutputShape", [](ir::Graph& g) { g.tensors[1].shape.width = 5; },
                                "op 0 'conv0'", "output shape is wrong"}),
    [](const auto& tested) { return tested.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Ops, VerifyRule,
    ::testing::Values(
        Violation{"ClampBelow", [](ir::Graph& g) { g.ops[3].clamp_low = -129; }, "op 3 'rescale'",
                  "clamp -129..20 is not within int8"},
        Violation{"ClampAbove", [](ir::Graph& g) { g.ops[3].clamp_high = 128; }, "op 3 'rescale'",
                  "clamp -10..128 is not within int8"},
        Violation{"ClampEmpty", [](ir::Graph& g) { g.ops[3].clamp_low = 21; }, "op 3 'rescale'",
                  "clamp 21..20 is not within int8"},
        Violation{"WeightCount", [](ir::Graph& g) { weights_of(g, 0).weights.pop_back(); },
                  "op 0 'conv0'", "weights, scales or bias have the wrong size"},
        Violation{"ScaleCount", [](ir::Graph& g) { weights_of(g, 0).weight_scales.pop_back(); },
                  "op 0 'conv0'", "weights, scales or bias have the wrong size"},
        Violation{"BiasCount", [](ir::Graph& g) { weights_of(g, 4).bias.push_back(0); },
                  "op 4 'conv1'", "weights, scales or bias have the wrong size"},
        Violation{"WeightScaleZero", [](ir::Graph& g) { weights_of(g, 0).weight_scales[1] = 0; },
                  "op 0 'conv0'", "weight scale 0 is not a positive number"},
        Violation{"WeightScaleNan", [](ir::Graph& g) { weights_of(g, 0).weight_scales[1] = kNan; },
                  "op 0 'conv0'", "is not a positive number"},
        Violation{"ConvFactor", [](ir::Graph& g) { weights_of(g, 0).weight_scales[1] = 1e12F; },
                  "op 0 'conv0'", "is out of range"},
        Violation{"AddFactor", [](ir::Graph& g) { quantization(g, 0).scale = 1e12F; },
                  "op 0 'conv0'", "rescaling factor"},
        Violation{"RescaleFactor",
                  [](ir::Graph& g) { quantization(g, 2).scale = quantization(g, 3).scale = 1e12F; },
                  "op 3 'rescale'", "is out of range"},
        Violation{"MaxPoolScale", [](ir::Graph& g) { quantization(g, 3).scale = 0.3F; },
                  "op 2 'max' (max_pool)", "input and output quantisation differ"},
        Violation{"MaxPoolClamp", [](ir::Graph& g) { g.ops[2].clamp_low = 0; }, "op 2 'max'",
                  "a pool that keeps its quantisation has no clamp"},
        Violation{"MeanClamp", [](ir::Graph& g) { g.ops[5].clamp_high = 9; }, "op 5 'mean'",
                  "a pool that keeps its quantisation has no clamp"},
        Violation{"MeanFactor", [](ir::Graph& g) { g.tensors[6].quantization.scale = 1e-13F; },
                  "op 5 'mean'", "rescaling factor"},
        Violation{"LookupClamp", [](ir::Graph& g) { g.ops[6].clamp_low = 0; },
                  "op 6 'lookup' (lookup)", "a table clamps by itself"},
        Violation{
            "LookupDerivative",
            [](ir::Graph& g) { std::get<ir::Lookup>(g.ops[6].params).derivatives[255] = kNan; },
            "op 6 'lookup'", "a derivative is not a finite number"},
        Violation{"MulFactor",
                  [](ir::Graph& g) {
                    quantization(g, 7).scale = 1e12F;
                    quantization(g, 9).scale = quantization(g, 8).scale = 0.1F;
                  },
                  "op 7 'mul' (mul)", "rescaling factor"},
        Violation{"ConcatScale", [](ir::Graph& g) { quantization(g, 8).scale = 0.2F; },
                  "op 8 'concat' (concat)", "input and output quantisation differ"},
        Violation{"SelectQuantisation",
                  [](ir::Graph& g) { g.tensors.back().quantization.scale = 0.7F; },
                  "op 9 'select' (select)", "input and output quantisation differ"},
        Violation{"SelectClamp", [](ir::Graph& g) { g.ops[9].clamp_low = 0; }, "op 9 'select'",
                  "a selection of channels has no clamp"},
        Violation{"ConcatClamp", [](ir::Graph& g) { g.ops[8].clamp_high = 5; }, "op 8 'concat'",
                  "what is put side by side has no clamp"},
        Violation{"ConcatOfOne", [](ir::Graph& g) { g.ops[8].inputs.pop_back(); }, "op 8 'concat'",
                  "has 1 inputs, needs 2 or more"},
        Violation{"MaxPoolZero", [](ir::Graph& g) { quantization(g, 3).zero_point = 1; },
                  "op 2 'max'", "input and output quantisation differ"}),
    [](const auto& tested) { return tested.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Head, VerifyRule,
    ::testing::Values(
        Violation{"Features", [](ir::Graph& g) { ++g.head.features; }, "",
                  "the head does not fit its features"},
        Violation{"Classes", [](ir::Graph& g) { g.head.classes = 0; }, "", "does not fit"},
        Violation{"Weights", [](ir::Graph& g) { g.head.weights.pop_back(); }, "", "does not fit"},
        Violation{"Bias", [](ir::Graph& g) { g.head.bias.pop_back(); }, "", "does not fit"}),
    [](const auto& tested) { return tested.param.name; });

TEST(Verify, ReportsEveryTensorInOneRun) {
  ir::Graph graph = testing::graph_of_every_op();
  quantization(graph, 1).scale = 0;
  quantization(graph, 2).zero_point = 200;
  quantization(graph, 4).scale = kNan;
  EXPECT_EQ(ir::verify(graph).error().diagnostics.size(), 3U);
}

TEST(Verify, LargestAndSmallestFactors) {
  // Factors up to the largest that fixed point holds, and down to zero.
  ir::Graph graph = testing::graph_of_every_op();
  weights_of(graph, 4).weight_scales[0] = 1e-30F;
  EXPECT_TRUE(ir::verify(graph).ok());
  weights_of(graph, 4).weight_scales[0] = 3e8F;  // 0.3 * 3e8 / 0.1 = 9e8
  EXPECT_TRUE(ir::verify(graph).ok());
  weights_of(graph, 4).weight_scales[0] = 4e8F;  // 1.2e9
  EXPECT_FALSE(ir::verify(graph).ok());
}

}  // namespace
}  // namespace espalier
