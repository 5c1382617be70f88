// Random convolutions: every kernel table of this machine against the portable one, to the bit, and
// the portable one against the scalar reference. Built twice: the slow program runs more of the
// same.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "espalier/ir/fixed_point.hpp"
#include "espalier/kernels/conv.hpp"
#include "espalier/kernels/reference.hpp"
#include "espalier/kernels/simd.hpp"
#include "espalier/support/rng.hpp"
#include "testing/kernel_choice.hpp"

namespace espalier::kernels {
namespace {

#ifdef ESPALIER_SLOW_TESTS
constexpr std::uint64_t kConvolutions = 4000;  // of each kind
#else
constexpr std::uint64_t kConvolutions = 40;
#endif
// Products of a forward pass, about: the portable kernels are slow.
constexpr std::int64_t kMaxMacs = 120'000;

enum class Kind : std::uint64_t {
  kDense,
  kDepthwise,
  kGrouped,
  kEveryBias,
  kManyProducts,
  kLargeSums,
  kWidths,
  kDepths,
  kHalves
};

// Where a sum of the accumulator, whose magnitude stays below 2^29, and a bias begins to saturate.
constexpr std::int32_t kSafeBias = INT32_MAX - (1 << 29);
constexpr std::int32_t kBiases[] = {INT32_MIN,
                                    INT32_MIN + 1,
                                    INT32_MAX,
                                    INT32_MAX - 1,
                                    kSafeBias - 1,
                                    kSafeBias,
                                    kSafeBias + 1,
                                    -kSafeBias + 1,
                                    -kSafeBias,
                                    -kSafeBias - 1,
                                    1 << 30,
                                    -(1 << 30),
                                    0,
                                    1,
                                    1 - (1 << 29),
                                    (1 << 29) - 1};
// Kernels treat factors from 1/2 on, and those below 2^-23, in ways of their own.
constexpr int kShifts[] = {1, 2, 15, 16, 29, 30, 31, 32, 33, 34, 53, 54, 55, 56, 61, 62};
// Beyond int8 and, at 514 and 16384, the bounds of exact sums and of diverged training.
constexpr float kLargeWeights[] = {128.0F,  -129.0F, 254.0F,  300.0F,   508.0F,
                                   -512.0F, 509.0F,  -514.0F, 16384.0F, -16384.0F};

// The input's scale times this weight scale is just below 1: the multiplier becomes INT32_MAX.
constexpr float kInScale = 1.0F + 0x1.6Ap-16F;
constexpr float kLargestScale = 1.0F - 0x1.6Ap-16F;

int between(Rng& rng, int low, int high) {
  return low + static_cast<int>(rng.below(static_cast<std::uint64_t>(high - low) + 1));
}
template <typename Values>
auto one_of(Rng& rng, const Values& values) {
  return values[rng.below(std::size(values))];
}

// Often few channels, sometimes many.
int random_channels(Rng& rng) {
  constexpr std::array<int, 4> kMost{8, 40, 40, 300};
  return between(rng, 1, one_of(rng, kMost));
}

// Products of one output pixel as the kernels compute them, padded channels included.
std::int64_t pixel_macs(const ConvGeometry& g) {
  if (g.direct_depthwise()) return std::int64_t{g.taps()} * g.out_stride;
  return std::int64_t{g.groups} * padded(g.out_per_group()) * g.fan_in();
}

// Input extent of `out` outputs, give or take what the stride leaves over.
int input_extent(Rng& rng, int out, std::int64_t reach, int stride, int pads) {
  return std::max(
      1, (out - 1) * stride + static_cast<int>(reach) - pads + between(rng, 0, stride - 1));
}

// The output's shape and the strides, from everything else.
void complete(ConvGeometry& g, bool dense_input) {
  const ir::Window& w = g.window;
  const auto outputs = [](int in, int before, int after, std::int64_t reach, int stride) {
    return (in + before + after - static_cast<int>(reach)) / stride + 1;
  };
  g.out.height = outputs(g.in.height, w.pad_top, w.pad_bottom, w.extent_h(), w.stride_h);
  g.out.width = outputs(g.in.width, w.pad_left, w.pad_right, w.extent_w(), w.stride_w);
  g.in_stride = dense_input ? g.in.channels : padded(g.in.channels);
  g.out_stride = padded(g.out.channels);
}

ConvGeometry random_geometry(Rng& rng, Kind kind, int samples) {
  ConvGeometry g;
  ir::Window& w = g.window;
  if (kind != Kind::kDense || !rng.chance(0.3)) {
    w.kernel_h = between(rng, 1, 9);
    w.kernel_w = rng.chance(0.5) ? w.kernel_h : between(rng, 1, 9);
  }
  if (!rng.chance(0.4)) {
    w.stride_h = between(rng, 1, 4);
    w.stride_w = rng.chance(0.5) ? w.stride_h : between(rng, 1, 4);
  }
  if (rng.chance(0.2)) {
    w.dilation_h = between(rng, 1, 4);
    w.dilation_w = between(rng, 1, 4);
  }
  w.pad_top = between(rng, 0, static_cast<int>(w.extent_h()) - 1);
  w.pad_left = between(rng, 0, static_cast<int>(w.extent_w()) - 1);
  w.pad_bottom = between(rng, 0, static_cast<int>(w.extent_h()) - 1);
  w.pad_right = between(rng, 0, static_cast<int>(w.extent_w()) - 1);
  if (kind == Kind::kDense) {
    g.in.channels = random_channels(rng);
    g.out.channels = random_channels(rng);
  } else if (kind == Kind::kDepthwise) {
    g.groups = std::max(2, random_channels(rng));
    g.in.channels = g.out.channels = g.groups;
  } else {
    g.groups = between(rng, 2, 8);
    g.in.channels = g.groups * between(rng, 1, 12);
    g.out.channels = g.groups * between(rng, 1, 20);
  }
  const bool dense_input = rng.chance(0.25);
  complete(g, dense_input);
  const std::int64_t pixels = kMaxMacs / samples / pixel_macs(g);
  if (pixels == 0 && kind == Kind::kDense) {
    g.out.channels = std::clamp(static_cast<int>(kMaxMacs / g.fan_in()), 1, g.out.channels);
  }
  const int most = static_cast<int>(std::clamp<std::int64_t>(pixels, 1, 20));
  const int columns = between(rng, 1, most);
  const int rows = between(rng, 1, std::max(1, static_cast<int>(pixels / columns)));
  g.in.height =
      input_extent(rng, std::min(rows, 20), w.extent_h(), w.stride_h, w.pad_top + w.pad_bottom);
  g.in.width = input_extent(rng, columns, w.extent_w(), w.stride_w, w.pad_left + w.pad_right);
  complete(g, dense_input);
  return g;
}

// Uniform, both ends of int8, or those that give the largest and the smallest sum.
enum class Operands { kUniform, kEnds, kMost, kLeast };
constexpr std::array<Operands, 6> kOperands{Operands::kUniform, Operands::kUniform,
                                            Operands::kUniform, Operands::kEnds,
                                            Operands::kMost,    Operands::kLeast};

std::int8_t random_operand(Rng& rng, Operands operands, std::int8_t least) {
  switch (operands) {
    case Operands::kUniform:
      return static_cast<std::int8_t>(between(rng, -128, 127));
    case Operands::kEnds:
      return rng.chance(0.5) ? -128 : 127;
    case Operands::kMost:
      return 127;
    case Operands::kLeast:
      return least;
  }
  return 0;
}
std::int8_t random_weight(Rng& rng, Operands operands) {
  return random_operand(rng, operands, -128);
}
std::int8_t random_activation(Rng& rng, Operands operands) {
  return random_operand(rng, operands, 127);
}

// One convolution with all its numbers.
struct Convolution {
  ConvGeometry geometry;
  int samples = 1;
  ir::Graph graph;                          // the convolution alone
  std::vector<std::vector<std::int8_t>> x;  // dense, by sample
  AlignedVector<std::int8_t> padded_x;
  std::vector<float> weights;
  Requantization requantization;
  std::vector<int> trained;  // input channels
  AlignedVector<float> dy;
  bool has_reference = true;  // which knows int8 weights and the factors that scales give
  bool int8_kernels = true;   // where the convolution is one of theirs

