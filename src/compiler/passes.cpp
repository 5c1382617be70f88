#include "espalier/compiler/passes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "espalier/compiler/chains.hpp"
#include "uses.hpp"

namespace espalier::compiler {
namespace {

constexpr int kNever = -1;

// ---- prune -----------------------------------------------------------------------------------

bool has_effect(const Node& node) {
  switch (node.kind) {
    case NodeKind::kHeadForward:
    case NodeKind::kLossGradient:
    case NodeKind::kApplyWeights:
    case NodeKind::kApplyBias:
    case NodeKind::kApplyHead:
    case NodeKind::kAdaptRanges:
      return true;
    default:
      return node.sink != Sink::kStore;
  }
}

void prune(TrainingGraph& graph) {
  std::vector<bool> wanted(graph.values.size(), false);
  std::vector<bool> dead(graph.nodes.size(), false);
  for (std::size_t i = graph.nodes.size(); i-- > 0;) {
    Node& node = graph.nodes[i];
    bool live = has_effect(node);
    for (const ValueId id : node.outputs)
      live = live || (id >= 0 && wanted[static_cast<std::size_t>(id)]);
    dead[i] = !live;
    if (!live) continue;
    for (std::size_t k = 0; k < node.outputs.size(); ++k) {
      // A forward node that runs again for its mask writes its map all the same.
      const bool written =
          node.kind == NodeKind::kLossGradient || (k == 0 && is_forward(node.kind));
      ValueId& id = node.outputs[k];
      if (id >= 0 && !wanted[static_cast<std::size_t>(id)] && !written) id = -1;
    }
    for (const ValueId id : node.inputs) {
      if (id >= 0) wanted[static_cast<std::size_t>(id)] = true;
    }
  }
  erase_nodes(graph, dead);
}

// ---- slice -----------------------------------------------------------------------------------

void slice(TrainingGraph& graph) {
  std::vector<ValueId> saved(graph.forward->ops.size(), -1);
  for (TrainedConv& trained : graph.trained) {
    const ir::Conv2D& conv = *conv_of(*graph.forward, trained.op);
    if (!trained.weights || trained.channels.empty() || !can_slice(conv)) continue;
    trained.sliced = true;
    const ir::Op& op = graph.forward->ops[static_cast<std::size_t>(trained.op)];
    saved[static_cast<std::size_t>(trained.op)] = static_cast<ValueId>(graph.values.size());
    graph.values.push_back({Role::kSavedChannels, Element::kInt8, trained.op, 0,
                            graph.forward->tensor(op.inputs[0]).shape.pixels() *
                                static_cast<std::int64_t>(trained.channels.size()),
                            -1});
  }
  // Where a convolution runs a second time, that run's input is kept.
  std::vector<std::size_t> last_run(graph.forward->ops.size(), 0);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i].kind == NodeKind::kConvForward) {
      last_run[static_cast<std::size_t>(graph.nodes[i].op)] = i;
    }
  }
  std::vector<Node> nodes;
  nodes.reserve(graph.nodes.size() + graph.trained.size());
  int begin = 0;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    Node node = graph.nodes[i];
    if (static_cast<int>(i) == graph.backward_begin) begin = static_cast<int>(nodes.size());
    const ValueId kept = node.op < 0 ? -1 : saved[static_cast<std::size_t>(node.op)];
    if (kept >= 0 && node.kind == NodeKind::kConvForward &&
        last_run[static_cast<std::size_t>(node.op)] == i) {
      Node save;
      save.kind = NodeKind::kSaveChannels;
      save.op = node.op;
      save.inputs = {node.inputs[0], -1, -1};
      save.outputs = {kept, -1, -1};
      nodes.push_back(save);
    } else if (kept >= 0 && node.kind == NodeKind::kWeightGradient) {
      node.inputs[1] = kept;
      if (node.outputs[0] >= 0) {
        graph.value(node.outputs[0]).elements =
            resident_weights(graph, *graph.trained_conv(node.op));
      }
    }
    nodes.push_back(node);
  }
  graph.backward_begin = begin;
  graph.nodes = std::move(nodes);
}

// ---- reorder ---------------------------------------------------------------------------------

