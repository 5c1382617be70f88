#include "espalier/study/plan_search.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <map>
#include <utility>

#include "espalier/support/progress.hpp"
#include "espalier/train/result_sanity.hpp"

namespace espalier::study {
namespace {

using contribution::Profile;

// Races are judged by accuracy: what trains more, or faster, or longer gets surer of itself, which
// the loss holds against it and accuracy does not.
selection::Metric metric_of(Stage stage, selection::Metric metric) {
  return stage == Stage::kSearch ? metric : selection::Metric::kAccuracy;
}

const train::Recipe& race_recipe(const PlanSearchOptions& options) {
  return options.race_recipe ? *options.race_recipe : options.trial.recipe;
}

// At most, with those of the races.
int planned_trainings(const PlanSearchOptions& options, std::size_t budgets) {
  return options.search.measurements + race_trainings(options.search, budgets);
}

// Trains what a measured search asks for, and remembers training the head alone.
class Measurements {
 public:
  Measurements(const train::Network& network, const trials::RaceSets& sets, const Profile& profile,
               const PlanSearchOptions& options, std::size_t budgets)
      : network_(network), sets_(sets), profile_(profile), options_(options), run_(options.run) {
    if (!options.seconds) {
      run_.trials_planned = static_cast<std::size_t>(planned_trainings(options, budgets));
    }
    // One line for the whole search stands for those of its parts.
    run_.progress.enabled = false;
    run_.announce = false;
  }

  Result<std::vector<std::optional<double>>> operator()(const std::vector<Request>& requests) {
    std::vector<std::optional<double>> gains(requests.size());
    // By what they learn from and are judged by.
    std::map<std::pair<Stage, std::uint64_t>, std::vector<std::size_t>> asked;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const Stage stage = requests[i].stage;
      const std::uint64_t turn =
          stage == Stage::kSearch ? 0 : requests[i].seed - options_.search.first_race_seed;
      asked[{stage, turn}].push_back(i);
    }
    for (const auto& [of, indices] : asked) {
      ESPALIER_CHECK_OK(measure(requests, indices, of.first, of.second, gains));
    }
    return gains;
  }

 private:
  Status measure(const std::vector<Request>& requests, const std::vector<std::size_t>& asked,
                 Stage stage, std::uint64_t turn, std::vector<std::optional<double>>& gains) {
    std::vector<trials::Trial> trials;
    std::vector<std::uint64_t> heads;  // seeds whose head is not known yet
    for (const std::size_t i : asked) {
      const std::uint64_t seed = requests[i].seed;
      trials.push_back(trial(selection::make_plan(network_.graph(), profile_, requests[i].candidate,
                                                  options_.selection.rotate),
                             seed, stage));
      if (stage == Stage::kRates) trials.back().recipe.learning_rate = requests[i].rate;
      if (head_.count({seed, stage}) == 0 &&
          std::find(heads.begin(), heads.end(), seed) == heads.end()) {
        heads.push_back(seed);
      }
    }
    for (const std::uint64_t seed : heads) {
      trials.push_back(trial(plan::head_only(network_.graph()), seed, stage));
    }
    const bool race = stage != Stage::kSearch;
    ESPALIER_TRY(
        const auto results,
        trials::run_trials(network_, race ? sets_.race_training(turn) : sets_.training,
                           race ? sets_.fold(turn).judges : sets_.validation, trials, run_));
    run_.trials_before += trials.size();
    for (std::size_t k = 0; k < heads.size(); ++k) {
      const train::TrainResult& result = *results[asked.size() + k];
      if (result.diverged) {
        return Error{
            ErrorKind::kUsage,
            fmt::format("training the head alone diverged with seed {}; lower --lr", heads[k])};
      }
      head_[{heads[k], stage}] = result.test;
    }
    for (std::size_t k = 0; k < asked.size(); ++k) {
      const train::TrainResult& result = *results[k];
      if (result.diverged) continue;
      const train::Evaluation& head = head_[{requests[asked[k]].seed, stage}];
      if (train::collapsed(result.test, head)) continue;
      gains[asked[k]] = metric_of(stage, options_.selection.metric) == selection::Metric::kLoss
                            ? head.loss - result.test.loss
                            : result.test.accuracy - head.accuracy;
    }
    return Ok{};
  }

  [[nodiscard]] trials::Trial trial(plan::UpdatePlan plan, std::uint64_t seed, Stage stage) const {
    trials::Trial trial = options_.trial;
    if (stage != Stage::kSearch) trial.recipe = race_recipe(options_);
    trial.plan = std::move(plan);
    trial.recipe.seed = seed;
    return trial;
  }

