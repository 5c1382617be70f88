// Every blocked kernel against the plain one of its name, bit for bit, on random layers: odd
// extents, strides and paddings, dead channels, partly trained weights, every kind of mask. Buffers
// have the sizes that the compiler plans, and nothing around them may change.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "espalier/support/rng.hpp"
#include "runtime/espalier_kernels.h"

namespace espalier::codegen {
namespace {

// The kernels in all three forms. The blocked ones come from blocked_kernels.c, with and without
// the dot product.
#define KERNEL_FORMS(X)           \
  X(esp_conv_forward)             \
  X(esp_depthwise_backward)       \
  X(esp_depthwise_forward)        \
  X(esp_depthwise_input_gradient) \
  X(esp_mask_scale_channels)      \
  X(esp_pointwise_forward)        \
  X(esp_pointwise_input_gradient) \
  X(esp_stream_forward)           \
  X(esp_weight_gradient)

extern "C" {
#define DECLARE(name)              \
  decltype(::name) name##_blocked; \
  decltype(::name) name##_dot_product;
KERNEL_FORMS(DECLARE)
#undef DECLARE
}

struct Form {
  const char* name;
#define MEMBER(name) decltype(&::name) name##_;
  KERNEL_FORMS(MEMBER)
#undef MEMBER
};

constexpr Form kPlain{"plain",
#define PLAIN(name) ::name,
                      KERNEL_FORMS(PLAIN)
#undef PLAIN
};
constexpr Form kBlocked{"blocked",
#define BLOCKED(name) name##_blocked,
                        KERNEL_FORMS(BLOCKED)
#undef BLOCKED
};
constexpr Form kDotProduct{"dot product",
#define DOT_PRODUCT(name) name##_dot_product,
                           KERNEL_FORMS(DOT_PRODUCT)
#undef DOT_PRODUCT
};

constexpr std::int64_t kGuard = 16;

// `elements` values between guards that nobody may change; aligned to 16 bytes plus `skew` values.
template <typename T>
class Buffer {
 public:
  explicit Buffer(std::int64_t elements, std::int64_t skew = 0, int fill = 0x5A)
      : bytes_(static_cast<std::size_t>(elements) * sizeof(T)), skew_(skew * sizeof(T)) {
    storage_.resize((kGuard * 4 + bytes_ + skew_) / 16 + 1);
    std::memset(storage_.data(), fill, storage_.size() * 16);
    before_ = storage_;
  }
  T* data() { return reinterpret_cast<T*>(raw() + kGuard + skew_); }
  void fill(const std::vector<T>& values) { std::copy(values.begin(), values.end(), data()); }
  [[nodiscard]] std::vector<T> values() {
    return std::vector<T>(data(), data() + bytes_ / sizeof(T));
  }
  // The values as bytes: floats compare to the bit.
  [[nodiscard]] std::vector<std::uint8_t> bits() {
    const auto* first = reinterpret_cast<const std::uint8_t*>(data());
    return {first, first + bytes_};
  }
  [[nodiscard]] bool guarded() {
    const auto* old = reinterpret_cast<const std::uint8_t*>(before_.data());
    const std::size_t begin = kGuard + skew_;
    const std::size_t end = begin + bytes_;
    return std::memcmp(raw(), old, begin) == 0 &&
           std::memcmp(raw() + end, old + end, storage_.size() * 16 - end) == 0;
  }

 private:
  struct alignas(16) Line {
    std::uint8_t bytes[16];
  };
  std::uint8_t* raw() { return reinterpret_cast<std::uint8_t*>(storage_.data()); }
  std::size_t bytes_;
  std::size_t skew_;
  std::vector<Line> storage_;
  std::vector<Line> before_;
};

// A convolution with all its numbers.
struct Layer {
  esp_conv d{};
  std::vector<std::int8_t> full;
  std::vector<std::int8_t> trained;
  std::vector<std::int16_t> channels;
  std::vector<std::int32_t> bias;
  std::vector<std::int32_t> multiplier;
  std::vector<std::uint8_t> shift;

