// The builder's tensors: the network's input, views as images or features, channels taken out.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "graph_builder.hpp"

namespace espalier::import_detail {
namespace {

std::array<std::int64_t, 3> own_strides(const ir::Shape& shape) {
  return {std::int64_t{shape.width} * shape.channels, shape.channels, 1};
}

std::array<std::int64_t, 3> extents_of(const ir::Shape& shape) {
  return {shape.height, shape.width, shape.channels};
}

// The axis of a view, or one of extent 1.
Axis axis_of(const View& view, int i) {
  return i < 0 ? Axis{} : view.axis(static_cast<std::size_t>(i));
}

}  // namespace

ir::TensorId GraphBuilder::add_tensor(const std::string& name, const ir::Shape& shape,
                                      const ir::Quantization& quantization, int lowest) {
  graph_.tensors.push_back({printable(name), shape, quantization});
  lowest_.push_back(lowest);
  return static_cast<ir::TensorId>(graph_.tensors.size()) - 1;
}

ir::TensorId GraphBuilder::open_input(const std::string& name, const Dims& dims, ImageAxes axes,
                                      const ir::Quantization& quantization,
                                      ir::InputElement element) {
  graph_.input = add_tensor(name, ir::Shape{}, quantization, -128);
  graph_.input_format = {.dims = dims, .strides = {}, .element = element};
  input_dims_ = dims;
  input_axes_ = axes;
  return graph_.input;
}

void GraphBuilder::settle_input(const ir::Shape& shape,
                                const std::array<std::int64_t, 3>& strides) {
  graph_.tensors[static_cast<std::size_t>(graph_.input)].shape = shape;
  graph_.input_format.strides = strides;
  input_settled_ = true;
}

void GraphBuilder::close_input() {
  if (!has_input() || input_settled_) return;
  const View view = View::row_major(input_dims_);
  std::array<std::int64_t, 3> extents{1, 1, 1};
  std::array<std::int64_t, 3> strides{0, 0, 0};
  const std::array<int, 3> axes{input_axes_.rows, input_axes_.columns, input_axes_.channels};
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const Axis axis = axis_of(view, axes[i]);
    if (!axis.empty()) {
      extents[i] = axis[0].extent;
      strides[i] = axis[0].stride;
    }
  }
  settle_input(
      {static_cast<int>(extents[0]), static_cast<int>(extents[1]), static_cast<int>(extents[2])},
      strides);
}

// Views of the input count in the file's order until here, then in the tensor's.
std::optional<Operand> GraphBuilder::on_settled_input(const Where& node, Operand x) {
  if (!x.repeated.empty()) {
    return refuse(node,
                  fmt::format("reads a tensor of {} that is repeated to {}",
                              batch_text(x.view.dims()), batch_text(x.repeated)),
                  kRepeatedNext);
  }
  if (x.tensor != graph_.input || x.settled) return x;
  close_input();
  const ir::Shape& shape = tensor(x.tensor).shape;
  std::optional<View> view =
      x.view.moved(extents_of(shape), graph_.input_format.strides, own_strides(shape));
  if (!view) {
    return refuse(node,
                  fmt::format("sees the input as {}, other nodes as {}x{}x{}",
                              batch_text(x.view.dims()), shape.height, shape.width, shape.channels),
                  "let every reader of the input see it in one shape");
  }
  x.view = *std::move(view);
  x.settled = true;
  return x;
}

int GraphBuilder::channels_of(const Operand& x) const {
  return x.channels.empty() ? tensor(x.tensor).shape.channels : static_cast<int>(x.channels.size());
}

// What channels of the operand are in its tensor; nothing when they are all in order.
std::vector<int> GraphBuilder::composed(const Operand& x, std::span<const int> channels) const {
  std::vector<int> result(channels.begin(), channels.end());
  if (!x.channels.empty()) {
    for (int& channel : result) channel = x.channels[static_cast<std::size_t>(channel)];
  }
  std::vector<int> all(static_cast<std::size_t>(tensor(x.tensor).shape.channels));
  std::iota(all.begin(), all.end(), 0);
  return result == all ? std::vector<int>{} : result;
}

// Channels that a view shuffles: the same elements in a tensor that has them in the view's order.
Operand GraphBuilder::in_channel_order(Operand x) const {
  std::optional<ChannelWalk> walk = walk_channels(x.view, channels_of(x));
  if (!walk || std::is_sorted(walk->channels.begin(), walk->channels.end())) return x;
  x.channels = composed(x, walk->channels);
  x.view = std::move(walk->view);
  return x;
}

Operand GraphBuilder::written(Operand x) {
  if (x.channels.empty()) return x;
  const auto [known, added] = selections_.try_emplace({x.tensor, x.channels}, -1);
  if (added) {
    const ir::Tensor from = tensor(x.tensor);
    const std::string name = fmt::format("{}_channels{}", from.name, selections_.size());
    ir::Shape shape = from.shape;
    shape.channels = static_cast<int>(x.channels.size());
    known->second =
        add_tensor(name, shape, from.quantization, lowest_[static_cast<std::size_t>(x.tensor)]);
    write(printable(name), ir::Select{x.channels}, {x.tensor}, known->second, -128, 127);
  }
  x.tensor = known->second;
  x.channels.clear();
  return x;
}

std::optional<Operand> GraphBuilder::settled(const Where& node, Operand x) {
  std::optional<Operand> own = on_settled_input(node, std::move(x));
  if (own) own = written(in_channel_order(*std::move(own)));
  return own;
}

