#include "espalier/study/measured_search.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <set>

#include "espalier/search/evolution.hpp"
#include "espalier/search/exact.hpp"
#include "espalier/search/stand_in.hpp"
#include "espalier/study/rate_model.hpp"
#include "espalier/support/interrupt.hpp"
#include "espalier/support/statistics.hpp"
#include "espalier/train/parallel.hpp"
#include "together.hpp"

namespace espalier::study {
namespace {

using search::Candidate;
using search::is_feasible;
using search::Problem;

struct ByContent {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return a.depth != b.depth ? a.depth < b.depth : a.choice < b.choice;
  }
};

// Every plan one step away: another depth, another option of one layer, or an option that moves to
// another layer. Those that are not feasible are left out only where that is known at once.
std::vector<Candidate> neighbours(const Problem& problem, const Candidate& centre) {
  const bool additive = search::is_additive(problem);
  std::vector<Candidate> found;
  const auto keep = [&](const Candidate& candidate) {
    if (!additive || is_feasible(problem, candidate)) found.push_back(candidate);
  };
  for (int depth = 0; depth <= problem.layers; ++depth) {
    if (depth == centre.depth) continue;
    Candidate next = centre;
    next.depth = depth;
    for (int layer = 0; layer < problem.layers - depth; ++layer) {
      next.choice[static_cast<std::size_t>(layer)] = 0;
    }
    keep(next);
  }
  const int first = problem.layers - centre.depth;
  for (int layer = first; layer < problem.layers; ++layer) {
    const auto at = static_cast<std::size_t>(layer);
    for (int option = 0; option <= problem.options; ++option) {
      if (option == centre.choice[at]) continue;
      Candidate next = centre;
      next.choice[at] = static_cast<std::uint8_t>(option);
      keep(next);
      if (centre.choice[at] == 0 || option >= centre.choice[at]) continue;
      for (int other = first; other < problem.layers; ++other) {
        const auto to = static_cast<std::size_t>(other);
        if (other == layer || centre.choice[to] == problem.options) continue;
        Candidate moved = next;
        ++moved.choice[to];
        keep(moved);
      }
    }
  }
  return found;
}

Error interrupted_error() { return {ErrorKind::kInterrupted, "search: interrupted"}; }

// The plan of most additive gain: the optimum, or what the evolution that searches without
// measuring finds.
Result<Candidate> solve_once(const Problem& problem, const MeasuredSearchOptions& options) {
  if (search::is_additive(problem)) {
    ESPALIER_TRY(search::ExactResult exact, search::solve_exact(problem));
    return std::move(exact.best.candidate);
  }
  search::EvolutionOptions evolution;
  evolution.seed = options.seed;
  evolution.jobs = options.jobs;
  evolution.initial = search::stand_in_optima(problem, search::empty_candidate(problem));
  evolution.stop = [] { return interrupted(); };
  ESPALIER_TRY(search::EvolutionResult found, search::solve_evolution(problem, evolution));
  if (interrupted()) return interrupted_error();
  return std::move(found.best.candidate);
}

// The same, quickly, for one of many draws of the gains: `near` are feasible plans that were good
// under other gains.
Result<Candidate> solve_draw(const Problem& problem, const std::vector<Candidate>& near,
                             std::uint64_t seed) {
  if (search::is_additive(problem)) {
    ESPALIER_TRY(search::ExactResult exact, search::solve_exact(problem));
    return std::move(exact.best.candidate);
  }
  if (interrupted()) return interrupted_error();
  search::EvolutionOptions evolution;
  evolution.population = 8;
  evolution.max_generations = 6;
  evolution.stagnation = 4;
  evolution.restarts = 0;
  evolution.confirmations = 8;
  evolution.seed = seed;
  evolution.initial = search::stand_in_optima(problem, near.front());
  evolution.initial.insert(evolution.initial.end(), near.begin(), near.end());
  ESPALIER_TRY(search::EvolutionResult found, search::solve_evolution(problem, evolution));
  return std::move(found.best.candidate);
}

Status check(const std::vector<Problem>& problems, const MeasuredSearchOptions& options) {
  std::vector<std::string> wrong;
  if (problems.empty()) wrong.emplace_back("a measured search needs at least one problem");
  if (options.measurements < 1) wrong.emplace_back("at least one measurement is needed");
  if (options.batch < 1 || options.draws < 1) {
    wrong.emplace_back("batch and draws must be at least 1");
  }
  if (options.finalists < 2 || options.race_seeds < 2) {
    wrong.emplace_back("a race needs at least two finalists and two seeds");
  }
  if (const std::set rates(options.rates.begin(), options.rates.end());
      rates.size() != options.rates.size() || (!rates.empty() && !(*rates.begin() > 0))) {
    wrong.emplace_back("rates must be distinct and above 0");
  }
  const std::set seeds(options.seeds.begin(), options.seeds.end());
  if (seeds.empty() || seeds.size() != options.seeds.size()) {
    wrong.emplace_back("seeds must be distinct, and at least one");
  }
  if (!seeds.empty() && *seeds.rbegin() >= options.first_race_seed) {
    wrong.push_back(fmt::format("seeds must be below {}, where those of the race begin",
                                options.first_race_seed));
  }
  if (!wrong.empty()) return Error{ErrorKind::kUsage, wrong};
  if (!options.additive.empty() && options.additive.size() != problems.size()) {
    return Error{ErrorKind::kUsage, "as many additive optima as problems are expected"};
  }
  for (const Problem& problem : problems) {
    ESPALIER_CHECK_OK(search::check(problem));
    ESPALIER_CHECK_OK(search::check_feasible(problem));
    if (problem.layers != problems[0].layers || problem.options != problems[0].options) {
      return Error{ErrorKind::kUsage, "problems of one search must have the same layers"};
    }
  }
  return Ok{};
}

double mean_of(const std::vector<double>& gains) {
  return gains.empty()
             ? 0.0
             : std::accumulate(gains.begin(), gains.end(), 0.0) / static_cast<double>(gains.size());
}

double standard_error_of(const std::vector<double>& gains) {
  return gains.size() < 2 ? 0.0 : standard_error(gains, mean_of(gains));
}

// A finalist, by its index, at a learning rate.
struct PlanAtRate : RateTried {
  std::size_t plan = 0;
};

// How far the expected gain of one runner is above that of another, from gains paired by seed.
struct Difference {
  double mean = 0;
  double standard_error = 0;
  int pairs = 0;
};

template <typename Runner>
Difference difference(const Runner& a, const Runner& b) {
  std::vector<double> paired;
  for (std::size_t i = 0; i < std::min(a.gains.size(), b.gains.size()); ++i) {
    paired.push_back(a.gains[i] - b.gains[i]);
  }
  return {mean_of(paired), standard_error_of(paired), static_cast<int>(paired.size())};
}

// Probability that one is above the other at all, with few pairs as unsure as it must be. Gains are
// counts of images: differences that happen to be equal do not tell how far they spread, only how
// many of them point one way.
template <typename Runner>
double probability_ahead(const Runner& a, const Runner& b) {
  const Difference d = difference(a, b);
  if (d.pairs < 2 || d.mean == 0) return 0.5;
  if (d.standard_error < 1e-9 * std::abs(d.mean)) {
    const double surprise = std::ldexp(1.0, -d.pairs);
    return d.mean > 0 ? 1 - surprise : surprise;
  }
  return student_cdf(d.mean / d.standard_error, d.pairs - 1);
}

double probability_above(const Finalist& a, const Finalist& b) {
  return a.candidate == b.candidate ? 0.5 : probability_ahead(a, b);
}

double over_additive(const MeasuredPlan& plan) {
  const auto additive =
      std::find_if(plan.finalists.begin(), plan.finalists.end(),
                   [&](const Finalist& f) { return f.candidate == plan.additive.candidate; });
  return probability_above(plan.finalists.front(), *additive);
}

// Likewise of what won two races, each at the rate that it won; of two that have none by the races
// between plans. One that learns at some rate is above one that does at none.
double probability_ahead(const MeasuredPlan& a, const MeasuredPlan& b) {
  if (a.solution.candidate == b.solution.candidate) return 0.5;
  if (a.rate && b.rate) return probability_ahead(a.rates.front(), b.rates.front());
  if (a.rate || b.rate) return a.rate ? 1.0 : 0.0;
  return probability_ahead(a.finalists.front(), b.finalists.front());
}

// As sure as two standard errors of many pairs, or one. Of two pairs they are 14 and 1.8 of theirs,
// for two that happen to be alike say little about their spread.
constexpr double kSurely = 0.97725;
constexpr double kLikely = 0.84134;

class Search {
 public:
  Search(std::vector<Problem> problems, const Measure& measure,
         const MeasuredSearchOptions& options)
      : problems_(std::move(problems)), measure_(measure), options_(options) {
    // What one of them remembers, all do.
    for (Problem& problem : problems_) {
      for (std::size_t c = 0; c < problem.constraints.size(); ++c) {
        problem.constraints[c].cost = problems_[0].constraints[c].cost;
      }
    }
  }

