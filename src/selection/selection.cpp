#include "espalier/selection/selection.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "espalier/compiler/compile.hpp"
#include "espalier/cost/additive_terms.hpp"
#include "espalier/cost/analytic_memory.hpp"
#include "espalier/cost/training_macs.hpp"
#include "espalier/search/exact.hpp"
#include "espalier/search/pareto.hpp"
#include "espalier/search/remember.hpp"
#include "espalier/search/validate.hpp"
#include "espalier/support/interrupt.hpp"
#include "espalier/version.hpp"

namespace espalier::selection {
namespace {

std::optional<double> value(const contribution::Gain& gain, Metric metric) {
  const auto& estimate = metric == Metric::kAccuracy ? gain.accuracy : gain.loss;
  if (!estimate) return std::nullopt;
  return estimate->mean;
}

search::AdditiveCost additive(cost::AdditiveTerms terms) {
  return {terms.base, std::move(terms.by_depth), std::move(terms.by_ratio)};
}

// A budget in the unit of the searched model's constraint, and back.
std::int64_t limit_of(Bytes budget, MemoryModel model) {
  return model == MemoryModel::kPlanned ? budget.count : budget.count * 8;
}
Bytes budget_of(std::int64_t limit, MemoryModel model) {
  return Bytes{model == MemoryModel::kPlanned ? limit : limit / 8};
}

constexpr std::int64_t kImpossible = std::int64_t{1} << 50;

// A bound must hold in all numerics that are trained, and none of them always takes most: integers
// have smaller gradients, and a state that is larger by their ranges.
Result<Bytes> planned_memory(const ir::Graph& graph, const plan::UpdatePlan& plan,
                             const SelectionOptions& options) {
  Bytes most;
  for (const compiler::Element gradient : options.gradients) {
    ESPALIER_TRY(const compiler::PlannedMemory planned,
                 compiler::planned_memory(graph, plan, options.accumulate, gradient, options.fed));
    most = std::max(most, planned.total());
  }
  return most;
}

// Plans of candidates. Channels are selected once; copying them is all that remains.
class CandidatePlans {
 public:
  CandidatePlans(const ir::Graph& graph, const contribution::Profile& profile, bool rotate) {
    for (std::size_t conv = 0; conv < profile.weight.size(); ++conv) {
      std::vector<plan::WeightUpdate> row(1);
      for (const double ratio : profile.ratios) {
        row.push_back(plan::make_weight_update(graph, static_cast<int>(conv), ratio));
        if (rotate) plan::add_rotation(row.back(), graph);
      }
      updates_.push_back(std::move(row));
    }
  }

  [[nodiscard]] std::size_t layers() const { return updates_.size(); }
  [[nodiscard]] std::size_t options(std::size_t layer) const { return updates_[layer].size(); }

  plan::UpdatePlan operator()(const search::Candidate& candidate) const {
    plan::UpdatePlan plan;
    plan.bias_depth = candidate.depth;
    for (std::size_t conv = 0; conv < candidate.choice.size(); ++conv) {
      if (candidate.choice[conv] != 0) {
        plan.weights.push_back(updates_[conv][candidate.choice[conv]]);
      }
    }
    return plan;
  }

 private:
  std::vector<std::vector<plan::WeightUpdate>> updates_;  // [conv][0..ratios]
};

// Planned memory of candidates.
class PlannedCost {
 public:
  PlannedCost(const ir::Graph& graph, const contribution::Profile& profile,
              const SelectionOptions& options)
      : graph_(graph), plan_(graph, profile, options.rotate), options_(options) {}

  std::int64_t operator()(const search::Candidate& candidate) const {
    const auto memory = planned_memory(graph_, plan_(candidate), options_);
    return memory.ok() ? memory->count : kImpossible;
  }