// Each parameter is stepped as soon as its gradient exists and its old value has served: the two
// nodes become one, and the gradient is never stored. The gradient of a grouped convolution of
// which only some channels are trained is stored and then applied.
void reorder(TrainingGraph& graph) {
  const std::size_t ops = graph.forward->ops.size();
  std::vector<bool> passes_on(ops, false);  // an input gradient reads the weights
  std::vector<int> apply_weights(ops, kNever);
  std::vector<bool> apply_bias(ops, false);
  bool apply_head = false;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    const auto op = static_cast<std::size_t>(node.op);
    if (node.kind == NodeKind::kInputGradient) passes_on[op] = true;
    if (node.kind == NodeKind::kApplyWeights) apply_weights[op] = static_cast<int>(i);
    if (node.kind == NodeKind::kApplyBias) apply_bias[op] = true;
    if (node.kind == NodeKind::kApplyHead) apply_head = true;
  }
  std::vector<Node> nodes;
  nodes.reserve(graph.nodes.size());
  std::vector<Node> waiting;  // for the input gradient of their op
  for (const Node& original : graph.nodes) {
    Node node = original;
    const auto op = static_cast<std::size_t>(node.op);
    switch (node.kind) {
      case NodeKind::kApplyWeights:
      case NodeKind::kApplyBias:
      case NodeKind::kApplyHead:
        continue;
      case NodeKind::kHeadGradient:
        if (apply_head) {
          node.sink = Sink::kApply;
          node.outputs = {-1, -1, -1};
        }
        break;
      case NodeKind::kBiasGradient:
        if (apply_bias[op]) {
          node.sink = Sink::kApply;
          node.outputs = {-1, -1, -1};
        }
        break;
      case NodeKind::kWeightGradient: {
        if (apply_weights[op] == kNever) break;
        const TrainedConv& trained = *graph.trained_conv(node.op);
        std::vector<Node> steps;
        if (trained.channels.empty() || trained.sliced) {
          node.sink = Sink::kApply;
          node.outputs = {-1, -1, -1};
          steps = {node};
        } else {
          steps = {graph.nodes[static_cast<std::size_t>(apply_weights[op])]};
          nodes.push_back(node);
        }
        auto& target = passes_on[op] ? waiting : nodes;
        target.insert(target.end(), steps.begin(), steps.end());
        continue;
      }
      default:
        break;
    }
    nodes.push_back(node);
    if (node.kind == NodeKind::kInputGradient && !waiting.empty() &&
        waiting.front().op == node.op) {
      nodes.insert(nodes.end(), waiting.begin(), waiting.end());
      waiting.clear();
    }
  }
  graph.nodes = std::move(nodes);
}

// ---- bit-masks -------------------------------------------------------------------------------

void bit_masks(TrainingGraph& graph) {
  for (Value& value : graph.values) {
    if (value.element == Element::kByteMask) value.element = Element::kBitMask;
  }
}

// ---- in-place --------------------------------------------------------------------------------

bool same_extent_depthwise(const TrainingGraph& graph, int op) {
  const ir::Conv2D* conv = conv_of(*graph.forward, op);
  if (conv == nullptr || !is_plain_depthwise(*conv)) return false;
  const ir::Op& node = graph.forward->ops[static_cast<std::size_t>(op)];
  return conv->window.stride_h == 1 && conv->window.stride_w == 1 &&
         graph.forward->tensor(node.inputs[0]).shape == graph.forward->tensor(node.output).shape;
}

// Where a node that makes a gradient takes one to add to; -1: nowhere.
int addend_input(NodeKind kind) {
  switch (kind) {
    case NodeKind::kInputGradient:
    case NodeKind::kConcatGradient:
    case NodeKind::kSelectGradient:
      return 1;
    case NodeKind::kMaskScale:
    case NodeKind::kLookupGradient:
      return 2;
    default:
      return -1;
  }
}

// `part + addend` becomes an operand of the node that makes `part`.
void fuse_sums(TrainingGraph& graph) {
  if (is_integer(graph)) return;  // narrow() did, for there it is a matter of rounding
  const Uses uses(graph);
  std::vector<bool> dead(graph.nodes.size(), false);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& sum = graph.nodes[i];
    if (sum.kind != NodeKind::kGradientSum) continue;
    const ValueId part = sum.inputs[0];
    const ValueId addend = sum.inputs[1];
    Node& maker =
        graph.nodes[static_cast<std::size_t>(uses.writer[static_cast<std::size_t>(part)])];
    const int slot = addend_input(maker.kind);
    if (slot < 0 || uses.count[static_cast<std::size_t>(part)] != 1 ||
        !uses.dies_at(addend, static_cast<int>(i))) {
      continue;
    }
    maker.inputs[static_cast<std::size_t>(slot)] = addend;
    maker.outputs[0] = sum.outputs[0];
    graph.value(sum.outputs[0]).in_place_of = addend;
    dead[i] = true;
  }
  erase_nodes(graph, dead);
}