  Result<MeasuredSearchResult> run() {
    for (std::size_t p = 0; p < problems_.size(); ++p) {
      Candidate best;
      if (options_.additive.empty()) {
        ESPALIER_TRY(best, solve_once(problems_[p], options_));
      } else {
        best = options_.additive[p];
      }
      additive_.push_back(search::make_solution(problems_[p], std::move(best)));
    }
    ESPALIER_CHECK_OK(measure_first());
    for (int round = 0; result_.measurements < options_.measurements; ++round) {
      if (options_.stop && options_.stop()) break;
      ESPALIER_TRY(const std::vector<Request> batch, propose(round));
      if (batch.empty()) break;
      ESPALIER_CHECK_OK(measure(batch));
    }
    const PlanModel model(problems_[0], result_.observations, options_.prior);
    describe(model);
    ESPALIER_CHECK_OK(race_all(model));
    take_from_others();
    return std::move(result_);
  }

 private:
  // The additive optima, known plans, and nothing but biases: where the model starts from.
  Status measure_first() {
    std::vector<Candidate> first;
    for (const search::Solution& solution : additive_) first.push_back(solution.candidate);
    for (const Candidate& known : options_.known) {
      if (std::any_of(problems_.begin(), problems_.end(),
                      [&](const Problem& p) { return is_feasible(p, known); })) {
        first.push_back(known);
      }
    }
    std::vector<Request> batch;
    std::set<Candidate, ByContent> seen;
    for (const Candidate& candidate : first) {
      if (!seen.insert(candidate).second) continue;
      if (static_cast<int>(batch.size()) == options_.measurements) break;
      batch.push_back({candidate, next_seed(candidate)});
    }
    return measure(batch);
  }

