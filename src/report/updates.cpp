#include "updates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <tuple>

#include "espalier/support/bytes.hpp"
#include "espalier/support/statistics.hpp"

namespace espalier::report {
namespace {

// The name of a file without its ending, and without the seed that often stands in front of it.
std::string stem(const std::string& file) {
  const std::filesystem::path name = std::filesystem::path(file).filename().stem();
  const std::string seed = name.extension().string();
  const bool digits =
      seed.size() > 1 && seed.find_first_not_of("0123456789", 1) == std::string::npos;
  return digits ? name.stem().string() : name.string();
}

bool same_plan(const Plan& plan, const Training& training) {
  if (plan.model.sha256 != training.model.sha256) return false;
  if (!training.plan_sha256.empty() && plan.sha256 == training.plan_sha256) return true;
  if (plan.bias_depth != training.bias_depth ||
      plan.updates.size() != static_cast<std::size_t>(training.weights)) {
    return false;
  }
  if (training.updates) return plan.updates == *training.updates;
  // Older documents do not name the plan; depth, number of weights and memory tell plans apart.
  return !plan.analytic_bytes || *plan.analytic_bytes == training.analytic_bytes;
}

std::string kind_of(const Update& update) {
  if (update.bias_depth == 0) return "head only";
  if (update.weights == 0) return "biases";
  const bool whole = !update.updates || std::all_of(update.updates->begin(), update.updates->end(),
                                                    [](const auto& u) { return u.ratio == 1; });
  return update.weights == update.bias_depth && whole ? "last k" : "sparse";
}

// The files and classes that its trainings are of, those that ran away included; empty without any.
std::string source_of(const Update& update) {
  for (const auto* list : {&update.trainings, &update.diverged}) {
    if (!list->empty()) return list->front()->source;
  }
  return "";
}

// The sum of contributions, when each part was measured; channels that take turns count as those
// that do not, as in searches.
std::optional<double> summed(const Profile& profile, const Update& update, Metric metric) {
  const auto pick = [&](const Gains& gains) {
    return metric == Metric::kAccuracy ? gains.accuracy : gains.loss;
  };
  if (update.weights > 0 && !update.updates) return std::nullopt;
  double sum = 0;
  if (update.bias_depth > 0) {
    const auto bias = std::find_if(profile.bias.begin(), profile.bias.end(),
                                   [&](const auto& b) { return b.depth == update.bias_depth; });
    if (bias == profile.bias.end() || !pick(bias->gains)) return std::nullopt;
    sum = pick(bias->gains)->mean;
  }
  for (const WeightUpdate& wanted : update.updates.value_or(std::vector<WeightUpdate>())) {
    const auto weight = std::find_if(profile.weight.begin(), profile.weight.end(),
                                     [&](const auto& w) { return w.update.same_part(wanted); });
    if (weight == profile.weight.end() || !pick(weight->gains)) return std::nullopt;
    sum += pick(weight->gains)->mean;
  }
  return sum;
}

const Plan* plan_of(const Documents& documents, const Training& training) {
  const Plan* found = nullptr;
  for (const Plan& plan : documents.plans) {
    if (!training.plan_sha256.empty() && plan.sha256 == training.plan_sha256) return &plan;
    if (found == nullptr && same_plan(plan, training)) found = &plan;
  }
  return found;
}

void take_plan(Update& update, const Plan& plan) {
  update.label = stem(plan.file);
  if (plan.of_front) update.label += " " + format_bytes(Bytes{plan.budget_bytes.value_or(0)});
  update.model = plan.model;
  update.bias_depth = plan.bias_depth;
  update.weights = static_cast<int>(plan.updates.size());
  update.updates = plan.updates;
  update.analytic_bytes = plan.analytic_bytes;
  update.sram_bytes = plan.planned_bytes;
  if (plan.predicted_gain && plan.gain_metric == "accuracy") {
    update.predicted.accuracy = plan.predicted_gain;
  }
  if (plan.predicted_gain && plan.gain_metric == "loss")
    update.predicted.loss = plan.predicted_gain;
}

void take_training(Update& update, const Training& training) {
  if (!training.label.empty()) {
    update.label = training.label;
    update.names = {training.label};
  }
  if (update.label.empty()) update.label = stem(training.file);
  update.kind = training.kind;
  update.model = training.model;
  update.bias_depth = training.bias_depth;
  update.weights = training.weights;
  if (training.updates) update.updates = training.updates;
  if (training.weights == 0) update.updates.emplace();
  update.analytic_bytes = training.analytic_bytes;
  update.budget_bytes = training.budget_bytes;
  if (training.sram_bytes) update.sram_bytes = training.sram_bytes;
}

// What else a sweep calls the same plan.
void take_name(Update& update, const Training& training) {
  if (training.label.empty() || update.names.empty() ||
      std::find(update.names.begin(), update.names.end(), training.label) != update.names.end()) {
    return;
  }
  update.names.push_back(training.label);
  update.label += ", " + training.label;
}

bool is_lost(const Training& training) {
  return !training.accuracy || !training.loss || training.collapsed;
}

std::string outcome(const Training& training) {
  if (!training.accuracy || !training.loss) return "no accuracy (it diverged)";
  return fmt::format("an accuracy of {:.4f}{}", *training.accuracy,
                     training.collapsed ? " (it collapsed)" : "");
}

// By seed: where the training of this seed is, or belongs.
std::vector<const Training*>::iterator place_of(std::vector<const Training*>& trainings,
                                                std::int64_t seed) {
  return std::find_if(trainings.begin(), trainings.end(),
                      [&](const Training* t) { return t->seed >= seed; });
}

void take_seed(Update& update, const Training& training, std::vector<std::string>& conflicts) {
  // The same training again says nothing new.
  for (std::vector<const Training*>* list : {&update.trainings, &update.diverged}) {
    const auto place = place_of(*list, training.seed);
    if (place == list->end() || (*place)->seed != training.seed) continue;
    const Training& first = **place;
    if (is_lost(first) != is_lost(training) || first.accuracy != training.accuracy ||
        first.loss != training.loss) {
      conflicts.push_back(fmt::format(
          "{}, seed {}: {} has {}, {} has {} from the same training; the first is shown",
          update.label, training.seed, first.file, outcome(first), training.file,
          outcome(training)));
    }
    return;
  }
  auto& list = is_lost(training) ? update.diverged : update.trainings;
  list.insert(place_of(list, training.seed), &training);
}

void measure(Update& update) {
  std::vector<double> accuracy;
  std::vector<double> loss;
  for (const Training* training : update.trainings) {
    accuracy.push_back(*training->accuracy);
    loss.push_back(*training->loss);
  }
  update.reached = {estimate(accuracy), estimate(loss)};
  std::vector<double> balanced;
  for (const Training* training : update.trainings) {
    if (training->balanced) balanced.push_back(*training->balanced);
  }
  if (balanced.size() == update.trainings.size()) update.balanced = estimate(balanced);
}

std::vector<std::pair<const Training*, const Training*>> pairs_by_seed(const Update& a,
                                                                       const Update& b) {
  std::vector<std::pair<const Training*, const Training*>> pairs;
  for (const Training* training : a.trainings) {
    for (const Training* other : b.trainings) {
      if (other->seed == training->seed) pairs.emplace_back(training, other);
    }
  }
  return pairs;
}

// Against the head alone in the same setting, seed by seed.
void compare(Update& update, const Update& head) {
  std::vector<double> loss;
  for (const auto& [mine, its] : pairs_by_seed(update, head)) {
    loss.push_back(*its->loss - *mine->loss);
  }
  update.gained = {estimate(paired_accuracy(update, head)), estimate(loss)};
}

void predict(Update& update, const Documents& documents) {
  const Profile* profile = profile_for(documents, update);
  if (profile == nullptr) return;
  const auto take = [&](std::optional<double>& value, Metric metric) {
    const std::optional<double> sum = summed(*profile, update, metric);
    if (sum) value = sum;
  };
  take(update.predicted.accuracy, Metric::kAccuracy);
  take(update.predicted.loss, Metric::kLoss);
}

void take_device(Update& update, const std::string& plan, const Documents& documents) {
  for (const Compiled& compiled : documents.compiled) {
    if (plan.empty() || compiled.plan_sha256 != plan) continue;
    update.sram_bytes = compiled.sram_bytes;
    if (compiled.program.empty()) continue;
    for (const Check& check : documents.checks) {
      if (check.program == compiled.program && check.target == compiled.target &&
          check.sram_promised == compiled.sram_bytes && check.equal) {
        update.cycles_per_step = check.cycles_per_step;
      }
    }
  }
}

void make_labels_unique(std::vector<Update>& updates) {
  std::set<std::tuple<std::string, int, std::string>> taken;
  for (Update& update : updates) {
    const std::string given = update.label;
    for (int n = 2; !taken.insert({update.model.sha256, update.setting, update.label}).second;
         ++n) {
      update.label = fmt::format("{} ({})", given, n);
    }
  }
}

}  // namespace

const Profile* profile_for(const Documents& documents, const Update& update) {
  const std::string source = source_of(update);
  const Profile* found = nullptr;
  for (const Profile& profile : documents.profiles) {
    if (profile.model.sha256 != update.model.sha256) continue;
    if (!source.empty() && profile.source == source) return &profile;
    if (found == nullptr) found = &profile;
  }
  return found;
}

std::vector<double> paired_accuracy(const Update& update, const Update& other) {
  std::vector<double> above;
  for (const auto& [mine, its] : pairs_by_seed(update, other)) {
    above.push_back(*mine->accuracy - *its->accuracy);
  }
  return above;
}

bool takes_turns(const Update& update) {
  return update.updates && std::any_of(update.updates->begin(), update.updates->end(),
                                       [](const WeightUpdate& u) { return u.turns > 1; });
}

std::optional<Estimate> estimate(const std::vector<double>& values) {
  if (values.empty()) return std::nullopt;
  const auto n = static_cast<double>(values.size());
  Estimate result;
  for (const double value : values) result.mean += value / n;
  if (values.size() >= 2) result.standard_error = standard_error(values, result.mean);
  return result;
}

Updates collect_updates(const Documents& documents) {
  Updates result;
  std::vector<std::string> plan_ids;  // by update; empty when unknown
  std::set<const Plan*> trained;
  using Key = std::tuple<std::string, int, std::string>;
  std::map<Key, std::size_t> known;
  for (const Training& training : documents.trainings) {
    auto setting = std::find(result.settings.begin(), result.settings.end(), training.setting);
    if (setting == result.settings.end()) {
      setting = result.settings.insert(setting, training.setting);
    }
    const auto index = static_cast<int>(setting - result.settings.begin());
    const Plan* plan = plan_of(documents, training);
    std::string what = plan != nullptr ? plan->sha256
                       : !training.plan_sha256.empty()
                           ? training.plan_sha256
                           : fmt::format("{}/{}/{}", training.bias_depth, training.weights,
                                         training.analytic_bytes);
    if (training.rate) what += fmt::format(" at {}", *training.rate);
    if (training.head_epochs) what += fmt::format(" behind {}", *training.head_epochs);
    if (training.warmup_epochs) what += fmt::format(" warmed up {}", *training.warmup_epochs);
    if (training.clip) what += fmt::format(" clipped at {}", *training.clip);
    const auto [entry, fresh] =
        known.insert({{training.model.sha256, index, what}, result.all.size()});
    if (fresh) {
      Update update;
      if (plan != nullptr) take_plan(update, *plan);
      take_training(update, training);
      update.setting = index;
      result.all.push_back(std::move(update));
      plan_ids.push_back(plan != nullptr ? plan->sha256 : training.plan_sha256);
    }
    if (!fresh) take_name(result.all[entry->second], training);
    if (plan != nullptr) trained.insert(plan);
    take_seed(result.all[entry->second], training, result.conflicts);
  }
  for (const Plan& plan : documents.plans) {
    if (trained.contains(&plan)) continue;
    Update update;
    take_plan(update, plan);
    result.all.push_back(std::move(update));
    plan_ids.push_back(plan.sha256);
  }
  for (std::size_t i = 0; i < result.all.size(); ++i) {
    Update& update = result.all[i];
    if (update.kind.empty()) update.kind = kind_of(update);
    measure(update);
    predict(update, documents);
    take_device(update, plan_ids[i], documents);
  }
  for (const Update& head : result.all) {
    if (head.kind != "head only") continue;
    for (Update& update : result.all) {
      if (update.setting != head.setting || update.model.sha256 != head.model.sha256) continue;
      if (!update.gained.accuracy) compare(update, head);
    }
  }
  std::stable_partition(result.all.begin(), result.all.end(),
                        [](const Update& u) { return u.kind == "head only"; });
  make_labels_unique(result.all);
  return result;
}

}  // namespace espalier::report
