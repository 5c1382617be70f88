// CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "tflite/context.hpp"

namespace espalier::tflite_detail {
namespace {

using import_detail::extent_in_range;
using import_detail::Layer;

// What a layer reads besides its options.
struct Inputs {
  Numbers weights;
  std::optional<Numbers> bias;
  Operand x;
  std::optional<Spread> spread;  ///< x lies behind SPACE_TO_BATCH_ND
};

// Takes the crops of the BATCH_TO_SPACE_ND behind a convolution off the padding in front of it, and
// sets its dilation; false after a diagnostic.
bool unspread(Context& c, const Node& node, const Spread& spread, Operand& x, ir::Window& window) {
  constexpr std::string_view kNext = "convert the model again with dilation_rate in the layer";
  int made = node.output();
  for (const BuiltinOperator code : {BuiltinOperator::RESHAPE, BuiltinOperator::SQUEEZE}) {
    const tflite::Operator* op = c.reader(made, code);
    if (op != nullptr && op->outputs()->size() > 0) made = op->outputs()->Get(0);
  }
  const tflite::Operator* back = c.reader(made, BuiltinOperator::BATCH_TO_SPACE_ND);
  if (back == nullptr || window.stride_h != 1 || window.stride_w != 1) {
    c.refuse(node, "stands behind SPACE_TO_BATCH_ND without a BATCH_TO_SPACE_ND of its own", kNext);
    return false;
  }
  const Node behind{*back, node.index, BuiltinOperator::BATCH_TO_SPACE_ND, node.where};
  const std::vector<std::int32_t>* block = c.integers(behind, 1, "the block behind it");
  const std::vector<std::int32_t>* crops = c.integers(behind, 2, "its crops");
  if (block == nullptr || crops == nullptr) return false;
  std::vector<std::int32_t> blocks = *block;
  std::vector<std::int32_t> cuts = *crops;
  if (blocks.size() == 1) {
    blocks.insert(blocks.begin(), 1);
    cuts.insert(cuts.begin(), {0, 0});
  }
  if (blocks != std::vector<std::int32_t>{spread.rows, spread.columns} || cuts.size() != 4) {
    c.refuse(node, "stands between blocks that differ", kNext);
    return false;
  }
  for (std::size_t axis = 0; axis < 2; ++axis) {
    import_detail::Pads& pads = x.pads[axis];
    pads.before -= cuts[2 * axis];
    pads.after -= cuts[2 * axis + 1];
    if (cuts[2 * axis] < 0 || cuts[2 * axis + 1] < 0 || pads.before < 0 || pads.after < 0) {
      c.refuse(node, "crops more than was padded", kNext);
      return false;
    }
  }
  const std::int64_t rows = window.kernel_h > 1 ? std::int64_t{window.dilation_h} * spread.rows : 1;
  const std::int64_t columns =
      window.kernel_w > 1 ? std::int64_t{window.dilation_w} * spread.columns : 1;
  if (!extent_in_range(rows) || !extent_in_range(columns)) {
    c.refuse(node, fmt::format("its dilation of {}x{} is out of range", rows, columns),
             kDamagedNext);
    return false;
  }
  window.dilation_h = static_cast<int>(rows);
  window.dilation_w = static_cast<int>(columns);
  return true;
}

// What the two kinds of convolution have in common; the layer's steps and channels are theirs.
template <typename Options>
Value convolve(Context& c, const Node& node, const Options& options, Layer layer,
               const Inputs& inputs) {
  Operand x = inputs.x;
  if (!extent_in_range(options.stride_h()) || !extent_in_range(options.stride_w()) ||
      !extent_in_range(options.dilation_h()) || !extent_in_range(options.dilation_w())) {
    return c.refuse(node, "a stride or a dilation is out of range", kDamagedNext);
  }
  // Of one tap it says nothing.
  if (layer.window.kernel_h > 1) layer.window.dilation_h = options.dilation_h();
  if (layer.window.kernel_w > 1) layer.window.dilation_w = options.dilation_w();
  layer.window.stride_h = options.stride_h();
  layer.window.stride_w = options.stride_w();
  if (inputs.spread) {
    if (options.padding() == tflite::Padding::SAME) {
      return c.refuse(node, "pads behind SPACE_TO_BATCH_ND", "convert the model again");
    }
    if (!unspread(c, node, *inputs.spread, x, layer.window)) return Unknown{};
    return c.finish_spread(node, c.builder.convolution(node.where, layer, x, kChannelsLast),
                           options.activation());
  }
  const std::optional<ir::Shape> image = c.builder.extents(node.where, x, kChannelsLast);
  if (!image) return Unknown{};
  if (options.padding() == tflite::Padding::SAME) {
    import_detail::pad_same(layer.window, image->height, image->width, true);
  }
  if (c.is_head(node)) {
    return c.logits(node, c.builder.head_convolution(node.where, layer, x, kChannelsLast),
                    options.activation());
  }
  return c.finish(node, c.builder.convolution(node.where, layer, x, kChannelsLast),
                  options.activation());
}

// Weights of four positive dimensions; empty after a diagnostic.
Dims weight_dims(Context& c, const Node& node) {
  const int index = node.input(1);
  Dims dims = index < 0 ? Dims{} : c.dims(index);
  if (dims.size() == 4 && std::all_of(dims.begin(), dims.end(), extent_in_range)) return dims;
  c.refuse(node, fmt::format("its weights of [{}] have no four dimensions", fmt::join(dims, ",")),
           kDamagedNext);
  return {};
}

// The bias, if there is one; false after a diagnostic.
bool read_bias(Context& c, const Node& node, std::optional<Numbers>& bias) {
  if (node.input(2) < 0) return true;
  bias = c.numbers(node, 2, "its bias", 0);
  return bias.has_value();
}

// Everything is looked at, so that all that is wrong is said at once. `axis` is that of the outputs
// in the weights.
std::optional<Inputs> read_inputs(Context& c, const Node& node, int axis) {
  std::optional<Numbers> weights = c.numbers(node, 1, "its weights", axis);
  std::optional<Numbers> bias;
  const bool readable = read_bias(c, node, bias);
  const auto* found = std::get_if<Spread>(&c.value(node.input(0)));
  const std::optional<Spread> spread =
      found == nullptr || found->convolved ? std::nullopt : std::optional<Spread>(*found);
  const bool rows = node.code == BuiltinOperator::FULLY_CONNECTED;
  std::optional<Operand> x = spread ? std::optional(spread->operand) : c.activation(node, 0, rows);
  if (!weights || !readable || !x) return std::nullopt;
  return Inputs{*std::move(weights), std::move(bias), *std::move(x), spread};
}

// Weights are [out,height,width,in].
Value convolution(Context& c, const Node& node) {
  const std::optional<Inputs> inputs = read_inputs(c, node, 0);
  const auto* options = node.op.options_as_Conv2DOptions();
  if (!inputs) return Unknown{};
  const Dims dims = weight_dims(c, node);
  if (dims.empty()) return Unknown{};
  if (options == nullptr) return c.refuse(node, "its options are missing", kDamagedNext);
  const Dims in = inputs->x.view.dims();
  const std::int64_t groups = in.empty() ? 1 : in.back() / dims[3];
  if (!extent_in_range(groups) || !extent_in_range(groups * dims[3])) {
    return c.refuse(node, fmt::format("its weights expect {} input channels", dims[3]),
                    kDamagedNext);
  }
  Layer layer{.out = static_cast<int>(dims[0]),
              .in_per_group = static_cast<int>(dims[3]),
              .groups = static_cast<int>(groups),
              .out_step = static_cast<std::size_t>(dims[1] * dims[2] * dims[3]),
              .row_step = static_cast<std::size_t>(dims[2] * dims[3]),
              .column_step = static_cast<std::size_t>(dims[3]),
              .channel_step = 1,
              .weights = inputs->weights,
              .bias = inputs->bias};
  layer.window.kernel_h = static_cast<int>(dims[1]);
  layer.window.kernel_w = static_cast<int>(dims[2]);
  return convolve(c, node, *options, layer, *inputs);
}

// Weights are [1,height,width,out], the outputs of an input channel side by side.
Value depthwise(Context& c, const Node& node) {
  const std::optional<Inputs> inputs = read_inputs(c, node, 3);
  const auto* options = node.op.options_as_DepthwiseConv2DOptions();
  if (!inputs) return Unknown{};
  const Dims dims = weight_dims(c, node);
  if (dims.empty()) return Unknown{};
  if (options == nullptr) return c.refuse(node, "its options are missing", kDamagedNext);
  const Dims in = inputs->x.view.dims();
  if (dims[0] != 1 || in.empty() || dims[3] % in.back() != 0) {
    return c.refuse(node,
                    fmt::format("its weights of [{}] do not fit an input of {}",
                                fmt::join(dims, ","), import_detail::batch_text(in)),
                    kDamagedNext);
  }
  Layer layer{.out = static_cast<int>(dims[3]),
              .in_per_group = 1,
              .groups = static_cast<int>(in.back()),
              .out_step = 1,
              .row_step = static_cast<std::size_t>(dims[2] * dims[3]),
              .column_step = static_cast<std::size_t>(dims[3]),
              .channel_step = 1,
              .weights = inputs->weights,
              .bias = inputs->bias};
  layer.window.kernel_h = static_cast<int>(dims[1]);
  layer.window.kernel_w = static_cast<int>(dims[2]);
  return convolve(c, node, *options, layer, *inputs);
}

// Weights are [out,in]; what comes in is a matrix of rows of `in`, whatever its dimensions.
Value fully_connected(Context& c, const Node& node) {
  const std::optional<Inputs> inputs = read_inputs(c, node, 0);
  const auto* options = node.op.options_as_FullyConnectedOptions();
  if (!inputs) return Unknown{};
  if (options == nullptr || options->weights_format() != 0) {
    return c.refuse(node, "its weights are in a shuffled format", "convert the model again");
  }
  const Dims dims = c.dims(node.input(1));
  if (dims.size() != 2 || !std::all_of(dims.begin(), dims.end(), extent_in_range)) {
    return c.refuse(node, fmt::format("its weights of [{}] are not a matrix", fmt::join(dims, ",")),
                    kDamagedNext);
  }
  const Layer layer{.out = static_cast<int>(dims[0]),
                    .in_per_group = static_cast<int>(dims[1]),
                    .out_step = static_cast<std::size_t>(dims[1]),
                    .channel_step = 1,
                    .weights = inputs->weights,
                    .bias = inputs->bias};
  const Dims in = inputs->x.view.dims();
  if (inputs->x.view.elements() == dims[1]) {
    if (c.is_head(node)) {
      return c.logits(node, c.builder.head_fully_connected(node.where, layer, inputs->x),
                      options->activation());
    }
    return c.finish(node, c.builder.fully_connected(node.where, layer, inputs->x),
                    options->activation());
  }
  // The same matrix at every position: a 1x1 convolution.
  if (c.is_head(node) && !in.empty() && in.back() == dims[1]) {
    return c.refuse(node,
                    fmt::format("the last layer is not a classifier, it gives scores at every "
                                "position of {}",
                                import_detail::batch_text(in)),
                    "end the network in global pooling and a fully connected layer");
  }
  if ((in.size() != 2 && in.size() != 3) || in.back() != dims[1]) {
    return c.refuse(node,
                    fmt::format("its weights expect {} features, the input is {}", dims[1],
                                import_detail::batch_text(in)),
                    kDamagedNext);
  }
  Operand x = inputs->x;
  ImageAxes axes = kChannelsLast;
  if (in.size() == 2) {
    // Positions in one axis are those of a map, or of a series.
    const ir::Shape& map = c.builder.tensor(x.tensor).shape;
    std::optional<View> image = map.height == 1 || map.width == 1
                                    ? std::nullopt
                                    : x.view.reshaped({map.height, map.width, dims[1]});
    if (image) {
      x.view = *std::move(image);
    } else {
      axes = ImageAxes{.rows = -1, .columns = 0, .channels = 1};
    }
  }
  return c.finish(node, c.builder.convolution(node.where, layer, x, axes), options->activation());
}

}  // namespace

std::span<const Handler> layer_handlers() {
  static constexpr Handler kHandlers[]{{BuiltinOperator::CONV_2D, &convolution},
                                       {BuiltinOperator::DEPTHWISE_CONV_2D, &depthwise},
                                       {BuiltinOperator::FULLY_CONNECTED, &fully_connected}};
  return kHandlers;
}

}  // namespace espalier::tflite_detail
