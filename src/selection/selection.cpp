#include "espalier/selection/selection.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "espalier/cost/additive_terms.hpp"
#include "espalier/cost/analytic_memory.hpp"
#include "espalier/cost/training_macs.hpp"
#include "espalier/search/exact.hpp"
#include "espalier/search/pareto.hpp"
#include "espalier/search/validate.hpp"
#include "espalier/support/interrupt.hpp"
#include "espalier/version.hpp"

namespace espalier::selection {
namespace {

std::optional<double> value(const contribution::Gain& gain, Metric metric) {
  const auto& estimate = metric == Metric::kAccuracy ? gain.accuracy : gain.loss;
  if (gain.seeds == 0 || !estimate) return std::nullopt;
  return estimate->mean;
}

search::AdditiveCost additive(cost::AdditiveTerms terms) {
  return {terms.base, std::move(terms.by_depth), std::move(terms.by_ratio)};
}

Selected describe(const ir::Graph& graph, const contribution::Profile& profile, Bytes budget,
                  const search::Solution& solution, const SelectionOptions& options) {
  Selected selected;
  selected.plan = make_plan(graph, profile, solution.candidate);
  selected.plan.predicted_gain = solution.objective;
  selected.plan.gain_metric = options.metric == Metric::kAccuracy ? "accuracy" : "loss";
  selected.plan.budget = budget;
  selected.plan.solver = options.solver == SolverKind::kExact ? "exact" : "evolution";
  if (options.solver == SolverKind::kEvolution) selected.plan.seed = options.evolution.seed;
  selected.budget = budget;
  selected.objective = solution.objective;
  selected.memory = cost::analytic_memory(selected.plan, graph).bytes();
  selected.plan.memory["analytic"] = selected.memory;
  selected.step_macs = cost::training_macs(selected.plan, graph).total();
  return selected;
}

// The chosen solver, with its answer validated. Adds what it took to `figures`.
Result<search::Solution> solve(const search::Problem& problem, const SelectionOptions& options,
                               const search::Candidate* warm_start, Selected& figures) {
  search::Solution solution;
  if (options.solver == SolverKind::kExact) {
    ESPALIER_TRY(search::ExactResult result, search::solve_exact(problem));
    solution = std::move(result.best);
    figures.seconds = result.seconds;
  } else {
    search::EvolutionOptions evolution = options.evolution;
    evolution.stop = [] { return interrupted(); };
    if (warm_start != nullptr) evolution.initial.push_back(*warm_start);
    ESPALIER_TRY(search::EvolutionResult result, search::solve_evolution(problem, evolution));
    solution = std::move(result.best);
    figures.seconds = result.seconds;
    figures.evaluations = result.evaluations;
  }
  if (interrupted()) return Error{ErrorKind::kInterrupted, "search: interrupted"};
  ESPALIER_CHECK_OK(search::validate(problem, solution));
  return solution;
}

}  // namespace

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
  problem.constraints.push_back(
      {.name = "analytic memory",
       .limit = budget.count * 8,
       .cost = additive(cost::analytic_terms(graph, profile.ratios)),
       .unit = "bits",
       .format = [](std::int64_t bits) { return format_bytes(Bytes{(bits + 7) / 8}); }});
  if (options.max_step_macs) {
    problem.constraints.push_back({.name = "MACs per training step",
                                   .limit = *options.max_step_macs,
                                   .cost = additive(cost::mac_terms(graph, profile.ratios)),
                                   .unit = "MACs",
                                   .format = nullptr});
  }
  return problem;
}

plan::UpdatePlan make_plan(const ir::Graph& graph, const contribution::Profile& profile,
                           const search::Candidate& candidate) {
  plan::UpdatePlan plan = *plan::bias_only(graph, candidate.depth);
  for (std::size_t conv = 0; conv < candidate.choice.size(); ++conv) {
    if (candidate.choice[conv] == 0) continue;
    plan.weights.push_back(plan::make_weight_update(
        graph, static_cast<int>(conv),
        profile.ratios[static_cast<std::size_t>(candidate.choice[conv]) - 1]));
  }
  plan.tool_version = kVersion;
  return plan;
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
  const search::Problem problem = make_problem(graph, profile, budgets.front(), options);
  std::vector<std::int64_t> limits;
  for (const Bytes budget : budgets) limits.push_back(budget.count * 8);
  std::vector<Selected> figures;  // of each solver run, in the order of the front
  const auto solver = [&](const search::Problem& at, const search::Candidate* warm_start) {
    figures.emplace_back();
    return solve(at, options, warm_start, figures.back());
  };
  ESPALIER_TRY(const search::ParetoFront front, search::pareto_front(problem, 0, limits, solver));
  std::vector<Selected> result;
  for (std::size_t i = 0; i < front.points.size(); ++i) {
    const search::ParetoPoint& point = front.points[i];
    Selected selected = describe(graph, profile, Bytes{point.limit / 8}, point.solution, options);
    selected.seconds = figures[i].seconds;
    selected.evaluations = figures[i].evaluations;
    search::Problem proven = problem;
    proven.constraints[0].limit = point.limit;
    if (const auto exact = search::solve_exact(proven); exact.ok()) {
      selected.optimum = exact->best.objective;
      selected.optimum_seconds = exact->seconds;
    }
    result.push_back(std::move(selected));
  }
  return result;
}

}  // namespace espalier::selection
