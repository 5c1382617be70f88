#include "graph_builder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "espalier/ir/fixed_point.hpp"
#include "espalier/ir/input.hpp"

namespace espalier::import_detail {
namespace {

// Many nodes can share one constant and each claim a copy; this bounds the sum.
constexpr std::int64_t kMaxClaimedElements = std::int64_t{256} << 20;
// Quantisers compute the scale of a bias in float, or not at all; beyond this relative difference
// it is another scale.
constexpr double kBiasScaleTolerance = 1e-3;

std::int32_t round_to_int32(double value) {
  // Half to even, as QuantizeLinear.
  return static_cast<std::int32_t>(std::clamp<double>(std::nearbyint(value), INT32_MIN, INT32_MAX));
}

// An operand without its repetitions.
Operand once(Operand x) {
  x.repeated.clear();
  return x;
}

// True when extents are those of `to` or 1, counted from the last.
bool broadcasts(const Dims& extents, const Dims& to) {
  if (extents.size() > to.size()) return false;
  const std::size_t missing = to.size() - extents.size();
  for (std::size_t i = 0; i < extents.size(); ++i) {
    if (extents[i] != 1 && extents[i] != to[missing + i]) return false;
  }
  return true;
}

}  // namespace

bool extent_in_range(std::int64_t extent) { return extent >= 1 && extent <= kMaxExtent; }

bool usable_scale(float scale) { return std::isfinite(scale) && scale > 0; }

double Numbers::real(std::size_t i, std::size_t channel) const {
  if (is_float()) return floats[i];
  return (static_cast<double>(integers[i]) - zero(channel)) * scale(channel);
}

bool Draft::clipped() const { return !std::isinf(low) || !std::isinf(high); }

void Draft::clip(double lowest, double highest) {
  low = std::clamp(low, lowest, highest);
  high = std::clamp(high, lowest, highest);
}

ir::Window turned(const ir::Window& w) {
  return {.kernel_h = w.kernel_w,
          .kernel_w = w.kernel_h,
          .stride_h = w.stride_w,
          .stride_w = w.stride_h,
          .pad_top = w.pad_left,
          .pad_left = w.pad_top,
          .pad_bottom = w.pad_right,
          .pad_right = w.pad_bottom,
          .dilation_h = w.dilation_w,
          .dilation_w = w.dilation_h};
}

bool reaches_over(const ir::Window& w) {
  return w.pad_top >= w.extent_h() || w.pad_bottom >= w.extent_h() || w.pad_left >= w.extent_w() ||
         w.pad_right >= w.extent_w();
}

void pad_same(ir::Window& window, int rows, int columns, bool odd_below) {
  const auto same = [&](int extent, std::int64_t reach, int stride, int& before, int& after) {
    const std::int64_t out = (std::int64_t{extent} + stride - 1) / stride;
    const std::int64_t total =
        std::clamp<std::int64_t>((out - 1) * stride + reach - extent, 0, 2 * kMaxExtent);
    before = static_cast<int>(odd_below ? total / 2 : total - total / 2);
    after = static_cast<int>(total) - before;
  };
  same(rows, window.extent_h(), window.stride_h, window.pad_top, window.pad_bottom);
  same(columns, window.extent_w(), window.stride_w, window.pad_left, window.pad_right);
}

std::nullopt_t GraphBuilder::refuse(const Where& node, std::string_view why,
                                    std::string_view next) {
  diagnostics_.add(node, why, next);
  return std::nullopt;
}

bool GraphBuilder::fail(const Where& node, std::string_view why, std::string_view next) {
  diagnostics_.add(node, why, next);
  return false;
}

// ------------------------------------------------------------------------------------------------
// Layers

bool GraphBuilder::claim(const Where& node, std::int64_t elements) {
  claimed_elements_ += elements;
  if (claimed_elements_ <= kMaxClaimedElements) return true;
  return fail(node, "the network has too many weights for any microcontroller",
              "check that the file is what you meant");
}

std::optional<Draft> GraphBuilder::draft(const Where& node, ir::OpParams params,
                                         std::vector<ir::TensorId> inputs) {
  std::vector<ir::Shape> shapes;
  for (const ir::TensorId id : inputs) shapes.push_back(tensor(id).shape);
  const Result<ir::Shape> shape = ir::infer_shape(params, shapes);
  if (!shape.ok()) return refuse(node, shape.error().message(), kDamagedNext);
  Draft draft{.node = node,
              .params = std::move(params),
              .inputs = std::move(inputs),
              .shape = *shape,
              .view = {},
              .origin = {}};
  return draft;
}

// Offsets of the weights of an output in the order of the graph, [row][column][channel].
std::optional<std::vector<std::size_t>> GraphBuilder::convolution_offsets(const Where& node,
                                                                          Layer& layer, Operand x,
                                                                          ImageAxes axes,
                                                                          Image& found) {
  if (!take_pads(node, x, axes, layer.window)) return std::nullopt;
  const std::optional<Image> image = this->image(node, x, axes);
  if (!image) return std::nullopt;
  found = *image;
  if (found.turned) {
    layer.window = turned(layer.window);
    std::swap(layer.row_step, layer.column_step);
  }
  if (reaches_over(layer.window)) {
    return refuse(node, "pads as much as its kernel or more, which is legal but not supported",
                  "pad less than the kernel; what lies further out sees zeros alone");
  }
  std::vector<std::size_t> offsets;
  for (int row = 0; row < layer.window.kernel_h; ++row) {
    for (int column = 0; column < layer.window.kernel_w; ++column) {
      for (int channel = 0; channel < layer.in_per_group; ++channel) {
        offsets.push_back(static_cast<std::size_t>(row) * layer.row_step +
                          static_cast<std::size_t>(column) * layer.column_step +
                          static_cast<std::size_t>(channel) * layer.channel_step);
      }
    }
  }
  return offsets;
}

// Offsets of the weights of an output when its features are seen through a view: a window that
// covers the whole tensor.
std::optional<std::vector<std::size_t>> GraphBuilder::feature_offsets(const Where& node,
                                                                      Layer& layer, Operand& x) {
  if (!unpadded(node, x)) return std::nullopt;
  std::optional<Operand> own = on_settled_input(node, std::move(x));
  if (!own) return std::nullopt;
  x = written(*std::move(own));  // weights are turned, not channels
  const ir::Shape& shape = tensor(x.tensor).shape;
  if (shape.elements() > kMaxFeatures) {
    return refuse(node, fmt::format("reads {} features", shape.elements()),
                  "no microcontroller holds as many; check that the file is what you meant");
  }
  if (layer.in_per_group != shape.elements()) {
    return refuse(node,
                  fmt::format("its weights expect {} features, the input has {}",
                              layer.in_per_group, shape.elements()),
                  kDamagedNext);
  }
  const std::vector<std::int64_t> positions = x.view.positions();
  std::vector<std::size_t> offsets(positions.size());
  for (std::size_t k = 0; k < positions.size(); ++k) {
    offsets[static_cast<std::size_t>(positions[k])] = k * layer.channel_step;
  }
  layer.in_per_group = shape.channels;
  layer.window = {.kernel_h = shape.height, .kernel_w = shape.width};
  return offsets;
}

std::optional<Draft> GraphBuilder::make_conv(const Where& node, const Layer& layer,
                                             std::span<const std::size_t> offsets,
                                             ir::TensorId input) {
  const auto out = static_cast<std::size_t>(layer.out);
  if (!claim(node, static_cast<std::int64_t>(out * offsets.size()))) return std::nullopt;
  if (layer.weights.is_float()) {
    return refuse(node, "its weights are float", "quantise the weights too, statically");
  }
  ir::Conv2D conv{.window = layer.window,
                  .in_channels = layer.in_per_group * layer.groups,
                  .out_channels = layer.out,
                  .groups = layer.groups,
                  .weights = {},
                  .weight_scales = {},
                  .bias = std::vector<std::int32_t>(out, 0)};
  conv.weights.reserve(out * offsets.size());
  std::vector<double> widened(out, 1);
  for (std::size_t o = 0; o < out; ++o) {
    const auto weight = [&](std::size_t offset) {
      return layer.weights.integers[o * layer.out_step + offset] - layer.weights.zero(o);
    };
    // Around another zero point than the middle some lie beyond int8: such a channel gets a scale
    // of its own, to which its weights are rounded.
    std::int32_t least = 0;
    std::int32_t most = 0;
    for (const std::size_t offset : offsets) {
      least = std::min(least, weight(offset));
      most = std::max(most, weight(offset));
    }
    const bool beyond = least < INT8_MIN || most > INT8_MAX;
    if (beyond) {
      widened[o] = std::max(-least, most) / 127.0;
      ++graph_.rounded_channels;
    }
    conv.weight_scales.push_back(static_cast<float>(layer.weights.scale(o) * widened[o]));
    for (const std::size_t offset : offsets) {
      const double w = weight(offset) / widened[o];
      conv.weights.push_back(static_cast<std::int8_t>(beyond ? std::nearbyint(w) : w));
    }
  }
  std::optional<Draft> made = draft(node, std::move(conv), {input});
  if (!made || (layer.bias && !add_bias(node, *layer.bias, *made))) return std::nullopt;
  // A bias in the unit of the file's sums.
  const bool own_unit = layer.bias && !layer.bias->is_float() && layer.bias->scales.empty();
  for (std::size_t o = 0; own_unit && o < out; ++o) {
    if (widened[o] == 1) continue;
    std::int32_t& bias = std::get<ir::Conv2D>(made->params).bias[o];
    const double units = bias / widened[o];
    bias = 0;
    shift_bias(*made, o, units);
  }
  made->origin = {layer.out_step, {offsets.begin(), offsets.end()}};
  return made;
}

std::optional<Draft> GraphBuilder::convolution(const Where& node, Layer layer, const Operand& x,
                                               ImageAxes axes) {
  Image image;
  const auto offsets = convolution_offsets(node, layer, x, axes, image);
  if (!offsets) return std::nullopt;
  std::optional<Draft> made = make_conv(node, layer, *offsets, image.tensor);
  if (made) made->view = arranged(made->shape, image.turned, axes);
  return made;
}

std::optional<Draft> GraphBuilder::fully_connected(const Where& node, const Layer& layer,
                                                   const Operand& x) {
  Layer whole = layer;
  Operand own = x;
  const auto offsets = feature_offsets(node, whole, own);
  if (!offsets) return std::nullopt;
  std::optional<Draft> made = make_conv(node, whole, *offsets, own.tensor);
  if (made) made->view = View::row_major({layer.out});
  return made;
}

bool GraphBuilder::check_bias(const Where& node, const Numbers& bias, std::size_t out) {
  if (bias.count() != 1 && bias.count() != out) {
    return fail(node,
                fmt::format("its bias of {} does not fit {} output channels", bias.count(), out),
                kDamagedNext);
  }
  for (const float b : bias.floats) {
    if (!std::isfinite(b)) {
      return fail(node, "a bias is not a finite number", "train the model again");
    }
  }
  return true;
}

// Rounds the bias once, however many numbers it takes in.
void GraphBuilder::shift_bias(Draft& draft, std::size_t channel, double units) {
  auto& conv = std::get<ir::Conv2D>(draft.params);
  draft.rests.resize(conv.bias.size(), 0);
  const double exact = units + draft.rests[channel];
  const std::int32_t rounded = round_to_int32(exact);
  draft.rests[channel] = std::abs(exact) < INT32_MAX ? exact - rounded : 0;
  conv.bias[channel] = ir::saturating_add(conv.bias[channel], rounded);
}

bool GraphBuilder::add_bias(const Where& node, const Numbers& bias, Draft& draft) {
  auto& conv = std::get<ir::Conv2D>(draft.params);
  if (!check_bias(node, bias, conv.bias.size())) return false;
  if (draft.numbers) {
    ChannelNumbers shift{.factors = {1.0F}, .offsets = {}};
    for (std::size_t i = 0; i < bias.count(); ++i) {
      shift.offsets.push_back(static_cast<float>(bias.real(i, i)));
    }
    draft.numbers->push_back(std::move(shift));
    return true;
  }
  const double input_scale = tensor(draft.inputs[0]).quantization.scale;
  for (std::size_t o = 0; o < conv.bias.size(); ++o) {
    const double unit = input_scale * conv.weight_scales[o];
    const std::size_t i = bias.count() == 1 ? 0 : o;
    const bool same_unit =
        !bias.is_float() &&
        (bias.scales.empty() ||
         (bias.zero(i) == 0 && std::abs(bias.scale(i) - unit) <= kBiasScaleTolerance * unit));
    if (same_unit) {
      conv.bias[o] = ir::saturating_add(conv.bias[o], bias.integers[i]);
    } else {
      shift_bias(draft, o, bias.real(i, i) / unit);
    }
  }
  return true;
}

bool GraphBuilder::scale_channels(const Where& node, ChannelNumbers numbers, Draft& draft) {
  auto& conv = std::get<ir::Conv2D>(draft.params);
  const std::size_t out = conv.bias.size();
  const std::size_t each = conv.weights.size() / out;
  const auto fit = [out](const std::vector<float>& values) {
    return values.size() == 1 || values.size() == out;
  };
  if (!fit(numbers.factors) || !fit(numbers.offsets)) {
    return fail(node,
                fmt::format("its {} factors and {} offsets do not fit {} output channels",
                            numbers.factors.size(), numbers.offsets.size(), out),
                kDamagedNext);
  }
  for (std::size_t o = 0; o < out; ++o) {
    const double factor = numbers.factor(o);
    const double offset = numbers.offset(o);
    const auto scale = static_cast<float>(conv.weight_scales[o] * std::abs(factor));
    const bool usable = factor == 0 || draft.numbers ? std::isfinite(factor) : usable_scale(scale);
    if (!usable || !std::isfinite(offset)) {
      return fail(node, fmt::format("scales a channel by {}, offset {}", factor, offset),
                  "fold it into the layer before it, ahead of quantisation");
    }
    const auto* first = conv.weights.data() + o * each;
    if (!draft.numbers && factor < 0 && std::count(first, first + each, -128) > 0) {
      return fail(node, "turns a weight of -128 around, and int8 ends at 127",
                  "fold it into the layer before it, ahead of quantisation");
    }
  }
  if (draft.numbers) {
    draft.numbers->push_back(std::move(numbers));
    return true;
  }
  const double input_scale = tensor(draft.inputs[0]).quantization.scale;
  draft.rests.resize(out, 0);
  for (std::size_t o = 0; o < out; ++o) {
    const double factor = numbers.factor(o);
    if (factor < 0) {
      conv.bias[o] = static_cast<std::int32_t>(-std::max<std::int64_t>(conv.bias[o], -INT32_MAX));
      draft.rests[o] = -draft.rests[o];
      for (std::size_t i = 0; i < each; ++i) {
        conv.weights[o * each + i] = static_cast<std::int8_t>(-conv.weights[o * each + i]);
      }
    }
    if (factor == 0) {
      std::fill_n(conv.weights.begin() + static_cast<std::ptrdiff_t>(o * each), each,
                  std::int8_t{0});
      conv.bias[o] = 0;
      draft.rests[o] = 0;
    } else {
      conv.weight_scales[o] = static_cast<float>(conv.weight_scales[o] * std::abs(factor));
    }
    shift_bias(draft, o, numbers.offset(o) / (input_scale * conv.weight_scales[o]));
  }
  return true;
}

// A depthwise 1x1 convolution that changes nothing.
std::optional<Draft> GraphBuilder::per_channel(const Where& node, const Operand& x) {
  if (!unpadded(node, x)) return std::nullopt;
  const std::optional<Operand> own = settled(node, x);
  if (!own) return std::nullopt;
  const int channels = tensor(own->tensor).shape.channels;
  const auto each = static_cast<std::size_t>(channels);
  ir::Conv2D conv{.window = {},
                  .in_channels = channels,
                  .out_channels = channels,
                  .groups = channels,
                  .weights = std::vector<std::int8_t>(each, 64),
                  .weight_scales = std::vector<float>(each, 1.0F / 64),
                  .bias = std::vector<std::int32_t>(each, 0)};
  std::optional<Draft> made = draft(node, std::move(conv), {own->tensor});
  if (made) made->view = own->view;
  return made;
}

std::optional<Draft> GraphBuilder::scale_tensor(const Where& node, const Operand& x,
                                                ChannelNumbers numbers, ir::HalfRounding rounding) {
  std::optional<Draft> made = per_channel(node, x);
  if (!made) return std::nullopt;
  made->rounding = rounding;
  made->numbers.emplace();
  if (!scale_channels(node, std::move(numbers), *made)) return std::nullopt;
  return made;
}

// The weights of a layer of numbers.
void GraphBuilder::fit_numbers(Draft& draft, const ir::Quantization& to, int low, int high) {
  auto& conv = std::get<ir::Conv2D>(draft.params);
  const ir::Quantization from = tensor(draft.inputs[0]).quantization;
  for (std::size_t c = 0; c < conv.bias.size(); ++c) {
    ir::Curve curve = ir::identity(from);
    double factor = 1;
    double offset = 0;
    for (const ChannelNumbers& numbers : *draft.numbers) {
      curve = numbers.applied(curve, c);
      factor *= numbers.factor(c);
      offset = offset * numbers.factor(c) + numbers.offset(c);
    }
    std::optional<ChannelLine> line;
    if (curve.finite()) {
      // What does not compute in floats computes in integers.
      ir::Lookup table = draft.rounding == ir::HalfRounding::kToEven
                             ? ir::quantized(curve, from, to, draft.rounding)
                             : line_table(factor, offset, from, to);
      ir::clamp(table, low, high);
      line = fit_line(table.outputs, factor, offset, from, to, low, high);
    }
    if (!line) {
      fail(draft.node,
           fmt::format("channel {}, x * {} + {} between scales {} and {}, is not exact in integers",
                       c, factor, offset, from.scale, to.scale),
           "fold it into the layer before it, ahead of quantisation");
      return;
    }
    conv.weights[c] = line->weight;
    conv.weight_scales[c] = line->scale;
    conv.bias[c] = line->bias;
  }
}

// ------------------------------------------------------------------------------------------------
// Sums, products, functions and changes of quantisation

std::optional<Draft> GraphBuilder::add(const Where& node, const Operand& a, const Operand& b) {
  if (!unpadded(node, a) || !unpadded(node, b)) return std::nullopt;
  const std::optional<Operand> x = settled(node, a);
  const std::optional<Operand> y = settled(node, b);
  if (!x || !y) return std::nullopt;
  const Dims dims = x->view.dims();
  if (dims != y->view.dims()) {
    return refuse(node,
                  fmt::format("adds {} and {}; broadcasting is not supported", batch_text(dims),
                              batch_text(y->view.dims())),
                  "add tensors of equal shape");
  }
  // Equal dimensions over memory of another order would pair other elements.
  if (x->view.flat() != y->view.flat() || !(tensor(x->tensor).shape == tensor(y->tensor).shape)) {
    return refuse(node,
                  fmt::format("adds two tensors of {} whose elements lie in different orders",
                              batch_text(dims)),
                  "add them in front of transpositions and changes of shape");
  }
  std::optional<Draft> made = draft(node, ir::Add{}, {x->tensor, y->tensor});
  if (made) made->view = x->view;
  return made;
}

std::optional<Draft> GraphBuilder::multiply(const Where& node, const Operand& a, const Operand& b) {
  if (!unpadded(node, a) || !unpadded(node, b)) return std::nullopt;
  std::optional<Operand> x = settled(node, once(a));
  std::optional<Operand> y = settled(node, once(b));
  if (!x || !y) return std::nullopt;
  const bool gate_first = x->view.elements() < y->view.elements();
  if (gate_first) std::swap(x, y);
  const Dims& repeated = gate_first ? a.repeated : b.repeated;
  if (!(gate_first ? b : a).repeated.empty() || !broadcasts(repeated, x->view.dims())) {
    return refuse(node,
                  fmt::format("multiplies {} and {}, repeated to more than the other has",
                              batch_text(x->view.dims()), batch_text(y->view.dims())),
                  kRepeatedNext);
  }
  const ir::Shape& shape = tensor(x->tensor).shape;
  const ir::Shape& other = tensor(y->tensor).shape;
  const auto refused = [&] {
    return refuse(
        node,
        fmt::format("multiplies {} and {}", batch_text(x->view.dims()), batch_text(y->view.dims())),
        "multiply tensors of one shape in one order, or one with a number a channel");
  };
  if (!(shape == other) && other.channels == 1 && other.height == shape.height &&
      other.width == shape.width) {
    return refuse(
        node,
        fmt::format("multiplies {} by a gate of {}, one number a pixel", batch_text(x->view.dims()),
                    batch_text(y->view.dims())),
        "gates with a number a channel are supported, gates over space are not; train the "
        "network without it");
  }
  bool fits = false;
  if (shape == other) {
    fits = x->view.dims() == y->view.dims() && x->view.flat() == y->view.flat();
  } else if (other == ir::Shape{1, 1, shape.channels} && x->view.rank() >= y->view.rank()) {
    // Axes broadcast from the last one; all but that of the channels have one element.
    const Axis channels = View({{{shape.channels, 1}}}).axis(0);
    const std::size_t missing = x->view.rank() - y->view.rank();
    std::size_t at = 0;
    while (at < y->view.rank() && y->view.axis(at).empty()) ++at;
    fits = shape.channels == 1 || (at < y->view.rank() && x->view.axis(missing + at) == channels &&
                                   y->view.axis(at) == channels);
  }
  if (!fits) return refused();
  std::optional<Draft> made = draft(node, ir::Mul{}, {x->tensor, y->tensor});
  if (made) made->view = x->view;
  return made;
}

std::optional<Draft> GraphBuilder::concat(const Where& node, std::span<const Operand> operands,
                                          std::size_t axis, ir::HalfRounding rounding) {
  std::vector<ir::TensorId> inputs;
  std::vector<View> views;  // a pixel being one element
  for (const Operand& operand : operands) {
    if (!unpadded(node, operand)) return std::nullopt;
    const std::optional<Operand> own = settled(node, operand);
    if (!own) return std::nullopt;
    const std::int64_t channels = tensor(own->tensor).shape.channels;
    std::vector<Axis> axes;
    for (std::size_t i = 0; i < own->view.rank(); ++i) {
      axes.push_back(i == axis ? Axis{} : own->view.axis(i));
      for (Run& run : axes.back())
        run.stride = run.stride % channels == 0 ? run.stride / channels : 0;
    }
    const bool along = axis < own->view.rank() &&
                       own->view.axis(axis) == View({{{channels, 1}}}).axis(0) &&
                       own->view.elements() == tensor(own->tensor).shape.elements();
    views.emplace_back(std::move(axes));
    if (!along || !(views.back() == views.front())) {
      return refuse(
          node,
          fmt::format("joins {} along axis {}, which is not that of the channels of "
                      "tensors of one order",
                      batch_text(own->view.dims()), axis + 1),
          "join branches along channels, in front of transpositions and changes of shape");
    }
    inputs.push_back(own->tensor);
  }
  if (operands.size() == 1) {
    return function(node, operands[0], ir::identity(tensor(inputs[0]).quantization), rounding);
  }
  std::optional<Draft> made = draft(node, ir::Concat{}, std::move(inputs));
  if (!made) return std::nullopt;
  std::vector<Axis> axes;
  for (std::size_t i = 0; i < views.front().rank(); ++i) {
    axes.push_back(views.front().axis(i));
    for (Run& run : axes.back()) run.stride *= made->shape.channels;
  }
  axes[axis] = {{made->shape.channels, 1}};
  made->view = View(std::move(axes));
  made->rounding = rounding;
  return made;
}

std::optional<Draft> GraphBuilder::function(const Where& node, const Operand& x, MakeTable table) {
  if (!unpadded(node, x)) return std::nullopt;
  const std::optional<Operand> own = settled(node, once(x));
  if (!own) return std::nullopt;
  std::optional<Draft> made = draft(node, ir::Lookup{}, {own->tensor});
  if (!made) return std::nullopt;
  made->view = own->view;
  made->repeated = x.repeated;
  made->table = std::move(table);
  return made;
}

std::optional<Draft> GraphBuilder::function(const Where& node, const Operand& x,
                                            const ir::Curve& curve, ir::HalfRounding rounding) {
  if (!curve.finite()) {
    return refuse(node, "its result is not a finite number for some inputs",
                  "check the constants around it");
  }
  const ir::Quantization from = tensor(x.tensor).quantization;
  return function(node, x, [curve, from, rounding](const ir::Quantization& to) {
    return ir::quantized(curve, from, to, rounding);
  });
}

std::optional<Draft> GraphBuilder::rescale(const Where& node, const Operand& x) {
  if (!unpadded(node, x)) return std::nullopt;
  const std::optional<Operand> own = settled(node, once(x));
  if (!own) return std::nullopt;
  std::optional<Draft> made = draft(node, ir::Rescale{}, {own->tensor});
  if (!made) return std::nullopt;
  made->view = own->view;
  made->repeated = x.repeated;
  return made;
}

std::optional<Draft> GraphBuilder::leaky_channels(const Where& node, const Operand& operand,
                                                  std::span<const double> slopes) {
  const std::optional<Operand> own = settled(node, operand);
  if (!own) return std::nullopt;
  const Operand& x = *own;
  const auto channels = static_cast<std::size_t>(tensor(x.tensor).shape.channels);
  if (slopes.size() != channels) {
    return refuse(node,
                  fmt::format("its {} slopes do not fit {} channels", slopes.size(), channels),
                  kDamagedNext);
  }
  for (const double slope : slopes) {
    if (slope != 0 && !usable_scale(static_cast<float>(std::abs(slope) / 64))) {
      return refuse(node, fmt::format("its slope {} is out of range", slope), kDamagedNext);
    }
  }
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  ir::TensorId halves[2];
  for (const bool above : {true, false}) {
    std::optional<Draft> half = rescale(node, x);
    if (!half) return std::nullopt;
    half->clip(above ? 0 : -kInfinity, above ? kInfinity : 0);
    half->node.name += above ? "_above" : "_below";
    const std::string name = half->node.name;
    halves[above ? 0 : 1] = finish(*std::move(half), tensor(x.tensor).quantization, name).tensor;
  }
  std::optional<Draft> made = draft(node, ir::Add{}, {halves[0], halves[1]});
  if (!made) return std::nullopt;
  made->view = x.view;
  made->slopes.assign(slopes.begin(), slopes.end());
  return made;
}

ir::TensorId GraphBuilder::write(const std::string& op_name, ir::OpParams params,
                                 std::vector<ir::TensorId> inputs, ir::TensorId output, int low,
                                 int high, Origin origin) {
  graph_.ops.push_back({op_name, std::move(params), std::move(inputs), output, low, high});
  origins_.push_back(std::move(origin));
  return output;
}

// The operand times the slopes of its channels, in the quantisation of the sum.
void GraphBuilder::scale_operand(const Draft& draft, const ir::Quantization& to,
                                 ir::TensorId& operand) {
  const int channels = draft.shape.channels;
  ir::Conv2D conv{.window = {},
                  .in_channels = channels,
                  .out_channels = channels,
                  .groups = channels,
                  .weights = {},
                  .weight_scales = {},
                  .bias = std::vector<std::int32_t>(draft.slopes.size(), 0)};
  for (const double slope : draft.slopes) {
    conv.weights.push_back(static_cast<std::int8_t>(slope == 0 ? 0 : slope > 0 ? 64 : -64));
    conv.weight_scales.push_back(slope == 0 ? 1.0F : static_cast<float>(std::abs(slope) / 64));
  }
  const std::string name = draft.node.name + "_scaled";
  const ir::TensorId scaled = add_tensor(name, draft.shape, to, -128);
  operand = write(printable(name), std::move(conv), {operand}, scaled, -128, 127);
}

// Operands of a concatenation in its quantisation.
void GraphBuilder::requantise_operands(const Draft& draft, const ir::Quantization& to,
                                       std::vector<ir::TensorId>& operands) {
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const ir::Quantization from = tensor(operands[i]).quantization;
    if (from == to) continue;
    const ir::Lookup table = ir::quantized(ir::identity(from), from, to, draft.rounding);
    const std::string name = fmt::format("{}_operand{}", draft.node.name, i);
    const ir::TensorId moved =
        add_tensor(name, tensor(operands[i]).shape, to, table.outputs.front());
    operands[i] = write(printable(name), table, {operands[i]}, moved, -128, 127);
  }
}

