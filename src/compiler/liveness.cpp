#include "espalier/compiler/liveness.hpp"

#include "espalier/compiler/kernel_choice.hpp"

namespace espalier::compiler {
void assign_scratch(TrainingGraph& graph) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    Node& node = graph.nodes[i];
    const std::int64_t bytes = scratch_bytes(graph, node);
    if (bytes == 0) continue;
    node.scratch = static_cast<ValueId>(graph.values.size());
    // Forward and backward of one op are told apart by `part`.
    const int part = static_cast<int>(i) < graph.backward_begin ? 0 : 1;
    graph.values.push_back({Role::kScratch, Element::kBytes, node.op, part, bytes, -1});
  }
}

ArenaProblem arena_problem(const TrainingGraph& graph) {
  ArenaProblem result;
  result.problem.steps = static_cast<int>(graph.nodes.size());
  result.problem.alignment = kArenaAlignment;
  result.buffer_of_value.assign(graph.values.size(), -1);
  const auto touch = [&](ValueId id, int step) {
    if (id < 0) return;
    const ValueId owner = graph.buffer(id);
    int& buffer = result.buffer_of_value[static_cast<std::size_t>(owner)];
    if (buffer < 0) {
      buffer = static_cast<int>(result.problem.buffers.size());
      result.problem.buffers.push_back({graph.value(owner).bytes(), step, step});
      result.value_of_buffer.push_back(owner);
    }
    result.problem.buffers[static_cast<std::size_t>(buffer)].last = step;
    result.buffer_of_value[static_cast<std::size_t>(id)] = buffer;
  };
  if (result.problem.steps > 0) touch(graph.input, 0);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    const int step = static_cast<int>(i);
    for (const ValueId id : node.inputs) touch(id, step);
    for (const ValueId id : node.outputs) touch(id, step);
    touch(node.scratch, step);
  }
  return result;
}

}  // namespace espalier::compiler
