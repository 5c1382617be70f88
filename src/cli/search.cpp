// espalier search contributions.json: the best plan under a memory budget.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "command.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/plan/plan_json.hpp"
#include "espalier/selection/selection.hpp"
#include "espalier/version.hpp"

namespace espalier::cli {
namespace {

struct Options {
  CommonOptions common;
  std::string profile;
  std::string model;
  std::string budget;
  std::vector<std::string> budgets;
  std::string out;
  std::string solver = "evolution";
  std::string metric = "loss";
  std::string memory = "analytic";
  HeadOptions head;
  std::int64_t max_macs = 0;
};

Json to_json(const selection::Selected& s) {
  Json json{{"budget_bytes", s.budget.count},
            {"objective", s.objective},
            {"optimum", s.optimum ? Json(*s.optimum) : Json(nullptr)},
            {"bound", s.bound ? Json(*s.bound) : Json(nullptr)},
            {"gap", s.optimum ? Json(*s.optimum - s.objective) : Json(nullptr)},
            {"memory_bytes", s.memory.count},
            {"analytic_bytes", s.analytic.count},
            {"planned_bytes", s.planned ? Json(s.planned->count) : Json(nullptr)},
            {"step_macs", s.step_macs},
            {"evaluations", s.evaluations},
            {"seconds", s.seconds},
            {"optimum_seconds", s.optimum_seconds}};
  return json;
}

std::string line(const selection::Selected& s) {
  return fmt::format("{:>11}  {:>11}  {:>11}  {:>9.4f}  {}  {:>5}  {:>7}  {:>8.2f} M  {:>7.3f} s\n",
                     format_bytes(s.budget), format_bytes(s.analytic),
                     s.planned ? format_bytes(*s.planned) : "none", s.objective,
                     s.optimum ? fmt::format("{:>9.4f}", *s.optimum)
                     : s.bound ? fmt::format("<={:>7.4f}", *s.bound)
                               : "  unproven",
                     s.plan.bias_depth, s.plan.weights.size(),
                     static_cast<double>(s.step_macs) / 1e6, s.seconds);
}

Status run(const Options& options) {
  if (options.budget.empty() == options.budgets.empty()) {
    return Error{ErrorKind::kUsage, "give either --budget or --budgets"};
  }
  std::vector<Bytes> budgets;
  for (const std::string& text :
       options.budgets.empty() ? std::vector{options.budget} : options.budgets) {
    ESPALIER_TRY(const Bytes budget,
                 parse_size(text, options.budgets.empty() ? "--budget" : "--budgets"));
    budgets.push_back(budget);
  }
  ESPALIER_TRY(ir::Graph graph, import_model(options.model));
  ESPALIER_TRY(const Json document, read_json(options.profile, contribution::kProfileSchema));
  ESPALIER_TRY(const contribution::Profile profile,
               contribution::profile_from_json(document, graph, options.profile));
  ESPALIER_TRY(graph.head, options.head.make(graph, options.common.seed, options.profile,
                                             contribution::class_count(profile)));
  selection::SelectionOptions selection;
  selection.metric =
      options.metric == "loss" ? selection::Metric::kLoss : selection::Metric::kAccuracy;
  selection.solver =
      options.solver == "exact" ? selection::SolverKind::kExact : selection::SolverKind::kEvolution;
  selection.memory = options.memory == "planned" ? selection::MemoryModel::kPlanned
                                                 : selection::MemoryModel::kAnalytic;
  if (options.max_macs > 0) selection.max_step_macs = options.max_macs;
  selection.evolution.seed = options.common.seed;
  selection.evolution.jobs = options.common.job_count();
  ESPALIER_TRY(const std::vector<selection::Selected> front,
               selection::select_front(graph, profile, budgets, selection));

  for (const Bytes budget : budgets) {
    if (std::none_of(front.begin(), front.end(),
                     [&](const selection::Selected& s) { return s.budget == budget; })) {
      spdlog::warn("budget {}: not even the head fits; left out", format_bytes(budget));
    }
  }

  std::string table = fmt::format(
      "{} bounds {} memory; planned: SRAM for {} classes, all but the stack\n"
      "{:>11}  {:>11}  {:>11}  {:>9}  {:>9}  {:>5}  {:>7}  {:>10}  {:>9}\n",
      options.budgets.empty() ? "--budget" : "--budgets", options.memory, graph.head.classes,
      "budget", "analytic", "planned", "objective", "optimum", "depth", "weights", "step MACs",
      "time");
  for (const selection::Selected& selected : front) table += line(selected);
  if (options.out != "-") print(options.common, table);
  const selection::Selected& best = front.back();
  Outputs outputs;
  if (!options.out.empty()) outputs.add(options.out, plan::save_plan(options.out, best.plan));
  Json report{{"schema", "espalier.search/1"},
              {"tool_version", kVersion},
              {"model", {{"name", graph.name}, {"sha256", graph.sha256}}},
              {"solver", options.solver},
              {"metric", options.metric},
              {"memory", options.memory},
              {"classes", graph.head.classes},
              {"max_step_macs", options.max_macs > 0 ? Json(options.max_macs) : Json(nullptr)},
              {"seed", options.common.seed}};
  report.update(to_json(best));
  if (!options.budgets.empty()) {
    Json points = Json::array();
    for (const selection::Selected& selected : front) {
      Json point = to_json(selected);
      point["plan"] = plan::to_json(selected.plan);
      points.push_back(std::move(point));
    }
    report["front"] = std::move(points);
  }
  write_report(outputs, options.common, report);
  const std::string plan = options.out.empty() || options.out == "-" ? "PLAN" : options.out;
  outputs.next(
      (options.out.empty() ? "again with --out to keep the plan, then " : "") +
      fmt::format("espalier train {} --plan {} --train DATA --test DATA", options.model, plan));
  return outputs.status();
}

}  // namespace

Command add_search(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  CommandApp* command = add_command(app, "search", "Find the best plan under a budget", o->common,
                                    "espalier.search/1");
  command->add_input("profile", o->profile, "Contribution profile (espalier.contributions/1)")
      ->required();
  command->add_input("--model", o->model, "The model the profile was measured on")->required();
  command->add_option("--budget", o->budget,
                      "Memory for training, such as 100KiB; required unless --budgets");
  command->add_option("--budgets", o->budgets, "Several budgets: a Pareto front in one call")
      ->delimiter(',');
  command->add_output(
      "--out", o->out, [] { return json_format(plan::kPlanSchema); },
      "Where the plan goes, or -; of several, the largest budget's");
  command->add_option("--solver", o->solver, "evolution, or exact (proven optimum)")
      ->check(one_of({"evolution", "exact"}))
      ->capture_default_str();
  command->add_option("--metric", o->metric, "Gains to add up: accuracy, or loss (less noisy)")
      ->check(one_of({"accuracy", "loss"}))
      ->capture_default_str();
  command
      ->add_option("--memory", o->memory,
                   "What the budget bounds: analytic (extra memory), or planned (all SRAM of the "
                   "compiled program but the stack)")
      ->check(one_of({"analytic", "planned"}))
      ->capture_default_str();
  o->head.add_classes(command);
  command->add_option("--max-macs", o->max_macs, "Bound on MACs of one training step; 0 = none")
      ->check(at_least_0());
  command->effective_if(
      "--seed", [o] { return o->solver != "exact"; }, "the exact solver draws nothing at random");
  command->footer(
      "Example:\n  espalier search contributions.json --model model.onnx --budget 100KiB --out "
      "plan.json\nBefore: espalier analyze. Next: espalier plan show, espalier train");
  return {command, [o] { return run(*o); }, std::shared_ptr<CommonOptions>(o, &o->common)};
}

}  // namespace espalier::cli
