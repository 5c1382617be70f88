#include <fmt/format.h>

#include <vector>

#include "espalier/ir/graph.hpp"

namespace espalier::ir {
namespace {

// Larger extents are damaged files, not networks for microcontrollers; the bound also keeps every
// product of three extents within 64 bits.
constexpr int kMaxExtent = 1 << 20;

Error bad(std::string text) { return Error{ErrorKind::kBadInput, std::move(text)}; }

Status check_window(const Window& w) {
  const auto in_range = [](int value, int low) { return value >= low && value <= kMaxExtent; };
  if (!in_range(w.kernel_h, 1) || !in_range(w.kernel_w, 1)) {
    return bad(fmt::format("kernel {}x{} is out of range", w.kernel_h, w.kernel_w));
  }
  if (!in_range(w.stride_h, 1) || !in_range(w.stride_w, 1)) {
    return bad(fmt::format("stride {}x{} is out of range", w.stride_h, w.stride_w));
  }
  if (!in_range(w.dilation_h, 1) || !in_range(w.dilation_w, 1) || w.extent_h() > kMaxExtent ||
      w.extent_w() > kMaxExtent) {
    return bad(fmt::format("dilation {}x{} is out of range", w.dilation_h, w.dilation_w));
  }
  if (w.pad_top < 0 || w.pad_bottom < 0 || w.pad_left < 0 || w.pad_right < 0 ||
      w.pad_top >= w.extent_h() || w.pad_bottom >= w.extent_h() || w.pad_left >= w.extent_w() ||
      w.pad_right >= w.extent_w()) {
    return bad(fmt::format("padding {},{},{},{} must be at least 0 and smaller than the kernel",
                           w.pad_top, w.pad_left, w.pad_bottom, w.pad_right));
  }
  return Ok{};
}

Result<Shape> slide(const Window& w, const Shape& in, int channels) {
  ESPALIER_CHECK_OK(check_window(w));
  const std::int64_t rows = in.height + w.pad_top + w.pad_bottom - w.extent_h();
  const std::int64_t columns = in.width + w.pad_left + w.pad_right - w.extent_w();
  if (rows < 0 || columns < 0) {
    return bad(
        fmt::format("kernel {}x{}{} does not fit an input of {}x{}", w.kernel_h, w.kernel_w,
                    w.dilated() ? fmt::format(" dilated {}x{}", w.dilation_h, w.dilation_w) : "",
                    in.height, in.width));
  }
  return Shape{static_cast<int>(rows) / w.stride_h + 1, static_cast<int>(columns) / w.stride_w + 1,
               channels};
}

Result<Shape> infer(const Conv2D& conv, std::span<const Shape> in) {
  if (conv.groups < 1 || conv.in_channels < 1 || conv.out_channels < 1 ||
      conv.in_channels % conv.groups != 0 || conv.out_channels % conv.groups != 0) {
    return bad(fmt::format("{} groups do not divide {} input and {} output channels", conv.groups,
                           conv.in_channels, conv.out_channels));
  }
  if (conv.in_channels != in[0].channels) {
    return bad(fmt::format("weights expect {} input channels, the input has {}", conv.in_channels,
                           in[0].channels));
  }
  return slide(conv.window, in[0], conv.out_channels);
}

Result<Shape> infer(const Add&, std::span<const Shape> in) {
  if (in[0] != in[1]) {
    return bad(fmt::format("inputs of {}x{}x{} and {}x{}x{} differ", in[0].height, in[0].width,
                           in[0].channels, in[1].height, in[1].width, in[1].channels));
  }
  return in[0];
}

Result<Shape> infer(const Mul&, std::span<const Shape> in) {
  if (in[1] == in[0] || in[1] == Shape{1, 1, in[0].channels}) return in[0];
  return bad(fmt::format(
      "inputs of {}x{}x{} and {}x{}x{} are neither alike nor a gate of the first", in[0].height,
      in[0].width, in[0].channels, in[1].height, in[1].width, in[1].channels));
}

Result<Shape> infer(const Concat&, std::span<const Shape> in) {
  std::int64_t channels = 0;
  for (const Shape& shape : in) {
    if (shape.height != in[0].height || shape.width != in[0].width) {
      return bad(fmt::format("inputs of {}x{} and {}x{} do not fit side by side", in[0].height,
                             in[0].width, shape.height, shape.width));
    }
    channels += shape.channels;
  }
  if (channels > kMaxExtent) return bad(fmt::format("{} channels are out of range", channels));
  return Shape{in[0].height, in[0].width, static_cast<int>(channels)};
}

Result<Shape> infer(const Select& select, std::span<const Shape> in) {
  if (select.channels.empty()) return bad("selects no channels");
  std::vector<bool> taken(static_cast<std::size_t>(in[0].channels), false);
  for (const int channel : select.channels) {
    if (channel < 0 || channel >= in[0].channels) {
      return bad(fmt::format("selects channel {} of {}", channel, in[0].channels));
    }
    if (taken[static_cast<std::size_t>(channel)]) {
      return bad(fmt::format("selects channel {} twice", channel));
    }
    taken[static_cast<std::size_t>(channel)] = true;
  }
  return Shape{in[0].height, in[0].width, static_cast<int>(select.channels.size())};
}

Result<Shape> infer_pool(const Window& window, const Shape& in) {
  if (window.dilated()) return bad("a pool has no dilation");
  if (std::int64_t{window.kernel_h} * window.kernel_w > kMaxPoolElements) {
    return bad(fmt::format("a window of {}x{} elements is out of range", window.kernel_h,
                           window.kernel_w));
  }
  return slide(window, in, in.channels);
}
Result<Shape> infer(const AveragePool& pool, std::span<const Shape> in) {
  return infer_pool(pool.window, in[0]);
}
Result<Shape> infer(const MaxPool& pool, std::span<const Shape> in) {
  return infer_pool(pool.window, in[0]);
}
Result<Shape> infer(const Rescale&, std::span<const Shape> in) { return in[0]; }
Result<Shape> infer(const Lookup&, std::span<const Shape> in) { return in[0]; }

}  // namespace

Result<Shape> infer_shape(const OpParams& params, std::span<const Shape> inputs) {
  if (input_count(params) == kVariadic) {
    if (inputs.size() < 2) return bad(fmt::format("has {} inputs, needs 2 or more", inputs.size()));
  } else if (static_cast<int>(inputs.size()) != input_count(params)) {
    return bad(fmt::format("has {} inputs, needs {}", inputs.size(), input_count(params)));
  }
  for (const Shape& shape : inputs) {
    if (shape.height < 1 || shape.width < 1 || shape.channels < 1 || shape.height > kMaxExtent ||
        shape.width > kMaxExtent || shape.channels > kMaxExtent) {
      return bad(fmt::format("an input of {}x{}x{} is out of range", shape.height, shape.width,
                             shape.channels));
    }
  }
  return std::visit([&](const auto& p) { return infer(p, inputs); }, params);
}

}  // namespace espalier::ir
