#include "testing/random_graph.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "espalier/ir/curve.hpp"

namespace espalier::testing {

GraphBuilder::GraphBuilder(std::uint64_t seed, ir::Shape input) : rng_{seed, 0x47} {
  graph_.name = "random";
  graph_.sha256 = "random-" + std::to_string(seed);
  graph_.tensors.push_back({"input", input, {0.0078125F, static_cast<int>(rng_.below(41)) - 20}});
  graph_.input = 0;
}

ir::TensorId GraphBuilder::push(ir::OpParams params, std::vector<ir::TensorId> inputs,
                                ir::Quantization quantization) {
  ir::Op op;
  op.params = std::move(params);
  op.inputs = std::move(inputs);
  op.name = "op" + std::to_string(graph_.ops.size());
  op.output = static_cast<ir::TensorId>(graph_.tensors.size());
  std::vector<ir::Shape> shapes;
  for (const ir::TensorId id : op.inputs) shapes.push_back(graph_.tensor(id).shape);
  const Result<ir::Shape> shape = ir::infer_shape(op.params, shapes);
  if (!shape.ok()) throw std::runtime_error(shape.error().message());
  graph_.tensors.push_back({"t" + std::to_string(op.output), *shape, quantization});
  graph_.ops.push_back(std::move(op));
  return graph_.ops.back().output;
}

ir::TensorId GraphBuilder::conv(ir::TensorId in, int out_channels, ir::Window window, int groups) {
  ir::Conv2D conv;
  conv.window = window;
  conv.in_channels = shape(in).channels;
  conv.out_channels = out_channels;
  conv.groups = groups;
  const int fan_in = window.kernel_h * window.kernel_w * conv.in_per_group();
  for (int i = 0; i < out_channels * fan_in; ++i) {
    conv.weights.push_back(static_cast<std::int8_t>(static_cast<int>(rng_.below(255)) - 127));
  }
  // Accumulators spread by about 74 * 74 * sqrt(fan_in); map that to about a third of the range.
  const double spread = 5400.0 * std::sqrt(static_cast<double>(fan_in));
  const float in_scale = graph_.tensor(in).quantization.scale;
  const float out_scale = static_cast<float>(rng_.uniform(0.01, 0.05));
  for (int c = 0; c < out_channels; ++c) {
    const double factor = rng_.uniform(40.0, 120.0) / spread;
    conv.weight_scales.push_back(static_cast<float>(factor * out_scale / in_scale));
    conv.bias.push_back(static_cast<std::int32_t>(rng_.uniform(-0.5, 0.5) * spread));
  }
  const int zero = rng_.chance(0.5) ? -128 : static_cast<int>(rng_.below(61)) - 30;
  return push(std::move(conv), {in}, {out_scale, zero});
}

ir::TensorId GraphBuilder::add(ir::TensorId a, ir::TensorId b) {
  const float scale =
      std::max(graph_.tensor(a).quantization.scale, graph_.tensor(b).quantization.scale) *
      static_cast<float>(rng_.uniform(0.6, 1.5));
  return push(ir::Add{}, {a, b}, {scale, static_cast<int>(rng_.below(41)) - 20});
}

ir::TensorId GraphBuilder::rescale(ir::TensorId in, int clamp_low, int clamp_high) {
  const float scale =
      graph_.tensor(in).quantization.scale * static_cast<float>(rng_.uniform(0.5, 2.0));
  const ir::TensorId out =
      push(ir::Rescale{}, {in}, {scale, static_cast<int>(rng_.below(41)) - 20});
  graph_.ops.back().clamp_low = clamp_low;
  graph_.ops.back().clamp_high = clamp_high;
  return out;
}

ir::TensorId GraphBuilder::average_pool(ir::TensorId in, ir::Window window,
                                        ir::HalfRounding rounding) {
  return push(ir::AveragePool{window, rounding}, {in}, graph_.tensor(in).quantization);
}

ir::TensorId GraphBuilder::requantized_pool(ir::TensorId in, ir::Window window) {
  const float scale =
      graph_.tensor(in).quantization.scale * static_cast<float>(rng_.uniform(0.2, 1.2));
  const ir::TensorId out =
      push(ir::AveragePool{window}, {in}, {scale, static_cast<int>(rng_.below(41)) - 20});
  if (rng_.chance(0.3)) {
    graph_.ops.back().clamp_low = -60;
    graph_.ops.back().clamp_high = 80;
  }
  return out;
}

ir::TensorId GraphBuilder::max_pool(ir::TensorId in, ir::Window window) {
  return push(ir::MaxPool{window}, {in}, graph_.tensor(in).quantization);
}

ir::TensorId GraphBuilder::mul(ir::TensorId a, ir::TensorId b) {
  const float scale = graph_.tensor(a).quantization.scale * graph_.tensor(b).quantization.scale *
                      static_cast<float>(rng_.uniform(25.0, 90.0));
  return push(ir::Mul{}, {a, b}, {scale, static_cast<int>(rng_.below(41)) - 20});
}

ir::TensorId GraphBuilder::lookup(ir::TensorId in) {
  const ir::RealFunction functions[]{
      ir::hard_swish(),    ir::sigmoid(),         ir::hyperbolic_tangent(),
      ir::mish(),          ir::leaky_relu(0.1F),  ir::hard_sigmoid(0.2F, 0.5F),
      ir::gelu(false),     ir::leaky_relu(-0.2F), ir::exponential_linear(1, 1, 1),
      ir::affine(-1, 0.1F)};
  const ir::RealFunction& function = functions[rng_.below(std::size(functions))];
  // Wide enough that the function bends within it.
  const float unit = std::max(graph_.tensor(in).quantization.scale, 0.02F);
  const ir::Quantization from{unit, graph_.tensor(in).quantization.zero_point};
  const ir::Quantization to{unit * static_cast<float>(rng_.uniform(0.4, 1.2)),
                            static_cast<int>(rng_.below(81)) - 60};
  ir::Lookup table =
      ir::quantized(ir::then(ir::identity(from), function), from, to,
                    rng_.chance(0.5) ? ir::HalfRounding::kToEven : ir::HalfRounding::kAwayFromZero);
  return push(table, {in}, to);
}

ir::TensorId GraphBuilder::concat(const std::vector<ir::TensorId>& operands) {
  const ir::Quantization to = graph_.tensor(operands[0]).quantization;
  std::vector<ir::TensorId> inputs;
  for (const ir::TensorId id : operands) {
    const ir::Quantization from = graph_.tensor(id).quantization;
    inputs.push_back(
        from == to ? id
                   : push(ir::quantized(ir::identity(from), from, to, ir::HalfRounding::kToEven),
                          {id}, to));
  }
  return push(ir::Concat{}, std::move(inputs), to);
}

std::vector<int> GraphBuilder::shuffled_channels(ir::TensorId in) {
  std::vector<int> channels(static_cast<std::size_t>(shape(in).channels));
  std::iota(channels.begin(), channels.end(), 0);
  for (std::size_t i = channels.size(); i > 1; --i) {
    std::swap(channels[i - 1], channels[rng_.below(i)]);
  }
  return channels;
}

ir::TensorId GraphBuilder::select(ir::TensorId in, int count) {
  std::vector<int> channels = shuffled_channels(in);
  channels.resize(static_cast<std::size_t>(count));
  return push(ir::Select{std::move(channels)}, {in}, graph_.tensor(in).quantization);
}

ir::TensorId GraphBuilder::shuffle_unit(ir::TensorId in) {
  const std::vector<int> channels = shuffled_channels(in);
  const auto middle = channels.begin() + static_cast<std::ptrdiff_t>(channels.size() / 2);
  const ir::Quantization quantization = graph_.tensor(in).quantization;
  const ir::TensorId kept = push(ir::Select{{channels.begin(), middle}}, {in}, quantization);
  const ir::TensorId other = push(ir::Select{{middle, channels.end()}}, {in}, quantization);
  const ir::TensorId joined = concat({kept, conv(other, shape(other).channels, window(1, 1, 0))});
  return select(joined, shape(joined).channels);
}

ir::TensorId GraphBuilder::gate(ir::TensorId in) {
  const int channels = shape(in).channels;
  ir::TensorId x =
      requantized_pool(in, {.kernel_h = shape(in).height, .kernel_w = shape(in).width});
  x = conv(x, std::max(1, channels / 2), window(1, 1, 0));
  x = conv(x, channels, window(1, 1, 0));
  return rng_.chance(0.7) ? lookup(x) : x;
}

ir::TensorId GraphBuilder::global_pool(ir::TensorId in) {
  ir::Window window;
  window.kernel_h = shape(in).height;
  window.kernel_w = shape(in).width;
  return average_pool(in, window);
}

ir::Graph GraphBuilder::finish(ir::TensorId features, int classes) {
  graph_.features = features;
  graph_.head.features = static_cast<int>(shape(features).elements());
  graph_.head.classes = classes;
  graph_.head.weights.resize(static_cast<std::size_t>(graph_.head.features * classes));
  for (float& w : graph_.head.weights) w = static_cast<float>(rng_.uniform(-0.2, 0.2));
  graph_.head.bias.assign(static_cast<std::size_t>(classes), 0.0F);
  const Status status = ir::verify(graph_);
  if (!status.ok()) throw std::runtime_error(status.error().message());
  return graph_;
}

ir::Window window(int kernel, int stride, int pad) {
  return {kernel, kernel, stride, stride, pad, pad, pad, pad};
}

ir::Window dilated(int kernel, int stride, int dilation) {
  const int pad = (kernel - 1) * dilation / 2;
  return {kernel, kernel, stride, stride, pad, pad, pad, pad, dilation, dilation};
}

std::vector<std::int8_t> random_int8(Rng& rng, std::size_t count) {
  std::vector<std::int8_t> values(count);
  for (std::int8_t& v : values)
    v = static_cast<std::int8_t>(static_cast<int>(rng.below(256)) - 128);
  return values;
}

ir::Graph small_network(std::uint64_t seed, int classes, int side) {
  GraphBuilder b(seed, {side, side, 3});
  const ir::TensorId stem = b.conv(b.input(), 8, window(3, 1, 1));
  ir::TensorId x = b.conv(stem, 24, window(1, 1, 0));
  x = b.conv(x, 24, window(3, 1, 1), 24);
  x = b.conv(x, 8, window(1, 1, 0));
  const ir::TensorId sum = b.add(stem, x);
  x = b.conv(sum, 20, window(1, 1, 0));
  x = b.conv(x, 20, window(5, 2, 2), 20);
  x = b.conv(x, 40, window(1, 1, 0));
  return b.finish(b.global_pool(x), classes);
}

namespace {

// Makes one random network. Any op may read the network's input, in any operand position: hosts
// and devices store it differently from what ops write.
class RandomNetwork {
 public:
  explicit RandomNetwork(std::uint64_t seed)
      : rng_{seed, 0x4E4554},  // "NET"
        b_(seed, {extent(), extent(), input_channels()}) {}

