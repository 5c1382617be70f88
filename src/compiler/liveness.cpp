#include "espalier/compiler/liveness.hpp"

#include <algorithm>

#include "espalier/compiler/chains.hpp"
#include "espalier/compiler/kernel_choice.hpp"
#include "runtime/espalier_rows.h"

namespace espalier::compiler {
namespace {

// The steps during which a node runs: those of its chain.
struct Span {
  int first = 0;
  int last = 0;
};
Span span_of(const TrainingGraph& graph, std::size_t node) {
  const int chain = graph.nodes[node].chain;
  if (chain < 0) return {static_cast<int>(node), static_cast<int>(node)};
  const Chain& whole = graph.chains[static_cast<std::size_t>(chain)];
  return {whole.first, whole.last};
}

ValueId add_temporary(TrainingGraph& graph, Role role, int op, int part, std::int64_t bytes) {
  graph.values.push_back({role, Element::kBytes, op, part, bytes, -1});
  return static_cast<ValueId>(graph.values.size()) - 1;
}

// The nodes of a chain take turns in one memory.
void assign_chain_scratch(TrainingGraph& graph, Chain& chain) {
  const auto maps = static_cast<std::int64_t>(chain_tables(graph, chain).maps.size());
  const int op = graph.nodes[static_cast<std::size_t>(chain.first)].op;
  // A word on top says that an input has begun to come.
  chain.rows = add_temporary(graph, Role::kRows, op, 0,
                             maps * std::int64_t{sizeof(esp_rows)} + (chain.fed ? 4 : 0));
  std::int64_t most = 0;
  for (int i = chain.first; i <= chain.last; ++i) {
    most = std::max(most, scratch_bytes(graph, graph.nodes[static_cast<std::size_t>(i)]));
  }
  if (most == 0) return;
  const ValueId scratch = add_temporary(graph, Role::kScratch, op, 0, most);
  for (int i = chain.first; i <= chain.last; ++i) {
    Node& node = graph.nodes[static_cast<std::size_t>(i)];
    if (scratch_bytes(graph, node) > 0) node.scratch = scratch;
  }
}

// A change of turn holds the row that it makes, and of a depthwise convolution the trained filters
// of the turn that ends.
void assign_turn_room(TrainingGraph& graph) {
  std::int64_t most = 0;
  int op = -1;
  for (const TrainedConv& t : graph.trained) {
    if (!t.rotates() || !t.sliced) continue;
    const ir::Conv2D& conv = *conv_of(*graph.forward, t.op);
    const std::int64_t taps = conv.window.kernel_h * conv.window.kernel_w;
    const std::int64_t bytes =
        is_plain_depthwise(conv) ? taps + resident_weights(graph, t) : conv.in_channels;
    if (bytes <= most) continue;
    most = bytes;
    op = t.op;
  }
  if (op >= 0) graph.turn_room = add_temporary(graph, Role::kScratch, op, 3, most);
}

}  // namespace

void assign_scratch(TrainingGraph& graph) {
  for (Chain& chain : graph.chains) assign_chain_scratch(graph, chain);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    Node& node = graph.nodes[i];
    if (node.chain >= 0) continue;
    const std::int64_t bytes = scratch_bytes(graph, node);
    if (bytes == 0) continue;
    // Forward, backward and a second forward of one op are told apart by `part`.
    const bool forward = is_forward(node.kind);
    const int part = !forward ? 1 : static_cast<int>(i) < graph.backward_begin ? 0 : 2;
    node.scratch = add_temporary(graph, Role::kScratch, node.op, part, bytes);
  }
  assign_turn_room(graph);
}

ArenaProblem arena_problem(const TrainingGraph& graph) {
  ArenaProblem result;
  result.problem.steps = static_cast<int>(graph.nodes.size());
  result.problem.alignment = kArenaAlignment;
  result.buffer_of_value.assign(graph.values.size(), -1);
  const auto touch = [&](ValueId id, Span span) {
    if (id < 0) return;
    const ValueId owner = graph.buffer(id);
    int& buffer = result.buffer_of_value[static_cast<std::size_t>(owner)];
    if (buffer < 0) {
      buffer = static_cast<int>(result.problem.buffers.size());
      result.problem.buffers.push_back({graph.value(owner).bytes(), span.first, span.last});
      result.value_of_buffer.push_back(owner);
    }
    result.problem.buffers[static_cast<std::size_t>(buffer)].last = span.last;
    result.buffer_of_value[static_cast<std::size_t>(id)] = buffer;
  };
  if (graph.input_over >= 0) {
    // What is written over the input is there from the beginning, and the rest of the input lies
    // upon it until the chain has read it.
    touch(graph.input_over, {0, 0});
    const std::int64_t below = align_up(graph.value(graph.input_over).bytes(), kArenaAlignment);
    const std::int64_t rest = graph.input_shift + graph.value(graph.input).bytes() - below;
    if (rest > 0) {
      result.problem.buffers.push_back({rest, 0, graph.chains.front().last});
      result.value_of_buffer.push_back(graph.input);
    }
    result.problem.stacked = static_cast<int>(result.problem.buffers.size());
    result.buffer_of_value[static_cast<std::size_t>(graph.input)] = 0;
  } else if (result.problem.steps > 0) {
    touch(graph.input, {0, 0});
  }
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    const Span span = span_of(graph, i);
    for (const ValueId id : node.inputs) {
      if (id != graph.input || graph.input_over < 0) touch(id, span);
    }
    for (const ValueId id : node.outputs) touch(id, span);
    touch(node.scratch, span);
    if (node.chain >= 0) touch(graph.chains[static_cast<std::size_t>(node.chain)].rows, span);
  }
  if (graph.turn_room >= 0) {
    const int behind = result.problem.steps++;
    touch(graph.turn_room, {behind, behind});
  }
  return result;
}

}  // namespace espalier::compiler