Operand GraphBuilder::finish(Draft draft, const ir::Quantization& quantization,
                             const std::string& name) {
  const std::string op_name = printable(draft.node.name);
  // Rounding is monotonic, so clipping before it and clamping behind it are the same.
  const auto bound = [&](double real) {
    const double q = std::nearbyint(real / quantization.scale) + quantization.zero_point;
    return static_cast<int>(std::clamp<double>(q, -128, 127));
  };
  const auto made = [&](ir::TensorId output) {
    Operand operand{output, std::move(draft.view), {}};
    operand.repeated = std::move(draft.repeated);
    return operand;
  };
  int low = bound(draft.low);
  int high = bound(draft.high);
  if (draft.table) {
    ir::Lookup table = draft.table(quantization);
    ir::clamp(table, low, high);
    low = *std::min_element(table.outputs.begin(), table.outputs.end());
    const ir::TensorId output = add_tensor(name, draft.shape, quantization, low);
    write(op_name, table, std::move(draft.inputs), output, -128, 127);
    return made(output);
  }
  if (draft.numbers) fit_numbers(draft, quantization, low, high);
  if (!draft.slopes.empty()) scale_operand(draft, quantization, draft.inputs[1]);
  const bool join = std::holds_alternative<ir::Concat>(draft.params);
  if (join) requantise_operands(draft, quantization, draft.inputs);
  const ir::Quantization from = tensor(draft.inputs[0]).quantization;
  const bool maximum = std::holds_alternative<ir::MaxPool>(draft.params);
  const bool mean = std::holds_alternative<ir::AveragePool>(draft.params) && from == quantization;
  if (maximum || mean || join) {
    // Such an op neither rescales nor clamps. Where more is asked for, that is an op of its own; a
    // maximum of rounded values is the rounded maximum.
    int lowest = 127;
    for (const ir::TensorId id : draft.inputs) {
      lowest = std::min(lowest, lowest_[static_cast<std::size_t>(id)]);
    }
    if (from == quantization && low <= lowest && high == 127) {
      const ir::TensorId output = add_tensor(name, draft.shape, quantization, lowest);
      write(op_name, std::move(draft.params), std::move(draft.inputs), output, -128, 127);
      return made(output);
    }
    const ir::TensorId pooled = add_tensor(draft.node.name + "_pooled", draft.shape, from, lowest);
    write(op_name, std::move(draft.params), draft.inputs, pooled, -128, 127);
    draft.params = ir::Rescale{};
    draft.inputs = {pooled};
  }
  const ir::TensorId output = add_tensor(name, draft.shape, quantization, low);
  write(op_name, std::move(draft.params), std::move(draft.inputs), output, low, high,
        std::move(draft.origin));
  return made(output);
}

