// The integer gradient kernels against sums in 128 bits, on random layers, masks, exponents and
// factors; built once for gradients of 8 bits, once for those of 16. Rounding is held to its
// definition and, where it is stochastic, to its mean.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "espalier/support/rng.hpp"
#include "runtime/espalier_integer.h"
#include "runtime/espalier_kernels.h"
#include "runtime/espalier_scratch.h"

#define JOIN_NAMES(name, bits, form) name##_q##bits##form
#define JOIN(name, bits, form) JOIN_NAMES(name, bits, form)
#define KERNEL(name) JOIN(esp_##name, ESP_GRADIENT_BITS, )
#define FORM(name, form) JOIN(esp_##name, ESP_GRADIENT_BITS, form)
#define DECLARE_FORM(name, form) extern "C" decltype(KERNEL(name)) FORM(name, form);
#define DECLARE(name)              \
  DECLARE_FORM(name, _blocked)     \
  DECLARE_FORM(name, _dot_product) \
  DECLARE_FORM(name, _lwdot)       \
  DECLARE_FORM(name, _armdsp)      \
  DECLARE_FORM(name, _mve)
DECLARE(bias_gradient)
DECLARE(depthwise_backward)
DECLARE(depthwise_input_gradient)
DECLARE(pass_gradient)
DECLARE(pointwise_input_gradient)
DECLARE(pool_gradient)
DECLARE(weight_gradient)
#undef DECLARE
// The plain kernel and its other forms.
#define FORMS(name)                                                                   \
  {                                                                                   \
    KERNEL(name), FORM(name, _blocked), FORM(name, _dot_product), FORM(name, _lwdot), \
        FORM(name, _armdsp), FORM(name, _mve)                                         \
  }

namespace espalier {
namespace {

using Gradient = std::conditional_t<ESP_GRADIENT_BITS == 8, std::int8_t, std::int16_t>;
constexpr int kLimit = ESP_Q_LIMIT;

__extension__ using Wide = __int128;

// floor((value + half) / 2^shift), or value * 2^-shift, within +-2^30.
std::int32_t rounded(Wide value, int shift) {
  constexpr Wide kFurthest = Wide{1} << 30;
  if (shift > 0) {
    value = shift > 120 ? 0 : (value + (Wide{1} << (shift - 1))) >> shift;
  } else {
    for (; shift < 0 && value < kFurthest && value > -kFurthest; ++shift) value *= 2;
  }
  return static_cast<std::int32_t>(std::clamp(value, -kFurthest, kFurthest));
}

// What sums of other samples may have come to: little, or near where a word or half of it ends.
std::vector<std::int32_t> kept_sums(std::size_t count, Rng& rng) {
  const bool small = rng.chance(0.5);
  std::vector<std::int32_t> sums(count);
  for (std::int32_t& sum : sums) {
    const auto off = static_cast<std::int32_t>(rng.below(2000)) - 1000;
    const int end = small ? 0 : static_cast<int>(rng.below(8));
    sum = end == 1   ? std::numeric_limits<std::int32_t>::max() - std::abs(off)
          : end == 2 ? std::numeric_limits<std::int32_t>::min() + std::abs(off)
          : end == 3 ? (1 << 30) + off
          : end == 4 ? -(1 << 30) + off
                     : off;
  }
  return sums;
}

// `kept` and a sum of one sample, whose unit is 2^-shift of theirs; saturates.
std::int32_t joined(std::int32_t kept, Wide sum, int shift) {
  return static_cast<std::int32_t>(std::clamp<Wide>(Wide{kept} + rounded(sum, shift),
                                                    std::numeric_limits<std::int32_t>::min(),
                                                    std::numeric_limits<std::int32_t>::max()));
}

// A random layer with gradients, weights, a mask and a sink. The expected sums are scattered from
// the outputs, where the kernels gather.
struct Layer {
  enum class Form { kGeneral, kPointwise, kDepthwise, kSameDepthwise };