  const train::Network& network_;
  const trials::RaceSets& sets_;
  const Profile& profile_;
  const PlanSearchOptions& options_;
  trials::RunOptions run_;
  std::map<std::pair<std::uint64_t, Stage>, train::Evaluation> head_;  // by seed
};

// How far a search is, in trainings or, where its time is limited, in seconds.
class Watch {
 public:
  Watch(const PlanSearchOptions& options, std::size_t budgets)
      : options_(options),
        budgets_(budgets),
        start_(std::chrono::steady_clock::now()),
        line_(options.run.progress, options.run.title,
              options.seconds.value_or(planned_trainings(options, budgets))) {}

  void advance(int done, int planned) {
    done_ = done;
    const double now = options_.seconds ? elapsed() : done;
    line_.advance(now - shown_);
    shown_ = now;
    log(planned);
  }

  [[nodiscard]] bool race_is_due() const {
    if (done_ == 0) return false;
    // At most as much work as so many trainings before it.
    const double race = race_trainings(options_.search, budgets_, done_) *
                        static_cast<double>(race_recipe(options_).epochs) /
                        options_.trial.recipe.epochs;
    return elapsed() * (1 + race / done_) >= *options_.seconds;
  }

 private:
  // Where no line is shown.
  void log(int planned) {
    const auto now = std::chrono::steady_clock::now();
    if (options_.run.progress.enabled || now - logged_ < kBetweenLogLines) return;
    logged_ = now;
    if (options_.seconds) {
      spdlog::info("{}: {} trainings, about {:.0f} s left", options_.run.title, done_,
                   std::max(*options_.seconds - elapsed(), 0.0));
      return;
    }
    const double left = elapsed() * (planned - done_) / std::max(done_, 1);
    spdlog::info("{}: {} of at most {} trainings, at most about {:.0f} s left", options_.run.title,
                 done_, planned, std::max(left, 0.0));
  }

  [[nodiscard]] double elapsed() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

  const PlanSearchOptions& options_;
  std::size_t budgets_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point logged_ = start_;
  Progress line_;
  int done_ = 0;
  double shown_ = 0;
};

// What the last race says of a plan, as the plan carries it: at its rate, where that raced. Nothing
// where no training at that rate learned.
Json measured_json(const MeasuredPlan& measured) {
  if (measured.lost()) return Json();
  const bool own = measured.rate.has_value();
  const Finalist& winner = measured.finalists.front();
  return {
      {"metric", "accuracy"},
      {"gain", measured.gain()},
      {"standard_error", own ? measured.rates.front().standard_error() : measured.standard_error},
      {"trainings", (own ? measured.rates.front().gains : winner.gains).size()}};
}

// The recipe that the last race says it about.
train::Recipe recipe_of(const MeasuredPlan& measured, const PlanSearchOptions& options) {
  train::Recipe recipe = race_recipe(options);
  if (measured.rate) recipe.learning_rate = *measured.rate;
  recipe.seed = 0;  // each training has its own
  return recipe;
}

selection::Selected describe(const ir::Graph& graph, const Profile& profile, Bytes budget,
                             const search::Problem& problem, const MeasuredPlan& measured,
                             std::optional<double> bound, const PlanSearchOptions& options) {
  selection::Selected selected = selection::describe(
      graph, profile, budget, search::make_solution(problem, measured.solution.candidate),
      options.selection);
  if (search::is_additive(problem)) selected.optimum = measured.additive.objective;
  selected.bound = bound;
  selected.plan.recipe = train::to_json(recipe_of(measured, options));
  selected.plan.measured = measured_json(measured);
  selected.plan.solver = "measured";
  selected.plan.seed = options.search.seed;
  return selected;
}

// Under costs that are functions: by budget, what the search that measures nothing finds, and the
// bound on what any plan could gain.
Status unmeasured(const ir::Graph& graph, const Profile& profile, const std::vector<Bytes>& budgets,
                  const std::vector<search::Problem>& problems,
                  const selection::SelectionOptions& given, std::vector<search::Candidate>& optima,
                  std::vector<std::optional<double>>& bounds) {
  selection::SelectionOptions options = given;
  options.solver = selection::SolverKind::kEvolution;
  ESPALIER_TRY(const std::vector<selection::Selected> front,
               selection::select_front(problems.front(), graph, profile, budgets, options));
  for (std::size_t i = 0; i < budgets.size(); ++i) {
    const auto found = std::find_if(front.begin(), front.end(), [&](const selection::Selected& s) {
      return s.budget == budgets[i];
    });
    optima.push_back(*candidate_of(graph, profile, found->plan));
    bounds[i] = found->bound;
  }
  return Ok{};
}

Json to_json(const Agreement& agreement) {
  return {
      {"rank_correlation", agreement.rank ? Json(*agreement.rank) : Json(nullptr)},
      {"rank_within_budgets", agreement.rank_within ? Json(*agreement.rank_within) : Json(nullptr)},
      {"r2", agreement.r2 ? Json(*agreement.r2) : Json(nullptr)}};
}

Json to_json(const search::Candidate& candidate, const Profile& profile) {
  Json weights = Json::array();
  for (std::size_t conv = 0; conv < candidate.choice.size(); ++conv) {
    if (candidate.choice[conv] == 0) continue;
    const double ratio = profile.ratios[static_cast<std::size_t>(candidate.choice[conv]) - 1];
    weights.push_back({{"conv", conv}, {"ratio", ratio}});
  }
  return {{"bias_depth", candidate.depth}, {"weights", std::move(weights)}};
}

Json to_json(const Finalist& finalist, const Profile& profile) {
  Json json = to_json(finalist.candidate, profile);
  json["predicted"] = {{"mean", finalist.predicted.mean},
                       {"deviation", finalist.predicted.deviation}};
  if (finalist.rate) json["learning_rate"] = *finalist.rate;
  json["gains"] = finalist.gains;
  if (finalist.diverged > 0) json["diverged"] = finalist.diverged;
  json["mean"] = finalist.mean();
  json["standard_error"] = finalist.standard_error();
  return json;
}

}  // namespace

