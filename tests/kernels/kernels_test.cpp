// Every fast kernel against the scalar reference, for every instruction set this machine runs, on
// one list of shapes.
#include <gtest/gtest.h>

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/ir/fixed_point.hpp"
#include "espalier/kernels/conv.hpp"
#include "espalier/kernels/elementwise.hpp"
#include "espalier/kernels/reference.hpp"
#include "espalier/kernels/simd.hpp"
#include "testing/kernel_choice.hpp"
#include "testing/random_graph.hpp"

namespace espalier::kernels {
namespace {

using testing::GraphBuilder;
using testing::KernelChoice;
using testing::window;

struct Shape {
  const char* name;
  ir::Shape in;
  int out_channels;
  ir::Window window;
  int groups;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.name; }

const std::vector<Shape> kConvShapes = {
    {"pointwise", {6, 5, 32}, 48, window(1, 1, 0), 1},
    {"pointwise_odd_channels", {7, 3, 24}, 40, window(1, 1, 0), 1},
    {"pointwise_deep", {4, 4, 300}, 19, window(1, 1, 0), 1},
    {"pointwise_wide", {2, 2, 17}, 130, window(1, 1, 0), 1},
    {"pointwise_strided", {6, 6, 16}, 16, window(1, 2, 0), 1},
    {"stem", {9, 9, 3}, 16, window(3, 2, 1), 1},
    {"full_3x3", {6, 7, 10}, 12, window(3, 1, 1), 1},
    {"full_asymmetric", {8, 8, 4}, 6, {3, 3, 2, 2, 0, 0, 1, 1}, 1},
    {"fully_connected", {4, 3, 8}, 10, {4, 3, 1, 1, 0, 0, 0, 0}, 1},
    {"depthwise_3x3", {8, 9, 24}, 24, window(3, 1, 1), 24},
    {"depthwise_5x5_stride2", {9, 8, 16}, 16, window(5, 2, 2), 16},
    {"depthwise_7x7", {8, 8, 40}, 40, window(7, 1, 3), 40},
    {"depthwise_9x9", {10, 10, 16}, 16, window(9, 1, 4), 16},
    {"depthwise_same_tflite", {8, 8, 8}, 8, {3, 3, 2, 2, 0, 0, 1, 1}, 8},
    {"depthwise_multiplier", {5, 5, 6}, 12, window(3, 1, 1), 6},
    {"grouped", {6, 6, 12}, 18, window(3, 1, 1), 3},
};

// Dense maps of samples <-> maps with a channel stride.
template <typename T>
AlignedVector<T> widen_stride(const std::vector<std::vector<T>>& dense, int channels, int stride) {
  AlignedVector<T> out;
  for (const std::vector<T>& map : dense) {
    for (std::size_t p = 0; p < map.size() / static_cast<std::size_t>(channels); ++p) {
      for (int c = 0; c < stride; ++c) {
        out.push_back(
            c < channels ? map[p * static_cast<std::size_t>(channels) + static_cast<std::size_t>(c)]
                         : T{});
      }
    }
  }
  return out;
}

class ConvKernels : public ::testing::TestWithParam<std::tuple<std::string_view, Shape>> {
 protected:
  void SetUp() override {
    const KernelTables all = all_kernels();
    for (int i = 0; i < all.count; ++i) {
      if (all.tables[i]->name == std::get<0>(GetParam())) {
        choice_.emplace(*all.tables[i]);
        return;
      }
    }
    GTEST_SKIP() << "this machine does not run " << std::get<0>(GetParam());
  }