  Layer(std::uint64_t seed, Form form) : rng{seed, 4} {
    const auto small = [&](int most) { return static_cast<std::int16_t>(1 + rng.below(most)); };
    d.in_h = small(rng.chance(0.1) ? 20 : 7);
    d.in_w = small(rng.chance(0.1) ? 20 : 7);
    d.kernel_h = d.kernel_w = d.stride_h = d.stride_w = 1;
    d.groups = 1;
    d.in_c = small(19);
    d.out_c = small(rng.chance(0.2) ? 60 : 19);
    if (form == Form::kPointwise) {
      d.out_h = d.in_h;
      d.out_w = d.in_w;
    } else {
      const int most = rng.chance(0.4) ? 9 : 4;
      d.kernel_h = static_cast<std::int16_t>(std::min<int>(d.in_h, small(most)));
      d.kernel_w = static_cast<std::int16_t>(std::min<int>(d.in_w, small(most)));
      d.pad_top = static_cast<std::int16_t>(rng.below(d.kernel_h));
      d.pad_left = static_cast<std::int16_t>(rng.below(d.kernel_w));
      if (form == Form::kSameDepthwise) {
        if (rng.chance(0.6)) like_networks();
        d.out_h = d.in_h;
        d.out_w = d.in_w;
      } else {
        d.stride_h = small(rng.chance(0.1) ? 5 : 2);
        d.stride_w = small(rng.chance(0.1) ? 5 : 2);
        d.out_h = static_cast<std::int16_t>((d.in_h + d.pad_top - d.kernel_h) / d.stride_h + 1);
        d.out_w = static_cast<std::int16_t>((d.in_w + d.pad_left - d.kernel_w) / d.stride_w + 1);
      }
      if (form != Form::kGeneral) {
        d.out_c = d.in_c;
        d.groups = d.in_c;
      } else if (rng.chance(0.3)) {
        d.groups = small(3);
        d.in_c = static_cast<std::int16_t>(d.groups * small(5));
        d.out_c = static_cast<std::int16_t>(d.groups * small(5));
      }
    }
    d.in_zero = static_cast<std::int16_t>(rng.below(256)) - 128;
    d.mask_bits = rng.chance(0.5) ? 1 : 0;
    const int per_group = d.in_c / d.groups;
    const int taps = d.kernel_h * d.kernel_w;
    weights = bytes(static_cast<std::size_t>(d.out_c * taps * per_group), 127);
    g = gradients(static_cast<std::size_t>(d.out_h * d.out_w * d.out_c));
    x = bytes(static_cast<std::size_t>(d.in_h * d.in_w * d.in_c), 128);
    full = weights;
    if (d.groups == 1 || form != Form::kGeneral) slice(per_group, taps);
    make_sink();
    scatter(per_group, taps);
  }

  // Kernels with a middle, often as large as the map or larger; masks by the bit of whole bytes.
  void like_networks() {
    d.kernel_h = static_cast<std::int16_t>(1 + 2 * rng.below(4));
    d.kernel_w = rng.chance(0.8) ? d.kernel_h : static_cast<std::int16_t>(3 + 2 * rng.below(3));
    d.pad_top = static_cast<std::int16_t>(d.kernel_h / 2);
    d.pad_left = static_cast<std::int16_t>(d.kernel_w / 2);
    if (rng.chance(0.5)) d.in_w = static_cast<std::int16_t>(1 + rng.below(4));
    if (rng.chance(0.1)) d.in_h = static_cast<std::int16_t>(30 + rng.below(40));
    if (rng.chance(0.5)) d.in_c = static_cast<std::int16_t>(8 + 8 * rng.below(2));
  }

  std::vector<std::int8_t> bytes(std::size_t count, int most) {
    std::vector<std::int8_t> values(count);
    for (std::int8_t& v : values) {
      v = static_cast<std::int8_t>(static_cast<int>(rng.below(255)) - 127);
      if (most == 128 && rng.chance(0.02)) v = -128;
    }
    return values;
  }

  std::vector<Gradient> gradients(std::size_t count) {
    std::vector<Gradient> values(count);
    for (Gradient& v : values) {
      v = static_cast<Gradient>(static_cast<int>(rng.below(2 * kLimit + 1)) - kLimit);
    }
    return values;
  }

  // Some channels' weights lie apart, and are zero in the whole tensor.
  void slice(int per_group, int taps) {
    const int all = d.in_c;
    if (!rng.chance(0.5) || all < 2) return;
    for (int c = 0; c < all; ++c) {
      if (rng.chance(0.4)) channels.push_back(static_cast<std::int16_t>(c));
    }
    const auto count = static_cast<int>(channels.size());
    trained.resize(static_cast<std::size_t>(count * taps * (d.groups == 1 ? d.out_c : 1)));
    for (int j = 0; j < count; ++j) {
      for (int row = 0; row < (d.groups == 1 ? d.out_c * taps : taps); ++row) {
        const int at = d.groups == 1 ? row * per_group + channels[static_cast<std::size_t>(j)]
                                     : channels[static_cast<std::size_t>(j)] * taps + row;
        const int place = d.groups == 1 ? row * count + j : j * taps + row;
        trained[static_cast<std::size_t>(place)] = full[static_cast<std::size_t>(at)];
        full[static_cast<std::size_t>(at)] = 0;
      }
    }
  }