void tell_of_trained_judges(std::int64_t trained, const std::string& name,
                            const trials::RaceSets& sets) {
  if (sets.race.size() > 1) return;  // in folds every sample trains and judges
  if (const std::int64_t seen = sets.judges_among(trained); seen > 0) {
    spdlog::info(
        "of the {} samples that judge the race {} trained {} or more; with more data, or a "
        "smaller --limit-train of the analysis, it trains on none",
        sets.race.front().judges.size(), name, seen);
  }
}

void warn_of_other_samples(const Profile& profile, const std::string& name,
                           const trials::RaceSets& sets) {
  Json found = sets.validation.identity_json();
  const Json measured = profile.data.value("validation", Json::object());
  if (!measured.contains("class_names")) found.erase("class_names");  // of an older version
  if (found == measured) {
    const Json trained = profile.data.value("train", Json::object());
    if (trained.value("sha256", "") == sets.training.dataset().sha256) {
      tell_of_trained_judges(trained.value("count", std::int64_t{0}), name, sets);
    }
    return;
  }
  spdlog::warn(
      "{} was measured on other validation samples, of which the race may see some; with the data, "
      "limits and seed of its analysis it does not",
      name);
}

std::optional<search::Candidate> candidate_of(const ir::Graph& graph, const Profile& profile,
                                              const plan::UpdatePlan& plan) {
  search::Candidate candidate{plan.bias_depth, std::vector<std::uint8_t>(profile.weight.size(), 0)};
  for (const plan::WeightUpdate& update : plan.weights) {
    const auto ratio = std::find_if(profile.ratios.begin(), profile.ratios.end(), [&](double r) {
      return plan::make_weight_update(graph, update.conv, r).channels == update.channels;
    });
    if (ratio == profile.ratios.end()) return std::nullopt;
    candidate.choice[static_cast<std::size_t>(update.conv)] =
        static_cast<std::uint8_t>(ratio - profile.ratios.begin() + 1);
  }
  return candidate;
}

