// The configuration of a sweep, `espalier.sweep/1` (reports/schemas/sweep.json): models, datasets,
// what to measure, what to search, what to train.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "espalier/selection/selection.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"
#include "espalier/train/recipe.hpp"
#include "espalier/trials/trial.hpp"

namespace espalier::study {

struct SweepModel {
  std::string name;
  std::filesystem::path file;
  /// Contributions to search with in place of those that an analysis would measure, if any.
  std::optional<std::filesystem::path> profile;
};

struct SweepDataset {
  std::string name;
  std::string train;  ///< dataset specs, files resolved
  std::string test;
  std::string preprocess = "auto";
  std::string classes;
  bool balanced = true;
};

struct SweepAnalysis {
  std::optional<std::int64_t> limit_train;
  std::optional<std::int64_t> limit_validation;
  std::vector<double> ratios{0.125, 0.25, 0.5, 1.0};
  std::vector<int> layers;
  std::vector<std::uint64_t> seeds{0};
  /// Of measured searches and their races, too. On the device an update is of as many samples as in
  /// the final trainings.
  trials::Numerics numerics = trials::Numerics::kSimulation;
  train::Recipe recipe;
};

/// What a plan has in place of the recipe's.
struct OwnRecipe {
  std::optional<double> learning_rate;
  std::optional<int> head_epochs;
  std::optional<double> warmup_epochs;
  std::optional<int> clip;

  [[nodiscard]] bool any() const { return learning_rate || head_epochs || warmup_epochs || clip; }
  [[nodiscard]] train::Recipe applied(train::Recipe recipe) const {
    recipe.learning_rate = learning_rate.value_or(recipe.learning_rate);
    recipe.head_epochs = head_epochs.value_or(recipe.head_epochs);
    recipe.warmup_epochs = warmup_epochs.value_or(recipe.warmup_epochs);
    recipe.clip = clip.value_or(recipe.clip);
    return recipe;
  }
};

/// How the plans of a search are chosen.
enum class SweepSolver { kEvolution, kExact, kAuto, kMeasured };

struct SweepSearch {
  std::vector<Bytes> budgets;
  bool at_published = false;  ///< the budgets are what the model's published plans take
  selection::MemoryModel memory = selection::MemoryModel::kAnalytic;
  SweepSolver solver = SweepSolver::kAuto;
  selection::Metric metric = selection::Metric::kLoss;
  bool believed = true;  ///< posterior means are added up, not gains as measured; not of kMeasured
  bool rotate = false;   ///< as selection::SelectionOptions::rotate
  /// Of kMeasured alone; samples and recipe are the analysis' where unset.
  struct Measure {
    int trainings = 240;  ///< before the race
    std::optional<std::int64_t> limit_train;
    std::optional<train::Recipe> recipe;
    int finalists = 6;   ///< of each budget
    int race_seeds = 5;  ///< of each finalist, at most
    int race_folds = 1;  ///< as trials::load_race_sets() has them
    /// At which the winners race with the recipe of the final trainings; each is then trained at
    /// its best.
    std::vector<double> rates;
    bool automatic_rates = false;     ///< as PlanSearchOptions has it, in place of `rates`
    bool rates_of_finalists = false;  ///< as MeasuredSearchOptions has it
    /// Of the races, and of the final trainings of what is found; it has no rate.
    OwnRecipe own;
  } measure;

  /// `found-50KiB`, and what differs from a plain search, such as `found-50KiB-exact`.
  [[nodiscard]] std::string plan_name(Bytes budget) const;
  /// `found-49KB-exact` at what the published plan `49KB` takes.
  [[nodiscard]] std::string plan_name(std::string_view published) const;
};

/// Depths to make plans of; `all` stands for every one.
struct SweepDepths {
  bool all = false;
  std::vector<int> depths;
};

struct SweepPublished {
  std::string name;
  std::string model;
  Json document;  ///< the published notation
  OwnRecipe own;
};

struct SweepRecipe {
  std::string name;  ///< empty when there is one alone
  train::Recipe recipe;
};

struct SweepTraining {
  std::int64_t limit_train = 0;
  std::int64_t limit_test = 0;
  std::vector<std::uint64_t> seeds;
  std::vector<trials::Numerics> numerics{trials::Numerics::kSimulation};
  int accumulate = 1;
  bool stochastic = true;
  std::vector<SweepRecipe> recipes;
};

struct SlurmOptions {
  int shards = 4;
  std::string partition;
  std::string time = "1:00:00";
  int cpus = 2;
  std::string memory = "4G";
  std::optional<int> array_limit;  ///< tasks at once
};

struct SweepConfig {
  std::string name;
  std::string sha256;  ///< of the document without its comments
  std::vector<SweepModel> models;
  std::vector<SweepDataset> datasets;
  std::optional<SweepAnalysis> analysis;
  std::vector<SweepSearch> searches;
  bool head_only = true;
  SweepDepths bias_only;
  SweepDepths last_k;
  bool full = false;
  std::vector<SweepPublished> published;
  SweepTraining training;
  SlurmOptions slurm;
};

/// Reads a configuration; comments as in C are allowed. Files are relative to it, and ${NAME} in
/// them is the value of an environment variable. Errors:
/// kMissingInput; kBadInput lists every violation of the schema with its place, unknown members
/// with the nearest known one, names that are used twice or are not declared, and pairs of a model
/// and a dataset whose files would have the same names.
Result<SweepConfig> load_sweep_config(const std::filesystem::path& path);

/// The same from text; `where` begins diagnostics and relative files are below `folder`.
Result<SweepConfig> parse_sweep_config(std::string_view text, std::string_view where,
                                       const std::filesystem::path& folder);

/// Leaves in the configuration these of its models, and the published plans of these. kUsage for a
/// name that is none of them.
Status keep_models(SweepConfig& config, const std::vector<std::string>& names);

/// What names of files begin with that are of one model on one dataset.
std::string file_stem(const SweepModel& model, const SweepDataset& dataset);

/// Every file and folder that a sweep reads, but the configuration.
std::vector<std::filesystem::path> inputs_of(const SweepConfig& config);

}  // namespace espalier::study