  [[nodiscard]] esp_requantization requantization() const {
    return {bias.data(), multiplier.data(), shift.data()};
  }
  [[nodiscard]] int pixels_in() const { return d.in_h * d.in_w; }
  [[nodiscard]] int pixels_out() const { return d.out_h * d.out_w; }
  [[nodiscard]] int taps() const { return d.kernel_h * d.kernel_w; }
};

class Maker {
 public:
  explicit Maker(std::uint64_t seed) : rng_{seed, 11} {}

  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(rng_.below(static_cast<std::uint64_t>(high - low + 1)));
  }
  bool chance(double p) { return rng_.chance(p); }

  std::vector<std::int8_t> int8(std::int64_t count, int low = -128) {
    std::vector<std::int8_t> values(static_cast<std::size_t>(count));
    const bool extreme = chance(0.1);
    for (auto& v : values) {
      v = static_cast<std::int8_t>(extreme ? (chance(0.5) ? low : 127) : between(low, 127));
    }
    return values;
  }
  // With zeros of both signs, as masks leave them.
  std::vector<float> floats(std::int64_t count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (auto& v : values) {
      v = static_cast<float>(rng_.uniform(-1.0, 1.0));
      if (chance(0.2)) v *= 0.0F;
    }
    return values;
  }

  void window(esp_conv& d, int kernel_h, int kernel_w, int stride_h, int stride_w) {
    d.kernel_h = half(kernel_h);
    d.kernel_w = half(kernel_w);
    d.stride_h = half(stride_h);
    d.stride_w = half(stride_w);
    extent(d.in_h, d.out_h, d.pad_top, kernel_h, stride_h);
    extent(d.in_w, d.out_w, d.pad_left, kernel_w, stride_w);
  }
  // Same padding, stride 1.
  void same_window(esp_conv& d, int kernel) {
    d.kernel_h = d.kernel_w = half(kernel);
    d.stride_h = d.stride_w = 1;
    d.pad_top = half(between(0, kernel - 1));
    d.pad_left = half(between(0, kernel - 1));
    d.in_h = d.out_h = half(between(1, 11));
    d.in_w = d.out_w = half(between(1, 11));
  }

  // Weights, biases and requantisation for channels and window already set.
  void numbers(Layer& layer) {
    esp_conv& d = layer.d;
    const int per_group = d.in_c / d.groups;
    const bool depthwise = per_group == 1 && d.groups > 1;
    d.in_zero = half(between(-128, 127));
    d.out_zero = half(between(-128, 127));
    d.low = half(chance(0.5) ? -128 : between(-128, 20));
    d.high = half(chance(0.5) ? 127 : between(d.low, 127));
    const int taps = layer.taps();
    layer.full = int8(std::int64_t{d.out_c} * taps * per_group, -127);
    if ((depthwise || d.groups == 1) && chance(0.4)) {
      for (int c = 0; c < d.in_c; ++c) {
        if (chance(0.4)) layer.channels.push_back(half(c));
      }
      const auto count = static_cast<std::int64_t>(layer.channels.size());
      layer.trained = int8(count * taps * (depthwise ? 1 : d.out_c), -127);
      for (const std::int16_t c : layer.channels) {
        if (depthwise) {
          std::fill_n(layer.full.begin() + c * taps, taps, std::int8_t{0});
        } else {
          for (int row = 0; row < d.out_c * taps; ++row) {
            layer.full[static_cast<std::size_t>(row * per_group + c)] = 0;
          }
        }
      }
    }
    const bool dead = chance(0.3);
    const bool odd = chance(0.2);
    for (int o = 0; o < d.out_c; ++o) {
      layer.bias.push_back(static_cast<std::int32_t>(between(-20000, 20000)));
      layer.multiplier.push_back(static_cast<std::int32_t>(between(1 << 30, INT32_MAX)));
      layer.shift.push_back(static_cast<std::uint8_t>(between(36, 42)));
      if (dead && chance(0.4)) {
        layer.bias.back() = chance(0.5) ? INT32_MIN : INT32_MAX;
        if (chance(0.5)) layer.bias.back() ^= static_cast<std::int32_t>(between(0, 1 << 24));
      }
      if (odd && chance(0.3)) layer.shift.back() = static_cast<std::uint8_t>(between(1, 60));
      if (odd && chance(0.1)) layer.multiplier.back() = 0;
    }
  }

