#include "tflite/context.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

namespace espalier::tflite_detail {
namespace {

// Numbers in the file are little endian and copied as they are.
static_assert(std::endian::native == std::endian::little);

using import_detail::extent_in_range;
using import_detail::usable_scale;

constexpr int kUnsignedShift = 128;

template <typename T>
std::vector<std::int32_t> widen(std::span<const std::uint8_t> bytes) {
  std::vector<std::int32_t> values(bytes.size() / sizeof(T));
  for (std::size_t i = 0; i < values.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    if constexpr (sizeof(T) > sizeof(std::int32_t)) {
      value = std::clamp<T>(value, INT32_MIN, INT32_MAX);
    }
    values[i] = static_cast<std::int32_t>(value);
  }
  return values;
}

std::size_t element_size(TensorType type) {
  switch (type) {
    case TensorType::INT8:
    case TensorType::UINT8:
    case TensorType::BOOL:
      return 1;
    case TensorType::INT16:
      return 2;
    case TensorType::INT32:
      return 4;
    case TensorType::INT64:
      return 8;
    default:
      return 0;
  }
}

std::span<const std::uint8_t> stored_bytes(const tflite::Model& model, const tflite::Tensor& t) {
  const auto* buffers = model.buffers();
  if (buffers == nullptr || t.buffer() >= buffers->size()) return {};
  const tflite::Buffer* buffer = buffers->Get(t.buffer());
  if (buffer == nullptr || buffer->data() == nullptr) return {};
  return {buffer->data()->data(), buffer->data()->size()};
}

}  // namespace

std::string type_name(TensorType type) {
  const char* name = tflite::EnumNameTensorType(type);
  return name[0] != '\0' ? name : fmt::format("type {}", static_cast<int>(type));
}

BuiltinOperator operator_code(const tflite::Model& model, const tflite::Operator& op) {
  const auto* codes = model.operator_codes();
  if (codes == nullptr || op.opcode_index() >= codes->size() ||
      codes->Get(op.opcode_index()) == nullptr) {
    return static_cast<BuiltinOperator>(-1);
  }
  const tflite::OperatorCode& code = *codes->Get(op.opcode_index());
  // Older files have the first field alone, and its default is an operator.
  return std::max(static_cast<BuiltinOperator>(code.old_code()), code.code());
}

std::int64_t zero_point(const tflite::QuantizationParameters* quantization, std::size_t i) {
  const auto* zeros = quantization == nullptr ? nullptr : quantization->zero_point();
  if (zeros == nullptr || zeros->size() == 0) return 0;
  const auto* scales = quantization->scale();
  const bool one_each = scales != nullptr && scales->size() == zeros->size();
  // Not by a pointer to an integer: nothing has checked that they are aligned.
  std::int64_t zero = 0;
  std::memcpy(&zero, zeros->Data() + (one_each && i < zeros->size() ? i : 0) * sizeof zero,
              sizeof zero);
  return zero;
}

std::string operator_name(const tflite::Model& model, const tflite::Operator& op) {
  const BuiltinOperator code = operator_code(model, op);
  if (code == BuiltinOperator::CUSTOM) {
    const auto* custom = model.operator_codes()->Get(op.opcode_index())->custom_code();
    return custom == nullptr ? "custom" : custom->str();
  }
  const char* name = tflite::EnumNameBuiltinOperator(code);
  return name[0] != '\0' ? name : fmt::format("operator {}", static_cast<int>(code));
}

int Node::input(std::size_t i) const {
  return op.inputs() == nullptr || i >= op.inputs()->size()
             ? -1
             : op.inputs()->Get(static_cast<flatbuffers::uoffset_t>(i));
}

int Node::output() const {
  return op.outputs() == nullptr || op.outputs()->size() == 0 ? -1 : op.outputs()->Get(0);
}

Context::Context(const tflite::Model& file, ir::Graph& graph, Diagnostics& all)
    : model(file),
      subgraph(*file.subgraphs()->Get(0)),
      diagnostics(all),
      builder(graph, all),
      values_(subgraph.tensors()->size()) {
  for (std::size_t i = 0; i < values_.size(); ++i) {
    if (!stored_bytes(model, tensor(static_cast<int>(i))).empty()) values_[i] = Stored{};
  }
}

Value Context::refuse(const Node& node, std::string_view why, std::string_view next) {
  diagnostics.add(node.where, why, next);
  return Unknown{};
}

const tflite::Tensor& Context::tensor(int index) const {
  return *subgraph.tensors()->Get(static_cast<flatbuffers::uoffset_t>(index));
}

std::string Context::tensor_name(int index) const {
  const auto* name = tensor(index).name();
  return name == nullptr ? fmt::format("tensor{}", index) : name->str();
}

Dims Context::dims(int index) const {
  const auto* shape = tensor(index).shape();
  return shape == nullptr ? Dims{} : Dims(shape->begin(), shape->end());
}

bool Context::shape_is_free(int index) const {
  const auto* signature = tensor(index).shape_signature();
  return signature != nullptr && signature->size() > 1 &&
         std::count(signature->begin() + 1, signature->end(), -1) > 0;
}

std::optional<Dims> Context::sample_dims(const Node& node, int index) {
  Dims all = dims(index);
  const auto* signature = tensor(index).shape_signature();
  const bool free_batch = signature != nullptr && signature->size() > 0 && signature->Get(0) == -1;
  std::string why;
  if (!std::all_of(all.begin(), all.end(), extent_in_range)) {
    why = "has an extent that is not fixed or out of range";
  } else if (all.size() > 1 && all[0] != 1 && !free_batch) {
    why = fmt::format("has a batch of {}, not 1", all[0]);
  }
  if (!why.empty()) {
    refuse(node,
           fmt::format("'{}' of [{}] {}", printable(tensor_name(index)), fmt::join(all, ","), why),
           "convert the model for a batch of 1 and a fixed input size");
    return std::nullopt;
  }
  if (all.size() > 1) all.erase(all.begin());
  return all;
}

std::optional<Stated> Context::stated(const Node& node, int index, std::int64_t elements) {
  Dims all = dims(index);
  if (all.size() == 2 && all[0] > 1 && std::all_of(all.begin(), all.end(), extent_in_range) &&
      import_detail::element_count(all) == elements) {
    return Stated{std::move(all), true};
  }
  std::optional<Dims> sample = sample_dims(node, index);
  if (!sample) return std::nullopt;
  return Stated{*std::move(sample)};
}

std::optional<ir::Quantization> Context::quantization(const Node& node, int index) {
  const tflite::Tensor& t = tensor(index);
  const auto* q = t.quantization();
  const std::string name = printable(tensor_name(index));
  if (t.type() != TensorType::INT8 && t.type() != TensorType::UINT8) {
    refuse(node, fmt::format("'{}' is {}", name, type_name(t.type())),
           t.type() == TensorType::INT16
               ? "convert with int8 activations, not 16x8"
               : "convert the whole network to int8 (full integer quantisation)");
    return std::nullopt;
  }
  if (q == nullptr || q->scale() == nullptr || q->scale()->size() != 1 ||
      !usable_scale(q->scale()->Get(0)) ||
      (q->zero_point() != nullptr && q->zero_point()->size() > 1)) {
    refuse(node, fmt::format("'{}' has no single positive scale and zero point", name), kInt8Next);
    return std::nullopt;
  }
  std::int64_t zero = zero_point(q);
  if (t.type() == TensorType::UINT8) zero = std::clamp<std::int64_t>(zero, 0, 255) - kUnsignedShift;
  return ir::Quantization{q->scale()->Get(0),
                          static_cast<int>(std::clamp<std::int64_t>(zero, -128, 127))};
}

const Value& Context::value(int index) const {
  static const Value kNone = Unknown{};
  return index < 0 ? kNone : values_[static_cast<std::size_t>(index)];
}

void Context::define(int index, Value value) {
  if (index >= 0) values_[static_cast<std::size_t>(index)] = std::move(value);
}

void Context::report_not_activation(const Node& node, int index) {
  const std::string name = index < 0 ? "an input" : printable(tensor_name(index));
  const Value& found = value(index);
  const auto* x = std::get_if<Activation>(&found);
  if (index < 0) {
    refuse(node, "an input is missing", kDamagedNext);
  } else if (std::holds_alternative<Stored>(found)) {
    refuse(node, fmt::format("reads the constant '{}' where an activation is expected", name),
           "fold constants before conversion");
  } else if (x != nullptr && x->rows && !x->is_float) {
    refuse(node, fmt::format("reads '{}', whose rows are positions of one sample", name),
           "only FULLY_CONNECTED and a RESHAPE with the batch in front may follow it");
  } else if (std::holds_alternative<FloatInput>(found) || x != nullptr) {
    refuse(node, fmt::format("computes on the float tensor '{}'", name),
           "convert the whole network to int8 (full integer quantisation)");
  } else if (std::holds_alternative<Spread>(found)) {
    refuse(node, fmt::format("reads '{}' behind SPACE_TO_BATCH_ND", name),
           "only a convolution may stand between it and BATCH_TO_SPACE_ND");
  } else if (std::holds_alternative<ShapeArithmetic>(found)) {
    refuse(node, fmt::format("computes on shapes, '{}'", name),
           "convert the model for a fixed input size");
  } else if (std::holds_alternative<Logits>(found)) {
    refuse(node, fmt::format("reads '{}', which comes from the classifier", name),
           "nothing but SOFTMAX, LOGISTIC and changes of shape may follow the classifier");
  }
}

std::optional<Operand> Context::activation(const Node& node, std::size_t i, bool rows) {
  const auto* found = std::get_if<Activation>(&value(node.input(i)));
  if (found != nullptr && !found->is_float && (rows || !found->rows)) return found->operand;
  report_not_activation(node, node.input(i));
  return std::nullopt;
}

const std::vector<std::int32_t>* Context::decode(const Node& node, int index,
                                                 std::string_view role) {
  if (const auto known = constants_.find(index); known != constants_.end()) return &known->second;
  const auto refused = [&](std::string_view why, std::string_view next) {
    refuse(node, why, next);
    return nullptr;
  };
  if (index < 0 || !std::holds_alternative<Stored>(value(index))) {
    return refused(fmt::format("{} is not a constant", role), "fold constants before conversion");
  }
  const tflite::Tensor& t = tensor(index);
  const std::size_t size = element_size(t.type());
  if (size == 0 || t.sparsity() != nullptr) {
    return refused(fmt::format("{} of type {}{}", role, t.sparsity() != nullptr ? "sparse " : "",
                               type_name(t.type())),
                   "convert the whole network to int8 (full integer quantisation), dense");
  }
  const std::span<const std::uint8_t> bytes = stored_bytes(model, t);
  std::size_t count = 1;
  for (const std::int64_t extent : dims(index)) {
    if (extent < 0 || __builtin_mul_overflow(count, static_cast<std::size_t>(extent), &count)) {
      return refused(fmt::format("{} has impossible dimensions", role), kDamagedNext);
    }
  }
  if (bytes.size() % size != 0 || bytes.size() / size != count) {
    return refused(
        fmt::format("{} promises {} elements and has {} bytes", role, count, bytes.size()),
        kDamagedNext);
  }
  std::vector<std::int32_t> values;
  switch (t.type()) {
    case TensorType::INT8:
      values = widen<std::int8_t>(bytes);
      break;
    case TensorType::INT16:
      values = widen<std::int16_t>(bytes);
      break;
    case TensorType::INT32:
      values = widen<std::int32_t>(bytes);
      break;
    case TensorType::INT64:
      values = widen<std::int64_t>(bytes);
      break;
    default:
      values = widen<std::uint8_t>(bytes);
      break;
  }
  return &constants_.emplace(index, std::move(values)).first->second;
}

const std::vector<std::int32_t>* Context::integers(const Node& node, std::size_t i,
                                                   std::string_view role) {
  return decode(node, node.input(i), role);
}

std::optional<Numbers> Context::numbers(const Node& node, std::size_t i, std::string_view role,
                                        int axis) {
  const int index = node.input(i);
  const std::vector<std::int32_t>* values = decode(node, index, role);
  if (values == nullptr) return std::nullopt;
  const auto refused = [&](std::string_view why) {
    refuse(node, fmt::format("{} {}", role, why), kInt8Next);
    return std::nullopt;
  };
  const tflite::Tensor& t = tensor(index);
  Numbers result{.integers = *values, .floats = {}, .scales = {}, .zeros = {}};
  // A bias is in the unit of the accumulator, whatever scale the file repeats.
  if (t.type() == TensorType::INT32) return result;
  if (t.type() != TensorType::INT8 && t.type() != TensorType::UINT8) {
    return refused(fmt::format("is {}", type_name(t.type())));
  }
  const auto* q = t.quantization();
  const auto* scales = q == nullptr ? nullptr : q->scale();
  if (scales == nullptr || scales->size() == 0 ||
      !std::all_of(scales->begin(), scales->end(), usable_scale)) {
    return refused("without positive scales");
  }
  const Dims extents = dims(index);
  if (scales->size() > 1 &&
      (q->quantized_dimension() != axis || axis >= static_cast<int>(extents.size()) ||
       extents[static_cast<std::size_t>(axis)] != scales->size())) {
    return refused(fmt::format("has {} scales along axis {}, not one an output channel",
                               scales->size(), q->quantized_dimension()));
  }
  Parameters& own = parameters_[index];
  own.scales.assign(scales->begin(), scales->end());
  own.zeros.assign(own.scales.size(), 0);
  for (std::size_t z = 0; z < own.zeros.size(); ++z) {
    own.zeros[z] = static_cast<std::int32_t>(std::clamp<std::int64_t>(zero_point(q, z), -255, 255));
  }
  result.scales = own.scales;
  result.zeros = own.zeros;
  return result;
}

const tflite::Operator* Context::reader(int index, BuiltinOperator code) const {
  for (const tflite::Operator* op : *subgraph.operators()) {
    if (op->inputs()->size() > 0 && op->inputs()->Get(0) == index) {
      return operator_code(model, *op) == code ? op : nullptr;
    }
  }
  return nullptr;
}

bool Context::clip(const Node& node, Draft& draft, tflite::Activation activation) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  switch (activation) {
    case tflite::Activation::NONE:
      return true;
    case tflite::Activation::RELU:
      draft.clip(0, kInfinity);
      return true;
    case tflite::Activation::RELU6:
      draft.clip(0, 6);
      return true;
    case tflite::Activation::RELU_N1_TO_1:
      draft.clip(-1, 1);
      return true;
    default:
      refuse(node,
             fmt::format("its activation function {} is not supported",
                         tflite::EnumNameActivation(activation)),
             "train with RELU or RELU6");
      return false;
  }
}

