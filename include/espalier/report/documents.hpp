// The documents that a report is made of, read into plain structs. Knows nothing of what is shown.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "espalier/support/result.hpp"

namespace espalier::report {

struct Model {
  std::string name;
  std::string sha256;
};

struct Estimate {
  double mean = 0;
  std::optional<double> standard_error;
};

/// Accuracies are shares, losses nats; a gain is without value where a training diverged.
struct Gains {
  std::optional<Estimate> accuracy;
  std::optional<Estimate> loss;
};

struct WeightUpdate {
  int conv = 0;
  double ratio = 0;
  int turns = 1;  ///< sets of channels that take turns
  bool operator==(const WeightUpdate&) const = default;
  /// Whether a profile's gain, which is without turns, is of this conv and ratio.
  [[nodiscard]] bool same_part(const WeightUpdate& other) const {
    return conv == other.conv && ratio == other.ratio;
  }
};

/// espalier.contributions/1
struct Profile {
  struct Bias {
    int depth = 0;
    Gains gains;
  };
  struct Weight {
    WeightUpdate update;
    Gains gains;
  };
  struct Trial {
    int depth = 0;
    std::optional<WeightUpdate> weights;
    std::int64_t seed = 0;
    std::optional<double> accuracy;  ///< absent when diverged
    std::optional<double> loss;
  };
  std::string file;
  Model model;
  std::string source;  ///< digest of the files that its training samples are of
  std::int64_t seeds = 0;
  std::optional<double> head_accuracy;
  std::vector<Bias> bias;
  std::vector<Weight> weight;
  std::vector<Trial> trials;
};

/// espalier.plan/1, alone or in an espalier.search/1
struct Plan {
  std::string file;
  std::string sha256;  ///< of the document as the program writes it
  Model model;
  int bias_depth = 0;
  std::vector<WeightUpdate> updates;
  std::optional<double> predicted_gain;
  std::string gain_metric;
  std::optional<std::int64_t> analytic_bytes;
  std::optional<std::int64_t> planned_bytes;
  std::optional<std::int64_t> budget_bytes;
  bool of_front = false;  ///< one of several in a search document, told apart by budget
};

/// What an espalier.search/1 measured, or one search of an espalier.sweep_results/1.
struct MeasuredSearch {
  /// The final race for one budget. Gains are accuracy over that of the head alone.
  struct Race {
    std::string plan;  ///< what a sweep calls the plan that won; otherwise empty
    std::int64_t budget_bytes = 0;
    std::int64_t memory_bytes = 0;  ///< of the plan, by the model that the budget bounds
    std::int64_t analytic_bytes = 0;
    std::optional<std::int64_t> planned_bytes;
    std::optional<double> step_macs;
    std::optional<double> step_cycles;
    Estimate gained;
    std::int64_t diverged = 0;              ///< of the trainings behind it, or they learned nothing
    bool lost = false;                      ///< none of them says what the plan gains
    std::optional<Estimate> additive;       ///< the optimum of the sum of single gains
    std::optional<double> above_runner_up;  ///< probability; none where no other plan raced
    std::optional<double> above_additive;   ///< likewise; none where it is the same plan
    std::optional<double> rate;             ///< that the plan carries, where rates raced
    std::optional<Estimate> at_rate;        ///< gained at it
  };
  std::string file;
  std::string dataset;  ///< a sweep's name of it; otherwise empty
  Model model;
  bool planned = false;  ///< budgets bound planned memory, not analytic
  std::int64_t trainings = 0;
  std::int64_t diverged = 0;
  /// Rank correlation of what was measured with sums of single gains, and with the fitted model.
  std::optional<double> rank_before;
  std::optional<double> rank_after;
  std::vector<Race> races;  ///< by budget
};

/// espalier.train/1, or one training of espalier.sweep_results/1
struct Training {
  std::string file;
  std::string label;   ///< of its plan, where the document names it; otherwise empty
  std::string kind;    ///< likewise: head only, biases, last k, published or found
  std::string source;  ///< files, by digest, and classes that its training samples are of
  Model model;
  std::string plan_sha256;  ///< empty in older documents
  int bias_depth = 0;
  int weights = 0;                                   ///< convs whose weights are trained
  std::optional<std::vector<WeightUpdate>> updates;  ///< absent in older documents
  std::int64_t analytic_bytes = 0;
  std::optional<std::int64_t> budget_bytes;  ///< of a sweep's search
  std::string setting;  ///< data, recipe, head and numerics in words; equal where comparable
  /// Of this plan in a sweep, in place of the setting's.
  std::optional<double> rate;
  std::optional<std::int64_t> head_epochs;
  std::optional<double> warmup_epochs;
  std::optional<std::int64_t> clip;
  std::int64_t seed = 0;
  std::optional<double> accuracy;  ///< absent when diverged
  std::optional<double> loss;
  std::optional<double> balanced;  ///< accuracy over classes; absent in older documents
  bool collapsed = false;          ///< learned nothing; absent in older documents
  std::optional<std::int64_t> sram_bytes;
};

/// espalier.inspect/1
struct Network {
  struct Conv {
    std::string name;
    std::string kind;  ///< pw1, depthwise, pw2, pointwise, grouped or full
    std::int64_t in_channels = 0;
    std::int64_t out_channels = 0;
  };
  std::string file;
  Model model;
  std::vector<Conv> convs;  ///< by conv index
};

/// espalier.compile/1 or espalier.program/1
struct Compiled {
  struct Value {
    std::string name;
    std::int64_t offset = 0;
    std::int64_t bytes = 0;
    int first_step = 0;
    int last_step = 0;
  };
  std::string file;
  Model model;
  std::string plan_sha256;  ///< empty in older documents
  std::string program;      ///< its name, empty in espalier.compile/1
  std::string target;
  std::int64_t sram_bytes = 0;
  std::int64_t arena_bytes = 0;
  std::int64_t backward_begin = 0;
  std::vector<std::string> steps;  ///< empty, like values, in espalier.program/1
  std::vector<Value> values;
};

/// espalier.check/1
struct Check {
  struct Kernel {
    std::string name;
    double cycles = 0;
    double instructions = 0;
    std::optional<double> macs;
    std::optional<double> cycles_per_mac;
  };
  std::string file;
  std::string program;
  std::string target;
  bool equal = false;
  std::string failure;  ///< empty when the program ran
  std::optional<double> cycles_per_step;
  std::int64_t sram_promised = 0;
  std::vector<Kernel> kernels;
};

struct Read {
  std::string name;  ///< file name, with the folder's where it is not unique
  std::string schema;
  std::string sha256;
};

struct Documents {
  std::vector<Read> read;
  std::vector<std::string> warnings;
  std::vector<Profile> profiles;
  std::vector<Plan> plans;
  std::vector<MeasuredSearch> searches;
  std::vector<Training> trainings;
  std::vector<Network> networks;
  std::vector<Compiled> compiled;
  std::vector<Check> checks;
};

/// Reads documents, told apart by their "schema"; of a folder every *.json that lies in it, by
/// name, and of a sweep's folder also its models and profiles; one that is not finished is warned
/// of. A document given twice counts once. Those of another kind, and a sweep's results of another
/// configuration that lie in its folder, are named in `warnings` and passed over. Errors:
/// kMissingInput, kBadInput naming every faulty document, and when none is of a known kind.
Result<Documents> read_documents(const std::vector<std::filesystem::path>& paths);

}  // namespace espalier::report
