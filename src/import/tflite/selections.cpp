// SPLIT, SPLIT_V, SLICE, STRIDED_SLICE and GATHER of channels.
#include <fmt/format.h>

#include <numeric>
#include <utility>

#include "tflite/context.hpp"

namespace espalier::tflite_detail {
namespace {

using import_detail::batch_text;

constexpr std::string_view kApartNext = "take channels apart, not samples, rows or columns";

// An axis behind the batch as the file counts them; 0 after a diagnostic.
std::int64_t sample_axis(Context& c, const Node& node, const Operand& x, std::int64_t axis) {
  const auto rank = static_cast<std::int64_t>(x.view.rank()) + 1;
  if (axis < 0) axis += rank;
  if (axis >= 1 && axis < rank) return axis;
  c.refuse(
      node,
      fmt::format("works along axis {} of {}, the batch or none", axis, batch_text(x.view.dims())),
      kApartNext);
  return 0;
}

// An operand in the dimensions that the file states for an output; Unknown for nullopt.
Value as_stated(Context& c, const Node& node, std::optional<Operand> kept, int output) {
  const std::optional<Dims> stated = c.sample_dims(node, output);
  if (!kept || !stated) return Unknown{};
  std::optional<View> view = kept->view.reshaped(*stated);
  if (!view) {
    return c.refuse(node,
                    fmt::format("its output is {}, the file says {}", batch_text(kept->view.dims()),
                                batch_text(*stated)),
                    kDamagedNext);
  }
  kept->view = *std::move(view);
  return Activation{*std::move(kept)};
}

// Elements of an axis.
Value part(Context& c, const Node& node, const Operand& x, std::int64_t axis, const Dims& indices,
           int output) {
  return as_stated(c, node,
                   c.builder.select(node.where, x, static_cast<std::size_t>(axis - 1), indices),
                   output);
}

// Defines every output as the next so many elements of an axis; the value of the first.
Value split_by(Context& c, const Node& node, const Operand& x, std::int64_t axis,
               const Dims& sizes) {
  const auto& outputs = *node.op.outputs();
  const std::int64_t extent = x.view.dims()[static_cast<std::size_t>(axis - 1)];
  bool fits = sizes.size() == outputs.size();
  std::int64_t rest = extent;
  for (const std::int64_t size : sizes) {
    fits = fits && size >= 1 && size <= rest;
    rest -= fits ? size : 0;
  }
  if (!fits || rest != 0) {
    return c.refuse(node,
                    fmt::format("its {} parts do not make up {} elements", sizes.size(), extent),
                    kDamagedNext);
  }
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    Dims indices(static_cast<std::size_t>(sizes[i]));
    std::iota(indices.begin(), indices.end(), begin);
    begin += sizes[i];
    const int output = outputs.Get(static_cast<flatbuffers::uoffset_t>(i));
    Value value = part(c, node, x, axis, indices, output);
    if (std::holds_alternative<Unknown>(value)) return value;
    c.define(output, std::move(value));
  }
  return c.value(node.output());
}

// One number among the constants; nullopt after a diagnostic.
std::optional<std::int64_t> number(Context& c, const Node& node, std::size_t input,
                                   std::string_view role) {
  const std::vector<std::int32_t>* values = c.integers(node, input, role);
  if (values == nullptr) return std::nullopt;
  if (values->size() == 1) return values->front();
  c.refuse(node, fmt::format("{} is not one number", role), kDamagedNext);
  return std::nullopt;
}

Value split(Context& c, const Node& node) {
  const std::optional<std::int64_t> wanted = number(c, node, 0, "its axis");
  const std::optional<Operand> x = c.activation(node, 1);
  if (!wanted || !x) return Unknown{};
  const std::int64_t axis = sample_axis(c, node, *x, *wanted);
  if (axis == 0) return Unknown{};
  const auto parts = static_cast<std::int64_t>(node.op.outputs()->size());
  const std::int64_t extent = x->view.dims()[static_cast<std::size_t>(axis - 1)];
  return split_by(c, node, *x, axis, Dims(static_cast<std::size_t>(parts), extent / parts));
}

Value split_by_sizes(Context& c, const Node& node) {
  const std::optional<Operand> x = c.activation(node, 0);
  const std::vector<std::int32_t>* stated = c.integers(node, 1, "its sizes");
  const std::optional<std::int64_t> wanted = number(c, node, 2, "its axis");
  if (!wanted || !x || stated == nullptr) return Unknown{};
  const std::int64_t axis = sample_axis(c, node, *x, *wanted);
  if (axis == 0) return Unknown{};
  Dims sizes(stated->begin(), stated->end());
  std::int64_t rest = x->view.dims()[static_cast<std::size_t>(axis - 1)];
  for (const std::int64_t size : sizes) rest -= size > 0 ? size : 0;
  for (std::int64_t& size : sizes) {
    if (size == -1) size = rest;  // one of them may be what is left
  }
  return split_by(c, node, *x, axis, sizes);
}

// Which elements of every axis, the batch among them, a node takes; nullopt after a diagnostic.
using Indices = std::vector<Dims>;

Value slice_by(Context& c, const Node& node, const Operand& x, const Indices& wanted) {
  const Dims dims = x.view.dims();
  if (wanted[0] != Dims{0}) return c.refuse(node, "takes samples apart", kApartNext);
  Operand kept = x;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    const Dims& indices = wanted[i + 1];
    Dims all(static_cast<std::size_t>(dims[i]));
    std::iota(all.begin(), all.end(), 0);
    if (indices == all) continue;
    std::optional<Operand> next = c.builder.select(node.where, kept, i, indices);
    if (!next) return Unknown{};
    kept = *std::move(next);
  }
  return as_stated(c, node, std::move(kept), node.output());
}

