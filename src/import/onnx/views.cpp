// Changes of view: nothing moves, only the order and number of axes changes.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "onnx/context.hpp"

namespace espalier::onnx_detail {
namespace {

using import_detail::batch_text;
using import_detail::element_count;
using import_detail::kMaxExtent;
using import_detail::kRepeatedNext;
using import_detail::Pads;

// What a node makes of a view and its padding; nullopt after a diagnostic. The operand is there
// where the view is of a tensor.
using Change = std::function<std::optional<View>(const View&, std::vector<Pads>&, Operand*)>;

// False after a diagnostic: the axes along which a tensor is repeated stay what they are.
bool keeps_axes(Context& c, const Node& node, const Dims& repeated, const View& from,
                const View& to) {
  if (repeated.empty() || from == to) return true;
  c.refuse(node, fmt::format("changes the shape of a tensor repeated to {}", batch_text(repeated)),
           kRepeatedNext);
  return false;
}

Value view(Context& c, const Node& node, const Change& change) {
  Value* value = c.resolve(node, 0);
  if (value == nullptr || std::holds_alternative<Unknown>(*value)) return Unknown{};
  std::vector<Pads> none;
  if (auto* input = std::get_if<NetworkInput>(value)) {
    NetworkInput result = *input;
    std::optional<View> changed = change(input->view, result.pads, nullptr);
    if (!changed) return Unknown{};
    result.view = *std::move(changed);
    return result;
  }
  if (auto* waiting = std::get_if<DraftPtr>(value)) {
    std::optional<View> changed = change((*waiting)->view, none, nullptr);
    if (!changed || !keeps_axes(c, node, (*waiting)->repeated, (*waiting)->view, *changed)) {
      return Unknown{};
    }
    if (!none.empty()) {
      return c.refuse(node, "pads a float result that is not quantised", kQuantizeNext);
    }
    Draft draft = Context::take(*value);
    draft.view = *std::move(changed);
    return std::make_unique<Draft>(std::move(draft));
  }
  if (const auto* x = std::get_if<Activation>(value)) {
    Activation result = *x;
    std::optional<View> changed = change(x->operand.view, result.operand.pads, &result.operand);
    if (!changed || !keeps_axes(c, node, x->operand.repeated, x->operand.view, *changed)) {
      return Unknown{};
    }
    result.operand.view = *std::move(changed);
    return result;
  }
  if (const auto* function = std::get_if<MappedPtr>(value)) {
    Mapped result = **function;
    std::optional<View> changed =
        change((*function)->x.operand.view, result.x.operand.pads, &result.x.operand);
    const Operand& own = (*function)->x.operand;
    if (!changed || !keeps_axes(c, node, own.repeated, own.view, *changed)) return Unknown{};
    result.x.operand.view = *std::move(changed);
    return std::make_shared<const Mapped>(std::move(result));
  }
  if (const auto* logits = std::get_if<Logits>(value)) {
    std::optional<View> changed = change(logits->view, none, nullptr);
    if (!changed || !none.empty()) return Unknown{};
    return Logits{*std::move(changed), logits->final, logits->logistic};
  }
  c.report_not_activation(node, 0, *value);
  return Unknown{};
}

Value reshaped(Context& c, const Node& node,
               const std::function<std::optional<Dims>(const Dims&)>& to) {
  return view(
      c, node, [&](const View& from, std::vector<Pads>& pads, Operand* x) -> std::optional<View> {
        const Dims old = from.dims();
        const std::optional<Dims> dims = to(old);
        if (!dims) return std::nullopt;
        std::optional<View> changed = from.reshaped(*dims);
        if (!changed && x != nullptr) changed = c.builder.reshaped(node.where(), *x, *dims);
        if (!changed || !pads.empty()) {
          c.refuse(node,
                   fmt::format("reshapes {} to {} across {}", batch_text(old), batch_text(*dims),
                               pads.empty() ? "transposed axes" : "padding"),
                   "put the change of shape in front of the transposition or the padding");
          return std::nullopt;
        }
        return changed;
      });
}

Value flatten(Context& c, const Node& node) {
  return reshaped(c, node, [&](const Dims& dims) -> std::optional<Dims> {
    std::int64_t axis = node.integer("axis").value_or(1);
    if (axis < 0) axis += static_cast<std::int64_t>(dims.size()) + 1;
    if (axis == 1) return Dims{element_count(dims)};
    c.refuse(node, fmt::format("it flattens at axis {}, across the batch or inside a sample", axis),
             "flatten at axis 1");
    return std::nullopt;
  });
}

Value reshape(Context& c, const Node& node) {
  const Value* first = c.resolve(node, 0);
  if (first != nullptr && std::holds_alternative<Unknown>(*first)) return Unknown{};
  const Constant* target = c.constant(node, 1, "the new shape");
  if (target == nullptr) return Unknown{};
  return reshaped(c, node, [&](const Dims& dims) -> std::optional<Dims> {
    const auto refused = [&](std::string_view why) {
      c.refuse(node, why, "reshape samples only, to [batch,...] with a constant shape");
      return std::nullopt;
    };
    const std::vector<std::int32_t>& shape = target->ints;
    if (target->is_float() || target->dims.size() > 1 || shape.size() < 2 ||
        shape.size() > kMaxRank) {
      return refused("its new shape is not a list of 2 to 8 integers");
    }
    const bool copy_zero = node.integer("allowzero").value_or(0) == 0;
    const bool keeps_batch = (shape[0] == 0 && copy_zero) || shape[0] == -1 || shape[0] == 1 ||
                             shape[0] == kFreeBatch || (c.batch > 0 && shape[0] == c.batch);
    if (!keeps_batch) return refused(fmt::format("it changes the batch to {}", shape[0]));
    Dims result;
    std::int64_t known = 1;
    std::size_t open = 0;  // position of -1 in result, plus 1
    for (std::size_t i = 1; i < shape.size(); ++i) {
      std::int64_t extent = shape[i];
      if (extent == 0 && copy_zero && i - 1 < dims.size()) extent = dims[i - 1];
      if (extent == -1 && open == 0 && shape[0] != -1) {
        open = i;
        extent = 1;
      }
      if (extent < 1 || __builtin_mul_overflow(known, extent, &known)) {
        return refused("its new shape is ambiguous or out of range");
      }
      result.push_back(extent);
    }
    const std::int64_t elements = element_count(dims);
    if (open > 0) {
      if (elements % known != 0) return refused("its new shape does not fit the input");
      result[open - 1] = elements / known;
      known = elements;
    }
    if (known != elements) return refused("its new shape does not fit the input");
    return result;
  });
}

// Computed constants of a shape: nothing moves either.
bool folds_constant(Context& c, const Node& node, Value& result) {
  const Value* value = c.resolve(node, 0);
  const auto* constant = value == nullptr ? nullptr : std::get_if<ConstantPtr>(value);
  if (constant == nullptr) return false;
  auto copy = std::make_shared<Constant>(**constant);
  if (copy->count() == 1 && node.type() == "Squeeze") copy->dims.clear();
  if (copy->dims.empty() && node.type() == "Unsqueeze") copy->dims = {1};
  result = ConstantPtr(std::move(copy));
  return true;
}

Value squeeze(Context& c, const Node& node) {
  bool ok = false;
  Value folded;
  const Dims axes = c.integers(node, 1, "axes", ok).value_or(Dims{});
  if (!ok) return Unknown{};
  if (folds_constant(c, node, folded)) return folded;
  return reshaped(c, node, [&](const Dims& dims) -> std::optional<Dims> {
    const auto rank = static_cast<std::int64_t>(dims.size()) + 1;
    std::vector<bool> drop(dims.size(), false);
    for (std::int64_t axis : axes) {
      if (axis < 0) axis += rank;
      if (axis < 1 || axis >= rank || dims[static_cast<std::size_t>(axis - 1)] != 1) {
        c.refuse(node, fmt::format("axis {} is the batch or not of size 1", axis),
                 "squeeze axes [2,3] behind global pooling");
        return std::nullopt;
      }
      drop[static_cast<std::size_t>(axis - 1)] = true;
    }
    Dims result;
    for (std::size_t i = 0; i < dims.size(); ++i) {
      if (!drop[i]) result.push_back(dims[i]);
    }
    if (axes.empty() || result.empty()) {
      c.refuse(node, "it squeezes every axis of size 1, which can include the batch",
               "name the axes, for example [2,3]");
      return std::nullopt;
    }
    return result;
  });
}

Value unsqueeze(Context& c, const Node& node) {
  bool ok = false;
  Value folded;
  const Dims axes = c.integers(node, 1, "axes", ok).value_or(Dims{});
  if (!ok) return Unknown{};
  if (folds_constant(c, node, folded)) return folded;
  return reshaped(c, node, [&](const Dims& dims) -> std::optional<Dims> {
    const auto rank = static_cast<std::int64_t>(dims.size() + axes.size()) + 1;
    std::vector<bool> added(static_cast<std::size_t>(std::min<std::int64_t>(rank, kMaxRank + 1)));
    for (std::int64_t axis : axes) {
      if (axis < 0) axis += rank;
      if (axis < 1 || axis >= rank || axis > kMaxRank || added[static_cast<std::size_t>(axis)]) {
        c.refuse(node, fmt::format("it adds axis {}, which is the batch or out of range", axis),
                 "add axes behind the batch");
        return std::nullopt;
      }
      added[static_cast<std::size_t>(axis)] = true;
    }
    Dims result;
    std::size_t next = 0;
    for (std::size_t i = 1; i < static_cast<std::size_t>(rank); ++i) {
      result.push_back(i < added.size() && added[i] ? 1 : dims[next++]);
    }
    return result;
  });
}

Value transpose(Context& c, const Node& node) {
  return view(c, node,
              [&](const View& from, std::vector<Pads>& pads, Operand*) -> std::optional<View> {
                const std::size_t rank = from.rank();
                Dims perm = node.integers("perm").value_or(Dims{});
                if (perm.empty()) {
                  for (std::size_t i = rank + 1; i-- > 0;)
                    perm.push_back(static_cast<std::int64_t>(i));
                }
                Dims sorted = perm;
                std::sort(sorted.begin(), sorted.end());
                bool is_permutation = perm.size() == rank + 1;
                for (std::size_t i = 0; i < sorted.size(); ++i) {
                  is_permutation = is_permutation && sorted[i] == static_cast<std::int64_t>(i);
                }
                if (!is_permutation) {
                  c.refuse(node, "its permutation does not fit the input", kDamagedNext);
                  return std::nullopt;
                }
                if (perm[0] != 0) {
                  c.refuse(node, "it moves the batch", "leave the batch in front");
                  return std::nullopt;
                }
                std::vector<std::size_t> order;
                std::vector<Pads> moved;
                for (std::size_t i = 1; i < perm.size(); ++i) {
                  order.push_back(static_cast<std::size_t>(perm[i] - 1));
                  if (!pads.empty()) moved.push_back(pads[order.back()]);
                }
                pads = std::move(moved);
                return from.transposed(order);
              });
}

// The pads of `axes` alone as pads of all axes; nullopt when they do not fit.
std::optional<Dims> pads_of_all_axes(const Dims& amounts, const Dims& axes, std::int64_t rank) {
  Dims all(static_cast<std::size_t>(2 * rank), 0);
  if (amounts.size() != 2 * axes.size()) return std::nullopt;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
    if (axis < 0 || axis >= rank) return std::nullopt;
    all[static_cast<std::size_t>(axis)] += amounts[i];
    all[static_cast<std::size_t>(axis + rank)] += amounts[axes.size() + i];
  }
  return all;
}

// Padding with zeros; the convolution or maximum pool behind it takes it in.
Value pad(Context& c, const Node& node) {
  const auto refused = [&](std::string_view why) {
    return c.refuse(node, why,
                    "pad with constant zeros, or fold it into the pads of the next Conv");
  };
  if (node.string("mode").value_or("constant") != "constant") {
    return refused(fmt::format("it pads by '{}'", printable(*node.string("mode"))));
  }
  bool ok = false;
  const Dims stated = c.integers(node, 1, "pads", ok).value_or(Dims{});
  if (!ok) return Unknown{};
  const std::optional<Dims> axes = c.integers(node, 3, "axes", ok);
  if (!ok) return Unknown{};
  double fill = node.real("value").value_or(0.0F);
  if (node.has_input(2)) {
    const Value* value = c.resolve(node, 2);
    if (value == nullptr || std::holds_alternative<Unknown>(*value)) return Unknown{};
    const Numbers constant = numbers(*value);
    if (constant.count() != 1) return refused("its value is not one constant number");
    fill = constant.is_float() || !constant.scales.empty() ? constant.real(0, 0)
                                                           : constant.integers[0];
  }
  // Integers are zero at their zero point.
  const Value* first = c.resolve(node, 0);
  const auto* x = first == nullptr ? nullptr : std::get_if<Activation>(first);
  if (x != nullptr && x->quantized) {
    fill -= c.builder.tensor(x->operand.tensor).quantization.zero_point +
            (x->is_unsigned ? kUnsignedShift : 0);
  }
  if (fill != 0) return refused("it pads with another value than zero");
  return view(
      c, node, [&](const View& from, std::vector<Pads>& pads, Operand*) -> std::optional<View> {
        const std::size_t rank = from.rank();
        const Dims amounts =
            axes ? pads_of_all_axes(stated, *axes, static_cast<std::int64_t>(rank) + 1)
                       .value_or(Dims{})
                 : stated;
        bool usable = amounts.size() == 2 * (rank + 1) && amounts[0] == 0 && amounts[rank + 1] == 0;
        for (const std::int64_t amount : amounts)
          usable = usable && amount >= 0 && amount <= kMaxExtent;
        if (!usable) {
          refused("its pads are negative, out of range or pad the batch");
          return std::nullopt;
        }
        pads.resize(rank);
        bool any = false;
        for (std::size_t i = 0; i < rank; ++i) {
          pads[i].before += static_cast<int>(amounts[i + 1]);
          pads[i].after += static_cast<int>(amounts[rank + 2 + i]);
          any = any || pads[i].before > 0 || pads[i].after > 0;
          if (pads[i].before > kMaxExtent || pads[i].after > kMaxExtent) {
            refused("with those before it its pads are out of range");
            return std::nullopt;
          }
        }
        if (!any) pads.clear();
        return from;
      });
}

Value identity(Context& c, const Node& node) {
  const Value* value = c.resolve(node, 0);
  if (value == nullptr) return Unknown{};
  if (const auto* plain = std::get_if<ConstantPtr>(value)) return *plain;
  if (const auto* quantized = std::get_if<QuantizedPtr>(value)) return *quantized;
  return view(c, node,
              [](const View& from, std::vector<Pads>&, Operand*) { return std::optional(from); });
}

Value dropout(Context& c, const Node& node) {
  if (node.has_input(2)) {
    const Constant* training = c.constant(node, 2, "training_mode");
    if (training == nullptr) return Unknown{};
    if (training->is_float() || training->count() != 1 || training->ints[0] != 0) {
      return c.refuse(node, "it is in training mode", "export the model for inference");
    }
  }
  return identity(c, node);
}

// The view of a value that is no constant; nullptr where it has none.
const View* view_of(const Value& value) {
  if (const auto* input = std::get_if<NetworkInput>(&value)) return &input->view;
  if (const auto* waiting = std::get_if<DraftPtr>(&value)) return &(*waiting)->view;
  if (const auto* x = std::get_if<Activation>(&value)) return &x->operand.view;
  if (const auto* function = std::get_if<MappedPtr>(&value)) return &(*function)->x.operand.view;
  const auto* logits = std::get_if<Logits>(&value);
  return logits == nullptr ? nullptr : &logits->view;
}

// True where a new shape repeats nothing; extents count from the last.
bool stays(const Dims& dims, const std::vector<std::int32_t>& shape) {
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::int64_t own = i < dims.size() ? dims[dims.size() - 1 - i] : 1;
    const std::int64_t to = shape[shape.size() - 1 - i];
    if (to != 1 && to != own) return false;
  }
  return true;
}

