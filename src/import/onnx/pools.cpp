// Pools and means over height and width.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "onnx/context.hpp"

namespace espalier::onnx_detail {
namespace {

using PoolOf = std::optional<Draft> (*)(Context& c, const Node& node, const Operand& x);

// The maximum of a result that waits for its quantisation, or of a function.
Value pool_later(Context& c, const Node& node, PoolOf pool) {
  Value* value = c.resolve(node, 0);
  std::optional<Draft> base;
  if (const auto* function = std::get_if<MappedPtr>(value)) {
    base = c.builder.function((*function)->node, (*function)->x.operand, (*function)->curve,
                              ir::HalfRounding::kToEven);
    if (!base) return Unknown{};
  } else {
    base = Context::take(*value);
  }
  return std::make_unique<Pooled>(
      Pooled{*std::move(base), node.where(),
             [node, pool](Context& later, const Operand& x) { return pool(later, node, x); }});
}

bool waits(Context& c, const Node& node) {
  const Value* value = c.resolve(node, 0);
  if (value == nullptr) return false;
  if (std::holds_alternative<MappedPtr>(*value)) return true;
  return std::holds_alternative<DraftPtr>(*value) &&
         !std::holds_alternative<ir::MaxPool>(std::get<DraftPtr>(*value)->params);
}

Value pool(Context& c, const Node& node, bool average) {
  // Only a maximum is defined on integers.
  const std::optional<Activation> x = average ? c.activation(node, 0) : c.any_activation(node, 0);
  if (!x) return Unknown{};
  return c.result(node, pool_window(c, node, x->operand, average), *x);
}

Value average_pool(Context& c, const Node& node) { return pool(c, node, true); }
Value max_pool(Context& c, const Node& node) {
  if (!waits(c, node)) return pool(c, node, false);
  return pool_later(c, node, [](Context& later, const Node& of, const Operand& x) {
    return pool_window(later, of, x, false);
  });
}

Value global(Context& c, const Node& node, bool average) {
  const std::optional<Activation> x = c.activation(node, 0);
  if (!x) return Unknown{};
  return Context::waiting(
      pool_whole(c, node, x->operand, channels_first(x->operand.view.rank()), average));
}
Value global_average_pool(Context& c, const Node& node) { return global(c, node, true); }
Value global_max_pool(Context& c, const Node& node) {
  if (!waits(c, node)) return global(c, node, false);
  return pool_later(c, node, [](Context& later, const Node& of, const Operand& x) {
    return pool_whole(later, of, x, channels_first(x.view.rank()), false);
  });
}

// The window's padding becomes the operand's, whose zeros count.
void count_padding(const ir::Window& padding, const ImageAxes& axes, Operand& x,
                   ir::Window& window) {
  const auto move = [&x](int axis, int before, int after, int& window_before, int& window_after) {
    window_before -= before;
    window_after -= after;
    if (before == 0 && after == 0) return;
    x.pads.resize(x.view.rank());
    import_detail::Pads& pads = x.pads[static_cast<std::size_t>(axis)];
    pads = {pads.before + before, pads.after + after};
  };
  move(axes.rows, padding.pad_top, padding.pad_bottom, window.pad_top, window.pad_bottom);
  move(axes.columns, padding.pad_left, padding.pad_right, window.pad_left, window.pad_right);
}

Value nhwc_max_pool(Context& c, const Node& node) { return pool(c, node, false); }

Value reduce_mean(Context& c, const Node& node) {
  bool ok = false;
  const Dims axes = c.integers(node, 1, "axes", ok).value_or(Dims{});
  if (!ok) return Unknown{};
  const bool keep = node.integer("keepdims").value_or(1) != 0;
  // The mean of a mean that was not quantised is one mean.
  if (Value* value = c.resolve(node, 0);
      value != nullptr && std::holds_alternative<DraftPtr>(*value)) {
    if (c.builder.extend_mean(axes, keep, *std::get<DraftPtr>(*value))) {
      return std::make_unique<Draft>(Context::take(*value));
    }
  }
  const std::optional<Activation> x = c.activation(node, 0);
  if (!x) return Unknown{};
  return Context::waiting(
      c.builder.mean(node.where(), x->operand, axes, keep, ir::HalfRounding::kToEven));
}

// Draft of the maximum of a quantised tensor.
std::optional<Draft> reduced_maximum(Context& c, const Node& node, const Operand& x) {
  bool ok = false;
  const Dims axes = c.integers(node, 1, "axes", ok).value_or(Dims{});
  if (!ok) return std::nullopt;
  return c.builder.maximum(node.where(), x, axes, node.integer("keepdims").value_or(1) != 0);
}

Value reduce_max(Context& c, const Node& node) {
  if (waits(c, node)) return pool_later(c, node, &reduced_maximum);
  const std::optional<Activation> x = c.any_activation(node, 0);
  if (!x) return Unknown{};
  return c.result(node, reduced_maximum(c, node, x->operand), *x);
}

}  // namespace

std::optional<Draft> pool_whole(Context& c, const Node& node, const Operand& x, ImageAxes axes,
                                bool average) {
  const std::optional<ir::Shape> image = c.builder.extents(node.where(), x, axes);
  if (!image) return std::nullopt;
  const ir::Window window{.kernel_h = image->height, .kernel_w = image->width};
  return average ? c.builder.average_pool(node.where(), window, ir::HalfRounding::kToEven, x, axes)
                 : c.builder.max_pool(node.where(), window, x, axes);
}

std::optional<Draft> pool_window(Context& c, const Node& node, const Operand& x, bool average) {
  const auto refused = [&](std::string_view why, std::string_view next) {
    c.refuse(node, why, next);
    return std::nullopt;
  };
  const Dims kernel = node.integers("kernel_shape").value_or(Dims{});
  if ((kernel.size() != 1 && kernel.size() != 2) ||
      !std::all_of(kernel.begin(), kernel.end(), import_detail::extent_in_range)) {
    return refused("kernel_shape is not one or two positive numbers",
                   "only 1-D and 2-D windows are supported");
  }
  std::optional<ir::Window> window = read_window(c, node, kernel.size());
  const ImageAxes axes = image_axes(node, kernel.size() + 1);
  const std::optional<ir::Shape> image = c.builder.extents(node.where(), x, axes);
  if (!window || !image) return std::nullopt;
  if (window->dilated()) return refused("dilation of a pool is not supported", "pool without it");
  window->kernel_h = kernel.size() == 2 ? static_cast<int>(kernel[0]) : 1;
  window->kernel_w = static_cast<int>(kernel.back());
  resolve_padding(node, *image, *window);
  ir::Window padding = *window;
  if (node.integer("ceil_mode").value_or(0) != 0) {
    // The last windows reach over the border, unless they would begin behind the image.
    const auto reach = [](int image_extent, int kernel_extent, int stride, int before, int& after) {
      const int extent = image_extent + before + after - kernel_extent;
      const int rest = extent > 0 ? extent % stride : 0;
      if (rest != 0 && extent - rest + stride < image_extent + before) after += stride - rest;
    };
    reach(image->height, window->kernel_h, window->stride_h, window->pad_top, window->pad_bottom);
    reach(image->width, window->kernel_w, window->stride_w, window->pad_left, window->pad_right);
  }
  // From opset 19 on what lies over the border does not count; ONNX Runtime's own pool is older.
  constexpr std::int64_t kCountsPaddingAlone = 19;
  if (c.opset < kCountsPaddingAlone || node.type() == "QLinearAveragePool") padding = *window;
  if (!average) return c.builder.max_pool(node.where(), *window, x, axes);
  Operand own = x;
  if (node.integer("count_include_pad").value_or(0) != 0)
    count_padding(padding, axes, own, *window);
  return c.builder.average_pool(node.where(), *window, ir::HalfRounding::kToEven, own, axes);
}

std::span<const Handler> pool_handlers() {
  static constexpr Handler kHandlers[]{
      {"AveragePool", &average_pool},      {"GlobalAveragePool", &global_average_pool},
      {"GlobalMaxPool", &global_max_pool}, {"MaxPool", &max_pool},
      {"NhwcMaxPool", &nhwc_max_pool},     {"ReduceMax", &reduce_max},
      {"ReduceMean", &reduce_mean},
  };
  return kHandlers;
}

}  // namespace espalier::onnx_detail
