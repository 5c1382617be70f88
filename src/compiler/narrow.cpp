#include "espalier/compiler/narrow.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include "uses.hpp"

namespace espalier::compiler {
namespace {

// Where a node takes the mask of the convolution that it scales for.
constexpr std::size_t kThird = 2;

bool is_map_gradient(const Value& value) {
  return value.role == Role::kGradient || value.role == Role::kScaledGradient;
}

// Nodes that make gradients of maps and have a kernel for integers, also as passes leave them.
bool has_integer_form(NodeKind kind) {
  switch (kind) {
    case NodeKind::kHeadInputGradient:  // in float, and then quantised
    case NodeKind::kQuantizeGradient:
    case NodeKind::kMaskScale:
    case NodeKind::kInputGradient:
    case NodeKind::kDepthwiseBackward:
    case NodeKind::kMulGradient:
    case NodeKind::kConcatGradient:
    case NodeKind::kSelectGradient:
    case NodeKind::kLookupGradient:
    case NodeKind::kPoolGradient:
    case NodeKind::kMaxPoolGradient:
    case NodeKind::kGradientSum:
      return true;
    default:
      return false;
  }
}

// Those of them that can scale for the convolution behind, and take an addend as second input.
bool can_scale(NodeKind kind) {
  return kind == NodeKind::kInputGradient || kind == NodeKind::kConcatGradient ||
         kind == NodeKind::kSelectGradient || kind == NodeKind::kPoolGradient ||
         kind == NodeKind::kMaxPoolGradient || kind == NodeKind::kGradientSum;
}
bool can_add(NodeKind kind) {
  return kind == NodeKind::kInputGradient || kind == NodeKind::kConcatGradient ||
         kind == NodeKind::kSelectGradient;
}

class Narrowing {
 public:
  Narrowing(TrainingGraph& graph, Element gradient) : graph_(graph), gradient_(gradient) {}

  void run() {
    graph_.gradient = gradient_;
    const ValueId features = quantize_features();
    for (Value& value : graph_.values) {
      if (is_map_gradient(value) && &value != &graph_.value(features)) value.element = gradient_;
      if (value.role == Role::kWeightGradient || value.role == Role::kBiasGradient) {
        value.element = Element::kInt32;
      }
    }
    fuse_sums();
    fuse_scaling();
    Node adapt;
    adapt.kind = NodeKind::kAdaptRanges;
    graph_.nodes.push_back(adapt);
  }

 private:
  // The classifier stays in float. Returns its gradient of the features.
  ValueId quantize_features() {
    const auto at = std::find_if(graph_.nodes.begin(), graph_.nodes.end(), [](const Node& node) {
      return node.kind == NodeKind::kHeadInputGradient;
    });
    const ValueId narrow = at->outputs[0];
    const auto wide = static_cast<ValueId>(graph_.values.size());
    graph_.values.push_back(graph_.value(narrow));
    graph_.values.back().part = kWidePart;
    at->outputs[0] = wide;
    Node quantize;
    quantize.kind = NodeKind::kQuantizeGradient;
    quantize.inputs = {wide, -1, -1};
    quantize.outputs = {narrow, -1, -1};
    graph_.nodes.insert(at + 1, quantize);
    return wide;
  }

  // The node that makes a value which nobody but one reads, or null.
  Node* sole_maker(const Uses& uses, ValueId id) {
    const auto at = static_cast<std::size_t>(id);
    if (uses.count[at] != 1 || uses.writer[at] < 0) return nullptr;
    return &graph_.nodes[static_cast<std::size_t>(uses.writer[at])];
  }

  // `part + addend` becomes the second operand of the node that makes `part`. A mask and
  // factor of its own would be applied to the addend, too.
  void fuse_sums() {
    const Uses uses(graph_);
    std::vector<bool> dead(graph_.nodes.size(), false);
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& sum = graph_.nodes[i];
      if (sum.kind != NodeKind::kGradientSum) continue;
      Node* maker = sole_maker(uses, sum.inputs[0]);
      if (maker == nullptr || !can_add(maker->kind)) continue;
      maker->inputs[1] = sum.inputs[1];
      maker->outputs[0] = sum.outputs[0];
      dead[i] = true;
    }
    erase_nodes(graph_, dead);
  }

