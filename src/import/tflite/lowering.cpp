#include "tflite/lowering.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tflite/context.hpp"

namespace espalier::tflite_detail {
namespace {

using import_detail::element_count;
using import_detail::extent_in_range;

const Handler* find_handler(BuiltinOperator code) {
  for (const auto family : {layer_handlers(), pool_handlers(), elementwise_handlers(),
                            function_handlers(), view_handlers(), selection_handlers()}) {
    for (const Handler& handler : family) {
      if (handler.code == code) return &handler;
    }
  }
  return nullptr;
}

// True for operators that compilers put in the place of a part of the network.
bool compiled(std::string_view custom) {
  return custom == "edgetpu-custom-op" || custom == "ethos-u" || custom == "NeutronGraph" ||
         custom.starts_with("XC_");
}

std::string_view advice(const Node& node) {
  switch (node.code) {
    case BuiltinOperator::BIDIRECTIONAL_SEQUENCE_LSTM:
    case BuiltinOperator::LSTM:
    case BuiltinOperator::RNN:
    case BuiltinOperator::UNIDIRECTIONAL_SEQUENCE_LSTM:
    case BuiltinOperator::UNIDIRECTIONAL_SEQUENCE_RNN:
    case BuiltinOperator::WHILE:
    case BuiltinOperator::SVDF:
      return "only feed-forward networks are supported";
    case BuiltinOperator::ASSIGN_VARIABLE:
    case BuiltinOperator::CALL_ONCE:
    case BuiltinOperator::READ_VARIABLE:
    case BuiltinOperator::VAR_HANDLE:
      return "the network keeps variables from one call to the next, as streaming ones do; convert "
             "its form that reads a whole window at once";
    case BuiltinOperator::DENSIFY:
      return "its weights are stored sparse; convert without EXPERIMENTAL_SPARSITY";
    case BuiltinOperator::CUSTOM:
      if (compiled(node.where.type)) {
        return "the file is compiled for an accelerator; give the one that its compiler read";
      }
      [[fallthrough]];
    default:
      return "rewrite the network with convolutions, FULLY_CONNECTED, ADD, MUL, CONCATENATION, "
             "activation functions, pooling and changes of shape";
  }
}

// Connections of the operators.
class Topology {
 public:
  Topology(const tflite::Model& model, const tflite::SubGraph& subgraph)
      : model_(model), subgraph_(subgraph), producers_(subgraph.tensors()->size(), -1) {
    for (int i = 0; i < count(); ++i) {
      for (const int tensor : *op(i).outputs()) {
        if (tensor >= 0) producers_[static_cast<std::size_t>(tensor)] = i;
      }
    }
    live_.assign(static_cast<std::size_t>(count()), false);
    mark(output());
  }

  [[nodiscard]] int count() const { return static_cast<int>(subgraph_.operators()->size()); }
  [[nodiscard]] const tflite::Operator& op(int i) const {
    return *subgraph_.operators()->Get(static_cast<flatbuffers::uoffset_t>(i));
  }
  [[nodiscard]] int output() const { return subgraph_.outputs()->Get(0); }
  [[nodiscard]] bool live(int i) const { return live_[static_cast<std::size_t>(i)]; }

  struct HeadSearch {
    int node = -1;          // the classifier
    int stopped_at = -1;    // without: the operator that ended the search
    bool averages = false;  // which averages class maps: these are the scores
  };
  [[nodiscard]] HeadSearch find_head() const {
    int tensor = output();
    for (int step = 0; step < count(); ++step) {
      const int at = tensor < 0 ? -1 : producers_[static_cast<std::size_t>(tensor)];
      if (at < 0) return {};
      switch (operator_code(model_, op(at))) {
        case BuiltinOperator::CONV_2D:
        case BuiltinOperator::FULLY_CONNECTED:
          return {.node = at};
        case BuiltinOperator::ARG_MAX:
        case BuiltinOperator::DEQUANTIZE:
        case BuiltinOperator::EXPAND_DIMS:
        case BuiltinOperator::LOGISTIC:
        case BuiltinOperator::LOG_SOFTMAX:
        case BuiltinOperator::QUANTIZE:
        case BuiltinOperator::RESHAPE:
        case BuiltinOperator::SOFTMAX:
        case BuiltinOperator::SQUEEZE:
        case BuiltinOperator::TRANSPOSE:
          if (op(at).inputs()->size() == 0) return {.stopped_at = at};
          tensor = op(at).inputs()->Get(0);
          break;
        case BuiltinOperator::AVERAGE_POOL_2D:
        case BuiltinOperator::MEAN:
          return {.stopped_at = at, .averages = true};
        default:
          return {.stopped_at = at};
      }
    }
    return {};
  }