  ir::Graph make() {
    ir::TensorId x = b_.input();
    if (rng_.chance(0.2)) x = b_.max_pool(x, window(2, 1, 0));
    tensors_.push_back(b_.input());
    if (x != b_.input()) tensors_.push_back(x);
    const int ops = 2 + below(8);
    for (int i = 0; i < ops; ++i) {
      // Mostly a chain; sometimes a branch from an earlier tensor that an add may join again.
      ir::TensorId from = x;
      if (rng_.chance(0.15)) from = tensors_[static_cast<std::size_t>(below(tensors_.size()))];
      if (rng_.chance(0.1)) from = b_.input();
      x = op(from);
      tensors_.push_back(x);
    }
    // A classifier of the raw input is legal too: nothing before it can train.
    if (rng_.chance(0.02)) x = b_.input();
    if (b_.shape(x).channels > 40) x = b_.conv(x, 10, window(1, 1, 0));
    if (rng_.chance(0.8)) x = global_pool(x);
    return b_.finish(x, pick(2, 7));
  }

 private:
  int below(std::uint64_t n) { return static_cast<int>(rng_.below(n)); }
  int pick(int low, int high) { return low + below(static_cast<std::uint64_t>(high - low + 1)); }
  int extent() { return pick(5, 12); }
  // Images have few channels; whatever else comes may have any number.
  int input_channels() { return rng_.chance(0.5) ? pick(1, 4) : pick(1, 40); }

