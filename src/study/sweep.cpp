#include "espalier/study/sweep.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "espalier/contribution/profile.hpp"
#include "espalier/cost/analytic_memory.hpp"
#include "espalier/cost/inspection.hpp"
#include "espalier/data/dataset.hpp"
#include "espalier/data/sanity.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/plan/plan_json.hpp"
#include "espalier/study/believed_gains.hpp"
#include "espalier/study/plan_search.hpp"
#include "espalier/support/file.hpp"
#include "espalier/support/folder.hpp"
#include "espalier/support/progress.hpp"
#include "espalier/train/result_sanity.hpp"
#include "espalier/trials/store.hpp"
#include "espalier/trials/trial_times.hpp"
#include "espalier/version.hpp"
#include "sweep_pair.hpp"

namespace espalier::study {
namespace {

namespace fs = std::filesystem;

std::vector<trials::Trial> trials_of(const std::vector<SweepEntry>& entries) {
  std::vector<trials::Trial> trials;
  for (const SweepEntry& entry : entries) trials.push_back(entry.trial);
  return trials;
}

// A file of the sweep's folder, with the folders it stands in.
Status write(const fs::path& path, const Json& document) {
  ESPALIER_CHECK_OK(make_folder(path.parent_path()));
  return write_json(path, document);
}

MeasuredSearchOptions search_options(const SweepSearch::Measure& measure) {
  MeasuredSearchOptions options;
  options.measurements = measure.trainings;
  options.finalists = measure.finalists;
  options.race_seeds = measure.race_seeds;
  options.rates = measure.rates;
  options.rates_of_finalists = measure.rates_of_finalists;
  return options;
}

// What is doubtful about a training, said with its plan and seed.
void warn(const std::string& what, const std::vector<std::string>& doubts) {
  for (const std::string& doubt : doubts) spdlog::warn("{}: {}", what, doubt);
}

Json training_json(const SweepConfig& config, const SweepEntry& entry,
                   const train::TrainResult& result, const std::vector<std::string>& doubts) {
  Json run{{"numerics", trials::numerics_name(entry.trial.numerics)},
           {"seed", entry.trial.recipe.seed},
           {"diverged", result.diverged},
           {"collapsed", !result.diverged && train::learned_nothing(result.test)},
           {"test_accuracy", result.diverged ? Json(nullptr) : Json(result.test.accuracy)},
           {"test_loss", result.diverged ? Json(nullptr) : Json(result.test.loss)}};
  const train::Confusion& confusion = result.test.confusion;
  if (!result.diverged && confusion.samples() > 0) {
    run["test_balanced_accuracy"] = confusion.balanced_accuracy();
    Json by_class = Json::array();
    for (int c = 0; c < confusion.classes; ++c) {
      const std::optional<double> accuracy = confusion.accuracy(c);
      by_class.push_back(accuracy ? Json(*accuracy) : Json(nullptr));
    }
    run["test_class_accuracy"] = std::move(by_class);
  }
  const std::string& recipe = config.training.recipes[entry.recipe].name;
  if (!recipe.empty()) run["recipe"] = recipe;
  if (!doubts.empty()) run["warnings"] = doubts;
  return run;
}

// What came of one model on one dataset. Nothing of it depends on the machine.
Json describe(const SweepConfig& config, const SweepPair& pair, const std::vector<NamedPlan>& plans,
              const std::vector<SweepEntry>& entries,
              const std::vector<std::optional<train::TrainResult>>& trained) {
  Json rows = Json::array();
  for (std::size_t p = 0; p < plans.size(); ++p) {
    const plan::UpdatePlan& plan = plans[p].plan;
    Json runs = Json::array();
    int doubtful = 0;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (entries[i].plan != p) continue;
      const train::TrainResult& result = *trained[i];
      std::vector<std::string> doubts;
      if (!result.diverged) {
        doubts = train::doubts(result.test, pair.test().dataset().class_names);
      }
      if (!doubts.empty() && ++doubtful == 1) {
        warn(fmt::format("{}, {}, seed {}", pair.label(), plans[p].name,
                         entries[i].trial.recipe.seed),
             doubts);
      }
      runs.push_back(training_json(config, entries[i], result, doubts));
    }
    if (doubtful > 1) {
      spdlog::warn("{}, {}: {} more trainings are as doubtful", pair.label(), plans[p].name,
                   doubtful - 1);
    }
    Json row = {
        {"name", plans[p].name},
        {"kind", plans[p].kind},
        {"sha256", plan::sha256_of(plan)},
        {"bias_depth", plan.bias_depth},
        {"updates", plan::updates_json(plan)},
        {"analytic_bytes", cost::analytic_memory(plan, pair.graph()).bytes().count},
        {"budget_bytes", plan.budget ? Json(plan.budget->count) : Json(nullptr)},
        {"predicted_gain", plan.predicted_gain ? Json(*plan.predicted_gain) : Json(nullptr)},
        {"gain_metric", plan.gain_metric.empty() ? Json(nullptr) : Json(plan.gain_metric)},
        {"trainings", std::move(runs)}};
    if (plans[p].planned) {
      row["memory"] = "planned";
      row["planned_bytes"] = plans[p].planned->count;
    }
    if (plans[p].own.learning_rate) row["learning_rate"] = *plans[p].own.learning_rate;
    if (plans[p].own.head_epochs) row["head_epochs"] = *plans[p].own.head_epochs;
    if (plans[p].own.warmup_epochs) row["warmup_epochs"] = *plans[p].own.warmup_epochs;
    if (plans[p].own.clip) row["clip"] = *plans[p].own.clip;
    if (!plans[p].search.is_null()) row["search"] = plans[p].search;
    rows.push_back(std::move(row));
  }
  Json result{
      {"model", {{"name", pair.model()}, {"sha256", pair.graph().sha256}}},
      {"dataset", pair.dataset()},
      {"data", {{"train", pair.training().identity_json()}, {"test", pair.test().identity_json()}}},
      {"plans", std::move(rows)}};
  const std::vector<std::string> doubts = data::set_doubts(pair.training(), pair.test());
  if (!doubts.empty()) result["warnings"] = doubts;
  return result;
}

Json recipes_json(const SweepTraining& training) {
  Json recipes = Json::array();
  for (const SweepRecipe& named : training.recipes) {
    train::Recipe recipe = named.recipe;
    recipe.seed = 0;  // each training has its own
    Json json = train::to_json(recipe);
    if (!named.name.empty()) json["name"] = named.name;
    recipes.push_back(std::move(json));
  }
  return recipes;
}

class Sweep {
 public:
  Sweep(const SweepConfig& config, const SweepOptions& options)
      : config_(config), options_(options) {}