 private:
  std::optional<KernelChoice> choice_;
};

constexpr int kSamples = 3;

double largest(const std::vector<double>& values) {
  double most = 1e-30;
  for (const double v : values) most = std::max(most, std::abs(v));
  return most;
}

// A graph of one conv, with a dead channel as real files have them.
struct ConvGraph {
  explicit ConvGraph(const Shape& shape) {
    GraphBuilder builder(7, shape.in);
    y = builder.conv(builder.input(), shape.out_channels, shape.window, shape.groups);
    graph = builder.finish(y, 2);
    auto& conv = std::get<ir::Conv2D>(graph.ops[0].params);
    conv.bias[0] = INT32_MAX;
    conv.weight_scales[0] = 1e-9F;
  }
  [[nodiscard]] const ir::Op& op() const { return graph.ops[0]; }
  [[nodiscard]] const ir::Conv2D& conv() const { return std::get<ir::Conv2D>(op().params); }
  ir::TensorId y = 0;
  ir::Graph graph;
};

// Samples through one conv, by the reference and by the kernels.
class ConvRun {
 public:
  ConvRun(const Shape& shape, const ConvGraph& layer, int in_stride)
      : layer_(layer),
        in_(shape.in),
        out_(layer.graph.tensor(layer.y).shape),
        geometry_{in_, out_, in_stride, padded(out_.channels), shape.window, shape.groups},
        zero_(layer.graph.tensor(layer.op().inputs[0]).quantization.zero_point),
        rng_{11, static_cast<std::uint64_t>(in_stride)},
        requantization_(make_requantization(layer.graph, layer.op())) {
    for (int s = 0; s < kSamples; ++s) {
      x_.push_back(testing::random_int8(rng_, static_cast<std::size_t>(in_.elements())));
      expected_.push_back(reference::forward(layer.graph, layer.op(), std::span(&x_.back(), 1)));
    }
    wide_x_ = widen_stride(x_, in_.channels, in_stride);
    const auto& weights = layer.conv().weights;
    packed_.pack(geometry_, std::vector<float>(weights.begin(), weights.end()), true);
  }

  void forward() {
    const auto out_size =
        static_cast<std::size_t>(out_.pixels()) * static_cast<std::size_t>(geometry_.out_stride);
    AlignedVector<std::int8_t> y(out_size * kSamples);
    mask_.resize(out_size * kSamples);
    conv_forward(geometry_, kSamples, wide_x_.data(), zero_, packed_, requantization_, y.data(),
                 mask_.data(), scratch_);
    for (int s = 0; s < kSamples; ++s) {
      for (std::int64_t p = 0; p < out_.pixels(); ++p) {
        for (int c = 0; c < out_.channels; ++c) {
          const std::size_t dense = static_cast<std::size_t>(p * out_.channels + c);
          const std::size_t wide = static_cast<std::size_t>(s) * out_size +
                                   static_cast<std::size_t>(p * geometry_.out_stride + c);
          ASSERT_EQ(y[wide], expected_[static_cast<std::size_t>(s)].output[dense]);
          ASSERT_EQ(mask_[wide], expected_[static_cast<std::size_t>(s)].mask[dense]);
        }
      }
    }
  }

  // A random dL/dy behind forward(), and what the reference makes of it.
  void draw_gradient() {
    dw_.assign(layer_.conv().weights.size(), 0.0);
    db_.assign(layer_.conv().bias.size(), 0.0);
    std::vector<std::vector<float>> dy;
    for (std::size_t s = 0; s < kSamples; ++s) {
      std::vector<float> values(static_cast<std::size_t>(out_.elements()));
      for (float& v : values) v = static_cast<float>(rng_.uniform(-1, 1));
      const std::vector<double> precise(values.begin(), values.end());
      const reference::Backward back = reference::backward(
          layer_.graph, layer_.op(), std::span(&x_[s], 1), expected_[s].mask, precise);
      for (std::size_t i = 0; i < dw_.size(); ++i) dw_[i] += back.weights[i];
      for (std::size_t i = 0; i < db_.size(); ++i) db_[i] += back.bias[i];
      dx_.push_back(back.inputs[0]);
      dy.push_back(std::move(values));
    }
    g_ = widen_stride(dy, out_.channels, geometry_.out_stride);
  }

  void bias_gradient() {
    AlignedVector<float> sums(static_cast<std::size_t>(geometry_.out_stride), 0.0F);
    kernels().mask_scale(g_.data(), mask_.data(), requantization_.factor.data(),
                         static_cast<int>(out_.pixels()) * kSamples, geometry_.out_stride,
                         sums.data());
    for (std::size_t c = 0; c < db_.size(); ++c) {
      ASSERT_NEAR(sums[c], db_[c], 1e-5 * largest(db_)) << "bias " << c;
    }
  }

