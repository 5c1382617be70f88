#include "sweep_pair.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "espalier/cost/analytic_memory.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/plan/published.hpp"
#include "espalier/study/plan_search.hpp"
#include "espalier/train/session.hpp"

namespace espalier::study {
namespace {

// Subsets and splits do not depend on the seeds of trainings.
constexpr std::uint64_t kDataSeed = 0;

// On the device an update is of `accumulate` samples, whatever the recipe's batch.
train::Recipe with_update(train::Recipe recipe, trials::Numerics numerics,
                          const SweepTraining& training) {
  if (trials::on_device(numerics)) recipe.batch = training.accumulate;
  return recipe;
}

}  // namespace

Result<SweepPair> SweepPair::load(const SweepConfig& config, const SweepModel& model,
                                  const SweepDataset& dataset) {
  SweepPair pair(config, model, dataset);
  ESPALIER_CHECK_OK(pair.read());
  return pair;
}

Status SweepPair::read() {
  ESPALIER_TRY(ir::Graph graph, import_model(model_->file));
  if (model_->profile) {
    ESPALIER_TRY(Json document, read_json(*model_->profile, contribution::kProfileSchema));
    ESPALIER_TRY(contribution::Profile profile,
                 contribution::profile_from_json(document, graph, model_->profile->string()));
    given_profile_ = {std::move(document), std::move(profile)};
  } else if (config_->analysis) {
    if (const Status sound = contribution::check(graph, analysis_options()); !sound.ok()) {
      return Error{sound.error().kind,
                   fmt::format("{}: /analysis: {}", label(), sound.error().message())};
    }
  }
  ESPALIER_TRY(
      const trials::SetOptions options,
      trials::set_options(dataset_->preprocess, dataset_->classes, dataset_->balanced, kDataSeed));
  if (config_->analysis) {
    trials::SourceOptions sources{dataset_->train, "", config_->analysis->limit_train,
                                  config_->analysis->limit_validation};
    // What judges contributions judges in no race: all set the same samples aside.
    sources.keep = most_training_samples();
    ESPALIER_TRY(trials::SampleSets sets, trials::load_sets(graph, sources, options));
    analysis_sets_.emplace(std::move(sets));
    for (std::size_t i = 0; i < config_->searches.size(); ++i) {
      const SweepSearch& search = config_->searches[i];
      if (search.solver != SweepSolver::kMeasured) continue;
      trials::SourceOptions measured = sources;
      if (search.measure.limit_train) measured.limit_training = search.measure.limit_train;
      ESPALIER_TRY(trials::RaceSets race,
                   trials::load_race_sets(graph, measured, options, search.measure.race_folds));
      if (!given_profile_) {
        tell_of_trained_judges(analysis_sets_->training.size(), "the analysis", race);
      } else if (race_sets_.empty()) {
        warn_of_other_samples(given_profile_->profile, model_->profile->string(), race);
      }
      race_sets_.emplace(i, std::move(race));
    }
  }
  ESPALIER_TRY(data::Dataset training,
               trials::open_selected(dataset_->train, config_->training.limit_train, options));
  ESPALIER_TRY(data::Dataset test,
               trials::open_selected(dataset_->test, config_->training.limit_test, options));
  ESPALIER_TRY(test, trials::with_classes(std::move(test), training.class_names, dataset_->train));
  ESPALIER_TRY(training_, trials::bind_samples(graph, std::move(training), options.preprocess));
  ESPALIER_TRY(test_, trials::bind_samples(graph, std::move(test), options.preprocess));
  head_of_file_ = graph.head;
  // Memory and MACs are those of a classifier for the data's classes.
  graph.head = train::fresh_head(graph.head.features, training_->classes(), 0);
  graph.head.class_names = training_->dataset().class_names;
  network_ = std::make_unique<train::Network>(std::move(graph));
  ESPALIER_CHECK_OK(check_budgets());
  return check_updates();
}

// Of all that is measured before the final trainings.
std::int64_t SweepPair::most_training_samples() const {
  std::int64_t most = config_->analysis->limit_train.value_or(0);
  for (const SweepSearch& search : config_->searches) {
    if (search.solver == SweepSolver::kMeasured) {
      most = std::max(most, search.measure.limit_train.value_or(0));
    }
  }
  return most;
}

// Memory is planned for the program that the final trainings stand for: of several numerics the
// one that takes most, which may be another for every plan, and with float gradients, a sample an
// update, where all are simulated.
selection::SelectionOptions SweepPair::selection_options(const SweepSearch& search) const {
  selection::SelectionOptions options;
  options.memory = search.memory;
  options.metric = search.metric;
  options.rotate = search.rotate;
  options.classes = training().dataset().class_names;
  const std::vector<trials::Numerics>& all = config_->training.numerics;
  if (std::none_of(all.begin(), all.end(), trials::on_device)) return options;
  options.gradients.clear();
  for (const trials::Numerics numerics : {trials::Numerics::kDevice, trials::Numerics::kInteger}) {
    if (std::find(all.begin(), all.end(), numerics) == all.end()) continue;
    options.gradients.push_back(trials::gradient_element(numerics, 8));
  }
  options.accumulate = config_->training.accumulate;
  return options;
}

ir::Graph SweepPair::graph_of_file() const {
  ir::Graph whole = graph();
  whole.head = head_of_file_;
  return whole;
}

// What no search can meet is told before contributions are measured.
Status SweepPair::check_budgets() const {
  for (const SweepSearch& search : config_->searches) {
    const auto least = selection::least_memory(graph(), selection_options(search));
    if (!least.ok()) {
      return Error{least.error().kind, fmt::format("{}: {}", label(), least.error().message())};
    }
    ESPALIER_TRY(const std::vector<NamedBudget> all, budgets(search));
    for (const NamedBudget& budget : all) {
      if (budget.bytes >= *least) continue;
      return Error{ErrorKind::kInfeasible,
                   fmt::format("{}: not even the head fits {}; it takes {}{}", label(),
                               format_bytes(budget.bytes), format_bytes(*least),
                               search.memory == selection::MemoryModel::kPlanned
                                   ? ", as the compiler plans it"
                                   : "")};
    }
  }
  return Ok{};
}

// Nor is a training without an update of the device found out behind all others. Of plans that are
// still to be found, the head alone needs the fewest.
Status SweepPair::check_updates() const {
  const std::vector<trials::Numerics>& all = config_->training.numerics;
  if (std::none_of(all.begin(), all.end(), trials::on_device)) return Ok{};
  const auto check = [&](const trials::Trial& trial, const data::Samples& samples,
                         std::string_view place) -> Status {
    const Status some = trials::check_updates(trial, samples.size());
    if (some.ok()) return Ok{};
    return Error{some.error().kind, fmt::format("{}: {}: {}: lower /training/accumulate", label(),
                                                place, some.error().message())};
  };
  for (const trials::Trial& trial : analysis_trials()) {
    ESPALIER_CHECK_OK(check(trial, analysis_sets_->training, "/analysis"));
  }
  for (const auto& [search, sets] : race_sets_) {
    trials::Trial trial;
    trial.plan = plan::head_only(graph());
    trial.recipe =
        found_with(config_->searches[search].measure.recipe.value_or(config_->analysis->recipe));
    trial.numerics = config_->analysis->numerics;
    ESPALIER_CHECK_OK(check(trial, sets.training, "/searches"));
  }
  ESPALIER_TRY(std::vector<NamedPlan> plans, given_plans());
  if (!config_->searches.empty()) plans.push_back({"found", "found", plan::head_only(graph()), {}});
  for (const SweepEntry& entry : entries(plans)) {
    ESPALIER_CHECK_OK(check(entry.trial, training(), "/training"));
  }
  return Ok{};
}

train::Recipe SweepPair::found_with(const train::Recipe& recipe) const {
  return with_update(recipe, config_->analysis->numerics, config_->training);
}

contribution::AnalysisOptions SweepPair::analysis_options() const {
  contribution::AnalysisOptions options;
  options.recipe = found_with(config_->analysis->recipe);
  options.numerics = config_->analysis->numerics;
  options.stochastic = config_->training.stochastic;
  options.ratios = config_->analysis->ratios;
  options.layers = config_->analysis->layers;
  options.seeds = config_->analysis->seeds;
  return options;
}

std::vector<trials::Trial> SweepPair::analysis_trials() const {
  std::vector<trials::Trial> trials;
  if (!config_->analysis || given_profile_) return trials;
  const contribution::AnalysisOptions options = analysis_options();
  for (const contribution::TrialSpec& spec : contribution::list_trials(graph(), options)) {
    trials.push_back(contribution::trial_of(graph(), spec, options));
  }
  return trials;
}

Result<plan::UpdatePlan> SweepPair::read(const SweepPublished& published) const {
  return plan::from_published(graph(), published.document,
                              fmt::format("published plan '{}'", published.name));
}

Result<std::vector<NamedPlan>> SweepPair::given_plans() const {
  std::vector<NamedPlan> plans;
  const auto convs = static_cast<int>(network_->convs().size());
  if (config_->head_only) plans.push_back({"head-only", "head_only", plan::head_only(graph()), {}});
  const auto curve = [&](const SweepDepths& depths, const char* name, const char* kind,
                         auto make) -> Status {
    std::vector<int> all = depths.depths;
    for (int depth = 1; depths.all && depth <= convs; ++depth) all.push_back(depth);
    for (const int depth : all) {
      Result<plan::UpdatePlan> plan = make(graph(), depth);
      if (!plan.ok()) {
        return Error{ErrorKind::kBadInput, fmt::format("{}: {} {}: {}", model_->name, kind, depth,
                                                       plan.error().message())};
      }
      plans.push_back({fmt::format("{}-{}", name, depth), kind, *std::move(plan), {}});
    }
    return Ok{};
  };
  ESPALIER_CHECK_OK(curve(config_->bias_only, "bias", "bias_only", plan::bias_only));
  ESPALIER_CHECK_OK(curve(config_->last_k, "last", "last_k", plan::last_k));
  if (config_->full) plans.push_back({"full", "full", plan::full(graph()), {}});
  for (const SweepPublished& published : config_->published) {
    if (published.model != model_->name) continue;
    ESPALIER_TRY(plan::UpdatePlan plan, read(published));
    plans.push_back({"published-" + published.name, "published", std::move(plan), published.own});
  }
  return plans;
}

std::vector<const SweepPublished*> SweepPair::published(const SweepSearch& search) const {
  std::vector<const SweepPublished*> all;
  for (const SweepPublished& published : config_->published) {
    if (!search.at_published || published.model != model_->name) continue;
    if (published.own.any()) continue;  // the plan once more
    all.push_back(&published);
  }
  return all;
}

Result<std::vector<KnownPlan>> SweepPair::known_plans(const SweepSearch& search) const {
  std::vector<KnownPlan> plans;
  for (const SweepPublished* known : published(search)) {
    ESPALIER_TRY(plan::UpdatePlan plan, read(*known));
    plans.push_back({fmt::format("published plan '{}'", known->name), std::move(plan)});
  }
  return plans;
}

Result<std::vector<NamedBudget>> SweepPair::budgets(const SweepSearch& search) const {
  std::vector<NamedBudget> all;
  for (const Bytes budget : search.budgets) all.push_back({search.plan_name(budget), budget});
  for (const SweepPublished* at : published(search)) {
    ESPALIER_TRY(const plan::UpdatePlan plan, read(*at));
    all.push_back({search.plan_name(at->name), cost::analytic_memory(plan, graph()).bytes()});
  }
  return all;
}

std::vector<SweepEntry> SweepPair::entries(const std::vector<NamedPlan>& plans) const {
  const SweepTraining& training = config_->training;
  std::vector<SweepEntry> entries;
  for (std::size_t p = 0; p < plans.size(); ++p) {
    for (std::size_t r = 0; r < training.recipes.size(); ++r) {
      for (const trials::Numerics numerics : training.numerics) {
        for (const std::uint64_t seed : training.seeds) {
          trials::Trial trial;
          trial.plan = plans[p].plan;
          trial.recipe =
              plans[p].own.applied(with_update(training.recipes[r].recipe, numerics, training));
          trial.recipe.seed = seed;
          trial.numerics = numerics;
          trial.stochastic = training.stochastic;
          entries.push_back({p, r, std::move(trial)});
        }
      }
    }
  }
  return entries;
}

}  // namespace espalier::study