// The weight gradient of a depthwise convolution joins the input gradient before it, and the input
// gradient takes the memory of g.
void fuse_depthwise_backward(TrainingGraph& graph) {
  const Uses uses(graph);
  std::vector<bool> dead(graph.nodes.size(), false);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    Node& node = graph.nodes[i];
    if (node.kind != NodeKind::kInputGradient || node.inputs[1] >= 0 ||
        !same_extent_depthwise(graph, node.op)) {
      continue;
    }
    const ValueId g = node.inputs[0];
    if (!uses.dies_at(g, static_cast<int>(i))) {
      if (i + 1 >= graph.nodes.size() || !uses.dies_at(g, static_cast<int>(i) + 1)) continue;
      const Node& weights = graph.nodes[i + 1];
      if (weights.kind != NodeKind::kWeightGradient || weights.sink == Sink::kStore) continue;
      node.inputs[1] = weights.inputs[1];
      node.sink = weights.sink;
      dead[i + 1] = true;
    }
    node.kind = NodeKind::kDepthwiseBackward;
    graph.value(node.outputs[0]).in_place_of = g;
  }
  erase_nodes(graph, dead);
}

void in_place(TrainingGraph& graph) {
  fuse_sums(graph);
  fuse_depthwise_backward(graph);
  const Uses uses(graph);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    const ValueId out = node.outputs[0];
    if (out < 0 || graph.value(out).in_place_of >= 0) continue;
    const auto take_over = [&](ValueId in) {
      if (in < 0 || in == graph.input || !uses.dies_at(in, static_cast<int>(i)) ||
          graph.value(in).bytes() != graph.value(out).bytes()) {
        return false;
      }
      graph.value(out).in_place_of = in;
      return true;
    };
    switch (node.kind) {
      case NodeKind::kMaskScale:
      case NodeKind::kLookupForward:
      case NodeKind::kLookupGradient:
      case NodeKind::kMulForward:
      case NodeKind::kMulGradient:
        take_over(node.inputs[0]);
        break;
      case NodeKind::kInputGradient:
      case NodeKind::kConcatGradient:
      case NodeKind::kSelectGradient:
        take_over(node.inputs[1]);
        break;
      case NodeKind::kGradientSum:
      case NodeKind::kAddForward:
        take_over(node.inputs[0]) || take_over(node.inputs[1]);
        break;
      case NodeKind::kRescaleForward:
        take_over(node.inputs[0]);
        break;
      case NodeKind::kConvForward:
        if (same_extent_depthwise(graph, node.op)) take_over(node.inputs[0]);
        break;
      default:
        break;
    }
  }
}

constexpr Pass kPasses[] = {
    {"prune", "drops gradients of frozen parameters and all that only they needed", prune},
    {"slice", "keeps and trains only the chosen input channels of partly trained convolutions",
     slice},
    {"reorder", "applies each gradient as soon as it exists, without storing it", reorder},
    {"bit-masks", "masks of one bit instead of one byte an output", bit_masks},
    {"in-place", "outputs that take over the memory of dying inputs; sums join their producers",
     in_place},
    {"stream", "forward nodes that run row by row, of whose maps only windows exist", stream},
};

}  // namespace

std::span<const Pass> passes() { return kPasses; }

Result<PassSet> only(std::span<const std::string_view> names) {
  PassSet set = 0;
  for (const std::string_view name : names) {
    const auto* found = std::find_if(std::begin(kPasses), std::end(kPasses),
                                     [&](const Pass& pass) { return pass.name == name; });
    if (found == std::end(kPasses)) {
      std::string known;
      for (const Pass& pass : kPasses) {
        known += fmt::format("{}{}", known.empty() ? "" : ", ", pass.name);
      }
      return Error{ErrorKind::kUsage, fmt::format("no pass '{}'; there are {}", name, known)};
    }
    set |= PassSet{1} << (found - std::begin(kPasses));
  }
  return set;
}

Result<PassSet> without(PassSet set, std::string_view name) {
  ESPALIER_TRY(const PassSet one, only(std::span(&name, 1)));
  return set & ~one;
}

Status run_passes(TrainingGraph& graph, PassSet set,
                  const std::function<void(const PassReport&, const TrainingGraph&)>& observer) {
  for (std::size_t i = 0; i < std::size(kPasses); ++i) {
    if ((set >> i & 1U) == 0) continue;
    const auto start = std::chrono::steady_clock::now();
    kPasses[i].run(graph);
    if (!observer) continue;
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    const Status status = verify(graph);
    if (!status.ok()) {
      Error error = status.error();
      for (std::string& line : error.diagnostics) {
        line = fmt::format("pass {}: {}", kPasses[i].name, line);
      }
      return error;
    }
    observer({kPasses[i].name, spent.count(), graph.nodes.size()}, graph);
  }
  return Ok{};
}

}  // namespace espalier::compiler
