// From measured contributions to an update plan: states the search problem for a model, a profile
// and a budget, runs a solver on it, and turns its answer into a plan.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/codegen/cycle_model.hpp"
#include "espalier/compiler/training_graph.hpp"
#include "espalier/contribution/profile.hpp"
#include "espalier/ir/graph.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/search/evolution.hpp"
#include "espalier/search/problem.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/result.hpp"

namespace espalier::selection {

/// Which measured gain the search adds up.
enum class Metric {
  kAccuracy,  ///< validation accuracy gained, as in the paper
  kLoss,      ///< validation loss removed: less noisy when the validation set is small
};

enum class SolverKind {
  kEvolution,
  kExact,
  kAuto,  ///< exact where costs are additive and it does not give up, otherwise evolution
};

/// What the budget bounds.
enum class MemoryModel {
  kAnalytic,  ///< the published model of extra memory; additive, so the optimum can be proven
  kPlanned,   ///< all SRAM of the compiled program but the stack: arena and state
};

struct SelectionOptions {
  Metric metric = Metric::kLoss;              ///< decisions/0006
  std::optional<std::int64_t> max_step_macs;  ///< bound on MACs of a training step on one sample
  /// Bound on cycles of such a step by `cycles`, which must then be there. Not additive.
  std::optional<std::int64_t> max_step_cycles;
  std::optional<codegen::CycleModel> cycles;
  MemoryModel memory = MemoryModel::kAnalytic;
  /// Of the gradients of the compiled programs: one where plans are trained in one kind of
  /// numerics. Planned memory and cycles are those of the program that takes most. Never empty.
  std::vector<compiler::Element> gradients{compiler::Element::kFloat32};
  bool fed = false;     ///< planned memory: the input comes by rows
  int accumulate = 1;   ///< planned memory: samples whose gradients make one update
  bool rotate = false;  ///< plans let the channels of partly trained convs take turns
  /// Of the data that plans are for, by label; those of the profile's where empty.
  std::vector<std::string> classes;
  SolverKind solver = SolverKind::kAuto;
  search::EvolutionOptions evolution;
};

/// Objective, memory and, when it could be proven, the optimum beside it. Planned memory and cycles
/// are not additive; there an upper bound stands in the optimum's place: the optimum without the
/// bound on cycles, and when only the trained state counts, beside the arena of training the head
/// alone.
struct Selected {
  plan::UpdatePlan plan;
  Bytes budget;
  double objective = 0;
  std::optional<double> optimum;  ///< of the exact solver
  std::optional<double> bound;   ///< planned memory or cycles: no plan within the bounds gains more
  Bytes memory;                  ///< of the plan, by the searched model
  Bytes analytic;                ///< extra memory by the published model
  std::optional<Bytes> planned;  ///< none when a program cannot be made of it for a device
  std::int64_t step_macs = 0;
  std::optional<std::int64_t> step_cycles;     ///< predicted, where cycles are bounded
  SolverKind solver = SolverKind::kEvolution;  ///< that found it, never kAuto
  std::int64_t evaluations = 0;                ///< of the evolution; 0 for the exact solver
  double seconds = 0;                          ///< of the chosen solver
  double optimum_seconds = 0;                  ///< of the exact solver
};

/// Whether the head alone has a memory that can be told, and cycles, where they are bounded, are
/// known of all that can be trained: kUsage otherwise.
Status check(const ir::Graph& graph, const SelectionOptions& options);

/// Memory of the head alone, which every plan trains: no budget may be below it. Errors: that a
/// program cannot be planned of it.
Result<Bytes> least_memory(const ir::Graph& graph, const SelectionOptions& options);

/// The problem of choosing under `budget`: gains that were not measured, or that diverged, cannot
/// be chosen. Costs that are functions are remembered, and have the analytic memory and the MACs to
/// stand in for them. Refers to `graph`. The options must pass check().
search::Problem make_problem(const ir::Graph& graph, const contribution::Profile& profile,
                             Bytes budget, const SelectionOptions& options);

/// The plan a candidate stands for, and with `rotate` one whose channels take turns.
plan::UpdatePlan make_plan(const ir::Graph& graph, const contribution::Profile& profile,
                           const search::Candidate& candidate, bool rotate = false);

/// A solution within `budget` as a plan with its figures; those of solvers are left at 0.
Selected describe(const ir::Graph& graph, const contribution::Profile& profile, Bytes budget,
                  const search::Solution& solution, const SelectionOptions& options);

/// The best plan under one budget. kInfeasible when not even the head fits, kUsage when a solver
/// needs an additive cost and there is none, and as check().
Result<Selected> select(const ir::Graph& graph, const contribution::Profile& profile, Bytes budget,
                        const SelectionOptions& options);

/// The best plans over budgets, ascending; budgets below head-only are left out, unless all are
/// (kInfeasible). A larger budget never has a smaller objective.
Result<std::vector<Selected>> select_front(const ir::Graph& graph,
                                           const contribution::Profile& profile,
                                           const std::vector<Bytes>& budgets,
                                           const SelectionOptions& options);

/// Of a problem that make_problem() stated, of any budget; what its costs remember is shared with
/// others of the same costs.
Result<std::vector<Selected>> select_front(const search::Problem& problem, const ir::Graph& graph,
                                           const contribution::Profile& profile,
                                           const std::vector<Bytes>& budgets,
                                           const SelectionOptions& options);

}  // namespace espalier::selection