  /// The trained state alone as an additive cost, beside the smallest arena there is: never more
  /// than the planned memory. Of several programs that of the first, which the largest is not
  /// below; the largest terms of all could add up to more.
  [[nodiscard]] search::AdditiveCost relaxed() const {
    const compiler::Element gradient = options_.gradients.front();
    search::AdditiveCost cost;
    const auto layers = static_cast<int>(plan_.layers());
    search::Candidate candidate{0, std::vector<std::uint8_t>(plan_.layers(), 0)};
    const auto state = [&] {
      // The state is the same however the input comes, which not all of these plans allow by rows.
      const auto memory =
          compiler::planned_memory(graph_, plan_(candidate), options_.accumulate, gradient);
      return memory.ok() ? memory->state.count : kImpossible;
    };
    compiler::CompileOptions compile;
    compile.accumulate = options_.accumulate;
    compile.gradient = gradient;
    compile.fed = options_.fed;
    const auto program = compiler::compile(graph_, plan_(candidate), compile);
    cost.base = program.ok() ? program->placement.lower_bound : kImpossible;
    for (int depth = 0; depth <= layers; ++depth) {
      candidate.depth = depth;
      cost.by_depth.push_back(state());
    }
    const std::int64_t all_biases = cost.by_depth.back();
    for (std::size_t layer = 0; layer < plan_.layers(); ++layer) {
      std::vector<std::int64_t> row{0};
      for (std::size_t option = 1; option < plan_.options(layer); ++option) {
        candidate.choice[layer] = static_cast<std::uint8_t>(option);
        // What convs whose channels take turns share: the number of the turn.
        const std::int64_t shared = plan::rotates(plan_(candidate)) ? sizeof(std::int32_t) : 0;
        row.push_back(std::max<std::int64_t>(0, state() - all_biases - shared));
      }
      candidate.choice[layer] = 0;
      cost.by_option.push_back(std::move(row));
    }
    return cost;
  }

