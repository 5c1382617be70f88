// espalier search contributions.json: the best plan under a memory budget.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>

#include "command.hpp"
#include "espalier/codegen/cycle_model.hpp"
#include "espalier/cost/device_profile.hpp"
#include "espalier/data/classes.hpp"
#include "espalier/device/fit.hpp"
#include "espalier/plan/plan_json.hpp"
#include "espalier/selection/selection.hpp"
#include "espalier/study/believed_gains.hpp"
#include "espalier/study/plan_search.hpp"
#include "espalier/trials/sets.hpp"
#include "espalier/trials/store.hpp"
#include "espalier/trials/trial.hpp"
#include "espalier/version.hpp"

namespace espalier::cli {
namespace {

// --measure and what only it takes.
struct MeasureOptions {
  std::string effort;  // trainings, or a time
  std::string training;
  std::string validation;
  std::optional<std::int64_t> limit_train;
  std::optional<std::int64_t> limit_val;
  int seeds = 4;
  int race_seeds = 5;
  int race_folds = 1;
  std::vector<std::string> rates;  // numbers, or auto alone
  std::string rates_of = "winner";
  std::optional<int> race_epochs;
  std::vector<std::string> known;
  std::string store;
  std::string cache_limit = "2GiB";
  std::string preprocess = "auto";
  std::string subset = "balanced";
  train::Recipe recipe;