  void weight_gradient(const std::vector<int>& channels) {
    const WeightGradientLayout layout(geometry_, channels);
    AlignedVector<float> sums(layout.size(), 0.0F);
    conv_backward_weights(geometry_, layout, kSamples, wide_x_.data(), zero_, g_.data(),
                          sums.data(), scratch_);
    ASSERT_EQ(
        layout.entries().size(),
        channels.size() * static_cast<std::size_t>(layer_.conv().weights_per_input_channel()));
    const double bound = 1e-5 * largest(dw_);
    for (const auto& entry : layout.entries()) {
      ASSERT_NEAR(sums[entry.gradient], dw_[entry.weight], bound);
      ASSERT_EQ(entry.out_channel, entry.weight / static_cast<std::uint32_t>(geometry_.fan_in()));
    }
  }

  void input_gradient() {
    const auto pixels = static_cast<std::size_t>(in_.pixels());
    const auto stride = static_cast<std::size_t>(geometry_.in_stride);
    const auto channels = static_cast<std::size_t>(in_.channels);
    AlignedVector<float> dx(pixels * stride * kSamples, 1.0F);
    for (const bool accumulate : {false, true}) {
      const AlignedVector<float> before = dx;
      conv_backward_input(geometry_, kSamples, g_.data(), packed_, dx.data(), accumulate, scratch_);
      for (std::size_t s = 0; s < kSamples; ++s) {
        const double bound = 2e-5 * largest(dx_[s]);
        for (std::size_t i = 0; i < dx_[s].size(); ++i) {
          const std::size_t wide = (s * pixels + i / channels) * stride + i % channels;
          const double base = accumulate ? static_cast<double>(before[wide]) : 0.0;
          ASSERT_NEAR(dx[wide], base + dx_[s][i], bound);
        }
      }
    }
  }

