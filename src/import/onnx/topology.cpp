#include "onnx/topology.hpp"

#include <fmt/format.h>

namespace espalier::onnx_detail {
namespace {

const std::unordered_set<std::string_view> kViews{"Cast",    "Dropout", "Flatten",   "Identity",
                                                  "Reshape", "Squeeze", "Transpose", "Unsqueeze"};
const std::unordered_set<std::string_view> kTransparent{
    "ArgMax",         "DequantizeLinear", "LogSoftmax", "QLinearSigmoid",
    "QLinearSoftmax", "QuantizeLinear",   "Sigmoid",    "Softmax"};
// Behind which a network without a last layer has its scores.
const std::unordered_set<std::string_view> kAverages{"AveragePool", "GlobalAveragePool",
                                                     "QLinearAveragePool",
                                                     "QLinearGlobalAveragePool", "ReduceMean"};
const std::unordered_set<std::string_view> kClassifiers{"Conv",  "Gemm",        "MatMul",
                                                        "QGemm", "QLinearConv", "QLinearMatMul"};

}  // namespace

Topology::Topology(const onnx::GraphProto& graph) : graph_(graph) {
  if (graph.output_size() > 0) output_ = graph.output(0).name();
  for (const onnx::TensorProto& initializer : graph.initializer()) {
    initializers_.insert(initializer.name());
  }
  for (int i = 0; i < graph.node_size(); ++i) {
    for (const std::string& name : graph.node(i).output()) {
      if (!name.empty()) producers_.emplace(name, i);
    }
  }
  live_.assign(static_cast<std::size_t>(graph.node_size()), false);
  mark_live();
}

void Topology::mark_live() {
  std::vector<int> waiting;
  const auto visit = [&](const std::string& name) {
    const int node = producer(name);
    if (node < 0 || live(node)) return;
    live_[static_cast<std::size_t>(node)] = true;
    waiting.push_back(node);
  };
  visit(output_);
  while (!waiting.empty()) {
    const onnx::NodeProto& node = graph_.node(waiting.back());
    waiting.pop_back();
    for (const std::string& name : node.input()) {
      read_.insert(name);
      visit(name);
    }
  }
}

void Topology::check(import_detail::Diagnostics& diagnostics) const {
  for (int i = 0; i < graph_.node_size(); ++i) {
    for (const std::string& name : graph_.node(i).output()) {
      if (name.empty()) continue;
      if (initializers_.count(name) > 0) {
        diagnostics.add(Node(graph_.node(i), i).where(),
                        fmt::format("writes '{}', which is an initializer", printable(name)),
                        "the file is damaged, export it again");
      } else if (producer(name) != i) {
        diagnostics.add(
            Node(graph_.node(i), i).where(),
            fmt::format("writes '{}', which node {} writes too", printable(name), producer(name)),
            "the file is damaged, export it again");
      }
    }
  }
}

int Topology::producer(std::string_view name) const {
  const auto found = producers_.find(std::string(name));
  return found == producers_.end() ? -1 : found->second;
}

bool Topology::has_cycle() const {
  // Kahn's algorithm; whatever remains lies on a cycle or behind one.
  const auto count = static_cast<std::size_t>(graph_.node_size());
  std::vector<int> missing(count, 0);
  std::vector<std::vector<int>> readers(count);
  std::vector<int> ready;
  std::size_t remaining = 0;
  for (int i = 0; i < graph_.node_size(); ++i) {
    if (!live(i)) continue;
    ++remaining;
    for (const std::string& name : graph_.node(i).input()) {
      const int from = producer(name);
      if (from < 0) continue;
      readers[static_cast<std::size_t>(from)].push_back(i);
      ++missing[static_cast<std::size_t>(i)];
    }
    if (missing[static_cast<std::size_t>(i)] == 0) ready.push_back(i);
  }
  while (!ready.empty()) {
    const auto node = static_cast<std::size_t>(ready.back());
    ready.pop_back();
    --remaining;
    for (const int reader : readers[node]) {
      if (--missing[static_cast<std::size_t>(reader)] == 0) ready.push_back(reader);
    }
  }
  return remaining > 0;
}

// True for a name whose value does not depend on the input, as far as simple chains go.
bool Topology::constant(const std::string& name) const {
  std::string current = name;
  // Constant, QuantizeLinear, DequantizeLinear and Identity make chains this long at most.
  constexpr int kLongestChain = 4;
  for (int step = 0; step < kLongestChain; ++step) {
    if (initializers_.count(current) > 0) return true;
    const int node = producer(current);
    if (node < 0) return false;
    const std::string& type = graph_.node(node).op_type();
    if (type == "Constant") return true;
    if ((type != "DequantizeLinear" && type != "QuantizeLinear" && type != "Identity") ||
        graph_.node(node).input_size() == 0) {
      return false;
    }
    current = graph_.node(node).input(0);
  }
  return false;
}

Topology::HeadSearch Topology::find_head() const {
  std::string name = output_;
  // A cycle would never end otherwise.
  for (int step = 0; step < graph_.node_size(); ++step) {
    const int index = producer(name);
    if (index < 0) return {};
    const onnx::NodeProto& node = graph_.node(index);
    const std::string& type = node.op_type();
    // Inputs of a sum: operands of QLinearAdd come with scale and zero point.
    const int other = type == "QLinearAdd" ? 3 : 1;
    if (kClassifiers.count(type) > 0) return {.node = index};
    if ((kTransparent.count(type) > 0 || kViews.count(type) > 0) && node.input_size() > 0) {
      name = node.input(0);
    } else if ((type == "Add" || type == "QLinearAdd") && node.input_size() > other &&
               constant(node.input(0)) != constant(node.input(other))) {
      // A MatMul's bias.
      name = constant(node.input(0)) ? node.input(other) : node.input(0);
    } else {
      return {.stopped_at = index, .averages = kAverages.count(type) > 0};
    }
  }
  return {};
}

}  // namespace espalier::onnx_detail
