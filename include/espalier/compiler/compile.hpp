// From a model and an update plan to a program: a training graph in which every byte has its place.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "espalier/compiler/liveness.hpp"
#include "espalier/compiler/memory_planner.hpp"
#include "espalier/compiler/passes.hpp"
#include "espalier/compiler/recompute.hpp"
#include "espalier/compiler/state_layout.hpp"
#include "espalier/compiler/training_graph.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/support/bytes.hpp"

namespace espalier::compiler {

struct CompileOptions {
  PassSet passes = kAllPasses;
  int accumulate = 1;  ///< samples whose gradients are added up before an update
  /// Of the maps' gradients: kFloat32, or kInt8 or kInt16 for integer numerics.
  Element gradient = Element::kFloat32;
  bool fed = false;  ///< the input comes by rows and has no buffer of its own
  /// Stretches that run again in the backward pass.
  std::vector<Stretch> recomputed;
  /// All SRAM but the stack that there is; where the program needs more, stretches are added to
  /// `recomputed`, those of the fewest MACs with which it fits. Absent: there is enough.
  std::optional<Bytes> sram;
  /// Sees the graph as differentiation left it (with an empty pass name) and after each pass.
  std::function<void(const PassReport&, const TrainingGraph&)> observer;
};

/// A compiled training step. SRAM is the arena and the state, nothing else but the stack.
struct Program {
  TrainingGraph graph;
  ArenaProblem arena;
  MemoryPlan placement;
  StateLayout state;
  std::vector<Stretch> recomputed;
  /// Integer gradients: exponents to start from, by range; empty: all 0.
  std::vector<std::int16_t> exponents;

  /// Offset of a value in the arena.
  [[nodiscard]] std::int64_t offset(ValueId id) const {
    const auto buffer =
        static_cast<std::size_t>(arena.buffer_of_value[static_cast<std::size_t>(id)]);
    return placement.offsets[buffer] + (id == graph.input ? graph.input_shift : 0);
  }
  [[nodiscard]] Bytes arena_bytes() const { return Bytes{placement.peak}; }
  [[nodiscard]] Bytes sram_bytes() const { return Bytes{placement.peak + state.bytes}; }
};

/// Differentiates, runs the passes, plans memory and has the placement checked by the validator.
/// `graph` must outlive the program. Errors as differentiate(); kUsage when an extent does not fit
/// the 16 bits that descriptors give it; kInfeasible when it exceeds `sram` whatever is recomputed;
/// kInternal when a check fails.
Result<Program> compile(const ir::Graph& graph, const plan::UpdatePlan& plan,
                        const CompileOptions& options = {});

/// The graph of a program alone, differentiated and behind the passes, with nothing placed. Errors
/// as differentiate().
Result<TrainingGraph> training_graph(const ir::Graph& graph, const plan::UpdatePlan& plan,
                                     const CompileOptions& options = {});

/// SRAM of a plan by the planned memory model: compile() without its checks and reports, the same
/// to the byte. Errors as differentiate().
struct PlannedMemory {
  Bytes arena;
  Bytes state;
  [[nodiscard]] Bytes total() const { return Bytes{arena.count + state.count}; }
};
Result<PlannedMemory> planned_memory(const ir::Graph& graph, const plan::UpdatePlan& plan,
                                     int accumulate = 1, Element gradient = Element::kFloat32,
                                     bool fed = false);

/// What happens at each step of the arena's problem.
std::vector<std::string> step_names(const Program& program);

/// A table of what is alive at the step of highest load, largest first: `bytes  name` lines.
std::vector<std::string> alive_at_peak(const Program& program);

}  // namespace espalier::compiler