// True when a node computes on shapes, or on what was refused.
bool on_shapes(const Context& c, const Node& node) {
  const Value& first = c.value(node.input(0));
  return !std::holds_alternative<Activation>(first);
}

Value slice(Context& c, const Node& node) {
  if (on_shapes(c, node)) return shape_arithmetic(c, node);
  const std::optional<Operand> x = c.activation(node, 0);
  const std::vector<std::int32_t>* begins = c.integers(node, 1, "its begins");
  const std::vector<std::int32_t>* sizes = c.integers(node, 2, "its sizes");
  if (!x || begins == nullptr || sizes == nullptr) return Unknown{};
  const std::size_t rank = x->view.rank() + 1;
  if (begins->size() != rank || sizes->size() != rank) {
    return c.refuse(node, "its begins and sizes do not fit its input", kDamagedNext);
  }
  Dims dims = x->view.dims();
  dims.insert(dims.begin(), 1);
  Indices wanted(rank);
  for (std::size_t i = 0; i < rank; ++i) {
    const std::int64_t begin = (*begins)[i];
    const std::int64_t size = (*sizes)[i] == -1 ? dims[i] - begin : (*sizes)[i];
    if (begin < 0 || size < 1 || begin + size > dims[i]) {
      return c.refuse(
          node, fmt::format("takes elements {} to {} of {}", begin, begin + size - 1, dims[i]),
          kDamagedNext);
    }
    wanted[i] = import_detail::slice_indices(begin, begin + size, 1, dims[i]);
  }
  return slice_by(c, node, *x, wanted);
}

Value strided_slice(Context& c, const Node& node) {
  if (on_shapes(c, node)) return shape_arithmetic(c, node);
  const std::optional<Operand> x = c.activation(node, 0);
  const std::vector<std::int32_t>* begins = c.integers(node, 1, "its begins");
  const std::vector<std::int32_t>* ends = c.integers(node, 2, "its ends");
  const std::vector<std::int32_t>* steps = c.integers(node, 3, "its steps");
  if (!x || begins == nullptr || ends == nullptr || steps == nullptr) return Unknown{};
  const auto* options = node.op.options_as_StridedSliceOptions();
  const int shrunk = options == nullptr ? 0 : options->shrink_axis_mask();
  if (options != nullptr && (options->ellipsis_mask() != 0 || options->new_axis_mask() != 0)) {
    return c.refuse(node, "it has an ellipsis or new axes", "name every axis");
  }
  const std::size_t given = begins->size();
  Dims dims = x->view.dims();
  dims.insert(dims.begin(), 1);
  if (given > dims.size() || ends->size() != given || steps->size() != given) {
    return c.refuse(node, "its begins, ends and steps do not fit its input", kDamagedNext);
  }
  Indices wanted(dims.size());
  for (std::size_t i = 0; i < dims.size(); ++i) {
    const auto has = [&](int mask) { return (mask >> i & 1) != 0; };
    const std::int64_t step = i < given ? (*steps)[i] : 1;
    const bool from_end = step < 0;
    std::int64_t begin = i < given ? (*begins)[i] : 0;
    std::int64_t end = i < given ? (*ends)[i] : dims[i];
    if (options != nullptr && has(options->begin_mask())) begin = from_end ? INT32_MAX : 0;
    if (options != nullptr && has(options->end_mask())) end = from_end ? INT32_MIN : INT32_MAX;
    if (has(shrunk)) end = begin == -1 ? INT32_MAX : begin + 1;
    wanted[i] = import_detail::slice_indices(begin, end, has(shrunk) ? 1 : step, dims[i]);
  }
  return slice_by(c, node, *x, wanted);
}

Value gather(Context& c, const Node& node) {
  if (on_shapes(c, node)) return shape_arithmetic(c, node);
  const std::optional<Operand> x = c.activation(node, 0);
  const std::vector<std::int32_t>* stated = c.integers(node, 1, "its indices");
  if (!x || stated == nullptr) return Unknown{};
  const auto* options = node.op.options_as_GatherOptions();
  const std::int64_t axis = sample_axis(c, node, *x, options == nullptr ? 0 : options->axis());
  if (axis == 0) return Unknown{};
  const std::int64_t extent = x->view.dims()[static_cast<std::size_t>(axis - 1)];
  const Dims indices(stated->begin(), stated->end());
  for (const std::int64_t i : indices) {
    if (i < 0 || i >= extent) {
      return c.refuse(node, fmt::format("takes element {} of {}", i, extent), kDamagedNext);
    }
  }
  return part(c, node, *x, axis, indices, node.output());
}

}  // namespace

std::span<const Handler> selection_handlers() {
  static constexpr Handler kHandlers[]{{BuiltinOperator::GATHER, &gather},
                                       {BuiltinOperator::SLICE, &slice},
                                       {BuiltinOperator::SPLIT, &split},
                                       {BuiltinOperator::SPLIT_V, &split_by_sizes},
                                       {BuiltinOperator::STRIDED_SLICE, &strided_slice}};
  return kHandlers;
}

}  // namespace espalier::tflite_detail
