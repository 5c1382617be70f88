// Pools and means over rows and columns, and the borders of zeros that some of them count.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "graph_builder.hpp"

namespace espalier::import_detail {
namespace {

// Rows or columns that a border of its own may add.
constexpr int kMaxBorder = 16;

// The axes of an image that a reduction is over: [C,H,W], or [H,W,C] as converters from
// channels-last formats have it, or the same without rows; nullopt when it is none.
std::optional<ImageAxes> reduced_image(const Dims& axes, const View& view, int channels) {
  const bool flat = view.rank() == 2;
  if (!flat && view.rank() != 3) return std::nullopt;
  for (const ImageAxes& image : {flat ? ImageAxes{-1, 1, 0} : ImageAxes{1, 2, 0},
                                 flat ? ImageAxes{-1, 0, 1} : ImageAxes{0, 1, 2}}) {
    const auto spatial = [&](std::int64_t axis) {
      return axis >= 1 && (axis == image.rows + 1 || axis == image.columns + 1);
    };
    // Both axes say where the channels are; of one alone the tensor does.
    const bool all = axes.size() + 1 == view.rank();
    if (!axes.empty() && std::all_of(axes.begin(), axes.end(), spatial) &&
        (all ||
         view.axis(static_cast<std::size_t>(image.channels)) == View({{{channels, 1}}}).axis(0))) {
      return image;
    }
  }
  return std::nullopt;
}

// Axes counted from the batch, which is 0, in order and once each.
Dims from_batch(Dims axes, std::size_t rank) {
  for (std::int64_t& axis : axes)
    axis = axis < 0 ? axis + static_cast<std::int64_t>(rank) + 1 : axis;
  std::sort(axes.begin(), axes.end());
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  return axes;
}

// Dimensions without `axes`, or with one element there.
Dims reduced(const Dims& dims, const Dims& axes, bool keep) {
  Dims left;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    const bool gone = std::count(axes.begin(), axes.end(), static_cast<std::int64_t>(i) + 1) > 0;
    if (!gone) left.push_back(dims[i]);
    if (gone && keep) left.push_back(1);
  }
  return left;
}

}  // namespace

std::optional<Draft> GraphBuilder::pool(const Where& node, ir::OpParams params, const Operand& x,
                                        ImageAxes axes) {
  Operand own = x;
  const std::optional<Image> found = image(node, own, axes);
  if (!found) return std::nullopt;
  auto* average = std::get_if<ir::AveragePool>(&params);
  ir::Window& window = average != nullptr ? average->window : std::get<ir::MaxPool>(params).window;
  if (found->turned) window = turned(window);
  if (reaches_over(window)) {
    return refuse(node, "pads as much as its kernel or more", "pad less than the kernel");
  }
  std::optional<Draft> made = draft(node, std::move(params), {found->tensor});
  if (made) made->view = arranged(made->shape, found->turned, axes);
  return made;
}

std::optional<Draft> GraphBuilder::average_pool(const Where& node, const ir::Window& window,
                                                ir::HalfRounding rounding, const Operand& x,
                                                ImageAxes axes) {
  const ir::AveragePool params{window, rounding};
  if (x.pads.empty()) return pool(node, params, x, axes);
  // What the operand is padded with counts.
  const std::optional<Operand> own = padded(node, x, axes);
  return own ? pool(node, params, *own, axes) : std::nullopt;
}

std::optional<Draft> GraphBuilder::max_pool(const Where& node, const ir::Window& window,
                                            const Operand& x, ImageAxes axes) {
  ir::MaxPool params{window};
  if (x.pads.empty()) return pool(node, params, x, axes);
  // A zero never wins over what is at least zero, and may win over what is not.
  if (!x.lowest_pads &&
      lowest_[static_cast<std::size_t>(x.tensor)] < tensor(x.tensor).quantization.zero_point) {
    const std::optional<Operand> own = padded(node, x, axes);
    return own ? pool(node, params, *own, axes) : std::nullopt;
  }
  if (!take_pads(node, x, axes, params.window, true)) return std::nullopt;
  return pool(node, params, x, axes);
}

