// Measures the contribution of every bias depth and of every conv's weights by training them
// (docs/architecture.md, "Terms" and "Trials"). Trials are independent: results do not depend on
// the number of threads, and finished trials are kept in a store from which a run goes on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "espalier/contribution/profile.hpp"
#include "espalier/data/samples.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/progress.hpp"
#include "espalier/support/result.hpp"
#include "espalier/train/network.hpp"
#include "espalier/trials/store.hpp"
#include "espalier/trials/trial.hpp"

namespace espalier::contribution {

struct AnalysisOptions {
  train::Recipe recipe;  ///< its seed is replaced by each of `seeds`
  trials::Numerics numerics = trials::Numerics::kSimulation;
  bool stochastic = true;  ///< device numerics: rounding of steps; otherwise to nearest
  std::vector<double> ratios{0.125, 0.25, 0.5, 1.0};  ///< ascending, in (0, 1]
  std::vector<int> layers;                            ///< conv indices to measure; empty = all
  std::vector<std::uint64_t> seeds{0};                ///< one training of each update per seed
  int jobs = 1;                                       ///< threads
  Bytes cache_limit{std::int64_t{2} << 30};           ///< of all cached prefixes; beyond: recompute
  bool fisher = false;                                ///< also the Fisher scores, seed seeds[0]
  /// Measuring stops after so long, what is worth most first: see by_worth(). How much is measured
  /// then depends on the machine, and on what the store holds; each trial does not.
  std::optional<double> seconds;
  /// So much of all trials is measured, what is worth most first; in (0, 1], below 1 not with
  /// `seconds`. Unlike there, the result depends on nothing else.
  double share = 1;
  const trials::Store* store = nullptr;  ///< of finished trials; null = none
  bool finish_running = false;           ///< as trials::RunOptions has it
  std::string or_else;                   ///< likewise
  ProgressOptions progress;
};

/// Whether a graph can be measured so. kUsage with everything that is out of range.
Status check(const ir::Graph& graph, const AnalysisOptions& options);

/// Every training the options ask for, without duplicates: a ratio that keeps no channel, or as
/// many as a smaller ratio, is left out.
std::vector<TrialSpec> list_trials(const ir::Graph& graph, const AnalysisOptions& options);

/// The trials of list_trials() that the profile does not hold, the most telling first, so that
/// every beginning of the work makes a profile to search in. First, with the first seed: the head
/// and bias depths, coarse to fine; weights of all channels and of about a quarter, from the last
/// conv on. Then, seed by seed, what decides the plans that a search would take with the gains so
/// far, under a few budgets of analytic memory: what is in these plans (with the first seed, ratios
/// that were not measured and gain what lies between those that were); the ratios and bias depths
/// next to it; convs that a plan leaves out for little. Then everything else: the other ratios, of
/// convs that gained most first, and the same with the next seeds. Where there are no such plans,
/// everything else follows at once. Each trial comes after those that it is measured against. The
/// derived members of the profile must be up to date.
std::vector<TrialSpec> by_worth(const ir::Graph& graph, const AnalysisOptions& options,
                                const Profile& profile);

/// The plan that a trial trains.
plan::UpdatePlan trial_plan(const ir::Graph& graph, const TrialSpec& spec);

/// The training that a spec stands for, with the recipe of the options.
trials::Trial trial_of(const ir::Graph& graph, const TrialSpec& spec,
                       const AnalysisOptions& options);

struct AnalysisEstimate {
  std::int64_t trials = 0;
  double macs = 0;     ///< multiply-accumulates of all trainings
  double seconds = 0;  ///< from a short measurement on this machine
};

/// What an analysis will take.
AnalysisEstimate estimate_cost(const train::Network& network, std::int64_t training_samples,
                               std::int64_t validation_samples, const AnalysisOptions& options);

/// The Fisher scores of the updates an analysis would measure, before any is.
Result<FisherScores> early_scores(const train::Network& network, const data::Samples& training,
                                  const AnalysisOptions& options);

/// Runs the analysis: which trials it takes, and what they mean. Trials that the store holds are
/// not run again, whatever analysis they were run for. Errors: those of trials::run_trials();
/// kUsage for options out of range.
Result<Profile> analyze(const train::Network& network, const data::Samples& training,
                        const data::Samples& validation, const AnalysisOptions& options);

}  // namespace espalier::contribution