namespace {

// Why no candidate of the search stands for a plan; nothing where one does.
std::optional<std::string> why_no_candidate(const ir::Graph& graph, const Profile& profile,
                                            const plan::UpdatePlan& plan, bool rotate) {
  for (const plan::WeightUpdate& update : plan.weights) {
    plan::WeightUpdate usual = plan::make_weight_update(graph, update.conv, update.ratio);
    if (usual.channels != update.channels) {
      return fmt::format("the channels of conv {} are not those of the largest norm", update.conv);
    }
    plan::add_rotation(usual, graph);
    if (!update.next_channels.empty() && !rotate) {
      return "its channels take turns, and those of this search do not";
    }
    if (!update.next_channels.empty() && update.next_channels != usual.next_channels) {
      return fmt::format("the sets of channels of conv {} are not those of plan rotate",
                         update.conv);
    }
  }
  if (candidate_of(graph, profile, plan)) return std::nullopt;
  return fmt::format("its ratios are not among {}", fmt::join(profile.ratios, ", "));
}

// Why no problem may choose a candidate; nothing where one does. `bounded`: steps are, too.
std::optional<std::string> why_not_chosen(const std::vector<search::Problem>& problems,
                                          const search::Candidate& candidate, bool bounded) {
  const search::Problem& any = problems.front();  // they differ in their limits alone
  bool measured = search::is_depth_available(any, candidate.depth);
  for (int layer = 0; layer < any.layers; ++layer) {
    const int option = candidate.choice[static_cast<std::size_t>(layer)];
    measured = measured && search::is_available(any, layer, option);
  }
  if (!measured) return "the profile measured nothing of one of its parts";
  const bool fits = std::any_of(problems.begin(), problems.end(), [&](const auto& problem) {
    return search::is_feasible(problem, candidate);
  });
  if (fits) return std::nullopt;
  return bounded ? "it exceeds every budget, or the bound on a step" : "it exceeds every budget";
}

// The candidates of known plans; those that are none are told of.
std::vector<search::Candidate> known_candidates(const ir::Graph& graph, const Profile& profile,
                                                const std::vector<search::Problem>& problems,
                                                const PlanSearchOptions& options) {
  const bool rotate = options.selection.rotate;
  const bool bounded = options.selection.max_step_macs || options.selection.max_step_cycles;
  std::vector<search::Candidate> candidates;
  for (const auto& [name, plan] : options.known) {
    const auto candidate = candidate_of(graph, profile, plan);
    std::optional<std::string> why = why_no_candidate(graph, profile, plan, rotate);
    if (!why) why = why_not_chosen(problems, *candidate, bounded);
    if (why) {
      spdlog::warn("{}: {}; it is not measured", name, *why);
      continue;
    }
    candidates.push_back(*candidate);
    plan::UpdatePlan turning = plan;
    plan::add_rotation(turning, graph);
    if (rotate && turning.weights != plan.weights) {
      spdlog::info("{}: measured with channels that take turns", name);
    }
  }
  return candidates;
}

}  // namespace

std::vector<double> rates_between(double one, double other, double usual) {
  const double low = std::min(one, other) / 2;
  const double high = std::max(one, other) / 2;
  const auto steps = static_cast<int>(std::lround(2 * std::log2(high / low)));
  std::vector<double> rates{usual};
  for (int i = 0; i <= steps; ++i) {
    // To two digits: 0.14 and not 0.1414.
    rates.push_back(std::stod(fmt::format("{:.1e}", low * std::exp2(i / 2.0))));
  }
  std::sort(rates.begin(), rates.end());
  rates.erase(std::unique(rates.begin(), rates.end()), rates.end());
  return rates;
}

namespace {

// Sweeps of what adding up finds for the least and for the largest budget.
Result<std::vector<trials::RateSweep>> sweeps_of_optima(const train::Network& network,
                                                        const Profile& profile,
                                                        const std::vector<Bytes>& budgets,
                                                        const trials::RaceSets& sets,
                                                        const PlanSearchOptions& options) {
  const auto [least, largest] = std::minmax_element(budgets.begin(), budgets.end());
  std::vector<Bytes> ends{*least};
  if (*largest != *least) ends.push_back(*largest);
  ESPALIER_TRY(const std::vector<selection::Selected> front,
               selection::select_front(network.graph(), profile, ends, options.selection));
  trials::RunOptions run = options.run;
  run.title = "rates";
  std::vector<trials::RateSweep> sweeps;
  for (const selection::Selected& selected : front) {
    trials::Trial trial = options.trial;
    trial.recipe = race_recipe(options);
    trial.plan = selected.plan;
    ESPALIER_TRY(trials::RateSweep sweep, trials::sweep_rates(network, sets.training, trial, run));
    sweeps.push_back(std::move(sweep));
  }
  return sweeps;
}

}  // namespace