  Status open() {
    std::vector<std::string> missing;
    for (const fs::path& input : inputs_of(config_)) {
      std::error_code error;
      if (!fs::exists(input, error)) missing.push_back(input.string() + ": does not exist");
    }
    if (!missing.empty()) return Error{ErrorKind::kMissingInput, missing};
    ESPALIER_TRY(trials::Store store, trials::Store::open(options_.out / "trials"));
    store_.emplace(std::move(store));
    for (const char* folder : {"", "profiles", "models", "plans"}) {
      remove_stale_temporaries(options_.out / folder);
    }
    return Ok{};
  }

  Result<std::vector<SweepGroup>> outline() {
    writes_ = false;
    std::vector<SweepGroup> groups;
    ESPALIER_CHECK_OK(each_pair([&](const SweepPair& pair) -> Status {
      bool profiled = true;
      const trials::SampleSets* sets = pair.analysis_sets();
      if (sets != nullptr && pair.given_profile() == nullptr) {
        groups.push_back(group("contributions of " + pair.label(), pair, pair.analysis_trials(),
                               sets->training, sets->validation));
        profiled = groups.back().stored == groups.back().trials;
      }
      ESPALIER_TRY(std::vector<NamedPlan> plans, pair.given_plans());
      const bool known = profiled && !pair.measures();
      if (known) {
        ESPALIER_TRY(const std::vector<NamedPlan> found, found_plans(pair));
        plans.insert(plans.end(), found.begin(), found.end());
      }
      const std::vector<trials::Trial> trials = trials_of(pair.entries(plans));
      groups.push_back(
          group("trainings of " + pair.label(), pair, trials, pair.training(), pair.test()));
      if (known) return Ok{};
      return estimate_found(pair, trials, groups.back());
    }));
    return groups;
  }

