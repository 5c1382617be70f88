// Pools, means and maxima over height and width.
#include "tflite/context.hpp"

namespace espalier::tflite_detail {
namespace {

using import_detail::extent_in_range;

constexpr ir::HalfRounding kRounding = ir::HalfRounding::kAwayFromZero;

Value pool(Context& c, const Node& node) {
  const std::optional<Operand> x = c.activation(node, 0);
  const auto* options = node.op.options_as_Pool2DOptions();
  if (!x) return Unknown{};
  if (options == nullptr || !extent_in_range(options->filter_h()) ||
      !extent_in_range(options->filter_w()) || !extent_in_range(options->stride_h()) ||
      !extent_in_range(options->stride_w())) {
    return c.refuse(node, "its window is missing or out of range", kDamagedNext);
  }
  ir::Window window{.kernel_h = options->filter_h(),
                    .kernel_w = options->filter_w(),
                    .stride_h = options->stride_h(),
                    .stride_w = options->stride_w()};
  const std::optional<ir::Shape> image = c.builder.extents(node.where, *x, kChannelsLast);
  if (!image) return Unknown{};
  if (options->padding() == tflite::Padding::SAME) {
    import_detail::pad_same(window, image->height, image->width, true);
  }
  return c.finish(node,
                  node.code == BuiltinOperator::AVERAGE_POOL_2D
                      ? c.builder.average_pool(node.where, window, kRounding, *x, kChannelsLast)
                      : c.builder.max_pool(node.where, window, *x, kChannelsLast),
                  options->activation());
}

// MEAN and REDUCE_MAX.
Value reduce(Context& c, const Node& node) {
  const std::optional<Operand> x = c.activation(node, 0);
  const std::vector<std::int32_t>* list = c.integers(node, 1, "the list of axes");
  if (!x || list == nullptr) return Unknown{};
  const auto* options = node.op.options_as_ReducerOptions();
  const bool keep = options != nullptr && options->keep_dims();
  const Dims axes(list->begin(), list->end());
  return c.finish(node,
                  node.code == BuiltinOperator::MEAN
                      ? c.builder.mean(node.where, *x, axes, keep, kRounding)
                      : c.builder.maximum(node.where, *x, axes, keep),
                  tflite::Activation::NONE);
}

}  // namespace

std::span<const Handler> pool_handlers() {
  static constexpr Handler kHandlers[]{{BuiltinOperator::AVERAGE_POOL_2D, &pool},
                                       {BuiltinOperator::MAX_POOL_2D, &pool},
                                       {BuiltinOperator::MEAN, &reduce},
                                       {BuiltinOperator::REDUCE_MAX, &reduce}};
  return kHandlers;
}

}  // namespace espalier::tflite_detail
