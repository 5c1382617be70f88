#include "espalier/search/evolution.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "cost_estimates.hpp"
#include "evaluator.hpp"
#include "local_search.hpp"

namespace espalier::search {
namespace {

// How far random candidates stray from the greedy order, and repaired children from the plain rule.
constexpr double kGreedyNoise = 1.0;
constexpr double kRepairNoise = 0.3;

std::size_t index(int value) { return static_cast<std::size_t>(value); }

Status check_options(const Problem& problem, const EvolutionOptions& options) {
  std::vector<std::string> problems;
  const auto require = [&](bool holds, std::string_view text) {
    if (!holds) problems.push_back(fmt::format("evolution: {}", text));
  };
  const auto is_rate = [](double value) { return value >= 0 && value <= 1; };
  require(options.population >= 2 && options.population <= 100'000,
          "population must be 2 to 100000");
  require(options.max_generations >= 1, "max_generations must be at least 1");
  require(options.stagnation >= 1, "stagnation must be at least 1");
  require(options.restarts >= 0, "restarts must be at least 0");
  require(options.elite >= 1 && options.elite <= options.population,
          "elite must be 1 to the population");
  require(options.tournament >= 1, "tournament must be at least 1");
  require(is_rate(options.crossover_rate), "crossover_rate must be 0 to 1");
  require(options.layer_mutations >= 0 && std::isfinite(options.layer_mutations),
          "layer_mutations must be at least 0");
  require(is_rate(options.depth_mutation), "depth_mutation must be 0 to 1");
  require(options.max_depth_step >= 1, "max_depth_step must be at least 1");
  require(options.depth_share > 0 && options.depth_share <= 1,
          "depth_share must be more than 0, at most 1");
  require(is_rate(options.local_search), "local_search must be 0 to 1");
  require(is_rate(options.depth_search), "depth_search must be 0 to 1");
  require(options.confirmations >= 0, "confirmations must be at least 0");
  require(options.max_evaluations >= 0, "max_evaluations must be at least 0");
  require(options.jobs >= 1, "jobs must be at least 1");
  for (std::size_t i = 0; i < options.initial.size(); ++i) {
    const Candidate& candidate = options.initial[i];
    bool legal = candidate.depth >= 0 && candidate.depth <= problem.layers &&
                 candidate.choice.size() == index(problem.layers);
    for (std::size_t layer = 0; legal && layer < candidate.choice.size(); ++layer) {
      legal = candidate.choice[layer] <= problem.options;
    }
    require(legal, fmt::format("initial[{}] does not fit the problem's layers and options", i));
  }
  if (!problems.empty()) return Error{ErrorKind::kUsage, problems};
  return Ok{};
}

// Better first: more gain, then less cost, then any fixed order.
bool better(const Solution& a, const Solution& b) {
  if (a.objective != b.objective) return a.objective > b.objective;
  if (a.costs != b.costs) return a.costs < b.costs;
  if (a.candidate.depth != b.candidate.depth) return a.candidate.depth < b.candidate.depth;
  return a.candidate.choice < b.candidate.choice;
}

// Calls work(i) for i in 0..count-1, spread over threads.
template <typename Work>
void for_each_index(int count, int jobs, Work work) {
  const int threads = std::min(jobs, count);
  if (threads <= 1) {
    for (int i = 0; i < count; ++i) work(i);
    return;
  }
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t) {
    pool.emplace_back([=, &work] {
      for (int i = t; i < count; i += threads) work(i);
    });
  }
  for (std::thread& thread : pool) thread.join();
}

class Evolution {
 public:
  Evolution(const Problem& problem, const EvolutionOptions& options)
      : problem_(problem),
        options_(options),
        evaluator_(problem),
        estimates_(evaluator_),
        local_search_(evaluator_, estimates_, options.confirmations) {}

  EvolutionResult run() {
    const auto start = std::chrono::steady_clock::now();
    begin();
    record(0);
    int since_better = 0;
    int restarts = 0;
    int generation = 0;
    while (generation < options_.max_generations && !must_stop()) {
      const double before = best_.objective;
      if (since_better < options_.stagnation) {
        breed(++generation);
      } else if (restarts < options_.restarts) {
        ++restarts;
        since_better = 0;
        restart(++generation);
      } else {
        break;
      }
      record(generation);
      if (best_.objective > before) {
        since_better = 0;
        restarts = 0;
      } else {
        ++since_better;
      }
    }
    EvolutionResult result;
    result.best = best_;
    result.evaluations = evaluator_.evaluations();
    result.generations = generation;
    result.history = std::move(history_);
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return result;
  }

 private:
  [[nodiscard]] bool must_stop() const {
    if (options_.stop && options_.stop()) return true;
    if (options_.bound && best_.objective >= *options_.bound) return true;
    return options_.max_evaluations > 0 && evaluator_.evaluations() >= options_.max_evaluations;
  }

  Rng rng_for(int generation, int individual) const {
    return Rng{options_.seed, static_cast<std::uint64_t>(generation),
               static_cast<std::uint64_t>(individual)};
  }

  void record(int generation) {
    for (const Solution& individual : population_) {
      if (history_.empty() && &individual == &population_.front()) best_ = individual;
      if (better(individual, best_)) best_ = individual;
    }
    history_.push_back({generation, evaluator_.evaluations(), best_.objective});
  }

  Solution random_individual(Rng& rng) const {
    const std::vector<int>& depths = estimates_.depths();
    const int depth = depths[rng.below(depths.size())];
    Solution individual = local_search_.greedy(depth, rng, kGreedyNoise);
    improve(individual, rng);
    return individual;
  }

