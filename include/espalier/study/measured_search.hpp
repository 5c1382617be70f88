// Search that measures whole plans. Adding up single gains says where good plans may be; training
// them says which are. Rounds of: fit a model to what was measured, draw gains from its posterior,
// solve the drawn problem, measure the plans that win (Thompson sampling: Thompson,
// Biometrika 25, 1933). The finalists then race with seeds and samples that nothing before used,
// because the best of many noisy measurements is partly luck.
//
// Drawn problems with additive costs are solved exactly. Costs that are functions are asked for as
// little as possible: the optimum under the additive costs that stand in for them, limits fitted,
// begins a short evolution (docs/decisions/0017-measured-search-under-any-cost.md).
//
// Knows candidates, gains and costs as numbers only; who asks supplies the trainings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "espalier/search/problem.hpp"
#include "espalier/study/plan_model.hpp"
#include "espalier/support/result.hpp"

namespace espalier::study {

/// What a training is for. The races see samples of their own.
enum class Stage {
  kSearch,
  kRace,   ///< which plan
  kRates,  ///< at which learning rate
};

/// One training that is asked for.
struct Request {
  search::Candidate candidate;
  std::uint64_t seed = 0;
  Stage stage = Stage::kSearch;
  double rate = 0;  ///< of kRates alone: the peak learning rate

  bool operator==(const Request&) const = default;
};

/// The gains of the requests in their order, each over training the head alone with the same seed
/// and samples; nullopt for a training that diverged. Must be a pure function of each request.
using Measure =
    std::function<Result<std::vector<std::optional<double>>>(const std::vector<Request>&)>;

struct MeasuredSearchOptions {
  int measurements = 240;  ///< trainings before the race, over all problems; at least 1
  int batch = 12;          ///< trainings proposed at once: enough to fill the threads
  std::vector<std::uint64_t> seeds{0, 1, 2, 3};  ///< of the trainings before the race; distinct
  int draws = 48;                                ///< posterior draws a proposal is chosen from
  /// Plans of each problem that race, the additive optimum among them, at least 2; and of the known
  /// ones that fit the best by the model, where it is none of these.
  int finalists = 6;
  int race_seeds = 5;                         ///< most trainings of one finalist, at least 2
  std::uint64_t first_race_seed = 1'000'000;  ///< and the ones after it
  /// Learning rates at which the winner of each problem is trained, `race_seeds` times at most;
  /// none leaves it at that of the search.
  std::vector<double> rates;
  /// All plans of the race run it at each of `rates`, instead of the winner alone behind it, and a
  /// RateModel of all these trainings decides.
  bool rates_of_finalists = false;
  /// That of the other trainings. Where it is among `rates`, another is chosen only if it is likely
  /// to be ahead (84 %, by Student's t of the paired differences or by the RateModel): the best of
  /// several is partly luck.
  std::optional<double> usual_rate;
  Prior prior = Prior::kSingleGains;     ///< of the model
  std::vector<search::Candidate> known;  ///< plans to measure as well, where they fit
  /// By problem, feasible: the best of the sum of single gains, where that is known. Found here
  /// when empty.
  std::vector<search::Candidate> additive;
  std::uint64_t seed = 0;      ///< of every random choice
  int jobs = 1;                ///< threads of proposals; the result does not depend on it
  std::function<bool()> stop;  ///< asked between batches; true starts the race
  /// Called after each batch with trainings done and planned, the race included.
  std::function<void(int done, int planned)> progress;
};

/// Most trainings that the races of so many problems take once so many plans were measured, which
/// may be fewer than finalists.
int race_trainings(const MeasuredSearchOptions& options, std::size_t problems,
                   int measured = std::numeric_limits<int>::max());

/// One plan that raced.
struct Finalist {
  search::Candidate candidate;
  Prediction predicted;        ///< by the model, before the race
  std::vector<double> gains;   ///< by race seed
  std::optional<double> rate;  ///< its best, which they are of; unset: that of the search
  int diverged = 0;            ///< of these, which count as the worst of their seed, or as no gain
  [[nodiscard]] double mean() const;
  /// Standard error of the mean; 0 with fewer than two gains.
  [[nodiscard]] double standard_error() const;
  /// None of its trainings learned, so that its gain says nothing.
  [[nodiscard]] bool lost() const { return diverged == static_cast<int>(gains.size()); }
};

/// One learning rate of the plan that was chosen.
struct RateTried {
  double rate = 0;
  std::vector<double> gains;  ///< by seed
  bool diverged = false;      ///< with some seed; never chosen
  [[nodiscard]] double mean() const;
  [[nodiscard]] double standard_error() const;
};

/// What was found for one problem.
struct MeasuredPlan {
  search::Solution solution;  ///< objective: mean gain in the race
  double standard_error = 0;  ///< of that
  /// The optimum of the sum of single gains; under costs that are functions the best that was
  /// found.
  search::Solution additive;
  /// Best first; the additive optimum among them. Where what won another problem's race is surely
  /// ahead of what won this one's, each at its rate, and fits, it stands before them.
  std::vector<Finalist> finalists;
  double over_runner_up = 0;     ///< probability that the winner is better, paired by seed
  double over_additive = 0;      ///< likewise; 0.5 when it is the same plan
  std::vector<RateTried> rates;  ///< the chosen one, then best first; empty when none were asked
  std::optional<double> rate;    ///< the first of them; nullopt when all diverged, too
  /// At the rate that it carries, where one raced.
  [[nodiscard]] double gain() const;
  /// Its gain says nothing: in the race no training learned or, where finalists race at rates, one
  /// at every rate did not.
  [[nodiscard]] bool lost() const;
};

/// How predictions rank what was measured: over plans, means over seeds.
struct Agreement {
  std::optional<double> rank;  ///< Spearman's correlation; nullopt below three plans
  /// The same among plans of one budget, each under the tightest that it fits: the mean over
  /// budgets, weighted by plans. Over all, sizes alone rank well.
  std::optional<double> rank_within;
  std::optional<double> r2;  ///< share of the variance explained
};

struct MeasuredSearchResult {
  std::vector<MeasuredPlan> plans;  ///< by problem
  std::vector<Observation> observations;
  ModelScales scales;
  double shrinkage = 1;  ///< what single gains are multiplied by
  Agreement before;      ///< sums of single gains
  Agreement after;       ///< the model, each plan predicted from the others
  int measurements = 0;  ///< trainings, the races included
  int diverged = 0;
};

/// Searches all `problems`, which differ in their constraints' limits only and share what is
/// measured. Costs that are functions are those of the first one, and had better remember
/// (search::remembered). Errors: check(), check_feasible() of each problem; kUsage for options out
/// of range; kInterrupted; those of `measure`.
Result<MeasuredSearchResult> measured_search(const std::vector<search::Problem>& problems,
                                             const Measure& measure,
                                             const MeasuredSearchOptions& options = {});

}  // namespace espalier::study
