#include "espalier/study/sweep_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <utility>

#include "espalier/data/dataset.hpp"
#include "espalier/data/preprocess.hpp"
#include "espalier/support/file.hpp"
#include "schema_check.hpp"
#include "study_schemas.hpp"

namespace espalier::study {
namespace {

namespace fs = std::filesystem;

// The document has passed the schema: members have the types it says.
template <typename T>
void take(const Json& object, const char* key, T& value) {
  if (const auto it = object.find(key); it != object.end()) value = it->get<T>();
}
template <typename T>
void take(const Json& object, const char* key, std::optional<T>& value) {
  if (const auto it = object.find(key); it != object.end()) value = it->get<T>();
}

// Preprocessing whose look-up table, if there is one, lies below `folder`.
std::string preprocess_in(std::string text, const fs::path& folder) {
  const std::string_view table = data::table_file(text);
  if (table.empty()) return text;
  const auto at = static_cast<std::size_t>(table.data() - text.data());
  return text.replace(at, table.size(), (folder / table).lexically_normal().string());
}

class Reader {
 public:
  Reader(const Json& document, std::string_view where, fs::path folder)
      : document_(document), where_(where), folder_(std::move(folder)) {}

  Result<SweepConfig> read() {
    config_.name = document_["name"].get<std::string>();
    config_.sha256 = sha256_hex(document_.dump());
    for (const Json& model : document_["models"]) config_.models.push_back(read_model(model));
    for (const Json& dataset : document_["datasets"]) config_.datasets.push_back(read_set(dataset));
    if (document_.contains("analysis")) config_.analysis = read_analysis(document_["analysis"]);
    for (const Json& search : document_.value("searches", Json::array())) {
      config_.searches.push_back(read_search(search));
    }
    read_plans(document_.value("plans", Json::object()));
    config_.training = read_training(document_["training"]);
    read_slurm(document_.value("slurm", Json::object()));
    check_names();
    check_stems();
    if (!problems_.empty()) return Error{ErrorKind::kBadInput, problems_};
    return std::move(config_);
  }

 private:
  void problem(std::string_view place, const std::string& text) {
    problems_.push_back(fmt::format("{}: {}: {}", where_, place, text));
  }

  // With environment variables replaced.
  std::string expanded(std::string text, std::string_view place) {
    for (std::size_t begin = 0; (begin = text.find("${", begin)) != std::string::npos;) {
      const std::size_t end = text.find('}', begin);
      if (end == std::string::npos) break;
      const std::string name = text.substr(begin + 2, end - begin - 2);
      const char* value = std::getenv(name.c_str());
      if (value == nullptr) {
        problem(place, fmt::format("the environment variable {} is not set", name));
      }
      const std::string put = value == nullptr ? "" : value;
      text.replace(begin, end + 1 - begin, put);
      begin += put.size();
    }
    return text;
  }

  fs::path file_of(const Json& name, std::string_view place) {
    return (folder_ / expanded(name.get<std::string>(), place)).lexically_normal();
  }

  SweepModel read_model(const Json& json) {
    SweepModel model{json["name"].get<std::string>(), file_of(json["file"], "/models"), {}};
    if (json.contains("profile")) model.profile = file_of(json["profile"], "/models");
    return model;
  }

  SweepDataset read_set(const Json& json) {
    SweepDataset set;
    set.name = json["name"].get<std::string>();
    set.train = data::spec_in(expanded(json["train"].get<std::string>(), "/datasets"), folder_);
    set.test = data::spec_in(expanded(json["test"].get<std::string>(), "/datasets"), folder_);
    take(json, "preprocess", set.preprocess);
    set.preprocess = preprocess_in(expanded(set.preprocess, "/datasets"), folder_);
    take(json, "classes", set.classes);
    set.balanced = json.value("subset", "balanced") == "balanced";
    return set;
  }

  train::Recipe read_recipe(const Json& json, std::string_view place) {
    train::Recipe recipe;
    take(json, "epochs", recipe.epochs);
    take(json, "batch", recipe.batch);
    take(json, "learning_rate", recipe.learning_rate);
    take(json, "warmup_epochs", recipe.warmup_epochs);
    take(json, "head_epochs", recipe.head_epochs);
    take(json, "clip", recipe.clip);
    take(json, "qas", recipe.qas);
    if (json.contains("schedule")) {
      recipe.schedule = *train::schedule_of(json["schedule"].get<std::string>(), place);
    }
    if (const Status sound = train::check(recipe); !sound.ok()) {
      problem(place, sound.error().message());
    }
    return recipe;
  }