  ir::TensorId op(ir::TensorId x) {
    const ir::Shape in = b_.shape(x);
    const int any_kernel = std::array{3, 3, 5, 2}[rng_.below(4)];
    const int kernel = std::min(in.height, in.width) < 2 ? 3 : any_kernel;
    const int stride = std::min(in.height, in.width) > 4 && rng_.chance(0.35) ? 2 : 1;
    // A kernel of 2 has no middle: it shrinks the map, or grows it by a row.
    const int pad = kernel == 2 ? below(2) : kernel / 2;
    switch (rng_.below(16)) {
      case 0:
      case 1:
        return b_.conv(x, pick(1, 20), window(1, 1, 0));
      case 2:
        return b_.conv(x, in.channels, window(kernel, stride, pad), in.channels);
      case 3: {  // the expanding pair that streaming looks for
        const ir::TensorId wide = b_.conv(x, pick(4, 24), window(1, 1, 0));
        return b_.conv(wide, b_.shape(wide).channels, window(kernel, stride, pad),
                       b_.shape(wide).channels);
      }
      case 4:
        return b_.conv(x, pick(1, 12), window(kernel, stride, pad));
      case 5: {
        const int groups = in.channels % 2 == 0 ? 2 : 1;
        return b_.conv(x, 2 * pick(1, 5), window(kernel, stride, pad), groups);
      }
      case 6:  // a depthwise convolution with two filters a channel
        return b_.conv(x, 2 * std::min(in.channels, 20), window(3, stride, 1),
                       std::min(in.channels, 20) == in.channels ? in.channels : 1);
      case 7:
        return join(x);
      case 8:
        return join_with_input(x);
      case 12:
        return b_.lookup(x);
      case 13:
        return rng_.chance(0.5) ? b_.mul(x, b_.gate(x)) : b_.mul(b_.lookup(x), x);
      case 14:
        return side_by_side(x);
      case 15:
        if (in.channels > 1 && rng_.chance(0.5)) return b_.shuffle_unit(x);
        return b_.select(x, pick(1, in.channels));
      case 9:
        return b_.conv(x, pick(1, 12), dilated(3, 1, pick(2, 3)));
      case 10: {
        const int groups = in.channels % 2 == 0 && rng_.chance(0.5) ? 2 : in.channels;
        return b_.conv(x, in.channels, dilated(kernel, stride, 2), groups);
      }
      default:
        return stride == 2 ? pool(x) : b_.conv(x, in.channels, window(1, 1, 0));
    }
  }