// ------------------------------------------------------------------------------------------------
// The head

bool GraphBuilder::place_head(const Where& node, const Layer& layer,
                              std::span<const std::size_t> offsets, ir::TensorId features) {
  const ir::Shape& shape = tensor(features).shape;
  const auto out = static_cast<std::size_t>(layer.out);
  if (!claim(node, static_cast<std::int64_t>(out * offsets.size()))) return false;
  for (const float w : layer.weights.floats) {
    if (!std::isfinite(w)) {
      return fail(node, "a weight is not a finite number", "train the model again");
    }
  }
  ir::Head& head = graph_.head;
  head.classes = layer.out;
  head.features = static_cast<int>(shape.elements());
  head.weights.reserve(out * offsets.size());
  for (std::size_t o = 0; o < out; ++o) {
    for (const std::size_t offset : offsets) {
      head.weights.push_back(
          static_cast<float>(layer.weights.real(o * layer.out_step + offset, o)));
    }
  }
  head.bias.assign(out, 0.0F);
  head_origin_ = {layer.out_step, {offsets.begin(), offsets.end()}};
  graph_.features = features;
  if (!layer.bias) return true;
  Numbers bias = *layer.bias;
  std::vector<float> units;
  if (!bias.is_float() && bias.scales.empty()) {
    // Integers in the unit of the accumulator.
    for (std::size_t o = 0; o < out; ++o) {
      units.push_back(static_cast<float>(static_cast<double>(tensor(features).quantization.scale) *
                                         layer.weights.scale(o)));
    }
    bias.scales = units;
  }
  return add_head_bias(node, bias);
}