Result<PlanSearchResult> search_plans(const train::Network& network, const Profile& profile,
                                      const std::vector<Bytes>& budgets,
                                      const trials::RaceSets& sets,
                                      const PlanSearchOptions& options) {
  if (options.automatic_rates) {
    PlanSearchOptions with_rates = options;
    with_rates.automatic_rates = false;
    const auto start = std::chrono::steady_clock::now();
    ESPALIER_TRY(std::vector<trials::RateSweep> sweeps,
                 sweeps_of_optima(network, profile, budgets, sets, options));
    with_rates.search.rates =
        rates_between(sweeps.front().best, sweeps.back().best, race_recipe(options).learning_rate);
    spdlog::info("rates to race at: {}", fmt::join(with_rates.search.rates, ", "));
    if (options.seconds) {
      const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
      with_rates.seconds = std::max(1e-3, *options.seconds - spent.count());
    }
    ESPALIER_TRY(PlanSearchResult result,
                 search_plans(network, profile, budgets, sets, with_rates));
    result.rate_sweeps = std::move(sweeps);
    return result;
  }
  const ir::Graph& graph = network.graph();
  ESPALIER_CHECK_OK(selection::check(graph, options.selection));
  if (const auto seeds = static_cast<std::size_t>(options.search.race_seeds);
      seeds < sets.race.size()) {
    spdlog::warn(
        "a race of {} seeds is judged by no more than {} of the {} folds; give it as many "
        "seeds as folds",
        seeds, seeds, sets.race.size());
  }
  std::vector<search::Problem> problems;
  for (const Bytes budget : budgets) {
    problems.push_back(selection::make_problem(graph, profile, budget, options.selection));
    ESPALIER_CHECK_OK(search::check_feasible(problems.back()));
  }
  PlanSearchOptions whole = options;  // with the known plans, which race, too
  MeasuredSearchOptions& search = whole.search;
  if (options.selection.rotate) search.prior = Prior::kTurns;
  search.usual_rate = race_recipe(options).learning_rate;
  if (!problems.empty()) search.known = known_candidates(graph, profile, problems, options);
  std::vector<std::optional<double>> bounds(budgets.size());
  if (!problems.empty() && !search::is_additive(problems.front())) {
    ESPALIER_CHECK_OK(
        unmeasured(graph, profile, budgets, problems, options.selection, search.additive, bounds));
  }
  Measurements measure(network, sets, profile, whole, budgets.size());
  Watch watch(whole, budgets.size());
  search.progress = [&](int done, int planned) { watch.advance(done, planned); };
  if (options.seconds) search.stop = [&] { return watch.race_is_due(); };
  PlanSearchResult result;
  ESPALIER_TRY(result.search, measured_search(problems, std::ref(measure), search));
  for (std::size_t i = 0; i < budgets.size(); ++i) {
    result.plans.push_back(describe(graph, profile, budgets[i], problems[i], result.search.plans[i],
                                    bounds[i], options));
  }
  return result;
}

void warn_of_race(const MeasuredPlan& plan, const std::string& name,
                  const PlanSearchOptions& search) {
  if (!plan.rates.empty() && !plan.rate) {
    spdlog::warn("{}: at none of the rates did every training learn; the plan keeps {}", name,
                 race_recipe(search).learning_rate);
  }
  // Where finalists raced at rates, the line above has said so.
  const Finalist& winner = plan.finalists.front();
  if (!plan.rate && !winner.rate && winner.diverged > 0) {
    spdlog::warn(
        "{}: {} of {} trainings of the plan in the race diverged or learned nothing; try a lower "
        "rate, or a clip",
        name, winner.diverged, winner.gains.size());
  }
  const double gain = plan.gain();
  if (plan.lost() || gain >= 0) return;
  spdlog::warn("{}: in the race the plan did worse than the head alone ({:+.4f}); {}", name, gain,
               plan.rate ? "try other rates, the recipe's own among them"
                         : "try more epochs or another rate");
}

Json to_json(const MeasuredSearchResult& result) {
  return {{"trainings", result.measurements},
          {"diverged", result.diverged},
          {"shrinkage", result.shrinkage},
          {"deviations",
           {{"depth", result.scales.depth},
            {"option", result.scales.option},
            {"interaction", result.scales.interaction},
            {"own", result.scales.own},
            {"seed", result.scales.seed},
            {"noise", result.scales.noise}}},
          {"before", to_json(result.before)},
          {"after", to_json(result.after)}};
}

Json to_json(const MeasuredPlan& plan, const Profile& profile) {
  Json finalists = Json::array();
  for (const Finalist& f : plan.finalists) finalists.push_back(to_json(f, profile));
  Json json{{"gain", plan.solution.objective},
            {"standard_error", plan.standard_error},
            {"above_runner_up", plan.over_runner_up},
            {"above_additive", plan.over_additive},
            {"additive", to_json(plan.additive.candidate, profile)},
            {"finalists", std::move(finalists)}};
  if (plan.lost()) json["lost"] = true;
  if (plan.rates.empty()) return json;
  Json rates = Json::array();
  for (const RateTried& r : plan.rates) {
    rates.push_back({{"learning_rate", r.rate},
                     {"gains", r.gains},
                     {"mean", r.mean()},
                     {"standard_error", r.standard_error()},
                     {"diverged", r.diverged}});
  }
  json["rates"] = std::move(rates);
  json["learning_rate"] = plan.rate ? Json(*plan.rate) : Json(nullptr);
  return json;
}

}  // namespace espalier::study
