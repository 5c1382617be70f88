// One model on one dataset: what a sweep trains of it, and which plans.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "espalier/contribution/analysis.hpp"
#include "espalier/data/samples.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/selection/selection.hpp"
#include "espalier/study/plan_search.hpp"
#include "espalier/study/sweep_config.hpp"
#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"
#include "espalier/train/network.hpp"
#include "espalier/trials/sets.hpp"
#include "espalier/trials/trial.hpp"

namespace espalier::study {

/// A plan with the name it has in tables and files.
struct NamedPlan {
  std::string name;
  std::string kind;  ///< head_only, bias_only, last_k, full, published, found
  plan::UpdatePlan plan;
  OwnRecipe own;
  Json search;  ///< `measured` and `race` of a measured search, as `search` reports; otherwise null
  std::optional<Bytes> planned;  ///< its planned memory, where that is what its budget bounds
};

/// What a search may take, and what its plan is called.
struct NamedBudget {
  std::string plan;
  Bytes bytes;
};

/// One final training.
struct SweepEntry {
  std::size_t plan = 0;    ///< in the list of plans
  std::size_t recipe = 0;  ///< in the configuration's list
  trials::Trial trial;
};

/// Contributions that the configuration names, and the document that they were read from.
struct GivenProfile {
  Json document;
  contribution::Profile profile;
};

class SweepPair {
 public:
  /// Reads model and data. The configuration and its parts must outlive it.
  static Result<SweepPair> load(const SweepConfig& config, const SweepModel& model,
                                const SweepDataset& dataset);

  [[nodiscard]] std::string label() const { return model_->name + " on " + dataset_->name; }
  [[nodiscard]] std::string file_stem() const { return study::file_stem(*model_, *dataset_); }
  [[nodiscard]] const std::string& model() const { return model_->name; }
  [[nodiscard]] const std::string& dataset() const { return dataset_->name; }
  [[nodiscard]] const train::Network& network() const { return *network_; }
  [[nodiscard]] const ir::Graph& graph() const { return network_->graph(); }
  /// The same with the classifier of the model's file in place of one for the data's classes.
  [[nodiscard]] ir::Graph graph_of_file() const;
  /// Of the final trainings.
  [[nodiscard]] const data::Samples& training() const { return *training_; }
  [[nodiscard]] const data::Samples& test() const { return *test_; }
  /// Of a measured search, by its place among the configuration's searches.
  [[nodiscard]] const trials::RaceSets& race_sets(std::size_t search) const {
    return race_sets_.at(search);
  }
  /// Of contributions; null when nothing is analysed.
  [[nodiscard]] const trials::SampleSets* analysis_sets() const {
    return analysis_sets_ ? &*analysis_sets_ : nullptr;
  }

  /// Null where contributions are to be measured.
  [[nodiscard]] const GivenProfile* given_profile() const {
    return given_profile_ ? &*given_profile_ : nullptr;
  }

  /// Whether plans are to be found by training them.
  [[nodiscard]] bool measures() const { return !race_sets_.empty(); }

  [[nodiscard]] contribution::AnalysisOptions analysis_options() const;
  /// A recipe of the analysis, of a search or of its races, with the update of the analysis'
  /// numerics.
  [[nodiscard]] train::Recipe found_with(const train::Recipe& recipe) const;
  /// None with given_profile().
  [[nodiscard]] std::vector<trials::Trial> analysis_trials() const;
  /// Plans that need no search.
  [[nodiscard]] Result<std::vector<NamedPlan>> given_plans() const;
  /// What a search measures besides: at the budgets of published plans, these.
  [[nodiscard]] Result<std::vector<KnownPlan>> known_plans(const SweepSearch& search) const;
  /// Those of a search of the configuration, as it names them or as the published plans take.
  [[nodiscard]] Result<std::vector<NamedBudget>> budgets(const SweepSearch& search) const;
  /// Of a search: what is bounded, and by which metric of whose classes it chooses.
  [[nodiscard]] selection::SelectionOptions selection_options(const SweepSearch& search) const;
  [[nodiscard]] std::vector<SweepEntry> entries(const std::vector<NamedPlan>& plans) const;

 private:
  SweepPair(const SweepConfig& config, const SweepModel& model, const SweepDataset& dataset)
      : config_(&config), model_(&model), dataset_(&dataset) {}
  Status read();
  [[nodiscard]] Status check_budgets() const;
  [[nodiscard]] Status check_updates() const;
  [[nodiscard]] std::int64_t most_training_samples() const;
  [[nodiscard]] Result<plan::UpdatePlan> read(const SweepPublished& published) const;
  // Those whose memory is the budget of a search; none where it has budgets of its own.
  [[nodiscard]] std::vector<const SweepPublished*> published(const SweepSearch& search) const;

  const SweepConfig* config_;
  const SweepModel* model_;
  const SweepDataset* dataset_;
  ir::Head head_of_file_;
  std::unique_ptr<train::Network> network_;
  std::optional<GivenProfile> given_profile_;
  std::optional<trials::SampleSets> analysis_sets_;
  std::map<std::size_t, trials::RaceSets> race_sets_;
  std::optional<data::Samples> training_;
  std::optional<data::Samples> test_;
};

}  // namespace espalier::study