  // The mask and factor of a convolution join the node that makes the gradient.
  void fuse_scaling() {
    const Uses uses(graph_);
    std::vector<bool> dead(graph_.nodes.size(), false);
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& scale = graph_.nodes[i];
      if (scale.kind != NodeKind::kMaskScale || conv_of(*graph_.forward, scale.op) == nullptr) {
        continue;
      }
      Node* maker = sole_maker(uses, scale.inputs[0]);
      if (maker == nullptr || !can_scale(maker->kind)) continue;
      maker->inputs[kThird] = scale.inputs[1];
      maker->outputs[0] = scale.outputs[0];
      maker->scale_op = scale.op;
      dead[i] = true;
    }
    erase_nodes(graph_, dead);
  }

  static constexpr int kWidePart = 1000;  // tells the features' gradient in float from the integers

  TrainingGraph& graph_;
  Element gradient_;
};

// Nodes that add up products over the pixels of a map.
bool sums_pixels(const Node& node) {
  return node.kind == NodeKind::kWeightGradient || node.kind == NodeKind::kMulGradient ||
         (node.kind == NodeKind::kDepthwiseBackward && node.inputs[1] >= 0);
}

// int32 must hold the sum over the pixels.
void check_sum(const TrainingGraph& graph, const Node& node, std::vector<std::string>& problems) {
  constexpr std::int64_t kMostPixels = INT32_MAX / (255 * 127);
  const ir::Op& op = graph.forward->ops[static_cast<std::size_t>(node.op)];
  const std::int64_t pixels = graph.forward->tensor(op.output).shape.pixels();
  if (pixels <= kMostPixels) return;
  problems.push_back(
      fmt::format("{}: {} sums {} pixels, more than the {} that int32 holds with 8-bit "
                  "gradients; use 16 bits",
                  graph.forward->name, node_name(graph, node), pixels, kMostPixels));
}

}  // namespace

void narrow(TrainingGraph& graph, Element gradient) { Narrowing(graph, gradient).run(); }

Status check_narrow(const TrainingGraph& graph) {
  if (!is_integer(graph)) return Ok{};
  std::vector<std::string> problems;
  for (const Node& node : graph.nodes) {
    const bool makes = node.outputs[0] >= 0 && is_map_gradient(graph.value(node.outputs[0]));
    if (makes && !has_integer_form(node.kind)) {
      problems.push_back(fmt::format("{}: {} has no integer gradients yet; use --numerics device",
                                     graph.forward->name, node_name(graph, node)));
    }
    if (graph.gradient == Element::kInt8 && sums_pixels(node)) check_sum(graph, node, problems);
  }
  if (!problems.empty()) return Error{ErrorKind::kUsage, problems};
  return Ok{};
}

void number_ranges(TrainingGraph& graph) {
  if (!is_integer(graph)) return;
  int next = kFirstAdaptive;
  for (const Node& node : graph.nodes) {
    if (node.outputs[0] < 0) continue;
    Value& made = graph.value(node.outputs[0]);
    if (!is_map_gradient(made) || made.element != graph.gradient) continue;
    made.range = node.kind == NodeKind::kQuantizeGradient ? kFeatureRange : next++;
  }
  graph.gradient_ranges = next;
  if (next > kFirstAdaptive) return;
  std::erase_if(graph.nodes, [](const Node& node) { return node.kind == NodeKind::kAdaptRanges; });
}

int sum_bits(const TrainingGraph& graph, int op, bool weights) {
  const auto pixels = static_cast<std::uint64_t>(
      graph.forward->tensor(graph.forward->ops[static_cast<std::size_t>(op)].output)
          .shape.pixels());
  return gradient_bits(graph) + (weights ? 8 : 0) + static_cast<int>(std::bit_width(pixels - 1));
}

int range_count(const TrainingGraph& graph) {
  if (!is_integer(graph)) return 0;
  int count = graph.gradient_ranges;
  if (graph.accumulate > 1) {
    for (const TrainedConv& t : graph.trained) count += (t.bias ? 1 : 0) + (t.weights ? 1 : 0);
  }
  return count;
}

int sum_range(const TrainingGraph& graph, int op, bool weights) {
  int at = graph.gradient_ranges;
  for (const TrainedConv& t : graph.trained) {
    if (t.op == op) return at + (weights && t.bias ? 1 : 0);
    at += (t.bias ? 1 : 0) + (t.weights ? 1 : 0);
  }
  return -1;
}

}  // namespace espalier::compiler