Value Context::finish(const Node& node, std::optional<Draft> draft, tflite::Activation activation) {
  if (!draft || !clip(node, *draft, activation)) return Unknown{};
  const std::optional<ir::Quantization> quantization = this->quantization(node, node.output());
  if (!quantization) return Unknown{};
  const std::optional<Stated> stated = this->stated(node, node.output(), draft->view.elements());
  if (!stated) return Unknown{};
  Operand made = builder.finish(*std::move(draft), *quantization, tensor_name(node.output()));
  std::optional<View> view = made.view.reshaped(stated->dims);
  if (!view) {
    return refuse(node,
                  fmt::format("its output is {}, the file says {}",
                              import_detail::batch_text(made.view.dims()),
                              import_detail::batch_text(stated->dims)),
                  kDamagedNext);
  }
  made.view = *std::move(view);
  return Activation{std::move(made), false, stated->rows};
}

Value Context::finish_spread(const Node& node, std::optional<Draft> draft,
                             tflite::Activation activation) {
  if (!draft || !clip(node, *draft, activation)) return Unknown{};
  const std::optional<ir::Quantization> quantization = this->quantization(node, node.output());
  if (!quantization) return Unknown{};
  return Spread{builder.finish(*std::move(draft), *quantization, tensor_name(node.output())), 1, 1,
                true};
}

Value Context::averaged_scores(const Where& where, const Value& activation) {
  const Operand operand = std::get<Activation>(activation).operand;
  if (!builder.head_identity(where, operand)) return Unknown{};
  return Logits{.view = operand.view};
}

Value Context::logits(const Node& node, bool placed, tflite::Activation activation) {
  if (!placed) return Unknown{};
  if (activation != tflite::Activation::NONE) {
    return refuse(node,
                  fmt::format("the last layer is not a classifier, {} follows it",
                              tflite::EnumNameActivation(activation)),
                  "end the network in a layer without activation function, optionally SOFTMAX");
  }
  return Logits{.view = View::row_major({builder.graph().head.classes})};
}

}  // namespace espalier::tflite_detail