  // What a plan has in place of the recipe's; the schema says where a rate may be among it.
  static void take_own(const Json& json, OwnRecipe& own) {
    take(json, "learning_rate", own.learning_rate);
    take(json, "head_epochs", own.head_epochs);
    take(json, "warmup_epochs", own.warmup_epochs);
    take(json, "clip", own.clip);
  }

  SweepAnalysis read_analysis(const Json& json) {
    SweepAnalysis analysis;
    take(json, "limit_train", analysis.limit_train);
    take(json, "limit_validation", analysis.limit_validation);
    take(json, "ratios", analysis.ratios);
    std::sort(analysis.ratios.begin(), analysis.ratios.end());
    take(json, "layers", analysis.layers);
    take(json, "seeds", analysis.seeds);
    analysis.numerics = *trials::numerics_named(json.value("numerics", "simulation"));
    analysis.recipe = read_recipe(json.value("recipe", Json::object()), "/analysis/recipe");
    return analysis;
  }

  void read_measure(const Json& json, SweepSearch& search) {
    for (const char* key :
         {"trainings", "limit_train", "recipe", "finalists", "race_seeds", "race_folds", "rates",
          "rates_of", "head_epochs", "warmup_epochs", "clip"}) {
      if (json.contains(key) && search.solver != SweepSolver::kMeasured) {
        problem("/searches", fmt::format("{} is of the solver \"measured\" alone", key));
      }
    }
    take(json, "trainings", search.measure.trainings);
    take(json, "limit_train", search.measure.limit_train);
    take(json, "finalists", search.measure.finalists);
    take(json, "race_seeds", search.measure.race_seeds);
    take(json, "race_folds", search.measure.race_folds);
    search.measure.automatic_rates = json.value("rates", Json()) == "auto";
    if (!search.measure.automatic_rates) take(json, "rates", search.measure.rates);
    search.measure.rates_of_finalists = json.value("rates_of", "winner") == "finalists";
    if (json.contains("rates_of") && !json.contains("rates")) {
      problem("/searches", "rates_of says whose the rates are, and there are none; give rates");
    }
    take_own(json, search.measure.own);
    if (json.contains("recipe")) {
      search.measure.recipe = read_recipe(json["recipe"], "/searches/recipe");
    }
  }

  SweepSearch read_search(const Json& json) {
    SweepSearch search;
    search.at_published = json["budgets"].is_string();
    for (const Json& text : search.at_published ? Json::array() : json["budgets"]) {
      const Result<Bytes> budget = parse_bytes(text.get<std::string>());
      if (text == "published") {
        problem("/searches/budgets",
                "published stands in place of the array: \"budgets\": \"published\"; sizes need "
                "a search of their own");
      } else if (budget.ok()) {
        search.budgets.push_back(*budget);
      } else {
        problem("/searches/budgets", budget.error().message());
      }
    }
    if (json.value("memory", "analytic") == "planned") {
      search.memory = selection::MemoryModel::kPlanned;
    }
    search.rotate = json.value("rotate", false);
    const std::string solver = json.value("solver", "auto");
    if (solver == "exact") search.solver = SweepSolver::kExact;
    if (solver == "evolution") search.solver = SweepSolver::kEvolution;
    if (solver == "measured") search.solver = SweepSolver::kMeasured;
    read_measure(json, search);
    search.believed = json.value("gains", "believed") == "believed";
    if (json.contains("gains") && search.solver == SweepSolver::kMeasured) {
      problem("/searches",
              "the solver measured has a model of its own of what gains are worth; "
              "remove gains");
    }
    if (search.at_published && search.memory == selection::MemoryModel::kPlanned) {
      problem("/searches", "budgets \"published\" are of analytic memory");
    }
    if (search.memory == selection::MemoryModel::kPlanned && search.solver == SweepSolver::kExact) {
      problem("/searches",
              "the solver exact needs an additive cost, and planned memory is none; use evolution, "
              "auto or measured");
    }
    if (json.value("metric", "loss") == "accuracy") search.metric = selection::Metric::kAccuracy;
    return search;
  }

