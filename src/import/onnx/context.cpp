#include "onnx/context.hpp"

#include <fmt/format.h>

#include <utility>

#include "espalier/import/metadata.hpp"

namespace espalier::onnx_detail {

Context::Context(const onnx::ModelProto& whole, std::int64_t version, ir::Graph& result,
                 Diagnostics& all)
    : file(whole),
      model(whole.graph()),
      opset(version),
      diagnostics(all),
      builder(result, all),
      topology(whole.graph()) {
  for (const onnx::TensorProto& initializer : model.initializer()) {
    initializers_.emplace(initializer.name(), &initializer);
  }
}

Value Context::refuse(const Node& node, std::string_view why, std::string_view next) {
  diagnostics.add(node.where(), why, next);
  return Unknown{};
}

// The first definition stays; a second one was reported.
void Context::define(std::string_view name, Value value) {
  if (!name.empty()) values_.emplace(std::string(name), std::move(value));
}

const Value* Context::find(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

Value* Context::find_initializer(const std::string& name) {
  const auto found = initializers_.find(name);
  if (found == initializers_.end()) return nullptr;
  Result<Constant> decoded = decode_constant(*found->second);
  if (!decoded.ok()) {
    diagnostics.add(
        fmt::format("initializer '{}': {}", printable(name), decoded.error().message()));
    return &values_.emplace(name, Unknown{}).first->second;
  }
  auto shared = std::make_shared<const Constant>(std::move(decoded).value());
  return &values_.emplace(name, ConstantPtr(std::move(shared))).first->second;
}

void Context::report_undefined(const Node& node, const std::string& name) {
  const int producer = topology.producer(name);
  if (producer < 0) {
    refuse(node,
           fmt::format("reads '{}', which is neither an initializer nor written by a node",
                       printable(name)),
           kDamagedNext);
  } else if (producer < node.index()) {
    const Node writer(model.node(producer), producer);
    refuse(node,
           fmt::format("reads '{}', a second output of {}", printable(name), writer.where().text()),
           "only the first output of a node is supported, so rewrite the model without it");
  } else if (topology.has_cycle()) {
    refuse(node,
           fmt::format("reads '{}', which node {} writes: the graph has a cycle", printable(name),
                       producer),
           kDamagedNext);
  } else {
    refuse(node,
           fmt::format("reads '{}', which node {} writes later: the nodes are not in "
                       "topological order",
                       printable(name), producer),
           "sort them, as ONNX demands");
  }
}

Value* Context::resolve(const Node& node, int input) {
  const std::string name(node.input(input));
  if (name.empty()) {
    refuse(node, fmt::format("input {} is missing", input), kDamagedNext);
    return nullptr;
  }
  if (const auto found = values_.find(name); found != values_.end()) return &found->second;
  if (Value* initializer = find_initializer(name)) return initializer;
  if (reported_.insert(name).second) report_undefined(node, name);
  return nullptr;
}

const Constant* Context::constant(const Node& node, int input, std::string_view role) {
  const Value* value = resolve(node, input);
  if (value == nullptr || std::holds_alternative<Unknown>(*value)) return nullptr;
  if (const auto* found = std::get_if<ConstantPtr>(value)) return found->get();
  refuse(node, fmt::format("{} is not a constant", role),
         "make it an initializer, for example by constant folding");
  return nullptr;
}

std::optional<Dims> Context::integers(const Node& node, int input, std::string_view attribute,
                                      bool& ok) {
  ok = true;
  if (!node.has_input(input)) return node.integers(attribute);
  const Constant* list = constant(node, input, fmt::format("'{}'", attribute));
  if (list == nullptr) {
    ok = false;
    return std::nullopt;
  }
  if (list->is_float()) {
    refuse(node, fmt::format("'{}' are not integers", attribute), kDamagedNext);
    ok = false;
    return std::nullopt;
  }
  return Dims(list->ints.begin(), list->ints.end());
}

void Context::report_not_activation(const Node& node, int input, const Value& value) {
  const std::string name = printable(node.input(input));
  if (std::holds_alternative<NetworkInput>(value)) {
    if (input_type == onnx::TensorProto::FLOAT) {
      refuse(node, fmt::format("reads the network's input '{}' before it is quantised", name),
             kQuantizeNext);
    } else {
      refuse(node, fmt::format("reads the network's input '{}' as integers", name),
             "ONNX defines this operator on floats, so put a DequantizeLinear before it");
    }
  } else if (is_constant(value)) {
    refuse(node, fmt::format("reads the constant '{}' where an activation is expected", name),
           "fold constants before quantising");
  } else if (std::holds_alternative<Activation>(value)) {
    refuse(node, fmt::format("reads '{}' as integers", name),
           "put a DequantizeLinear before the node");
  } else if (const auto* draft = std::get_if<DraftPtr>(&value)) {
    refuse(
        node,
        fmt::format("reads the float result of {}, which is not quantised", (*draft)->node.text()),
        kQuantizeNext);
  } else if (const auto* pooled = std::get_if<PooledPtr>(&value)) {
    refuse(
        node,
        fmt::format("reads the float result of {}, which is not quantised", (*pooled)->node.text()),
        kQuantizeNext);
  } else if (const auto* function = std::get_if<MappedPtr>(&value)) {
    refuse(node,
           fmt::format("reads the float result of {}, which is not quantised",
                       (*function)->node.text()),
           kQuantizeNext);
  } else if (std::holds_alternative<TablePtr>(value)) {
    refuse(node, fmt::format("reads '{}' as integers", name),
           "put a DequantizeLinear before the node");
  } else if (const auto* consumed = std::get_if<Consumed>(&value)) {
    refuse(node,
           fmt::format("reads the float result of {}, which is used elsewhere too",
                       consumed->node.text()),
           "quantise that result once and let every reader use the quantised tensor");
  } else if (std::holds_alternative<Logits>(value)) {
    refuse(node, fmt::format("reads '{}', which comes from the classifier", name),
           "nothing but Softmax, Sigmoid and changes of shape may follow the classifier");
  }
}

std::optional<Activation> Context::any_activation(const Node& node, int input) {
  Value* value = resolve(node, input);
  if (value == nullptr || std::holds_alternative<Unknown>(*value)) return std::nullopt;
  if (auto* draft = std::get_if<DraftPtr>(value);
      draft != nullptr && std::holds_alternative<ir::MaxPool>((*draft)->params) &&
      !(*draft)->clipped()) {
    // A maximum has the quantisation of what it is of, whether or not the file repeats it.
    const ir::Quantization quantization = builder.tensor((*draft)->inputs[0]).quantization;
    *value = Activation{builder.finish(take(*value), quantization, std::string(node.input(input))),
                        false, false};
  }
  if (const auto* found = std::get_if<Activation>(value)) return *found;
  report_not_activation(node, input, *value);
  return std::nullopt;
}

std::optional<Activation> Context::activation(const Node& node, int input) {
  std::optional<Activation> found = any_activation(node, input);
  if (!found || !found->quantized) return found;
  report_not_activation(node, input, *found);
  return std::nullopt;
}

std::optional<Mapped> Context::mapped(const Node& node, int input) {
  const Value* value = resolve(node, input);
  if (value == nullptr || std::holds_alternative<Unknown>(*value)) return std::nullopt;
  if (const auto* function = std::get_if<MappedPtr>(value)) return **function;
  const std::optional<Activation> x = activation(node, input);
  if (!x) return std::nullopt;
  return Mapped{*x, ir::identity(builder.tensor(x->operand.tensor).quantization), node.where()};
}

Value Context::mapping(const Activation& x, const ir::Curve& curve, const Node& node) {
  return std::make_shared<const Mapped>(Mapped{x, curve, node.where()});
}

std::optional<std::array<float, 256>> Context::derivatives(std::string_view output) const {
  const std::string key = derivatives_key(output);
  for (const onnx::StringStringEntryProto& entry : file.metadata_props()) {
    if (entry.key() == key) return derivatives_from_metadata(entry.value());
  }
  return std::nullopt;
}

Value Context::result(const Node& node, std::optional<Draft> draft, const Activation& from) {
  if (!draft || !from.quantized) return waiting(std::move(draft));
  const ir::Quantization quantization = builder.tensor(from.operand.tensor).quantization;
  return Activation{builder.finish(*std::move(draft), quantization, std::string(node.output())),
                    true, from.is_unsigned};
}

Value Context::averaged_scores(const import_detail::Where& where, const Activation& activation) {
  if (!builder.head_identity(where, activation.operand)) return Unknown{};
  return Logits{.view = activation.operand.view};
}

Value Context::waiting(std::optional<Draft> draft) {
  if (!draft) return Unknown{};
  return std::make_unique<Draft>(*std::move(draft));
}

Draft Context::take(Value& value) {
  Draft draft = *std::move(std::get<DraftPtr>(value));
  value = Consumed{draft.node, std::nullopt};
  return draft;
}

ImageAxes channels_first(std::size_t rank) {
  if (rank == 2) return {.rows = -1, .columns = 1, .channels = 0};
  return {.rows = 1, .columns = 2, .channels = 0};
}

ImageAxes image_axes(const Node& node, std::size_t rank) {
  if (node.type() != "NhwcMaxPool" && node.integer("channels_last").value_or(0) == 0) {
    return channels_first(rank);
  }
  return rank == 2 ? ImageAxes{.rows = -1, .columns = 0, .channels = 1}
                   : ImageAxes{.rows = 0, .columns = 1, .channels = 2};
}

const Dims* constant_dims(const Value& value) {
  if (const auto* plain = std::get_if<ConstantPtr>(&value)) return &(*plain)->dims;
  if (const auto* quantized = std::get_if<QuantizedPtr>(&value)) return &(*quantized)->values->dims;
  return nullptr;
}

bool is_constant(const Value& value) { return constant_dims(value) != nullptr; }

Numbers numbers(const Value& value) {
  if (const auto* plain = std::get_if<ConstantPtr>(&value)) {
    return {.integers = (*plain)->ints, .floats = (*plain)->floats, .scales = {}, .zeros = {}};
  }
  const auto* quantized = std::get_if<QuantizedPtr>(&value);
  if (quantized == nullptr) return {};
  const QuantizedConstant& q = **quantized;
  return {.integers = q.values->ints, .floats = {}, .scales = q.scales, .zeros = q.zero_points};
}

}  // namespace espalier::onnx_detail