  [[nodiscard]] esp_weights w() const {
    return {full.data(), trained.data(), channels.data(),
            static_cast<std::int32_t>(channels.size())};
  }

  void make_sink() {
    const std::size_t inputs = x.size();
    from.exponent = static_cast<std::int16_t>(rng.below(20)) - 10;
    to.exponent = static_cast<std::int16_t>(from.exponent + static_cast<int>(rng.below(16)));
    added.exponent =
        static_cast<std::int16_t>(from.exponent + static_cast<int>(rng.below(60)) - 20);
    // What earlier samples needed.
    needed = rng.chance(0.5) ? static_cast<int>(rng.below(ESP_GRADIENT_BITS + 2)) : 0;
    to.bits = static_cast<std::int16_t>(needed);
    out.assign(inputs, 99);
    sink = {};
    sink.range = &to;
    sink.from = &from;
    if (rng.chance(0.4)) {
      addend = gradients(inputs);
      sink.addend_range = &added;
    }
    if (rng.chance(0.5)) {
      mask.resize(inputs);
      for (std::uint8_t& m : mask) m = static_cast<std::uint8_t>(rng.below(d.mask_bits ? 256 : 2));
      sink.mask = mask.data();
      sink.mask_bits = d.mask_bits;
    }
    if (rng.chance(0.5)) {
      for (int c = 0; c < d.in_c; ++c) {
        multiplier.push_back(static_cast<std::int32_t>((1U << 30) + rng.below(1U << 30)));
        shift.push_back(static_cast<std::uint8_t>(28 + rng.below(14)));
      }
      sink.multiplier = multiplier.data();
      sink.shift = shift.data();
    } else if (rng.chance(0.5)) {
      sink.factor = static_cast<std::int32_t>((1U << 30) + rng.below(1U << 30));
      sink.factor_shift = static_cast<std::int32_t>(28 + rng.below(6));
    }
  }

  void scatter(int per_group, int taps) {
    dx.assign(x.size(), 0);
    dw.assign(weights.size(), 0);
    db.assign(static_cast<std::size_t>(d.out_c), 0);
    std::size_t at = 0;
    for (int oy = 0; oy < d.out_h; ++oy) {
      for (int ox = 0; ox < d.out_w; ++ox) {
        for (int o = 0; o < d.out_c; ++o, ++at) {
          db[static_cast<std::size_t>(o)] += g[at];
          for (int tap = 0; tap < taps; ++tap) {
            const int iy = oy * d.stride_h - d.pad_top + tap / d.kernel_w;
            const int ix = ox * d.stride_w - d.pad_left + tap % d.kernel_w;
            if (iy < 0 || ix < 0 || iy >= d.in_h || ix >= d.in_w) continue;
            for (int i = 0; i < per_group; ++i) {
              const int c = o / (d.out_c / d.groups) * per_group + i;
              const auto in = static_cast<std::size_t>((iy * d.in_w + ix) * d.in_c + c);
              const auto weight = static_cast<std::size_t>((o * taps + tap) * per_group + i);
              dx[in] += Wide{g[at]} * weights[weight];
              dw[weight] += Wide{g[at]} * (x[in] - d.in_zero);
            }
          }
        }
      }
    }
  }

  [[nodiscard]] const Gradient* added_to() const {
    return addend.empty() ? nullptr : addend.data();
  }

  // What the sink makes of a sum, to nearest.
  [[nodiscard]] int expected(std::size_t i, Wide sum, int unit = 0) const {
    const auto c = i % static_cast<std::size_t>(d.in_c);
    if (sink.mask != nullptr) {
      const bool inside = d.mask_bits != 0 ? (mask[i / 8] >> (i % 8) & 1) != 0 : mask[i] != 0;
      if (!inside) return 0;
    }
    int down = 0;
    if (!addend.empty()) {
      const int up = added.exponent - from.exponent + unit;
      down = std::max(up - 23, 0);
      sum >>= std::min(down, 100);
      sum += up >= 0 ? Wide{addend[i]} << (up - down) : Wide{addend[i]} >> -up;
    }
    int by = to.exponent - from.exponent + unit - down;
    if (sink.multiplier != nullptr) {
      sum *= multiplier[c];
      by += shift[c];
    } else if (sink.factor != 0) {
      sum *= sink.factor;
      by += sink.factor_shift;
    }
    if (ESP_GRADIENT_BITS == 16 && (sink.multiplier != nullptr || sink.factor != 0)) {
      sum >>= 16;  // products of 78 bits lose these, to fit in 64
      by -= 16;
    }
    return std::clamp(rounded(sum, by), -kLimit, kLimit);
  }

