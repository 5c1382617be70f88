#include "onnx/lowering.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "onnx/context.hpp"

namespace espalier::onnx_detail {
namespace {

using import_detail::batch_text;
using import_detail::element_count;
using import_detail::extent_in_range;

const std::unordered_map<std::string_view, Handler>& handlers() {
  static const auto kHandlers = [] {
    std::unordered_map<std::string_view, Handler> all;
    for (const auto family : {quantisation_handlers(), layer_handlers(), integer_handlers(),
                              elementwise_handlers(), function_handlers(), pool_handlers(),
                              view_handlers(), selection_handlers(), constant_handlers()}) {
      for (const Handler& handler : family) all.emplace(handler.type, handler);
    }
    return all;
  }();
  return kHandlers;
}

// What to do about op types that people meet often.
std::string_view advice(std::string_view type) {
  static const std::unordered_map<std::string_view, std::string_view> kAdvice{
      {"Resize", "detectors and segmenters are not classifiers; rewrite the network without it"},
      {"LSTM", "only feed-forward networks are supported"},
      {"GRU", "only feed-forward networks are supported"},
      {"RNN", "only feed-forward networks are supported"},
  };
  const auto found = kAdvice.find(type);
  return found != kAdvice.end()
             ? found->second
             : std::string_view(
                   "rewrite the network with Conv, Gemm, MatMul, Add, Mul, Concat, "
                   "activation functions, pooling and changes of shape");
}

// The handler of a node; nullptr for an operator that is not supported.
const Handler* find_handler(const Node& node) {
  const std::string& domain = node.proto().domain();
  // ONNX Runtime's own domain has the operators on integers, and the two for types that older
  // opsets lack.
  const bool microsoft =
      domain == "com.microsoft" &&
      (node.type() == "QuantizeLinear" || node.type() == "DequantizeLinear" ||
       node.type() == "Gelu" || node.type() == "NhwcMaxPool" || node.type().starts_with("Q"));
  const auto found = handlers().find(node.type());
  if ((!is_standard_domain(domain) && !microsoft) || found == handlers().end()) return nullptr;
  return &found->second;
}

// Attributes that the handlers read, with the one type they may have.
bool attribute_types_match(const Node& node) {
  using Kind = onnx::AttributeProto;
  static const std::unordered_map<std::string_view, onnx::AttributeProto::AttributeType> kTypes{
      {"allowzero", Kind::INT},
      {"approximate", Kind::STRING},
      {"gamma", Kind::FLOAT},
      {"alpha", Kind::FLOAT},
      {"auto_pad", Kind::STRING},
      {"axes", Kind::INTS},
      {"axis", Kind::INT},
      {"beta", Kind::FLOAT},
      {"block_size", Kind::INT},
      {"ceil_mode", Kind::INT},
      {"dilations", Kind::INTS},
      {"group", Kind::INT},
      {"keepdims", Kind::INT},
      {"kernel_shape", Kind::INTS},
      {"max", Kind::FLOAT},
      {"min", Kind::FLOAT},
      {"output_dtype", Kind::INT},
      {"pads", Kind::INTS},
      {"split", Kind::INTS},
      {"start", Kind::INT},
      {"starts", Kind::INTS},
      {"end", Kind::INT},
      {"ends", Kind::INTS},
      {"strides", Kind::INTS},
      {"training_mode", Kind::INT},
      {"transA", Kind::INT},
      {"transB", Kind::INT},
      {"count_include_pad", Kind::INT},
      {"perm", Kind::INTS},
      {"mode", Kind::STRING},
      {"channels_last", Kind::INT},
      {"epsilon", Kind::FLOAT},
      {"to", Kind::INT},
  };
  for (const onnx::AttributeProto& attribute : node.proto().attribute()) {
    const auto found = kTypes.find(attribute.name());
    if (found != kTypes.end() && found->second != attribute.type()) return false;
  }
  return true;
}

Value dispatch(Context& c, const Node& node) {
  const Handler* handler = find_handler(node);
  if (handler == nullptr) {
    return c.refuse(node, "this operator is not supported", advice(node.type()));
  }
  if (!attribute_types_match(node)) {
    return c.refuse(node, "an attribute has the wrong type", kDamagedNext);
  }
  return handler->lower(c, node);
}

void define_input(Context& c) {
  std::unordered_map<std::string_view, bool> initializers;
  for (const onnx::TensorProto& initializer : c.model.initializer()) {
    initializers.emplace(initializer.name(), true);
  }
  std::vector<const onnx::ValueInfoProto*> inputs;
  for (const onnx::ValueInfoProto& input : c.model.input()) {
    if (initializers.count(input.name()) == 0 && c.topology.reads(input.name())) {
      inputs.push_back(&input);
    }
  }
  // A cycle can cut the output off from the input; it is reported where it is met.
  if (inputs.empty() && c.topology.has_cycle()) return;
  if (inputs.size() != 1) {
    c.diagnostics.add(
        fmt::format("the output depends on {} inputs; Espalier needs networks with "
                    "one input, so cut or fix the others",
                    inputs.size()));
    for (const onnx::ValueInfoProto* input : inputs) c.define(input->name(), Unknown{});
    return;
  }
  c.input_name = inputs[0]->name();
  const onnx::TypeProto::Tensor& type = inputs[0]->type().tensor_type();
  c.input_type = type.elem_type();
  const auto refuse_input = [&](const std::string& text) {
    c.diagnostics.add(fmt::format("input '{}': {}", printable(c.input_name), text));
    c.define(c.input_name, Unknown{});
  };
  if (!type.has_shape() || type.shape().dim_size() < 2 || type.shape().dim_size() > 4) {
    refuse_input(
        "its shape must be [N,C,H,W], [N,C,L] or [N,features]; export with a fixed input size");
    return;
  }
  Dims dims;
  for (const auto& dim : type.shape().dim()) {
    dims.push_back(dim.has_dim_value() ? dim.dim_value() : 0);
  }
  c.batch = dims[0];
  dims.erase(dims.begin());
  if (c.batch < 0 || c.batch > import_detail::kMaxExtent ||
      !std::all_of(dims.begin(), dims.end(), extent_in_range)) {
    refuse_input(
        "every dimension but the first must be a positive number; export with a fixed input size");
    return;
  }
  if (element_count(dims) > import_detail::kMaxFeatures) {
    refuse_input(
        fmt::format("has {} elements; no microcontroller holds as many", element_count(dims)));
    return;
  }
  c.input_dims = dims;
  c.define(c.input_name, NetworkInput{View::row_major(dims), {}});
}

// Extents of a declared output behind the batch; empty when it does not say.
Dims declared_output(const Context& c) {
  Dims dims;
  for (const onnx::ValueInfoProto& output : c.model.output()) {
    if (output.name() != c.topology.output()) continue;
    for (const auto& dim : output.type().tensor_type().shape().dim()) {
      dims.push_back(dim.has_dim_value() ? dim.dim_value() : 0);
    }
  }
  if (!dims.empty()) dims.erase(dims.begin());
  return dims;
}

// Networks with fewer outputs may have as many inputs and still be classifiers.
constexpr std::int64_t kSmallestAutoencoder = 32;

// What the network computes: class scores, or something that has no classes.
void check_output(Context& c) {
  const Value* found = c.find(c.topology.output());
  Value averages = Unknown{};
  if (found != nullptr && c.averages && std::holds_alternative<Activation>(*found)) {
    const Node node(c.model.node(c.topology.producer(c.topology.output())),
                    c.topology.producer(c.topology.output()));
    averages = c.averaged_scores(node.where(), std::get<Activation>(*found));
    found = &averages;
  }
  const auto* logits = found == nullptr ? nullptr : std::get_if<Logits>(found);
  if (found != nullptr && c.averages && std::holds_alternative<DraftPtr>(*found)) {
    c.diagnostics.add(fmt::format("output '{}' averages class maps and is not quantised; {}",
                                  printable(c.topology.output()), kQuantizeNext));
    return;
  }
  const Dims declared = declared_output(c);
  const std::int64_t outputs =
      logits != nullptr ? c.builder.graph().head.classes : element_count(declared);
  const bool known = logits != nullptr || !declared.empty();
  const bool scores = logits != nullptr && logits->final;
  if (known && !scores && !c.input_dims.empty() && outputs >= kSmallestAutoencoder &&
      outputs == element_count(c.input_dims)) {
    c.diagnostics.add(fmt::format(
        "the output has as many numbers as the input, {}: an autoencoder, not a classifier; "
        "Espalier trains classifiers, so give the part of it that computes class scores",
        outputs));
    return;
  }
  if (logits != nullptr) {
    if (logits->logistic) c.builder.split_logistic_head();
    if (c.builder.graph().head.classes == 1) {
      c.diagnostics.add(
          "the output is one number without a Sigmoid: a regression, not a classifier; Espalier "
          "trains classifiers");
    }
    return;
  }
  // Anything else that is wrong with the output was reported where it happened.
  if (c.diagnostics.empty()) {
    c.diagnostics.add(fmt::format(
        "output '{}' is not computed by a classifier; end the network in a Gemm, a MatMul or a 1x1 "
        "Conv, optionally with Softmax",
        printable(c.topology.output())));
  }
}

}  // namespace

void lower(const onnx::ModelProto& file, std::int64_t opset, ir::Graph& graph,
           Diagnostics& diagnostics) {
  const onnx::GraphProto& model = file.graph();
  Context c(file, opset, graph, diagnostics);
  c.topology.check(diagnostics);
  if (c.topology.output().empty()) return;
  define_input(c);
  const Topology::HeadSearch head = c.topology.find_head();
  c.head = head.node;
  c.averages = head.averages;
  c.last_average = head.stopped_at;
  for (int i = 0; i < model.node_size(); ++i) {
    if (!c.topology.live(i)) continue;
    const Node node(model.node(i), i);
    Value value = dispatch(c, node);
    if (i == head.stopped_at && !head.averages && !std::holds_alternative<Unknown>(value)) {
      c.refuse(node, "the network does not end in a classifier",
               "end it in a Gemm, a MatMul or a 1x1 Conv, optionally with Softmax");
    }
    c.define(node.output(), std::move(value));
  }
  check_output(c);
  c.builder.close_input();
}

void report_unknown_operators(const onnx::GraphProto& model, Diagnostics& diagnostics) {
  for (int i = 0; i < model.node_size(); ++i) {
    const Node node(model.node(i), i);
    if (find_handler(node) == nullptr) {
      diagnostics.add(node.where(), "this operator is not supported", advice(node.type()));
    }
  }
}

}  // namespace espalier::onnx_detail
