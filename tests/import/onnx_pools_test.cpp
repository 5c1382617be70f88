// Pools and means as ONNX files have them, against sums over every window.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "espalier/support/rng.hpp"
#include "onnx_builder.hpp"
#include "testing/forward.hpp"
#include "testing/random_graph.hpp"

namespace espalier {
namespace {

using testing::Dims;
using ::testing::HasSubstr;
using testing::OnnxBuilder;
using testing::set_attribute;

constexpr ir::Quantization kIn{0.04F, -9};
constexpr ir::Quantization kOut{0.03F, 21};
constexpr int kChannels = 2;

// An axis of a pool.
struct Slide {
  int image = 0, kernel = 1, stride = 1, before = 0, after = 0;
  bool ceil = false;

  [[nodiscard]] int outputs() const {
    const int extent = image + before + after - kernel;
    int count = (ceil ? (extent + stride - 1) / stride : extent / stride) + 1;
    // No window begins behind the image.
    if (ceil && (count - 1) * stride >= image + before) --count;
    return count;
  }
};

struct PoolCase {
  Slide rows, columns;
  bool average = false, counts = false;
  std::int64_t opset = 13;
  bool integers = false;  // ONNX Runtime's operator

  static PoolCase random(Rng& rng) {
    const auto below = [&](int n) { return static_cast<int>(rng.uniform(0, n)); };
    const bool ceil = below(2) == 1;
    const auto slide = [&] {
      Slide s{.image = 5 + below(5), .kernel = 1 + below(4), .stride = 1 + below(3)};
      s.before = below(s.kernel);
      s.after = below(s.kernel);
      s.ceil = ceil;
      return s;
    };
    PoolCase c{.rows = slide(), .columns = slide()};
    c.average = below(3) > 0;
    c.counts = below(2) == 1;
    c.opset = below(2) == 1 ? 13 : 19;
    c.integers = c.average && below(3) == 0;
    return c;
  }

  // What a window divides by, or takes the greatest of.
  [[nodiscard]] double at(const std::vector<std::int8_t>& x, int row, int column,
                          int channel) const {
    double sum = 0;
    double most = -1e9;
    int inside = 0;
    int padded = 0;
    for (int i = row * rows.stride; i < row * rows.stride + rows.kernel; ++i) {
      for (int j = column * columns.stride; j < column * columns.stride + columns.kernel; ++j) {
        const int y = i - rows.before;
        const int z = j - columns.before;
        padded += y < rows.image + rows.after && z < columns.image + columns.after ? 1 : 0;
        if (y < 0 || y >= rows.image || z < 0 || z >= columns.image) continue;
        ++inside;
        const int q = x[static_cast<std::size_t>((y * columns.image + z) * kChannels + channel)];
        sum += (q - kIn.zero_point) * double{kIn.scale};
        most = std::max(most, (q - kIn.zero_point) * double{kIn.scale});
      }
    }
    if (!average) return most;
    const bool whole = opset < 19 || integers;
    return sum / (!counts ? inside : whole ? rows.kernel * columns.kernel : padded);
  }