// A border of zeros as a layer of its own: a depthwise convolution of one weight in a window that
// reaches over the border, as far as it has to be moved.
std::optional<Operand> GraphBuilder::padded(const Where& node, const Operand& x, ImageAxes axes) {
  ir::Window border;
  Operand own = x;
  own.pads.clear();
  if (!take_pads(node, x, axes, border)) return std::nullopt;
  const std::optional<Image> found = image(node, own, axes);
  if (!found) return std::nullopt;
  if (found->turned) border = turned(border);
  std::optional<Draft> made = per_channel(node, own);
  if (!made) return std::nullopt;
  auto& conv = std::get<ir::Conv2D>(made->params);
  const int rows = border.pad_top + border.pad_bottom;
  const int columns = border.pad_left + border.pad_right;
  if (rows > kMaxBorder || columns > kMaxBorder) {
    return refuse(node, fmt::format("pads {} rows and {} columns", rows, columns),
                  "pad less, or in the pool itself");
  }
  conv.window = {.kernel_h = rows + 1,
                 .kernel_w = columns + 1,
                 .pad_top = rows,
                 .pad_left = columns,
                 .pad_bottom = rows,
                 .pad_right = columns};
  const std::size_t taps =
      static_cast<std::size_t>(rows + 1) * static_cast<std::size_t>(columns + 1);
  const auto tap = static_cast<std::size_t>(border.pad_bottom * (columns + 1) + border.pad_right);
  const std::int8_t one = conv.weights.front();
  conv.weights.assign(conv.bias.size() * taps, 0);
  for (std::size_t c = 0; c < conv.bias.size(); ++c) conv.weights[c * taps + tap] = one;
  made->shape.height += rows;
  made->shape.width += columns;
  made->view = arranged(made->shape, found->turned, axes);
  const std::string name = node.name + "_padded";
  made->node.name = name;
  return finish(*std::move(made), tensor(own.tensor).quantization, name);
}

// A pool over rows, columns or both.
std::optional<Draft> GraphBuilder::reduce(const Where& node, Operand x, Dims axes, bool keep,
                                          std::string_view verb, const MakePool& pool) {
  axes = from_batch(std::move(axes), x.view.rank());
  if (axes.size() + 1 < x.view.rank()) {
    std::optional<Operand> own = on_settled_input(node, std::move(x));
    if (!own) return std::nullopt;
    x = *std::move(own);
  }
  const Dims dims = x.view.dims();
  const std::optional<ImageAxes> image =
      reduced_image(axes, x.view, tensor(x.tensor).shape.channels);
  if (!image) {
    return refuse(node,
                  fmt::format("it {} axes {} of {}, not height and width", verb,
                              fmt::join(axes, ","), batch_text(dims)),
                  "pool over height and width, globally");
  }
  const std::optional<ir::Shape> whole = extents(node, x, *image);
  if (!whole) return std::nullopt;
  const auto gone = [&](int axis) {
    return axis >= 0 && std::count(axes.begin(), axes.end(), axis + 1) > 0;
  };
  const ir::Window window{.kernel_h = gone(image->rows) ? whole->height : 1,
                          .kernel_w = gone(image->columns) ? whole->width : 1};
  std::optional<Draft> made = pool(window, x, *image);
  if (made) made->view = *made->view.reshaped(reduced(dims, axes, keep));
  return made;
}

std::optional<Draft> GraphBuilder::mean(const Where& node, const Operand& x, const Dims& axes,
                                        bool keep, ir::HalfRounding rounding) {
  return reduce(node, x, axes, keep, "averages",
                [&](const ir::Window& window, const Operand& own, const ImageAxes& image) {
                  return average_pool(node, window, rounding, own, image);
                });
}

std::optional<Draft> GraphBuilder::maximum(const Where& node, const Operand& x, const Dims& axes,
                                           bool keep) {
  return reduce(node, x, axes, keep, "takes the maximum of",
                [&](const ir::Window& window, const Operand& own, const ImageAxes& image) {
                  return max_pool(node, window, own, image);
                });
}

bool GraphBuilder::extend_mean(Dims axes, bool keep, Draft& draft) const {
  auto* pool = std::get_if<ir::AveragePool>(&draft.params);
  if (pool == nullptr || draft.clipped() || !draft.repeated.empty()) return false;
  const ir::Shape& image = tensor(draft.inputs[0]).shape;
  const ir::Window& w = pool->window;
  const bool padded = w.pad_top + w.pad_left + w.pad_bottom + w.pad_right > 0;
  const bool rows = w.kernel_h == 1 && w.stride_h == 1 && w.kernel_w == image.width;
  const bool columns = w.kernel_w == 1 && w.stride_w == 1 && w.kernel_h == image.height;
  if (padded || !(rows || columns)) return false;
  axes = from_batch(std::move(axes), draft.view.rank());
  const Dims left = reduced(draft.dims(), axes, keep);
  const Axis channels = View({{{image.channels, 1}}}).axis(0);
  for (const std::int64_t axis : axes) {
    if (axis < 1 || axis > static_cast<std::int64_t>(draft.view.rank())) return false;
    const Axis& gone = draft.view.axis(static_cast<std::size_t>(axis) - 1);
    if (!gone.empty() && gone == channels) return false;
  }
  if (element_count(left) != image.channels) return false;
  pool->window = {.kernel_h = image.height, .kernel_w = image.width};
  draft.shape = {1, 1, image.channels};
  draft.view = *View::row_major({image.channels}).reshaped(left);
  return true;
}

}  // namespace espalier::import_detail