  Result<Json> run() {
    const bool whole = options_.shard.count == 1;
    writes_ = whole;
    ESPALIER_CHECK_OK(check_later_pairs());
    if (!whole && config_.analysis) {
      ESPALIER_CHECK_OK(each_pair([&](const SweepPair& pair) { return own_contributions(pair); }));
    }
    Json results = Json::array();
    ESPALIER_CHECK_OK(each_pair([&](const SweepPair& pair) { return run_pair(pair, results); }));
    if (!whole) return Json();
    Json document{{"schema", kSweepResultsSchema},
                  {"tool_version", kVersion},
                  {"name", config_.name},
                  {"config_sha256", config_.sha256},
                  {"recipes", recipes_json(config_.training)},
                  {"accumulate", config_.training.accumulate},
                  {"rounding", trials::rounding_name(config_.training.stochastic)},
                  {"results", std::move(results)}};
    ESPALIER_CHECK_OK(keep_other_results());  // of one that ended while this one ran
    warn_of_others();
    ESPALIER_CHECK_OK(write(options_.out / "sweep.json", document));
    return document;
  }

 private:
  // All of one pair; its results only when the sweep is whole.
  Status run_pair(const SweepPair& pair, Json& results) {
    ESPALIER_TRY(std::vector<NamedPlan> plans, pair.given_plans());
    ESPALIER_CHECK_OK(keep_other_results());
    warn(pair.label(), model_doubts(pair.network().graph()));
    warn(pair.label(), data::set_doubts(pair.training(), pair.test()));
    ESPALIER_TRY(const std::vector<NamedPlan> found, found_plans(pair));
    plans.insert(plans.end(), found.begin(), found.end());
    const std::vector<SweepEntry> entries = pair.entries(plans);
    ESPALIER_TRY(
        const auto trained,
        trials::run_trials(pair.network(), pair.training(), pair.test(), trials_of(entries),
                           run_options("train " + pair.label(), options_.shard)));
    if (!writes_) return Ok{};
    ESPALIER_CHECK_OK(write(options_.out / "models" / (pair.model() + ".json"),
                            cost::inspection(pair.graph_of_file())));
    for (const NamedPlan& named : plans) {
      const std::string name = fmt::format("{}.{}.json", pair.file_stem(), named.name);
      ESPALIER_CHECK_OK(write(options_.out / "plans" / name, plan::to_json(named.plan)));
    }
    results.push_back(describe(config_, pair, plans, entries, trained));
    return Ok{};
  }

  // What the last pair cannot do is told before the first is measured.
  Status check_later_pairs() {
    const std::size_t pairs = config_.models.size() * config_.datasets.size();
    if (pairs < 2) return Ok{};
    Progress line(options_.progress, "check models and data", static_cast<double>(pairs));
    return each_pair([&](const SweepPair& pair) -> Status {
      if (const auto plans = pair.given_plans(); !plans.ok()) return plans.error();
      line.advance(1);
      return Ok{};
    });
  }

  // One pair at a time is held in memory.
  template <typename Visit>
  Status each_pair(Visit visit) {
    for (const SweepModel& model : config_.models) {
      for (const SweepDataset& dataset : config_.datasets) {
        ESPALIER_TRY(const SweepPair pair, SweepPair::load(config_, model, dataset));
        ESPALIER_CHECK_OK(visit(pair));
      }
    }
    return Ok{};
  }

  [[nodiscard]] trials::RunOptions run_options(std::string title, trials::Shard shard) const {
    return {.jobs = options_.jobs,
            .cache_limit = options_.cache_limit,
            .store = &*store_,
            .shard = shard,
            .title = std::move(title),
            .finish_running = true,
            .progress = options_.progress};
  }

  // So that shards that run together share the work.
  Status own_contributions(const SweepPair& pair) {
    ESPALIER_CHECK_OK(keep_other_results());
    if (pair.given_profile() != nullptr) return Ok{};
    const auto done = trials::run_trials(pair.network(), pair.analysis_sets()->training,
                                         pair.analysis_sets()->validation, pair.analysis_trials(),
                                         run_options("analyze " + pair.label(), options_.shard));
    if (!done.ok()) return done.error();
    return Ok{};
  }