  static SweepDepths read_depths(const Json& plans, const char* key) {
    SweepDepths depths;
    const auto it = plans.find(key);
    if (it == plans.end()) return depths;
    if (it->is_string()) {
      depths.all = true;
    } else {
      depths.depths = it->get<std::vector<int>>();
      std::sort(depths.depths.begin(), depths.depths.end());
    }
    return depths;
  }

  void read_plans(const Json& json) {
    take(json, "head_only", config_.head_only);
    config_.bias_only = read_depths(json, "bias_only");
    config_.last_k = read_depths(json, "last_k");
    take(json, "full", config_.full);
    for (Json published : json.value("published", Json::array())) {
      SweepPublished plan{
          published["name"].get<std::string>(), published["model"].get<std::string>(), Json(), {}};
      take_own(published, plan.own);
      for (const char* ours :
           {"learning_rate", "head_epochs", "warmup_epochs", "clip", "name", "model"}) {
        published.erase(ours);
      }
      plan.document = std::move(published);
      config_.published.push_back(std::move(plan));
    }
  }

  SweepTraining read_training(const Json& json) {
    SweepTraining training;
    take(json, "limit_train", training.limit_train);
    take(json, "limit_test", training.limit_test);
    take(json, "seeds", training.seeds);
    take(json, "accumulate", training.accumulate);
    training.stochastic = json.value("rounding", "stochastic") == "stochastic";
    if (json.contains("recipe") && json.contains("recipes")) {
      problem("/training", "give either recipe or recipes");
    }
    for (const Json& recipe : json.value("recipes", Json::array())) {
      training.recipes.push_back(
          {recipe["name"].get<std::string>(), read_recipe(recipe, "/training/recipes")});
    }
    if (training.recipes.empty()) {
      training.recipes.push_back(
          {"", read_recipe(json.value("recipe", Json::object()), "/training/recipe")});
    }
    if (json.contains("numerics")) {
      training.numerics.clear();
      for (const Json& name : json["numerics"]) {
        training.numerics.push_back(*trials::numerics_named(name.get<std::string>()));
      }
    }
    const bool device =
        std::any_of(training.numerics.begin(), training.numerics.end(), trials::on_device);
    if (!device && (json.contains("accumulate") || json.contains("rounding"))) {
      problem("/training",
              "accumulate and rounding have no part in simulation; add \"device\" or "
              "\"integer\" to numerics");
    }
    return training;
  }

  void read_slurm(const Json& json) {
    take(json, "shards", config_.slurm.shards);
    take(json, "partition", config_.slurm.partition);
    take(json, "time", config_.slurm.time);
    take(json, "cpus", config_.slurm.cpus);
    take(json, "memory", config_.slurm.memory);
    take(json, "array_limit", config_.slurm.array_limit);
  }

  template <typename List>
  std::set<std::string> distinct(const List& list, std::string_view place) {
    std::set<std::string> names;
    for (const auto& entry : list) {
      if (!names.insert(entry.name).second) {
        problem(place, fmt::format("the name '{}' is used twice", entry.name));
      }
    }
    return names;
  }