 private:
  const ir::Graph& graph_;
  CandidatePlans plan_;
  SelectionOptions options_;
};

// Cycles of a step by the model, of the program that takes most. Chains take other ways to the same
// kernels, and finding them takes most of the time of compiling.
Result<std::int64_t> predicted_cycles(const ir::Graph& graph, const plan::UpdatePlan& plan,
                                      const SelectionOptions& options) {
  compiler::CompileOptions compile;
  ESPALIER_TRY(compile.passes, compiler::without(compiler::kAllPasses, "stream"));
  std::int64_t most = 0;
  for (const compiler::Element gradient : options.gradients) {
    compile.gradient = gradient;
    ESPALIER_TRY(const compiler::TrainingGraph training,
                 compiler::training_graph(graph, plan, compile));
    ESPALIER_TRY(const std::int64_t cycles, codegen::step_cycles(*options.cycles, training));
    most = std::max(most, cycles);
  }
  return most;
}

search::CostFunction cycle_cost(const ir::Graph& graph, const contribution::Profile& profile,
                                const SelectionOptions& options) {
  return search::remembered([&graph, plans = CandidatePlans(graph, profile, options.rotate),
                             options](const search::Candidate& candidate) {
    const auto cycles = predicted_cycles(graph, plans(candidate), options);
    return cycles.ok() ? *cycles : kImpossible;
  });
}

// What a solver that needs additive costs is told of others; empty when all are additive.
std::string_view not_additive(const SelectionOptions& options) {
  if (options.memory == MemoryModel::kPlanned)
    return "planned memory is none; use --memory analytic";
  if (options.max_step_cycles) return "cycles are none; bound MACs with --max-macs";
  return "";
}

bool goes_for_the_exact(const SelectionOptions& options) {
  return options.solver == SolverKind::kExact ||
         (options.solver == SolverKind::kAuto && not_additive(options).empty());
}

// Where an evolution begins, and what it cannot exceed.
struct Start {
  std::vector<search::Candidate> initial;  // a solution for less memory, the relaxed optimum
  std::optional<double> bound;
};

Result<search::Solution> evolve(const search::Problem& problem, const SelectionOptions& options,
                                const Start& start, Selected& figures) {
  search::EvolutionOptions evolution = options.evolution;
  evolution.stop = [] { return interrupted(); };
  evolution.initial.insert(evolution.initial.end(), start.initial.begin(), start.initial.end());
  evolution.bound = start.bound;
  ESPALIER_TRY(search::EvolutionResult result, search::solve_evolution(problem, evolution));
  figures.solver = SolverKind::kEvolution;
  figures.seconds = result.seconds;
  figures.evaluations = result.evaluations;
  return std::move(result.best);
}

// The chosen solver, with its answer validated. Adds what it took to `figures`.
Result<search::Solution> solve(const search::Problem& problem, const SelectionOptions& options,
                               const Start& start, Selected& figures) {
  search::Solution solution;
  bool solved = false;
  if (goes_for_the_exact(options)) {
    Result<search::ExactResult> result = search::solve_exact(problem);
    // What makes a problem infeasible does so for every solver.
    if (!result.ok() &&
        (options.solver == SolverKind::kExact || result.error().kind == ErrorKind::kInfeasible)) {
      return result.error();
    }
    if (result.ok()) {
      solved = true;
      solution = std::move(result->best);
      figures.solver = SolverKind::kExact;
      figures.seconds = result->seconds;
    }
  }
  if (!solved) {
    ESPALIER_TRY(solution, evolve(problem, options, start, figures));
  }
  if (interrupted()) return Error{ErrorKind::kInterrupted, "search: interrupted"};
  ESPALIER_CHECK_OK(search::validate(problem, solution));
  return solution;
}

}  // namespace

Status check(const ir::Graph& graph, const SelectionOptions& options) {
  if (const auto least = least_memory(graph, options); !least.ok()) return least.error();
  if (!options.max_step_cycles) return Ok{};
  if (!options.cycles) return Error{ErrorKind::kUsage, "a bound on cycles needs a target"};
  for (const plan::UpdatePlan& plan : {*plan::bias_only(graph, 0), plan::full(graph)}) {
    const auto cycles = predicted_cycles(graph, plan, options);
    if (!cycles.ok()) return cycles.error();
  }
  return Ok{};
}

Result<Bytes> least_memory(const ir::Graph& graph, const SelectionOptions& options) {
  const plan::UpdatePlan head = plan::head_only(graph);
  if (options.memory == MemoryModel::kAnalytic) return cost::analytic_memory(head, graph).bytes();
  return planned_memory(graph, head, options);
}

search::Problem make_problem(const ir::Graph& graph, const contribution::Profile& profile,
                             Bytes budget, const SelectionOptions& options) {
  const auto conv_count = static_cast<int>(profile.weight.size());
  search::Problem problem;
  problem.layers = conv_count;
  problem.options = static_cast<int>(profile.ratios.size());
  problem.available = cost::available_ratios(graph, profile.ratios);
  for (std::size_t depth = 0; depth < profile.bias.size(); ++depth) {
    const auto gain = depth == 0 ? std::optional(0.0) : value(profile.bias[depth], options.metric);
    problem.bias_gain.push_back(gain.value_or(0.0));
    problem.depth_available.push_back(gain.has_value());
  }
  for (std::size_t conv = 0; conv < profile.weight.size(); ++conv) {
    std::vector<double> row{0.0};
    for (std::size_t r = 0; r < profile.ratios.size(); ++r) {
      const auto gain = value(profile.weight[conv][r], options.metric);
      row.push_back(gain.value_or(0.0));
      if (!gain) problem.available[conv][r + 1] = false;
    }
    problem.weight_gain.push_back(std::move(row));
  }
  if (options.memory == MemoryModel::kPlanned) {
    problem.constraints.push_back(
        {.name = "planned memory",
         .limit = limit_of(budget, options.memory),
         .cost = search::remembered(PlannedCost(graph, profile, options)),
         .unit = "bytes",
         .format = [](std::int64_t bytes) { return format_bytes(Bytes{bytes}); },
         .stand_in = additive(cost::analytic_terms(graph, profile.ratios))});
  } else {
    problem.constraints.push_back(
        {.name = "analytic memory",
         .limit = limit_of(budget, options.memory),
         .cost = additive(cost::analytic_terms(graph, profile.ratios)),
         .unit = "bits",
         .format = [](std::int64_t bits) { return format_bytes(Bytes{(bits + 7) / 8}); }});
  }
  if (options.max_step_macs) {
    problem.constraints.push_back({.name = "MACs per training step",
                                   .limit = *options.max_step_macs,
                                   .cost = additive(cost::mac_terms(graph, profile.ratios)),
                                   .unit = "MACs",
                                   .format = nullptr});
  }
  if (options.max_step_cycles) {
    problem.constraints.push_back({.name = "cycles per training step on " + options.cycles->target,
                                   .limit = *options.max_step_cycles,
                                   .cost = cycle_cost(graph, profile, options),
                                   .unit = "cycles",
                                   .format = nullptr,
                                   .stand_in = additive(cost::mac_terms(graph, profile.ratios))});
  }
  return problem;
}

plan::UpdatePlan make_plan(const ir::Graph& graph, const contribution::Profile& profile,
                           const search::Candidate& candidate, bool rotate) {
  plan::UpdatePlan plan = *plan::bias_only(graph, candidate.depth);
  for (std::size_t conv = 0; conv < candidate.choice.size(); ++conv) {
    if (candidate.choice[conv] == 0) continue;
    plan.weights.push_back(plan::make_weight_update(
        graph, static_cast<int>(conv),
        profile.ratios[static_cast<std::size_t>(candidate.choice[conv]) - 1]));
  }
  if (rotate) plan::add_rotation(plan, graph);
  plan.tool_version = kVersion;
  return plan;
}

Selected describe(const ir::Graph& graph, const contribution::Profile& profile, Bytes budget,
                  const search::Solution& solution, const SelectionOptions& options) {
  Selected selected;
  selected.plan = make_plan(graph, profile, solution.candidate, options.rotate);
  selected.plan.classes =
      options.classes.empty() ? contribution::class_names(profile) : options.classes;
  selected.plan.predicted_gain = solution.objective;
  selected.plan.gain_metric = options.metric == Metric::kAccuracy ? "accuracy" : "loss";
  selected.plan.budget = budget;
  selected.plan.recipe = train::to_json(profile.recipe);
  selected.plan.solver = options.solver == SolverKind::kExact ? "exact" : "evolution";
  if (options.solver == SolverKind::kEvolution) selected.plan.seed = options.evolution.seed;
  selected.budget = budget;
  selected.objective = solution.objective;
  selected.analytic = selected.plan.memory["analytic"] =
      cost::analytic_memory(selected.plan, graph).bytes();
  selected.memory = selected.analytic;
  if (const auto planned = planned_memory(graph, selected.plan, options); planned.ok()) {
    selected.planned = selected.plan.memory["planned"] = *planned;
    if (options.memory == MemoryModel::kPlanned) selected.memory = *selected.planned;
  }
  selected.step_macs = cost::training_macs(selected.plan, graph).total();
  if (options.max_step_cycles) {
    if (const auto cycles = predicted_cycles(graph, selected.plan, options); cycles.ok()) {
      selected.step_cycles = *cycles;
    }
  }
  return selected;
}

Result<Selected> select(const ir::Graph& graph, const contribution::Profile& profile, Bytes budget,
                        const SelectionOptions& options) {
  ESPALIER_TRY(std::vector<Selected> front, select_front(graph, profile, {budget}, options));
  return front.front();
}

Result<std::vector<Selected>> select_front(const ir::Graph& graph,
                                           const contribution::Profile& profile,
                                           const std::vector<Bytes>& budgets,
                                           const SelectionOptions& options) {
  if (budgets.empty()) return Error{ErrorKind::kUsage, "a search needs at least one budget"};
  ESPALIER_CHECK_OK(check(graph, options));
  return select_front(make_problem(graph, profile, budgets.front(), options), graph, profile,
                      budgets, options);
}

Result<std::vector<Selected>> select_front(const search::Problem& problem, const ir::Graph& graph,
                                           const contribution::Profile& profile,
                                           const std::vector<Bytes>& budgets,
                                           const SelectionOptions& options) {
  if (budgets.empty()) return Error{ErrorKind::kUsage, "a search needs at least one budget"};
  const bool planned = options.memory == MemoryModel::kPlanned;
  const bool additive = not_additive(options).empty();
  if (!additive && options.solver == SolverKind::kExact) {
    return Error{ErrorKind::kUsage,
                 fmt::format("--solver exact needs an additive cost, and {}, or --solver evolution",
                             not_additive(options))};
  }
  // Under planned memory the trained state alone is additive, and of cycles nothing: an upper
  // bound, and where to begin.
  search::Problem relaxed = problem;
  if (options.max_step_cycles) relaxed.constraints.pop_back();
  if (planned) relaxed.constraints[0].cost = PlannedCost(graph, profile, options).relaxed();
  const auto optimum = [&](std::int64_t limit) {
    relaxed.constraints[0].limit = limit;
    return search::solve_exact(relaxed);
  };
  std::vector<std::int64_t> limits;
  for (const Bytes budget : budgets) limits.push_back(limit_of(budget, options.memory));
  std::vector<Selected> figures;  // of each solver run, in the order of the front
  const auto solver = [&](const search::Problem& at, const search::Candidate* warm_start) {
    figures.emplace_back();
    Start start;
    if (warm_start != nullptr) start.initial.push_back(*warm_start);
    if (!goes_for_the_exact(options)) {
      if (const auto best = optimum(at.constraints[0].limit); best.ok()) {
        start.initial.push_back(best->best.candidate);
        start.bound = best->best.objective;
      }
    }
    return solve(at, options, start, figures.back());
  };
  ESPALIER_TRY(const search::ParetoFront front, search::pareto_front(problem, 0, limits, solver));
  std::vector<Selected> result;
  for (std::size_t i = 0; i < front.points.size(); ++i) {
    const search::ParetoPoint& point = front.points[i];
    SelectionOptions used = options;
    used.solver = figures[i].solver;
    Selected selected =
        describe(graph, profile, budget_of(point.limit, options.memory), point.solution, used);
    selected.solver = figures[i].solver;
    selected.seconds = figures[i].seconds;
    selected.evaluations = figures[i].evaluations;
    if (const auto exact = optimum(point.limit); exact.ok()) {
      (additive ? selected.optimum : selected.bound) = exact->best.objective;
      selected.optimum_seconds = exact->seconds;
    }
    result.push_back(std::move(selected));
  }
  return result;
}

}  // namespace espalier::selection