  // Measures what is missing; trials that others are at are waited for.
  Result<contribution::Profile> profile_of(const SweepPair& pair) {
    if (pair.given_profile() != nullptr) return pair.given_profile()->profile;
    contribution::AnalysisOptions options = pair.analysis_options();
    options.jobs = options_.jobs;
    options.cache_limit = options_.cache_limit;
    options.store = &*store_;
    options.finish_running = true;
    options.progress = options_.progress;
    ESPALIER_TRY(contribution::Profile profile,
                 contribution::analyze(pair.network(), pair.analysis_sets()->training,
                                       pair.analysis_sets()->validation, options));
    if (profile.bias.front().diverged > 0) {
      return Error{
          ErrorKind::kUsage,
          fmt::format("{}: training the head alone diverged, so there is nothing to measure "
                      "gains against; lower /analysis/recipe/learning_rate",
                      pair.label())};
    }
    return profile;
  }

  // A profile that was given keeps what its file says of it.
  static Json document_of(const SweepPair& pair, const contribution::Profile& profile) {
    if (pair.given_profile() != nullptr) return pair.given_profile()->document;
    Json document = contribution::to_json(profile);
    const std::vector<std::string> doubts = contribution::baseline_doubts(profile);
    warn(pair.label(), doubts);
    if (!doubts.empty()) document["warnings"] = doubts;
    return document;
  }

  Result<std::vector<NamedPlan>> found_plans(const SweepPair& pair) {
    std::vector<NamedPlan> plans;
    if (pair.analysis_sets() == nullptr) return plans;
    ESPALIER_TRY(const contribution::Profile profile, profile_of(pair));
    if (writes_) {
      ESPALIER_CHECK_OK(write(options_.out / "profiles" / (pair.file_stem() + ".json"),
                              document_of(pair, profile)));
    }
    for (std::size_t i = 0; i < config_.searches.size(); ++i) {
      ESPALIER_TRY(const std::vector<NamedBudget> budgets, pair.budgets(config_.searches[i]));
      const auto found = find(pair, profile, i, budgets);
      if (!found.ok()) {
        return Error{found.error().kind,
                     fmt::format("{}: {}", pair.label(), found.error().message())};
      }
      plans.insert(plans.end(), found->begin(), found->end());
    }
    return plans;
  }

  // Planned memory of a plan, where that is what its budget bounds.
  static std::optional<Bytes> bounded(const SweepSearch& search,
                                      const selection::Selected& selected) {
    if (search.memory == selection::MemoryModel::kAnalytic) return std::nullopt;
    return selected.planned;
  }

  Result<std::vector<NamedPlan>> find(const SweepPair& pair, const contribution::Profile& profile,
                                      std::size_t index, const std::vector<NamedBudget>& budgets) {
    std::vector<NamedPlan> plans;
    const SweepSearch& search = config_.searches[index];
    selection::SelectionOptions options = pair.selection_options(search);
    options.evolution.jobs = options_.jobs;
    if (search.solver == SweepSolver::kExact) options.solver = selection::SolverKind::kExact;
    if (search.solver == SweepSolver::kEvolution) {
      options.solver = selection::SolverKind::kEvolution;
    }
    if (search.solver == SweepSolver::kMeasured) {
      PlanSearchOptions measured;
      measured.selection = options;
      measured.search = search_options(search.measure);
      measured.automatic_rates = search.measure.automatic_rates;
      OwnRecipe own = search.measure.own;
      measured.race_recipe = own.applied(pair.found_with(config_.training.recipes.front().recipe));
      measured.search.jobs = options_.jobs;
      ESPALIER_TRY(measured.known, pair.known_plans(search));
      measured.trial.recipe =
          pair.found_with(search.measure.recipe.value_or(config_.analysis->recipe));
      measured.trial.numerics = config_.analysis->numerics;
      measured.trial.stochastic = config_.training.stochastic;
      measured.run = run_options("measure plans of " + pair.label(), {});
      std::vector<Bytes> bytes;
      for (const NamedBudget& budget : budgets) bytes.push_back(budget.bytes);
      ESPALIER_TRY(PlanSearchResult result,
                   search_plans(pair.network(), profile, bytes, pair.race_sets(index), measured));
      for (std::size_t b = 0; b < budgets.size(); ++b) {
        warn_of_race(result.search.plans[b], fmt::format("{}, {}", pair.label(), budgets[b].plan),
                     measured);
        own.learning_rate = result.search.plans[b].rate;
        plans.push_back({.name = budgets[b].plan,
                         .kind = "found",
                         .plan = std::move(result.plans[b].plan),
                         .own = own,
                         .search = {{"measured", to_json(result.search)},
                                    {"race", to_json(result.search.plans[b], profile)}},
                         .planned = bounded(search, result.plans[b])});
      }
      return plans;
    }
    const contribution::Profile gains =
        search.believed ? BelievedGains(pair.graph(), profile, options.metric).profile() : profile;
    for (const NamedBudget& budget : budgets) {
      ESPALIER_TRY(selection::Selected selected,
                   selection::select(pair.graph(), gains, budget.bytes, options));
      plans.push_back({.name = budget.plan,
                       .kind = "found",
                       .plan = std::move(selected.plan),
                       .planned = bounded(search, selected)});
    }
    return plans;
  }