  void check_names() {
    const std::set<std::string> models = distinct(config_.models, "/models");
    distinct(config_.datasets, "/datasets");
    distinct(config_.training.recipes, "/training/recipes");
    std::set<std::string> found;
    std::set<std::string> of_sizes;
    for (const SweepSearch& search : config_.searches) {
      for (const Bytes budget : search.budgets) of_sizes.insert(search.plan_name(budget));
    }
    for (const SweepSearch& search : config_.searches) {
      for (const SweepPublished& plan : config_.published) {
        const std::string name = search.plan_name(plan.name);
        if (!search.at_published || plan.own.any() || of_sizes.count(name) == 0) continue;
        problem("/plans/published",
                fmt::format("'{}': a search at its memory and one at a budget of this name would "
                            "both find '{}'; give it another name",
                            plan.name, name));
      }
      for (const Bytes budget : search.budgets) {
        if (found.insert(search.plan_name(budget)).second) continue;
        problem("/searches",
                fmt::format("'{}' would be found twice; searches must differ in budget, "
                            "memory, solver, metric, gains, rotate, head_epochs, warmup_epochs or "
                            "clip",
                            search.plan_name(budget)));
      }
      if (search.at_published && !found.insert(search.plan_name("published")).second) {
        problem("/searches",
                "searches at the memory of published plans must differ in solver, "
                "metric, gains, rotate, head_epochs, warmup_epochs or clip");
      }
      for (const SweepModel& model : config_.models) {
        if (!search.at_published) break;
        const bool any = std::any_of(config_.published.begin(), config_.published.end(),
                                     [&](const SweepPublished& plan) {
                                       return plan.model == model.name && !plan.own.any();
                                     });
        if (any) continue;
        problem("/searches", fmt::format("budgets are those of published plans, and of '{}' there "
                                         "are none in /plans/published without a rate, a "
                                         "warm-up, a clip or epochs of the head of their own",
                                         model.name));
      }
    }
    if (config_.training.recipes.size() > 1 &&
        (std::any_of(config_.published.begin(), config_.published.end(),
                     [](const SweepPublished& p) { return p.own.any(); }) ||
         std::any_of(config_.searches.begin(), config_.searches.end(), [](const SweepSearch& s) {
           return !s.measure.rates.empty() || s.measure.automatic_rates || s.measure.own.any();
         }))) {
      problem(
          "/training/recipes",
          "plans with learning rates, warm-ups, clips or epochs of the head of their own need one "
          "recipe");
    }
    check_own_recipes();
    check_analysis();
    check_training();
    std::set<std::pair<std::string, std::string>> published;
    for (const SweepPublished& plan : config_.published) {
      if (models.count(plan.model) == 0) {
        problem("/plans/published",
                fmt::format("'{}' is of the model '{}', which is not among the models", plan.name,
                            plan.model));
      }
      if (!published.emplace(plan.model, plan.name).second) {
        problem("/plans/published",
                fmt::format("the name '{}' is used twice for '{}'", plan.name, plan.model));
      }
    }
    if (!config_.searches.empty() && !config_.analysis) {
      problem("/searches", "a search needs contributions; add \"analysis\", which may be {}");
    }
    const bool measures = std::any_of(config_.models.begin(), config_.models.end(),
                                      [](const SweepModel& model) { return !model.profile; });
    for (const char* key : {"ratios", "layers", "seeds"}) {
      if (!measures && document_.value("analysis", Json::object()).contains(key)) {
        problem("/analysis", fmt::format("{} has no effect: every model has a profile", key));
      }
    }
  }

  // Names may hold the dot that stands between them in names of files.
  void check_stems() {
    using Pair = std::pair<std::string, std::string>;
    std::map<std::string, Pair> pairs;
    for (const SweepModel& model : config_.models) {
      for (const SweepDataset& dataset : config_.datasets) {
        const Pair pair{model.name, dataset.name};
        const auto [first, fresh] = pairs.emplace(file_stem(model, dataset), pair);
        if (fresh || first->second == pair) continue;  // names used twice are told
        problem("/datasets",
                fmt::format("files of '{}' on '{}' and of '{}' on '{}' would both be called {}; "
                            "give one of these another name",
                            first->second.first, first->second.second, pair.first, pair.second,
                            first->first));
      }
    }
  }

  // Whether it trains as something does in the end, and with a recipe that this can follow.
  void check_analysis() {
    if (!config_.analysis || !trials::on_device(config_.analysis->numerics)) return;
    const std::string name(trials::numerics_name(config_.analysis->numerics));
    const std::vector<trials::Numerics>& all = config_.training.numerics;
    if (std::find(all.begin(), all.end(), config_.analysis->numerics) == all.end()) {
      problem("/analysis/numerics",
              fmt::format("/training/numerics lacks \"{}\", whose accumulate it goes by", name));
    }
    check_on_device(config_.analysis->recipe, "/analysis/recipe");
    for (const SweepSearch& search : config_.searches) {
      if (search.measure.recipe) check_on_device(*search.measure.recipe, "/searches/recipe");
    }
  }

  void check_training() {
    const std::vector<trials::Numerics>& all = config_.training.numerics;
    if (std::none_of(all.begin(), all.end(), trials::on_device)) return;
    for (const SweepRecipe& recipe : config_.training.recipes) {
      check_on_device(recipe.recipe, recipe.name.empty()
                                         ? std::string("/training/recipe")
                                         : fmt::format("/training/recipes/{}", recipe.name));
    }
  }

