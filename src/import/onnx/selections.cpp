// Split, Slice and Gather of channels.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "onnx/context.hpp"

namespace espalier::onnx_detail {
namespace {

using import_detail::batch_text;

// What is selected from: input 0, an activation or a function of one.
class Selection {
 public:
  Selection(Context& c, const Node& node) : c_(c), node_(node) {
    const Value* value = c.resolve(node, 0);
    if (value == nullptr || std::holds_alternative<Unknown>(*value)) return;
    if (const auto* function = std::get_if<MappedPtr>(value)) {
      function_ = **function;
      operand_ = function_->x.operand;
      return;
    }
    activation_ = c.any_activation(node, 0);
    if (activation_) operand_ = activation_->operand;
  }

  [[nodiscard]] bool ok() const { return operand_.has_value(); }
  [[nodiscard]] std::int64_t rank() const {
    return static_cast<std::int64_t>(operand_->view.rank()) + 1;
  }
  /// Of an axis behind the batch.
  [[nodiscard]] std::int64_t extent(std::int64_t axis) const {
    return operand_->view.dims()[static_cast<std::size_t>(axis - 1)];
  }

  /// An axis as ONNX counts them, from 0; -1 after a diagnostic.
  [[nodiscard]] std::int64_t axis(std::int64_t wanted) const {
    const std::int64_t from_front = wanted < 0 ? wanted + rank() : wanted;
    if (from_front >= 1 && from_front < rank()) return from_front;
    c_.refuse(node_,
              fmt::format("works along axis {} of {}, the batch or none", wanted,
                          batch_text(operand_->view.dims())),
              "take channels apart, not samples");
    return -1;
  }
  /// Keeps elements of an axis; false after a diagnostic.
  bool keep(std::int64_t axis, std::span<const std::int64_t> indices) {
    std::optional<Operand> kept =
        c_.builder.select(node_.where(), *operand_, static_cast<std::size_t>(axis - 1), indices);
    operand_ = std::move(kept);
    return ok();
  }
  /// Drops an axis of one element.
  void drop(std::int64_t axis) {
    Dims dims = operand_->view.dims();
    dims.erase(dims.begin() + (axis - 1));
    operand_->view = *operand_->view.reshaped(dims);
  }
  [[nodiscard]] Value value() const {
    if (!ok()) return Unknown{};
    if (activation_) {
      Activation result = *activation_;
      result.operand = *operand_;
      return result;
    }
    Mapped result = *function_;
    result.x.operand = *operand_;
    return std::make_shared<const Mapped>(std::move(result));
  }

 private:
  Context& c_;
  const Node& node_;
  std::optional<Activation> activation_;
  std::optional<Mapped> function_;
  std::optional<Operand> operand_;
};

// How many elements each output gets; empty after a diagnostic.
Dims split_sizes(Context& c, const Node& node, std::int64_t extent) {
  bool ok = false;
  const std::optional<Dims> stated = c.integers(node, 1, "split", ok);
  if (!ok) return {};
  const std::int64_t outputs = node.proto().output_size();
  Dims sizes;
  if (stated) {
    sizes = *stated;
  } else {
    const std::int64_t each = (extent + outputs - 1) / outputs;
    for (std::int64_t i = 0; i < outputs; ++i) sizes.push_back(std::min(each, extent - i * each));
  }
  bool fits = static_cast<std::int64_t>(sizes.size()) == outputs;
  std::int64_t rest = extent;
  for (const std::int64_t size : sizes) {
    fits = fits && size >= 1 && size <= rest;
    rest -= fits ? size : 0;
  }
  if (fits && rest == 0) return sizes;
  c.refuse(node, fmt::format("its {} parts do not make up {} elements", sizes.size(), extent),
           kDamagedNext);
  return {};
}

Value split(Context& c, const Node& node) {
  const Selection whole(c, node);
  const std::int64_t axis = whole.ok() ? whole.axis(node.integer("axis").value_or(0)) : -1;
  const Dims sizes = axis < 0 ? Dims{} : split_sizes(c, node, whole.extent(axis));
  Value first = Unknown{};
  std::int64_t begin = 0;
  bool ok = !sizes.empty();
  for (int i = 0; i < node.proto().output_size(); ++i) {
    Selection part = whole;
    if (ok) {
      Dims indices(static_cast<std::size_t>(sizes[static_cast<std::size_t>(i)]));
      std::iota(indices.begin(), indices.end(), begin);
      begin += static_cast<std::int64_t>(indices.size());
      ok = part.keep(axis, indices);
    }
    Value value = ok ? part.value() : Value(Unknown{});
    const std::string& name = node.proto().output(i);
    if (name == node.output()) {
      first = std::move(value);
    } else {
      c.define(name, std::move(value));
    }
  }
  return first;
}

}  // namespace

Value gather_channels(Context& c, const Node& node) {
  Selection part(c, node);
  if (!part.ok()) return Unknown{};
  const Constant* at = c.constant(node, 1, "its indices");
  const std::int64_t axis = at == nullptr ? -1 : part.axis(node.integer("axis").value_or(0));
  if (axis < 0) return Unknown{};
  const std::int64_t extent = part.extent(axis);
  Dims indices(at->ints.begin(), at->ints.end());
  bool usable = !at->is_float() && at->dims.size() <= 1;
  for (std::int64_t& i : indices) {
    if (i < 0) i += extent;
    usable = usable && i >= 0 && i < extent;
  }
  if (!usable) {
    return c.refuse(node, fmt::format("its indices are no list of numbers below {}", extent),
                    kDamagedNext);
  }
  if (!part.keep(axis, indices)) return Unknown{};
  if (at->dims.empty()) part.drop(axis);
  return part.value();
}

Value slice_channels(Context& c, const Node& node) {
  Selection part(c, node);
  if (!part.ok()) return Unknown{};
  bool ok[4]{};
  const Dims starts = c.integers(node, 1, "starts", ok[0]).value_or(Dims{});
  const Dims ends = c.integers(node, 2, "ends", ok[1]).value_or(Dims{});
  std::optional<Dims> axes = c.integers(node, 3, "axes", ok[2]);
  const Dims steps = c.integers(node, 4, "steps", ok[3]).value_or(Dims(starts.size(), 1));
  if (!ok[0] || !ok[1] || !ok[2] || !ok[3]) return Unknown{};
  if (!axes) {
    axes = Dims(starts.size());
    std::iota(axes->begin(), axes->end(), 0);
  }
  if (ends.size() != starts.size() || axes->size() != starts.size() ||
      steps.size() != starts.size()) {
    return c.refuse(node, "its starts, ends, axes and steps differ in number", kDamagedNext);
  }
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const bool batch = (*axes)[i] == 0 || (*axes)[i] == -part.rank();
    if (batch && starts[i] == 0 && steps[i] == 1 && ends[i] >= std::max<std::int64_t>(c.batch, 1)) {
      continue;
    }
    const std::int64_t axis = part.axis((*axes)[i]);
    if (axis < 0) return Unknown{};
    const std::int64_t extent = part.extent(axis);
    const Dims indices = import_detail::slice_indices(starts[i], ends[i], steps[i], extent);
    if (!part.keep(axis, indices)) return Unknown{};
  }
  return part.value();
}

std::span<const Handler> selection_handlers() {
  static constexpr Handler kHandlers[]{{"Split", &split}};
  return kHandlers;
}

}  // namespace espalier::onnx_detail
