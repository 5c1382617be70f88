// The reference gradients against central differences, in double, of each op's straight-through
// form: the same op without rounding, clamped where the forward pass clamps.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "espalier/kernels/reference.hpp"
#include "testing/random_graph.hpp"

namespace espalier::kernels::reference {
namespace {

using testing::GraphBuilder;
using testing::window;

// Real-valued inputs, weights and bias of one op.
struct Point {
  std::vector<std::vector<double>> inputs;
  std::vector<double> weights;
  std::vector<double> bias;
};

// The value of output (y, x, c) before the clamp, written independently of the reference.
double smooth_output(const ir::Graph& graph, const ir::Op& op, const Point& at, int oy, int ox,
                     int oc) {
  const ir::Shape in = graph.tensor(op.inputs[0]).shape;
  const ir::Quantization qx = graph.tensor(op.inputs[0]).quantization;
  const ir::Quantization qy = graph.tensor(op.output).quantization;
  const auto value = [&](std::size_t input, int y, int x, int c) {
    const int channels = graph.tensor(op.inputs[input]).shape.channels;
    return at.inputs[input][static_cast<std::size_t>((y * in.width + x) * channels + c)];
  };
  if (const auto* conv = std::get_if<ir::Conv2D>(&op.params)) {
    double acc = at.bias[static_cast<std::size_t>(oc)];
    const int per_group = conv->in_channels / conv->groups;
    const int group = oc / (conv->out_channels / conv->groups);
    for (int ky = 0; ky < conv->window.kernel_h; ++ky) {
      for (int kx = 0; kx < conv->window.kernel_w; ++kx) {
        const ir::Window& w = conv->window;
        const int y = oy * w.stride_h + ky * w.dilation_h - w.pad_top;
        const int x = ox * w.stride_w + kx * w.dilation_w - w.pad_left;
        if (y < 0 || x < 0 || y >= in.height || x >= in.width) continue;
        for (int c = 0; c < per_group; ++c) {
          const int weight = ((oc * w.kernel_h + ky) * w.kernel_w + kx) * per_group + c;
          acc += (value(0, y, x, group * per_group + c) - qx.zero_point) *
                 at.weights[static_cast<std::size_t>(weight)];
        }
      }
    }
    return acc * static_cast<double>(qx.scale) *
               static_cast<double>(conv->weight_scales[static_cast<std::size_t>(oc)]) /
               static_cast<double>(qy.scale) +
           qy.zero_point;
  }
  if (std::holds_alternative<ir::Mul>(op.params)) {
    const ir::Quantization qb = graph.tensor(op.inputs[1]).quantization;
    const bool gate = graph.tensor(op.inputs[1]).shape != in;
    const double b = gate ? at.inputs[1][static_cast<std::size_t>(oc)] : value(1, oy, ox, oc);
    return (value(0, oy, ox, oc) - qx.zero_point) * (b - qb.zero_point) *
               static_cast<double>(qx.scale) * static_cast<double>(qb.scale) /
               static_cast<double>(qy.scale) +
           qy.zero_point;
  }
  if (std::holds_alternative<ir::Concat>(op.params)) {
    std::size_t operand = 0;
    while (oc >= graph.tensor(op.inputs[operand]).shape.channels) {
      oc -= graph.tensor(op.inputs[operand++]).shape.channels;
    }
    return value(operand, oy, ox, oc);
  }
  if (const auto* select = std::get_if<ir::Select>(&op.params)) {
    return value(0, oy, ox, select->channels[static_cast<std::size_t>(oc)]);
  }
  if (const auto* table = std::get_if<ir::Lookup>(&op.params)) {
    // Straight through the nearest integer; curve_test.cpp holds the slope.
    const double x = value(0, oy, ox, oc);
    const auto q = static_cast<std::int8_t>(std::floor(x + 0.5));
    return table->output(q) + static_cast<double>(table->derivative(q)) * (x - q);
  }
  if (std::holds_alternative<ir::Add>(op.params) ||
      std::holds_alternative<ir::Rescale>(op.params)) {
    double real = 0;
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      const ir::Quantization q = graph.tensor(op.inputs[i]).quantization;
      real += (value(i, oy, ox, oc) - q.zero_point) * static_cast<double>(q.scale);
    }
    return real / static_cast<double>(qy.scale) + qy.zero_point;
  }
  const bool mean = std::holds_alternative<ir::AveragePool>(op.params);
  const ir::Window w =
      mean ? std::get<ir::AveragePool>(op.params).window : std::get<ir::MaxPool>(op.params).window;
  double sum = 0;
  double most = -1e9;
  int count = 0;
  for (int ky = 0; ky < w.kernel_h; ++ky) {
    for (int kx = 0; kx < w.kernel_w; ++kx) {
      const int y = oy * w.stride_h + ky - w.pad_top;
      const int x = ox * w.stride_w + kx - w.pad_left;
      if (y < 0 || x < 0 || y >= in.height || x >= in.width) continue;
      sum += value(0, y, x, oc);
      most = std::max(most, value(0, y, x, oc));
      ++count;
    }
  }
  if (!mean) return most;
  return (sum / count - qx.zero_point) * static_cast<double>(qx.scale) /
             static_cast<double>(qy.scale) +
         qy.zero_point;
}

void check_op(const ir::Graph& graph, const ir::Op& op, std::uint64_t seed) {
  Rng rng{seed, 17};
  std::vector<std::vector<std::int8_t>> inputs;
  Point point;
  for (const ir::TensorId id : op.inputs) {
    inputs.push_back(
        testing::random_int8(rng, static_cast<std::size_t>(graph.tensor(id).shape.elements())));
    point.inputs.emplace_back(inputs.back().begin(), inputs.back().end());
  }
  if (const auto* conv = std::get_if<ir::Conv2D>(&op.params)) {
    point.weights.assign(conv->weights.begin(), conv->weights.end());
    point.bias.assign(conv->bias.begin(), conv->bias.end());
  }
  const ir::Shape out = graph.tensor(op.output).shape;
  const Forward forward_pass = forward(graph, op, inputs);
  std::vector<double> dy(forward_pass.output.size());
  for (double& v : dy) v = rng.uniform(-1, 1);
  const auto loss = [&](const Point& at) {
    double sum = 0;
    std::size_t i = 0;
    for (int y = 0; y < out.height; ++y) {
      for (int x = 0; x < out.width; ++x) {
        for (int c = 0; c < out.channels; ++c, ++i) {
          if (forward_pass.mask[i] != 0) sum += dy[i] * smooth_output(graph, op, at, y, x, c);
        }
      }
    }
    return sum;
  };
  const Backward analytic = backward(graph, op, inputs, forward_pass.mask, dy);
  // The straight-through form is linear in each value, or piecewise so for maxima of integers.
  constexpr double kStep = 0.25;
  const auto check = [&](std::vector<double>& values, const std::vector<double>& expected,
                         const char* what) {
    ASSERT_EQ(values.size(), expected.size());
    double largest = 1e-12;
    for (const double v : expected) largest = std::max(largest, std::abs(v));
    for (int probe = 0; probe < 24; ++probe) {
      const auto i = static_cast<std::size_t>(rng.below(values.size()));
      const double before = values[i];
      values[i] = before + kStep;
      const double above = loss(point);
      values[i] = before - kStep;
      const double below = loss(point);
      values[i] = before;
      ASSERT_NEAR((above - below) / (2 * kStep), expected[i], 1e-7 * largest)
          << op.name << ' ' << what << ' ' << i;
    }
  };
  for (std::size_t i = 0; i < point.inputs.size(); ++i) {
    check(point.inputs[i], analytic.inputs[i], "input");
  }
  if (!point.weights.empty()) {
    check(point.weights, analytic.weights, "weight");
    check(point.bias, analytic.bias, "bias");
  }
}

class Gradient : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(Gradient, OfEveryOpEqualsCentralDifferences) {
  const std::uint64_t seed = GetParam();
  Rng rng{seed, 99};
  const auto pick = [&](int low, int high) {
    return low + static_cast<int>(rng.below(static_cast<std::uint64_t>(high - low + 1)));
  };
  const int channels = 2 * pick(1, 4);
  GraphBuilder b(seed, {pick(4, 7), pick(4, 7), channels});
  const int kernel = 1 + 2 * pick(0, 1);
  const ir::TensorId x =
      b.conv(b.input(), channels, window(kernel, pick(1, 2), pick(0, kernel / 2)));
  const ir::TensorId depthwise = b.conv(x, channels, window(3, 1, 1), channels);
  const ir::TensorId grouped = b.conv(x, 2 * pick(1, 3), window(1, 1, 0), 2);
  const ir::TensorId sum = b.add(x, depthwise);
  const ir::TensorId rescaled = b.rescale(sum, -90, 100);
  const ir::TensorId mean = b.average_pool(rescaled, {2, 2, 1, 1, 1, 0, 0, 1});
  const ir::TensorId requantized = b.requantized_pool(rescaled, {2, 2, 1, 2, 1, 0, 0, 1});
  const ir::TensorId squeezed = b.mul(rescaled, b.gate(rescaled));
  const ir::TensorId product = b.mul(b.lookup(x), x);
  b.select(b.concat({product, squeezed, product}), pick(1, 3 * channels));
  const ir::TensorId wide = b.conv(x, 3, testing::dilated(3, pick(1, 2), pick(2, 3)));
  b.conv(x, channels, testing::dilated(2, 1, 2), channels);
  const ir::Graph graph = b.finish(mean, 3);
  static_cast<void>(requantized);
  static_cast<void>(wide);
  for (const ir::Op& op : graph.ops) {
    ASSERT_NO_FATAL_FAILURE(check_op(graph, op, seed)) << op.name;
  }
  static_cast<void>(grouped);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Gradient, ::testing::Range<std::uint64_t>(0, 25));

TEST(Gradient, OfMaxPoolGoesToTheMaximum) {
  GraphBuilder b(3, {5, 5, 2});
  const ir::TensorId y = b.max_pool(b.input(), window(2, 2, 0));
  const ir::Graph graph = b.finish(y, 2);
  // Distinct values, so that the maximum is unique and differentiable.
  std::vector<std::int8_t> x(50);
  Rng rng{4};
  const std::vector<std::uint32_t> order = rng.permutation(50);
  for (std::size_t i = 0; i < 50; ++i) x[i] = static_cast<std::int8_t>(2 * order[i]);
  const std::vector<std::vector<std::int8_t>> inputs{x};
  const Forward f = forward(graph, graph.ops[0], inputs);
  const std::vector<double> dy(f.output.size(), 1.0);
  const Backward back = backward(graph, graph.ops[0], inputs, f.mask, dy);
  for (std::size_t i = 0; i < 50; ++i) {
    const bool is_maximum = std::count(f.output.begin(), f.output.end(), x[i]) == 1;
    EXPECT_EQ(back.inputs[0][i], is_maximum ? 1.0 : 0.0);
  }
}

}  // namespace
}  // namespace espalier::kernels::reference