 private:
  // Operators of a file are in execution order, so that this ends; a cycle ends at `live`.
  void mark(int tensor) {
    std::vector<int> waiting{tensor};
    while (!waiting.empty()) {
      const int at = waiting.back() < 0 ? -1 : producers_[static_cast<std::size_t>(waiting.back())];
      waiting.pop_back();
      if (at < 0 || live(at)) continue;
      live_[static_cast<std::size_t>(at)] = true;
      for (const int input : *op(at).inputs()) waiting.push_back(input);
    }
  }

  const tflite::Model& model_;
  const tflite::SubGraph& subgraph_;
  std::vector<int> producers_;
  std::vector<bool> live_;
};

// Tensor indices out of range, and vectors that are missing.
bool sound(const tflite::SubGraph& subgraph) {
  if (subgraph.tensors() == nullptr || subgraph.inputs() == nullptr ||
      subgraph.outputs() == nullptr || subgraph.operators() == nullptr) {
    return false;
  }
  const auto tensors = static_cast<int>(subgraph.tensors()->size());
  const auto within = [&](const flatbuffers::Vector<std::int32_t>* list, int lowest) {
    return list != nullptr && std::all_of(list->begin(), list->end(), [&](int index) {
             return index >= lowest && index < tensors;
           });
  };
  for (const tflite::Tensor* tensor : *subgraph.tensors()) {
    if (tensor == nullptr) return false;
  }
  for (const tflite::Operator* op : *subgraph.operators()) {
    if (op == nullptr || !within(op->inputs(), -1) || !within(op->outputs(), 0)) return false;
  }
  return within(subgraph.inputs(), 0) && within(subgraph.outputs(), 0);
}

Node node_at(const Context& c, const Topology& topology, int i) {
  Node node{topology.op(i), i, operator_code(c.model, topology.op(i)), {}};
  const int output = node.output();
  node.where = {i, output < 0 ? "" : c.tensor_name(output), operator_name(c.model, node.op)};
  return node;
}

ImageAxes default_axes(std::size_t rank) {
  if (rank == 3) return kChannelsLast;
  return rank == 2 ? ImageAxes{-1, 0, 1} : ImageAxes{-1, -1, 0};
}

void define_input(Context& c) {
  const auto& inputs = *c.subgraph.inputs();
  if (inputs.size() != 1) {
    c.diagnostics.add(fmt::format(
        "the model has {} inputs; Espalier needs networks with one input, so cut or fix the others",
        inputs.size()));
    return;
  }
  const int index = inputs.Get(0);
  const TensorType type = c.tensor(index).type();
  const Node none{*c.subgraph.operators()->Get(0),
                  0,
                  BuiltinOperator::CUSTOM,
                  {0, c.tensor_name(index), "the input"}};
  if (type != TensorType::FLOAT32 && type != TensorType::INT8 && type != TensorType::UINT8) {
    c.diagnostics.add(fmt::format("its input '{}' is {}; convert for an int8, uint8 or float input",
                                  printable(c.tensor_name(index)), type_name(type)));
    return;
  }
  const std::optional<Dims> dims = c.sample_dims(none, index);
  if (!dims) return;
  if (dims->empty() || dims->size() > 3 || element_count(*dims) > import_detail::kMaxFeatures) {
    c.diagnostics.add(
        fmt::format("its input '{}' is {}; Espalier reads one to three dimensions behind the batch",
                    printable(c.tensor_name(index)), import_detail::batch_text(*dims)));
    return;
  }
  c.input_dims = *dims;
  const View view = View::row_major(*dims);
  if (type == TensorType::FLOAT32) {
    c.define(index, FloatInput{view, {}});
    return;
  }
  const std::optional<ir::Quantization> quantization = c.quantization(none, index);
  if (!quantization) return;
  const ir::TensorId id = c.builder.open_input(
      c.tensor_name(index), *dims, default_axes(dims->size()), *quantization,
      type == TensorType::INT8 ? ir::InputElement::kInt8 : ir::InputElement::kUint8);
  c.define(index, Activation{Operand{id, view, {}}});
}

// How much of a model is quantised, as its layers tell.
struct Layers {
  int all = 0;
  int on_floats = 0;        // read a float activation
  int integer_weights = 0;  // of those: with int8 or uint8 weights
  int half_weights = 0;     // of those: with weights behind a DEQUANTIZE
};

Layers count_layers(const Context& c, const Topology& topology) {
  Layers layers;
  for (int i = 0; i < topology.count(); ++i) {
    const Node node = node_at(c, topology, i);
    if (node.code != BuiltinOperator::CONV_2D && node.code != BuiltinOperator::DEPTHWISE_CONV_2D &&
        node.code != BuiltinOperator::FULLY_CONNECTED) {
      continue;
    }
    ++layers.all;
    if (node.input(0) < 0 || node.input(1) < 0 ||
        c.tensor(node.input(0)).type() != TensorType::FLOAT32) {
      continue;
    }
    ++layers.on_floats;
    const TensorType weights = c.tensor(node.input(1)).type();
    if (weights == TensorType::INT8 || weights == TensorType::UINT8) ++layers.integer_weights;
    if (!std::holds_alternative<Stored>(c.value(node.input(1)))) ++layers.half_weights;
  }
  return layers;
}

// Says so when nothing of the model computes on integers; true when there is more to read.
bool check_form(Context& c, const Topology& topology) {
  constexpr std::string_view kNext =
      "convert it with full integer quantisation (a representative dataset and int8 inference "
      "types)";
  const Layers layers = count_layers(c, topology);
  if (layers.all == 0 || layers.on_floats < layers.all) return true;
  if (layers.integer_weights > 0) {
    c.diagnostics.add(fmt::format(
        "only its weights are quantised (dynamic range), activations are float; {}", kNext));
  } else if (layers.half_weights == layers.all) {
    c.diagnostics.add(fmt::format("is a float model with float16 weights; {}", kNext));
  } else {
    c.diagnostics.add(fmt::format("is a float model; {}", kNext));
  }
  for (int i = 0; i < topology.count(); ++i) {
    const Node node = node_at(c, topology, i);
    if (find_handler(node.code) == nullptr) {
      c.refuse(node, "this operator is not supported", advice(node));
    }
  }
  return false;
}

// Networks with fewer outputs may have as many inputs and still be classifiers.
constexpr std::int64_t kSmallestAutoencoder = 32;

// What the network computes: class scores, or something that has no classes.
void check_output(Context& c, int output) {
  if (c.averages && std::holds_alternative<Activation>(c.value(output))) {
    c.define(output, c.averaged_scores({0, c.tensor_name(output), "the output"}, c.value(output)));
  }
  const auto* logits = std::get_if<Logits>(&c.value(output));
  const std::int64_t outputs =
      logits != nullptr ? c.builder.graph().head.classes : element_count(c.dims(output));
  if ((logits == nullptr || !logits->final) && !c.input_dims.empty() &&
      outputs >= kSmallestAutoencoder && outputs == element_count(c.input_dims)) {
    c.diagnostics.add(fmt::format(
        "the output has as many numbers as the input, {}: an autoencoder, not a classifier; "
        "Espalier trains classifiers, so give the part of it that computes class scores",
        outputs));
  } else if (logits != nullptr) {
    if (logits->logistic) c.builder.split_logistic_head();
    if (c.builder.graph().head.classes == 1) {
      c.diagnostics.add(
          "the output is one number without a LOGISTIC: a regression, not a classifier; Espalier "
          "trains classifiers");
    }
  } else if (c.diagnostics.empty()) {
    c.diagnostics.add(fmt::format(
        "output '{}' is not computed by a classifier; end the network in FULLY_CONNECTED or a 1x1 "
        "CONV_2D, optionally with SOFTMAX",
        printable(c.tensor_name(output))));
  }
}

}  // namespace

void lower(const tflite::Model& model, ir::Graph& graph, Diagnostics& diagnostics,
           Origins* origins) {
  if (model.subgraphs() == nullptr || model.subgraphs()->size() == 0 ||
      model.subgraphs()->Get(0) == nullptr || !sound(*model.subgraphs()->Get(0)) ||
      model.subgraphs()->Get(0)->operators()->size() == 0) {
    diagnostics.add("holds no sound graph; convert or download it again");
    return;
  }
  Context c(model, graph, diagnostics);
  if (c.subgraph.outputs()->size() != 1) {
    diagnostics.add(fmt::format("the graph has {} outputs; keep only the logits",
                                c.subgraph.outputs()->size()));
  }
  if (c.subgraph.outputs()->size() == 0) return;
  const Topology topology(model, c.subgraph);
  if (!check_form(c, topology)) return;
  define_input(c);
  const Topology::HeadSearch head = topology.find_head();
  c.head = head.node;
  c.averages = head.averages;
  c.last_average = head.stopped_at;
  std::vector<int> operators;
  for (int i = 0; i < topology.count(); ++i) {
    if (!topology.live(i)) continue;
    const Node node = node_at(c, topology, i);
    const Handler* handler = find_handler(node.code);
    Value value = handler == nullptr
                      ? c.refuse(node, "this operator is not supported", advice(node))
                      : handler->lower(c, node);
    if (i == head.stopped_at && !head.averages && !std::holds_alternative<Unknown>(value)) {
      c.refuse(node, "the network does not end in a classifier",
               "end it in FULLY_CONNECTED or a 1x1 CONV_2D, optionally with SOFTMAX");
    }
    c.define(node.output(), std::move(value));
    operators.resize(graph.ops.size(), i);
  }
  const int outputs = graph.head.classes;
  check_output(c, topology.output());
  c.builder.close_input();
  if (origins != nullptr) {
    *origins = {std::move(operators), c.builder.origins(), c.head, c.builder.head_origin(),
                outputs != graph.head.classes};
  }
}

}  // namespace espalier::tflite_detail