std::optional<View> GraphBuilder::reshaped(const Where& node, Operand& x, const Dims& dims) {
  if (!x.pads.empty() || !x.repeated.empty()) return std::nullopt;
  std::optional<Operand> own = on_settled_input(node, x);
  if (!own) return std::nullopt;
  x = in_channel_order(*std::move(own));
  return x.view.reshaped(dims);
}

std::optional<Operand> GraphBuilder::select(const Where& node, const Operand& x, std::size_t axis,
                                            std::span<const std::int64_t> indices) {
  if (!unpadded(node, x)) return std::nullopt;
  std::optional<Operand> own = on_settled_input(node, x);
  if (!own) return std::nullopt;
  const bool more = static_cast<std::int64_t>(indices.size()) > own->view.dims()[axis];
  std::optional<ChannelWalk> walk =
      more ? std::nullopt : walk_channels(own->view, channels_of(*own), axis, indices);
  if (!walk || indices.empty()) {
    return refuse(node,
                  fmt::format("takes {} elements of axis {} of {}, which is not one of channels",
                              indices.size(), axis + 1, batch_text(own->view.dims())),
                  "take channels apart, not rows, columns or samples");
  }
  std::vector<int> sorted = walk->channels;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
    return refuse(node, "takes a channel more than once",
                  "join the channels with themselves (Concat) instead");
  }
  own->channels = composed(*own, walk->channels);
  own->view = std::move(walk->view);
  return own;
}

std::optional<GraphBuilder::Image> GraphBuilder::image(const Where& node, Operand& x,
                                                       ImageAxes axes) {
  if (x.view.rank() != axes.rank()) {
    return refuse(
        node,
        fmt::format("reads a tensor of {}, which is not an image of {} axes and the batch",
                    batch_text(x.view.dims()), axes.rank()),
        "only a fully connected layer may follow a change of shape");
  }
  if (x.tensor == graph_.input && !input_settled_) {
    std::array<std::int64_t, 3> extents{1, 1, 1};
    std::array<std::int64_t, 3> strides{0, 0, 0};
    const std::array<int, 3> order{axes.rows, axes.columns, axes.channels};
    bool plain = true;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const Axis axis = axis_of(x.view, order[i]);
      if (axis.size() > 1) plain = false;
      if (axis.size() == 1) {
        extents[i] = axis[0].extent;
        strides[i] = axis[0].stride;
      }
    }
    if (plain) {
      settle_input({static_cast<int>(extents[0]), static_cast<int>(extents[1]),
                    static_cast<int>(extents[2])},
                   strides);
    }
  }
  std::optional<Operand> own = settled(node, std::move(x));
  if (!own) return std::nullopt;
  x = *std::move(own);
  const ir::Shape& shape = tensor(x.tensor).shape;
  for (const bool turn : {false, true}) {
    if (x.view == arranged(shape, turn, axes)) return Image{x.tensor, turn};
  }
  return refuse(node,
                fmt::format("reads {} of a tensor of {}x{}x{} as an image in another order",
                            batch_text(x.view.dims()), shape.height, shape.width, shape.channels),
                "only a fully connected layer may follow a change of shape");
}

View GraphBuilder::arranged(const ir::Shape& shape, bool turned, ImageAxes axes) {
  const std::array<std::int64_t, 3> strides = own_strides(shape);
  const Axis height{{shape.height, strides[0]}};
  const Axis width{{shape.width, strides[1]}};
  std::vector<Axis> arranged(axes.rank());
  const auto put = [&](int at, const Axis& axis) {
    if (at >= 0) arranged[static_cast<std::size_t>(at)] = axis;
  };
  put(axes.rows, turned ? width : height);
  put(axes.columns, turned ? height : width);
  put(axes.channels, {{shape.channels, strides[2]}});
  return View(std::move(arranged));
}

bool GraphBuilder::unpadded(const Where& node, const Operand& x) {
  if (x.pads.empty()) return true;
  return fail(node, "reads a padded tensor", "pad in front of convolutions and maximum pools only");
}

// Moves an operand's padding into a window, that of a maximum or of something that sees zeros.
bool GraphBuilder::take_pads(const Where& node, const Operand& x, ImageAxes axes,
                             ir::Window& window, bool maximum) {
  if (x.lowest_pads && !maximum) {
    return fail(node, "reads a tensor that is padded with another value than zero",
                "pad with zeros; in front of a maximum pool the lowest value is right, too");
  }
  for (std::size_t i = 0; i < x.pads.size(); ++i) {
    const Pads& pads = x.pads[i];
    if (static_cast<int>(i) == axes.rows) {
      window.pad_top += pads.before;
      window.pad_bottom += pads.after;
    } else if (static_cast<int>(i) == axes.columns) {
      window.pad_left += pads.before;
      window.pad_right += pads.after;
    } else if (pads.before > 0 || pads.after > 0) {
      return fail(node, "reads a tensor with padded channels", "pad rows and columns alone");
    }
  }
  return true;
}

std::optional<ir::Shape> GraphBuilder::extents(const Where& node, const Operand& x,
                                               ImageAxes axes) {
  const Dims dims = x.view.dims();
  if (dims.size() != axes.rank()) {
    return refuse(
        node,
        fmt::format("reads a tensor of {}, which is not an image of {} axes and the batch",
                    batch_text(dims), axes.rank()),
        "only a fully connected layer may follow a change of shape");
  }
  const auto extent = [&](int axis) {
    if (axis < 0) return 1;
    const auto i = static_cast<std::size_t>(axis);
    const Pads pads = x.pads.empty() ? Pads{} : x.pads[i];
    return static_cast<int>(dims[i]) + pads.before + pads.after;
  };
  return ir::Shape{extent(axes.rows), extent(axes.columns), extent(axes.channels)};
}

}  // namespace espalier::import_detail