bool GraphBuilder::head_convolution(const Where& node, Layer layer, const Operand& x,
                                    ImageAxes axes) {
  Image image;
  const auto offsets = convolution_offsets(node, layer, x, axes, image);
  if (!offsets) return false;
  const ir::Shape& shape = tensor(image.tensor).shape;
  const ir::Window& w = layer.window;
  if (layer.groups != 1 || w.kernel_h != shape.height || w.kernel_w != shape.width ||
      w.pad_top != 0 || w.pad_left != 0 || w.pad_bottom != 0 || w.pad_right != 0) {
    return fail(node, "the last layer is not a classifier, its output is an image",
                "end the network in global pooling and a fully connected layer or a 1x1 "
                "convolution");
  }
  if (layer.in_per_group != shape.channels) {
    return fail(node,
                fmt::format("its weights expect {} input channels, the input has {}",
                            layer.in_per_group, shape.channels),
                kDamagedNext);
  }
  return place_head(node, layer, *offsets, image.tensor);
}

bool GraphBuilder::head_fully_connected(const Where& node, const Layer& layer, const Operand& x) {
  Layer whole = layer;
  Operand own = x;
  const auto offsets = feature_offsets(node, whole, own);
  return offsets && place_head(node, whole, *offsets, own.tensor);
}