  // The next seed a plan was not measured with; asking counts as measuring. Plans begin at seeds in
  // turn: with one seed for all, what suits that seed would pass for what is good.
  std::uint64_t next_seed(const Candidate& candidate) {
    const int first = static_cast<int>(asked_.size());
    Asked& asked = asked_.try_emplace(candidate, Asked{first, 0}).first->second;
    const auto index = static_cast<std::size_t>(asked.first + asked.times++);
    return options_.seeds[index % options_.seeds.size()];
  }
  bool exhausted(const Candidate& candidate) const {
    if (unstable_.count(candidate) != 0) return true;
    const auto found = asked_.find(candidate);
    return found != asked_.end() && found->second.times >= static_cast<int>(options_.seeds.size());
  }

  Status measure(const std::vector<Request>& batch) {
    ESPALIER_TRY(const std::vector<std::optional<double>> gains, ask(batch));
    for (const std::optional<double>& gain : gains) {
      if (gain) worst_ = std::min(worst_.value_or(*gain), *gain);
    }
    for (std::size_t i = 0; i < batch.size(); ++i) {
      // A plan that diverged once is not asked for again, and counts as the worst that did not: by
      // what it really lost it would stand for the noise of all.
      if (!gains[i]) unstable_.insert(batch[i].candidate);
      result_.observations.push_back(
          {batch[i].candidate, gains[i].value_or(worst_.value_or(0.0)), batch[i].seed});
    }
    return Ok{};
  }

  Result<std::vector<std::optional<double>>> ask(const std::vector<Request>& batch) {
    ESPALIER_TRY(std::vector<std::optional<double>> gains, measure_(batch));
    if (gains.size() != batch.size()) {
      return Error{ErrorKind::kInternal, "measured search: as many gains as requests are expected"};
    }
    result_.measurements += static_cast<int>(batch.size());
    for (const auto& gain : gains) result_.diverged += gain ? 0 : 1;
    if (options_.progress) {
      const int race = race_trainings(options_, problems_.size());
      options_.progress(result_.measurements,
                        std::max(result_.measurements, options_.measurements + race));
    }
    return gains;
  }

  // Plans that are best under gains drawn from the posterior. Each draw of additive gains is
  // solved; the winners and the neighbours of the best plan make the pool in which one draw of the
  // whole model, interactions included, decides.
  Result<std::vector<Request>> propose(int round) {
    const PlanModel model(problems_[0], result_.observations, options_.prior);
    const int room = options_.measurements - result_.measurements;
    std::vector<Request> batch;
    const int count = std::min(options_.batch, room);
    std::vector<std::vector<Candidate>> pools(problems_.size());
    for (int slot = 0; slot < count; ++slot) {
      const auto p = static_cast<std::size_t>((round * options_.batch + slot) %
                                              static_cast<int>(problems_.size()));
      if (pools[p].empty()) {
        ESPALIER_TRY(pools[p], pool(model, problems_[p], p, round));
      }
      std::vector<Candidate> open;
      for (const Candidate& c : pools[p]) {
        if (!exhausted(c)) open.push_back(c);
      }
      if (open.empty()) continue;
      Rng rng{options_.seed, 2, static_cast<std::uint64_t>(round),
              static_cast<std::uint64_t>(slot)};
      const std::vector<double> drawn = model.sample(open, rng);
      const auto best =
          static_cast<std::size_t>(std::max_element(drawn.begin(), drawn.end()) - drawn.begin());
      batch.push_back({open[best], next_seed(open[best])});
    }
    return batch;
  }