  void expect_input_gradient(int unit = 0) const {
    int largest = 0;
    for (std::size_t i = 0; i < dx.size(); ++i) {
      ASSERT_EQ(out[i], expected(i, dx[i], unit)) << "element " << i;
      largest = std::max(largest, std::abs(static_cast<int>(out[i])));
    }
    if (largest == kLimit) {
      EXPECT_GE(to.bits, std::max(needed, ESP_GRADIENT_BITS - 1));
    } else {
      EXPECT_EQ(to.bits,
                std::max(needed, largest == 0 ? 0 : 1 + static_cast<int>(std::log2(largest))));
    }
  }

  // Sums of weights, as with several samples an update, in a unit of their own.
  void expect_weight_sums(bool depthwise,
                          decltype(KERNEL(weight_gradient))* kernel = KERNEL(weight_gradient)) {
    const int by = rng.chance(0.7) ? static_cast<int>(rng.below(40)) - 20
                                   : static_cast<int>(rng.below(80)) - 40;
    const bool sliced = !channels.empty();
    const int taps = d.kernel_h * d.kernel_w;
    const int per_group = d.in_c / d.groups;
    const std::vector<std::int32_t> before =
        kept_sums(sliced ? trained.size() : weights.size(), rng);
    std::vector<std::int32_t> sums = before;
    esp_q_range sample{3, 0};
    esp_q_range sums_range{static_cast<std::int16_t>(from.exponent + 3 + by), 0};
    esp_q_parameter_sink parameters{};
    parameters.sum = sums.data();
    parameters.sum_range = &sums_range;
    parameters.sample = &sample;
    parameters.from = &from;
    const std::vector<std::int8_t> kept = saved();
    const std::int16_t* list = sliced ? channels.data() : nullptr;
    const auto count = static_cast<std::int32_t>(channels.size());
    (depthwise ? KERNEL(depthwise_weight_gradient) : kernel)(&d, g.data(), kept.data(), list, count,
                                                             &parameters);
    for (std::size_t k = 0; k < sums.size(); ++k) {
      std::size_t at = k;
      if (sliced && depthwise) {
        at = static_cast<std::size_t>(channels[k / static_cast<std::size_t>(taps)] * taps) +
             k % static_cast<std::size_t>(taps);
      } else if (sliced) {
        at = k / channels.size() * static_cast<std::size_t>(per_group) +
             static_cast<std::size_t>(channels[k % channels.size()]);
      }
      ASSERT_EQ(sums[k], joined(before[k], dw[at], by)) << "weight " << k << " by " << by;
    }
  }

  // The trained channels of x, or all.
  [[nodiscard]] std::vector<std::int8_t> saved() const {
    if (channels.empty()) return x;
    std::vector<std::int8_t> kept;
    for (std::size_t p = 0; p < x.size(); p += static_cast<std::size_t>(d.in_c)) {
      for (const std::int16_t c : channels) kept.push_back(x[p + static_cast<std::size_t>(c)]);
    }
    return kept;
  }

