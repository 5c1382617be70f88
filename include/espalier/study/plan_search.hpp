// The measured search on a model: problems from a contribution profile, gains from trials, plans
// from the answer. What single gains promise is where it starts; what it reports was measured.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "espalier/contribution/profile.hpp"
#include "espalier/selection/selection.hpp"
#include "espalier/study/measured_search.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"
#include "espalier/train/network.hpp"
#include "espalier/trials/rate_sweep.hpp"
#include "espalier/trials/runner.hpp"
#include "espalier/trials/sets.hpp"
#include "espalier/trials/trial.hpp"

namespace espalier::study {

/// A plan to measure as well, and what messages call it.
struct KnownPlan {
  std::string name;
  plan::UpdatePlan plan;
};

struct PlanSearchOptions {
  /// Metric and constraints. The evolution finds the additive optimum of costs that are functions;
  /// the solver is not read.
  selection::SelectionOptions selection;
  MeasuredSearchOptions search;  ///< `known` and `progress` are set here
  /// With a limit, measuring stops when the race alone would take what is left of it. How much is
  /// measured then depends on the machine, and on what the store holds already.
  std::optional<double> seconds;
  trials::Trial trial;  ///< recipe, numerics and head; plan and seed are filled in
  /// Of both races, but for the rate at search.rates: the recipe that the plan is for, so that what
  /// decides is what counts. Without one it is the trial's.
  std::optional<train::Recipe> race_recipe;
  /// Rates to race at come from short trainings (trials::sweep_rates) of the additive optimum of
  /// the least and of the largest budget, in place of search.rates (docs/decisions/0018).
  bool automatic_rates = false;
  trials::RunOptions run;  ///< threads, store, memory, progress
  /// Plans to measure besides, such as published ones. Those that the search has no candidate for
  /// are left out, and those that exceed every budget, each with a warning that says why.
  std::vector<KnownPlan> known;
};

struct PlanSearchResult {
  std::vector<trials::RateSweep> rate_sweeps;  ///< of automatic rates: least budget, largest
  MeasuredSearchResult search;
  std::vector<selection::Selected> plans;  ///< by budget; objectives are sums of single gains
};

/// Searches all budgets, which share what is measured; each must allow training the head. The head
/// of the network's graph counts in memory and MACs as it is. The result depends neither on threads
/// nor on what the store holds. Errors: those of selection::check(), measured_search() and the
/// trials.
Result<PlanSearchResult> search_plans(const train::Network& network,
                                      const contribution::Profile& profile,
                                      const std::vector<Bytes>& budgets,
                                      const trials::RaceSets& sets,
                                      const PlanSearchOptions& options);

/// Warns where a profile, called `name`, was not measured on these validation samples: a race,
/// which shuns them, may then see some that the profile has seen.
void warn_of_other_samples(const contribution::Profile& profile, const std::string& name,
                           const trials::RaceSets& sets);

/// Says how many samples that judge a race an analysis, called `name`, of so many training samples
/// trained on, where there were too few for it to train on none.
void tell_of_trained_judges(std::int64_t trained, const std::string& name,
                            const trials::RaceSets& sets);

/// Warns of what a found plan, called `name`, is not to be trusted in: trainings of its race that
/// diverged, rates that none bore, a gain below the head's alone.
void warn_of_race(const MeasuredPlan& plan, const std::string& name,
                  const PlanSearchOptions& search);

/// The candidate of a plan, or nullopt when the profile's ratios cannot express it.
std::optional<search::Candidate> candidate_of(const ir::Graph& graph,
                                              const contribution::Profile& profile,
                                              const plan::UpdatePlan& plan);

/// Rates between half of what two sweeps chose, a factor of the square root of two apart, and
/// `usual`; ascending. Short trainings choose twice the rate that is best for long ones.
std::vector<double> rates_between(double one, double other, double usual);

/// What was measured over all budgets: how many trainings, what the fitted model says, and how well
/// sums of single gains and the model rank the plans.
Json to_json(const MeasuredSearchResult& result);

/// The race for one budget.
Json to_json(const MeasuredPlan& plan, const contribution::Profile& profile);

}  // namespace espalier::study
