// Contributions as they are to be believed. A measured gain is the gain and noise of one training
// or a few; that of a conv's eighth and of its quarter are much alike, as are those of neighbouring
// bias depths, and of many gains the largest are partly luck. The model of study/plan_model.hpp,
// fitted to the profile's trials, knows all that.
#pragma once

#include <optional>

#include "espalier/contribution/profile.hpp"
#include "espalier/ir/graph.hpp"
#include "espalier/search/problem.hpp"
#include "espalier/selection/selection.hpp"
#include "espalier/study/plan_model.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/json.hpp"

namespace espalier::study {

/// Probability that a plan gains more than another update of no more analytic memory; the update
/// is the one that gains most by the model.
struct Odds {
  int depth = 0;  ///< biases of the last layers, or last layers with all weights
  double probability = 0;
};

/// A plan beside what needs no search. Nothing where none of the kind fits, or was measured.
struct Confidence {
  double over_head = 0;
  std::optional<Odds> over_biases;
  std::optional<Odds> over_last_layers;
};

class BelievedGains {
 public:
  /// `metric` says which gains are modelled; profile and graph must outlive the object.
  BelievedGains(const ir::Graph& graph, const contribution::Profile& profile,
                selection::Metric metric);

  /// The profile with posterior means in place of measured ones, and of what lies between: ratios
  /// that were not measured where others of the conv were, depths below the deepest measured one.
  [[nodiscard]] contribution::Profile profile() const;
  /// Gains add up in it as the search has it, but with what is not known of each.
  [[nodiscard]] Confidence confidence(const search::Candidate& candidate) const;

 private:
  const ir::Graph& graph_;
  const contribution::Profile& profile_;
  selection::Metric metric_;
  search::Problem problem_;
  PlanModel model_;                          // of the gains
  mutable std::optional<PlanModel> unsure_;  // of how sure they are, once somebody asks
};

Json to_json(const Confidence& confidence);

}  // namespace espalier::study