bool GraphBuilder::head_identity(const Where& node, const Operand& operand) {
  const std::optional<Operand> own = settled(node, operand);
  if (!own) return false;
  const Operand& x = *own;
  const ir::Shape& shape = tensor(x.tensor).shape;
  if (shape.pixels() != 1) {
    return fail(node, "the scores are an image, not one number a class",
                "end the network in global pooling");
  }
  const auto classes = static_cast<std::size_t>(shape.channels);
  if (!claim(node, static_cast<std::int64_t>(classes * classes))) return false;
  ir::Head& head = graph_.head;
  head.classes = head.features = shape.channels;
  head.weights.assign(classes * classes, 0.0F);
  for (std::size_t c = 0; c < classes; ++c) head.weights[c * classes + c] = 1.0F;
  head.bias.assign(classes, 0.0F);
  graph_.features = x.tensor;
  return true;
}

bool GraphBuilder::add_head_bias(const Where& node, const Numbers& bias) {
  if (!check_bias(node, bias, graph_.head.bias.size())) return false;
  for (std::size_t o = 0; o < graph_.head.bias.size(); ++o) {
    const std::size_t i = bias.count() == 1 ? 0 : o;
    graph_.head.bias[o] += static_cast<float>(bias.real(i, i));
  }
  return true;
}

void GraphBuilder::split_logistic_head() {
  ir::Head& head = graph_.head;
  if (head.classes != 1) return;
  // softmax(0, x) = (1 - sigmoid(x), sigmoid(x)).
  head.classes = 2;
  head.weights.insert(head.weights.begin(), static_cast<std::size_t>(head.features), 0.0F);
  head.bias.insert(head.bias.begin(), 0.0F);
}

}  // namespace espalier::import_detail