  [[nodiscard]] OnnxBuilder model() const {
    OnnxBuilder b(opset);
    const std::string x = b.quantized(b.input("input", {0, kChannels, rows.image, columns.image}),
                                      "input", kIn.scale, kIn.zero_point);
    if (integers) {
      b.scalar("out_scale", kOut.scale);
      b.constant<std::int8_t>("out_zp", {}, {kOut.zero_point});
      b.node("QLinearAveragePool", {"input_q", "input_scale", "input_zp", "out_scale", "out_zp"},
             "pooled")
          .set_domain("com.microsoft");
      b.node("DequantizeLinear", {"pooled", "out_scale", "out_zp"}, "pooled_dq");
    } else {
      b.node(average ? "AveragePool" : "MaxPool", {x}, "pooled");
    }
    onnx::NodeProto& node =
        *std::find_if(b.graph().mutable_node()->begin(), b.graph().mutable_node()->end(),
                      [](const onnx::NodeProto& n) { return n.output(0) == "pooled"; });
    set_attribute(node, "kernel_shape", Dims{rows.kernel, columns.kernel});
    set_attribute(node, "strides", Dims{rows.stride, columns.stride});
    set_attribute(node, "pads", Dims{rows.before, columns.before, rows.after, columns.after});
    set_attribute(node, "ceil_mode", std::int64_t{rows.ceil});
    if (average) set_attribute(node, "count_include_pad", std::int64_t{counts});
    if (!integers) b.quantized("pooled", "pooled", kOut.scale, kOut.zero_point);
    b.classifier("pooled_dq", std::int64_t{kChannels} * rows.outputs() * columns.outputs(), 3);
    return b;
  }
};

TEST(OnnxPools, AnyWindow) {
  Rng rng{5};
  for (int i = 0; i < 400; ++i) {
    const PoolCase c = PoolCase::random(rng);
    SCOPED_TRACE(::testing::Message()
                 << c.rows.image << "x" << c.columns.image << " kernel " << c.rows.kernel << "x"
                 << c.columns.kernel << " stride " << c.rows.stride << "," << c.columns.stride
                 << " pads " << c.rows.before << "," << c.columns.before << "," << c.rows.after
                 << "," << c.columns.after << " ceil " << c.rows.ceil << " average " << c.average
                 << " counts " << c.counts << " opset " << c.opset << " integers " << c.integers);
    const Result<ir::Graph> graph = c.model().import();
    ASSERT_TRUE(graph.ok()) << graph.error().message();
    const auto x = testing::random_int8(
        rng, static_cast<std::size_t>(c.rows.image * c.columns.image * kChannels));
    const auto y = testing::forward(*graph, x).tensors[static_cast<std::size_t>(graph->features)];
    ASSERT_EQ(y.size(), std::size_t(c.rows.outputs() * c.columns.outputs() * kChannels));
    for (std::size_t k = 0; k < y.size(); ++k) {
      const int pixel = static_cast<int>(k) / kChannels;
      const double real = c.at(x, pixel / c.columns.outputs(), pixel % c.columns.outputs(),
                               static_cast<int>(k) % kChannels);
      const double units = real / double{kOut.scale} + kOut.zero_point;
      ASSERT_NEAR(y[k], std::clamp(units, -128.0, 127.0), 0.5001) << k;
    }
  }
}

// Means over rows, columns or both, one after another, with or without a quantisation between.
struct MeanCase {
  std::string name;
  std::vector<Dims> steps;
  bool keep = false;
  bool channels_last = false;
  Dims left;  // axes of [channels, rows, columns] that stay
};

class OnnxMeans : public ::testing::TestWithParam<MeanCase> {};

TEST_P(OnnxMeans, AreThatOfTheAxes) {
  constexpr int kRows = 4, kColumns = 6;
  OnnxBuilder b;
  std::string x = b.quantized(b.input("input", {0, kChannels, kRows, kColumns}), "input", kIn.scale,
                              kIn.zero_point);
  if (GetParam().channels_last) {
    set_attribute(b.node("Transpose", {x}, "nhwc"), "perm", Dims{0, 2, 3, 1});
    x = "nhwc";
  }
  for (std::size_t i = 0; i < GetParam().steps.size(); ++i) {
    onnx::NodeProto& node = b.node("ReduceMean", {x}, "mean" + std::to_string(i));
    set_attribute(node, "axes", GetParam().steps[i]);
    set_attribute(node, "keepdims", std::int64_t{GetParam().keep});
    x = node.output(0);
  }
  const auto stays = [&](std::int64_t axis) {
    return std::count(GetParam().left.begin(), GetParam().left.end(), axis) > 0;
  };
  const int rows = stays(1) ? kRows : 1;
  const int columns = stays(2) ? kColumns : 1;
  b.classifier(b.quantized(x, "result", kOut.scale, kOut.zero_point),
               std::int64_t{kChannels} * rows * columns, 3);
  const Result<ir::Graph> graph = b.import();
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  ASSERT_EQ(graph->ops.size(), 1U);
  Rng rng{9};
  const auto q = testing::random_int8(rng, std::size_t{kRows} * kColumns * kChannels);
  const auto y = testing::forward(*graph, q).tensors[static_cast<std::size_t>(graph->features)];
  std::vector<double> sums(std::size_t(rows * columns * kChannels), 0);
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kColumns; ++j) {
      for (int c = 0; c < kChannels; ++c) {
        sums[std::size_t(((rows > 1 ? i : 0) * columns + (columns > 1 ? j : 0)) * kChannels + c)] +=
            (q[std::size_t((i * kColumns + j) * kChannels + c)] - kIn.zero_point) *
            double{kIn.scale};
      }
    }
  }
  ASSERT_EQ(y.size(), sums.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double mean = sums[i] * rows * columns / (kRows * kColumns);
    EXPECT_NEAR(y[i], std::clamp(mean / double{kOut.scale} + kOut.zero_point, -128.0, 127.0),
                0.5001);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, OnnxMeans,
    ::testing::Values(MeanCase{"Both", {{2, 3}}, false, false, {}},
                      MeanCase{"BothFromBehind", {{-1, -2}}, true, false, {}},
                      MeanCase{"Columns", {{3}}, false, false, {1}},
                      MeanCase{"Rows", {{2}}, true, false, {2}},
                      MeanCase{"ColumnsThenRows", {{3}, {2}}, false, false, {}},
                      MeanCase{"RowsThenColumns", {{2}, {2}}, false, false, {}},
                      MeanCase{"ColumnsThenRowsKept", {{-1}, {-2}}, true, false, {}},
                      MeanCase{"RowsOfChannelsLast", {{1}}, false, true, {2}},
                      MeanCase{"ColumnsThenRowsOfChannelsLast", {{2}, {1}}, false, true, {}}),
    [](const auto& tested) { return tested.param.name; });

TEST(OnnxMeansRefused, OverChannels) {
  for (const std::vector<Dims>& steps : {std::vector<Dims>{{1}}, std::vector<Dims>{{3}, {1}}}) {
    OnnxBuilder b;
    std::string x = b.quantized(b.input("input", {0, 4, 4, 4}), "input", kIn.scale, 0);
    for (std::size_t i = 0; i < steps.size(); ++i) {
      onnx::NodeProto& node = b.node("ReduceMean", {x}, "mean" + std::to_string(i));
      set_attribute(node, "axes", steps[i]);
      x = node.output(0);
    }
    b.classifier(b.quantized(x, "y", kOut.scale, 0), steps.size() == 1 ? 16 : 4, 3);
    const Result<ir::Graph> graph = b.import();
    ASSERT_FALSE(graph.ok());
    EXPECT_THAT(graph.error().message(), HasSubstr("(ReduceMean)"));
  }
}

// Behind a layer that waits for its quantisation, or on integers.
TEST(OnnxPools, MaximaOfAxes) {
  for (const bool integers : {false, true}) {
    OnnxBuilder b;
    const std::string x =
        b.quantized(b.input("input", {0, kChannels, 3, 4}), "input", kIn.scale, kIn.zero_point);
    std::string y = "input_q";
    if (!integers) y = b.relu(x, "relu");
    onnx::NodeProto& node = b.node("ReduceMax", {y}, "most");
    set_attribute(node, "axes", Dims{2, -1});
    set_attribute(node, "keepdims", std::int64_t{0});
    if (integers) {
      b.node("DequantizeLinear", {"most", "input_scale", "input_zp"}, "most_dq");
    } else {
      b.quantized("most", "most", kIn.scale, kIn.zero_point);
    }
    b.classifier("most_dq", kChannels, 3);
    const Result<ir::Graph> graph = b.import();
    ASSERT_TRUE(graph.ok()) << graph.error().message();
    Rng rng{2};
    const auto q = testing::random_int8(rng, std::size_t{12} * kChannels);
    const std::vector<std::int8_t> features =
        testing::forward(*graph, q).tensors[static_cast<std::size_t>(graph->features)];
    for (std::size_t c = 0; c < kChannels; ++c) {
      int most = integers ? -128 : kIn.zero_point;
      for (std::size_t i = c; i < q.size(); i += kChannels) most = std::max<int>(most, q[i]);
      EXPECT_EQ(features[c], most);
    }
  }
}

// What ONNX Runtime writes as its optimised file: its own operators see channels last.
TEST(OnnxPools, ChannelsLast) {
  const auto model = [](bool last) {
    OnnxBuilder b;
    b.quantized(b.input("input", {0, 3, 9, 7}), "input", kIn.scale, kIn.zero_point);
    b.scalar("out_scale", kOut.scale);
    b.constant<std::int8_t>("out_zp", {}, {kOut.zero_point});
    b.constant<std::int8_t>("w", {4, 3, 3, 2}, testing::ramp<std::int8_t>(72, -30, 37));
    b.constant<std::int8_t>("w_zp", {}, {0});
    b.scalar("w_scale", 0.01F);
    std::string x = "input_q";
    const auto turned = [&](const std::string& from, const std::string& to, const Dims& perm) {
      if (!last) return from;
      set_attribute(b.node("Transpose", {from}, to), "perm", perm);
      return to;
    };
    x = turned(x, "nhwc", {0, 2, 3, 1});
    onnx::NodeProto& conv =
        b.node("QLinearConv",
               {x, "input_scale", "input_zp", "w", "w_scale", "w_zp", "out_scale", "out_zp"}, "c");
    set_attribute(conv, "auto_pad", std::string("SAME_UPPER"));
    set_attribute(conv, "strides", Dims{2, 1});
    onnx::NodeProto& most = b.node(last ? "NhwcMaxPool" : "MaxPool", {"c"}, "m");
    set_attribute(most, "kernel_shape", Dims{3, 2});
    set_attribute(most, "pads", Dims{1, 0, 1, 0});
    onnx::NodeProto& mean =
        b.node("QLinearAveragePool", {"m", "out_scale", "out_zp", "out_scale", "out_zp"}, "a");
    set_attribute(mean, "kernel_shape", Dims{2, 3});
    mean.set_domain("com.microsoft");
    if (last) {
      for (onnx::NodeProto* node : {&conv, &mean})
        set_attribute(*node, "channels_last", std::int64_t{1});
      for (onnx::NodeProto* node : {&conv, &most}) node->set_domain("com.microsoft");
    }
    b.node("DequantizeLinear", {turned("a", "nchw", {0, 3, 1, 2}), "out_scale", "out_zp"}, "y");
    b.classifier("y", 4 * 4 * 4, 3);
    return b.import();
  };
  const Result<ir::Graph> first = model(false);
  const Result<ir::Graph> last = model(true);
  ASSERT_TRUE(first.ok()) << first.error().message();
  ASSERT_TRUE(last.ok()) << last.error().message();
  Rng rng{4};
  const auto x = testing::random_int8(rng, 9 * 7 * 3);
  EXPECT_EQ(testing::forward(*first, x).logits, testing::forward(*last, x).logits);
}

// A join of one tensor is a change of its quantisation.
TEST(OnnxPools, ConcatOfOne) {
  OnnxBuilder b;
  const std::string x =
      b.quantized(b.input("input", {0, 2, 1, 1}), "input", kIn.scale, kIn.zero_point);
  set_attribute(b.node("Concat", {x}, "joined"), "axis", std::int64_t{1});
  b.classifier(b.quantized("joined", "y", kOut.scale, kOut.zero_point), 2, 3);
  const Result<ir::Graph> graph = b.import();
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  const std::vector<std::int8_t> q{-50, 9};
  const auto y = testing::forward(*graph, q).tensors.back();
  EXPECT_EQ(y[0], std::lround((-50 + 9) * 0.04 / 0.03) + 21);
  EXPECT_EQ(y[1], std::lround((9 + 9) * 0.04 / 0.03) + 21);
}

}  // namespace
}  // namespace espalier