  static std::int16_t half(std::int64_t value) { return static_cast<std::int16_t>(value); }

 private:
  void extent(std::int16_t& in, std::int16_t& out, std::int16_t& pad, int kernel, int stride) {
    pad = half(between(0, kernel - 1));
    const std::int64_t after = between(0, kernel - 1);
    in = half(std::max<std::int64_t>(between(1, 13), kernel - pad - after));
    in = std::max<std::int16_t>(in, 1);
    out = half((in + pad + after - kernel) / stride + 1);
  }

  Rng rng_;
};

// The trained weights of a layer as the kernels take them.
struct Weights {
  explicit Weights(Maker& make, const Layer& layer)
      : full(static_cast<std::int64_t>(layer.full.size()), make.chance(0.2) ? 1 : 0),
        trained(static_cast<std::int64_t>(layer.trained.size())) {
    full.fill(layer.full);
    trained.fill(layer.trained);
    view = {full.data(), trained.data(), layer.channels.data(),
            static_cast<std::int32_t>(layer.channels.size())};
  }
  Buffer<std::int8_t> full;
  Buffer<std::int8_t> trained;
  esp_weights view{};
};

// Masks: none, bytes or bits.
struct Mask {
  Mask(Maker& make, esp_conv& d, std::int64_t elements) {
    exists = make.chance(0.6);
    d.mask_bits = make.chance(0.5) ? 1 : 0;
    bytes = !exists ? 0 : d.mask_bits != 0 ? (elements + 7) / 8 : elements;
  }
  bool exists = false;
  std::int64_t bytes = 0;
};

std::int64_t extent(int in, int pad, int out, int stride, int kernel) {
  return esp_plane_extent(in, pad, out, stride, kernel);
}

struct Output {
  std::vector<std::uint8_t> values;
  std::vector<std::uint8_t> mask;
  bool guarded;
  bool operator==(const Output& other) const {
    return values == other.values && mask == other.mask;
  }
};

template <typename Run>
void expect_equal(std::uint64_t seed, const Run& run) {
  const Output expected = run(kPlain);
  EXPECT_TRUE(expected.guarded) << "seed " << seed;
  for (const Form& form : {kBlocked, kDotProduct}) {
    const Output got = run(form);
    EXPECT_TRUE(got.guarded) << form.name << ", seed " << seed;
    EXPECT_TRUE(got.values == expected.values) << form.name << ", seed " << seed;
    EXPECT_TRUE(got.mask == expected.mask) << form.name << ", mask, seed " << seed;
  }
}

constexpr std::uint64_t kLayers = 1500;

// Multiples of four now and then, as the fast paths want them.
std::int16_t some_channels(Maker& make, int most) {
  return Maker::half(make.chance(0.5) ? 4 * make.between(1, most / 4) : make.between(1, most));
}

void forward_case(std::uint64_t seed, bool pointwise) {
  Maker make(seed);
  Layer layer;
  esp_conv& d = layer.d;
  d.groups = 1;
  d.in_c = some_channels(make, pointwise ? 64 : 12);
  d.out_c = some_channels(make, 24);
  if (pointwise) {
    make.same_window(d, 1);
  } else {
    if (make.chance(0.2)) {
      d.groups = Maker::half(make.between(1, 4));
      d.in_c = Maker::half(d.groups * make.between(1, 3));
      d.out_c = Maker::half(d.groups * make.between(1, 3));
    }
    const int kernel = static_cast<int>(make.between(1, 5));
    make.window(d, kernel, make.chance(0.8) ? kernel : static_cast<int>(make.between(1, 5)),
                static_cast<int>(make.between(1, 3)), static_cast<int>(make.between(1, 3)));
  }
  make.numbers(layer);
  // a depthwise convolution with some of its channels trained has a kernel of its own
  if (d.groups > 1) layer.channels.clear();
  const std::int64_t elements = std::int64_t{layer.pixels_out()} * d.out_c;
  const Mask mask(make, d, elements);
  Weights w(make, layer);
  Buffer<std::int8_t> x(std::int64_t{layer.pixels_in()} * d.in_c, make.chance(0.2) ? 2 : 0);
  x.fill(make.int8(std::int64_t{layer.pixels_in()} * d.in_c));
  const esp_requantization q = layer.requantization();
  const std::int64_t skew = make.chance(0.2) ? 1 : 0;
  expect_equal(seed, [&](const Form& form) {
    Buffer<std::int8_t> y(elements, skew);
    Buffer<std::uint8_t> bits(mask.bytes);
    Buffer<std::int8_t> patches(4 * layer.taps() * d.in_c);
    std::uint8_t* m = mask.exists ? bits.data() : nullptr;
    if (pointwise) {
      form.esp_pointwise_forward_(&d, x.data(), &w.view, &q, y.data(), m);
    } else {
      form.esp_conv_forward_(&d, x.data(), &w.view, &q, y.data(), m, patches.data());
    }
    return Output{y.bits(), bits.bits(), y.guarded() && bits.guarded() && patches.guarded()};
  });
}

TEST(BlockedKernels, PointwiseForward) {
  for (std::uint64_t seed = 0; seed < kLayers; ++seed) forward_case(seed, true);
}

TEST(BlockedKernels, ConvForward) {
  for (std::uint64_t seed = 0; seed < kLayers; ++seed) forward_case(seed, false);
}

void depthwise_window(Maker& make, esp_conv& d) {
  constexpr int kKernels[] = {1, 2, 3, 3, 3, 5, 5, 7, 7, 4, 9};
  const int kernel = kKernels[make.between(0, 10)];
  const int stride = static_cast<int>(make.between(1, 10));
  const int s = stride < 6 ? 1 : stride < 10 ? 2 : 3;
  make.window(d, kernel, make.chance(0.9) ? kernel : static_cast<int>(make.between(1, 7)), s,
              make.chance(0.9) ? s : 1);
}

TEST(BlockedKernels, DepthwiseForward) {
  for (std::uint64_t seed = 0; seed < kLayers; ++seed) {
    Maker make(seed);
    Layer layer;
    esp_conv& d = layer.d;
    d.in_c = d.out_c = d.groups = Maker::half(make.between(2, 12));
    const bool in_place = make.chance(0.4);
    if (in_place) {
      constexpr int kKernels[] = {1, 3, 5, 7};
      make.same_window(d, kKernels[make.between(0, 3)]);
    } else {
      depthwise_window(make, d);
    }
    make.numbers(layer);
    const std::int64_t inputs = std::int64_t{layer.pixels_in()} * d.in_c;
    const std::int64_t elements = std::int64_t{layer.pixels_out()} * d.out_c;
    const Mask mask(make, d, elements);
    Weights w(make, layer);
    const std::vector<std::int8_t> values = make.int8(inputs);
    const esp_requantization q = layer.requantization();
    expect_equal(seed, [&](const Form& form) {
      Buffer<std::int8_t> x(inputs);
      x.fill(values);
      Buffer<std::int8_t> y(in_place ? 0 : elements);
      Buffer<std::uint8_t> bits(mask.bytes);
      Buffer<std::int8_t> plane(extent(d.in_w, d.pad_left, d.out_w, d.stride_w, d.kernel_w) *
                                    extent(d.in_h, d.pad_top, d.out_h, d.stride_h, d.kernel_h) +
                                ESP_PLANE_SLACK);
      form.esp_depthwise_forward_(&d, x.data(), &w.view, &q, in_place ? x.data() : y.data(),
                                  mask.exists ? bits.data() : nullptr, plane.data());
      return Output{in_place ? x.bits() : y.bits(), bits.bits(),
                    x.guarded() && y.guarded() && bits.guarded() && plane.guarded()};
    });
  }
}

TEST(BlockedKernels, StreamForward) {
  for (std::uint64_t seed = 0; seed < kLayers; ++seed) {
    Maker make(seed);
    Layer expand;
    Layer depthwise;
    esp_conv& d1 = expand.d;
    esp_conv& d2 = depthwise.d;
    const std::int16_t channels = std::max<std::int16_t>(some_channels(make, 24), 2);
    d2.in_c = d2.out_c = d2.groups = channels;
    depthwise_window(make, d2);
    d1.groups = 1;
    d1.in_c = some_channels(make, 32);
    d1.out_c = channels;
    make.same_window(d1, 1);
    d1.in_h = d1.out_h = d2.in_h;
    d1.in_w = d1.out_w = d2.in_w;
    make.numbers(expand);
    make.numbers(depthwise);
    d2.in_zero = d1.out_zero;
    const std::int64_t between = std::int64_t{expand.pixels_out()} * channels;
    const std::int64_t elements = std::int64_t{depthwise.pixels_out()} * channels;
    const Mask mask1(make, d1, between);
    const Mask mask2(make, d2, elements);
    Weights w1(make, expand);
    Weights w2(make, depthwise);
    Buffer<std::int8_t> x(std::int64_t{expand.pixels_in()} * d1.in_c);
    x.fill(make.int8(std::int64_t{expand.pixels_in()} * d1.in_c));
    const esp_requantization q1 = expand.requantization();
    const esp_requantization q2 = depthwise.requantization();
    const std::int64_t scratch =
        std::int64_t{d2.kernel_h} * d2.in_w * channels +
        d2.kernel_h * extent(d2.in_w, d2.pad_left, d2.out_w, d2.stride_w, d2.kernel_w) +
        ESP_PLANE_SLACK;
    expect_equal(seed, [&](const Form& form) {
      Buffer<std::int8_t> y(elements);
      Buffer<std::uint8_t> bits1(mask1.bytes);
      Buffer<std::uint8_t> bits2(mask2.bytes);
      Buffer<std::int8_t> rows(scratch);
      // rows below the last window are not computed, nor are their masks
      if (mask1.exists) std::memset(bits1.data(), 0, static_cast<std::size_t>(mask1.bytes));
      form.esp_stream_forward_(&d1, x.data(), &w1.view, &q1, mask1.exists ? bits1.data() : nullptr,
                               &d2, &w2.view, &q2, y.data(), mask2.exists ? bits2.data() : nullptr,
                               rows.data());
      std::vector<std::uint8_t> masks = bits1.bits();
      const std::vector<std::uint8_t> second = bits2.bits();
      masks.insert(masks.end(), second.begin(), second.end());
      return Output{y.bits(), masks,
                    y.guarded() && bits1.guarded() && bits2.guarded() && rows.guarded()};
    });
  }
}

TEST(BlockedKernels, PointwiseInputGradient) {
  for (std::uint64_t seed = 0; seed < kLayers; ++seed) {
    Maker make(seed);
    Layer layer;
    esp_conv& d = layer.d;
    d.groups = 1;
    d.in_c = some_channels(make, 24);
    d.out_c = some_channels(make, 24);
    make.same_window(d, 1);
    make.numbers(layer);
    Weights w(make, layer);
    const std::vector<float> g = make.floats(std::int64_t{layer.pixels_out()} * d.out_c);
    const std::int64_t inputs = std::int64_t{layer.pixels_in()} * d.in_c;
    const std::vector<float> old = make.floats(inputs);
    const int add = make.chance(0.5) ? 1 : 0;
    expect_equal(seed, [&](const Form& form) {
      Buffer<float> dx(inputs);
      dx.fill(old);
      form.esp_pointwise_input_gradient_(&d, g.data(), &w.view, dx.data(), add);
      return Output{dx.bits(), {}, dx.guarded()};
    });
  }
}

TEST(BlockedKernels, DepthwiseInputGradient) {
  for (std::uint64_t seed = 0; seed < kLayers; ++seed) {
    Maker make(seed);
    Layer layer;
    esp_conv& d = layer.d;
    d.in_c = d.out_c = d.groups = Maker::half(make.between(2, 12));
    depthwise_window(make, d);
    make.numbers(layer);
    Weights w(make, layer);
    const std::vector<float> g = make.floats(std::int64_t{layer.pixels_out()} * d.out_c);
    const std::int64_t inputs = std::int64_t{layer.pixels_in()} * d.in_c;
    const std::vector<float> old = make.floats(inputs);
    const int add = make.chance(0.5) ? 1 : 0;
    // as scratch_bytes() of the compiler
    const auto padded = [](int in, int pad, int out, int stride, int kernel) {
      return std::int64_t{std::max((in - 1 + pad) / stride + 1, out) + (kernel - 1) / stride + 1};
    };
    const std::int64_t scratch = padded(d.in_h, d.pad_top, d.out_h, d.stride_h, d.kernel_h) *
                                     padded(d.in_w, d.pad_left, d.out_w, d.stride_w, d.kernel_w) +
                                 layer.taps();
    expect_equal(seed, [&](const Form& form) {
      Buffer<float> dx(inputs);
      Buffer<float> plane(scratch);
      dx.fill(old);
      form.esp_depthwise_input_gradient_(&d, g.data(), &w.view, dx.data(), add, plane.data());
      return Output{dx.bits(), {}, dx.guarded() && plane.guarded()};
    });
  }
}

TEST(BlockedKernels, MaskScaleChannels) {
  for (std::uint64_t seed = 0; seed < kLayers; ++seed) {
    Maker make(seed);
    const int pixels = static_cast<int>(make.between(1, 9));
    const int channels = make.chance(0.5) ? 8 * static_cast<int>(make.between(1, 4))
                                          : static_cast<int>(make.between(1, 30));
    const int bits = make.chance(0.7) ? 1 : 0;
    const std::int64_t elements = std::int64_t{pixels} * channels;
    const std::vector<float> dy = make.floats(elements);
    const std::vector<float> factor = make.floats(channels);
    std::vector<std::int8_t> mask =
        make.int8(bits != 0 ? (elements + 7) / 8 : elements, bits != 0 ? -128 : 0);
    if (bits == 0) {
      for (std::int8_t& m : mask) m = static_cast<std::int8_t>(m & 1);
    }
    const bool in_place = make.chance(0.5);
    expect_equal(seed, [&](const Form& form) {
      Buffer<float> g(elements);
      g.fill(dy);
      form.esp_mask_scale_channels_(pixels, channels, in_place ? g.data() : dy.data(),
                                    reinterpret_cast<const std::uint8_t*>(mask.data()), bits,
                                    factor.data(), g.data());
      return Output{g.bits(), {}, g.guarded()};
    });
  }
}

// Where a weight gradient goes: stored, added, or applied at once.
struct Sink {
  Sink(Maker& make, std::int64_t count, int out_c)
      : kind(static_cast<int>(make.between(0, 2))),
        weights(make.int8(count, -127)),
        sums(make.floats(count)),
        scale(make.floats(out_c)),
        sgd{static_cast<float>(make.between(1, 1000)) * 0.01F,
            static_cast<std::uint32_t>(make.between(0, 1 << 30)), make.chance(0.7) ? 1 : 0} {}
  [[nodiscard]] esp_weight_sink view(Buffer<std::int8_t>& w, Buffer<float>& s) const {
    if (kind == 2) return {nullptr, 0, w.data(), scale.data(), &sgd, 7};
    return {s.data(), kind, nullptr, nullptr, nullptr, 0};
  }
  int kind;
  std::vector<std::int8_t> weights;
  std::vector<float> sums;
  std::vector<float> scale;
  esp_sgd sgd;
};

TEST(BlockedKernels, DepthwiseBackward) {
  for (std::uint64_t seed = 0; seed < kLayers; ++seed) {
    Maker make(seed);
    Layer layer;
    esp_conv& d = layer.d;
    d.in_c = d.out_c = d.groups = Maker::half(make.between(2, 12));
    constexpr int kKernels[] = {1, 2, 3, 4, 5, 7, 9};
    make.same_window(d, kKernels[make.between(0, 6)]);
    make.numbers(layer);
    Weights w(make, layer);
    const std::int64_t elements = std::int64_t{layer.pixels_in()} * d.in_c;
    const std::vector<float> old = make.floats(elements);
    // all channels, or those whose weights lie apart
    const bool some = w.view.count > 0;
    const std::int32_t width = some ? w.view.count : d.in_c;
    const bool with_weights = make.chance(0.7);
    const std::vector<std::int8_t> x = make.int8(std::int64_t{layer.pixels_in()} * width);
    const std::int64_t count = std::int64_t{width} * layer.taps();
    const Sink sink(make, count, d.out_c);
    const std::int64_t scratch = std::int64_t{d.in_h + d.kernel_h - 1} * (d.in_w + d.kernel_w - 1) +
                                 4 + 2 * std::int64_t{layer.taps()};
    expect_equal(seed, [&](const Form& form) {
      Buffer<float> g(elements);
      Buffer<float> plane(scratch);
      Buffer<std::int8_t> stepped(count);
      Buffer<float> sums(count);
      g.fill(old);
      stepped.fill(sink.weights);
      sums.fill(sink.sums);
      const esp_weight_sink view = sink.view(stepped, sums);
      form.esp_depthwise_backward_(&d, g.data(), &w.view, with_weights ? x.data() : nullptr,
                                   some ? layer.channels.data() : nullptr, w.view.count,
                                   with_weights ? &view : nullptr, plane.data());
      std::vector<std::uint8_t> after = stepped.bits();
      const std::vector<std::uint8_t> second = sums.bits();
      after.insert(after.end(), second.begin(), second.end());
      return Output{g.bits(), after,
                    g.guarded() && plane.guarded() && stepped.guarded() && sums.guarded()};
    });
  }
}

TEST(BlockedKernels, WeightGradient) {
  for (std::uint64_t seed = 0; seed < kLayers; ++seed) {
    Maker make(seed);
    Layer layer;
    esp_conv& d = layer.d;
    d.groups = 1;
    d.in_c = some_channels(make, 16);
    d.out_c = some_channels(make, 20);
    if (make.chance(0.6)) {
      make.same_window(d, 1);
    } else {
      if (make.chance(0.3)) {
        d.groups = Maker::half(make.between(1, 3));
        d.in_c = Maker::half(d.groups * make.between(1, 6));
        d.out_c = Maker::half(d.groups * make.between(1, 9));
      }
      make.window(d, static_cast<int>(make.between(1, 4)), static_cast<int>(make.between(1, 4)),
                  static_cast<int>(make.between(1, 3)), static_cast<int>(make.between(1, 3)));
    }
    make.numbers(layer);
    if (d.groups > 1) layer.channels.clear();
    const bool some = !layer.channels.empty();
    const int per_group = d.in_c / d.groups;
    const auto width = some ? static_cast<std::int32_t>(layer.channels.size()) : per_group;
    const std::vector<std::int8_t> x =
        make.int8(std::int64_t{layer.pixels_in()} * (some ? width : d.in_c));
    const std::vector<float> g = make.floats(std::int64_t{layer.pixels_out()} * d.out_c);
    const std::int64_t count = std::int64_t{d.out_c} * layer.taps() * width;
    const Sink sink(make, count, d.out_c);
    expect_equal(seed, [&](const Form& form) {
      Buffer<std::int8_t> stepped(count);
      Buffer<float> sums(count);
      stepped.fill(sink.weights);
      sums.fill(sink.sums);
      const esp_weight_sink view = sink.view(stepped, sums);
      form.esp_weight_gradient_(&d, g.data(), x.data(), some ? layer.channels.data() : nullptr,
                                some ? width : 0, &view);
      return Output{stepped.bits(), sums.bits(), stepped.guarded() && sums.guarded()};
    });
  }
}

}  // namespace
}  // namespace espalier::codegen