  // Winners of maxima take 2, 4 and 8 bits here.
  ir::TensorId pool(ir::TensorId x) {
    switch (rng_.below(6)) {
      case 0:
        return b_.average_pool(x, window(2, 2, 0), ir::HalfRounding::kToEven);
      case 1:
        return b_.average_pool(x, window(2, 2, 0), ir::HalfRounding::kAwayFromZero);
      case 2:
        return b_.max_pool(x, window(2, 2, 0));
      case 3:
        return b_.max_pool(x, window(3, 2, 1));
      case 4:
        return b_.requantized_pool(x, window(3, 2, 1));
      default:
        return b_.max_pool(x, window(5, 1, 2));
    }
  }

  ir::TensorId global_pool(ir::TensorId x) {
    if (rng_.chance(0.5)) return b_.global_pool(x);
    return b_.requantized_pool(x, {.kernel_h = b_.shape(x).height, .kernel_w = b_.shape(x).width});
  }

  // An add in either order, of a tensor with itself too.
  ir::TensorId sum(ir::TensorId a, ir::TensorId b) {
    return rng_.chance(0.5) ? b_.add(a, b) : b_.add(b, a);
  }

  ir::TensorId join(ir::TensorId x) {
    for (std::size_t i = tensors_.size(); i-- > 0;) {
      if (b_.shape(tensors_[i]) == b_.shape(x) && rng_.chance(0.7)) return sum(x, tensors_[i]);
    }
    return b_.rescale(x, -128, pick(60, 127));
  }

  // Of what is as high and wide, in either order; narrow enough to stay small.
  ir::TensorId side_by_side(ir::TensorId x) {
    if (b_.shape(x).channels > 16) return b_.conv(x, pick(1, 12), window(1, 1, 0));
    std::vector<ir::TensorId> operands{x};
    for (const ir::TensorId id : tensors_) {
      const ir::Shape shape = b_.shape(id);
      if (shape.height == b_.shape(x).height && shape.width == b_.shape(x).width &&
          shape.channels <= 16 && operands.size() < 4 && rng_.chance(0.5)) {
        operands.push_back(id);
      }
    }
    if (operands.size() == 1) operands.push_back(rng_.chance(0.5) ? x : b_.lookup(x));
    if (rng_.chance(0.5)) std::swap(operands.front(), operands.back());
    return b_.concat(operands);
  }

