#include "onnx_lowering.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "espalier/ir/fixed_point.hpp"
#include "onnx_topology.hpp"
#include "onnx_values.hpp"

namespace espalier::onnx_detail {
namespace {

// Larger extents are damaged files, not networks for microcontrollers.
constexpr std::int64_t kMaxExtent = 1 << 20;
// Many nodes can share one initializer and each claim a copy; this bounds the sum.
constexpr std::int64_t kMaxClaimedElements = std::int64_t{256} << 20;
// int8 = uint8 - 128.
constexpr int kUnsignedShift = 128;
// Quantisers compute the scale of a bias in float, or not at all; beyond this relative difference
// it is another scale.
constexpr double kBiasScaleTolerance = 1e-3;

constexpr std::string_view kQuantizeNext =
    "put a QuantizeLinear and a DequantizeLinear between the two nodes (ONNX Runtime's "
    "quantize_static with quant_format=QDQ does)";
constexpr std::string_view kDamagedNext = "the file is damaged, export it again";
constexpr std::string_view kInt8Next =
    "quantise with int8 or uint8 activations and symmetric int8 weights";

struct Parameters {
  ir::Quantization quantization;  // of the int8 tensor
  bool is_unsigned = false;       // the file has it as uint8
};

std::int32_t round_to_int32(double value) {
  // Half to even, as QuantizeLinear.
  return static_cast<std::int32_t>(std::clamp<double>(std::nearbyint(value), INT32_MIN, INT32_MAX));
}

std::int64_t product(const Dims& dims) {
  return std::accumulate(dims.begin(), dims.end(), std::int64_t{1}, std::multiplies<>());
}

Dims channels_first(const ir::Shape& shape) { return {shape.channels, shape.height, shape.width}; }

bool extent_in_range(std::int64_t extent) { return extent >= 1 && extent <= kMaxExtent; }

// A Conv, Gemm or MatMul with its weights still in the file's order: element (o, k) is at
// o * out_step + k * in_step, k counting input channel, kernel row and kernel column.
struct Layer {
  int out = 0;
  int in_per_group = 0;
  int groups = 1;
  ir::Window window;
  std::size_t out_step = 0;
  std::size_t in_step = 1;
  int out_axis = 0;
  const Value* weights = nullptr;
  const Value* bias = nullptr;  // absent: zeros

  [[nodiscard]] std::size_t at(int o, int channel, int row, int column) const {
    const std::size_t k =
        (static_cast<std::size_t>(channel) * static_cast<std::size_t>(window.kernel_h) +
         static_cast<std::size_t>(row)) *
            static_cast<std::size_t>(window.kernel_w) +
        static_cast<std::size_t>(column);
    return static_cast<std::size_t>(o) * out_step + k * in_step;
  }
  [[nodiscard]] std::int64_t weight_count() const {
    return std::int64_t{window.kernel_h} * window.kernel_w * in_per_group * out;
  }
};

// The dimensions of constant weights; nullptr when they are something else.
const Dims* constant_dims(const Value& value) {
  if (const auto* plain = std::get_if<ConstantPtr>(&value)) return &(*plain)->dims;
  if (const auto* quantized = std::get_if<QuantizedPtr>(&value)) return &(*quantized)->values->dims;
  return nullptr;
}

bool is_constant(const Value& value) { return constant_dims(value) != nullptr; }

// A rank-1 bias, or one that broadcasts along channels of values with dimensions `dims`.
bool bias_fits(const Dims& bias, const Dims& dims) {
  if (bias.size() > dims.size() + 1) return false;
  if (product(bias) == 1) return true;
  Dims padded(dims.size() + 1 - bias.size(), 1);
  padded.insert(padded.end(), bias.begin(), bias.end());
  Dims wanted(padded.size(), 1);
  wanted[1] = dims[0];
  return padded == wanted;
}

class Lowering {
 public:
  Lowering(const onnx::GraphProto& model, ir::Graph& graph, Diagnostics& diagnostics)
      : model_(model), graph_(graph), diagnostics_(diagnostics), topology_(model) {}

  void run();

 private:
  using Handler = Value (Lowering::*)(const Node&);
  static const std::unordered_map<std::string_view, Handler>& handlers();

  void define_input();
  void check_output();
  Value dispatch(const Node& node);

  // ---- values ----
  Value refuse(const Node& node, std::string_view why, std::string_view next) {
    diagnostics_.add(node, why, next);
    return Unknown{};
  }
  Value* resolve(const Node& node, int input);
  Value* find_initializer(const std::string& name);
  void report_undefined(const Node& node, const std::string& name);
  const Constant* constant(const Node& node, int input, std::string_view role);
  bool has_input(const Node& node, int i) const { return !node.input(i).empty(); }
  std::optional<Activation> activation(const Node& node, int input);
  void report_not_activation(const Node& node, int input, const Value& value);
  bool spatial(const Node& node, const Activation& x);
  bool claim(const Node& node, std::int64_t elements);
  [[nodiscard]] const ir::Tensor& tensor(ir::TensorId id) const { return graph_.tensor(id); }

  // ---- quantisation ----
  std::optional<Parameters> activation_parameters(const Node& node, bool unsigned_default);
  Value quantize(const Node& node);
  Value dequantize(const Node& node);
  Value quantize_constant(const Node& node, const Constant& values);
  std::optional<QuantizedConstant> constant_parameters(const Node& node, ConstantPtr values);
  Value open_input(const Node& node, const Parameters& parameters);
  Value materialize(const Node& node, Pending pending, const Parameters& parameters);
  ir::TensorId add_tensor(std::string name, const ir::Shape& shape,
                          const ir::Quantization& quantization);

  // ---- layers ----
  Value convolution(const Node& node);
  Value gemm(const Node& node);
  Value matmul(const Node& node);
  Value fully_connected(const Node& node, bool transposed);
  Value place(const Node& node, const Layer& layer, const Activation& x, std::optional<Dims> dims);
  bool head(const Node& node) const { return node.index() == head_; }
  Value place_layer(const Node& node, const Layer& layer, const Activation& x,
                    std::optional<Dims> dims);
  Value place_head(const Node& node, const Layer& layer, const Activation& x,
                   std::optional<Dims> dims);
  bool float_weights(const Node& node, const Layer& layer);
  bool symmetric_weights(const Node& node, const Layer& layer);
  bool add_bias(const Node& node, const Value& bias, const Dims& dims, ir::TensorId input,
                ir::Conv2D& conv);
  bool add_head_bias(const Node& node, const Value& bias, const Dims& dims);
  const Constant* bias_constant(const Node& node, const Value& bias, const Dims& dims, int out);

  // ---- everything else ----
  Value add(const Node& node);
  Value relu(const Node& node);
  Value clip(const Node& node);
  Value clamp_to(const Node& node, double low, double high);
  Value average_pool(const Node& node);
  Value max_pool(const Node& node);
  Value global_average_pool(const Node& node);
  Value global_max_pool(const Node& node);
  Value reduce_mean(const Node& node);
  Value flatten(const Node& node);
  Value reshape(const Node& node);
  Value squeeze(const Node& node);
  Value identity(const Node& node);
  Value dropout(const Node& node);
  Value softmax(const Node& node);
  Value constant_node(const Node& node);
  Value pending(const Node& node, ir::OpParams params, std::vector<ir::TensorId> inputs,
                std::optional<Dims> dims = std::nullopt);
  Value view(const Node& node, const std::function<std::optional<Dims>(const Dims&)>& change);

  std::optional<ir::Window> window(const Node& node, int kernel_h, int kernel_w);
  static void resolve_padding(const Node& node, const ir::Shape& in, ir::Window& window);
  Value pool(const Node& node, bool average);