// A value whose extents are repeated to `extents`; they add to those that it is repeated to.
Value repeat(Context& c, const Node& node, Value& value, const Dims& extents) {
  const auto add = [&extents](Dims& repeated) {
    if (repeated.empty()) repeated = extents;
    for (std::size_t i = 0; i < extents.size(); ++i) {
      repeated[i] = std::max(repeated[i], extents[i]);
    }
  };
  if (std::holds_alternative<DraftPtr>(value)) {
    Draft draft = Context::take(value);
    add(draft.repeated);
    return std::make_unique<Draft>(std::move(draft));
  }
  if (const auto* function = std::get_if<MappedPtr>(&value)) {
    Mapped result = **function;
    add(result.x.operand.repeated);
    return std::make_shared<const Mapped>(std::move(result));
  }
  if (const auto* x = std::get_if<Activation>(&value)) {
    Activation result = *x;
    add(result.operand.repeated);
    return result;
  }
  return c.refuse(node, fmt::format("repeats its input to {}", batch_text(extents)), kRepeatedNext);
}

// A gate as large as its map: it stays small, for a product broadcasts by itself. What else reads
// it is refused.
Value expand(Context& c, const Node& node) {
  Value* value = c.resolve(node, 0);
  if (value == nullptr || std::holds_alternative<Unknown>(*value)) return Unknown{};
  const Constant* shape = c.constant(node, 1, "the new shape");
  if (shape == nullptr) return Unknown{};
  if (const Dims* own = constant_dims(*value)) {
    if (!shape->is_float() && stays(*own, shape->ints)) return identity(c, node);
    return c.refuse(node, "repeats a constant", "fold constants before quantising");
  }
  const View* from = view_of(*value);
  if (from == nullptr) {
    c.report_not_activation(node, 0, *value);
    return Unknown{};
  }
  const Dims dims = from->dims();
  Dims wide = dims;
  bool fits = !shape->is_float() && shape->ints.size() == dims.size() + 1;
  for (std::size_t i = 0; fits && i < dims.size(); ++i) {
    const std::int64_t to = shape->ints[i + 1];
    fits = to == dims[i] || to == 1 || (dims[i] == 1 && to > 1);
    wide[i] = std::max(dims[i], to);
  }
  if (!fits) return c.refuse(node, "it does not fit its input", kDamagedNext);
  return wide == dims ? identity(c, node) : repeat(c, node, *value, wide);
}

