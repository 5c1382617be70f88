// Constants, and the shape arithmetic that exporters leave in front of a Reshape.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "onnx/context.hpp"

namespace espalier::onnx_detail {
namespace {

constexpr std::string_view kFoldNext =
    "export with a fixed input size and simplify the model, so that shapes are constants";

Value integers_value(std::vector<std::int32_t> values, bool scalar) {
  auto constant = std::make_shared<Constant>();
  constant->element = Element::kInt64;
  if (!scalar) constant->dims = {static_cast<std::int64_t>(values.size())};
  constant->ints = std::move(values);
  return ConstantPtr(std::move(constant));
}

Value constant_node(Context& c, const Node& node) {
  const onnx::AttributeProto* value = node.attribute("value");
  if (value != nullptr && value->type() == onnx::AttributeProto::TENSOR) {
    Result<Constant> decoded = decode_constant(value->t());
    if (!decoded.ok()) return c.refuse(node, decoded.error().message(), "fix the constant");
    return ConstantPtr(std::make_shared<const Constant>(std::move(decoded).value()));
  }
  if (const auto real = node.real("value_float")) {
    auto constant = std::make_shared<Constant>();
    constant->floats = {*real};
    return ConstantPtr(std::move(constant));
  }
  if (const onnx::AttributeProto* reals = node.attribute("value_floats");
      reals != nullptr && reals->type() == onnx::AttributeProto::FLOATS) {
    auto constant = std::make_shared<Constant>();
    constant->dims = {reals->floats_size()};
    constant->floats.assign(reals->floats().begin(), reals->floats().end());
    return ConstantPtr(std::move(constant));
  }
  std::optional<Dims> integers = node.integers("value_ints");
  const bool scalar = !integers.has_value();
  if (const auto integer = node.integer("value_int")) integers = Dims{*integer};
  if (!integers) {
    return c.refuse(node, "its value is of an unsupported kind", "make it an initializer");
  }
  std::vector<std::int32_t> narrow;
  for (const std::int64_t i : *integers) {
    narrow.push_back(in_32_bits(i));
  }
  return integers_value(std::move(narrow), scalar);
}

// The dimensions of an activation, the batch among them; from opset 15 on a part of them.
Value shape(Context& c, const Node& node) {
  const Value* value = c.resolve(node, 0);
  if (value == nullptr || std::holds_alternative<Unknown>(*value)) return Unknown{};
  Dims dims;
  if (const auto* input = std::get_if<NetworkInput>(value)) {
    dims = input->view.dims();
  } else if (const auto* x = std::get_if<Activation>(value)) {
    dims = x->operand.repeated.empty() ? x->operand.view.dims() : x->operand.repeated;
    if (!x->operand.pads.empty()) return c.refuse(node, "reads a padded tensor", kFoldNext);
  } else if (const auto* draft = std::get_if<DraftPtr>(value)) {
    dims = (*draft)->repeated.empty() ? (*draft)->dims() : (*draft)->repeated;
  } else if (const auto* logits = std::get_if<Logits>(value)) {
    dims = logits->view.dims();
  } else {
    return c.refuse(node, "reads something else than an activation", kFoldNext);
  }
  std::vector<std::int32_t> result{c.batch > 0 ? static_cast<std::int32_t>(c.batch) : kFreeBatch};
  for (const std::int64_t extent : dims) result.push_back(static_cast<std::int32_t>(extent));
  const auto rank = static_cast<std::int64_t>(result.size());
  const auto bound = [rank](std::int64_t at) {
    return std::clamp<std::int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const std::int64_t begin = bound(node.integer("start").value_or(0));
  const std::int64_t end = std::max(begin, bound(node.integer("end").value_or(rank)));
  return integers_value({result.begin() + begin, result.begin() + end}, false);
}

// A constant list of integers; nullptr after a diagnostic.
const Constant* list(Context& c, const Node& node, int input) {
  const Constant* found = c.constant(node, input, "an operand");
  if (found == nullptr) return nullptr;
  if (!found->is_float() && found->dims.size() <= 1) return found;
  c.refuse(node, "works on a constant that is not a list of integers", kFoldNext);
  return nullptr;
}

Value gather(Context& c, const Node& node) {
  const Value* table = c.resolve(node, 0);
  const Value* index = c.resolve(node, 1);
  if (table != nullptr && index != nullptr && std::holds_alternative<ConstantPtr>(*table) &&
      std::holds_alternative<Activation>(*index)) {
    return look_up(c, node, *std::get<ConstantPtr>(*table), std::get<Activation>(*index));
  }
  if (table != nullptr && !is_constant(*table)) return gather_channels(c, node);
  const Constant* from = list(c, node, 0);
  const Constant* at = from == nullptr ? nullptr : list(c, node, 1);
  if (at == nullptr) return Unknown{};
  std::vector<std::int32_t> result;
  for (std::int64_t i : at->ints) {
    if (i < 0) i += static_cast<std::int64_t>(from->ints.size());
    if (i < 0 || i >= static_cast<std::int64_t>(from->ints.size())) {
      return c.refuse(node, "gathers beyond its list", kDamagedNext);
    }
    result.push_back(from->ints[static_cast<std::size_t>(i)]);
  }
  return integers_value(std::move(result), at->dims.empty());
}

Value slice(Context& c, const Node& node) {
  const Value* value = c.resolve(node, 0);
  if (value != nullptr && !is_constant(*value)) return slice_channels(c, node);
  const Constant* from = list(c, node, 0);
  if (from == nullptr) return Unknown{};
  bool ok[4]{};
  const Dims starts = c.integers(node, 1, "starts", ok[0]).value_or(Dims{});
  const Dims ends = c.integers(node, 2, "ends", ok[1]).value_or(Dims{});
  const Dims axes = c.integers(node, 3, "axes", ok[2]).value_or(Dims{0});
  const Dims steps = c.integers(node, 4, "steps", ok[3]).value_or(Dims{1});
  if (!ok[0] || !ok[1] || !ok[2] || !ok[3]) return Unknown{};
  if (starts.size() != 1 || ends.size() != 1 || axes != Dims{0} || steps != Dims{1}) {
    return c.refuse(node, "slices in another way than a part of a list", kFoldNext);
  }
  const auto size = static_cast<std::int64_t>(from->ints.size());
  const auto bound = [&](std::int64_t at) {
    return std::clamp<std::int64_t>(at < 0 ? at + size : at, 0, size);
  };
  const std::int64_t begin = bound(starts[0]);
  const std::int64_t end = std::max(begin, bound(ends[0]));
  return integers_value({from->ints.begin() + begin, from->ints.begin() + end}, false);
}

// Activations side by side; integers all have the quantisation of the first.
Value concat_activations(Context& c, const Node& node) {
  std::vector<Activation> operands;
  for (int i = 0; i < node.proto().input_size(); ++i) {
    const std::optional<Activation> x = c.any_activation(node, i);
    if (!x) return Unknown{};
    operands.push_back(*x);
    const Activation& first = operands.front();
    if (x->quantized != first.quantized) {
      return c.refuse(node, "joins integers and floats", kQuantizeNext);
    }
    if (x->quantized && (x->is_unsigned != first.is_unsigned ||
                         !(c.builder.tensor(x->operand.tensor).quantization ==
                           c.builder.tensor(first.operand.tensor).quantization))) {
      return c.refuse(node, "joins integers of different scales", kQuantizeNext);
    }
  }
  Value joined = join(c, node, operands);
  if (!std::holds_alternative<DraftPtr>(joined)) return joined;
  return c.result(node, Context::take(joined), operands.front());
}

Value concat(Context& c, const Node& node) {
  if (node.proto().input_size() == 0) return c.refuse(node, "joins nothing", kDamagedNext);
  for (int i = 0; i < node.proto().input_size(); ++i) {
    const Value* value = c.resolve(node, i);
    if (value == nullptr || std::holds_alternative<Unknown>(*value)) return Unknown{};
    if (!is_constant(*value)) return concat_activations(c, node);
  }
  std::vector<std::int32_t> result;
  for (int i = 0; i < node.proto().input_size(); ++i) {
    const Constant* part = list(c, node, i);
    if (part == nullptr) return Unknown{};
    result.insert(result.end(), part->ints.begin(), part->ints.end());
    if (result.size() > kMaxRank) {
      return c.refuse(node, "joins more than a shape", kFoldNext);
    }
  }
  return integers_value(std::move(result), false);
}

}  // namespace

std::span<const Handler> constant_handlers() {
  static constexpr Handler kHandlers[]{{"Concat", &concat},
                                       {"Constant", &constant_node},
                                       {"Gather", &gather},
                                       {"Shape", &shape},
                                       {"Slice", &slice}};
  return kHandlers;
}

}  // namespace espalier::onnx_detail