  SweepGroup group(std::string what, const SweepPair& pair,
                   const std::vector<trials::Trial>& trials, const data::Samples& training,
                   const data::Samples& test) const {
    SweepGroup group{std::move(what), 0, 0, 0, true};
    std::optional<trials::TrialTimes> times;
    std::set<std::string> seen;
    for (const trials::Trial& trial : trials) {
      const trials::Address address =
          trials::address_of(trials::inputs_json(pair.graph(), trial, training, test));
      if (!seen.insert(address.digest).second) continue;
      ++group.trials;
      const auto found = store_->find(address);
      if (found.ok() && found->has_value()) {
        ++group.stored;
        continue;
      }
      if (!times) times.emplace(pair.network(), trial.recipe);
      group.seconds += seconds_of(trial, *times, training, test);
    }
    return group;
  }

  [[nodiscard]] double seconds_of(const trials::Trial& trial, const trials::TrialTimes& times,
                                  const data::Samples& training, const data::Samples& test) const {
    constexpr double kDeviceSlowness = 1.5;  // at large batches (tools/numerics_table.sh)
    return times.seconds(trial.plan, trial.recipe.epochs, training.size(), test.size()) *
           (trials::on_device(trial.numerics) ? kDeviceSlowness : 1) / std::max(1, options_.jobs);
  }

  [[nodiscard]] bool is_of_this_configuration(const Json& document) const {
    return document.value("config_sha256", Json()) == Json(config_.sha256);
  }
  static bool is_of_this_version(const Json& document) {
    return document.value("tool_version", Json()) == Json(kVersion);
  }

  // What the folder has of this very configuration: (model, dataset) of each result. A sweep may
  // have been of some models alone.
  [[nodiscard]] std::set<std::pair<std::string, std::string>> finished() const {
    std::set<std::pair<std::string, std::string>> pairs;
    const Result<Json> document = read_json(options_.out / "sweep.json", kSweepResultsSchema);
    if (!document.ok() || !is_of_this_configuration(*document) || !is_of_this_version(*document)) {
      return pairs;
    }
    for (const Json& result : document->value("results", Json::array())) {
      const Json model = result.is_object() ? result.value("model", Json()) : Json();
      const Json name = model.is_object() ? model.value("name", Json()) : Json();
      const Json dataset = result.is_object() ? result.value("dataset", Json()) : Json();
      if (name.is_string() && dataset.is_string()) pairs.emplace(name, dataset);
    }
    return pairs;
  }
  [[nodiscard]] bool is_finished(const SweepPair& pair) const {
    return finished().count({pair.model(), pair.dataset()}) > 0;
  }

  // Shards that begin together do the same at the same time: one of them moves a folder, and none
  // of the others takes away what that one has kept.
  [[nodiscard]] static Status keep_folder(const fs::path& folder, const std::string& identity) {
    const fs::path kept = kept_path(folder, identity);
    std::error_code error;
    std::error_code ignored;
    fs::rename(folder, kept, error);
    // The same results were kept before.
    if (error && fs::is_directory(kept, ignored)) fs::remove_all(folder, error);
    if (!error || error == std::errc::no_such_file_or_directory) return Ok{};
    return Error{ErrorKind::kCannotWrite,
                 fmt::format("{}: cannot be kept as {}: {}; choose another folder", folder.string(),
                             kept.string(), error.message())};
  }