  Rng rng;
  esp_conv d{};
  std::vector<std::int8_t> weights, full, trained, x;
  std::vector<Gradient> g, addend, out;
  std::vector<std::int16_t> channels;
  std::vector<std::uint8_t> mask, shift;
  std::vector<std::int32_t> multiplier;
  std::vector<Wide> dx, dw, db;
  esp_q_range from{}, to{}, added{};
  int needed = 0;
  esp_q_sink sink{};
};

constexpr std::uint64_t kLayers = 300;

TEST(IntegerKernels, PointwiseInputGradient) {
  for (auto* kernel : FORMS(pointwise_input_gradient)) {
    for (std::uint64_t seed = 0; seed < 2 * kLayers; ++seed) {
      Layer layer(seed, Layer::Form::kPointwise);
      const esp_weights w = layer.w();
      kernel(&layer.d, layer.g.data(), &w, layer.added_to(), layer.out.data(), &layer.sink);
      ASSERT_NO_FATAL_FAILURE(layer.expect_input_gradient()) << seed;
    }
  }
}

TEST(IntegerKernels, InputGradient) {
  for (std::uint64_t seed = 0; seed < kLayers; ++seed) {
    Layer layer(seed, Layer::Form::kGeneral);
    const esp_weights w = layer.w();
    KERNEL(input_gradient)
    (&layer.d, layer.g.data(), &w, layer.added_to(), layer.out.data(), &layer.sink);
    ASSERT_NO_FATAL_FAILURE(layer.expect_input_gradient()) << seed;
  }
}

TEST(IntegerKernels, DepthwiseInputGradient) {
  for (auto* kernel : FORMS(depthwise_input_gradient)) {
    for (std::uint64_t seed = 0; seed < 2 * kLayers; ++seed) {
      Layer layer(seed, Layer::Form::kDepthwise);
      const esp_weights w = layer.w();
      kernel(&layer.d, layer.g.data(), &w, layer.added_to(), layer.out.data(), &layer.sink);
      ASSERT_NO_FATAL_FAILURE(layer.expect_input_gradient()) << seed;
    }
  }
}

// Both gradients at once, the one of the input over the gradient it comes from.
class DepthwiseBackward : public ::testing::TestWithParam<decltype(KERNEL(depthwise_backward))*> {
 protected:
  // Leaves the gradient of the input in the layer.
  static void run(decltype(KERNEL(depthwise_backward))* kernel, Layer& layer,
                  const esp_q_parameter_sink& parameters) {
    const esp_weights w = layer.w();
    const std::vector<std::int8_t> kept = layer.saved();
    std::vector<std::uint32_t> scratch(
        static_cast<std::size_t>(esp_depthwise_backward_q_scratch(&layer.d, sizeof(Gradient)) + 3) /
        4);
    layer.addend.clear();
    layer.sink.addend_range = nullptr;
    layer.out = layer.g;
    kernel(&layer.d, layer.out.data(), &w, kept.data(),
           layer.channels.empty() ? nullptr : layer.channels.data(),
           static_cast<std::int32_t>(layer.channels.size()), &parameters, layer.out.data(),
           &layer.sink, reinterpret_cast<Gradient*>(scratch.data()));
  }
};
INSTANTIATE_TEST_SUITE_P(
    Forms, DepthwiseBackward,
    ::testing::Values(KERNEL(depthwise_backward), FORM(depthwise_backward, _blocked),
                      FORM(depthwise_backward, _dot_product), FORM(depthwise_backward, _lwdot),
                      FORM(depthwise_backward, _armdsp), FORM(depthwise_backward, _mve)));

TEST_P(DepthwiseBackward, InPlace) {
  for (std::uint64_t seed = 0; seed < 3 * kLayers; ++seed) {
    Layer layer(seed, Layer::Form::kSameDepthwise);
    const int taps = layer.d.kernel_h * layer.d.kernel_w;
    const bool sliced = !layer.channels.empty();
    std::vector<std::int32_t> sums(sliced ? layer.trained.size() : layer.weights.size(), 0);
    esp_q_range sample{};
    esp_q_parameter_sink parameters{};
    parameters.sum = sums.data();  // stored as they are
    parameters.sample = &sample;
    parameters.from = &layer.from;
    run(GetParam(), layer, parameters);
    ASSERT_NO_FATAL_FAILURE(layer.expect_input_gradient()) << seed;
    for (std::size_t k = 0; k < sums.size(); ++k) {
      const std::size_t t = static_cast<std::size_t>(taps);
      const std::size_t at =
          sliced ? static_cast<std::size_t>(layer.channels[k / t]) * t + k % t : k;
      ASSERT_EQ(sums[k], rounded(layer.dw[at], 0)) << seed << " weight " << k;
    }
  }
}

// Stochastic and to nearest, clipped and not.
esp_sgd step_of(std::uint64_t seed) {
  return esp_sgd_of(0.3F, 5, static_cast<std::uint32_t>(seed), seed % 3 != 0,
                    seed / 2 % 4 == 0 ? 1 + static_cast<std::int32_t>(seed % 5) : 0);
}

// The gradient of the input is by the weights as they were before their step.
TEST_P(DepthwiseBackward, StepsItsWeights) {
  for (std::uint64_t seed = 0; seed < kLayers; ++seed) {
    const esp_sgd sgd = step_of(seed);
    const esp_q_range sample{-4, 0};
    std::vector<std::int8_t> expected;
    for (auto* kernel : {KERNEL(depthwise_backward), GetParam()}) {
      Layer layer(seed, Layer::Form::kSameDepthwise);
      std::vector<std::int8_t>& weights = layer.channels.empty() ? layer.full : layer.trained;
      const std::vector<std::int32_t> scale(static_cast<std::size_t>(layer.d.out_c), 3 << 29);
      const std::vector<std::int8_t> exponent(
          scale.size(), static_cast<std::int8_t>(static_cast<int>(seed % 30) - 36));
      run(kernel, layer,
          {.sample = &sample,
           .from = &layer.from,
           .weights = weights.data(),
           .scale = scale.data(),
           .scale_exponent = exponent.data(),
           .sgd = &sgd,
           .tensor = 3});
      ASSERT_NO_FATAL_FAILURE(layer.expect_input_gradient()) << seed;
      if (expected.empty()) expected = weights;
      ASSERT_EQ(weights, expected) << seed;
    }
  }
}

TEST(IntegerKernels, WeightGradients) {
  for (auto* kernel : FORMS(weight_gradient)) {
    for (std::uint64_t seed = 0; seed < kLayers; ++seed) {
      for (const auto form : {Layer::Form::kGeneral, Layer::Form::kPointwise}) {
        Layer layer(seed, form);
        ASSERT_NO_FATAL_FAILURE(layer.expect_weight_sums(
            layer.d.groups == layer.d.in_c && layer.d.out_c == layer.d.in_c && layer.d.groups > 1,
            kernel))
            << seed;
      }
      Layer layer(seed, Layer::Form::kDepthwise);
      ASSERT_NO_FATAL_FAILURE(layer.expect_weight_sums(true)) << seed;
    }
  }
}

// Steps of weights are the same in every form.
TEST(IntegerKernels, FormsStepWeightsAlike) {
  for (std::uint64_t seed = 0; seed < kLayers; ++seed) {
    Layer layer(seed, seed % 2 == 0 ? Layer::Form::kPointwise : Layer::Form::kGeneral);
    const std::vector<std::int8_t> kept = layer.saved();
    const bool sliced = !layer.channels.empty();
    const esp_sgd sgd = step_of(seed);
    const esp_q_range sample{-4, 0};
    std::vector<std::int32_t> scale(static_cast<std::size_t>(layer.d.out_c));
    for (std::int32_t& factor : scale) {
      factor = (1 << 30) + static_cast<std::int32_t>(layer.rng.below(1 << 30));
    }
    const std::vector<std::int8_t> exponent(
        scale.size(), static_cast<std::int8_t>(static_cast<int>(seed % 30) - 36));
    std::vector<std::int8_t> expected;
    for (auto* kernel : FORMS(weight_gradient)) {
      std::vector<std::int8_t> weights = sliced ? layer.trained : layer.weights;
      const esp_q_parameter_sink sink{.sample = &sample,
                                      .from = &layer.from,
                                      .weights = weights.data(),
                                      .scale = scale.data(),
                                      .scale_exponent = exponent.data(),
                                      .sgd = &sgd,
                                      .tensor = 3};
      kernel(&layer.d, layer.g.data(), kept.data(), sliced ? layer.channels.data() : nullptr,
             static_cast<std::int32_t>(layer.channels.size()), &sink);
      if (expected.empty()) expected = weights;
      ASSERT_EQ(weights, expected) << seed;
    }
  }
}

// Also over the gradient itself, or over the addend.
TEST(IntegerKernels, PassGradient) {
  for (auto* kernel : FORMS(pass_gradient)) {
    for (std::uint64_t seed = 0; seed < kLayers; ++seed) {
      Layer layer(seed, Layer::Form::kGeneral);
      std::vector<Gradient> in = layer.gradients(layer.x.size());
      for (std::size_t i = 0; i < in.size(); ++i) layer.dx[i] = in[i];
      const std::vector<Gradient> addend = layer.addend;
      Gradient* dx = seed % 3 == 0                      ? in.data()
                     : seed % 3 == 1 && !addend.empty() ? layer.addend.data()
                                                        : layer.out.data();
      kernel(layer.d.in_h * layer.d.in_w, layer.d.in_c, in.data(), layer.added_to(), dx,
             &layer.sink);
      layer.out.assign(dx, dx + in.size());
      layer.addend = addend;
      ASSERT_NO_FATAL_FAILURE(layer.expect_input_gradient()) << seed;
    }
  }
}

// Windows that overlap, leave gaps or lie in the padding in part.
TEST(IntegerKernels, PoolGradient) {
  for (auto* kernel : FORMS(pool_gradient)) {
    for (std::uint64_t seed = 0; seed < kLayers; ++seed) {
      Layer layer(seed, Layer::Form::kDepthwise);
      const esp_conv& d = layer.d;
      const esp_pool pool{.in_h = d.in_h,
                          .in_w = d.in_w,
                          .channels = d.in_c,
                          .out_h = d.out_h,
                          .out_w = d.out_w,
                          .kernel_h = d.kernel_h,
                          .kernel_w = d.kernel_w,
                          .stride_h = d.stride_h,
                          .stride_w = d.stride_w,
                          .pad_top = d.pad_top,
                          .pad_left = d.pad_left};
      // Scattered, too.
      std::fill(layer.dx.begin(), layer.dx.end(), 0);
      std::size_t at = 0;
      for (int oy = 0; oy < d.out_h; ++oy) {
        for (int ox = 0; ox < d.out_w; ++ox) {
          const int top = oy * d.stride_h - d.pad_top;
          const int left = ox * d.stride_w - d.pad_left;
          const int y0 = std::max(top, 0);
          const int x0 = std::max(left, 0);
          const int y1 = std::min<int>(top + d.kernel_h, d.in_h);
          const int x1 = std::min<int>(left + d.kernel_w, d.in_w);
          const int count = std::max(0, y1 - y0) * std::max(0, x1 - x0);
          for (int c = 0; c < d.in_c; ++c, ++at) {
            for (int y = y0; y < y1; ++y) {
              for (int x = x0; x < x1; ++x) {
                layer.dx[static_cast<std::size_t>((y * d.in_w + x) * d.in_c + c)] +=
                    Wide{layer.g[at]} * ((65536 + count / 2) / count);
              }
            }
          }
        }
      }
      layer.addend.clear();
      layer.sink.addend_range = nullptr;
      kernel(&pool, layer.g.data(), layer.out.data(), &layer.sink);
      ASSERT_NO_FATAL_FAILURE(layer.expect_input_gradient(16)) << seed;
    }
  }
}

// Sums of one sample, and steps.
TEST(IntegerKernels, BiasGradients) {
  for (std::uint64_t seed = 0; seed < kLayers; ++seed) {
    Layer layer(seed, Layer::Form::kGeneral);
    const auto count = static_cast<std::size_t>(layer.d.out_c);
    const esp_sgd sgd = step_of(seed);
    const esp_q_range sample{-4, 0};
    const std::vector<std::int32_t> scale(count, 1 << 30);
    const std::vector<std::int8_t> exponent(
        count, static_cast<std::int8_t>(static_cast<int>(seed % 30) - 36));
    std::vector<std::int32_t> stepped;
    for (auto* kernel : FORMS(bias_gradient)) {
      std::vector<std::int32_t> sums(count, 5);
      std::vector<std::int32_t> bias(count, 1000);
      esp_q_parameter_sink sink{.sum = sums.data(), .sample = &sample, .from = &layer.from};
      kernel(layer.d.out_h * layer.d.out_w, layer.d.out_c, layer.g.data(), &sink);
      for (std::size_t c = 0; c < count; ++c) {
        ASSERT_EQ(sums[c], static_cast<std::int32_t>(layer.db[c])) << seed;
      }
      Rng rng{seed, 5};
      const int by = static_cast<int>(rng.below(70)) - 35;
      esp_q_range sums_range{static_cast<std::int16_t>(sample.exponent + layer.from.exponent + by),
                             0};
      const std::vector<std::int32_t> before = kept_sums(count, rng);
      sums = before;
      sink.sum_range = &sums_range;
      kernel(layer.d.out_h * layer.d.out_w, layer.d.out_c, layer.g.data(), &sink);
      for (std::size_t c = 0; c < count; ++c) {
        ASSERT_EQ(sums[c], joined(before[c], layer.db[c], by)) << seed << " by " << by;
      }
      sink.sum_range = nullptr;
      sink.sum = nullptr;
      sink.bias = bias.data();
      sink.scale = scale.data();
      sink.scale_exponent = exponent.data();
      sink.sgd = &sgd;
      kernel(layer.d.out_h * layer.d.out_w, layer.d.out_c, layer.g.data(), &sink);
      if (stepped.empty()) stepped = bias;
      ASSERT_EQ(bias, stepped) << seed;
    }
  }
}

// One step of weights and biases is the rounded product of sum, scale and rate.
TEST(IntegerKernels, StepsAreRoundedProducts) {
  Rng rng{9};
  for (int i = 0; i < 20'000; ++i) {
    esp_q_range from{static_cast<std::int16_t>(static_cast<int>(rng.below(12)) - 20), 0};
    const auto rate = static_cast<float>(rng.uniform(0.0001, 1));
    const int clip = static_cast<int>(rng.below(3));
    const esp_sgd sgd = esp_sgd_of(rate, 1, 2, 0, clip);
    esp_q_range sample{static_cast<std::int16_t>(-static_cast<int>(rng.below(8))), 0};
    const auto scale = static_cast<std::int32_t>((1U << 30) + rng.below(1U << 30));
    const auto scale_exponent = static_cast<std::int8_t>(static_cast<int>(rng.below(24)) - 34);
    std::int32_t bias = static_cast<std::int32_t>(rng.below(1000));
    const std::int32_t before = bias;
    esp_q_parameter_sink sink{};
    sink.bias = &bias;
    sink.scale = &scale;
    sink.scale_exponent = &scale_exponent;
    sink.from = &from;
    sink.sgd = &sgd;
    sink.sample = &sample;
    const auto g = static_cast<Gradient>(static_cast<int>(rng.below(2 * kLimit + 1)) - kLimit);
    KERNEL(bias_gradient)(1, 1, &g, &sink);
    const double exact = std::ldexp(static_cast<double>(g) * scale * static_cast<double>(rate),
                                    from.exponent + sample.exponent + scale_exponent);
    const double most = clip > 0 ? ESP_BIAS_CLIP * clip : 1e300;
    EXPECT_NEAR(before - bias, std::clamp(exact, -most, most), 0.5 + 1e-6 * std::abs(exact));
  }
}

TEST(IntegerKernels, FeatureGradientFillsItsRange) {
  Rng rng{3};
  for (int i = 0; i < 500; ++i) {
    std::vector<float> dy(1 + rng.below(40));
    const double scale = std::ldexp(1.0, static_cast<int>(rng.below(60)) - 50);
    double largest = 0;
    for (float& v : dy) {
      v = static_cast<float>(rng.uniform(-1, 1) * scale);
      largest = std::max(largest, std::abs(static_cast<double>(v)));
    }
    std::vector<Gradient> q(dy.size());
    esp_q_range sample{};
    KERNEL(quantize_gradient)(static_cast<std::int32_t>(dy.size()), dy.data(), q.data(), &sample);
    int most = 0;
    for (std::size_t k = 0; k < dy.size(); ++k) {
      const double exact = std::ldexp(static_cast<double>(dy[k]), -sample.exponent);
      EXPECT_NEAR(q[k], exact, std::abs(exact) > kLimit ? 1.0 : 0.5);
      most = std::max(most, std::abs(static_cast<int>(q[k])));
    }
    EXPECT_GE(most, (kLimit + 1) / 2);
  }
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const std::vector<float> dy{1.0F, bad, -3.0F};
    std::vector<Gradient> q(3, 7);
    esp_q_range sample{};
    KERNEL(quantize_gradient)(3, dy.data(), q.data(), &sample);
    EXPECT_EQ(q, std::vector<Gradient>(3, 0));
  }
}

TEST(IntegerShift, RoundsToNearest) {
  Rng rng{1};
  for (int i = 0; i < 200'000; ++i) {
    const auto value = static_cast<std::int64_t>(rng.next_u64()) >> rng.below(64);
    const int shift = static_cast<int>(rng.below(140)) - 40;
    ASSERT_EQ(esp_q_shift(value, shift, 0, 0), rounded(value, shift)) << value << " " << shift;
  }
  for (const std::int64_t value : {INT64_MAX, INT64_MIN, std::int64_t{0}, std::int64_t{-1}}) {
    for (int shift = -70; shift < 130; ++shift) {
      ASSERT_EQ(esp_q_shift(value, shift, 0, 0), rounded(value, shift)) << value << " " << shift;
    }
  }
}

TEST(IntegerShift, StochasticRoundingKeepsTheMean) {
  Rng rng{2};
  for (int i = 0; i < 40; ++i) {
    const auto value = static_cast<std::int64_t>(rng.next_u64()) >> (20 + rng.below(30));
    const int shift = static_cast<int>(30 + rng.below(14));
    double sum = 0;
    constexpr int kDraws = 4000;
    for (int k = 0; k < kDraws; ++k) {
      sum += esp_q_shift(value, shift, 1, static_cast<std::uint32_t>(rng.next_u64()));
    }
    EXPECT_NEAR(sum / kDraws, std::ldexp(static_cast<double>(value), -shift), 0.04);
  }
}

}  // namespace
}  // namespace espalier
