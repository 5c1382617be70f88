// Changes of view: nothing moves, only the order and number of axes changes.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "tflite/context.hpp"

namespace espalier::tflite_detail {
namespace {

using import_detail::batch_text;
using import_detail::element_count;
using import_detail::Pads;

// What a node makes of a view and its padding; nullopt after a diagnostic. The activation is there
// where the view is of a tensor.
using Change = std::function<std::optional<View>(const View&, std::vector<Pads>&, Activation*)>;

Value view(Context& c, const Node& node, const Change& change, bool rows = false) {
  Value value = c.value(node.input(0));
  std::vector<Pads> none;
  std::optional<View> changed;
  if (auto* input = std::get_if<FloatInput>(&value)) {
    changed = change(input->view, input->pads, nullptr);
    if (changed) input->view = *std::move(changed);
  } else if (auto* x = std::get_if<Activation>(&value); x != nullptr && (rows || !x->rows)) {
    const View from = x->operand.view;
    changed = change(from, x->operand.pads, x);
    if (changed) x->operand.view = *std::move(changed);
  } else if (auto* logits = std::get_if<Logits>(&value)) {
    changed = change(logits->view, none, nullptr);
    if (changed) logits->view = *std::move(changed);
  } else {
    c.report_not_activation(node, node.input(0));
  }
  return changed ? std::move(value) : Value(Unknown{});
}

// A padded view under dimensions, padding included, that differ from its own in axes of extent 1
// alone; nullopt where they do not.
std::optional<View> reshaped_padded(const View& from, std::vector<Pads>& pads, const Dims& to) {
  const Dims dims = from.dims();
  const auto extent = [&](std::size_t i) { return dims[i] + pads[i].before + pads[i].after; };
  Dims bare;
  std::vector<Pads> moved;
  std::size_t at = 0;
  for (const std::int64_t wanted : to) {
    while (at < dims.size() && extent(at) == 1 && wanted != 1) ++at;
    const bool own = at < dims.size() && extent(at) == wanted;
    if (!own && wanted != 1) return std::nullopt;
    bare.push_back(own ? dims[at] : 1);
    moved.push_back(own ? pads[at] : Pads{});
    if (own) ++at;
  }
  while (at < dims.size() && extent(at) == 1) ++at;
  if (at != dims.size()) return std::nullopt;
  std::optional<View> view = from.reshaped(bare);
  if (view) pads = std::move(moved);
  return view;
}

// True for the dimensions of a series and of an image of one row, whatever the batch.
bool series_or_row(Dims a, Dims b) {
  std::erase(a, 1);
  std::erase(b, 1);
  return a == b;
}

// RESHAPE, SQUEEZE and EXPAND_DIMS: the file states the result.
Value reshape(Context& c, const Node& node) {
  if (std::holds_alternative<ShapeArithmetic>(c.value(node.input(0)))) return ShapeArithmetic{};
  // What is spread is an image throughout.
  if (const auto* spread = std::get_if<Spread>(&c.value(node.input(0)));
      spread != nullptr && series_or_row(c.dims(node.input(0)), c.dims(node.output()))) {
    return *spread;
  }
  return view(
      c, node,
      [&](const View& from, std::vector<Pads>& pads, Activation* x) -> std::optional<View> {
        const std::optional<Stated> to =
            c.stated(node, node.output(), x == nullptr ? 0 : from.elements());
        if (!to) return std::nullopt;
        if (!pads.empty()) {
          std::optional<View> padded = reshaped_padded(from, pads, to->dims);
          if (padded) return padded;
        } else if (element_count(to->dims) != from.elements() && c.shape_is_free(node.output())) {
          c.refuse(node,
                   fmt::format("reshapes {} to a shape that is computed at run time",
                               batch_text(from.dims())),
                   "convert the model for a batch of 1 and a fixed input size");
          return std::nullopt;
        }
        std::optional<View> changed = from.reshaped(to->dims);
        if (!changed && x != nullptr) {
          changed = c.builder.reshaped(node.where, x->operand, to->dims);
        }
        if (!changed || !pads.empty()) {
          c.refuse(node,
                   fmt::format("reshapes {} to {} across {}", batch_text(from.dims()),
                               batch_text(to->dims), pads.empty() ? "transposed axes" : "padding"),
                   "put the change of shape in front of the transposition or the padding");
          return std::nullopt;
        }
        if (x != nullptr) x->rows = to->rows;
        return changed;
      },
      true);
}

Value transpose(Context& c, const Node& node) {
  const std::vector<std::int32_t>* perm = c.integers(node, 1, "its permutation");
  if (perm == nullptr) return Unknown{};
  return view(c, node,
              [&](const View& from, std::vector<Pads>& pads, Activation*) -> std::optional<View> {
                std::vector<std::int32_t> sorted = *perm;
                std::sort(sorted.begin(), sorted.end());
                bool usable = perm->size() == from.rank() + 1 && (*perm)[0] == 0;
                for (std::size_t i = 0; i < sorted.size(); ++i) {
                  usable = usable && sorted[i] == static_cast<std::int32_t>(i);
                }
                if (!usable) {
                  c.refuse(node, "its permutation moves the batch or does not fit the input",
                           "leave the batch in front");
                  return std::nullopt;
                }
                std::vector<std::size_t> order;
                std::vector<Pads> moved;
                for (std::size_t i = 1; i < perm->size(); ++i) {
                  order.push_back(static_cast<std::size_t>((*perm)[i] - 1));
                  if (!pads.empty()) moved.push_back(pads[order.back()]);
                }
                pads = std::move(moved);
                return from.transposed(order);
              });
}

// Blocks become samples, so that the convolution behind it sees every n-th input: its dilation. Of
// a series, which is an image for the convolution alone, too.
Value space_to_batch(Context& c, const Node& node) {
  const std::vector<std::int32_t>* block = c.integers(node, 1, "its block");
  const std::vector<std::int32_t>* amounts = c.integers(node, 2, "its padding");
  std::optional<import_detail::Operand> x = c.activation(node, 0);
  if (block == nullptr || amounts == nullptr || !x) return Unknown{};
  const auto in_range = [](std::int32_t value, std::int32_t lowest) {
    return value >= lowest && value <= import_detail::kMaxExtent;
  };
  const std::size_t axes = block->size();
  bool usable =
      (axes == 1 || axes == 2) && amounts->size() == 2 * axes && x->view.rank() == axes + 1;
  for (const std::int32_t b : *block) usable = usable && in_range(b, 1);
  for (const std::int32_t amount : *amounts) usable = usable && in_range(amount, 0);
  if (!usable) {
    return c.refuse(node, "its block or padding is not that of an image",
                    "convert the model again with dilation_rate in the layer");
  }
  // A series is an image of one row.
  if (axes == 1) {
    const Dims dims = x->view.dims();
    x->view = x->view.reshaped({1, dims[0], dims[1]}).value();
    if (!x->pads.empty()) x->pads.insert(x->pads.begin(), Pads{});
  }
  x->pads.resize(3);
  for (std::size_t axis = 0; axis < axes; ++axis) {
    Pads& pads = x->pads[2 - axes + axis];
    pads.before += (*amounts)[2 * axis];
    pads.after += (*amounts)[2 * axis + 1];
  }
  return Spread{*std::move(x), axes == 1 ? 1 : block->front(), block->back()};
}

Value batch_to_space(Context& c, const Node& node) {
  const auto* spread = std::get_if<Spread>(&c.value(node.input(0)));
  if (spread != nullptr && spread->convolved) {
    Operand made = spread->operand;
    const Dims dims = made.view.dims();
    if (dims[0] == 1 && c.dims(node.output()).size() == 3) {
      made.view = made.view.reshaped({dims[1], dims[2]}).value();
    }
    return Activation{std::move(made)};
  }
  if (!std::holds_alternative<Unknown>(c.value(node.input(0)))) {
    c.refuse(node, "has no convolution and SPACE_TO_BATCH_ND before it",
             "convert the model again with dilation_rate in the layer");
  }
  return Unknown{};
}

// Padding with zeros, or with the lowest value; the convolution or maximum pool behind it takes it
// in.
Value pad(Context& c, const Node& node) {
  const std::vector<std::int32_t>* amounts = c.integers(node, 1, "its padding");
  if (amounts == nullptr) return Unknown{};
  bool lowest = false;
  if (node.code == BuiltinOperator::PADV2) {
    const std::vector<std::int32_t>* fill = c.integers(node, 2, "its value");
    const std::optional<ir::Quantization> q = c.quantization(node, node.output());
    if (fill == nullptr || !q) return Unknown{};
    const int shift = c.tensor(node.input(2)).type() == TensorType::UINT8 ? 128 : 0;
    const std::int32_t value = fill->size() == 1 ? (*fill)[0] - shift : INT32_MAX;
    lowest = value == INT8_MIN && value != q->zero_point;
    if (!lowest && value != q->zero_point) {
      return c.refuse(node, "it pads with another value than zero", "pad with zeros");
    }
  }
  return view(c, node,
              [&](const View& from, std::vector<Pads>& pads, Activation* x) -> std::optional<View> {
                const std::size_t rank = from.rank();
                if (x == nullptr ? lowest : !pads.empty() && x->operand.lowest_pads != lowest) {
                  c.refuse(node, "it pads with another value than zero", "pad with zeros");
                  return std::nullopt;
                }
                if (x != nullptr) x->operand.lowest_pads = lowest;
                bool usable =
                    amounts->size() == 2 * (rank + 1) && (*amounts)[0] == 0 && (*amounts)[1] == 0;
                for (const std::int32_t amount : *amounts) {
                  usable = usable && amount >= 0 && amount <= import_detail::kMaxExtent;
                }
                if (!usable) {
                  c.refuse(node, "its padding is negative, out of range or pads the batch",
                           "pad rows and columns alone");
                  return std::nullopt;
                }
                pads.resize(rank);
                bool any = false;
                for (std::size_t i = 0; i < rank; ++i) {
                  pads[i].before += (*amounts)[2 * i + 2];
                  pads[i].after += (*amounts)[2 * i + 3];
                  any = any || pads[i].before > 0 || pads[i].after > 0;
                  if (pads[i].before > import_detail::kMaxExtent ||
                      pads[i].after > import_detail::kMaxExtent) {
                    c.refuse(node, "with that before it its padding is out of range", kDamagedNext);
                    return std::nullopt;
                  }
                }
                if (!any) pads.clear();
                return from;
              });
}

}  // namespace

// Operators that compute the new shape of a RESHAPE. Its result is stated by the file, so that
// nothing has to be computed.
Value shape_arithmetic(Context& c, const Node& node) {
  bool shapes = node.code == BuiltinOperator::SHAPE;
  for (std::size_t i = 0; node.input(i) >= 0; ++i) {
    const Value& value = c.value(node.input(i));
    if (std::holds_alternative<ShapeArithmetic>(value)) shapes = true;
    if (std::holds_alternative<Unknown>(value)) return Unknown{};
  }
  if (shapes) return ShapeArithmetic{};
  return c.refuse(node, "this operator is not supported", "rewrite the network without it");
}

std::span<const Handler> view_handlers() {
  static constexpr Handler kHandlers[]{{BuiltinOperator::BATCH_TO_SPACE_ND, &batch_to_space},
                                       {BuiltinOperator::SPACE_TO_BATCH_ND, &space_to_batch},
                                       {BuiltinOperator::CAST, &shape_arithmetic},
                                       {BuiltinOperator::EXPAND_DIMS, &reshape},
                                       {BuiltinOperator::PACK, &shape_arithmetic},
                                       {BuiltinOperator::PAD, &pad},
                                       {BuiltinOperator::PADV2, &pad},
                                       {BuiltinOperator::REDUCE_PROD, &shape_arithmetic},
                                       {BuiltinOperator::RESHAPE, &reshape},
                                       {BuiltinOperator::SHAPE, &shape_arithmetic},
                                       {BuiltinOperator::SQUEEZE, &reshape},
                                       {BuiltinOperator::TRANSPOSE, &transpose}};
  return kHandlers;
}

}  // namespace espalier::tflite_detail
