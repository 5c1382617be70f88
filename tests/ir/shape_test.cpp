// Shape inference: every rule, every message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <ostream>
#include <string>
#include <vector>

#include "espalier/ir/graph.hpp"

namespace espalier {
namespace {

using ::testing::HasSubstr;

ir::Conv2D conv(int in, int out, int groups, ir::Window window) {
  return {.window = window, .in_channels = in, .out_channels = out, .groups = groups};
}

struct Accepted {
  std::string name;
  ir::OpParams params;
  std::vector<ir::Shape> in;
  ir::Shape out;
};

std::ostream& operator<<(std::ostream& out, const Accepted& c) { return out << c.name; }

class ShapeOf : public ::testing::TestWithParam<Accepted> {};

TEST_P(ShapeOf, IsInferred) {
  const Result<ir::Shape> shape = ir::infer_shape(GetParam().params, GetParam().in);
  ASSERT_TRUE(shape.ok()) << shape.error().message();
  EXPECT_EQ(*shape, GetParam().out);
}

INSTANTIATE_TEST_SUITE_P(
    All, ShapeOf,
    ::testing::Values(
        Accepted{"Pointwise", conv(3, 8, 1, {}), {{5, 7, 3}}, {5, 7, 8}},
        Accepted{"SamePadding", conv(3, 8, 1, {3, 3, 1, 1, 1, 1, 1, 1}), {{5, 7, 3}}, {5, 7, 8}},
        Accepted{"Valid", conv(3, 8, 1, {3, 5, 1, 1}), {{5, 7, 3}}, {3, 3, 8}},
        Accepted{"StrideRoundsDown", conv(3, 8, 1, {2, 2, 2, 3}), {{5, 7, 3}}, {2, 2, 8}},
        Accepted{
            "OneSidedPadding", conv(3, 8, 1, {3, 3, 2, 2, 0, 0, 1, 1}), {{6, 6, 3}}, {3, 3, 8}},
        Accepted{"WholeImage", conv(3, 8, 1, {5, 7}), {{5, 7, 3}}, {1, 1, 8}},
        Accepted{"Groups", conv(6, 4, 2, {}), {{2, 2, 6}}, {2, 2, 4}},
        Accepted{"Multiplier", conv(6, 18, 6, {}), {{2, 2, 6}}, {2, 2, 18}},
        Accepted{"OneRow", conv(1, 2, 1, {1, 4, 1, 2}), {{1, 10, 1}}, {1, 4, 2}},
        Accepted{"Add", ir::Add{}, {{2, 3, 4}, {2, 3, 4}}, {2, 3, 4}},
        Accepted{"Mul", ir::Mul{}, {{2, 3, 4}, {2, 3, 4}}, {2, 3, 4}},
        Accepted{"Gate", ir::Mul{}, {{2, 3, 4}, {1, 1, 4}}, {2, 3, 4}},
        Accepted{"Select", ir::Select{{3, 0}}, {{2, 3, 4}}, {2, 3, 2}},
        Accepted{"Concat", ir::Concat{}, {{2, 3, 4}, {2, 3, 1}, {2, 3, 4}}, {2, 3, 9}},
        Accepted{"Lookup", ir::Lookup{}, {{2, 3, 4}}, {2, 3, 4}},
        Accepted{"Average", ir::AveragePool{{2, 2, 2, 2}}, {{5, 4, 3}}, {2, 2, 3}},
        Accepted{"Max", ir::MaxPool{{3, 3, 2, 2, 1, 1, 1, 1}}, {{5, 4, 3}}, {3, 2, 3}},
        Accepted{"Rescale", ir::Rescale{}, {{5, 4, 3}}, {5, 4, 3}}),
    [](const auto& tested) { return tested.param.name; });

struct Refused {
  std::string name;
  ir::OpParams params;
  std::vector<ir::Shape> in;
  std::string what;
};

std::ostream& operator<<(std::ostream& out, const Refused& c) { return out << c.name; }

class ShapeRule : public ::testing::TestWithParam<Refused> {};

TEST_P(ShapeRule, IsHeldAndNamed) {
  const Result<ir::Shape> shape = ir::infer_shape(GetParam().params, GetParam().in);
  ASSERT_FALSE(shape.ok());
  EXPECT_EQ(shape.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(shape.error().message(), HasSubstr(GetParam().what));
}

constexpr int kFar = (1 << 20) + 1;

INSTANTIATE_TEST_SUITE_P(
    All, ShapeRule,
    ::testing::Values(
        Refused{"NoInput", ir::Rescale{}, {}, "has 0 inputs, needs 1"},
        Refused{
            "ThreeInputs", ir::Add{}, {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}}, "has 3 inputs, needs 2"},
        Refused{"HugePool",
                ir::MaxPool{{.kernel_h = 300, .kernel_w = 300}},
                {{300, 300, 1}},
                "a window of 300x300 elements is out of range"},
        Refused{"EmptyInput", ir::Rescale{}, {{0, 2, 2}}, "an input of 0x2x2 is out of range"},
        Refused{"HugeInput", ir::Rescale{}, {{1, kFar, 2}}, "is out of range"},
        Refused{"HugeChannels", ir::Rescale{}, {{1, 1, kFar}}, "is out of range"},
        Refused{"Different", ir::Add{}, {{2, 3, 4}, {3, 2, 4}}, "inputs of 2x3x4 and 3x2x4 differ"},
        Refused{"Kernel", conv(1, 1, 1, {0, 1}), {{2, 2, 1}}, "kernel 0x1 is out of range"},
        Refused{"GateOfOtherChannels",
                ir::Mul{},
                {{2, 3, 4}, {1, 1, 3}},
                "inputs of 2x3x4 and 1x1x3 are neither alike nor a gate of the first"},
        Refused{"GateFirst", ir::Mul{}, {{1, 1, 4}, {2, 3, 4}}, "are neither alike nor a gate"},
        Refused{"SelectOfNothing", ir::Select{}, {{2, 3, 4}}, "selects no channels"},
        Refused{"SelectBeyond", ir::Select{{1, 4}}, {{2, 3, 4}}, "selects channel 4 of 4"},
        Refused{"SelectBelow", ir::Select{{-1}}, {{2, 3, 4}}, "selects channel -1 of 4"},
        Refused{"SelectTwice", ir::Select{{1, 2, 1}}, {{2, 3, 4}}, "selects channel 1 twice"},
        Refused{"ConcatOfOne", ir::Concat{}, {{2, 3, 4}}, "has 1 inputs, needs 2 or more"},
        Refused{"ConcatHeights",
                ir::Concat{},
                {{2, 3, 4}, {3, 3, 4}},
                "inputs of 2x3 and 3x3 do not fit side by side"},
        Refused{"PoolDilated",
                ir::MaxPool{{.kernel_h = 2, .dilation_h = 2}},
                {{4, 4, 1}},
                "a pool has no dilation"},
        Refused{"KernelFar", ir::MaxPool{{1, kFar}}, {{2, 2, 1}}, "is out of range"},
        Refused{"Stride", conv(1, 1, 1, {1, 1, 1, 0}), {{2, 2, 1}}, "stride 1x0 is out of range"},
        Refused{"StrideFar", ir::AveragePool{{1, 1, kFar, 1}}, {{2, 2, 1}}, "is out of range"},
        Refused{"NegativePad",
                conv(1, 1, 1, {2, 2, 1, 1, -1}),
                {{2, 2, 1}},
                "padding -1,0,0,0 must be at least 0 and smaller than the kernel"},
        Refused{"PadOfTheKernel",
                conv(1, 1, 1, {2, 2, 1, 1, 0, 0, 2, 0}),
                {{2, 2, 1}},
                "padding 0,0,2,0 must be at least 0 and smaller than the kernel"},
        Refused{"PadLeft", ir::MaxPool{{2, 2, 1, 1, 0, 2}}, {{2, 2, 1}}, "smaller than the kernel"},
        Refused{"PadRight",
                ir::MaxPool{{2, 2, 1, 1, 0, 0, 0, 2}},
                {{2, 2, 1}},
                "smaller than the kernel"},
        Refused{"TooHigh",
                conv(1, 1, 1, {3, 1}),
                {{2, 2, 1}},
                "kernel 3x1 does not fit an input of 2x2"},
        Refused{"TooWide",
                ir::AveragePool{{1, 3}},
                {{2, 2, 1}},
                "kernel 1x3 does not fit an input of 2x2"},
        Refused{"NoGroups",
                conv(4, 4, 0, {}),
                {{2, 2, 4}},
                "0 groups do not divide 4 input and 4 output channels"},
        Refused{"InputGroups", conv(4, 6, 3, {}), {{2, 2, 4}}, "3 groups do not divide"},
        Refused{"OutputGroups", conv(6, 4, 3, {}), {{2, 2, 6}}, "3 groups do not divide"},
        Refused{"NoOutputs", conv(4, 0, 1, {}), {{2, 2, 4}}, "do not divide"},
        Refused{"Channels",
                conv(4, 4, 1, {}),
                {{2, 2, 3}},
                "weights expect 4 input channels, the input has 3"}),
    [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace espalier