 private:
  const ConvGraph& layer_;
  ir::Shape in_;
  ir::Shape out_;
  ConvGeometry geometry_;
  int zero_;
  Rng rng_;
  Requantization requantization_;
  PackedWeights packed_;
  ConvScratch scratch_;
  std::vector<std::vector<std::int8_t>> x_;
  std::vector<reference::Forward> expected_;
  AlignedVector<std::int8_t> wide_x_;
  AlignedVector<std::uint8_t> mask_;
  AlignedVector<float> g_;
  std::vector<double> dw_;
  std::vector<double> db_;
  std::vector<std::vector<double>> dx_;
};

TEST_P(ConvKernels, AgreeWithReference) {
  const Shape& shape = std::get<1>(GetParam());
  const ConvGraph layer(shape);
  std::vector<int> all_channels;
  std::vector<int> every_other;
  for (int c = 0; c < shape.in.channels; ++c) {
    all_channels.push_back(c);
    if (c % 2 == 1) every_other.push_back(c);
  }
  // The network input is dense, everything else padded: test both where both are possible.
  for (const int in_stride : {shape.in.channels, padded(shape.in.channels)}) {
    SCOPED_TRACE(in_stride);
    ConvRun run(shape, layer, in_stride);
    run.forward();
    run.draw_gradient();
    run.bias_gradient();
    run.weight_gradient(all_channels);
    run.weight_gradient(every_other);
    // The network input has no gradient.
    if (in_stride == padded(shape.in.channels)) run.input_gradient();
  }
}

// Those that this architecture may have: a machine without one of them skips it visibly.
#if defined(__x86_64__)
constexpr std::string_view kVariants[] = {"portable", "avx2",       "avxvnni",
                                          "avx512",   "avx512vnni", "avx512amx"};
#elif defined(__aarch64__)
constexpr std::string_view kVariants[] = {"portable", "neon", "neondot"};
#else
constexpr std::string_view kVariants[] = {"portable"};
#endif

INSTANTIATE_TEST_SUITE_P(Shapes, ConvKernels,
                         ::testing::Combine(::testing::ValuesIn(kVariants),
                                            ::testing::ValuesIn(kConvShapes)),
                         [](const auto& case_info) {
                           return std::string(std::get<0>(case_info.param)) + "_" +
                                  std::get<1>(case_info.param).name;
                         });

// Every combination of factor and bias that requantisation treats in a way of its own: channels
// that saturate, factors from far below the smallest to above 1, and weights that do not fit int8.
TEST(Kernels, ForwardAgreesForExtremeChannels) {
  const KernelTables all = all_kernels();
  const Shape shapes[] = {{"pointwise", {5, 5, 20}, 64, window(1, 1, 0), 1},
                          {"depthwise", {7, 6, 64}, 64, window(3, 1, 1), 64},
                          {"stem", {9, 9, 3}, 64, window(3, 2, 1), 1}};
  for (const Shape& shape : shapes) {
    GraphBuilder builder(9, shape.in);
    const ir::TensorId y =
        builder.conv(builder.input(), shape.out_channels, shape.window, shape.groups);
    ir::Graph graph = builder.finish(y, 2);
    ir::Op& op = graph.ops[0];
    auto& conv = std::get<ir::Conv2D>(op.params);
    const float ratio =
        graph.tensor(op.inputs[0]).quantization.scale / graph.tensor(op.output).quantization.scale;
    const std::int32_t biases[] = {INT32_MIN, INT32_MAX, 0, 1 << 30, -(1 << 30), 77};
    // Some vectors of 16 channels hold one kind of factor, the last all of them.
    const double factors[] = {1e-3, 1e-9, 0.6, 3.0, 1e-12};
    for (std::size_t c = 0; c < conv.bias.size(); ++c) {
      conv.bias[c] = c < 16 ? static_cast<std::int32_t>(c) * 100 - 800 : biases[c % 6];
      conv.weight_scales[c] = static_cast<float>(factors[c < 48 ? c / 16 : c % 5] / ratio);
    }
    const ir::Shape out = graph.tensor(y).shape;
    const ConvGeometry geometry{
        shape.in, out, padded(shape.in.channels), padded(out.channels), shape.window, shape.groups};
    Rng rng{13};
    const auto x = testing::random_int8(rng, static_cast<std::size_t>(shape.in.elements()));
    const auto wide_x = widen_stride(std::vector<std::vector<std::int8_t>>{x}, shape.in.channels,
                                     geometry.in_stride);
    const reference::Forward expected = reference::forward(graph, op, std::span(&x, 1));
    const Requantization requantization = make_requantization(graph, op);
    const int zero = graph.tensor(op.inputs[0]).quantization.zero_point;
    for (const float large : {0.0F, 300.0F, -2000.0F}) {
      std::vector<float> weights(conv.weights.begin(), conv.weights.end());
      if (large != 0.0F) weights[5] = large;
      PackedWeights packed;
      packed.pack(geometry, weights, false);
      const bool in_parts = shape.groups == 1 && large == 300.0F;
      EXPECT_EQ(packed.int8_forward.empty(), large != 0.0F && !in_parts);
      EXPECT_EQ(packed.int8_parts, large == 0.0F ? 1 : large == 300.0F ? 3 : 16);
      AlignedVector<std::int8_t> first;
      for (int i = 0; i < all.count; ++i) {
        const KernelChoice choice(*all.tables[i]);
        AlignedVector<std::int8_t> result(static_cast<std::size_t>(out.pixels()) *
                                          static_cast<std::size_t>(geometry.out_stride));
        AlignedVector<std::uint8_t> mask(result.size());
        ConvScratch scratch;
        conv_forward(geometry, 1, wide_x.data(), zero, packed, requantization, result.data(),
                     mask.data(), scratch);
        if (i == 0) first = result;
        EXPECT_EQ(result, first) << shape.name << ' ' << all.tables[i]->name;
        if (large != 0.0F) continue;
        for (std::size_t k = 0; k < expected.output.size(); ++k) {
          ASSERT_EQ(result[k], expected.output[k]) << shape.name << ' ' << all.tables[i]->name;
          ASSERT_EQ(mask[k], expected.mask[k]) << shape.name << ' ' << all.tables[i]->name;
        }
      }
    }
  }
}

// All variants give the same bits, also where sums do not fit a float exactly, and those bits are
// close to a product in double by Eigen.
TEST(Kernels, VariantsAgreeToTheBit) {
  const KernelTables all = all_kernels();
  Rng rng{5};
  for (const int m : {1, 7, 8, 21}) {
    for (const int n : {16, 32, 48, 80}) {
      for (const int k : {1, 127, 128, 300}) {
        const std::size_t panels = static_cast<std::size_t>((n + kPanel - 1) / kPanel);
        AlignedVector<float> a(static_cast<std::size_t>(m * k));
        AlignedVector<float> b(panels * static_cast<std::size_t>(k * kPanel));
        AlignedVector<float> start(static_cast<std::size_t>(m * n));
        for (float& v : a) v = static_cast<float>(rng.uniform(-1, 1));
        for (float& v : b) v = static_cast<float>(rng.uniform(-1, 1));
        for (float& v : start) v = static_cast<float>(rng.uniform(-1, 1));
        std::vector<AlignedVector<float>> results;
        for (int i = 0; i < all.count; ++i) {
          AlignedVector<float> c = start;
          GemmArgs args;
          args.m = m;
          args.n = n;
          args.k = k;
          args.a = a.data();
          args.a_row = k;
          args.b = b.data();
          args.b_panel = std::ptrdiff_t{k} * kPanel;
          args.c = c.data();
          args.c_row = n;
          all.tables[i]->gemm(args, true);
          results.push_back(std::move(c));
        }
        for (const auto& result : results)
          ASSERT_EQ(result, results[0]) << m << 'x' << n << 'x' << k;
        Eigen::MatrixXd left(m, k);
        Eigen::MatrixXd right(k, n);
        for (int r = 0; r < m; ++r) {
          for (int i = 0; i < k; ++i) left(r, i) = a[static_cast<std::size_t>(r * k + i)];
        }
        for (int i = 0; i < k; ++i) {
          for (int c = 0; c < n; ++c) {
            right(i, c) = b[static_cast<std::size_t>((c / kPanel * k + i) * kPanel + c % kPanel)];
          }
        }
        const Eigen::MatrixXd product = left * right;
        for (int r = 0; r < m; ++r) {
          for (int c = 0; c < n; ++c) {
            const auto at = static_cast<std::size_t>(r * n + c);
            ASSERT_NEAR(results[0][at], start[at] + product(r, c), 2e-5);
          }
        }
      }
    }
  }
}

// The same for whole convolutions: results, masks and gradients, as bytes.
TEST(Kernels, ConvolutionsAgreeToTheBit) {
  const KernelTables all = all_kernels();
  const auto append = [](std::string& to, const auto& values) {
    to.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(values[0]));
  };
  for (const Shape& shape : kConvShapes) {
    GraphBuilder builder(17, shape.in);
    const ir::TensorId y =
        builder.conv(builder.input(), shape.out_channels, shape.window, shape.groups);
    const ir::Graph graph = builder.finish(y, 2);
    const ir::Op& op = graph.ops[0];
    const auto& conv = std::get<ir::Conv2D>(op.params);
    const ir::Shape out = graph.tensor(y).shape;
    const ConvGeometry geometry{
        shape.in, out, padded(shape.in.channels), padded(out.channels), shape.window, shape.groups};
    Rng rng{19};
    const auto in_size = static_cast<std::size_t>(shape.in.pixels() * geometry.in_stride);
    const auto out_size = static_cast<std::size_t>(out.pixels() * geometry.out_stride);
    std::vector<std::vector<std::int8_t>> dense;
    for (int s = 0; s < kSamples; ++s) {
      dense.push_back(testing::random_int8(rng, static_cast<std::size_t>(shape.in.elements())));
    }
    const auto x = widen_stride(dense, shape.in.channels, geometry.in_stride);
    AlignedVector<float> dy(out_size * kSamples);
    for (float& v : dy) v = static_cast<float>(rng.uniform(-1, 1));
    PackedWeights packed;
    packed.pack(geometry, std::vector<float>(conv.weights.begin(), conv.weights.end()), true);
    const Requantization requantization = make_requantization(graph, op);
    const int zero = graph.tensor(op.inputs[0]).quantization.zero_point;
    std::vector<int> channels;
    for (int c = 0; c < shape.in.channels; ++c) channels.push_back(c);
    const WeightGradientLayout layout(geometry, channels);
    std::string first;
    for (int i = 0; i < all.count; ++i) {
      const KernelChoice choice(*all.tables[i]);
      ConvScratch scratch;
      std::string bytes;
      AlignedVector<std::int8_t> result(out_size * kSamples);
      AlignedVector<std::int8_t> unmasked(out_size * kSamples);
      AlignedVector<std::uint8_t> mask(out_size * kSamples);
      conv_forward(geometry, kSamples, x.data(), zero, packed, requantization, result.data(),
                   mask.data(), scratch);
      conv_forward(geometry, kSamples, x.data(), zero, packed, requantization, unmasked.data(),
                   nullptr, scratch);
      EXPECT_EQ(result, unmasked) << shape.name << ' ' << all.tables[i]->name;
      append(bytes, result);
      append(bytes, mask);
      AlignedVector<float> g = dy;
      AlignedVector<float> sum(static_cast<std::size_t>(geometry.out_stride), 0.0F);
      kernels().mask_scale(g.data(), mask.data(), requantization.factor.data(),
                           static_cast<int>(out.pixels()) * kSamples, geometry.out_stride,
                           sum.data());
      append(bytes, g);
      append(bytes, sum);
      AlignedVector<float> dw(layout.size(), 0.0F);
      conv_backward_weights(geometry, layout, kSamples, x.data(), zero, g.data(), dw.data(),
                            scratch);
      append(bytes, dw);
      AlignedVector<float> dx(in_size * kSamples);
      conv_backward_input(geometry, kSamples, g.data(), packed, dx.data(), false, scratch);
      conv_backward_input(geometry, kSamples, g.data(), packed, dx.data(), true, scratch);
      append(bytes, dx);
      AlignedVector<float> factored(out_size * kSamples, 0.25F);
      kernels().mask_factor(dy.data(), mask.data(), 0.3F, factored.size(), factored.data(), true);
      append(bytes, factored);
      if (i == 0) first = bytes;
      EXPECT_TRUE(bytes == first) << shape.name << ' ' << all.tables[i]->name;
    }
  }
}

// Rescaling, for every shift and multipliers up to the largest.
TEST(Kernels, RescaleAgreesForEveryShift) {
  const KernelTables all = all_kernels();
  Rng rng{23};
  const auto a = testing::random_int8(rng, 208);
  const auto b = testing::random_int8(rng, 208);
  const auto check = [&](RescaleArgs args) {
    std::vector<std::int8_t> y(a.size());
    std::vector<std::int8_t> unmasked(a.size());
    std::vector<std::uint8_t> mask(a.size());
    for (int i = 0; i < all.count; ++i) {
      args.out = unmasked.data();
      args.mask = nullptr;
      all.tables[i]->rescale(args);
      args.out = y.data();
      args.mask = mask.data();
      all.tables[i]->rescale(args);
      ASSERT_EQ(y, unmasked) << all.tables[i]->name;
      for (std::size_t k = 0; k < a.size(); ++k) {
        std::int64_t sum = (a[k] - args.zero_a) * std::int64_t{args.multiplier_a};
        if (args.b != nullptr) sum += (b[k] - args.zero_b) * std::int64_t{args.multiplier_b};
        const std::int64_t p = ir::rounding_shift(sum, args.shift) + args.zero_out;
        ASSERT_EQ(y[k], std::clamp<std::int64_t>(p, args.low, args.high)) << all.tables[i]->name;
        ASSERT_EQ(mask[k], p >= args.low && p <= args.high ? 1 : 0) << all.tables[i]->name;
      }
    }
  };
  RescaleArgs args;
  args.count = a.size();
  args.a = a.data();
  for (int shift = 1; shift <= 62 && !HasFailure(); ++shift) {
    args.shift = shift;
    for (const std::int32_t multiplier :
         {1, 12345, 1 << 30, INT32_MAX - INT16_MAX - 1, INT32_MAX}) {
      args.multiplier_a = multiplier;
      args.multiplier_b = INT32_MAX - multiplier + 1;
      for (const int zero_out : {-128, shift - 30, 127}) {
        args.zero_out = zero_out;
        args.zero_a = zero_out % 2 == 0 ? -128 : 127;
        args.zero_b = -1 - args.zero_a;
        args.low = zero_out == -128 ? -128 : -100;
        for (const bool two : {false, true}) {
          args.b = two ? b.data() : nullptr;
          check(args);
        }
      }
    }
  }
}

// Adds, rescalings and pools of tensors of any width, in both storages: the network's input is
// dense, all other tensors are padded. Every op reads the input in every operand position.
ir::Graph elementwise_graph(std::uint64_t seed) {
  Rng rng{seed, 2};
  GraphBuilder b(seed, {5, 6, 1 + static_cast<int>(rng.below(40))});
  const ir::TensorId in = b.input();
  const ir::TensorId left = b.rescale(in);
  const ir::TensorId right = b.add(in, in);
  b.average_pool(in, window(3, 2, 1));
  b.requantized_pool(in, window(3, 2, 1));
  b.requantized_pool(left, {.kernel_h = 5, .kernel_w = 6});
  b.max_pool(in, window(2, 1, 0));
  b.lookup(in);
  b.select(in, 1 + static_cast<int>(rng.below(static_cast<std::uint64_t>(b.shape(in).channels))));
  b.select(left, b.shape(left).channels);
  b.mul(in, left);
  b.mul(left, in);
  b.mul(right, b.requantized_pool(left, {.kernel_h = 5, .kernel_w = 6}));
  b.mul(in, b.requantized_pool(in, {.kernel_h = 5, .kernel_w = 6}));
  const ir::TensorId sum = b.add(b.add(in, left), b.add(b.add(left, right), in));
  const ir::TensorId mean =
      b.average_pool(b.rescale(sum, -100, 90), {3, 2, 2, 2, 1, 0, 1, 1},
                     seed % 2 == 0 ? ir::HalfRounding::kToEven : ir::HalfRounding::kAwayFromZero);
  return b.finish(b.max_pool(mean, window(3, 1, 1)), 2);
}

// One op on tensors as the host stores them, against the reference.
void expect_elementwise(const ir::Graph& graph, const ir::Op& op,
                        std::vector<std::vector<std::int8_t>>& values, Rng& rng) {
  SCOPED_TRACE(op.name);
  const auto stride = [&](ir::TensorId id) {
    const int channels = graph.tensor(id).shape.channels;
    return id == graph.input ? channels : padded(channels);
  };
  std::vector<std::vector<std::int8_t>> inputs;
  std::vector<AlignedVector<std::int8_t>> wide;
  for (const ir::TensorId id : op.inputs) {
    inputs.push_back(values[static_cast<std::size_t>(id)]);
    wide.push_back(widen_stride(std::vector<std::vector<std::int8_t>>{inputs.back()},
                                graph.tensor(id).shape.channels, stride(id)));
  }
  const ir::Shape in = graph.tensor(op.inputs[0]).shape;
  const ir::Shape out = graph.tensor(op.output).shape;
  const MapGeometry map{in,
                        out,
                        stride(op.inputs[0]),
                        stride(op.output),
                        stride(op.inputs.back()),
                        ir::is_gate(graph, op)};
  const reference::Forward expected = reference::forward(graph, op, inputs);
  values[static_cast<std::size_t>(op.output)] = expected.output;
  AlignedVector<std::int8_t> y(static_cast<std::size_t>(out.pixels() * map.out_stride));
  AlignedVector<std::uint8_t> mask(y.size(), 1);
  std::vector<float> dy;
  for (std::size_t i = 0; i < expected.output.size(); ++i) {
    dy.push_back(static_cast<float>(rng.uniform(-1, 1)));
  }
  const auto g = widen_stride(std::vector<std::vector<float>>{dy}, out.channels, map.out_stride);
  const reference::Backward back = reference::backward(graph, op, inputs, expected.mask,
                                                       std::vector<double>(dy.begin(), dy.end()));
  for (std::size_t operand = 0; operand < inputs.size(); ++operand) {
    const int dx_stride = stride(op.inputs[operand]);
    const ir::Shape of = graph.tensor(op.inputs[operand]).shape;
    AlignedVector<float> dx(static_cast<std::size_t>(of.pixels() * dx_stride), 0.5F);
    if (ir::requantizes_mean(graph, op)) {
      const auto& pool = std::get<ir::AveragePool>(op.params);
      const ElementwiseParams params = make_elementwise(graph, op);
      average_pool_requantized(pool, params, map, 1, wide[0].data(), y.data(), mask.data());
      AlignedVector<float> scaled(g.begin(), g.end());
      add_backward(params.factor_a, map, map.out_stride, 1, scaled.data(), mask.data(),
                   scaled.data(), false);
      average_pool_backward(pool, map, 1, scaled.data(), dx.data(), false);
    } else if (const auto* average = std::get_if<ir::AveragePool>(&op.params)) {
      average_pool_forward(*average, map, 1, wide[0].data(), y.data());
      average_pool_backward(*average, map, 1, g.data(), dx.data(), false);
    } else if (const auto* max = std::get_if<ir::MaxPool>(&op.params)) {
      max_pool_forward(*max, map, 1, wide[0].data(), y.data());
      max_pool_backward(*max, map, 1, wide[0].data(), g.data(), dx.data(), false);
    } else if (const auto* table = std::get_if<ir::Lookup>(&op.params)) {
      lookup_forward(*table, map, 1, wide[0].data(), y.data());
      lookup_backward(*table, map, 1, wide[0].data(), g.data(), dx.data(), false);
    } else if (const auto* select = std::get_if<ir::Select>(&op.params)) {
      select_forward(*select, map, 1, wide[0].data(), y.data());
      select_backward(*select, map, 1, g.data(), dx.data(), false);
    } else if (std::holds_alternative<ir::Mul>(op.params)) {
      const ElementwiseParams params = make_elementwise(graph, op);
      multiply_forward(params, map, 1, wide[0].data(), wide[1].data(), y.data(), mask.data());
      if (operand == 0) {
        multiply_backward(params, map, 1, wide[1].data(), g.data(), mask.data(), dx.data(), false);
      } else {
        multiply_backward_second(params, map, 1, wide[0].data(), g.data(), mask.data(), dx.data(),
                                 false);
      }
    } else {
      const ElementwiseParams params = make_elementwise(graph, op);
      add_forward(params, map, 1, wide[0].data(), wide.size() == 2 ? wide[1].data() : nullptr,
                  y.data(), mask.data());
      add_backward(operand == 1 ? params.factor_b : params.factor_a, map, dx_stride, 1, g.data(),
                   mask.data(), dx.data(), false);
    }
    const auto channels = static_cast<std::size_t>(of.channels);
    for (std::size_t i = 0; i < back.inputs[operand].size(); ++i) {
      const std::size_t at = i / channels * static_cast<std::size_t>(dx_stride) + i % channels;
      ASSERT_NEAR(dx[at], back.inputs[operand][i], 1e-5 * (1 + std::abs(back.inputs[operand][i])))
          << "operand " << operand;
    }
  }
  const auto channels = static_cast<std::size_t>(out.channels);
  for (std::size_t i = 0; i < expected.output.size(); ++i) {
    const std::size_t at = i / channels * static_cast<std::size_t>(map.out_stride) + i % channels;
    ASSERT_EQ(y[at], expected.output[i]);
    ASSERT_EQ(mask[at], expected.mask[i]);
  }
}

TEST(Elementwise, AgreeWithReference) {
  for (std::uint64_t seed = 0; seed < 80; ++seed) {
    SCOPED_TRACE(seed);
    const ir::Graph graph = elementwise_graph(seed);
    Rng rng{seed, 3};
    std::vector<std::vector<std::int8_t>> values(graph.tensors.size());
    values[static_cast<std::size_t>(graph.input)] = testing::random_int8(
        rng, static_cast<std::size_t>(graph.tensor(graph.input).shape.elements()));
    for (const ir::Op& op : graph.ops) expect_elementwise(graph, op, values, rng);
  }
}

TEST(Elementwise, MeanRoundsHalves) {
  using ir::HalfRounding;
  EXPECT_EQ(rounded_mean(5, 2, HalfRounding::kToEven), 2);
  EXPECT_EQ(rounded_mean(7, 2, HalfRounding::kToEven), 4);
  EXPECT_EQ(rounded_mean(-5, 2, HalfRounding::kToEven), -2);
  EXPECT_EQ(rounded_mean(5, 2, HalfRounding::kAwayFromZero), 3);
  EXPECT_EQ(rounded_mean(-5, 2, HalfRounding::kAwayFromZero), -3);
  EXPECT_EQ(rounded_mean(-7, 3, HalfRounding::kToEven), -2);
}

}  // namespace
}  // namespace espalier::kernels