  void improve(Solution& individual, Rng& rng) const {
    if (!rng.chance(options_.local_search)) return;
    local_search_.improve(individual, rng.chance(options_.depth_search));
  }

  void begin() {
    population_.resize(index(options_.population));
    const int given = std::min(static_cast<int>(options_.initial.size()), options_.population);
    for_each_index(options_.population, options_.jobs, [&](int i) {
      Rng rng = rng_for(0, i);
      population_[index(i)] =
          i < given ? local_search_.repair(available_part(options_.initial[index(i)]), rng, 0.0)
                    : random_individual(rng);
    });
  }

  // The candidate without options that are not available here.
  Candidate available_part(Candidate candidate) const {
    for (int layer = 0; layer < problem_.layers; ++layer) {
      std::uint8_t& option = candidate.choice[index(layer)];
      if (!is_available(problem_, layer, option)) option = 0;
    }
    return candidate;
  }

  // Half of the new population are heavy mutations of the best, half are random.
  void restart(int generation) {
    population_.resize(index(options_.population));
    for_each_index(options_.population, options_.jobs, [&](int i) {
      Rng rng = rng_for(generation, i);
      if (i == 0) {
        population_[0] = best_;
      } else if (i % 2 == 0) {
        population_[index(i)] = random_individual(rng);
      } else {
        Candidate candidate = best_.candidate;
        mutate(candidate, 4 * options_.layer_mutations + 2, rng);
        population_[index(i)] = finish(std::move(candidate), rng);
      }
    });
  }

  void breed(int generation) {
    std::vector<Solution> children(index(options_.population));
    for_each_index(options_.population, options_.jobs, [&](int i) {
      Rng rng = rng_for(generation, i);
      Candidate child = select(rng).candidate;
      if (rng.chance(options_.crossover_rate)) cross(child, select(rng).candidate, rng);
      mutate(child, options_.layer_mutations, rng);
      children[index(i)] = finish(std::move(child), rng);
    });
    survive(std::move(children));
  }

  const Solution& select(Rng& rng) const {
    const Solution* winner = nullptr;
    for (int i = 0; i < options_.tournament; ++i) {
      const Solution& drawn = population_[rng.below(population_.size())];
      if (winner == nullptr || better(drawn, *winner)) winner = &drawn;
    }
    return *winner;
  }

  void cross(Candidate& child, const Candidate& other, Rng& rng) const {
    if (rng.chance(0.5)) child.depth = other.depth;
    for (std::size_t layer = 0; layer < child.choice.size(); ++layer) {
      if (rng.chance(0.5)) child.choice[layer] = other.choice[layer];
    }
  }

  void mutate(Candidate& candidate, double layer_mutations, Rng& rng) const {
    if (rng.chance(options_.depth_mutation)) {
      const int step = 1 + static_cast<int>(rng.below(index(options_.max_depth_step)));
      const int depth = candidate.depth + (rng.chance(0.5) ? step : -step);
      candidate.depth = std::clamp(depth, 0, problem_.layers);
    }
    if (candidate.depth == 0 || problem_.options == 0) return;
    const double rate = std::min(1.0, layer_mutations / candidate.depth);
    for (int layer = problem_.layers - candidate.depth; layer < problem_.layers; ++layer) {
      if (!rng.chance(rate)) continue;
      const int option = static_cast<int>(rng.below(index(problem_.options) + 1));
      if (is_available(problem_, layer, option)) {
        candidate.choice[index(layer)] = static_cast<std::uint8_t>(option);
      }
    }
  }

  Solution finish(Candidate candidate, Rng& rng) const {
    Solution individual = local_search_.repair(std::move(candidate), rng, kRepairNoise);
    improve(individual, rng);
    return individual;
  }

  void survive(std::vector<Solution> children) {
    std::vector<Solution> all = std::move(population_);
    std::move(children.begin(), children.end(), std::back_inserter(all));
    std::sort(all.begin(), all.end(), better);
    all.erase(std::unique(all.begin(), all.end()), all.end());

    const auto size = index(options_.population);
    const auto share = std::max<std::size_t>(
        1, static_cast<std::size_t>(options_.depth_share * static_cast<double>(size)));
    std::vector<std::size_t> at_depth(index(problem_.layers) + 1, 0);
    std::vector<Solution> surplus;
    population_.clear();
    for (Solution& individual : all) {
      if (population_.size() == size) break;
      std::size_t& count = at_depth[index(individual.candidate.depth)];
      if (population_.size() >= index(options_.elite) && count >= share) {
        surplus.push_back(std::move(individual));
        continue;
      }
      ++count;
      population_.push_back(std::move(individual));
    }
    // Small problems may have no other depths to offer, or too few candidates altogether.
    for (Solution& individual : surplus) {
      if (population_.size() == size) break;
      population_.push_back(std::move(individual));
    }
  }

  const Problem& problem_;
  const EvolutionOptions& options_;
  Evaluator evaluator_;
  CostEstimates estimates_;
  LocalSearch local_search_;
  std::vector<Solution> population_;
  Solution best_;
  std::vector<EvolutionStep> history_;
};

}  // namespace

Result<EvolutionResult> solve_evolution(const Problem& problem, const EvolutionOptions& options) {
  ESPALIER_CHECK_OK(check(problem));
  ESPALIER_CHECK_OK(check_options(problem, options));
  ESPALIER_CHECK_OK(check_feasible(problem));
  return Evolution(problem, options).run();
}

}  // namespace espalier::search