  void check_on_device(const train::Recipe& recipe, std::string_view place) {
    const Status sound = train::check_on_device(recipe);
    if (!sound.ok()) problem(place, sound.error().message());
  }

  // With what a plan has of its own, a recipe must be one.
  void check_own_recipes() {
    const auto sound = [&](std::string_view place, const OwnRecipe& own) {
      const Status status = train::check(own.applied(config_.training.recipes.front().recipe));
      if (own.any() && !status.ok()) problem(place, status.error().message());
    };
    for (const SweepSearch& search : config_.searches) {
      sound("/searches", search.measure.own);
      for (const double rate : search.measure.rates) {
        sound("/searches/rates", {.learning_rate = rate});
      }
    }
    for (const SweepPublished& plan : config_.published) sound("/plans/published", plan.own);
  }

  const Json& document_;
  std::string where_;
  fs::path folder_;
  SweepConfig config_;
  std::vector<std::string> problems_;
};

}  // namespace

std::string SweepSearch::plan_name(Bytes budget) const {
  std::string size = format_bytes(budget);
  size.erase(std::remove(size.begin(), size.end(), ' '), size.end());
  if (const std::size_t zeros = size.find(".00"); zeros != std::string::npos) size.erase(zeros, 3);
  return plan_name(size);
}

std::string SweepSearch::plan_name(std::string_view published) const {
  std::string name = fmt::format("found-{}", published);
  if (memory == selection::MemoryModel::kPlanned) name += "-planned";
  if (solver == SweepSolver::kExact) name += "-exact";
  if (solver == SweepSolver::kEvolution) name += "-evolution";
  if (solver == SweepSolver::kMeasured) name += "-measured";
  if (metric == selection::Metric::kAccuracy) name += "-accuracy";
  if (!believed) name += "-raw";
  if (rotate) name += "-rotating";
  if (measure.own.head_epochs) name += fmt::format("-head{}", *measure.own.head_epochs);
  if (measure.own.warmup_epochs) name += fmt::format("-warmup{:g}", *measure.own.warmup_epochs);
  if (measure.own.clip) name += fmt::format("-clip{}", *measure.own.clip);
  return name;
}

std::string file_stem(const SweepModel& model, const SweepDataset& dataset) {
  return model.name + "." + dataset.name;
}

Status keep_models(SweepConfig& config, const std::vector<std::string>& names) {
  const auto wanted = [&](const std::string& model) {
    return std::find(names.begin(), names.end(), model) != names.end();
  };
  for (const std::string& name : names) {
    if (std::any_of(config.models.begin(), config.models.end(),
                    [&](const SweepModel& model) { return model.name == name; })) {
      continue;
    }
    std::string known;
    for (const SweepModel& model : config.models) known += (known.empty() ? "" : ", ") + model.name;
    return Error{ErrorKind::kUsage,
                 fmt::format("'{}' is none of the configuration's models: {}", name, known)};
  }
  std::erase_if(config.models, [&](const SweepModel& model) { return !wanted(model.name); });
  std::erase_if(config.published, [&](const SweepPublished& p) { return !wanted(p.model); });
  return Ok{};
}

std::vector<fs::path> inputs_of(const SweepConfig& config) {
  std::vector<fs::path> inputs;
  for (const SweepModel& model : config.models) {
    inputs.push_back(model.file);
    if (model.profile) inputs.push_back(*model.profile);
  }
  for (const SweepDataset& dataset : config.datasets) {
    for (const std::string& spec : {dataset.train, dataset.test}) {
      const std::vector<fs::path> files = data::spec_files(spec);
      inputs.insert(inputs.end(), files.begin(), files.end());
    }
    const std::string_view table = data::table_file(dataset.preprocess);
    if (!table.empty()) inputs.emplace_back(table);
  }
  return inputs;
}

Result<SweepConfig> parse_sweep_config(std::string_view text, std::string_view where,
                                       const fs::path& folder) {
  ESPALIER_TRY(const Json document, parse_commented_json(text, where));
  ESPALIER_CHECK_OK(check_schema(document, study_schemas().at("sweep.json"), where));
  return Reader(document, where, folder).read();
}

Result<SweepConfig> load_sweep_config(const fs::path& path) {
  ESPALIER_TRY(const std::string text, read_file(path));
  return parse_sweep_config(text, path.string(), path.parent_path());
}

}  // namespace espalier::study
