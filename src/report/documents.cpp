#include "espalier/report/documents.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <set>

#include "espalier/support/file.hpp"
#include "espalier/support/json.hpp"

namespace espalier::report {
namespace {

namespace fs = std::filesystem;

// A document, or a part of one, with the words that a diagnostic begins with.
struct Part {
  const Json& json;
  std::string where;

  template <typename T>
  Result<T> get(const char* key) const {
    return json_field<T>(json, key, where);
  }
  [[nodiscard]] bool has(const char* key) const {
    return json.is_object() && json.contains(key) && !json.at(key).is_null();
  }
  /// Absent and null members have no value; others must be a T.
  template <typename T>
  Result<std::optional<T>> find(const char* key) const {
    if (!has(key)) return std::optional<T>();
    ESPALIER_TRY(T value, get<T>(key));
    return std::optional<T>(std::move(value));
  }
  [[nodiscard]] Result<std::string> text(const char* key) const {
    ESPALIER_TRY(std::optional<std::string> value, find<std::string>(key));
    return value.value_or("");
  }
  /// Calls `visit` for the elements of an array, or fails.
  Status each(const char* key, const std::function<Status(const Part&)>& visit) const {
    if (!json.is_object() || !json.contains(key) || !json.at(key).is_array()) {
      return Error{ErrorKind::kBadInput, fmt::format("{}: '{}' must be an array", where, key)};
    }
    std::size_t i = 0;
    for (const Json& element : json.at(key)) {
      ESPALIER_CHECK_OK(visit({element, fmt::format("{}: {}[{}]", where, key, i++)}));
    }
    return Ok{};
  }
  [[nodiscard]] Result<Part> object(const char* key) const {
    if (!json.is_object() || !json.contains(key) || !json.at(key).is_object()) {
      return Error{ErrorKind::kBadInput, fmt::format("{}: '{}' must be an object", where, key)};
    }
    return Part{json.at(key), fmt::format("{}: {}", where, key)};
  }
};

Error bad(const Part& part, const std::string& what) {
  return {ErrorKind::kBadInput, part.where + ": " + what};
}

Result<Model> read_model(const Part& document) {
  ESPALIER_TRY(const Part part, document.object("model"));
  Model model;
  ESPALIER_TRY(model.name, part.get<std::string>("name"));
  ESPALIER_TRY(model.sha256, part.get<std::string>("sha256"));
  return model;
}

Result<int> read_index(const Part& part, const char* key) {
  ESPALIER_TRY(const int value, part.get<int>(key));
  constexpr int kMost = 1 << 24;  // far above any network; keeps sums of indices in range
  if (value < 0 || value > kMost) return bad(part, fmt::format("'{}' is out of range", key));
  return value;
}

Result<std::optional<double>> read_share(const Part& part, const char* key) {
  ESPALIER_TRY(const std::optional<double> value, part.find<double>(key));
  if (value && !(*value >= 0 && *value <= 1)) {
    return bad(part, fmt::format("'{}' must be in [0, 1]", key));
  }
  return value;
}

Result<WeightUpdate> read_update(const Part& part) {
  WeightUpdate update;
  ESPALIER_TRY(update.conv, read_index(part, "conv"));
  ESPALIER_TRY(update.ratio, part.get<double>("ratio"));
  if (!(update.ratio > 0 && update.ratio <= 1)) return bad(part, "'ratio' must be in (0, 1]");
  if (part.has("turns")) {
    ESPALIER_TRY(update.turns, read_index(part, "turns"));
  }
  if (part.has("next_channels") && part.json.at("next_channels").is_array()) {
    update.turns = static_cast<int>(part.json.at("next_channels").size()) + 1;
  }
  return update;
}

Result<std::optional<Estimate>> read_estimate(const Part& parent, const char* key) {
  if (!parent.has(key)) return std::optional<Estimate>();
  ESPALIER_TRY(const Part part, parent.object(key));
  Estimate estimate;
  ESPALIER_TRY(estimate.mean, part.get<double>("mean"));
  ESPALIER_TRY(estimate.standard_error, part.find<double>("standard_error"));
  return std::optional<Estimate>(estimate);
}

Result<Gains> read_gains(const Part& part) {
  Gains gains;
  ESPALIER_TRY(gains.accuracy, read_estimate(part, "accuracy_gain"));
  ESPALIER_TRY(gains.loss, read_estimate(part, "loss_gain"));
  return gains;
}

Result<Profile::Trial> read_trial(const Part& part) {
  Profile::Trial trial;
  ESPALIER_TRY(trial.depth, read_index(part, "depth"));
  ESPALIER_TRY(trial.seed, part.get<std::int64_t>("seed"));
  ESPALIER_TRY(trial.accuracy, read_share(part, "accuracy"));
  ESPALIER_TRY(trial.loss, part.find<double>("loss"));
  if (part.has("conv")) {
    ESPALIER_TRY(trial.weights, read_update(part));
  }
  return trial;
}

// Which files the training samples are of, and which of their classes; empty where a document does
// not say.
Result<std::string> read_source(const Part& document) {
  if (!document.has("data")) return std::string();
  ESPALIER_TRY(const Part data, document.object("data"));
  if (!data.has("train")) return std::string();
  ESPALIER_TRY(const Part train, data.object("train"));
  ESPALIER_TRY(const std::string digest, train.text("sha256"));
  const char* classes = train.has("class_names") ? "class_names" : "classes";
  return digest + json_text(train.json.value(classes, Json()));
}

// What a document says is doubtful about its results, once each.
Status take_warnings(const Part& part, const std::string& of, Documents& all) {
  constexpr std::size_t kMost = 30;
  if (!part.has("warnings")) return Ok{};
  return part.each("warnings", [&](const Part& warning) -> Status {
    if (!warning.json.is_string()) return bad(warning, "must be a string");
    const std::string text = fmt::format("{}: {}", of, warning.json.get<std::string>());
    if (std::find(all.warnings.begin(), all.warnings.end(), text) == all.warnings.end()) {
      if (all.warnings.size() == kMost) all.warnings.emplace_back("more is said in the documents");
      if (all.warnings.size() < kMost) all.warnings.push_back(text);
    }
    return Ok{};
  });
}

Status read_profile(const Part& document, const std::string& file, Documents& all) {
  Profile profile{.file = file};
  ESPALIER_TRY(profile.model, read_model(document));
  ESPALIER_TRY(profile.source, read_source(document));
  ESPALIER_CHECK_OK(document.each("seeds", [&](const Part&) -> Status {
    ++profile.seeds;
    return Ok{};
  }));
  ESPALIER_TRY(const Part baseline, document.object("baseline"));
  ESPALIER_TRY(const std::optional<Estimate> head, read_estimate(baseline, "accuracy"));
  if (head) profile.head_accuracy = head->mean;
  ESPALIER_CHECK_OK(document.each("bias", [&](const Part& part) -> Status {
    Profile::Bias bias;
    ESPALIER_TRY(bias.depth, read_index(part, "depth"));
    ESPALIER_TRY(bias.gains, read_gains(part));
    profile.bias.push_back(bias);
    return Ok{};
  }));
  ESPALIER_CHECK_OK(document.each("weight", [&](const Part& part) -> Status {
    Profile::Weight weight;
    ESPALIER_TRY(weight.update, read_update(part));
    ESPALIER_TRY(weight.gains, read_gains(part));
    profile.weight.push_back(weight);
    return Ok{};
  }));
  ESPALIER_CHECK_OK(document.each("trials", [&](const Part& part) -> Status {
    ESPALIER_TRY(Profile::Trial trial, read_trial(part));
    profile.trials.push_back(trial);
    return Ok{};
  }));
  all.profiles.push_back(std::move(profile));
  ESPALIER_CHECK_OK(take_warnings(document, file, all));
  return Ok{};
}

Status read_plan(const Part& document, const std::string& file, Documents& all) {
  Plan plan{.file = file};
  plan.sha256 = sha256_hex(json_text(document.json, 2) + "\n");
  ESPALIER_TRY(plan.model.name, document.get<std::string>("model"));
  ESPALIER_TRY(plan.model.sha256, document.get<std::string>("model_sha256"));
  ESPALIER_TRY(plan.bias_depth, read_index(document, "bias_depth"));
  ESPALIER_CHECK_OK(document.each("weights", [&](const Part& part) -> Status {
    ESPALIER_TRY(const WeightUpdate update, read_update(part));
    plan.updates.push_back(update);
    return Ok{};
  }));
  ESPALIER_TRY(plan.predicted_gain, document.find<double>("predicted_gain"));
  ESPALIER_TRY(plan.gain_metric, document.text("gain_metric"));
  ESPALIER_TRY(plan.budget_bytes, document.find<std::int64_t>("budget_bytes"));
  if (document.has("memory_bytes")) {
    ESPALIER_TRY(const Part memory, document.object("memory_bytes"));
    ESPALIER_TRY(plan.analytic_bytes, memory.find<std::int64_t>("analytic"));
    ESPALIER_TRY(plan.planned_bytes, memory.find<std::int64_t>("planned"));
  }
  const bool known = std::any_of(all.plans.begin(), all.plans.end(),
                                 [&](const Plan& other) { return other.sha256 == plan.sha256; });
  if (!known) all.plans.push_back(std::move(plan));
  return Ok{};
}

// What trainings gained. Of one alone there is no error, for which documents have 0.
Result<Estimate> read_gained(const Part& part) {
  Estimate gained;
  int seeds = 0;
  ESPALIER_CHECK_OK(part.each("gains", [&](const Part&) -> Status {
    ++seeds;
    return Ok{};
  }));
  ESPALIER_TRY(gained.mean, part.get<double>("mean"));
  ESPALIER_TRY(const double error, part.get<double>("standard_error"));
  if (seeds > 1) gained.standard_error = error;
  return gained;
}

// What a candidate trains, in a form that tells equal ones.
Result<std::string> read_candidate(const Part& part) {
  ESPALIER_TRY(const int depth, read_index(part, "bias_depth"));
  std::string text = std::to_string(depth);
  ESPALIER_CHECK_OK(part.each("weights", [&](const Part& weight) -> Status {
    ESPALIER_TRY(const WeightUpdate update, read_update(weight));
    text += fmt::format(" {}:{}", update.conv, update.ratio);
    return Ok{};
  }));
  return text;
}

// What the race says of its winner, the first of the finalists.
Status read_finalists(const Part& part, MeasuredSearch::Race& race) {
  ESPALIER_TRY(const Part additive, part.object("additive"));
  ESPALIER_TRY(const std::string optimum, read_candidate(additive));
  std::vector<std::string> candidates;
  ESPALIER_CHECK_OK(part.each("finalists", [&](const Part& finalist) -> Status {
    ESPALIER_TRY(const std::string candidate, read_candidate(finalist));
    ESPALIER_TRY(const Estimate gained, read_gained(finalist));
    if (candidates.empty()) {
      race.gained = gained;
      ESPALIER_TRY(const auto diverged, finalist.find<std::int64_t>("diverged"));
      race.diverged = diverged.value_or(0);
    }
    if (candidate == optimum) race.additive = gained;
    candidates.push_back(candidate);
    return Ok{};
  }));
  if (candidates.empty()) return bad(part, "'finalists' is empty");
  if (candidates.size() > 1) {
    ESPALIER_TRY(race.above_runner_up, read_share(part, "above_runner_up"));
  }
  if (candidates.front() != optimum) {
    ESPALIER_TRY(race.above_additive, read_share(part, "above_additive"));
  }
  return Ok{};
}

// `point`: what a document says of the plan that won.
Result<MeasuredSearch::Race> read_race(const Part& point, const Part& part) {
  MeasuredSearch::Race race;
  ESPALIER_TRY(race.budget_bytes, point.get<std::int64_t>("budget_bytes"));
  ESPALIER_TRY(race.analytic_bytes, point.get<std::int64_t>("analytic_bytes"));
  ESPALIER_TRY(const auto memory, point.find<std::int64_t>("memory_bytes"));
  race.memory_bytes = memory.value_or(race.analytic_bytes);
  if (race.memory_bytes < 0) return bad(point, "the plan's memory is below 0");
  ESPALIER_TRY(race.planned_bytes, point.find<std::int64_t>("planned_bytes"));
  ESPALIER_TRY(race.step_macs, point.find<double>("step_macs"));
  ESPALIER_TRY(race.step_cycles, point.find<double>("step_cycles"));
  ESPALIER_CHECK_OK(read_finalists(part, race));
  ESPALIER_TRY(const auto lost, part.find<bool>("lost"));
  race.lost = lost.value_or(false);
  ESPALIER_TRY(race.rate, part.find<double>("learning_rate"));
  if (!race.rate) return race;
  ESPALIER_CHECK_OK(part.each("rates", [&](const Part& tried) -> Status {
    ESPALIER_TRY(const double rate, tried.get<double>("learning_rate"));
    if (rate != *race.rate) return Ok{};
    ESPALIER_TRY(race.at_rate, read_gained(tried));
    return Ok{};
  }));
  if (!race.at_rate) return bad(part, "'learning_rate' is none of its rates");
  return race;
}

// What a search says of all its budgets; races follow.
Result<MeasuredSearch> read_measured(const Part& part, const Model& model,
                                     const std::string& file) {
  MeasuredSearch search{.file = file, .model = model};
  ESPALIER_TRY(search.trainings, part.get<std::int64_t>("trainings"));
  ESPALIER_TRY(search.diverged, part.get<std::int64_t>("diverged"));
  ESPALIER_TRY(const Part before, part.object("before"));
  ESPALIER_TRY(search.rank_before, before.find<double>("rank_correlation"));
  ESPALIER_TRY(const Part after, part.object("after"));
  ESPALIER_TRY(search.rank_after, after.find<double>("rank_correlation"));
  return search;
}

Status read_races(const Part& document, const std::string& file, Documents& all) {
  ESPALIER_TRY(const Model model, read_model(document));
  ESPALIER_TRY(const Part measured, document.object("measured"));
  ESPALIER_TRY(MeasuredSearch search, read_measured(measured, model, file));
  ESPALIER_TRY(const std::string memory, document.text("memory"));
  search.planned = memory == "planned";
  const auto add = [&](const Part& point) -> Status {
    ESPALIER_TRY(const Part part, point.object("race"));
    ESPALIER_TRY(MeasuredSearch::Race race, read_race(point, part));
    search.races.push_back(std::move(race));
    return Ok{};
  };
  // With a front, the document itself says the last of its budgets again.
  ESPALIER_CHECK_OK(document.has("front") ? document.each("front", add) : add(document));
  all.searches.push_back(std::move(search));
  return Ok{};
}

Status read_search(const Part& document, const std::string& file, Documents& all) {
  if (document.has("measured")) {
    ESPALIER_CHECK_OK(read_races(document, file, all));
  }
  if (!document.has("front")) return Ok{};  // its plan is a document of its own
  return document.each("front", [&](const Part& part) -> Status {
    ESPALIER_TRY(const Part plan, part.object("plan"));
    const std::size_t before = all.plans.size();
    ESPALIER_CHECK_OK(read_plan(plan, file, all));
    if (all.plans.size() > before) {
      ESPALIER_TRY(all.plans.back().budget_bytes, part.get<std::int64_t>("budget_bytes"));
      all.plans.back().of_front = true;
    }
    return Ok{};
  });
}

// How samples came to a device, in words; nothing where they came mixed and none was kept.
Result<std::string> read_stream(const Part& document) {
  std::string text;
  ESPALIER_TRY(const auto in_turn, document.find<std::int64_t>("classes_in_turn"));
  if (in_turn) text += fmt::format("; {} classes in turn", *in_turn);
  if (!document.has("replay")) return text;
  ESPALIER_TRY(const Part replay, document.object("replay"));
  ESPALIER_TRY(const auto bytes, replay.get<std::int64_t>("bytes"));
  ESPALIER_TRY(const auto steps, replay.get<std::int64_t>("steps"));
  return text + fmt::format("; {} steps from {} bytes of replay memory", steps, bytes);
}

// What must be equal for two trainings to be comparable, in words.
Result<std::string> read_setting(const Part& document) {
  ESPALIER_TRY(const Part data, document.object("data"));
  ESPALIER_TRY(const Part train, data.object("train"));
  ESPALIER_TRY(const Part test, data.object("test"));
  ESPALIER_TRY(const Part recipe, document.object("recipe"));
  const auto samples = [](const Part& part) -> Result<std::string> {
    ESPALIER_TRY(const std::string spec, part.get<std::string>("spec"));
    ESPALIER_TRY(const std::int64_t count, part.get<std::int64_t>("count"));
    ESPALIER_TRY(const std::int64_t classes, part.get<std::int64_t>("classes"));
    ESPALIER_TRY(const std::string preprocess, part.get<std::string>("preprocess"));
    ESPALIER_TRY(const std::string digest, part.get<std::string>("sha256"));
    // Which records were drawn counts as much as how many.
    const std::string drawn = part.has("selections") ? json_text(part.json.at("selections")) : "";
    return fmt::format("{} samples in {} classes of {} ({}, selection {})", count, classes, spec,
                       preprocess, sha256_hex(digest + drawn).substr(0, 8));
  };
  ESPALIER_TRY(const std::string training, samples(train));
  ESPALIER_TRY(const std::string testing, samples(test));
  ESPALIER_TRY(const std::int64_t epochs, recipe.get<std::int64_t>("epochs"));
  ESPALIER_TRY(const std::int64_t batch, recipe.get<std::int64_t>("batch"));
  ESPALIER_TRY(const double rate, recipe.get<double>("learning_rate"));
  ESPALIER_TRY(const double warmup, recipe.get<double>("warmup_epochs"));
  ESPALIER_TRY(const auto head_epochs, recipe.find<std::int64_t>("head_epochs"));
  ESPALIER_TRY(const auto clip, recipe.find<std::int64_t>("clip"));
  ESPALIER_TRY(const bool qas, recipe.get<bool>("qas"));
  ESPALIER_TRY(const std::optional<std::string> schedule, recipe.find<std::string>("schedule"));
  ESPALIER_TRY(const std::string head, document.get<std::string>("head"));
  ESPALIER_TRY(const std::string numerics, document.get<std::string>("numerics"));
  ESPALIER_TRY(const std::string rounding, document.text("rounding"));
  ESPALIER_TRY(const std::optional<std::int64_t> bits,
               document.find<std::int64_t>("gradient_bits"));
  ESPALIER_TRY(const std::string stream, read_stream(document));
  return fmt::format(
      "trained on {}; tested on {}; {} epochs{}, batch {}, rate {:g}{}, warm-up of {:g}, {} "
      "schedule{}; {} head; "
      "{} numerics{}{}{}",
      training, testing, epochs,
      head_epochs ? fmt::format(" (the first {} of the head alone)", *head_epochs) : "", batch,
      rate, clip ? fmt::format(" clipped at {}", *clip) : "", warmup, schedule.value_or("standard"),
      qas ? "" : ", without QAS", head, numerics, bits ? fmt::format(" of {} bits", *bits) : "",
      rounding.empty() ? "" : ", rounding " + rounding, stream);
}

Status read_training(const Part& document, const std::string& file, Documents& all) {
  Training training{.file = file};
  ESPALIER_TRY(training.model, read_model(document));
  ESPALIER_TRY(const Part plan, document.object("plan"));
  ESPALIER_TRY(training.plan_sha256, plan.text("sha256"));
  ESPALIER_TRY(training.bias_depth, read_index(plan, "bias_depth"));
  ESPALIER_TRY(training.weights, read_index(plan, "weights"));
  ESPALIER_TRY(training.analytic_bytes, plan.get<std::int64_t>("analytic_bytes"));
  if (training.analytic_bytes < 0) return bad(plan, "'analytic_bytes' is below 0");
  if (plan.has("updates")) {
    training.updates.emplace();
    ESPALIER_CHECK_OK(plan.each("updates", [&](const Part& part) -> Status {
      ESPALIER_TRY(const WeightUpdate update, read_update(part));
      training.updates->push_back(update);
      return Ok{};
    }));
  }
  ESPALIER_TRY(training.setting, read_setting(document));
  ESPALIER_TRY(training.source, read_source(document));
  ESPALIER_TRY(const Part recipe, document.object("recipe"));
  ESPALIER_TRY(training.seed, recipe.get<std::int64_t>("seed"));
  ESPALIER_TRY(training.accuracy, read_share(document, "test_accuracy"));
  ESPALIER_TRY(training.loss, document.find<double>("test_loss"));
  if (training.loss && !(*training.loss >= 0)) return bad(document, "'test_loss' is below 0");
  ESPALIER_TRY(const std::optional<bool> collapsed, document.find<bool>("collapsed"));
  training.collapsed = collapsed.value_or(false);
  ESPALIER_TRY(training.balanced, read_share(document, "test_balanced_accuracy"));
  ESPALIER_CHECK_OK(take_warnings(document, file, all));
  ESPALIER_TRY(training.sram_bytes, document.find<std::int64_t>("sram_bytes"));
  all.trainings.push_back(std::move(training));
  return Ok{};
}

// The kinds of plans of a sweep, and what figures call them.
constexpr std::pair<std::string_view, std::string_view> kPlanKinds[] = {
    {"head_only", "head only"}, {"bias_only", "biases"},    {"last_k", "last k"},
    {"full", "full"},           {"published", "published"}, {"found", "found"}};

Result<std::string> read_kind(const Part& plan) {
  ESPALIER_TRY(const std::string kind, plan.get<std::string>("kind"));
  std::vector<std::string_view> all;
  for (const auto& [name, words] : kPlanKinds) {
    if (name == kind) return std::string(words);
    all.push_back(name);
  }
  return bad(plan, fmt::format("'kind' must be one of {}", fmt::join(all, ", ")));
}

// One training of a sweep as the document that train would have written.
Result<Json> as_training(const Part& sweep, const Part& result, const Part& plan, const Part& run) {
  ESPALIER_TRY(const std::string recipe_name, run.text("recipe"));
  Json recipe;
  ESPALIER_CHECK_OK(sweep.each("recipes", [&](const Part& part) -> Status {
    if (!part.json.is_object()) return bad(part, "must be an object");
    ESPALIER_TRY(const std::string name, part.text("name"));
    if (name == recipe_name) recipe = part.json;
    return Ok{};
  }));
  if (recipe.is_null()) return bad(run, "'recipe' is none of the sweep's");
  ESPALIER_TRY(const std::string numerics, run.get<std::string>("numerics"));
  ESPALIER_TRY(recipe["seed"], run.get<std::int64_t>("seed"));
  Json document{{"model", result.json.value("model", Json())},
                {"data", result.json.value("data", Json())},
                {"plan", plan.json},
                {"head", "fresh"},
                {"numerics", numerics},
                {"test_accuracy", run.json.value("test_accuracy", Json())},
                {"test_loss", run.json.value("test_loss", Json())},
                {"test_balanced_accuracy", run.json.value("test_balanced_accuracy", Json())},
                {"collapsed", run.json.value("collapsed", Json())}};
  if (numerics != "simulation") {
    document["rounding"] = sweep.json.value("rounding", Json());
    recipe["batch"] = sweep.json.value("accumulate", Json());
  }
  if (numerics == "integer") document["gradient_bits"] = 8;  // in sweeps always
  document["recipe"] = std::move(recipe);
  if (!plan.has("updates") || !plan.json.at("updates").is_array()) {
    return bad(plan, "'updates' must be an array");
  }
  document["plan"]["weights"] = plan.json.at("updates").size();
  return document;
}

// What a plan's own epochs of the head are called.
std::string head_label(std::optional<std::int64_t> epochs) {
  if (!epochs) return "";
  if (*epochs == 0) return ", head not first";
  return *epochs == 1 ? ", head first" : fmt::format(", head first for {} epochs", *epochs);
}

// Which of a plan's trainings one is; as_training() has checked it.
std::string run_label(const Part& run) {
  const std::string recipe = run.json.value("recipe", "");
  return fmt::format("{}{}, seed {}", recipe.empty() ? "" : recipe + ", ",
                     run.json.at("numerics").get<std::string>(),
                     run.json.at("seed").get<std::int64_t>());
}

// The race of a found plan. `known` has the searches of one result; those of a sweep are told apart
// by what they say of all their budgets.
Status read_swept_race(const Part& plan, const MeasuredSearch& of,
                       std::map<std::string, std::size_t>& known, Documents& all) {
  ESPALIER_TRY(const Part search, plan.object("search"));
  ESPALIER_TRY(const Part measured, search.object("measured"));
  ESPALIER_TRY(const Part part, search.object("race"));
  ESPALIER_TRY(MeasuredSearch::Race race, read_race(plan, part));
  ESPALIER_TRY(race.plan, plan.get<std::string>("name"));
  const bool planned = plan.has("memory");
  if (planned) race.memory_bytes = race.planned_bytes.value_or(race.analytic_bytes);
  const auto [place, fresh] = known.emplace(json_text(measured.json), all.searches.size());
  if (fresh) {
    ESPALIER_TRY(MeasuredSearch made, read_measured(measured, of.model, of.file));
    made.dataset = of.dataset;
    made.planned = planned;
    all.searches.push_back(std::move(made));
  }
  all.searches[place->second].races.push_back(std::move(race));
  return Ok{};
}

Status read_sweep(const Part& sweep, const std::string& file, Documents& all) {
  std::map<std::string, std::string> names;  // of models, which are told apart by what they hold
  return sweep.each("results", [&](const Part& result) -> Status {
    ESPALIER_CHECK_OK(take_warnings(result, file, all));
    ESPALIER_TRY(const Model model, read_model(result));
    ESPALIER_TRY(const std::string dataset, result.text("dataset"));
    const std::string pair = model.name + " on " + dataset;
    const auto [first, fresh] = names.emplace(model.sha256, model.name);
    if (!fresh && first->second != model.name) {
      all.warnings.push_back(
          fmt::format("{}: {} and {} are the same model, and one in this report; sweep them into "
                      "folders of their own to compare them",
                      file, first->second, model.name));
    }
    const MeasuredSearch search{.file = file, .dataset = dataset, .model = model};
    std::map<std::string, std::size_t> searches;
    return result.each("plans", [&](const Part& plan) -> Status {
      if (plan.has("search")) {
        ESPALIER_CHECK_OK(read_swept_race(plan, search, searches, all));
      }
      ESPALIER_TRY(const std::string name, plan.get<std::string>("name"));
      ESPALIER_TRY(const std::string kind, read_kind(plan));
      ESPALIER_TRY(const std::optional<double> rate, plan.find<double>("learning_rate"));
      ESPALIER_TRY(const auto head_epochs, plan.find<std::int64_t>("head_epochs"));
      ESPALIER_TRY(const auto warmup_epochs, plan.find<double>("warmup_epochs"));
      ESPALIER_TRY(const auto clip, plan.find<std::int64_t>("clip"));
      ESPALIER_TRY(std::optional<std::int64_t> budget, plan.find<std::int64_t>("budget_bytes"));
      // Of planned memory it says nothing of the analytic memory that updates are compared by.
      if (plan.has("memory")) budget.reset();
      return plan.each("trainings", [&](const Part& run) -> Status {
        ESPALIER_TRY(const Json document, as_training(sweep, result, plan, run));
        ESPALIER_CHECK_OK(read_training({document, run.where}, file, all));
        ESPALIER_CHECK_OK(take_warnings(
            run, fmt::format("{}, {}, {}, {}", file, pair, name, run_label(run)), all));
        all.trainings.back().label =
            name + (rate ? fmt::format(" at rate {:g}", *rate) : "") + head_label(head_epochs) +
            (warmup_epochs ? fmt::format(", warm-up of {:g}", *warmup_epochs) : "") +
            (!clip        ? ""
             : *clip == 0 ? ", not clipped"
                          : fmt::format(", clipped at {}", *clip));
        all.trainings.back().rate = rate;
        all.trainings.back().head_epochs = head_epochs;
        all.trainings.back().warmup_epochs = warmup_epochs;
        all.trainings.back().clip = clip;
        all.trainings.back().budget_bytes = budget;
        all.trainings.back().kind = kind;
        return Ok{};
      });
    });
  });
}

// The two pointwise convolutions of an inverted bottleneck are told apart by their neighbours.
void name_kinds(std::vector<Network::Conv>& convs) {
  const std::vector<Network::Conv> given = convs;
  for (std::size_t i = 0; i < convs.size(); ++i) {
    if (given[i].kind != "pointwise") continue;
    const bool after = i > 0 && given[i - 1].kind == "depthwise";
    const bool before = i + 1 < convs.size() && given[i + 1].kind == "depthwise";
    if (before != after) convs[i].kind = before ? "pw1" : "pw2";
  }
}

Status read_network(const Part& document, const std::string& file, Documents& all) {
  Network network{.file = file};
  ESPALIER_TRY(network.model, read_model(document));
  const auto channels = [](const Part& part, const char* key) -> Result<std::int64_t> {
    if (!part.has(key) || !part.json.at(key).is_array() || part.json.at(key).size() != 3 ||
        !part.json.at(key)[2].is_number_integer()) {
      return bad(part, fmt::format("'{}' must be height, width, channels", key));
    }
    return part.json.at(key)[2].get<std::int64_t>();
  };
  ESPALIER_CHECK_OK(document.each("convs", [&](const Part& part) -> Status {
    Network::Conv conv;
    ESPALIER_TRY(conv.name, part.get<std::string>("name"));
    ESPALIER_TRY(conv.kind, part.get<std::string>("kind"));
    ESPALIER_TRY(conv.in_channels, channels(part, "in"));
    ESPALIER_TRY(conv.out_channels, channels(part, "out"));
    network.convs.push_back(std::move(conv));
    return Ok{};
  }));
  name_kinds(network.convs);
  all.networks.push_back(std::move(network));
  return Ok{};
}

Result<Compiled::Value> read_value(const Part& part) {
  Compiled::Value value;
  ESPALIER_TRY(value.name, part.get<std::string>("name"));
  ESPALIER_TRY(value.offset, part.get<std::int64_t>("offset"));
  ESPALIER_TRY(value.bytes, part.get<std::int64_t>("bytes"));
  ESPALIER_TRY(value.first_step, read_index(part, "first_step"));
  ESPALIER_TRY(value.last_step, read_index(part, "last_step"));
  return value;
}

Status read_compiled(const Part& document, const std::string& file, Documents& all) {
  Compiled compiled{.file = file};
  ESPALIER_TRY(compiled.model, read_model(document));
  ESPALIER_TRY(compiled.plan_sha256, document.text("plan_sha256"));
  ESPALIER_TRY(compiled.program, document.text("name"));
  ESPALIER_TRY(compiled.target, document.get<std::string>("target"));
  ESPALIER_TRY(compiled.sram_bytes, document.get<std::int64_t>("sram_bytes"));
  ESPALIER_TRY(compiled.arena_bytes, document.get<std::int64_t>("arena_bytes"));
  if (document.has("arena")) {
    ESPALIER_TRY(const Part arena, document.object("arena"));
    ESPALIER_TRY(compiled.backward_begin, read_index(arena, "backward_begin"));
    ESPALIER_CHECK_OK(arena.each("steps", [&](const Part& part) -> Status {
      if (!part.json.is_string()) return bad(part, "must be a string");
      compiled.steps.push_back(part.json.get<std::string>());
      return Ok{};
    }));
    ESPALIER_CHECK_OK(arena.each("values", [&](const Part& part) -> Status {
      ESPALIER_TRY(Compiled::Value value, read_value(part));
      if (value.last_step < value.first_step ||
          value.last_step >= static_cast<int>(compiled.steps.size())) {
        return bad(part, "lives in steps that are not there");
      }
      compiled.values.push_back(std::move(value));
      return Ok{};
    }));
  }
  all.compiled.push_back(std::move(compiled));
  return Ok{};
}

Status read_check(const Part& document, const std::string& file, Documents& all) {
  Check check{.file = file};
  ESPALIER_TRY(check.program, document.get<std::string>("name"));
  ESPALIER_TRY(check.target, document.get<std::string>("target"));
  ESPALIER_TRY(check.equal, document.get<bool>("equal"));
  ESPALIER_TRY(check.failure, document.text("failure"));
  ESPALIER_TRY(check.cycles_per_step, document.find<double>("cycles_per_step"));
  ESPALIER_TRY(const Part sram, document.object("sram"));
  ESPALIER_TRY(check.sram_promised, sram.get<std::int64_t>("promised"));
  ESPALIER_CHECK_OK(document.each("kernels", [&](const Part& part) -> Status {
    Check::Kernel kernel;
    ESPALIER_TRY(kernel.name, part.get<std::string>("name"));
    ESPALIER_TRY(kernel.cycles, part.get<double>("cycles"));
    ESPALIER_TRY(kernel.instructions, part.get<double>("instructions"));
    ESPALIER_TRY(kernel.macs, part.find<double>("macs"));
    ESPALIER_TRY(kernel.cycles_per_mac, part.find<double>("cycles_per_mac"));
    check.kernels.push_back(std::move(kernel));
    return Ok{};
  }));
  all.checks.push_back(std::move(check));
  return Ok{};
}

using Reader = Status (*)(const Part&, const std::string&, Documents&);
struct Kind {
  std::string_view schema;
  Reader read;
};
constexpr std::array kKinds{
    Kind{"espalier.contributions/1", read_profile}, Kind{"espalier.plan/1", read_plan},
    Kind{"espalier.search/1", read_search},         Kind{"espalier.train/1", read_training},
    Kind{"espalier.inspect/1", read_network},       Kind{"espalier.compile/1", read_compiled},
    Kind{"espalier.program/1", read_compiled},      Kind{"espalier.check/1", read_check},
    Kind{"espalier.sweep_results/1", read_sweep},
};

std::string known_kinds() {
  std::string text;
  for (const Kind& kind : kKinds) text += (text.empty() ? "" : ", ") + std::string(kind.schema);
  return text;
}

struct File {
  fs::path path;
  bool found = false;  // in a folder, not named by the user
};

// A sweep, perhaps one that is not finished. Its profiles and models lie in folders of their own.
bool is_sweep(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path / "trials", error) || fs::exists(path / "sweep.json", error);
}

std::vector<fs::path> with_inner_folders(const std::vector<fs::path>& paths) {
  std::vector<fs::path> all;
  for (const fs::path& path : paths) {
    all.push_back(path);
    if (!is_sweep(path)) continue;
    for (const char* name : {"models", "profiles"}) {
      std::error_code error;
      if (fs::is_directory(path / name, error)) all.push_back(path / name);
    }
  }
  return all;
}

std::vector<std::string> unfinished(const std::vector<fs::path>& paths) {
  std::vector<std::string> warnings;
  for (const fs::path& path : paths) {
    std::error_code error;
    if (is_sweep(path) && !fs::exists(path / "sweep.json", error)) {
      warnings.push_back(
          fmt::format("{}: the sweep is not finished, so final trainings are missing; "
                      "run it again to the end",
                      path.string()));
    }
  }
  return warnings;
}

Result<std::vector<File>> list_files(const std::vector<fs::path>& paths) {
  std::vector<File> files;
  for (const fs::path& path : with_inner_folders(paths)) {
    std::error_code error;
    if (!fs::is_directory(path, error)) {
      files.push_back({path, false});
      continue;
    }
    std::vector<File> inside;
    for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
      if (it->path().extension() == ".json" && it->is_regular_file()) {
        inside.push_back({it->path(), true});
      }
    }
    if (error) {
      return Error{ErrorKind::kMissingInput,
                   fmt::format("{}: cannot be listed: {}", path.string(), error.message())};
    }
    std::sort(inside.begin(), inside.end(),
              [](const File& a, const File& b) { return a.path < b.path; });
    files.insert(files.end(), inside.begin(), inside.end());
  }
  return files;
}