  // Results of another configuration are not those of this one, which may not get to its end, and
  // those of another version no store brings back. What is refused before anything is trained has
  // not touched them.
  [[nodiscard]] Status keep_other_results() {
    const bool begins = !std::exchange(begun_, true);
    const fs::path path = options_.out / "sweep.json";
    const Result<std::string> before = read_file(path);
    if (!before.ok()) return Ok{};  // there is none
    const Result<Json> document = read_json(path, kSweepResultsSchema);
    const bool same = document.ok() && is_of_this_configuration(*document);
    if (same && is_of_this_version(*document)) return Ok{};
    const std::string identity = document.ok() ? json_text(*document) : *before;
    // What was derived with them goes with them, or a report would mix contributions of both; later
    // on the folders hold this run's own.
    for (const char* folder : {"models", "plans", "profiles"}) {
      if (begins) ESPALIER_CHECK_OK(keep_folder(options_.out / folder, identity));
    }
    const Result<fs::path> kept = keep_beside(path, identity);
    if (kept.ok()) {
      spdlog::warn("{} held {}; it is kept as {}", path.string(),
                   same            ? "results of another version"
                   : document.ok() ? "results of another configuration"
                                   : "what this version cannot read",
                   kept->string());
      return Ok{};
    }
    std::error_code error;
    if (!fs::exists(path, error)) return Ok{};  // another process was quicker
    return kept.error();
  }

  // Results of models that this run leaves out are not in what it writes.
  void warn_of_others() const {
    std::set<std::string> others;
    for (const auto& [model, dataset] : finished()) others.insert(model);
    for (const SweepModel& model : config_.models) others.erase(model.name);
    if (others.empty()) return;
    spdlog::warn(
        "{}: from now on without the results of {}, which were there; their trials are kept, so "
        "that a run of all models soon has all results again",
        (options_.out / "sweep.json").string(), fmt::join(others, ", "));
  }

  // Plans that are still to be found, and to be measured for that, cost about what the others do:
  // those that are still to be trained, or, where none are, the last of them, the widest.
  Status estimate_found(const SweepPair& pair, const std::vector<trials::Trial>& given,
                        SweepGroup& group) const {
    if (is_finished(pair)) return Ok{};
    const SweepTraining& training = config_.training;
    std::size_t more = 0;
    for (const SweepSearch& search : config_.searches) {
      ESPALIER_TRY(const std::vector<NamedBudget> budgets, pair.budgets(search));
      more += budgets.size() * training.seeds.size() * training.numerics.size() *
              training.recipes.size();
      if (search.solver == SweepSolver::kMeasured) {
        MeasuredSearchOptions measured = search_options(search.measure);
        if (search.measure.automatic_rates) measured.rates.resize(3);  // or a few more
        more += static_cast<std::size_t>(measured.measurements +
                                         race_trainings(measured, budgets.size()));
      }
    }
    const std::int64_t open = group.trials - group.stored;
    const auto added = static_cast<std::int64_t>(more);
    if (open > 0) {
      group.seconds *= static_cast<double>(open + added) / static_cast<double>(open);
    } else if (added > 0 && !given.empty()) {
      const trials::TrialTimes times(pair.network(), given.back().recipe);
      group.seconds = static_cast<double>(added) *
                      seconds_of(given.back(), times, pair.training(), pair.test());
    }
    group.trials += added;
    group.exact = more == 0;
    return Ok{};
  }

  const SweepConfig& config_;
  const SweepOptions& options_;
  std::optional<trials::Store> store_;
  bool writes_ = false;  // documents, beside the store
  bool begun_ = false;   // results of others were looked for
};

}  // namespace

Result<std::vector<SweepGroup>> outline_sweep(const SweepConfig& config,
                                              const SweepOptions& options) {
  Sweep sweep(config, options);
  ESPALIER_CHECK_OK(sweep.open());
  return sweep.outline();
}

Result<Json> run_sweep(const SweepConfig& config, const SweepOptions& options) {
  Sweep sweep(config, options);
  ESPALIER_CHECK_OK(sweep.open());
  return sweep.run();
}

}  // namespace espalier::study