// A change of type that no value notices: floats stay floats, shapes stay shapes, and an integer
// input becomes the float that is quantised next.
Value cast(Context& c, const Node& node) {
  const Value* value = c.resolve(node, 0);
  if (value == nullptr || std::holds_alternative<Unknown>(*value)) return Unknown{};
  const std::int64_t to = node.integer("to").value_or(0);
  if (const auto* plain = std::get_if<ConstantPtr>(value)) {
    const bool integers = to == onnx::TensorProto::INT64 || to == onnx::TensorProto::INT32;
    if (integers && !(*plain)->is_float()) return *plain;
    if (to == onnx::TensorProto::FLOAT && (*plain)->is_float()) return *plain;
    if (to == onnx::TensorProto::FLOAT) {
      auto real = std::make_shared<Constant>();
      real->dims = (*plain)->dims;
      for (const std::int32_t i : (*plain)->ints) real->floats.push_back(static_cast<float>(i));
      return ConstantPtr(std::move(real));
    }
  } else if (to == onnx::TensorProto::INT32 || to == onnx::TensorProto::INT64) {
    // Integers stay what they are: the index of a table.
    if (std::holds_alternative<TablePtr>(*value) && !finish_table(c, std::string(node.input(0)))) {
      return Unknown{};
    }
    const auto* x = std::get_if<Activation>(value);
    if (x != nullptr && x->quantized) return *x;
  } else if (to == onnx::TensorProto::FLOAT) {
    const auto* x = std::get_if<Activation>(value);
    if (x == nullptr || !x->quantized) return identity(c, node);
  }
  return c.refuse(node, "it changes the type of a tensor", "export the model without the Cast");
}

}  // namespace

std::span<const Handler> view_handlers() {
  static constexpr Handler kHandlers[]{
      {"Cast", &cast},           {"Dropout", &dropout},   {"Expand", &expand},
      {"Flatten", &flatten},     {"Identity", &identity}, {"Pad", &pad},
      {"Reshape", &reshape},     {"Squeeze", &squeeze},   {"Transpose", &transpose},
      {"Unsqueeze", &unsqueeze},
  };
  return kHandlers;
}

}  // namespace espalier::onnx_detail
