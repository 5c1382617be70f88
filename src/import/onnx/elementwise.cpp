// Sums, products with constants, clips, and what may stand behind the classifier.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "onnx/context.hpp"

namespace espalier::onnx_detail {
namespace {

using import_detail::ChannelNumbers;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::string_view kFoldNext =
    "fold the constant into the layer before it, ahead of quantisation";

constexpr std::string_view kPreprocessNext =
    "leave the scaling of the input to preprocessing, ahead of the model";

// The elements of a constant as runtimes read them; empty for integers without a scale.
std::vector<float> single_elements(const Value& constant) {
  const std::vector<double> real = real_elements(constant);
  return {real.begin(), real.end()};
}

// The draft of a convolution that nothing has happened to; nullptr for anything else.
Draft* fresh_convolution(Value& value) {
  auto* waiting = std::get_if<DraftPtr>(&value);
  if (waiting == nullptr || (*waiting)->clipped() ||
      !std::holds_alternative<ir::Conv2D>((*waiting)->params)) {
    return nullptr;
  }
  return waiting->get();
}

// The operand scaled and shifted by constants of `dims`.
Value affine(Context& c, const Node& node, Value& operand, const Dims& dims,
             const ChannelNumbers& numbers) {
  if (std::holds_alternative<Unknown>(operand)) return Unknown{};
  if (std::holds_alternative<NetworkInput>(operand)) {
    return c.refuse(node, "scales the input inside the model", kPreprocessNext);
  }
  if (Draft* convolution = fresh_convolution(operand);
      convolution != nullptr &&
      along_channels(dims, convolution->view, convolution->shape.channels)) {
    if (!c.builder.scale_channels(node.where(), numbers, *convolution)) return Unknown{};
    return std::make_unique<Draft>(Context::take(operand));
  }
  const auto* x = std::get_if<Activation>(&operand);
  const bool function = std::holds_alternative<MappedPtr>(operand);
  if (numbers.factors.size() == 1 && numbers.offsets.size() == 1 && (x != nullptr || function)) {
    const std::optional<Mapped> mapped = c.mapped(node, &operand == c.resolve(node, 0) ? 0 : 1);
    if (!mapped) return Unknown{};
    return Context::mapping(mapped->x, numbers.applied(mapped->curve, 0), node);
  }
  if (x != nullptr && !x->quantized) {
    const std::optional<Operand> own = c.builder.settled(node.where(), x->operand);
    if (!own) return Unknown{};
    if (along_channels(dims, own->view, c.builder.tensor(own->tensor).shape.channels)) {
      return Context::waiting(
          c.builder.scale_tensor(node.where(), x->operand, numbers, ir::HalfRounding::kToEven));
    }
  }
  return c.refuse(node,
                  "computes with a constant on what is no Conv, Gemm or MatMul and no activation, "
                  "or not with one number a channel",
                  kFoldNext);
}

// Both operands of a node as functions of the same tensor; nullopt, without a diagnostic, when they
// are something else.
std::optional<std::pair<Mapped, Mapped>> of_one_tensor(Context& c, const Node& node) {
  std::optional<Mapped> operands[2];
  for (const int i : {0, 1}) {
    const Value* value = c.resolve(node, i);
    const auto* x = value == nullptr ? nullptr : std::get_if<Activation>(value);
    if (value == nullptr ||
        (!std::holds_alternative<MappedPtr>(*value) && (x == nullptr || x->quantized))) {
      return std::nullopt;
    }
    operands[i] = c.mapped(node, i);
  }
  const Operand& a = operands[0]->x.operand;
  const Operand& b = operands[1]->x.operand;
  if (a.tensor != b.tensor || a.channels != b.channels || !(a.view == b.view) ||
      a.repeated != b.repeated) {
    return std::nullopt;
  }
  return std::pair(*operands[0], *operands[1]);
}

// A node of two functions of the same tensor is one, too; nullopt when it is something else.
std::optional<Value> combined(Context& c, const Node& node,
                              ir::Curve (*combine)(const ir::Curve&, const ir::Curve&)) {
  const auto same = of_one_tensor(c, node);
  if (!same) return std::nullopt;
  return Context::mapping(same->first.x, combine(same->first.curve, same->second.curve), node);
}

// A node of one constant and one other operand; false after a diagnostic or when there is none.
bool split_operands(Context& c, const Node& node, Value*& operand, Value*& constant) {
  Value* a = c.resolve(node, 0);
  Value* b = c.resolve(node, 1);
  if (a == nullptr || b == nullptr) return false;
  if (is_constant(*a) == is_constant(*b)) {
    if (!std::holds_alternative<Unknown>(*a) && !std::holds_alternative<Unknown>(*b)) {
      c.refuse(node, "this operator is supported with one constant operand only",
               "rewrite the network without it");
    }
    return false;
  }
  operand = is_constant(*a) ? b : a;
  constant = is_constant(*a) ? a : b;
  return true;
}

Value add(Context& c, const Node& node) {
  Value* a = c.resolve(node, 0);
  Value* b = c.resolve(node, 1);
  if (a == nullptr || b == nullptr) return Unknown{};
  if (is_constant(*a) != is_constant(*b)) {
    return add_constant(c, node, is_constant(*a) ? 1 : 0, is_constant(*a) ? *a : *b);
  }
  // Unless both are tensors: x + x is a sum like others.
  if (std::holds_alternative<MappedPtr>(*a) || std::holds_alternative<MappedPtr>(*b)) {
    if (std::optional<Value> one = combined(c, node, &ir::sum)) return *std::move(one);
  }
  const std::optional<Activation> x = c.activation(node, 0);
  const std::optional<Activation> y = c.activation(node, 1);
  if (!x || !y) return Unknown{};
  return Context::waiting(c.builder.add(node.where(), x->operand, y->operand));
}

// Of two, as older exporters write an Add.
Value sum(Context& c, const Node& node) {
  if (node.proto().input_size() == 2) return add(c, node);
  return c.refuse(node, fmt::format("adds {} tensors at once", node.proto().input_size()),
                  "add two at a time (Add)");
}

Value subtract(Context& c, const Node& node) {
  if (std::optional<Value> one = combined(c, node, &ir::difference)) return *std::move(one);
  Value* operand = nullptr;
  Value* constant = nullptr;
  if (!split_operands(c, node, operand, constant)) return Unknown{};
  std::vector<float> offsets = single_elements(*constant);
  if (offsets.empty()) return c.refuse(node, "subtracts integers", kFoldNext);
  const bool from_constant = c.resolve(node, 0) == constant;
  if (!from_constant) {
    for (float& offset : offsets) offset = -offset;
  }
  return affine(c, node, *operand, *constant_dims(*constant),
                {.factors = {from_constant ? -1.0F : 1.0F}, .offsets = offsets});
}

Value multiply_elements(Context& c, const Node& node) {
  Value* operand = nullptr;
  Value* constant = nullptr;
  const Value* a = c.resolve(node, 0);
  const Value* b = c.resolve(node, 1);
  if (a == nullptr || b == nullptr) return Unknown{};
  if (!is_constant(*a) && !is_constant(*b)) {
    if (std::optional<Value> one = combined(c, node, &ir::product)) return *std::move(one);
    const std::optional<Activation> x = c.activation(node, 0);
    const std::optional<Activation> y = c.activation(node, 1);
    if (!x || !y) return Unknown{};
    return Context::waiting(c.builder.multiply(node.where(), x->operand, y->operand));
  }
  if (!split_operands(c, node, operand, constant)) return Unknown{};
  const std::vector<float> factors = single_elements(*constant);
  if (factors.empty()) return c.refuse(node, "multiplies by integers", kFoldNext);
  return affine(c, node, *operand, *constant_dims(*constant), {.factors = factors});
}

Value divide(Context& c, const Node& node) {
  if (std::optional<Value> one = combined(c, node, &ir::quotient)) return *std::move(one);
  Value* operand = nullptr;
  Value* constant = nullptr;
  if (!split_operands(c, node, operand, constant)) return Unknown{};
  const std::vector<float> divisors = single_elements(*constant);
  if (divisors.empty()) return c.refuse(node, "divides by integers", kFoldNext);
  if (c.resolve(node, 0) == constant) {
    if (divisors.size() != 1) {
      return c.refuse(node, "divides a constant of several numbers", kFoldNext);
    }
    const std::optional<Mapped> x = c.mapped(node, 1);
    if (!x) return Unknown{};
    const ir::Curve number = ir::then(x->curve, ir::affine(0, divisors.front()));
    return Context::mapping(x->x, ir::quotient(number, x->curve), node);
  }
  return affine(c, node, *operand, *constant_dims(*constant),
                {.factors = divisors, .divides = true});
}

Value batch_normalization(Context& c, const Node& node) {
  Value* operand = c.resolve(node, 0);
  // Floats, or behind a DequantizeLinear: ONNX Runtime quantises the scale.
  std::vector<std::vector<float>> parameters;
  for (int i = 1; i < 5; ++i) {
    const Value* value = c.resolve(node, i);
    if (value == nullptr || std::holds_alternative<Unknown>(*value)) return Unknown{};
    if (!is_constant(*value)) {
      return c.refuse(node, "a parameter is not a constant",
                      "make it an initializer, for example by constant folding");
    }
    parameters.push_back(single_elements(*value));
    if (parameters.back().empty() || parameters.back().size() != parameters[0].size()) {
      return c.refuse(node, "its parameters are not four lists of floats of one size",
                      kDamagedNext);
    }
  }
  if (operand == nullptr || std::holds_alternative<Unknown>(*operand)) return Unknown{};
  if (node.integer("training_mode").value_or(0) != 0) {
    return c.refuse(node, "it is in training mode", "export the model for inference");
  }
  if (fresh_convolution(*operand) == nullptr && !std::holds_alternative<Activation>(*operand)) {
    return c.refuse(node, "normalises what is not a fresh Conv, Gemm or MatMul",
                    "fold it into the convolution before it, ahead of quantisation");
  }
  const float epsilon = node.real("epsilon").value_or(1e-5F);
  ChannelNumbers numbers{.factors = {}, .offsets = {}};
  for (std::size_t i = 0; i < parameters[0].size(); ++i) {
    // In the steps of ONNX Runtime.
    const float factor = 1 / std::sqrt(parameters[3][i] + epsilon) * parameters[0][i];
    numbers.factors.push_back(factor);
    numbers.offsets.push_back(parameters[1][i] - parameters[2][i] * factor);
  }
  // Along the axis behind the batch, wherever channels lie.
  const auto* x = std::get_if<Activation>(operand);
  Dims dims(x != nullptr ? x->operand.view.rank() : std::get<DraftPtr>(*operand)->view.rank(), 1);
  if (!dims.empty()) dims[0] = static_cast<std::int64_t>(parameters[0].size());
  return affine(c, node, *operand, dims, numbers);
}

Value clamp_to(Context& c, const Node& node, int operand, double low, double high) {
  Value* value = c.resolve(node, operand);
  if (value == nullptr) return Unknown{};
  if (std::holds_alternative<PooledPtr>(*value)) {
    Pooled pooled = std::move(*std::get<PooledPtr>(*value));
    *value = Consumed{pooled.node, std::nullopt};
    pooled.base.clip(low, high);
    return std::make_unique<Pooled>(std::move(pooled));
  }
  if (const auto* function = std::get_if<MappedPtr>(value)) {
    const ir::RealFunction clip = ir::clip(static_cast<float>(low), static_cast<float>(high));
    return Context::mapping((*function)->x, ir::then((*function)->curve, clip), node);
  }
  if (std::holds_alternative<DraftPtr>(*value)) {
    Draft draft = Context::take(*value);
    draft.clip(low, high);
    return std::make_unique<Draft>(std::move(draft));
  }
  const std::optional<Activation> x = c.activation(node, operand);
  if (!x) return Unknown{};
  std::optional<Draft> draft = c.builder.rescale(node.where(), x->operand);
  if (draft) draft->clip(low, high);
  return Context::waiting(std::move(draft));
}

Value relu(Context& c, const Node& node) { return clamp_to(c, node, 0, 0, kInfinity); }

Value clip(Context& c, const Node& node) {
  double low = node.real("min").value_or(-std::numeric_limits<float>::infinity());
  double high = node.real("max").value_or(std::numeric_limits<float>::infinity());
  const auto read = [&](int input, std::string_view role, double& bound) {
    if (!node.has_input(input)) return true;
    const Value* value = c.resolve(node, input);
    if (value == nullptr || std::holds_alternative<Unknown>(*value)) return false;
    const std::vector<double> real = real_elements(*value);
    if (real.size() != 1) {
      c.refuse(node, fmt::format("{} is not one constant float", role), kDamagedNext);
      return false;
    }
    bound = real[0];
    return true;
  };
  if (!read(1, "the lower bound", low) || !read(2, "the upper bound", high)) return Unknown{};
  if (!(low <= high)) {
    return c.refuse(node, fmt::format("clips to {}..{}, which is empty", low, high), kDamagedNext);
  }
  return clamp_to(c, node, 0, low, high);
}

// The least or the greatest of a tensor and constants of one number: a clip.
Value extremum(Context& c, const Node& node) {
  const bool least = node.type() == "Max";
  double bound = least ? -kInfinity : kInfinity;
  int operand = -1;
  for (int i = 0; i < node.proto().input_size(); ++i) {
    const Value* value = c.resolve(node, i);
    if (value == nullptr || std::holds_alternative<Unknown>(*value)) return Unknown{};
    const std::vector<double> real = real_elements(*value);
    if (is_constant(*value) && real.size() == 1) {
      bound = least ? std::max(bound, real[0]) : std::min(bound, real[0]);
    } else if (!is_constant(*value) && operand < 0) {
      operand = i;
    } else {
      return c.refuse(node, "compares with more than one number",
                      "clip by one number, or rewrite the network without it");
    }
  }
  if (operand < 0) return c.refuse(node, "compares constants alone", kDamagedNext);
  return clamp_to(c, node, operand, least ? bound : -kInfinity, least ? kInfinity : bound);
}

// A tensor scaled and shifted by numbers that fit it: one number is a table, one a channel a layer.
Value constant_applied(Context& c, const Node& node, const Operand& x,
                       const ChannelNumbers& numbers) {
  constexpr ir::HalfRounding kRounding = ir::HalfRounding::kToEven;
  if (numbers.factors.size() != 1 || numbers.offsets.size() != 1) {
    return Context::waiting(c.builder.scale_tensor(node.where(), x, numbers, kRounding));
  }
  const ir::Curve own = ir::identity(c.builder.tensor(x.tensor).quantization);
  return Context::waiting(c.builder.function(node.where(), x, numbers.applied(own, 0), kRounding));
}

}  // namespace

std::vector<double> real_elements(const Value& constant) {
  const Numbers values = numbers(constant);
  std::vector<double> real;
  if (!values.is_float() && values.scales.empty()) return real;
  const auto* quantized = std::get_if<QuantizedPtr>(&constant);
  for (std::size_t i = 0; i < values.count(); ++i) {
    real.push_back(values.real(i, quantized == nullptr ? 0 : scale_index(**quantized, i)));
  }
  return real;
}

Value join(Context& c, const Node& node, std::span<const Activation> operands) {
  std::vector<Operand> inputs;
  for (const Activation& x : operands) inputs.push_back(x.operand);
  const auto rank = static_cast<std::int64_t>(inputs.front().view.rank()) + 1;
  std::int64_t axis = node.integer("axis").value_or(1);
  if (axis < 0) axis += rank;
  if (axis < 1 || axis >= rank) {
    return c.refuse(node, fmt::format("joins along axis {}, the batch or none", axis),
                    "join branches along channels");
  }
  return Context::waiting(c.builder.concat(node.where(), inputs, static_cast<std::size_t>(axis - 1),
                                           ir::HalfRounding::kToEven));
}

Value add_constant(Context& c, const Node& node, int input, const Value& constant) {
  Value& operand = *c.resolve(node, input);
  if (std::holds_alternative<Unknown>(operand)) return Unknown{};
  const Dims& dims = *constant_dims(constant);
  const Numbers values = numbers(constant);
  if (!values.is_float() && values.scales.empty()) {
    return c.refuse(node, "adds integers without DequantizeLinear",
                    "make the constant float, or put a DequantizeLinear behind it");
  }
  const auto misfit = [&](const Dims& to) {
    return c.refuse(node,
                    fmt::format("adds a constant of [{}] to {}, not one number a channel",
                                dims_text(dims), import_detail::batch_text(to)),
                    kFoldNext);
  };
  const ChannelNumbers shift{.factors = {1.0F}, .offsets = single_elements(constant)};
  if (auto* logits = std::get_if<Logits>(&operand); logits != nullptr && !logits->final) {
    if (!along_channels(dims, logits->view, c.builder.graph().head.classes))
      return misfit(logits->view.dims());
    return c.builder.add_head_bias(node.where(), values) ? Value(*logits) : Value(Unknown{});
  }
  if (std::holds_alternative<NetworkInput>(operand)) {
    return c.refuse(node, "shifts the input inside the model", kPreprocessNext);
  }
  if (std::holds_alternative<MappedPtr>(operand)) {
    if (values.count() != 1)
      return c.refuse(node, "adds numbers to a function of a tensor", kFoldNext);
    return affine(c, node, operand, dims, shift);
  }
  if (auto* x = std::get_if<Activation>(&operand)) {
    if (values.count() == 1 && !x->quantized) return affine(c, node, operand, dims, shift);
    // Behind a quantisation of its own, which may have clipped: a layer of its own.
    const std::optional<Operand> own = c.builder.settled(node.where(), x->operand);
    if (!own) return Unknown{};
    if (!along_channels(dims, own->view, c.builder.tensor(own->tensor).shape.channels)) {
      return misfit(own->view.dims());
    }
    return constant_applied(c, node, *own, shift);
  }
  Draft* convolution = fresh_convolution(operand);
  if (convolution == nullptr) {
    return c.refuse(node, "adds a constant to something that is not a fresh Conv, Gemm or MatMul",
                    kFoldNext);
  }
  if (!along_channels(dims, convolution->view, convolution->shape.channels))
    return misfit(convolution->dims());
  if (!c.builder.add_bias(node.where(), values, *convolution)) return Unknown{};
  return std::make_unique<Draft>(Context::take(operand));
}

Value multiply_constant(Context& c, const Node& node, int input, const Value& constant) {
  const Value& operand = *c.resolve(node, input);
  if (std::holds_alternative<Unknown>(operand)) return Unknown{};
  const auto* x = std::get_if<Activation>(&operand);
  if (x == nullptr) {
    c.report_not_activation(node, input, operand);
    return Unknown{};
  }
  const std::optional<Operand> own = c.builder.settled(node.where(), x->operand);
  if (!own) return Unknown{};
  if (!along_channels(*constant_dims(constant), own->view,
                      c.builder.tensor(own->tensor).shape.channels)) {
    return c.refuse(node, "multiplies by a constant that is not one number a channel", kFoldNext);
  }
  return constant_applied(c, node, *own, {.factors = single_elements(constant)});
}

Value behind_classifier(Context& c, const Node& node) {
  Value* value = c.resolve(node, 0);
  if (value == nullptr) return Unknown{};
  if (c.averages && !std::holds_alternative<Logits>(*value)) {
    const std::optional<Activation> averages = c.any_activation(node, 0);
    if (!averages) return Unknown{};
    *value = c.averaged_scores(node.where(), *averages);
  }
  if (const auto* logits = std::get_if<Logits>(value)) {
    const bool logistic = node.type().find("Sigmoid") != std::string::npos;
    return Logits{logits->view, true, logits->logistic || logistic};
  }
  // Behind a classifier that was refused it is not to blame.
  if (std::holds_alternative<Unknown>(*value) && c.head >= 0 && node.index() > c.head) {
    return Unknown{};
  }
  return c.refuse(node, "not supported inside the body",
                  "only one behind the classifier can be dropped, so rewrite the network without "
                  "it");
}

namespace {

// The class that wins, in place of the scores.
Value arg_max(Context& c, const Node& node) {
  const Value value = behind_classifier(c, node);
  const auto* logits = std::get_if<Logits>(&value);
  if (logits == nullptr) return Unknown{};
  Dims dims = logits->view.dims();
  std::int64_t axis = node.integer("axis").value_or(0);
  if (axis < 0) axis += static_cast<std::int64_t>(dims.size()) + 1;
  if (axis < 1 || axis > static_cast<std::int64_t>(dims.size()) ||
      dims[static_cast<std::size_t>(axis) - 1] != import_detail::element_count(dims)) {
    return c.refuse(node,
                    fmt::format("compares along axis {}, which is not that of the classes", axis),
                    "cut it off, Espalier needs the scores");
  }
  dims[static_cast<std::size_t>(axis) - 1] = 1;
  if (node.integer("keepdims").value_or(1) == 0) dims.erase(dims.begin() + axis - 1);
  return Logits{View::row_major(dims), true, logits->logistic};
}

}  // namespace

std::span<const Handler> elementwise_handlers() {
  static constexpr Handler kHandlers[]{
      {"Add", &add},
      {"ArgMax", &arg_max},
      {"BatchNormalization", &batch_normalization},
      {"Clip", &clip},
      {"Div", &divide},
      {"LogSoftmax", &behind_classifier},
      {"Max", &extremum},
      {"Min", &extremum},
      {"Mul", &multiply_elements},
      {"Relu", &relu},
      {"Softmax", &behind_classifier},
      {"Sub", &subtract},
      {"Sum", &sum},
  };
  return kHandlers;
}

}  // namespace espalier::onnx_detail