// File names, and the folder's before those that would be alike. Where a file lies on this machine
// is nothing that a page needs to tell.
std::vector<std::string> names_of(const std::vector<File>& files) {
  std::map<std::string, int> count;
  for (const File& file : files) ++count[file.path.filename().string()];
  std::vector<std::string> names;
  for (const File& file : files) {
    std::string name = file.path.filename().string();
    const std::string folder = file.path.parent_path().filename().string();
    if (count[name] > 1 && !folder.empty()) name = folder + "/" + name;
    names.push_back(std::move(name));
  }
  return names;
}

// The document's schema; an empty one for what is not one of ours.
std::string schema_of(const Json& document) {
  if (!document.is_object() || !document.contains("schema")) return "";
  const Json& schema = document.at("schema");
  return schema.is_string() ? schema.get<std::string>() : "";
}

}  // namespace

Result<Documents> read_documents(const std::vector<fs::path>& paths) {
  ESPALIER_TRY(const std::vector<File> files, list_files(paths));
  const std::vector<std::string> names = names_of(files);
  Documents all;
  all.warnings = unfinished(paths);
  std::set<std::string> seen;
  std::vector<std::string> problems;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (files[i].found && is_kept_name(files[i].path.filename().string(), "sweep.json")) {
      all.warnings.push_back(fmt::format(
          "{}: results of another configuration or version; passed over, unless it is named",
          names[i]));
      continue;
    }
    const std::string where = files[i].path.string();
    ESPALIER_TRY(const std::string text, read_file(files[i].path));
    const std::string digest = sha256_hex(text);
    if (!seen.insert(digest).second) continue;
    const Result<Json> document = parse_json(text, files[i].found ? names[i] : where);
    if (!document.ok()) {
      auto& list = files[i].found ? all.warnings : problems;
      list.push_back(document.error().message());
      continue;
    }
    const std::string schema = schema_of(*document);
    const auto* kind = std::find_if(kKinds.begin(), kKinds.end(),
                                    [&](const Kind& k) { return k.schema == schema; });
    if (kind == kKinds.end()) {
      all.warnings.push_back(
          schema.empty() ? fmt::format("{}: has no schema; passed over", names[i])
                         : fmt::format("{}: a report shows nothing of schema '{}'; passed over",
                                       names[i], schema));
      continue;
    }
    const Status read = kind->read({*document, where}, names[i], all);
    if (!read.ok()) {
      problems.insert(problems.end(), read.error().diagnostics.begin(),
                      read.error().diagnostics.end());
      continue;
    }
    all.read.push_back({names[i], schema, digest});
  }
  if (!problems.empty()) return Error{ErrorKind::kBadInput, problems};
  if (all.read.empty()) {
    all.warnings.push_back("no document that a report can show; give some of " + known_kinds());
    return Error{ErrorKind::kBadInput, all.warnings};
  }
  return all;
}

}  // namespace espalier::report