  [[nodiscard]] bool given() const { return !effort.empty(); }
};

struct Options {
  CommonOptions common;
  std::string profile;
  std::string model;
  std::string budget;
  std::vector<std::string> budgets;
  std::string out;
  std::string solver = "auto";
  std::string metric = "loss";
  std::string gains;  // empty: measured with --measure, whose model shrinks them; believed without
  std::string memory = "analytic";
  std::string numerics;  // empty: the profile's
  int gradient_bits = 8;
  bool rotate = false;
  std::string input = "resident";
  int accumulate = 1;
  std::string device;
  std::string stack = "4KiB";
  std::string reserve = "8KiB";
  HeadOptions head;
  std::int64_t max_macs = 0;
  std::int64_t max_cycles = 0;
  std::string target;  // of max_cycles; empty: the device's
  MeasureOptions measure;
  CommandApp* command = nullptr;
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
            {"step_cycles", s.step_cycles ? Json(*s.step_cycles) : Json(nullptr)},
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

Result<std::vector<Bytes>> budgets_of(const Options& options) {
  const int given = (options.budget.empty() ? 0 : 1) + (options.budgets.empty() ? 0 : 1) +
                    (options.device.empty() ? 0 : 1);
  if (given != 1) {
    return Error{ErrorKind::kUsage, "give one of --budget, --budgets and --device"};
  }
  std::vector<Bytes> budgets;
  if (!options.device.empty()) {
    ESPALIER_TRY(const cost::DeviceProfile device, cost::find_device(options.device));
    ESPALIER_TRY(const Bytes stack, parse_size(options.stack, "--stack"));
    ESPALIER_TRY(const Bytes reserve, parse_size(options.reserve, "--reserve"));
    ESPALIER_TRY(const Bytes left, device::left_for_training(device, stack, reserve));
    return std::vector{left};
  }
  for (const std::string& text :
       options.budgets.empty() ? std::vector{options.budget} : options.budgets) {
    ESPALIER_TRY(const Bytes budget,
                 parse_size(text, options.budgets.empty() ? "--budget" : "--budgets"));
    budgets.push_back(budget);
  }
  return budgets;
}

// Cycles on what --target says, otherwise on the device's target.
Result<codegen::CycleModel> cycle_model(const Options& options) {
  std::string target = options.target;
  if (target.empty() && !options.device.empty()) {
    ESPALIER_TRY(const cost::DeviceProfile device, cost::find_device(options.device));
    target = device.target;
  }
  if (target.empty()) {
    return Error{ErrorKind::kUsage, "--max-cycles: of which core? name it with --target"};
  }
  Result<codegen::CycleModel> model = codegen::find_cycle_model(target);
  if (!model.ok()) return Error{ErrorKind::kUsage, "--max-cycles: " + model.error().message()};
  return model;
}

Result<selection::SelectionOptions> selection_options(const Options& options,
                                                      const ir::Graph& graph,
                                                      const contribution::Profile& profile) {
  selection::SelectionOptions selection;
  selection.metric =
      options.metric == "loss" ? selection::Metric::kLoss : selection::Metric::kAccuracy;
  selection.solver = options.solver == "exact"  ? selection::SolverKind::kExact
                     : options.solver == "auto" ? selection::SolverKind::kAuto
                                                : selection::SolverKind::kEvolution;
  selection.memory = options.memory == "planned" ? selection::MemoryModel::kPlanned
                                                 : selection::MemoryModel::kAnalytic;
  selection.gradients = {
      trials::gradient_element(*trials::numerics_named(options.numerics), options.gradient_bits)};
  selection.fed = options.input == "rows";
  selection.accumulate = options.accumulate;
  // As many as --classes says, where that is not what the profile's data had.
  if (graph.head.classes != contribution::class_count(profile)) {
    selection.classes = data::class_numbers(graph.head.classes);
  }
  selection.rotate = options.rotate;
  if (options.max_macs > 0) selection.max_step_macs = options.max_macs;
  if (options.max_cycles > 0) {
    selection.max_step_cycles = options.max_cycles;
    ESPALIER_TRY(selection.cycles, cycle_model(options));
  }
  selection.evolution.seed = options.common.seed;
  selection.evolution.jobs = options.common.job_count();
  return selection;
}

// A number of trainings, or a time such as 15min.
Status parse_effort(const std::string& text, study::PlanSearchOptions& options) {
  constexpr int kMost = 1'000'000;
  int number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec == std::errc() && parsed.ptr == end && number > 0 && number <= kMost) {
    options.search.measurements = number;
    return Ok{};
  }
  if (const std::optional<double> seconds = seconds_of(text)) {
    options.search.measurements = kMost;
    options.seconds = seconds;
    return Ok{};
  }
  return Error{ErrorKind::kUsage,
               fmt::format("--measure: '{}' is neither a number of trainings nor a time such as "
                           "90s, 15min or 2h",
                           text)};
}

// The classes that an analysis kept, by number, as --classes has them; empty when it kept all.
std::string classes_kept(const contribution::Profile& profile) {
  const Json data = profile.data.value("train", Json::object());
  for (const Json& step : data.value("selections", Json::array())) {
    if (!step.is_object() || !step.contains("classes")) continue;
    std::string list;
    for (const Json& number : step["classes"])
      list += (list.empty() ? "" : ",") + json_text(number);
    return list;
  }
  return "";
}

// The samples of a measured search: of the profile's classes, preprocessed as its were.
Result<trials::RaceSets> race_sets(const Options& options, const ir::Graph& graph,
                                   const contribution::Profile& profile) {
  const MeasureOptions& measure = options.measure;
  const data::ClassNames names = contribution::class_names(profile);
  const std::string kept = classes_kept(profile);
  ESPALIER_TRY(trials::SetOptions sets,
               trials::set_options(measure.preprocess, names.empty() ? kept : "",
                                   measure.subset != "first", options.common.seed));
  // By name where they have names: a number may be the name of another.
  if (!kept.empty()) sets.names = names;
  const trials::SourceOptions sources{measure.training, measure.validation, measure.limit_train,
                                      measure.limit_val};
  ESPALIER_TRY(trials::RaceSets loaded,
               trials::load_race_sets(graph, sources, sets, measure.race_folds));
  const auto same = data::match_classes(names, options.profile,
                                        loaded.training.dataset().class_names, measure.training);
  if (!same.ok()) return same.error();
  const Json found = loaded.validation.identity_json();
  const Json wanted = profile.data.value("validation", Json::object());
  if (found.value("preprocess", "") != wanted.value("preprocess", "")) {
    return Error{ErrorKind::kUsage,
                 fmt::format("{} was measured with the preprocessing {}, {} gets {}; give "
                             "--preprocess as for that analysis",
                             options.profile, wanted.value("preprocess", "that it does not tell"),
                             measure.training, found.value("preprocess", ""))};
  }
  study::warn_of_other_samples(profile, options.profile, loaded);
  return loaded;
}

Result<std::vector<double>> parse_rates(const std::vector<std::string>& texts) {
  std::vector<double> rates;
  for (const std::string& text : texts) {
    double rate = 0;
    if (!CLI::detail::lexical_cast(text, rate)) {
      return Error{ErrorKind::kUsage,
                   fmt::format("--rates: '{}' is no number; give rates, or auto alone", text)};
    }
    rates.push_back(rate);
  }
  return rates;
}

Result<study::PlanSearchOptions> plan_search_options(const Options& options, const ir::Graph& graph,
                                                     const contribution::Profile& profile) {
  const MeasureOptions& measure = options.measure;
  study::PlanSearchOptions search;
  ESPALIER_CHECK_OK(parse_effort(measure.effort, search));
  ESPALIER_TRY(search.selection, selection_options(options, graph, profile));
  search.search.seed = options.common.seed;
  search.search.jobs = options.common.job_count();
  search.search.seeds.clear();
  for (int i = 0; i < measure.seeds; ++i) {
    search.search.seeds.push_back(static_cast<std::uint64_t>(i));
  }
  search.search.race_seeds = measure.race_seeds;
  search.automatic_rates = measure.rates == std::vector<std::string>{"auto"};
  if (!search.automatic_rates) {
    ESPALIER_TRY(search.search.rates, parse_rates(measure.rates));
  }
  search.search.rates_of_finalists = measure.rates_of == "finalists";
  search.trial.recipe = with_given_options(options.command, profile.recipe, measure.recipe);
  ESPALIER_CHECK_OK(check_recipe(search.trial.recipe, options.numerics));
  search.race_recipe = search.trial.recipe;
  if (measure.race_epochs) search.race_recipe->epochs = *measure.race_epochs;
  if (const Status sound = check_recipe(*search.race_recipe, options.numerics); !sound.ok()) {
    return Error{ErrorKind::kUsage, "--race-epochs: " + sound.error().message()};
  }
  for (const double rate : search.search.rates) {
    search.race_recipe->learning_rate = rate;
    if (const Status sound = check_recipe(*search.race_recipe, options.numerics); !sound.ok()) {
      return Error{ErrorKind::kUsage, "--rates: " + sound.error().message()};
    }
  }
  search.race_recipe->learning_rate = search.trial.recipe.learning_rate;
  search.trial.numerics = *trials::numerics_named(options.numerics);
  search.trial.stochastic = profile.stochastic;
  search.trial.gradient_bits = options.gradient_bits;
  search.run.jobs = options.common.job_count();
  ESPALIER_TRY(search.run.cache_limit, parse_size(measure.cache_limit, "--cache-limit"));
  search.run.title = fmt::format("measure plans of {}", graph.name);
  search.run.progress = options.common.progress();
  for (const std::string& file : measure.known) {
    ESPALIER_TRY(plan::UpdatePlan plan, plan::load_plan(file, graph));
    if (!plan.classes.empty() &&
        !data::match_classes(plan.classes, file, contribution::class_names(profile),
                             options.profile)
             .ok()) {
      spdlog::info("{} was made for {}; what it trains is measured on the classes of {}", file,
                   data::class_list(plan.classes), options.profile);
    }
    search.known.push_back({file, std::move(plan)});
  }
  return search;
}

// Ascending, each once; without those that not even the head fits, unless none would be left.
std::vector<Bytes> feasible(std::vector<Bytes> budgets, const ir::Graph& graph,
                            const contribution::Profile& profile,
                            const selection::SelectionOptions& options) {
  std::sort(budgets.begin(), budgets.end());
  budgets.erase(std::unique(budgets.begin(), budgets.end()), budgets.end());
  std::vector<Bytes> kept;
  for (const Bytes budget : budgets) {
    const auto problem = selection::make_problem(graph, profile, budget, options);
    if (search::check_feasible(problem).ok()) kept.push_back(budget);
  }
  return kept.empty() ? budgets : kept;
}

// A search of either kind.
struct Found {
  std::vector<selection::Selected> front;
  std::vector<study::Confidence> confidence;            // by the budgets of the front
  std::optional<study::MeasuredSearchResult> measured;  // by the budgets of the front
  std::vector<trials::RateSweep> rate_sweeps;           // of --rates auto
};

// Beside the plan.
std::string usual_store(const Options& options) {
  return options.out.empty() || options.out == "-" ? "" : options.out + ".trials";
}

Result<Found> measure_plans(const Options& options, const ir::Graph& graph,
                            const contribution::Profile& profile,
                            const std::vector<Bytes>& budgets) {
  if (options.measure.training.empty()) {
    return Error{ErrorKind::kUsage, "--measure trains plans; give it data with --train"};
  }
  ESPALIER_TRY(study::PlanSearchOptions search, plan_search_options(options, graph, profile));
  ESPALIER_TRY(const trials::RaceSets sets, race_sets(options, graph, profile));
  warn_of_data(sets.training, sets.validation);
  const std::string folder =
      options.measure.store.empty() ? usual_store(options) : options.measure.store;
  std::optional<trials::Store> store;
  if (!folder.empty()) {
    ESPALIER_TRY(trials::Store opened, trials::Store::open(folder));
    store.emplace(std::move(opened));
    search.run.store = &*store;
  }
  if (options.rotate && search.race_recipe->epochs - search.race_recipe->head_epochs == 1) {
    spdlog::warn("--rotate: a turn is an epoch, and the race trains one{}; add --race-epochs",
                 search.race_recipe->head_epochs > 0 ? " behind those of the head" : "");
  }
  const int batch = search.trial.recipe.batch;
  if (options.memory == "planned" && trials::on_device(search.trial.numerics) &&
      batch != options.accumulate) {
    spdlog::warn(
        "plans are trained with {} samples an update, and planned for a program with {}; give "
        "--accumulate and --batch the same number",
        batch, options.accumulate);
  }
  const trials::RaceFold& fold = sets.race.front();
  spdlog::info("plans are trained on {} samples and judged on {}, then race on {}",
               sets.training.size(), sets.validation.size(),
               fold.training ? fmt::format("{} folds of {}, trained on {}", sets.race.size(),
                                           fold.judges.size(), fold.training->size())
                             : fmt::format("{} others", fold.judges.size()));
  if (search.trial.recipe.head_epochs == 0) {
    spdlog::info(
        "trainings of a search say more of a plan the nearer their recipe is to the one that it is "
        "for (--epochs, --limit-train, --race-epochs), and where the head is trained alone first "
        "(--head-epochs 1)");
  }
  const train::Network network(graph);
  ESPALIER_TRY(
      study::PlanSearchResult found,
      study::search_plans(network, profile, feasible(budgets, graph, profile, search.selection),
                          sets, search));
  for (std::size_t i = 0; i < found.plans.size(); ++i) {
    study::warn_of_race(found.search.plans[i], "budget " + format_bytes(found.plans[i].budget),
                        search);
  }
  return Found{std::move(found.plans), {}, std::move(found.search), std::move(found.rate_sweeps)};
}

Result<Found> find(const Options& options, const ir::Graph& graph,
                   const contribution::Profile& measured, const std::vector<Bytes>& budgets) {
  ESPALIER_TRY(const selection::SelectionOptions selection,
               selection_options(options, graph, measured));
  const study::BelievedGains believed(graph, measured, selection.metric);
  const contribution::Profile profile = options.gains == "believed" ? believed.profile() : measured;
  Found found;
  if (options.measure.given()) {
    ESPALIER_TRY(found, measure_plans(options, graph, profile, budgets));
  } else {
    ESPALIER_TRY(found.front, selection::select_front(graph, profile, budgets, selection));
  }
  for (const selection::Selected& selected : found.front) {
    found.confidence.push_back(
        believed.confidence(*study::candidate_of(graph, profile, selected.plan)));
  }
  return found;
}

std::string table(const Options& options, const Found& found, int classes) {
  std::string text = fmt::format(
      "{} bounds {} memory; planned: SRAM for {} classes{}, all but the stack; objective: {}\n"
      "{:>11}  {:>11}  {:>11}  {:>9}  {:>9}  {:>5}  {:>7}  {:>10}  {:>9}\n",
      options.budgets.empty() ? "--budget" : "--budgets", options.memory, classes,
      options.numerics == "integer" ? " with integer gradients" : "",
      options.metric == "loss" ? "validation loss removed, nats"
                               : "validation accuracy gained, of 1",
      "budget", "analytic", "planned", "objective", "optimum", "depth", "weights", "step MACs",
      "time");
  for (const selection::Selected& selected : found.front) text += line(selected);
  for (const selection::Selected& selected : found.front) {
    if (!selected.step_cycles) continue;
    text +=
        fmt::format("{:>11}: {:.2f} M cycles a step of {:.2f} M\n", format_bytes(selected.budget),
                    static_cast<double>(*selected.step_cycles) / 1e6,
                    static_cast<double>(options.max_cycles) / 1e6);
  }
  return text;
}

// How sure it is that a plan is worth searching for.
std::string confidence_text(const Found& found) {
  std::string text =
      "\nprobability that the plan gains more than what needs no search and no more analytic "
      "memory\n";
  text += fmt::format("{:>11}  {:>14}  {:>22}  {:>22}\n", "budget", "the head alone",
                      "biases alone", "last layers, whole");
  const auto odds = [](const std::optional<study::Odds>& o) {
    return o ? fmt::format("{:.3f} ({:>2})", o->probability, o->depth)
             : std::string("none known fits");
  };
  for (std::size_t i = 0; i < found.front.size(); ++i) {
    const study::Confidence& c = found.confidence[i];
    text += fmt::format("{:>11}  {:>14.3f}  {:>22}  {:>22}\n", format_bytes(found.front[i].budget),
                        c.over_head, odds(c.over_biases), odds(c.over_last_layers));
  }
  return text;
}

// What the chosen plans gained at each learning rate.
std::string rates_text(const Found& found) {
  std::string text = fmt::format(
      "accuracy gained, of 1, by learning rate; the plan carries that with a star\n{:>11}",
      "budget");
  std::vector<double> rates;
  for (const study::RateTried& tried : found.measured->plans.front().rates) {
    rates.push_back(tried.rate);
  }
  std::sort(rates.begin(), rates.end());
  for (const double rate : rates) text += fmt::format("  {:>18g}", rate);
  text += '\n';
  for (std::size_t i = 0; i < found.front.size(); ++i) {
    const study::MeasuredPlan& plan = found.measured->plans[i];
    text += fmt::format("{:>11}", format_bytes(found.front[i].budget));
    for (const double rate : rates) {
      const auto tried = std::find_if(plan.rates.begin(), plan.rates.end(),
                                      [&](const study::RateTried& r) { return r.rate == rate; });
      text +=
          fmt::format("  {:>18}", tried->diverged ? "diverged"
                                                  : fmt::format("{:.4f} +- {:.4f}{}", tried->mean(),
                                                                tried->standard_error(),
                                                                plan.rate == rate ? "*" : " "));
    }
    text += '\n';
  }
  return text;
}

std::string measured_text(const Options& options, const Found& found) {
  const study::MeasuredSearchResult& measured = *found.measured;
  const auto figures = [&](const study::Agreement& agreement) {
    const auto number = [](std::optional<double> value) {
      return value ? fmt::format("{:+.2f}", *value) : std::string("-");
    };
    const std::string within =
        found.front.size() > 1 ? fmt::format(", within budgets {}", number(agreement.rank_within))
                               : std::string();
    return fmt::format("rank correlation {}{}, R2 {}", number(agreement.rank), within,
                       number(agreement.r2));
  };
  std::string text = fmt::format(
      "\n{} trainings, {} of them diverged\nhow measured plans are predicted\n"
      "  by adding up single gains          {}\n"
      "  by the model, from the other plans {}\n"
      "accuracy gained in the race, of 1, and the probability that the plan is better\n"
      "{:>11}  {:>17}  {:>17}  {:>19}  {:>19}\n",
      measured.measurements, measured.diverged, figures(measured.before), figures(measured.after),
      "budget", "chosen plan", "additive optimum", "than the runner-up", "than the optimum");
  for (std::size_t i = 0; i < found.front.size(); ++i) {
    const study::MeasuredPlan& plan = measured.plans[i];
    const auto gain = [](bool lost, double mean, double error) {
      return lost ? "lost" : fmt::format("{:.4f} +- {:.4f}", mean, error);
    };
    const auto better = [&](double probability) {
      return plan.lost() ? "-" : fmt::format("{:.3f}", probability);
    };
    const auto additive = std::find_if(
        plan.finalists.begin(), plan.finalists.end(),
        [&](const study::Finalist& f) { return f.candidate == plan.additive.candidate; });
    const bool same = plan.solution.candidate == plan.additive.candidate;
    const bool additive_lost = same ? plan.lost() : additive->lost();
    text +=
        fmt::format("{:>11}  {:>17}  {:>17}  {:>19}  {:>19}\n", format_bytes(found.front[i].budget),
                    gain(plan.lost(), plan.solution.objective, plan.standard_error),
                    gain(additive_lost, additive->mean(), additive->standard_error()),
                    plan.finalists.size() > 1 ? better(plan.over_runner_up) : "there is none",
                    same ? "the same plan" : better(plan.over_additive));
  }
  if (!options.measure.rates.empty()) text += rates_text(found);
  return text;
}

Json report_of(const Options& options, const ir::Graph& graph, const contribution::Profile& profile,
               const Found& found) {
  Json report{
      {"schema", "espalier.search/1"},
      {"tool_version", kVersion},
      {"model", {{"name", graph.name}, {"sha256", graph.sha256}}},
      {"solver", found.front.back().plan.solver},
      {"metric", options.metric},
      {"gains", options.gains},
      {"memory", options.memory},
      {"numerics", options.numerics},
      {"input", options.input},
      {"accumulate", options.accumulate},
      {"rotate", options.rotate},
      {"classes", graph.head.classes},
      {"class_names", found.front.back().plan.classes},
      {"max_step_macs", options.max_macs > 0 ? Json(options.max_macs) : Json(nullptr)},
      {"max_step_cycles", options.max_cycles > 0 ? Json(options.max_cycles) : Json(nullptr)},
      {"seed", options.common.seed}};
  report.update(to_json(found.front.back()));
  report["confidence"] = study::to_json(found.confidence.back());
  if (found.measured) {
    report["measured"] = study::to_json(*found.measured);
    report["race"] = study::to_json(found.measured->plans.back(), profile);
    for (const trials::RateSweep& sweep : found.rate_sweeps) {
      report["rate_sweeps"].push_back(trials::to_json(sweep));
    }
  }
  if (options.budgets.empty()) return report;
  Json points = Json::array();
  for (std::size_t i = 0; i < found.front.size(); ++i) {
    Json point = to_json(found.front[i]);
    point["confidence"] = study::to_json(found.confidence[i]);
    if (found.measured) point["race"] = study::to_json(found.measured->plans[i], profile);
    point["plan"] = plan::to_json(found.front[i].plan);
    points.push_back(std::move(point));
  }
  report["front"] = std::move(points);
  return report;
}

Status run(const Options& given) {
  Options options = given;
  ESPALIER_TRY(const std::vector<Bytes> budgets, budgets_of(options));
  ESPALIER_TRY(ir::Graph graph, read_model(options.model));
  ESPALIER_TRY(const Json document, read_json(options.profile, contribution::kProfileSchema));
  ESPALIER_TRY(const contribution::Profile profile,
               contribution::profile_from_json(document, graph, options.profile));
  if (options.gains.empty()) options.gains = options.measure.given() ? "measured" : "believed";
  if (options.numerics.empty()) options.numerics = trials::numerics_name(profile.numerics);
  ESPALIER_TRY(graph.head, options.head.make(graph, options.common.seed, options.profile,
                                             contribution::class_count(profile)));
  ESPALIER_TRY(const Found found, find(options, graph, profile, budgets));
  for (const Bytes budget : budgets) {
    if (std::none_of(found.front.begin(), found.front.end(),
                     [&](const selection::Selected& s) { return s.budget == budget; })) {
      spdlog::warn("budget {}: not even the head fits; left out", format_bytes(budget));
    }
  }
  if (options.out != "-") {
    print(options.common, table(options, found, graph.head.classes) + confidence_text(found) +
                              (found.measured ? measured_text(options, found) : std::string()));
  }
  Outputs outputs;
  if (!options.out.empty()) {
    outputs.add(options.out, plan::save_plan(options.out, found.front.back().plan));
  }
  write_report(outputs, options.common, report_of(options, graph, profile, found));
  const std::string plan = file_word(options.out, "PLAN");
  outputs.next((options.out.empty() ? "again with --out to keep the plan, then " : "") +
               fmt::format("espalier train {} --plan {} --train DATA --test DATA",
                           shell_word(options.model), plan));
  return outputs.status();
}

void add_measure_options(CommandApp* command, const std::shared_ptr<Options>& o) {
  MeasureOptions& m = o->measure;
  command->add_option("--measure", m.effort,
                      "Train whole plans and choose by what they reach: a number of trainings, or "
                      "a time such as 15min");
  command->add_data("--train", m.training,
                    fmt::format("Data for --measure, as for analyze: {}", kDataForms));
  command->add_data("--val", m.validation,
                    "Validation data; without it, a part of --train is set aside");
  command
      ->add_option("--limit-train", m.limit_train,
                   fmt::format("Training samples; 0 = all [up to {}]", trials::kUsualTraining))
      ->check(at_least_0());
  command
      ->add_option("--limit-val", m.limit_val,
                   fmt::format("Validation samples; 0 = all, or a third of --train without --val "
                               "[up to {}]",
                               trials::kUsualValidation))
      ->check(at_least_0());
  command->add_option("--seeds", m.seeds, "Most trainings of a plan before the final race")
      ->check(between(1, 1000))
      ->capture_default_str();
  command->add_option("--race-seeds", m.race_seeds, "Most trainings of a plan in the race")
      ->check(between(2, 1000))
      ->capture_default_str();
  command
      ->add_option("--race-folds", m.race_folds,
                   "Parts of the training data that judge in the race one after the other, while "
                   "the others train; 1 sets one part aside for it")
      ->check(between(1, 100))
      ->capture_default_str();
  command
      ->add_option(
          "--rates", m.rates,
          "Learning rates that the chosen plans race at for their own, such as "
          "0.1,0.2; the recipe's, if among them, stays unless another is likely better; auto: half "
          "of what train --lr auto chooses for the least and the largest budget, and the recipe's")
      ->delimiter(',')
      ->type_name("RATE");
  command
      ->add_option("--rates-of", m.rates_of,
                   "What races at each of --rates: the winner of the race between plans, or "
                   "all finalists, as one that bears a high rate need not win at the usual one")
      ->check(one_of({"winner", "finalists"}))
      ->capture_default_str();
  command
      ->add_option("--race-epochs", m.race_epochs,
                   "Epochs of the trainings in the races: those the plan is for [--epochs]")
      ->check(between(1, 100'000));
  command
      ->add_option("--known", m.known, "Plans to measure besides, such as published ones, by comma")
      ->delimiter(',')
      ->type_name("PLAN");
  command->reads(
      [&m] { return std::vector<std::filesystem::path>(m.known.begin(), m.known.end()); });
  command->add_store(m.store,
                     "Folder of finished trainings, taken from there and kept there [OUT.trials]",
                     [o] { return o->measure.given() ? usual_store(*o) : ""; });
  command
      ->add_option("--cache-limit", m.cache_limit,
                   "Memory for samples at frozen prefixes, inputs included")
      ->capture_default_str();
  add_preprocess_option(command, m.preprocess);
  add_subset_option(command, m.subset);
  add_recipe_options(command, m.recipe);
  recipe_is_of_file(command, "the profile's", true);
  for (const char* option :
       {"--train",      "--val",        "--limit-train", "--limit-val",  "--seeds",
        "--race-seeds", "--race-folds", "--rates",       "--rates-of",   "--race-epochs",
        "--known",      "--store",      "--cache-limit", "--preprocess", "--subset",
        "--epochs",     "--batch",      "--lr",          "--warmup",     "--head-epochs",
        "--clip",       "--schedule",   "--no-qas"}) {
    command->effective_if(
        option, [o] { return o->measure.given(); }, "add --measure");
  }
  command->effective_if(
      "--rates-of", [&m] { return !m.given() || !m.rates.empty(); }, "add --rates");
  command->effective_if(
      "--subset",
      [&m] {
        return !m.given() || m.limit_train != 0 || (!m.validation.empty() && m.limit_val != 0);
      },
      "it says how limits take samples, and there is none");
}

std::vector<std::string> cycle_targets() {
  std::vector<std::string> names;
  for (const codegen::CycleModel& model : codegen::shipped_cycle_models()) {
    names.push_back(model.target);
  }
  return names;
}

// The program whose memory is planned, and the device that it is for.
void add_program_options(CommandApp* command, const std::shared_ptr<Options>& o) {
  command
      ->add_option(
          "--numerics", o->numerics,
          "Of the program whose memory is planned, and of what --measure trains: simulation "
          "(planned with gradients in float), device or integer [that of the profile]")
      ->check(one_of({"simulation", "device", "integer"}));
  add_gradient_bits(command, o->gradient_bits);
  command->effective_if(
      "--gradient-bits", [o] { return o->numerics == "integer"; }, "add --numerics integer");
  command
      ->add_option("--input", o->input,
                   "Of the program whose memory is planned: resident, or by rows as in compile")
      ->check(one_of({"resident", "rows"}))
      ->capture_default_str();
  command
      ->add_option(
          "--accumulate", o->accumulate,
          "Of the program whose memory is planned, as in compile: samples whose gradients make one "
          "update")
      ->check(between(1, 65536))
      ->capture_default_str();
  command->add_input("--device", o->device,
                     "Device, by name or profile, whose SRAM less stack and reserve is the budget; "
                     "with --memory planned");
  command->add_option("--stack", o->stack, "SRAM set aside for the stack with --device")
      ->capture_default_str();
  command->add_option("--reserve", o->reserve, "SRAM set aside for the firmware with --device")
      ->capture_default_str();
  for (const char* name : {"--input", "--accumulate", "--device"}) {
    command->effective_if(
        name, [o] { return o->memory == "planned"; }, "add --memory planned");
  }
  for (const char* name : {"--stack", "--reserve"}) {
    command->effective_if(
        name, [o] { return !o->device.empty(); }, "add --device");
  }
}

}  // namespace

Command add_search(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  CommandApp* command = add_command(app, "search", "Find the best plan under a budget", o->common,
                                    "espalier.search/1");
  o->command = command;
  command->add_input("profile", o->profile, "Contribution profile (espalier.contributions/1)")
      ->required();
  command->add_input("--model", o->model, "The model the profile was measured on")->required();
  command->add_option("--budget", o->budget,
                      "Memory for training, such as 100KiB; required unless --budgets or --device");
  command->add_option("--budgets", o->budgets, "Several budgets: a Pareto front in one call")
      ->delimiter(',');
  command->add_output(
      "--out", o->out, [] { return json_format(plan::kPlanSchema); },
      "Where the plan goes, or -; of several, the largest budget's");
  command
      ->add_option("--solver", o->solver,
                   "exact (proven optimum), evolution, or auto: exact where costs are additive, "
                   "otherwise evolution")
      ->check(one_of({"evolution", "exact", "auto"}))
      ->capture_default_str();
  command->add_option("--metric", o->metric, "Gains to add up: accuracy, or loss (less noisy)")
      ->check(one_of({"accuracy", "loss"}))
      ->capture_default_str();
  command
      ->add_option("--gains", o->gains,
                   "measured, or believed: shrunk by their noise, smooth over depths and ratios "
                   "[believed; measured with --measure, which has a model of its own]")
      ->check(one_of({"measured", "believed"}));
  command
      ->add_option("--memory", o->memory,
                   "What the budget bounds: analytic (extra memory), or planned (all SRAM of the "
                   "compiled program but the stack)")
      ->check(one_of({"analytic", "planned"}))
      ->capture_default_str();
  add_program_options(command, o);
  o->head.add_classes(command);
  command->add_option("--max-macs", o->max_macs, "Bound on MACs of one training step; 0 = none")
      ->check(at_least_0());
  command
      ->add_option(
          "--max-cycles", o->max_cycles,
          "Bound on cycles of one training step on the simulated core, as a model fitted to "
          "its measured layers tells them; 0 = none")
      ->check(at_least_0());
  command
      ->add_option("--target", o->target,
                   "Whose kernels --max-cycles counts, as in compile [that of --device]")
      ->check(one_of(cycle_targets()));
  command->effective_if(
      "--target", [o] { return o->max_cycles > 0; }, "add --max-cycles");
  command->add_flag("--rotate", o->rotate,
                    "Let the channels of partly trained convs take turns, a set an epoch");
  add_measure_options(command, o);
  command->effective_if(
      "--solver", [o] { return !o->measure.given(); }, "--measure has its own solvers");
  command->effective_if(
      "--seed", [o] { return o->solver != "exact" || o->measure.given(); },
      "the exact solver draws nothing at random");
  command->footer(
      "Example:\n"
      "  espalier search contributions.json --model model.onnx --budget 100KiB --out plan.json\n"
      "  espalier search contributions.json --model model.onnx --budget 100KiB --out plan.json \\\n"
      "    --measure 240 --train cifar10:train.bin\n"
      "  espalier search contributions.json --model model.onnx --memory planned --device stm32f411 "
      "\\\n"
      "    --numerics integer --input rows --measure 40 --train cifar10:train.bin --out plan.json\n"
      "Before: espalier analyze. Next: espalier plan show, espalier train");
  return {command, [o] { return run(*o); }, std::shared_ptr<CommonOptions>(o, &o->common)};
}

}  // namespace espalier::cli