  [[nodiscard]] std::size_t in_size() const {
    return static_cast<std::size_t>(samples * geometry.in.pixels() * geometry.in_stride);
  }
  [[nodiscard]] std::size_t out_size() const {
    return static_cast<std::size_t>(samples * geometry.out.pixels() * geometry.out_stride);
  }
  [[nodiscard]] int zero_point() const { return graph.tensors[0].quantization.zero_point; }
};

struct Channel {
  float scale = 0.0F;
  std::int32_t bias = 0;
};

// Sums that about fill int8, or what dead channels and damaged files hold.
Channel random_channel(Rng& rng, int fan_in, bool rare_bias, bool rare_factor) {
  const double spread = 5400.0 * std::sqrt(static_cast<double>(fan_in));
  Channel channel{static_cast<float>(rng.uniform(40.0, 120.0) / spread),
                  static_cast<std::int32_t>(rng.uniform(-0.5, 0.5) * spread)};
  if (rare_bias) channel.bias = one_of(rng, kBiases);
  if (!rare_factor) return channel;
  if (rng.chance(0.1)) {
    channel.scale = 0.0F;  // multiplier 0
  } else if (rng.chance(0.1)) {
    // Small multipliers, with the largest shift.
    channel.scale = std::ldexp(static_cast<float>(rng.uniform(0.5, 1.0)), -between(rng, 32, 63));
  } else {
    const float mantissa =
        rng.chance(0.3) ? kLargestScale : static_cast<float>(rng.uniform(0.5, 0.99));
    channel.scale = std::ldexp(mantissa, 31 - one_of(rng, kShifts));
  }
  return channel;
}

void random_conv(Rng& rng, const ConvGeometry& g, Operands operands, ir::Graph& graph) {
  ir::Conv2D conv;
  conv.window = g.window;
  conv.in_channels = g.in.channels;
  conv.out_channels = g.out.channels;
  conv.groups = g.groups;
  for (int i = 0; i < g.out.channels * g.fan_in(); ++i) {
    conv.weights.push_back(random_weight(rng, operands));
  }
  const bool biases = rng.chance(0.5);
  const bool factors = rng.chance(0.5);
  // Some channels are rare. Or vectors of 16 hold one kind each, as kernels choose by the vector.
  const bool by_vector = rng.chance(0.5);
  Channel channel;
  for (int c = 0; c < g.out.channels; ++c) {
    if (!by_vector || c % kLanes == 0) {
      const bool rare = rng.chance(0.4);
      channel = random_channel(rng, g.fan_in(), rare && biases, rare && factors);
    }
    conv.weight_scales.push_back(channel.scale);
    conv.bias.push_back(channel.bias);
  }
  constexpr std::array<int, 3> kZeros{-128, 0, 127};
  const auto zero_point = [&] {
    return rng.chance(0.5) ? one_of(rng, kZeros) : between(rng, -128, 127);
  };
  const bool most_or_least = operands == Operands::kMost || operands == Operands::kLeast;
  const int zero = most_or_least ? -128 : zero_point();
  graph.tensors.push_back({"x", g.in, {kInScale, zero}});
  graph.tensors.push_back({"y", g.out, {1.0F, zero_point()}});
  ir::Op op;
  op.params = std::move(conv);
  op.inputs = {0};
  op.output = 1;
  op.clamp_low = rng.chance(0.5) ? -128 : between(rng, -128, 20);
  op.clamp_high = rng.chance(0.5) ? 127 : between(rng, op.clamp_low, 127);
  graph.ops.push_back(std::move(op));
}

// Ascending, at least one.
std::vector<int> random_subset(Rng& rng, int channels) {
  std::vector<int> all(static_cast<std::size_t>(channels));
  std::iota(all.begin(), all.end(), 0);
  if (rng.chance(0.4)) return all;
  std::vector<int> some;
  const double share = rng.uniform();
  for (const int c : all) {
    if (rng.chance(share)) some.push_back(c);
  }
  if (some.empty()) some.push_back(between(rng, 0, channels - 1));
  return some;
}

Convolution random_convolution(Rng& rng, const ConvGeometry& g, int samples, Operands operands) {
  Convolution c;
  c.geometry = g;
  c.samples = samples;
  random_conv(rng, g, operands, c.graph);
  const auto& conv = std::get<ir::Conv2D>(c.graph.ops[0].params);
  c.weights.assign(conv.weights.begin(), conv.weights.end());
  c.requantization = make_requantization(c.graph, c.graph.ops[0]);

  const auto in_channels = static_cast<std::size_t>(g.in.channels);
  c.padded_x.assign(c.in_size(), 0);
  auto* pixel = c.padded_x.data();
  for (int s = 0; s < samples; ++s) {
    auto& map = c.x.emplace_back(static_cast<std::size_t>(g.in.elements()));
    for (std::int8_t& v : map) v = random_activation(rng, operands);
    for (std::size_t at = 0; at < map.size(); at += in_channels, pixel += g.in_stride) {
      std::copy_n(map.data() + at, in_channels, pixel);
    }
  }

  c.trained = random_subset(rng, g.in.channels);
  c.dy.assign(c.out_size(), 0.0F);
  for (std::size_t i = 0; i < c.dy.size(); ++i) {
    const bool exists = static_cast<int>(i) % g.out_stride < g.out.channels;
    if (exists && !rng.chance(0.1)) c.dy[i] = static_cast<float>(rng.uniform(-1, 1));
  }
  return c;
}

// Weights that training pushed out of int8.
void enlarge_weights(Rng& rng, Convolution& c) {
  // One weight, a share of them, or all alike: sums that leave 32 bits.
  const double share = rng.chance(0.5) ? 0.0 : rng.uniform();
  for (float& w : c.weights) {
    if (rng.chance(share)) w = one_of(rng, kLargeWeights);
  }
  if (rng.chance(0.4)) std::fill(c.weights.begin(), c.weights.end(), one_of(rng, kLargeWeights));
  c.weights[rng.below(c.weights.size())] = one_of(rng, kLargeWeights);
  c.has_reference = false;
  c.int8_kernels = rng.chance(0.7);  // of parts, where they are few
}

// Factors that the kernels define, but no scale gives: small multipliers with any shift.
void odd_factors(Rng& rng, Convolution& c) {
  constexpr std::int32_t kMultipliers[] = {0, 1, 2, 12345, 1 << 29, INT32_MAX - 1, INT32_MAX};
  for (std::size_t i = 0; i < static_cast<std::size_t>(c.geometry.out.channels); ++i) {
    if (rng.chance(0.5)) continue;
    c.requantization.multiplier[i] = one_of(rng, kMultipliers);
    c.requantization.shift[i] = one_of(rng, kShifts);
  }
  c.has_reference = false;
}

// What a convolution computes, as bytes.
enum Part { kY, kMask, kGradient, kBias, kWeights, kInput, kInputAdded, kParts };
constexpr const char* kPartNames[kParts] = {"y",
                                            "mask",
                                            "gradient",
                                            "bias gradient",
                                            "weight gradient",
                                            "input gradient",
                                            "input gradient, added"};
using Results = std::array<std::string, kParts>;

template <typename T>
std::string bytes(const AlignedVector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}
double float_at(const std::string& floats, std::size_t index) {
  float value = 0.0F;
  std::memcpy(&value, floats.data() + index * sizeof value, sizeof value);
  return static_cast<double>(value);
}

constexpr float kWeightsBefore = 0.25F;  // weight gradients are added to what is there

AlignedVector<std::int8_t> lifted(AlignedVector<std::int8_t> values) {
  for (std::int8_t& v : values) v = static_cast<std::int8_t>(v ^ static_cast<std::int8_t>(kLift));
  return values;
}

// The same maps as x + 128, written and where that is allowed read.
void expect_lifted(const Convolution& c, const PackedWeights& packed,
                   const AlignedVector<std::int8_t>& y, const AlignedVector<std::uint8_t>& mask,
                   ConvScratch& scratch) {
  const bool reads = reads_lifted(c.geometry, packed);
  const AlignedVector<std::int8_t> x = reads ? lifted(c.padded_x) : c.padded_x;
  AlignedVector<std::int8_t> out(y.size());
  for (const bool masked : {true, false}) {
    AlignedVector<std::uint8_t> out_mask(mask.size());
    for (const bool lifts : {true, false}) {
      conv_forward(c.geometry, c.samples, x.data(), c.zero_point(), packed, c.requantization,
                   out.data(), masked ? out_mask.data() : nullptr, scratch, {reads, lifts});
      EXPECT_EQ(out, lifts ? lifted(y) : y) << reads << masked;
      if (masked) {
        EXPECT_EQ(out_mask, mask);
      }
    }
  }
}

// With kernels().
Results compute(const Convolution& c, const PackedWeights& packed, ConvScratch& scratch) {
  constexpr std::int8_t kBefore = 0x5A;
  const ConvGeometry& g = c.geometry;
  Results results;

  AlignedVector<std::int8_t> y(c.out_size(), kBefore);
  AlignedVector<std::uint8_t> mask(c.out_size(), kBefore);
  conv_forward(g, c.samples, c.padded_x.data(), c.zero_point(), packed, c.requantization, y.data(),
               mask.data(), scratch);
  results[kY] = bytes(y);
  results[kMask] = bytes(mask);
  AlignedVector<std::int8_t> unmasked(c.out_size(), kBefore);
  conv_forward(g, c.samples, c.padded_x.data(), c.zero_point(), packed, c.requantization,
               unmasked.data(), nullptr, scratch);
  EXPECT_EQ(y, unmasked);
  expect_lifted(c, packed, y, mask, scratch);

  AlignedVector<float> gradient = c.dy;
  AlignedVector<float> bias(static_cast<std::size_t>(g.out_stride), 0.5F);
  kernels().mask_scale(gradient.data(), mask.data(), c.requantization.factor.data(),
                       static_cast<int>(g.out.pixels()) * c.samples, g.out_stride, bias.data());
  results[kGradient] = bytes(gradient);
  results[kBias] = bytes(bias);

  const WeightGradientLayout layout(g, c.trained);
  AlignedVector<float> weights(layout.size(), kWeightsBefore);
  conv_backward_weights(g, layout, c.samples, c.padded_x.data(), c.zero_point(), gradient.data(),
                        weights.data(), scratch);
  results[kWeights] = bytes(weights);

  if (g.in_stride != padded(g.in.channels)) return results;  // the network input has no gradient
  // What is overwritten may hold anything before.
  AlignedVector<float> input(c.in_size(), std::numeric_limits<float>::quiet_NaN());
  conv_backward_input(g, c.samples, gradient.data(), packed, input.data(), false, scratch);
  results[kInput] = bytes(input);
  conv_backward_input(g, c.samples, gradient.data(), packed, input.data(), true, scratch);
  results[kInputAdded] = bytes(input);
  return results;
}

double largest(const std::vector<double>& values) {
  double most = 0.0;
  for (const double v : values) most = std::max(most, std::abs(v));
  return most;
}

// Holds results against the scalar reference: the forward pass exactly, gradients nearly.
void expect_reference(const Convolution& c, const Results& results) {
  const ConvGeometry& g = c.geometry;
  const ir::Op& op = c.graph.ops[0];
  const auto out_channels = static_cast<std::size_t>(g.out.channels);
  const auto in_channels = static_cast<std::size_t>(g.in.channels);
  std::vector<double> weights(c.weights.size(), 0.0);
  for (std::size_t s = 0; s < c.x.size(); ++s) {
    const std::span<const std::vector<std::int8_t>> x(&c.x[s], 1);
    const reference::Forward forward = reference::forward(c.graph, op, x);
    std::vector<double> dy(forward.output.size());
    const std::size_t out_start = s * c.out_size() / c.x.size();
    for (std::size_t i = 0; i < forward.output.size(); ++i) {
      const std::size_t at =
          out_start + i / out_channels * static_cast<std::size_t>(g.out_stride) + i % out_channels;
      ASSERT_EQ(static_cast<std::int8_t>(results[kY][at]), forward.output[i]) << "output " << i;
      ASSERT_EQ(static_cast<std::uint8_t>(results[kMask][at]), forward.mask[i]) << "output " << i;
      dy[i] = static_cast<double>(c.dy[at]);
    }
    const reference::Backward backward = reference::backward(c.graph, op, x, forward.mask, dy);
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] += backward.weights[i];
    if (results[kInput].empty()) continue;
    const std::vector<double>& dx = backward.inputs[0];
    // Sums that cancel are no more exact than what they are of.
    const auto factor =
        std::max_element(c.requantization.factor.begin(), c.requantization.factor.end());
    const double bound = std::max(2e-5 * largest(dx), 1e-7 * 127 * *factor * largest(dy));
    const std::size_t in_start = s * c.in_size() / c.x.size();
    for (std::size_t i = 0; i < dx.size(); ++i) {
      const std::size_t at =
          in_start + i / in_channels * static_cast<std::size_t>(g.in_stride) + i % in_channels;
      ASSERT_NEAR(float_at(results[kInput], at), dx[i], bound) << "input gradient " << i;
    }
  }
  const double bound = 2e-5 * std::max(largest(weights), static_cast<double>(kWeightsBefore));
  const WeightGradientLayout layout(g, c.trained);
  for (const auto& entry : layout.entries()) {
    ASSERT_NEAR(float_at(results[kWeights], entry.gradient),
                static_cast<double>(kWeightsBefore) + weights[entry.weight], bound)
        << "weight gradient " << entry.weight;
  }
}

// `scratch` may come from any other convolution.
void expect_same_bits(const Convolution& c, ConvScratch& scratch) {
  PackedWeights packed;
  packed.pack(c.geometry, c.weights, true);
  if (!c.int8_kernels) packed.int8_forward.clear();
  const KernelTables all = all_kernels();
  Results portable;
  for (int i = 0; i < all.count; ++i) {
    SCOPED_TRACE(std::string(all.tables[i]->name));
    const testing::KernelChoice choice(*all.tables[i]);
    const Results results = compute(c, packed, scratch);
    if (i == 0) {
      portable = results;
      if (c.has_reference) expect_reference(c, results);
    }
    for (int part = kY; part < kParts; ++part) {
      const auto at = static_cast<std::size_t>(part);
      if (results[at] == portable[at]) continue;
      ADD_FAILURE() << kPartNames[part] << " differs";
      break;  // what follows is made of it
    }
  }
}

std::string describe(const Convolution& c, std::uint64_t index) {
  const ConvGeometry& g = c.geometry;
  const ir::Window& w = g.window;
  const auto pair = [](int a, int b) { return std::to_string(a) + 'x' + std::to_string(b); };
  return "convolution " + std::to_string(index) + ": " + std::to_string(c.samples) + " of " +
         pair(g.in.height, g.in.width) + 'x' + std::to_string(g.in.channels) + " (stride " +
         std::to_string(g.in_stride) + ") to " + pair(g.out.height, g.out.width) + 'x' +
         std::to_string(g.out.channels) + ", " + std::to_string(g.groups) + " groups, kernel " +
         pair(w.kernel_h, w.kernel_w) + ", strides " + pair(w.stride_h, w.stride_w) + ", pads " +
         pair(w.pad_top, w.pad_left) + ", dilation " + pair(w.dilation_h, w.dilation_w) +
         (c.has_reference ? "" : ", without reference") + (c.int8_kernels ? "" : ", in floats");
}

// Checks convolutions until one fails.
void check_random(Kind kind) {
  ConvScratch scratch;
  for (std::uint64_t i = 0; i < kConvolutions && !::testing::Test::HasFailure(); ++i) {
    Rng rng{31, static_cast<std::uint64_t>(kind), i};
    const int samples = between(rng, 1, 3);
    const ConvGeometry geometry = random_geometry(rng, kind, samples);
    Convolution c = random_convolution(rng, geometry, samples, one_of(rng, kOperands));
    if (rng.chance(0.2)) {
      enlarge_weights(rng, c);
    } else if (rng.chance(0.2)) {
      c.int8_kernels = false;
    }
    if (rng.chance(0.2)) odd_factors(rng, c);
    SCOPED_TRACE(describe(c, i));
    if (rng.chance(0.5)) scratch = {};
    expect_same_bits(c, scratch);
  }
}

TEST(RandomConvs, Dense) { check_random(Kind::kDense); }
TEST(RandomConvs, Depthwise) { check_random(Kind::kDepthwise); }
TEST(RandomConvs, Grouped) { check_random(Kind::kGrouped); }

// Output channels in vectors of 16, each with the next of `biases`, and factors scale(i).
template <typename Biases, typename Scale>
void set_channels(Convolution& c, const Biases& biases, Scale scale) {
  auto& conv = std::get<ir::Conv2D>(c.graph.ops[0].params);
  for (std::size_t i = 0; i < conv.bias.size(); ++i) {
    conv.bias[i] = biases[i / kLanes % std::size(biases)];
    conv.weight_scales[i] = scale(i);
  }
  c.requantization = make_requantization(c.graph, c.graph.ops[0]);
}

// Vectors of 16 channels with every pair of bias and shift: kernels choose by the vector.
TEST(RandomConvs, EveryBiasWithEveryShift) {
  ConvScratch scratch;
  std::uint64_t index = 0;
  ConvGeometry g;
  g.in = {2, 1, 5};
  g.out.channels = static_cast<int>(std::size(kBiases) * std::size(kShifts)) * kLanes;
  complete(g, false);
  for (const Operands operands : {Operands::kUniform, Operands::kMost, Operands::kLeast}) {
    for (const int zero_point : {-128, 0, 127}) {
      Rng rng{31, static_cast<std::uint64_t>(Kind::kEveryBias), index};
      Convolution c = random_convolution(rng, g, 1, operands);
      c.graph.tensors[1].quantization.zero_point = zero_point;
      c.graph.ops[0].clamp_low = -128;
      c.graph.ops[0].clamp_high = 127;
      set_channels(c, kBiases, [&](std::size_t i) {
        const float mantissa =
            rng.chance(0.3) ? kLargestScale : static_cast<float>(rng.uniform(0.5, 0.99));
        return std::ldexp(mantissa, 31 - kShifts[i / kLanes / std::size(kBiases)]);
      });
      for (const bool int8_kernels : {true, false}) {
        c.int8_kernels = int8_kernels;
        SCOPED_TRACE(describe(c, index));
        expect_same_bits(c, scratch);
      }
      ++index;
    }
  }
}

// A convolution to one pixel, with the first biases that can saturate. Its factor is the smallest
// one that is not rare: the ends of int32 stay far apart.
Convolution saturating(Rng& rng, int kernel, int channels, Operands operands) {
  constexpr std::int32_t kBytes = kMaxInt8Products * 255;  // times the largest weight
  constexpr std::int32_t kVectorBiases[] = {
      0,         kSafeBias, -kSafeBias, INT32_MAX - kBytes * 127 + 1, INT32_MIN + kBytes * 128 - 1,
      INT32_MAX, INT32_MIN};
  ConvGeometry g;
  g.in = {kernel, kernel, channels};
  g.window.kernel_h = g.window.kernel_w = kernel;
  g.out.channels = static_cast<int>(std::size(kVectorBiases)) * kLanes;
  complete(g, rng.chance(0.5));
  Convolution c = random_convolution(rng, g, 1, operands);
  set_channels(c, kVectorBiases, [](std::size_t) { return 0.9F * 0x1p-23F; });
  return c;
}

// Around the most products that the int8 kernels may sum up.
TEST(RandomConvs, ManyProducts) {
  ConvScratch scratch;
  std::uint64_t index = 0;
#ifdef ESPALIER_SLOW_TESTS
  const auto sizes = {std::pair{8, 256}, {8, 257}, {9, 300}};
#else
  const auto sizes = {std::pair{8, 256}, {8, 257}};
#endif
  for (const auto& [kernel, channels] : sizes) {
    for (const Operands operands : {Operands::kEnds, Operands::kMost, Operands::kLeast}) {
#ifndef ESPALIER_SLOW_TESTS
      if (channels == 257 && operands != Operands::kMost) continue;
#endif
      Rng rng{31, static_cast<std::uint64_t>(Kind::kManyProducts), index};
      const Convolution c = saturating(rng, kernel, channels, operands);
      SCOPED_TRACE(describe(c, index++));
      PackedWeights packed;
      packed.pack(c.geometry, c.weights, false);
      EXPECT_EQ(packed.int8_forward.empty(), c.geometry.fan_in() > kMaxInt8Products);
      expect_same_bits(c, scratch);
    }
  }
}

// Few products of large weights: sums up to the ends of int32, and beyond.
TEST(RandomConvs, LargeSums) {
  ConvScratch scratch;
  std::uint64_t index = 0;
  for (const auto& [kernel, channels] : {std::pair{1, 128}, {1, 300}, {3, 30}, {5, 40}}) {
    for (const float weight : {300.0F, -514.0F, 8000.0F, 16384.0F, -16384.0F}) {
      Rng rng{31, static_cast<std::uint64_t>(Kind::kLargeSums), index};
      Convolution c = saturating(rng, kernel, channels, Operands::kMost);
      std::fill(c.weights.begin(), c.weights.end(), weight);
      c.has_reference = false;
      for (const bool int8_kernels : {true, false}) {
        c.int8_kernels = int8_kernels;
        SCOPED_TRACE(describe(c, index));
        expect_same_bits(c, scratch);
      }
      ++index;
    }
  }
}

// Depthwise kernels take 64, 48, 32 or 16 channels at a time, and filters and strides in ways of
// their own.
TEST(RandomConvs, DepthwiseOfEveryWidth) {
  ConvScratch scratch;
  std::uint64_t index = 0;
  for (int channels = kLanes; channels <= 9 * kLanes; channels += kLanes) {
    for (const int kernel : {1, 3, 4, 5, 7, 9}) {
      for (const int stride : {1, 2, 3, 4}) {
        Rng rng{31, static_cast<std::uint64_t>(Kind::kWidths), index};
        ConvGeometry g;
        g.groups = channels - between(rng, 0, kLanes - 1);
        g.in = {between(rng, 1, 5), between(rng, 1, 12), g.groups};
        g.out.channels = g.groups;
        g.window.kernel_h = rng.chance(0.7) ? kernel : 3;
        g.window.kernel_w = kernel;
        g.window.stride_h = g.window.stride_w = stride;
        g.window.pad_top = g.window.pad_bottom = g.window.kernel_h / 2;
        g.window.pad_left = g.window.pad_right = g.window.kernel_w / 2;
        if (kernel == 4) ++g.in.height, ++g.in.width;
        complete(g, false);
        const Convolution c = random_convolution(rng, g, 2, one_of(rng, kOperands));
        SCOPED_TRACE(describe(c, index++));
        expect_same_bits(c, scratch);
      }
    }
  }
}

// GEMMs by tiles of 16 rows, 64 products and 16 channels, with and without something left over, on
// the map itself, on patches and on windows.
TEST(RandomConvs, ProductsOfEveryDepth) {
  ConvScratch scratch;
  std::uint64_t index = 0;
  for (int depth = 28; depth <= 204; depth += 4) {
    for (const int pixels : {1, 15, 16, 17, 33, 50}) {
      Rng rng{31, static_cast<std::uint64_t>(Kind::kDepths), index};
      ConvGeometry g;
      g.in = {1, pixels, depth - between(rng, 0, 3)};
      g.out.channels = between(rng, 1, 70);
      if (rng.chance(0.4)) {
        g.in.channels = (g.in.channels + 2) / 3;
        g.window.kernel_w = 3;
        g.window.kernel_h = between(rng, 1, 3);
        g.window.pad_left = g.window.pad_right = 1;
        g.window.pad_top = g.window.pad_bottom = g.window.kernel_h / 2;
        g.in.height = g.window.kernel_h;
      }
      complete(g, rng.chance(0.5));
      const Convolution c = random_convolution(rng, g, between(rng, 1, 2), one_of(rng, kOperands));
      SCOPED_TRACE(describe(c, index++));
      expect_same_bits(c, scratch);
    }
  }
}

// GEMMs whose last channels fill half a vector or less, an odd number of quads deep or an even one,
// and with more rows than are done at a time, or fewer.
TEST(RandomConvs, ProductsOfHalfAVector) {
  ConvScratch scratch;
  std::uint64_t index = 0;
  for (const int channels : {1, 5, 7, 8, 9, 20, 24, 37, 56}) {
    for (const int pixels : {1, 7, 8, 15, 16, 23, 24, 31, 32, 49}) {
      Rng rng{31, static_cast<std::uint64_t>(Kind::kHalves), index};
      ConvGeometry g;
      g.in = {1, pixels, rng.chance(0.9) ? between(rng, 1, 70) : between(rng, 500, 530)};
      g.out.channels = channels;
      if (rng.chance(0.2)) g.window.stride_w = 2;
      // Runs of a dense map, side by side.
      const bool lines = g.in.channels < 100 && rng.chance(0.3);
      if (lines) {
        g.in.height = between(rng, 1, 3);
        g.window.kernel_w = 3;
        g.window.pad_left = g.window.pad_right = 1;
      }
      complete(g, lines || rng.chance(0.5));
      Convolution c = random_convolution(rng, g, between(rng, 1, 2), one_of(rng, kOperands));
      if (rng.chance(0.2)) enlarge_weights(rng, c);
      SCOPED_TRACE(describe(c, index++));
      expect_same_bits(c, scratch);
    }
  }
}

// Random factors reach the ends of the format.
TEST(RandomConvs, ScalesGiveTheLargestMultiplier) {
  for (const int shift : kShifts) {
    const double scale = std::ldexp(kLargestScale, 31 - shift);
    const ir::FixedPoint fixed = ir::make_fixed_point(static_cast<double>(kInScale) * scale);
    EXPECT_EQ(fixed, (ir::FixedPoint{INT32_MAX, shift}));
  }
}

}  // namespace
}  // namespace espalier::kernels