  // The input itself where it fits, brought to its width where only that differs; otherwise an op
  // that reads the input alone.
  ir::TensorId join_with_input(ir::TensorId x) {
    const ir::Shape input = b_.shape(b_.input());
    const ir::Shape shape = b_.shape(x);
    if (shape.height == input.height && shape.width == input.width) {
      if (shape.channels != input.channels) x = b_.conv(x, input.channels, window(1, 1, 0));
      return sum(x, b_.input());
    }
    switch (rng_.below(3)) {
      case 0:
        return b_.rescale(b_.input(), -128, pick(60, 127));
      case 1:
        return b_.max_pool(b_.input(), window(3, 1, 1));
      default:
        return sum(b_.input(), b_.input());
    }
  }

  Rng rng_;
  GraphBuilder b_;
  std::vector<ir::TensorId> tensors_;
};

}  // namespace

ir::Graph random_network(std::uint64_t seed) {
  ir::Graph graph = RandomNetwork(seed).make();
  // Some quantisers use the whole range.
  for (const int op : ir::conv_ops(graph)) {
    auto& weights = std::get<ir::Conv2D>(graph.ops[static_cast<std::size_t>(op)].params).weights;
    std::replace(weights.begin(), weights.end(), std::int8_t{-127}, std::int8_t{-128});
  }
  return graph;
}

namespace {

int pick(Rng& rng, int low, int high) {
  return low + static_cast<int>(rng.below(static_cast<std::uint64_t>(high - low + 1)));
}

// Blocks from the builder's input to the end, as long as maps are not tiny.
ir::Graph blocks(GraphBuilder& b, Rng& rng) {
  const auto channels = [&] { return rng.chance(0.7) ? 8 * pick(rng, 1, 3) : pick(rng, 1, 20); };
  ir::TensorId x = b.input();
  for (int block = 0; block < 5 && b.shape(x).height > 3 && b.shape(x).width > 1; ++block) {
    const ir::TensorId before = x;
    const int kernel = std::array{3, 3, 5, 7}[rng.below(4)];
    const int stride = rng.chance(0.5) ? 2 : 1;
    switch (rng.below(7)) {
      case 0:
        x = b.conv(x, channels(), window(3, stride, 1));
        break;
      case 1:
        x = rng.chance(0.5) ? b.max_pool(x, window(3, 2, 1))
                            : b.requantized_pool(x, window(2, 2, 0));
        break;
      case 2:
        x = b.conv(x, channels(), dilated(3, 1, 2));
        break;
      case 3:
        x = b.select(x, pick(rng, 1, b.shape(x).channels));
        break;
      default: {  // an inverted bottleneck, with a residual where it fits
        const int wide = 8 * pick(rng, 1, 4);
        x = b.conv(x, wide, window(1, 1, 0));
        x = b.conv(x, wide, window(kernel, stride, kernel / 2), wide);
        if (rng.chance(0.3)) x = b.lookup(x);
        x = b.conv(x, stride == 1 && rng.chance(0.7) ? b.shape(before).channels : channels(),
                   window(1, 1, 0));
        if (b.shape(x) == b.shape(before)) x = b.add(before, x);
        break;
      }
    }
  }
  return b.finish(b.global_pool(x), pick(rng, 2, 5));
}

}  // namespace

ir::Graph random_tower(std::uint64_t seed) {
  Rng rng{seed, 0x544F5745};  // "TOWE"
  const int height = pick(rng, 17, 40);
  const int width = pick(rng, 5, 16);
  GraphBuilder b(seed, {height, width, pick(rng, 1, 4)});
  return blocks(b, rng);
}

ir::Graph random_large_maps(std::uint64_t seed) {
  Rng rng{seed, 0x4D415053};  // "MAPS"
  const int side = 16 * pick(rng, 1, 2);
  GraphBuilder b(seed, {side, 8 * pick(rng, 256 / side / 8, 4), pick(rng, 1, 4)});
  return blocks(b, rng);
}

}  // namespace espalier::testing
