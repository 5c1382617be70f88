// Trainings grouped by what they train, joined with plans and predictions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "espalier/report/build.hpp"

namespace espalier::report {

/// A value by Metric.
template <typename T>
struct ByMetric {
  T accuracy{};
  T loss{};
  [[nodiscard]] const T& of(Metric metric) const {
    return metric == Metric::kAccuracy ? accuracy : loss;
  }
};

/// One update of one model: a plan, trainings of it in one setting, or both.
struct Update {
  std::string label;               ///< unique among the updates of a model and a setting
  std::vector<std::string> names;  ///< that sweeps call it: one plan may have several
  std::string kind;  ///< head only, biases, last k, or sparse; of a sweep also published or found
  Model model;
  int setting = -1;  ///< index in Updates::settings; -1 when never trained
  int bias_depth = 0;
  int weights = 0;
  std::optional<std::vector<WeightUpdate>> updates;
  std::optional<std::int64_t> analytic_bytes;
  std::optional<std::int64_t> budget_bytes;  ///< of the search that found it in a sweep
  std::optional<std::int64_t> sram_bytes;
  std::optional<double> cycles_per_step;
  std::vector<const Training*> trainings;  ///< by seed, without those that ran away
  std::vector<const Training*> diverged;   ///< or collapsed, by seed; a seed is in one of the two
  ByMetric<std::optional<Estimate>> reached;
  std::optional<Estimate> balanced;  ///< accuracy over classes, where every training says it
  ByMetric<std::optional<Estimate>> gained;   ///< over the head alone, paired by seed
  ByMetric<std::optional<double>> predicted;  ///< sum of contributions, or as the plan says
};

struct Updates {
  std::vector<std::string> settings;
  std::vector<Update> all;  ///< in the order in which documents name them, head only first
  std::vector<std::string> conflicts;  ///< documents that disagree about one training
};

/// `documents` must outlive the result.
Updates collect_updates(const Documents& documents);

/// The profile that was measured on the data of its trainings, otherwise the model's first one;
/// null without any.
const Profile* profile_for(const Documents& documents, const Update& update);

/// What `update` reached above `other`, by seed; seeds of one alone, or that ran away, left out.
std::vector<double> paired_accuracy(const Update& update, const Update& other);

/// Whether channels of it take turns, of which single gains know nothing.
bool takes_turns(const Update& update);

/// Mean and standard error; the latter for two values and more.
std::optional<Estimate> estimate(const std::vector<double>& values);

}  // namespace espalier::report