  Result<std::vector<Candidate>> pool(const PlanModel& model, const Problem& problem,
                                      std::size_t index, int round) {
    const std::vector<Candidate> measured = measured_within(problem);
    const std::vector<Candidate> near = known_best(model, index, measured);
    const auto draws = static_cast<std::size_t>(options_.draws);
    std::vector<std::optional<Result<Candidate>>> winners(draws);
    train::parallel_for(options_.jobs, draws, [&](std::size_t draw) {
      Rng rng{options_.seed, 1, index, static_cast<std::uint64_t>(round), draw};
      const Problem drawn = model.sample_gains(problem, rng);
      winners[draw] = solve_draw(drawn, near, rng.next_u64());
    });
    std::set<Candidate, ByContent> found;
    for (const auto& winner : winners) {
      ESPALIER_TRY(Candidate best, *winner);
      found.insert(std::move(best));
    }
    found.insert(measured.begin(), measured.end());
    const Candidate best = best_of(model, {found.begin(), found.end()});
    // A few neighbours at random: the whole neighbourhood would slow the draws down.
    const std::vector<Candidate> around = neighbours(problem, best);
    Rng rng{options_.seed, 3, index, static_cast<std::uint64_t>(round)};
    for (const std::uint32_t i : rng.permutation(around.size())) {
      if (static_cast<int>(found.size()) >= 5 * options_.draws) break;
      if (is_feasible(problem, around[i])) found.insert(around[i]);
    }
    if (std::all_of(found.begin(), found.end(), [&](const Candidate& c) { return exhausted(c); })) {
      return open_around(model, problem, measured);
    }
    return std::vector<Candidate>(found.begin(), found.end());
  }