  const onnx::GraphProto& model_;
  ir::Graph& graph_;
  Diagnostics& diagnostics_;
  Topology topology_;
  std::unordered_map<std::string, Value> values_;
  std::unordered_map<std::string, const onnx::TensorProto*> initializers_;
  std::unordered_set<std::string> reported_;  // names already said to be undefined
  std::string input_name_;
  int input_type_ = 0;
  ir::Shape input_shape_;
  Dims input_dims_;
  std::int64_t batch_ = 0;  // 0: free
  int head_ = -1;
  std::int64_t claimed_elements_ = 0;
};

// ------------------------------------------------------------------------------------------------
// Running

const std::unordered_map<std::string_view, Lowering::Handler>& Lowering::handlers() {
  static const std::unordered_map<std::string_view, Handler> kHandlers{
      {"Add", &Lowering::add},
      {"AveragePool", &Lowering::average_pool},
      {"Clip", &Lowering::clip},
      {"Constant", &Lowering::constant_node},
      {"Conv", &Lowering::convolution},
      {"DequantizeLinear", &Lowering::dequantize},
      {"Dropout", &Lowering::dropout},
      {"Flatten", &Lowering::flatten},
      {"Gemm", &Lowering::gemm},
      {"GlobalAveragePool", &Lowering::global_average_pool},
      {"GlobalMaxPool", &Lowering::global_max_pool},
      {"Identity", &Lowering::identity},
      {"LogSoftmax", &Lowering::softmax},
      {"MatMul", &Lowering::matmul},
      {"MaxPool", &Lowering::max_pool},
      {"QuantizeLinear", &Lowering::quantize},
      {"ReduceMean", &Lowering::reduce_mean},
      {"Relu", &Lowering::relu},
      {"Reshape", &Lowering::reshape},
      {"Softmax", &Lowering::softmax},
      {"Squeeze", &Lowering::squeeze},
  };
  return kHandlers;
}

// What to do about op types that people meet often.
std::string_view advice(std::string_view type) {
  static const std::unordered_map<std::string_view, std::string_view> kAdvice{
      {"BatchNormalization", "fold it into the convolution before quantising"},
      {"DynamicQuantizeLinear", "use static quantisation (quantize_static) instead of dynamic"},
      {"ConvInteger", "use static quantisation (quantize_static) instead of dynamic"},
      {"MatMulInteger", "use static quantisation (quantize_static) instead of dynamic"},
      {"QLinearConv", "quantise with quant_format=QuantFormat.QDQ instead of QOperator"},
      {"QLinearMatMul", "quantise with quant_format=QuantFormat.QDQ instead of QOperator"},
      {"QLinearAdd", "quantise with quant_format=QuantFormat.QDQ instead of QOperator"},
      {"QLinearGlobalAveragePool",
       "quantise with quant_format=QuantFormat.QDQ instead of QOperator"},
      {"Pad", "fold it into the pads of the next Conv"},
      {"Shape",
       "export with a fixed input size and simplify the model, so that shapes are "
       "constants"},
      {"Transpose", "export the model in NCHW, so that no transposition is needed"},
      {"HardSwish", "train with Relu or Relu6 activations"},
      {"HardSigmoid", "train with Relu or Relu6 activations"},
      {"LeakyRelu", "train with Relu or Relu6 activations"},
      {"PRelu", "train with Relu or Relu6 activations"},
      {"Sigmoid", "train with Relu or Relu6 activations"},
      {"ArgMax", "cut it off, Espalier needs the logits"},
  };
  const auto found = kAdvice.find(type);
  return found != kAdvice.end()
             ? found->second
             : std::string_view(
                   "rewrite the network with Conv, Gemm, MatMul, Add, Relu, Clip, "
                   "pooling and changes of shape");
}

void Lowering::run() {
  for (const onnx::TensorProto& initializer : model_.initializer()) {
    initializers_.emplace(initializer.name(), &initializer);
  }
  topology_.check(diagnostics_);
  if (topology_.output().empty()) return;
  define_input();
  const Topology::HeadSearch head = topology_.find_head();
  head_ = head.node;
  for (int i = 0; i < model_.node_size(); ++i) {
    if (!topology_.live(i)) continue;
    const Node node(model_.node(i), i);
    Value value = dispatch(node);
    if (i == head.stopped_at && !std::holds_alternative<Unknown>(value)) {
      diagnostics_.add(node, "the network does not end in a classifier",
                       "end it in a Gemm, a MatMul or a 1x1 Conv, optionally with Softmax");
    }
    // The first definition stays; a second one was reported.
    if (!node.output().empty()) values_.emplace(std::string(node.output()), std::move(value));
  }
  check_output();
}

void Lowering::define_input() {
  std::vector<const onnx::ValueInfoProto*> inputs;
  for (const onnx::ValueInfoProto& input : model_.input()) {
    if (initializers_.count(input.name()) == 0 && topology_.reads(input.name())) {
      inputs.push_back(&input);
    }
  }
  // A cycle can cut the output off from the input; it is reported where it is met.
  if (inputs.empty() && topology_.has_cycle()) return;
  if (inputs.size() != 1) {
    diagnostics_.add(
        fmt::format("the output depends on {} inputs; Espalier needs networks with "
                    "one image input, so cut or fix the others",
                    inputs.size()));
    for (const onnx::ValueInfoProto* input : inputs) values_.emplace(input->name(), Unknown{});
    return;
  }
  input_name_ = inputs[0]->name();
  const onnx::TypeProto::Tensor& type = inputs[0]->type().tensor_type();
  input_type_ = type.elem_type();
  const auto refuse_input = [&](const std::string& text) {
    diagnostics_.add(fmt::format("input '{}': {}", printable(input_name_), text));
    values_.emplace(input_name_, Unknown{});
  };
  if (!type.has_shape() || (type.shape().dim_size() != 4 && type.shape().dim_size() != 2)) {
    refuse_input("its shape must be [N,C,H,W] or [N,features]; export with a fixed input size");
    return;
  }
  Dims dims;
  for (const auto& dim : type.shape().dim())
    dims.push_back(dim.has_dim_value() ? dim.dim_value() : 0);
  batch_ = dims[0];
  dims.erase(dims.begin());
  if (batch_ < 0 || !std::all_of(dims.begin(), dims.end(), extent_in_range)) {
    refuse_input(
        "every dimension but the first must be a positive number; export with a fixed input size");
    return;
  }
  input_dims_ = dims;
  dims.resize(3, 1);
  input_shape_ = {static_cast<int>(dims[1]), static_cast<int>(dims[2]), static_cast<int>(dims[0])};
  values_.emplace(input_name_, NetworkInput{});
}

void Lowering::check_output() {
  const auto found = values_.find(topology_.output());
  if (found != values_.end() && std::holds_alternative<Logits>(found->second)) return;
  // Anything else that is wrong with the output was reported where it happened.
  if (diagnostics_.empty()) {
    diagnostics_.add(fmt::format(
        "output '{}' is not computed by a classifier; end the network in a Gemm, a MatMul or a 1x1 "
        "Conv, optionally with Softmax",
        printable(topology_.output())));
  }
}

// Attributes that the handlers read, with the one type they may have.
bool attribute_types_match(const Node& node) {
  static const std::unordered_map<std::string_view, onnx::AttributeProto::AttributeType> kTypes{
      {"allowzero", onnx::AttributeProto::INT},    {"alpha", onnx::AttributeProto::FLOAT},
      {"auto_pad", onnx::AttributeProto::STRING},  {"axes", onnx::AttributeProto::INTS},
      {"axis", onnx::AttributeProto::INT},         {"beta", onnx::AttributeProto::FLOAT},
      {"block_size", onnx::AttributeProto::INT},   {"ceil_mode", onnx::AttributeProto::INT},
      {"dilations", onnx::AttributeProto::INTS},   {"group", onnx::AttributeProto::INT},
      {"keepdims", onnx::AttributeProto::INT},     {"kernel_shape", onnx::AttributeProto::INTS},
      {"max", onnx::AttributeProto::FLOAT},        {"min", onnx::AttributeProto::FLOAT},
      {"output_dtype", onnx::AttributeProto::INT}, {"pads", onnx::AttributeProto::INTS},
      {"strides", onnx::AttributeProto::INTS},     {"transA", onnx::AttributeProto::INT},
      {"transB", onnx::AttributeProto::INT},       {"count_include_pad", onnx::AttributeProto::INT},
  };
  for (const onnx::AttributeProto& attribute : node.proto().attribute()) {
    const auto found = kTypes.find(attribute.name());
    if (found != kTypes.end() && found->second != attribute.type()) return false;
  }
  return true;
}

Value Lowering::dispatch(const Node& node) {
  const std::string& domain = node.proto().domain();
  // ONNX Runtime's own domain has the same two ops for types that opset 13 lacks.
  const bool known_domain = domain.empty() || domain == "ai.onnx" ||
                            (domain == "com.microsoft" && (node.type() == "QuantizeLinear" ||
                                                           node.type() == "DequantizeLinear"));
  const auto handler = handlers().find(node.type());
  if (!known_domain || handler == handlers().end()) {
    return refuse(node, "this operator is not supported", advice(node.type()));
  }
  if (!attribute_types_match(node)) {
    return refuse(node, "an attribute has the wrong type", kDamagedNext);
  }
  return (this->*handler->second)(node);
}

// ------------------------------------------------------------------------------------------------
// Values

Value* Lowering::find_initializer(const std::string& name) {
  const auto found = initializers_.find(name);
  if (found == initializers_.end()) return nullptr;
  Result<Constant> decoded = decode_constant(*found->second);
  if (!decoded.ok()) {
    diagnostics_.add(
        fmt::format("initializer '{}': {}", printable(name), decoded.error().message()));
    return &values_.emplace(name, Unknown{}).first->second;
  }
  auto shared = std::make_shared<const Constant>(std::move(decoded).value());
  return &values_.emplace(name, ConstantPtr(std::move(shared))).first->second;
}

void Lowering::report_undefined(const Node& node, const std::string& name) {
  const int producer = topology_.producer(name);
  if (producer < 0) {
    diagnostics_.add(
        node,
        fmt::format("reads '{}', which is neither an initializer nor written by a node",
                    printable(name)),
        kDamagedNext);
  } else if (producer < node.index()) {
    const Node writer(model_.node(producer), producer);
    diagnostics_.add(
        node, fmt::format("reads '{}', a second output of {}", printable(name), writer.text()),
        "only the first output of a node is supported, so rewrite the model without it");
  } else if (topology_.has_cycle()) {
    diagnostics_.add(node,
                     fmt::format("reads '{}', which node {} writes: the graph has a cycle",
                                 printable(name), producer),
                     kDamagedNext);
  } else {
    diagnostics_.add(node,
                     fmt::format("reads '{}', which node {} writes later: the nodes are not in "
                                 "topological order",
                                 printable(name), producer),
                     "sort them, as ONNX demands");
  }
}

// The value of an input; nullptr when there is none, after a diagnostic.
Value* Lowering::resolve(const Node& node, int input) {
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

// A plain constant input; nullptr after a diagnostic.
const Constant* Lowering::constant(const Node& node, int input, std::string_view role) {
  const Value* value = resolve(node, input);
  if (value == nullptr || std::holds_alternative<Unknown>(*value)) return nullptr;
  if (const auto* found = std::get_if<ConstantPtr>(value)) return found->get();
  refuse(node, fmt::format("{} is not a constant", role),
         "make it an initializer, for example by constant folding");
  return nullptr;
}

void Lowering::report_not_activation(const Node& node, int input, const Value& value) {
  const std::string name = printable(node.input(input));
  const auto from = [&](int producer) { return Node(model_.node(producer), producer).text(); };
  if (std::holds_alternative<NetworkInput>(value)) {
    refuse(node, fmt::format("reads the network's input '{}' before it is quantised", name),
           kQuantizeNext);
  } else if (std::holds_alternative<ConstantPtr>(value) ||
             std::holds_alternative<QuantizedPtr>(value)) {
    refuse(node, fmt::format("reads the constant '{}' where an activation is expected", name),
           "fold constants before quantising");
  } else if (std::holds_alternative<Activation>(value)) {
    refuse(node, fmt::format("reads '{}' as integers", name),
           "put a DequantizeLinear before the node");
  } else if (const auto* waiting = std::get_if<std::unique_ptr<Pending>>(&value)) {
    refuse(
        node,
        fmt::format("reads the float result of {}, which is not quantised", from((*waiting)->node)),
        kQuantizeNext);
  } else if (const auto* consumed = std::get_if<Consumed>(&value)) {
    refuse(node,
           fmt::format("reads the float result of {}, which is used elsewhere too",
                       from(consumed->node)),
           "quantise that result once and let every reader use the quantised tensor");
  } else if (std::holds_alternative<Logits>(value)) {
    refuse(node, fmt::format("reads '{}', which comes from the classifier", name),
           "nothing but Softmax and changes of shape may follow the classifier");
  }
}

// An input that is a dequantised activation; nullopt after a diagnostic.
std::optional<Activation> Lowering::activation(const Node& node, int input) {
  const Value* value = resolve(node, input);
  if (value == nullptr || std::holds_alternative<Unknown>(*value)) return std::nullopt;
  const auto* found = std::get_if<Activation>(value);
  if (found != nullptr && !found->quantized) return *found;
  report_not_activation(node, input, *value);
  return std::nullopt;
}

// True when the dimensions are those of an image, channels first.
bool Lowering::spatial(const Node& node, const Activation& x) {
  if (x.dims == channels_first(tensor(x.tensor).shape)) return true;
  refuse(node,
         fmt::format("reads a tensor of [N,{}], which is not an image of [N,C,H,W]",
                     fmt::join(x.dims, ",")),
         "only a Gemm or MatMul may follow a change of shape");
  return false;
}

bool Lowering::claim(const Node& node, std::int64_t elements) {
  claimed_elements_ += elements;
  if (claimed_elements_ <= kMaxClaimedElements) return true;
  refuse(node, "the network has too many weights for any microcontroller",
         "check that the file is what you meant");
  return false;
}

// ------------------------------------------------------------------------------------------------
// Quantisation

bool usable_scale(float scale) { return std::isfinite(scale) && scale > 0; }

std::optional<Parameters> Lowering::activation_parameters(const Node& node, bool unsigned_default) {
  if (node.integer("block_size").value_or(0) != 0) {
    refuse(node, "blocked quantisation is not supported", kInt8Next);
    return std::nullopt;
  }
  const Constant* scale = constant(node, 1, "the scale");
  const bool has_zero = has_input(node, 2);
  const Constant* zero = has_zero ? constant(node, 2, "the zero point") : nullptr;
  if (scale == nullptr || (has_zero && zero == nullptr)) return std::nullopt;
  if (!scale->is_float() || scale->count() != 1) {
    refuse(node,
           fmt::format("the scale of an activation is a {} of [{}], not one float",
                       element_name(scale->element), dims_text(scale->dims)),
           "quantise activations per tensor");
    return std::nullopt;
  }
  if (!usable_scale(scale->floats[0])) {
    refuse(node, fmt::format("scale {} is not a positive number", scale->floats[0]),
           "quantise the model again");
    return std::nullopt;
  }
  Parameters parameters;
  parameters.quantization.scale = scale->floats[0];
  parameters.is_unsigned = unsigned_default;
  if (zero != nullptr) {
    if ((zero->element != Element::kInt8 && zero->element != Element::kUint8) ||
        zero->count() != 1) {
      refuse(node,
             fmt::format("the zero point is a {} of [{}], not one int8 or uint8",
                         element_name(zero->element), dims_text(zero->dims)),
             kInt8Next);
      return std::nullopt;
    }
    parameters.is_unsigned = zero->element == Element::kUint8;
    parameters.quantization.zero_point = zero->ints[0];
  } else if (const auto type = node.integer("output_dtype"); type && *type != 0) {
    if (*type != onnx::TensorProto::INT8 && *type != onnx::TensorProto::UINT8) {
      refuse(node, "it quantises to another type than int8 or uint8", kInt8Next);
      return std::nullopt;
    }
    parameters.is_unsigned = *type == onnx::TensorProto::UINT8;
  }
  if (parameters.is_unsigned) parameters.quantization.zero_point -= kUnsignedShift;
  return parameters;
}

ir::TensorId Lowering::add_tensor(std::string name, const ir::Shape& shape,
                                  const ir::Quantization& quantization) {
  graph_.tensors.push_back({printable(name), shape, quantization});
  return static_cast<ir::TensorId>(graph_.tensors.size()) - 1;
}

// The network's input becomes a tensor where it is first quantised or dequantised.
Value Lowering::open_input(const Node& node, const Parameters& parameters) {
  if (graph_.input < 0) {
    graph_.input =
        add_tensor(std::string(node.type() == "QuantizeLinear" ? node.output() : node.input(0)),
                   input_shape_, parameters.quantization);
  } else if (!(tensor(graph_.input).quantization == parameters.quantization)) {
    return refuse(node, "the network's input is quantised twice, with different parameters",
                  "quantise it once and let every reader use the quantised tensor");
  }
  return Activation{graph_.input, input_dims_, true, parameters.is_unsigned};
}

// Writes an op whose result is quantised here.
Value Lowering::materialize(const Node& node, Pending pending, const Parameters& parameters) {
  const ir::Quantization& quantization = parameters.quantization;
  const std::string name = Node(model_.node(pending.node), pending.node).name();
  const bool pooling = std::holds_alternative<ir::AveragePool>(pending.params) ||
                       std::holds_alternative<ir::MaxPool>(pending.params);
  if (pooling && !(tensor(pending.inputs[0]).quantization == quantization)) {
    // Pools keep their input's quantisation; the change is an op of its own.
    const ir::TensorId pooled =
        add_tensor(name + "_pooled", pending.shape, tensor(pending.inputs[0]).quantization);
    graph_.ops.push_back({printable(name), std::move(pending.params), pending.inputs, pooled});
    pending.params = ir::Rescale{};
    pending.inputs = {pooled};
  }
  // Rounding is monotonic, so clipping before it and clamping behind it are the same.
  const auto bound = [&](double real) {
    const double q = std::nearbyint(real / quantization.scale) + quantization.zero_point;
    return static_cast<int>(std::clamp<double>(q, -128, 127));
  };
  const ir::TensorId output = add_tensor(std::string(node.output()), pending.shape, quantization);
  graph_.ops.push_back({printable(name), std::move(pending.params), std::move(pending.inputs),
                        output, bound(pending.low), bound(pending.high)});
  return Activation{output, std::move(pending.dims), true, parameters.is_unsigned};
}

Value Lowering::quantize(const Node& node) {
  Value* value = resolve(node, 0);
  if (value == nullptr) return Unknown{};
  if (const auto* values = std::get_if<ConstantPtr>(value))
    return quantize_constant(node, **values);
  const std::optional<Parameters> parameters = activation_parameters(node, true);
  if (!parameters) return Unknown{};
  if (std::holds_alternative<NetworkInput>(*value)) {
    if (input_type_ != onnx::TensorProto::FLOAT) {
      return refuse(node, "quantises an input that is not float",
                    "export the model with a float input, or an int8 or uint8 input and "
                    "DequantizeLinear");
    }
    return open_input(node, *parameters);
  }
  if (std::holds_alternative<Logits>(*value)) return std::get<Logits>(*value);
  if (auto* waiting = std::get_if<std::unique_ptr<Pending>>(value)) {
    const std::unique_ptr<Pending> op = std::move(*waiting);
    *value = Consumed{op->node};
    return materialize(node, std::move(*op), *parameters);
  }
  const std::optional<Activation> x = activation(node, 0);
  if (!x) return Unknown{};
  if (tensor(x->tensor).quantization == parameters->quantization) {
    return Activation{x->tensor, x->dims, true, parameters->is_unsigned};
  }
  Pending rescale{.params = ir::Rescale{},
                  .inputs = {x->tensor},
                  .shape = tensor(x->tensor).shape,
                  .dims = x->dims,
                  .node = node.index()};
  return materialize(node, std::move(rescale), *parameters);
}

// Scale and zero point of a constant; nullopt after a diagnostic.
std::optional<QuantizedConstant> Lowering::constant_parameters(const Node& node,
                                                               ConstantPtr values) {
  if (node.integer("block_size").value_or(0) != 0) {
    refuse(node, "blocked quantisation is not supported", kInt8Next);
    return std::nullopt;
  }
  const Constant* scale = constant(node, 1, "the scale");
  const bool has_zero = has_input(node, 2);
  const Constant* zero = has_zero ? constant(node, 2, "the zero point") : nullptr;
  if (scale == nullptr || (has_zero && zero == nullptr)) return std::nullopt;
  const auto refused = [&](std::string_view why) {
    refuse(node, why, kInt8Next);
    return std::nullopt;
  };
  if (!scale->is_float() || scale->count() == 0 || scale->dims.size() > 1) {
    return refused("the scale is not a float or a list of floats");
  }
  if (!std::all_of(scale->floats.begin(), scale->floats.end(), usable_scale)) {
    return refused("a scale is not a positive number");
  }
  if (!claim(node, static_cast<std::int64_t>(scale->count()))) return std::nullopt;
  QuantizedConstant result{std::move(values), scale->floats, {}, 0};
  if (scale->count() > 1) {
    const auto rank = static_cast<std::int64_t>(result.values->dims.size());
    std::int64_t axis = node.integer("axis").value_or(1);
    if (axis < 0) axis += rank;
    // Rank 1 leaves no choice, and some exporters leave the attribute out there.
    if (rank == 1) axis = 0;
    if (axis < 0 || axis >= rank ||
        result.values->dims[static_cast<std::size_t>(axis)] !=
            static_cast<std::int64_t>(scale->count())) {
      return refused(fmt::format("{} scales do not fit axis {} of [{}]", scale->count(), axis,
                                 dims_text(result.values->dims)));
    }
    result.axis = static_cast<int>(axis);
  }
  if (zero == nullptr) {
    result.zero_points.assign(scale->count(), 0);
  } else if (zero->is_float() || zero->count() != scale->count()) {
    return refused("scale and zero point differ in size");
  } else {
    result.zero_points = zero->ints;
  }
  return result;
}

// QuantizeLinear on float weights, as tools for quantisation-aware training write it.
Value Lowering::quantize_constant(const Node& node, const Constant& values) {
  if (!values.is_float()) return refuse(node, "quantises a constant that is not float", kInt8Next);
  if (!claim(node, static_cast<std::int64_t>(values.count()))) return Unknown{};
  auto quantized = std::make_shared<Constant>();
  quantized->dims = values.dims;
  quantized->element = Element::kUint8;
  if (has_input(node, 2)) {
    const Constant* zero = constant(node, 2, "the zero point");
    if (zero == nullptr) return Unknown{};
    quantized->element = zero->element;
  }
  if (quantized->element != Element::kInt8 && quantized->element != Element::kUint8) {
    return refuse(node, "it quantises to another type than int8 or uint8", kInt8Next);
  }
  const std::optional<QuantizedConstant> parameters = constant_parameters(node, quantized);
  if (!parameters) return Unknown{};
  const bool is_unsigned = quantized->element == Element::kUint8;
  const double low = is_unsigned ? 0 : -128;
  std::size_t inner = 1;
  for (std::size_t d = static_cast<std::size_t>(parameters->axis) + 1; d < values.dims.size();
       ++d) {
    inner *= static_cast<std::size_t>(values.dims[d]);
  }
  quantized->ints.reserve(values.count());
  for (std::size_t i = 0; i < values.count(); ++i) {
    const std::size_t s = parameters->scale_index(i / inner % parameters->scales.size());
    const double q = std::nearbyint(static_cast<double>(values.floats[i]) / parameters->scales[s]) +
                     parameters->zero_points[s];
    if (std::isnan(q)) return refuse(node, "a weight is not a number", "train the model again");
    quantized->ints.push_back(static_cast<std::int32_t>(std::clamp(q, low, low + 255)));
  }
  return ConstantPtr(std::move(quantized));
}

Value Lowering::dequantize(const Node& node) {
  Value* value = resolve(node, 0);
  if (value == nullptr) return Unknown{};
  if (const auto* values = std::get_if<ConstantPtr>(value)) {
    if ((*values)->is_float()) return refuse(node, "dequantises a float constant", kInt8Next);
    if (const auto& zero = node.input(2); !zero.empty()) {
      const Constant* point = constant(node, 2, "the zero point");
      if (point == nullptr) return Unknown{};
      if (point->element != (*values)->element) {
        return refuse(node,
                      fmt::format("the constant is {} and its zero point {}",
                                  element_name((*values)->element), element_name(point->element)),
                      kDamagedNext);
      }
    }
    std::optional<QuantizedConstant> result = constant_parameters(node, *values);
    if (!result) return Unknown{};
    return std::make_shared<const QuantizedConstant>(*std::move(result));
  }
  if (std::holds_alternative<Logits>(*value)) return std::get<Logits>(*value);
  if (std::holds_alternative<Unknown>(*value)) return Unknown{};
  if (std::holds_alternative<NetworkInput>(*value)) {
    const bool is_unsigned = input_type_ == onnx::TensorProto::UINT8;
    if (!is_unsigned && input_type_ != onnx::TensorProto::INT8) {
      return refuse(node, "dequantises an input that is neither int8 nor uint8", kInt8Next);
    }
    const std::optional<Parameters> parameters = activation_parameters(node, is_unsigned);
    if (!parameters) return Unknown{};
    if (parameters->is_unsigned != is_unsigned) {
      return refuse(node, "the zero point is of another type than the input", kDamagedNext);
    }
    Value opened = open_input(node, *parameters);
    if (auto* x = std::get_if<Activation>(&opened)) x->quantized = false;
    return opened;
  }
  const auto* x = std::get_if<Activation>(value);
  if (x == nullptr || !x->quantized) {
    return refuse(node, "dequantises a float tensor", "put a QuantizeLinear before it");
  }
  const std::optional<Parameters> parameters = activation_parameters(node, x->is_unsigned);
  if (!parameters) return Unknown{};
  if (parameters->is_unsigned != x->is_unsigned ||
      !(parameters->quantization == tensor(x->tensor).quantization)) {
    return refuse(node, "its scale, zero point or type differ from those of the QuantizeLinear",
                  "use the same parameters for both");
  }
  Activation real = *x;
  real.quantized = false;
  return real;
}

// ------------------------------------------------------------------------------------------------
// Layers

// Strides, pads and auto_pad of a Conv or pool; padding that depends on the input is filled in by
// resolve_padding.
std::optional<ir::Window> Lowering::window(const Node& node, int kernel_h, int kernel_w) {
  const auto refused = [&](std::string_view why, std::string_view next) {
    refuse(node, why, next);
    return std::nullopt;
  };
  if (const auto dilations = node.integers("dilations")) {
    for (const std::int64_t d : *dilations) {
      if (d != 1) return refused("dilation is not supported", "train with dilation 1");
    }
  }
  const Dims strides = node.integers("strides").value_or(Dims{1, 1});
  const Dims pads = node.integers("pads").value_or(Dims{0, 0, 0, 0});
  if (strides.size() != 2 || pads.size() != 4) {
    return refused("strides or pads do not belong to a window of two dimensions",
                   "only 2-D windows are supported, so reshape the network to images");
  }
  for (const std::int64_t s : strides) {
    if (!extent_in_range(s)) return refused("a stride is out of range", kDamagedNext);
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
  return ir::Window{.kernel_h = kernel_h,
                    .kernel_w = kernel_w,
                    .stride_h = static_cast<int>(strides[0]),
                    .stride_w = static_cast<int>(strides[1]),
                    .pad_top = static_cast<int>(pads[0]),
                    .pad_left = static_cast<int>(pads[1]),
                    .pad_bottom = static_cast<int>(pads[2]),
                    .pad_right = static_cast<int>(pads[3])};
}

void Lowering::resolve_padding(const Node& node, const ir::Shape& in, ir::Window& window) {
  const std::string auto_pad = node.string("auto_pad").value_or("NOTSET");
  if (auto_pad == "NOTSET") return;
  window.pad_top = window.pad_left = window.pad_bottom = window.pad_right = 0;
  if (auto_pad == "VALID") return;
  const auto same = [&](int extent, int kernel, int stride, int& before, int& after) {
    const int out = (extent + stride - 1) / stride;
    const int total = std::max(0, (out - 1) * stride + kernel - extent);
    before = auto_pad == "SAME_LOWER" ? total - total / 2 : total / 2;
    after = total - before;
  };
  same(in.height, window.kernel_h, window.stride_h, window.pad_top, window.pad_bottom);
  same(in.width, window.kernel_w, window.stride_w, window.pad_left, window.pad_right);
}

Value Lowering::pending(const Node& node, ir::OpParams params, std::vector<ir::TensorId> inputs,
                        std::optional<Dims> dims) {
  std::vector<ir::Shape> shapes;
  for (const ir::TensorId id : inputs) shapes.push_back(tensor(id).shape);
  const Result<ir::Shape> shape = ir::infer_shape(params, shapes);
  if (!shape.ok()) return refuse(node, shape.error().message(), kDamagedNext);
  auto op = std::make_unique<Pending>();
  op->params = std::move(params);
  op->inputs = std::move(inputs);
  op->shape = *shape;
  op->dims = dims ? *std::move(dims) : channels_first(*shape);
  op->node = node.index();
  return op;
}

// Reports weights that the graph cannot hold.
bool Lowering::symmetric_weights(const Node& node, const Layer& layer) {
  if (std::holds_alternative<Unknown>(*layer.weights)) return false;
  const auto* found = std::get_if<QuantizedPtr>(layer.weights);
  if (found == nullptr) {
    refuse(node, "its weights are not int8 constants behind DequantizeLinear",
           "quantise the weights too, statically");
    return false;
  }
  const QuantizedPtr& weights = *found;
  const Element element = weights->values->element;
  if (element != Element::kInt8 && element != Element::kUint8) {
    refuse(node, fmt::format("its weights are {}", element_name(element)), kInt8Next);
    return false;
  }
  const std::int32_t symmetric = element == Element::kUint8 ? kUnsignedShift : 0;
  for (const std::int32_t zero : weights->zero_points) {
    if (zero != symmetric) {
      refuse(node,
             fmt::format("its weights are asymmetric (zero point {}, not {})", zero, symmetric),
             "quantise with WeightSymmetric=True");
      return false;
    }
  }
  if (!weights->per_tensor() && weights->axis != layer.out_axis) {
    refuse(node,
           fmt::format("its weights have scales along axis {}, not along output channels",
                       weights->axis),
           "quantise weights per tensor or per output channel");
    return false;
  }
  return true;
}

// Elements of a bias that fits an output of `dims` and `out` channels; nullptr after a diagnostic.
const Constant* Lowering::bias_constant(const Node& node, const Value& bias, const Dims& dims,
                                        int out) {
  if (std::holds_alternative<Unknown>(bias)) return nullptr;
  const Constant* values = nullptr;
  if (const auto* plain = std::get_if<ConstantPtr>(&bias)) {
    values = plain->get();
    if (!values->is_float()) {
      refuse(node,
             fmt::format("its bias is {} without DequantizeLinear", element_name(values->element)),
             "make it float, or int32 behind DequantizeLinear");
      return nullptr;
    }
  } else if (const auto* quantized = std::get_if<QuantizedPtr>(&bias)) {
    values = (*quantized)->values.get();
  } else {
    refuse(node, "its bias is not a constant", "fold constants before quantising");
    return nullptr;
  }
  if (!bias_fits(values->dims, dims) ||
      (values->count() != 1 && values->count() != std::size_t(out))) {
    refuse(node,
           fmt::format("its bias of [{}] does not fit {} output channels", dims_text(values->dims),
                       out),
           kDamagedNext);
    return nullptr;
  }
  for (const float b : values->floats) {
    if (!std::isfinite(b)) {
      refuse(node, "a bias is not a finite number", "train the model again");
      return nullptr;
    }
  }
  return values;
}

// Element o of a bias, broadcast when there is only one.
double real_bias(const Value& bias, const Constant& values, std::size_t o) {
  const std::size_t i = values.count() == 1 ? 0 : o;
  if (const auto* quantized = std::get_if<QuantizedPtr>(&bias)) {
    const QuantizedConstant& q = **quantized;
    const std::size_t s = q.scale_index(i);
    return (static_cast<double>(values.ints[i]) - q.zero_points[s]) * q.scales[s];
  }
  return values.floats[i];
}

bool Lowering::add_bias(const Node& node, const Value& bias, const Dims& dims, ir::TensorId input,
                        ir::Conv2D& conv) {
  const Constant* values = bias_constant(node, bias, dims, conv.out_channels);
  if (values == nullptr) return false;
  const double input_scale = tensor(input).quantization.scale;
  const auto* quantized = std::get_if<QuantizedPtr>(&bias);
  for (std::size_t o = 0; o < conv.bias.size(); ++o) {
    const double scale = input_scale * conv.weight_scales[o];
    std::int32_t units = 0;
    const std::size_t i = values->count() == 1 ? 0 : o;
    const std::size_t s = quantized != nullptr ? (*quantized)->scale_index(i) : 0;
    if (quantized != nullptr && (*quantized)->zero_points[s] == 0 &&
        std::abs((*quantized)->scales[s] - scale) <= kBiasScaleTolerance * scale) {
      units = values->ints[i];
    } else {
      units = round_to_int32(real_bias(bias, *values, o) / scale);
    }
    conv.bias[o] = ir::saturating_add(conv.bias[o], units);
  }
  return true;
}

bool Lowering::add_head_bias(const Node& node, const Value& bias, const Dims& dims) {
  const Constant* values = bias_constant(node, bias, dims, graph_.head.classes);
  if (values == nullptr) return false;
  for (std::size_t o = 0; o < graph_.head.bias.size(); ++o) {
    graph_.head.bias[o] += static_cast<float>(real_bias(bias, *values, o));
  }
  return true;
}

// The classifier's weights may be float, and asymmetric.
bool Lowering::float_weights(const Node& node, const Layer& layer) {
  if (const auto* quantized = std::get_if<QuantizedPtr>(layer.weights)) {
    if ((*quantized)->per_tensor() || (*quantized)->axis == layer.out_axis) return true;
    refuse(node, "its weights have scales along another axis than the output",
           "quantise weights per tensor or per output channel");
    return false;
  }
  const Constant& plain = *std::get<ConstantPtr>(*layer.weights);
  if (!plain.is_float()) {
    refuse(node,
           fmt::format("its weights are {} without DequantizeLinear", element_name(plain.element)),
           kInt8Next);
    return false;
  }
  for (const float w : plain.floats) {
    if (!std::isfinite(w)) {
      refuse(node, "a weight is not a finite number", "train the model again");
      return false;
    }
  }
  return true;
}

Value Lowering::place_head(const Node& node, const Layer& layer, const Activation& x,
                           std::optional<Dims> dims) {
  const ir::Shape& shape = tensor(x.tensor).shape;
  const ir::Window& w = layer.window;
  if (layer.groups != 1 || w.kernel_h != shape.height || w.kernel_w != shape.width ||
      w.pad_top != 0 || w.pad_left != 0 || w.pad_bottom != 0 || w.pad_right != 0) {
    return refuse(node, "the last layer is not a classifier, its output is an image",
                  "end the network in global pooling and a Gemm, a MatMul or a 1x1 Conv");
  }
  if (layer.in_per_group != shape.channels) {
    return refuse(node,
                  fmt::format("its weights expect {} input channels, the input has {}",
                              layer.in_per_group, shape.channels),
                  kDamagedNext);
  }
  if (!float_weights(node, layer) || !claim(node, layer.weight_count())) return Unknown{};
  const auto* quantized = std::get_if<QuantizedPtr>(layer.weights);
  ir::Head& head = graph_.head;
  head.classes = layer.out;
  head.features = static_cast<int>(shape.elements());
  head.weights.reserve(static_cast<std::size_t>(layer.weight_count()));
  for (int o = 0; o < layer.out; ++o) {
    for (int row = 0; row < shape.height; ++row) {
      for (int column = 0; column < shape.width; ++column) {
        for (int channel = 0; channel < shape.channels; ++channel) {
          const std::size_t at = layer.at(o, channel, row, column);
          if (quantized == nullptr) {
            head.weights.push_back(std::get<ConstantPtr>(*layer.weights)->floats[at]);
            continue;
          }
          const QuantizedConstant& q = **quantized;
          const std::size_t s = q.scale_index(static_cast<std::size_t>(o));
          head.weights.push_back(static_cast<float>(
              (static_cast<double>(q.values->ints[at]) - q.zero_points[s]) * q.scales[s]));
        }
      }
    }
  }
  head.bias.assign(static_cast<std::size_t>(layer.out), 0.0F);
  graph_.features = x.tensor;
  if (layer.bias != nullptr && !add_head_bias(node, *layer.bias, {layer.out})) return Unknown{};
  return Logits{.dims = std::move(dims).value_or(Dims{layer.out, 1, 1})};
}

Value Lowering::place_layer(const Node& node, const Layer& layer, const Activation& x,
                            std::optional<Dims> dims) {
  if (!claim(node, layer.weight_count())) return Unknown{};
  const QuantizedConstant& weights = *std::get<QuantizedPtr>(*layer.weights);
  const std::int32_t zero = weights.values->element == Element::kUint8 ? kUnsignedShift : 0;
  ir::Conv2D conv{.window = layer.window,
                  .in_channels = layer.in_per_group * layer.groups,
                  .out_channels = layer.out,
                  .groups = layer.groups,
                  .weights = {},
                  .weight_scales = {},
                  .bias = std::vector<std::int32_t>(static_cast<std::size_t>(layer.out), 0)};
  conv.weights.reserve(static_cast<std::size_t>(layer.weight_count()));
  for (int o = 0; o < layer.out; ++o) {
    conv.weight_scales.push_back(weights.scales[weights.scale_index(static_cast<std::size_t>(o))]);
    for (int row = 0; row < layer.window.kernel_h; ++row) {
      for (int column = 0; column < layer.window.kernel_w; ++column) {
        for (int channel = 0; channel < layer.in_per_group; ++channel) {
          const std::int32_t w = weights.values->ints[layer.at(o, channel, row, column)] - zero;
          // Quantisers can reach -128 at the very end of a tensor's range; the graph is symmetric.
          conv.weights.push_back(static_cast<std::int8_t>(std::max(w, -127)));
        }
      }
    }
  }
  if (layer.bias != nullptr && !add_bias(node, *layer.bias, {layer.out}, x.tensor, conv)) {
    return Unknown{};
  }
  return pending(node, std::move(conv), {x.tensor}, std::move(dims));
}

Value Lowering::place(const Node& node, const Layer& layer, const Activation& x,
                      std::optional<Dims> dims) {
  return head(node) ? place_head(node, layer, x, std::move(dims))
                    : place_layer(node, layer, x, std::move(dims));
}

Value Lowering::convolution(const Node& node) {
  Layer layer;
  layer.weights = resolve(node, 1);
  layer.bias = has_input(node, 2) ? resolve(node, 2) : nullptr;
  const bool bias_missing = has_input(node, 2) && layer.bias == nullptr;
  const std::int64_t groups = node.integer("group").value_or(1);
  // The window's own attributes are checked even when the weights are not there.
  const std::optional<ir::Window> slide = window(node, 1, 1);
  if (layer.weights == nullptr || std::holds_alternative<Unknown>(*layer.weights)) {
    return Unknown{};
  }
  const Dims* dims = constant_dims(*layer.weights);
  if (dims == nullptr) {
    return refuse(node, "its weights are not constant", "fold constants before quantising");
  }
  if (dims->size() != 4 || !std::all_of(dims->begin(), dims->end(), extent_in_range)) {
    return refuse(
        node, fmt::format("its weights of [{}] are not [out,in,height,width]", dims_text(*dims)),
        "only 2-D convolutions are supported");
  }
  if (!extent_in_range(groups) || !extent_in_range((*dims)[1] * groups)) {
    return refuse(node, fmt::format("{} groups are out of range", groups), kDamagedNext);
  }
  const Dims kernel{(*dims)[2], (*dims)[3]};
  if (node.integers("kernel_shape").value_or(kernel) != kernel) {
    return refuse(node, "kernel_shape differs from the weights", kDamagedNext);
  }
  layer.out = static_cast<int>((*dims)[0]);
  layer.in_per_group = static_cast<int>((*dims)[1]);
  layer.groups = static_cast<int>(groups);
  layer.out_step = static_cast<std::size_t>((*dims)[1] * kernel[0] * kernel[1]);
  const bool usable = head(node) || symmetric_weights(node, layer);
  const std::optional<Activation> x = activation(node, 0);
  if (!slide || !usable || bias_missing || !x || !spatial(node, *x)) return Unknown{};
  layer.window = *slide;
  layer.window.kernel_h = static_cast<int>(kernel[0]);
  layer.window.kernel_w = static_cast<int>(kernel[1]);
  resolve_padding(node, tensor(x->tensor).shape, layer.window);
  return place(node, layer, *x, std::nullopt);
}

Value Lowering::gemm(const Node& node) {
  if (node.real("alpha").value_or(1.0F) != 1.0F ||
      (has_input(node, 2) && node.real("beta").value_or(1.0F) != 1.0F)) {
    return refuse(node, "alpha and beta must be 1", "fold them into weights and bias");
  }
  if (node.integer("transA").value_or(0) != 0) {
    return refuse(node, "transA is not supported", "transpose nothing but the weights");
  }
  return fully_connected(node, node.integer("transB").value_or(0) != 0);
}

Value Lowering::matmul(const Node& node) { return fully_connected(node, false); }

// Weights are [out,in] when transposed, otherwise [in,out].
Value Lowering::fully_connected(const Node& node, bool transposed) {
  Layer layer;
  layer.weights = resolve(node, 1);
  layer.bias = has_input(node, 2) ? resolve(node, 2) : nullptr;
  const bool bias_missing = has_input(node, 2) && layer.bias == nullptr;
  if (layer.weights == nullptr || std::holds_alternative<Unknown>(*layer.weights)) {
    return Unknown{};
  }
  const Dims* dims = constant_dims(*layer.weights);
  if (dims == nullptr) {
    return refuse(node, "its second operand is not constant",
                  "products of activations are not supported, so rewrite the network without them");
  }
  if (dims->size() != 2 || !std::all_of(dims->begin(), dims->end(), extent_in_range)) {
    return refuse(node, fmt::format("its weights of [{}] are not a matrix", dims_text(*dims)),
                  "only products with a matrix are supported");
  }
  const std::int64_t in = (*dims)[transposed ? 1 : 0];
  layer.out = static_cast<int>((*dims)[transposed ? 0 : 1]);
  layer.out_axis = transposed ? 0 : 1;
  layer.out_step = transposed ? static_cast<std::size_t>(in) : 1;
  layer.in_step = transposed ? 1 : static_cast<std::size_t>(layer.out);
  const bool usable = head(node) || symmetric_weights(node, layer);
  const std::optional<Activation> x = activation(node, 0);
  if (!usable || bias_missing || !x) return Unknown{};
  if (x->dims.size() != 1) {
    return refuse(node,
                  fmt::format("reads a tensor of [N,{}], not a matrix", fmt::join(x->dims, ",")),
                  "put a Flatten before it");
  }
  // Features behind Flatten count channels first: a window that covers the whole image.
  const ir::Shape& shape = tensor(x->tensor).shape;
  if (in != shape.elements()) {
    return refuse(
        node, fmt::format("its weights expect {} features, the input has {}", in, shape.elements()),
        kDamagedNext);
  }
  layer.in_per_group = shape.channels;
  layer.window.kernel_h = shape.height;
  layer.window.kernel_w = shape.width;
  return place(node, layer, *x, Dims{layer.out});
}

// ------------------------------------------------------------------------------------------------
// Element-wise ops

Value Lowering::add(const Node& node) {
  Value* a = resolve(node, 0);
  Value* b = resolve(node, 1);
  if (a == nullptr || b == nullptr) return Unknown{};
  if (is_constant(*a) != is_constant(*b)) {
    Value& operand = is_constant(*a) ? *b : *a;
    const Value& bias = is_constant(*a) ? *a : *b;
    if (auto* logits = std::get_if<Logits>(&operand); logits != nullptr && !logits->final) {
      return add_head_bias(node, bias, logits->dims) ? Value(*logits) : Value(Unknown{});
    }
    if (auto* waiting = std::get_if<std::unique_ptr<Pending>>(&operand)) {
      Pending& op = **waiting;
      auto* conv = std::get_if<ir::Conv2D>(&op.params);
      if (conv != nullptr && std::isinf(op.low) && std::isinf(op.high)) {
        if (!add_bias(node, bias, op.dims, op.inputs[0], *conv)) return Unknown{};
        Value sum = std::move(*waiting);
        operand = Consumed{std::get<std::unique_ptr<Pending>>(sum)->node};
        return sum;
      }
    }
    if (std::holds_alternative<Unknown>(operand)) return Unknown{};
    return refuse(node, "adds a constant to something that is not a fresh Conv, Gemm or MatMul",
                  "fold the constant into the bias of the layer before it, ahead of quantisation");
  }
  const std::optional<Activation> x = activation(node, 0);
  const std::optional<Activation> y = activation(node, 1);
  if (!x || !y) return Unknown{};
  // Equal dimensions over tensors of different shape would pair elements in different orders.
  if (x->dims != y->dims || !(tensor(x->tensor).shape == tensor(y->tensor).shape)) {
    return refuse(node,
                  fmt::format("adds [N,{}] and [N,{}]; broadcasting is not supported",
                              fmt::join(x->dims, ","), fmt::join(y->dims, ",")),
                  "add tensors of equal shape");
  }
  return pending(node, ir::Add{}, {x->tensor, y->tensor}, x->dims);
}

Value Lowering::clamp_to(const Node& node, double low, double high) {
  Value* value = resolve(node, 0);
  if (value == nullptr) return Unknown{};
  if (auto* waiting = std::get_if<std::unique_ptr<Pending>>(value)) {
    std::unique_ptr<Pending> op = std::move(*waiting);
    *value = Consumed{op->node};
    op->low = std::clamp(op->low, low, high);
    op->high = std::clamp(op->high, low, high);
    return op;
  }
  const std::optional<Activation> x = activation(node, 0);
  if (!x) return Unknown{};
  Value result = pending(node, ir::Rescale{}, {x->tensor}, x->dims);
  if (auto* op = std::get_if<std::unique_ptr<Pending>>(&result)) {
    (*op)->low = low;
    (*op)->high = high;
  }
  return result;
}

Value Lowering::relu(const Node& node) {
  return clamp_to(node, 0, std::numeric_limits<double>::infinity());
}

Value Lowering::clip(const Node& node) {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  if (const auto attribute = node.real("min")) low = *attribute;
  if (const auto attribute = node.real("max")) high = *attribute;
  const auto read = [&](int input, std::string_view role, double& bound) {
    if (!has_input(node, input)) return true;
    const Constant* value = constant(node, input, role);
    if (value == nullptr) return false;
    if (!value->is_float() || value->count() != 1) {
      refuse(node, fmt::format("{} is not one float", role), kDamagedNext);
      return false;
    }
    bound = value->floats[0];
    return true;
  };
  if (!read(1, "the lower bound", low) || !read(2, "the upper bound", high)) return Unknown{};
  if (!(low <= high)) {
    return refuse(node, fmt::format("clips to {}..{}, which is empty", low, high), kDamagedNext);
  }
  return clamp_to(node, low, high);
}

// ------------------------------------------------------------------------------------------------
// Pools

Value Lowering::pool(const Node& node, bool average) {
  const Dims kernel = node.integers("kernel_shape").value_or(Dims{});
  if (kernel.size() != 2 || !std::all_of(kernel.begin(), kernel.end(), extent_in_range)) {
    return refuse(node, "kernel_shape is not two positive numbers",
                  "only 2-D windows are supported, so reshape the network to images");
  }
  std::optional<ir::Window> slide =
      window(node, static_cast<int>(kernel[0]), static_cast<int>(kernel[1]));
  const std::optional<Activation> x = activation(node, 0);
  if (!slide || !x || !spatial(node, *x)) return Unknown{};
  const ir::Shape& shape = tensor(x->tensor).shape;
  resolve_padding(node, shape, *slide);
  const bool padded =
      slide->pad_top > 0 || slide->pad_left > 0 || slide->pad_bottom > 0 || slide->pad_right > 0;
  if (average && padded && node.integer("count_include_pad").value_or(0) != 0) {
    return refuse(node, "count_include_pad=1 with padding is not supported",
                  "export with count_include_pad=0 or without padding");
  }
  // Rounding up the output size makes no difference when the windows end at the border.
  const int rows = shape.height + slide->pad_top + slide->pad_bottom - slide->kernel_h;
  const int columns = shape.width + slide->pad_left + slide->pad_right - slide->kernel_w;
  if (node.integer("ceil_mode").value_or(0) != 0 &&
      (rows % slide->stride_h != 0 || columns % slide->stride_w != 0)) {
    return refuse(node, "ceil_mode=1 is not supported", "export with ceil_mode=0");
  }
  if (average) return pending(node, ir::AveragePool{.window = *slide}, {x->tensor});
  return pending(node, ir::MaxPool{.window = *slide}, {x->tensor});
}

Value Lowering::average_pool(const Node& node) { return pool(node, true); }
Value Lowering::max_pool(const Node& node) { return pool(node, false); }

ir::Window whole(const ir::Shape& shape) {
  return {.kernel_h = shape.height, .kernel_w = shape.width};
}

Value Lowering::global_average_pool(const Node& node) {
  const std::optional<Activation> x = activation(node, 0);
  if (!x || !spatial(node, *x)) return Unknown{};
  return pending(node, ir::AveragePool{.window = whole(tensor(x->tensor).shape)}, {x->tensor});
}

Value Lowering::global_max_pool(const Node& node) {
  const std::optional<Activation> x = activation(node, 0);
  if (!x || !spatial(node, *x)) return Unknown{};
  return pending(node, ir::MaxPool{.window = whole(tensor(x->tensor).shape)}, {x->tensor});
}

Value Lowering::reduce_mean(const Node& node) {
  Dims axes = node.integers("axes").value_or(Dims{});
  if (has_input(node, 1)) {
    const Constant* list = constant(node, 1, "the list of axes");
    if (list == nullptr) return Unknown{};
    axes.assign(list->ints.begin(), list->ints.end());
  }
  const std::optional<Activation> x = activation(node, 0);
  if (!x || !spatial(node, *x)) return Unknown{};
  constexpr std::int64_t kRank = 4;
  for (std::int64_t& axis : axes) axis = axis < 0 ? axis + kRank : axis;
  std::sort(axes.begin(), axes.end());
  if (axes != Dims{2, 3}) {
    return refuse(node, "it averages over other axes than height and width",
                  "use GlobalAveragePool or axes [2,3]");
  }
  const ir::Shape& shape = tensor(x->tensor).shape;
  const bool keep = node.integer("keepdims").value_or(1) != 0;
  return pending(node, ir::AveragePool{.window = whole(shape)}, {x->tensor},
                 keep ? Dims{shape.channels, 1, 1} : Dims{shape.channels});
}

// ------------------------------------------------------------------------------------------------
// Changes of view

Value Lowering::view(const Node& node,
                     const std::function<std::optional<Dims>(const Dims&)>& change) {
  Value* value = resolve(node, 0);
  if (value == nullptr || std::holds_alternative<Unknown>(*value)) return Unknown{};
  if (auto* waiting = std::get_if<std::unique_ptr<Pending>>(value)) {
    std::optional<Dims> dims = change((*waiting)->dims);
    if (!dims) return Unknown{};
    std::unique_ptr<Pending> op = std::move(*waiting);
    *value = Consumed{op->node};
    op->dims = *std::move(dims);
    return op;
  }
  if (const auto* x = std::get_if<Activation>(value)) {
    std::optional<Dims> dims = change(x->dims);
    if (!dims) return Unknown{};
    return Activation{x->tensor, *std::move(dims), x->quantized, x->is_unsigned};
  }
  if (const auto* logits = std::get_if<Logits>(value)) {
    std::optional<Dims> dims = change(logits->dims);
    if (!dims) return Unknown{};
    return Logits{*std::move(dims), logits->final};
  }
  report_not_activation(node, 0, *value);
  return Unknown{};
}

Value Lowering::flatten(const Node& node) {
  return view(node, [&](const Dims& dims) -> std::optional<Dims> {
    std::int64_t axis = node.integer("axis").value_or(1);
    if (axis < 0) axis += static_cast<std::int64_t>(dims.size()) + 1;
    if (axis == 1) return Dims{product(dims)};
    refuse(node, fmt::format("it flattens at axis {}, across the batch or inside a sample", axis),
           "flatten at axis 1");
    return std::nullopt;
  });
}

Value Lowering::reshape(const Node& node) {
  const Constant* target = constant(node, 1, "the new shape");
  if (target == nullptr) return Unknown{};
  return view(node, [&](const Dims& dims) -> std::optional<Dims> {
    const auto refused = [&](std::string_view why) {
      refuse(node, why, "reshape samples only, to [batch,...] with a constant shape");
      return std::nullopt;
    };
    const std::vector<std::int32_t>& shape = target->ints;
    if (target->is_float() || target->dims.size() != 1 || shape.size() < 2 ||
        shape.size() > kMaxRank) {
      return refused("its new shape is not a list of 2 to 8 integers");
    }
    const bool copy_zero = node.integer("allowzero").value_or(0) == 0;
    const bool keeps_batch = (shape[0] == 0 && copy_zero) || shape[0] == -1 || shape[0] == 1 ||
                             (batch_ > 0 && shape[0] == batch_);
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
    const std::int64_t elements = product(dims);
    if (open > 0) {
      if (elements % known != 0) return refused("its new shape does not fit the input");
      result[open - 1] = elements / known;
      known = elements;
    }
    if (known != elements) return refused("its new shape does not fit the input");
    return result;
  });
}

Value Lowering::squeeze(const Node& node) {
  Dims axes = node.integers("axes").value_or(Dims{});
  if (has_input(node, 1)) {
    const Constant* list = constant(node, 1, "the list of axes");
    if (list == nullptr) return Unknown{};
    axes.assign(list->ints.begin(), list->ints.end());
  }
  return view(node, [&](const Dims& dims) -> std::optional<Dims> {
    const auto rank = static_cast<std::int64_t>(dims.size()) + 1;
    std::vector<bool> drop(dims.size(), false);
    for (std::int64_t axis : axes) {
      if (axis < 0) axis += rank;
      if (axis < 1 || axis >= rank || dims[static_cast<std::size_t>(axis - 1)] != 1) {
        refuse(node, fmt::format("axis {} is the batch or not of size 1", axis),
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
      refuse(node, "it squeezes every axis of size 1, which can include the batch",
             "name the axes, for example [2,3]");
      return std::nullopt;
    }
    return result;
  });
}

Value Lowering::identity(const Node& node) {
  const Value* value = resolve(node, 0);
  if (value == nullptr) return Unknown{};
  if (const auto* plain = std::get_if<ConstantPtr>(value)) return *plain;
  if (const auto* quantized = std::get_if<QuantizedPtr>(value)) return *quantized;
  if (std::holds_alternative<NetworkInput>(*value)) return NetworkInput{};
  return view(node, [](const Dims& dims) { return std::optional<Dims>(dims); });
}

Value Lowering::dropout(const Node& node) {
  if (has_input(node, 2)) {
    const Constant* training = constant(node, 2, "training_mode");
    if (training == nullptr) return Unknown{};
    if (training->is_float() || training->count() != 1 || training->ints[0] != 0) {
      return refuse(node, "it is in training mode", "export the model for inference");
    }
  }
  return identity(node);
}

Value Lowering::softmax(const Node& node) {
  const Value* value = resolve(node, 0);
  if (value == nullptr) return Unknown{};
  if (const auto* logits = std::get_if<Logits>(value)) return Logits{logits->dims, true};
  // Behind a classifier that was refused it is not to blame.
  if (std::holds_alternative<Unknown>(*value) && head_ >= 0 && node.index() > head_) {
    return Unknown{};
  }
  return refuse(node, "not supported inside the body",
                "only a Softmax behind the classifier can be dropped, so rewrite the network "
                "without it");
}

Value Lowering::constant_node(const Node& node) {
  const onnx::AttributeProto* value = node.attribute("value");
  if (value != nullptr && value->type() == onnx::AttributeProto::TENSOR) {
    Result<Constant> decoded = decode_constant(value->t());
    if (!decoded.ok()) return refuse(node, decoded.error().message(), "fix the constant");
    return ConstantPtr(std::make_shared<const Constant>(std::move(decoded).value()));
  }
  auto constant = std::make_shared<Constant>();
  if (const auto real = node.real("value_float")) {
    constant->floats = {*real};
    return ConstantPtr(std::move(constant));
  }
  std::optional<Dims> integers = node.integers("value_ints");
  if (integers) constant->dims = {static_cast<std::int64_t>(integers->size())};
  if (const auto integer = node.integer("value_int")) integers = Dims{*integer};
  if (integers) {
    constant->element = Element::kInt64;
    for (const std::int64_t i : *integers) {
      if (i < INT32_MIN || i > INT32_MAX) {
        return refuse(node, "a constant is beyond 32 bits", kDamagedNext);
      }
      constant->ints.push_back(static_cast<std::int32_t>(i));
    }
    return ConstantPtr(std::move(constant));
  }
  return refuse(node, "its value is of an unsupported kind", "make it an initializer");
}

}  // namespace

void lower(const onnx::GraphProto& model, ir::Graph& graph, Diagnostics& diagnostics) {
  Lowering(model, graph, diagnostics).run();
}

}  // namespace espalier::onnx_detail
