// Lifetimes of the values of a training graph, as a memory planning problem.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/compiler/memory_problem.hpp"
#include "espalier/compiler/training_graph.hpp"

namespace espalier::compiler {

/// Alignment of everything in the arena: a float's, and a word's for loads of four int8.
inline constexpr int kArenaAlignment = 4;

/// Gives each node that needs temporary memory a value for it.
void assign_scratch(TrainingGraph& graph);

/// The planning problem and which buffer of it each value lies in.
struct ArenaProblem {
  MemoryProblem problem;
  std::vector<int> buffer_of_value;      ///< -1 for values that no node touches
  std::vector<ValueId> value_of_buffer;  ///< the owner, the first of an in-place chain
};

/// Step i is node i; the input is there from the first step on. One more step is the change of
/// turn, where that needs memory.
ArenaProblem arena_problem(const TrainingGraph& graph);

}  // namespace espalier::compiler