  // Where all that draws and the best plan lead to has trained with every seed: what is open next
  // to the best of the other measured plans that has anything open beside it.
  [[nodiscard]] std::vector<Candidate> open_around(const PlanModel& model, const Problem& problem,
                                                   const std::vector<Candidate>& measured) const {
    std::vector<std::pair<double, const Candidate*>> centres;
    for (const Candidate& c : measured) centres.emplace_back(model.predict(c).mean, &c);
    std::stable_sort(centres.begin(), centres.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    std::vector<Candidate> open;
    for (const auto& [mean, centre] : centres) {
      for (Candidate& c : neighbours(problem, *centre)) {
        if (!exhausted(c) && is_feasible(problem, c)) open.push_back(std::move(c));
      }
      if (!open.empty()) break;
    }
    return open;
  }

  // Where to begin: the additive optimum, and the best plan that was measured.
  [[nodiscard]] std::vector<Candidate> known_best(const PlanModel& model, std::size_t index,
                                                  const std::vector<Candidate>& measured) const {
    std::vector<Candidate> known{additive_[index].candidate};
    if (!measured.empty()) known.push_back(best_of(model, measured));
    return known;
  }

  [[nodiscard]] std::vector<Candidate> measured_within(const Problem& problem) const {
    std::vector<Candidate> plans;
    for (const auto& [candidate, asked] : asked_) {
      if (unstable_.count(candidate) == 0 && is_feasible(problem, candidate)) {
        plans.push_back(candidate);
      }
    }
    return plans;
  }

  static Candidate best_of(const PlanModel& model, const std::vector<Candidate>& candidates) {
    return *std::max_element(candidates.begin(), candidates.end(),
                             [&](const Candidate& a, const Candidate& b) {
                               return model.predict(a).mean < model.predict(b).mean;
                             });
  }

  template <typename Runner>
  static void sort_by_mean(std::vector<Runner>& racing) {
    std::stable_sort(racing.begin(), racing.end(),
                     [](const Runner& a, const Runner& b) { return a.mean() > b.mean(); });
  }

  // The races of all problems, seed by seed side by side: each is short of trainings for several
  // threads, and none asks another.
  Status race_all(const PlanModel& model) {
    std::vector<std::optional<Result<MeasuredPlan>>> plans(problems_.size());
    races_.run(problems_.size(), [&](std::size_t p) { plans[p] = race(p, model); });
    for (std::optional<Result<MeasuredPlan>>& plan : plans) {
      ESPALIER_TRY(MeasuredPlan raced, std::move(*plan));
      result_.plans.push_back(std::move(raced));
    }
    return Ok{};
  }

  // Trains all of `racing` with the next seed of a problem's race, and sorts them by what they
  // gained. One that diverges counts as the worst of its seed, or as no gain; `diverged` is told.
  template <typename Runner, typename Ask, typename Diverged>
  Status run_seed(std::size_t index, std::vector<Runner>& racing, Ask request, Diverged diverged) {
    std::vector<Request> batch;
    for (const Runner& r : racing) batch.push_back(request(r));
    ESPALIER_TRY(const std::vector<std::optional<double>> gains,
                 races_.ask(index, std::move(batch)));
    const double worst = std::accumulate(
        gains.begin(), gains.end(), 0.0,
        [](double low, const std::optional<double>& g) { return std::min(low, g.value_or(low)); });
    for (std::size_t i = 0; i < racing.size(); ++i) {
      if (!gains[i]) diverged(racing[i]);
      racing[i].gains.push_back(gains[i].value_or(worst));
    }
    sort_by_mean(racing);
    return Ok{};
  }

  // Moves to the front of `left` those that may leave and are surely behind the first.
  template <typename Runner, typename MayLeave>
  static void leave_behind(std::vector<Runner>& racing, std::vector<Runner>& left, MayLeave may) {
    const Runner leader = racing.front();
    const auto behind = std::stable_partition(
        racing.begin() + 1, racing.end(),
        [&](const Runner& r) { return !may(r) || probability_ahead(leader, r) <= kSurely; });
    left.insert(left.begin(), behind, racing.end());
    racing.erase(behind, racing.end());
  }

  // Of the known plans that fit the best by the model, unless it diverged.
  [[nodiscard]] std::optional<Candidate> best_known(const Problem& problem,
                                                    const PlanModel& model) const {
    std::vector<Candidate> known;
    for (const Candidate& candidate : options_.known) {
      if (unstable_.count(candidate) == 0 && is_feasible(problem, candidate)) {
        known.push_back(candidate);
      }
    }
    if (known.empty()) return std::nullopt;
    return best_of(model, known);
  }

  // The best by posterior mean, the additive optimum always among them, and a known plan.
  Result<std::vector<Finalist>> finalists(std::size_t index, const PlanModel& model) const {
    const Problem& problem = problems_[index];
    const Candidate& additive = additive_[index].candidate;
    std::vector<Candidate> plans = measured_within(problem);
    ESPALIER_TRY(Candidate mean, solve_draw(model.mean_gains(problem),
                                            known_best(model, index, plans), options_.seed));
    plans.push_back(std::move(mean));
    std::sort(plans.begin(), plans.end(), ByContent{});
    plans.erase(std::unique(plans.begin(), plans.end()), plans.end());
    std::vector<Finalist> racing;
    for (const Candidate& plan : plans) racing.push_back({plan, model.predict(plan), {}});
    std::stable_sort(racing.begin(), racing.end(), [](const Finalist& a, const Finalist& b) {
      return a.predicted.mean > b.predicted.mean;
    });
    const auto is_additive = [&](const Finalist& f) { return f.candidate == additive; };
    const auto at = std::find_if(racing.begin(), racing.end(), is_additive);
    const auto limit = std::min(racing.size(), static_cast<std::size_t>(options_.finalists));
    if (at == racing.end()) {
      // In place of the last where there are enough, beside all others where there are not.
      racing.resize(std::min(racing.size(), static_cast<std::size_t>(options_.finalists) - 1));
      racing.push_back({additive, model.predict(additive), {}});
    } else {
      if (static_cast<std::size_t>(at - racing.begin()) >= limit) {
        std::iter_swap(at, racing.begin() + static_cast<std::ptrdiff_t>(limit) - 1);
      }
      racing.resize(limit);
    }
    if (const auto known = best_known(problem, model)) {
      if (std::none_of(racing.begin(), racing.end(),
                       [&](const Finalist& f) { return f.candidate == *known; })) {
        racing.push_back({*known, model.predict(*known), {}});
      }
    }
    return racing;
  }

  Result<MeasuredPlan> race(std::size_t index, const PlanModel& model) {
    ESPALIER_TRY(std::vector<Finalist> racing, finalists(index, model));
    if (options_.rates_of_finalists && !options_.rates.empty()) {
      return race_at_rates(index, racing);
    }
    const auto is_additive = [&](const Finalist& f) {
      return f.candidate == additive_[index].candidate;
    };
    std::vector<Finalist> left;
    for (int seed = 0; seed < options_.race_seeds && (seed < 2 || racing.size() > 1); ++seed) {
      ESPALIER_CHECK_OK(run_seed(
          index, racing,
          [&](const Finalist& f) {
            return Request{f.candidate, options_.first_race_seed + static_cast<std::uint64_t>(seed),
                           Stage::kRace};
          },
          [](Finalist& f) { ++f.diverged; }));
      if (seed > 0) leave_behind(racing, left, std::not_fn(is_additive));
    }
    racing.insert(racing.end(), left.begin(), left.end());
    MeasuredPlan plan = finish(index, std::move(racing));
    ESPALIER_CHECK_OK(race_rates(index, plan));
    return plan;
  }

  // All finalists at all rates, so that a plan which bears a high one need not win at the usual
  // one.
  Result<MeasuredPlan> race_at_rates(std::size_t index, const std::vector<Finalist>& finalists) {
    std::vector<PlanAtRate> racing, left, ran_away;
    for (std::size_t plan = 0; plan < finalists.size(); ++plan) {
      for (const double rate : options_.rates) racing.push_back({{.rate = rate}, plan});
    }
    ESPALIER_CHECK_OK(run_rates(
        index, racing, left, ran_away, options_.first_race_seed,
        [&](const PlanAtRate& r) -> const Candidate& { return finalists[r.plan].candidate; }));
    rank_by_model(racing, left, ran_away, [&](const PlanAtRate& r) {
      return finalists[r.plan].candidate == additive_[index].candidate;
    });
    racing.insert(racing.end(), left.begin(), left.end());
    racing.insert(racing.end(), ran_away.begin(), ran_away.end());
    std::vector<Finalist> ranked;
    for (const PlanAtRate& r : racing) {
      Finalist f = finalists[r.plan];
      if (std::any_of(ranked.begin(), ranked.end(),
                      [&](const Finalist& other) { return other.candidate == f.candidate; })) {
        continue;
      }
      f.gains = r.gains;
      f.rate = r.rate;
      f.diverged = r.diverged ? 1 : 0;
      ranked.push_back(std::move(f));
    }
    MeasuredPlan plan = finish(index, std::move(ranked));
    for (const PlanAtRate& r : racing) {
      if (r.plan == racing.front().plan) plan.rates.push_back(r);
    }
    if (!plan.rates.front().diverged) plan.rate = plan.rates.front().rate;
    return plan;
  }

  // Sorts what is left in a race by what the trainings of all say of it, the usual rate first
  // unless another is likely ahead, or it would pass the additive optimum.
  template <typename IsAdditive>
  void rank_by_model(std::vector<PlanAtRate>& racing, const std::vector<PlanAtRate>& left,
                     const std::vector<PlanAtRate>& ran_away, IsAdditive is_additive) const {
    if (racing.empty()) return;
    const auto number = [&](double rate) {
      return static_cast<std::size_t>(
          std::find(options_.rates.begin(), options_.rates.end(), rate) - options_.rates.begin());
    };
    std::vector<RaceGain> gains;
    std::vector<PlanAtRate> all = racing;
    all.insert(all.end(), left.begin(), left.end());
    all.insert(all.end(), ran_away.begin(), ran_away.end());
    for (const PlanAtRate& r : all) {
      // The seed with which one ran away says nothing of the others.
      const std::size_t sound = r.gains.size() - (r.diverged ? 1 : 0);
      for (std::size_t seed = 0; seed < sound; ++seed) {
        gains.push_back({r.plan, number(r.rate), seed, r.gains[seed]});
      }
    }
    const RateModel model(std::move(gains));
    const auto over = [&](const PlanAtRate& a, const PlanAtRate& b) {
      return model.difference(a.plan, number(a.rate), b.plan, number(b.rate));
    };
    const PlanAtRate reference = racing.front();
    std::stable_sort(racing.begin(), racing.end(), [&](const PlanAtRate& a, const PlanAtRate& b) {
      return over(a, reference).mean > over(b, reference).mean;
    });
    stay_at_usual(racing, [&](const PlanAtRate& leader, const PlanAtRate& usual) {
      const auto ahead_of_usual = [&](const PlanAtRate& r) {
        return is_additive(r) && over(r, usual).mean > 0;
      };
      if (!is_additive(usual) && std::any_of(racing.begin(), racing.end(), ahead_of_usual)) {
        return true;
      }
      const Prediction ahead = over(leader, usual);
      return ahead.mean > 0 && normal_cdf(ahead.mean / ahead.deviation) > kLikely;
    });
  }

  // Runs seeds from `first` on, of candidate_of() each of `racing`. One that diverges with some
  // seed leaves at once, for it would do so again; the last one has every seed to show that it does
  // not. What was surely behind it alone comes back, and makes up for the seeds that it missed.
  // Each of the three is best first.
  template <typename Runner, typename CandidateOf>
  Status run_rates(std::size_t index, std::vector<Runner>& racing, std::vector<Runner>& left,
                   std::vector<Runner>& ran_away, std::uint64_t first, CandidateOf candidate_of) {
    for (int seed = 0; seed < options_.race_seeds && !racing.empty(); ++seed) {
      do {
        ESPALIER_CHECK_OK(run_up_to(index, racing, seed, first, candidate_of));
      } while (see_off(racing, left, ran_away));
      if (seed > 0 && !racing.empty()) {
        leave_behind(racing, left, [](const Runner&) { return true; });
      }
    }
    return Ok{};
  }

  // Trains each of `racing` with the seeds up to the one given that it does not have yet.
  template <typename Runner, typename CandidateOf>
  Status run_up_to(std::size_t index, std::vector<Runner>& racing, int last, std::uint64_t first,
                   CandidateOf candidate_of) {
    for (int seed = 0; seed <= last; ++seed) {
      const auto open = std::stable_partition(racing.begin(), racing.end(), [&](const Runner& r) {
        return r.diverged || static_cast<int>(r.gains.size()) > seed;
      });
      std::vector<Runner> missing(open, racing.end());
      if (missing.empty()) continue;
      racing.erase(open, racing.end());
      ESPALIER_CHECK_OK(run_seed(
          index, missing,
          [&](const Runner& r) {
            return Request{candidate_of(r), first + static_cast<std::uint64_t>(seed), Stage::kRates,
                           r.rate};
          },
          [](Runner& r) { r.diverged = true; }));
      racing.insert(racing.end(), missing.begin(), missing.end());
    }
    return Ok{};
  }

  // Moves those that diverged to the front of `ran_away`, sorts the rest, and takes back from
  // `left` what is not surely behind them; whether there was any.
  template <typename Runner>
  static bool see_off(std::vector<Runner>& racing, std::vector<Runner>& left,
                      std::vector<Runner>& ran_away) {
    const auto gone = std::stable_partition(racing.begin(), racing.end(),
                                            [](const Runner& r) { return !r.diverged; });
    const bool any = gone != racing.end();
    ran_away.insert(ran_away.begin(), gone, racing.end());
    racing.erase(gone, racing.end());
    sort_by_mean(racing);
    if (!any) return false;
    const auto back = std::stable_partition(left.begin(), left.end(), [&](const Runner& r) {
      return !racing.empty() && probability_ahead(racing.front(), r) > kSurely;
    });
    const bool some = back != left.end();
    const std::vector<Runner> returning(back, left.end());
    left.erase(back, left.end());
    racing.insert(racing.end(), returning.begin(), returning.end());
    return some;
  }

  // The winner's learning rate, with seeds behind those of the race.
  Status race_rates(std::size_t index, MeasuredPlan& plan) {
    std::vector<RateTried> racing, left, ran_away;
    for (const double rate : options_.rates) racing.push_back({.rate = rate});
    const std::uint64_t first =
        options_.first_race_seed + static_cast<std::uint64_t>(options_.race_seeds);
    ESPALIER_CHECK_OK(
        run_rates(index, racing, left, ran_away, first,
                  [&](const RateTried&) -> const Candidate& { return plan.solution.candidate; }));
    stay_at_usual(racing, [](const RateTried& leader, const RateTried& usual) {
      return probability_ahead(leader, usual) > kLikely;
    });
    for (const auto* some : {&racing, &left, &ran_away}) {
      plan.rates.insert(plan.rates.end(), some->begin(), some->end());
    }
    if (!plan.rates.empty() && !plan.rates.front().diverged) plan.rate = plan.rates.front().rate;
    return Ok{};
  }

  // Moves the first at the usual rate to the front unless what is there is to stay ahead of it, as
  // `stays_ahead` of the two has it.
  template <typename Runner, typename StaysAhead>
  void stay_at_usual(std::vector<Runner>& racing, StaysAhead stays_ahead) const {
    const auto usual = std::find_if(racing.begin(), racing.end(), [&](const Runner& r) {
      return options_.usual_rate && r.rate == *options_.usual_rate;
    });
    if (usual == racing.begin() || usual == racing.end()) return;
    if (!stays_ahead(racing.front(), *usual)) std::rotate(racing.begin(), usual, usual + 1);
  }

  [[nodiscard]] MeasuredPlan finish(std::size_t index, std::vector<Finalist> racing) const {
    MeasuredPlan plan;
    plan.additive = additive_[index];
    const Finalist winner = racing.front();
    plan.solution = search::make_solution(problems_[index], winner.candidate);
    plan.solution.objective = winner.mean();
    plan.standard_error = winner.standard_error();
    plan.over_runner_up = racing.size() > 1 ? probability_above(winner, racing[1]) : 1.0;
    plan.finalists = std::move(racing);
    plan.over_additive = over_additive(plan);
    return plan;
  }

  // What won under another limit may surely be ahead of what did under this one, and fit it: each
  // has its rate by then, which plans were not compared at, and seeds are those of all races.
  void take_from_others() {
    const std::vector<MeasuredPlan> won = result_.plans;
    for (std::size_t p = 0; p < won.size(); ++p) {
      MeasuredPlan& plan = result_.plans[p];
      for (const MeasuredPlan& other : won) {
        if (!is_feasible(problems_[p], other.solution.candidate)) continue;
        const double ahead = probability_ahead(other, plan);
        if (ahead <= kSurely) continue;
        std::erase_if(plan.finalists,
                      [&](const Finalist& f) { return f.candidate == other.solution.candidate; });
        plan.finalists.insert(plan.finalists.begin(), other.finalists.front());
        plan.solution = search::make_solution(problems_[p], other.solution.candidate);
        plan.solution.objective = other.solution.objective;
        plan.standard_error = other.standard_error;
        plan.rates = other.rates;
        plan.rate = other.rate;
        plan.over_runner_up = ahead;
        plan.over_additive = over_additive(plan);
      }
    }
  }

  void describe(const PlanModel& model) {
    result_.scales = model.scales();
    result_.shrinkage = model.shrinkage();
    const std::vector<double> without = model.predictions_without();
    struct Sum {
      double gain = 0, model = 0, additive = 0, count = 0;
    };
    std::map<Candidate, Sum, ByContent> plans;
    for (std::size_t i = 0; i < result_.observations.size(); ++i) {
      const Observation& o = result_.observations[i];
      Sum& sum = plans[o.candidate];
      sum.gain += o.gain;
      sum.model += without[i];
      sum.additive += search::objective(problems_[0], o.candidate);
      sum.count += 1;
    }
    std::vector<double> gain, predicted, added;
    std::vector<Candidate> measured;
    for (const auto& [candidate, sum] : plans) {
      measured.push_back(candidate);
      gain.push_back(sum.gain / sum.count);
      predicted.push_back(sum.model / sum.count);
      added.push_back(sum.additive / sum.count);
    }
    const std::vector<std::vector<std::size_t>> groups = by_budget(measured);
    const auto agreement = [&](const std::vector<double>& prediction) {
      return Agreement{rank_correlation(prediction, gain), rank_within(groups, prediction, gain),
                       explained_variance(prediction, gain)};
    };
    result_.before = agreement(added);
    result_.after = agreement(predicted);
  }

  // Which of the plans each problem has: those that fit it and none that fewer of them fit.
  [[nodiscard]] std::vector<std::vector<std::size_t>> by_budget(
      const std::vector<Candidate>& plans) const {
    std::vector<std::vector<std::size_t>> fitting(problems_.size());
    for (std::size_t p = 0; p < problems_.size(); ++p) {
      for (std::size_t i = 0; i < plans.size(); ++i) {
        if (is_feasible(problems_[p], plans[i])) fitting[p].push_back(i);
      }
    }
    std::stable_sort(fitting.begin(), fitting.end(),
                     [](const auto& a, const auto& b) { return a.size() < b.size(); });
    std::set<std::size_t> taken;
    for (std::vector<std::size_t>& group : fitting) {
      std::erase_if(group, [&](std::size_t i) { return !taken.insert(i).second; });
    }
    return fitting;
  }

  static std::optional<double> rank_within(const std::vector<std::vector<std::size_t>>& groups,
                                           const std::vector<double>& predicted,
                                           const std::vector<double>& gain) {
    double sum = 0;
    double count = 0;
    for (const std::vector<std::size_t>& group : groups) {
      std::vector<double> a, b;
      for (const std::size_t i : group) {
        a.push_back(predicted[i]);
        b.push_back(gain[i]);
      }
      if (const std::optional<double> rank = rank_correlation(a, b)) {
        sum += *rank * static_cast<double>(group.size());
        count += static_cast<double>(group.size());
      }
    }
    return count > 0 ? std::optional(sum / count) : std::nullopt;
  }

  struct Asked {
    int first = 0;  // index of its first seed, before it is wrapped around
    int times = 0;
  };

  std::vector<Problem> problems_;
  const Measure& measure_;
  const MeasuredSearchOptions& options_;
  std::vector<search::Solution> additive_;  // by problem
  std::map<Candidate, Asked, ByContent> asked_;
  std::set<Candidate, ByContent> unstable_;  // diverged with some seed
  std::optional<double> worst_;              // gain that was measured
  MeasuredSearchResult result_;
  Together<Request, std::optional<double>> races_{
      [this](const std::vector<Request>& batch) { return ask(batch); }};
};

}  // namespace

int race_trainings(const MeasuredSearchOptions& options, std::size_t problems, int measured) {
  const int unmeasured = 1;  // what the model takes for the best
  const int plans = std::min(options.finalists - unmeasured, measured) + unmeasured +
                    (options.known.empty() ? 0 : 1);
  const int rates = static_cast<int>(options.rates.size());
  const bool each = options.rates_of_finalists && rates > 0;
  return static_cast<int>(problems) * options.race_seeds * (each ? plans * rates : plans + rates);
}

double MeasuredPlan::gain() const { return rate ? rates.front().mean() : solution.objective; }
bool MeasuredPlan::lost() const {
  if (rate) return false;
  const Finalist& winner = finalists.front();
  return winner.rate || winner.lost();
}

double Finalist::mean() const { return mean_of(gains); }
double Finalist::standard_error() const { return standard_error_of(gains); }
double RateTried::mean() const { return mean_of(gains); }
double RateTried::standard_error() const { return standard_error_of(gains); }

Result<MeasuredSearchResult> measured_search(const std::vector<search::Problem>& problems,
                                             const Measure& measure,
                                             const MeasuredSearchOptions& options) {
  ESPALIER_CHECK_OK(check(problems, options));
  return Search(problems, measure, options).run();
}

}  // namespace espalier::study
