// Conv, Gemm and MatMul.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "onnx/context.hpp"

namespace espalier::onnx_detail {
namespace {

using import_detail::extent_in_range;
using import_detail::kMaxExtent;
using import_detail::Layer;

// The elements of a bias that broadcasts along channels of an output of `rank` dimensions without
// the batch; nullopt after a diagnostic.
std::optional<Numbers> bias_numbers(Context& c, const Node& node, const Value& bias,
                                    std::size_t rank, std::int64_t out) {
  const Dims* dims = constant_dims(bias);
  if (dims == nullptr) {
    if (!std::holds_alternative<Unknown>(bias)) {
      c.refuse(node, "its bias is not a constant", "fold constants before quantising");
    }
    return std::nullopt;
  }
  const Numbers values = numbers(bias);
  if (!values.is_float() && values.scales.empty()) {
    c.refuse(node,
             fmt::format("its bias is {} without DequantizeLinear",
                         element_name(std::get<ConstantPtr>(bias)->element)),
             "make it float, or int32 behind DequantizeLinear");
    return std::nullopt;
  }
  // [out] behind the channels of a matrix, [out,1,1] behind those of an image; or one number.
  Dims wanted(std::max<std::size_t>(rank, 1) + 1, 1);
  wanted[1] = out;
  Dims padded(dims->size() < wanted.size() ? wanted.size() - dims->size() : 0, 1);
  padded.insert(padded.end(), dims->begin(), dims->end());
  const bool as_convolution = dims->size() == 1 && node.type() == "Conv";
  if (values.count() != 1 && !as_convolution && padded != wanted) {
    c.refuse(node,
             fmt::format("its bias of [{}] does not fit {} output channels", dims_text(*dims), out),
             kDamagedNext);
    return std::nullopt;
  }
  return values;
}

// Reports weights that have no place in the graph; the classifier's may be float.
bool usable_weights(Context& c, const Node& node, const Value& weights, int out_axis) {
  if (std::holds_alternative<Unknown>(weights)) return false;
  if (const auto* plain = std::get_if<ConstantPtr>(&weights)) {
    if (c.is_head(node) && (*plain)->is_float()) return true;
    const std::string kind = element_name((*plain)->element);
    c.refuse(node, fmt::format("its weights are {} without DequantizeLinear", kind),
             "quantise the weights too, statically, to int8");
    return false;
  }
  const QuantizedConstant& q = *std::get<QuantizedPtr>(weights);
  if (!c.is_head(node) && q.values->element != Element::kInt8 &&
      q.values->element != Element::kUint8) {
    c.refuse(node, fmt::format("its weights are {}", element_name(q.values->element)), kInt8Next);
    return false;
  }
  if (!q.per_tensor() && q.axis != out_axis) {
    c.refuse(
        node,
        fmt::format("its weights have scales along axis {}, not along output channels", q.axis),
        "quantise weights per tensor or per output channel");
    return false;
  }
  return true;
}

Value convolution(Context& c, const Node& node) {
  const Value* weights = c.resolve(node, 1);
  const Value* bias = node.has_input(2) ? c.resolve(node, 2) : nullptr;
  const bool bias_missing = node.has_input(2) && bias == nullptr;
  if (weights == nullptr || std::holds_alternative<Unknown>(*weights)) {
    // The window's own attributes are checked even when the weights are not there.
    read_window(c, node, node.integers("kernel_shape").value_or(Dims(2)).size());
    return Unknown{};
  }
  const Dims* dims = constant_dims(*weights);
  if (dims == nullptr) {
    return c.refuse(node, "its weights are not constant", "fold constants before quantising");
  }
  std::optional<Numbers> numbers;
  if (bias != nullptr && !dims->empty()) {
    numbers = bias_numbers(c, node, *bias, dims->size() - 1, (*dims)[0]);
  }
  const bool usable = usable_weights(c, node, *weights, 0);
  const std::optional<Activation> x = c.activation(node, 0);
  if (bias_missing || (bias != nullptr && !numbers) || !usable || !x) {
    read_window(c, node, dims->size() < 2 ? 2 : dims->size() - 2);
    return Unknown{};
  }
  return convolve(c, node, *x, *weights, numbers);
}

// Weights are [out,in] when transposed, otherwise [in,out].
Value fully_connected(Context& c, const Node& node, bool transposed) {
  const Value* weights = c.resolve(node, 1);
  const Value* bias = node.has_input(2) ? c.resolve(node, 2) : nullptr;
  const bool bias_missing = node.has_input(2) && bias == nullptr;
  if (weights == nullptr || std::holds_alternative<Unknown>(*weights)) return Unknown{};
  const Dims* dims = constant_dims(*weights);
  if (dims == nullptr) {
    return c.refuse(
        node, "its second operand is not constant",
        "products of activations are not supported, so rewrite the network without them");
  }
  std::optional<Numbers> numbers;
  if (bias != nullptr && dims->size() == 2) {
    numbers = bias_numbers(c, node, *bias, 1, (*dims)[transposed ? 0 : 1]);
    if (!numbers) return Unknown{};
  }
  const bool usable = usable_weights(c, node, *weights, transposed ? 0 : 1);
  const std::optional<Activation> x = c.activation(node, 0);
  if (!usable || bias_missing || !x) return Unknown{};
  return multiply(c, node, *x, *weights, transposed, numbers);
}

Value gemm(Context& c, const Node& node) {
  if (node.real("alpha").value_or(1.0F) != 1.0F ||
      (node.has_input(2) && node.real("beta").value_or(1.0F) != 1.0F)) {
    return c.refuse(node, "alpha and beta must be 1", "fold them into weights and bias");
  }
  if (node.integer("transA").value_or(0) != 0) {
    return c.refuse(node, "transA is not supported", "transpose nothing but the weights");
  }
  return fully_connected(c, node, node.integer("transB").value_or(0) != 0);
}

Value matmul(Context& c, const Node& node) { return fully_connected(c, node, false); }

Value logits(Context& c, bool placed, Dims dims) {
  if (!placed) return Unknown{};
  dims.push_back(c.builder.graph().head.classes);
  return Logits{.view = View::row_major(dims)};
}

}  // namespace

std::optional<ir::Window> read_window(Context& c, const Node& node, std::size_t rank) {
  const auto refused = [&](std::string_view why, std::string_view next) {
    c.refuse(node, why, next);
    return std::nullopt;
  };
  if (rank != 1 && rank != 2) {
    return refused(fmt::format("its window has {} dimensions", rank),
                   "only 1-D and 2-D windows are supported");
  }
  Dims dilations = node.integers("dilations").value_or(Dims(rank, 1));
  Dims strides = node.integers("strides").value_or(Dims(rank, 1));
  Dims pads = node.integers("pads").value_or(Dims(2 * rank, 0));
  if (strides.size() != rank || pads.size() != 2 * rank || dilations.size() != rank) {
    return refused(
        fmt::format("strides, pads or dilations do not belong to a window of {} dimensions", rank),
        kDamagedNext);
  }
  for (const std::int64_t s : strides) {
    if (!extent_in_range(s)) return refused("a stride is out of range", kDamagedNext);
  }
  for (const std::int64_t d : dilations) {
    if (!extent_in_range(d)) return refused("a dilation is out of range", kDamagedNext);
  }
  for (const std::int64_t p : pads) {
    if (p < 0 || p > kMaxExtent) {
      return refused("a pad is negative or out of range", "use pads from 0 to the kernel size");
    }
  }
  const std::string auto_pad = node.string("auto_pad").value_or("NOTSET");
  if (auto_pad != "NOTSET" && auto_pad != "SAME_UPPER" && auto_pad != "SAME_LOWER" &&
      auto_pad != "VALID") {
    return refused(fmt::format("auto_pad '{}' is unknown", printable(auto_pad)), kDamagedNext);
  }
  if (rank == 1) {
    strides.insert(strides.begin(), 1);
    dilations.insert(dilations.begin(), 1);
    pads = {0, pads[0], 0, pads[1]};
  }
  return ir::Window{.stride_h = static_cast<int>(strides[0]),
                    .stride_w = static_cast<int>(strides[1]),
                    .pad_top = static_cast<int>(pads[0]),
                    .pad_left = static_cast<int>(pads[1]),
                    .pad_bottom = static_cast<int>(pads[2]),
                    .pad_right = static_cast<int>(pads[3]),
                    .dilation_h = static_cast<int>(dilations[0]),
                    .dilation_w = static_cast<int>(dilations[1])};
}

void resolve_padding(const Node& node, const ir::Shape& image, ir::Window& window) {
  const std::string auto_pad = node.string("auto_pad").value_or("NOTSET");
  if (auto_pad == "NOTSET") return;
  window.pad_top = window.pad_left = window.pad_bottom = window.pad_right = 0;
  if (auto_pad == "VALID") return;
  import_detail::pad_same(window, image.height, image.width, auto_pad == "SAME_UPPER");
}

Value convolve(Context& c, const Node& node, const Activation& x, const Value& weights,
               std::optional<Numbers> bias) {
  const Dims& dims = *constant_dims(weights);
  if ((dims.size() != 4 && dims.size() != 3) ||
      !std::all_of(dims.begin(), dims.end(), extent_in_range)) {
    return c.refuse(
        node, fmt::format("its weights of [{}] are not [out,in,height,width]", dims_text(dims)),
        "only 1-D and 2-D convolutions are supported");
  }
  const Dims kernel(dims.begin() + 2, dims.end());
  const std::optional<ir::Window> window = read_window(c, node, kernel.size());
  if (!window) return Unknown{};
  const std::int64_t groups = node.integer("group").value_or(1);
  if (!extent_in_range(groups) || !extent_in_range(dims[1] * groups)) {
    return c.refuse(node, fmt::format("{} groups are out of range", groups), kDamagedNext);
  }
  if (node.integers("kernel_shape").value_or(kernel) != kernel) {
    return c.refuse(node, "kernel_shape differs from the weights", kDamagedNext);
  }
  const std::int64_t rows = kernel.size() == 2 ? kernel[0] : 1;
  const std::int64_t columns = kernel.back();
  Layer layer{.out = static_cast<int>(dims[0]),
              .in_per_group = static_cast<int>(dims[1]),
              .groups = static_cast<int>(groups),
              .window = *window,
              .out_step = static_cast<std::size_t>(dims[1] * rows * columns),
              .row_step = static_cast<std::size_t>(columns),
              .column_step = 1,
              .channel_step = static_cast<std::size_t>(rows * columns),
              .weights = numbers(weights),
              .bias = bias};
  layer.window.kernel_h = static_cast<int>(rows);
  layer.window.kernel_w = static_cast<int>(columns);
  if (rows == 1) layer.window.dilation_h = 1;  // of nothing
  if (columns == 1) layer.window.dilation_w = 1;
  const ImageAxes axes = image_axes(node, kernel.size() + 1);
  const std::optional<ir::Shape> image = c.builder.extents(node.where(), x.operand, axes);
  if (!image) return Unknown{};
  resolve_padding(node, *image, layer.window);
  if (c.is_head(node)) {
    const bool placed = c.builder.head_convolution(node.where(), layer, x.operand, axes);
    if (!placed) return Unknown{};
    Dims shape(kernel.size(), 1);
    shape.insert(axes.channels == 0 ? shape.begin() : shape.end(), layer.out);
    return Logits{.view = View::row_major(shape)};
  }
  return Context::waiting(c.builder.convolution(node.where(), layer, x.operand, axes));
}

Value multiply(Context& c, const Node& node, const Activation& x, const Value& weights,
               bool transposed, std::optional<Numbers> bias) {
  const Dims& dims = *constant_dims(weights);
  if (dims.size() != 2 || !std::all_of(dims.begin(), dims.end(), extent_in_range)) {
    return c.refuse(node, fmt::format("its weights of [{}] are not a matrix", dims_text(dims)),
                    "only products with a matrix are supported");
  }
  const auto in = static_cast<std::size_t>(dims[transposed ? 1 : 0]);
  const auto out = static_cast<std::size_t>(dims[transposed ? 0 : 1]);
  Layer layer{.out = static_cast<int>(out),
              .in_per_group = static_cast<int>(in),
              .out_step = transposed ? in : 1,
              .channel_step = transposed ? 1 : out,
              .weights = numbers(weights),
              .bias = bias};
  Dims outer = x.operand.view.dims();
  if (outer.empty()) {
    return c.refuse(node, "reads one number a sample, not a matrix", "put a Flatten before it");
  }
  if (outer.back() != static_cast<std::int64_t>(in) &&
      node.type().find("Gemm") == std::string::npos) {
    return c.refuse(
        node, fmt::format("its weights expect {} features, the input has {}", in, outer.back()),
        kDamagedNext);
  }
  outer.pop_back();
  if (node.type().find("Gemm") != std::string::npos && !outer.empty()) {
    return c.refuse(node,
                    fmt::format("reads a tensor of {}, not a matrix",
                                import_detail::batch_text(x.operand.view.dims())),
                    "put a Flatten before it");
  }
  if (import_detail::element_count(outer) == 1) {
    if (c.is_head(node)) {
      return logits(c, c.builder.head_fully_connected(node.where(), layer, x.operand), outer);
    }
    std::optional<Draft> draft = c.builder.fully_connected(node.where(), layer, x.operand);
    if (draft && !outer.empty()) {
      Dims shape = outer;
      shape.push_back(layer.out);
      draft->view = *draft->view.reshaped(shape);
    }
    return Context::waiting(std::move(draft));
  }
  // The same matrix at every position: a 1x1 convolution.
  if (outer.size() > 2 || c.is_head(node)) {
    return c.refuse(
        node,
        fmt::format("multiplies a tensor of {}", import_detail::batch_text(x.operand.view.dims())),
        "put a Flatten before it");
  }
  const ImageAxes axes = outer.size() == 1 ? ImageAxes{.rows = -1, .columns = 0, .channels = 1}
                                           : ImageAxes{.rows = 0, .columns = 1, .channels = 2};
  return Context::waiting(c.builder.convolution(node.where(), layer, x.operand, axes));
}

std::span<const Handler> layer_handlers() {
  static constexpr Handler kHandlers[]{
      {"Conv", &convolution}, {"Gemm", &gemm}, {"MatMul", &matmul}};
  return kHandlers;
}

}  // namespace espalier::onnx_detail
