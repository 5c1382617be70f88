// Evolutionary search under any constraints, as in MCUNetV3 (Lin et al., NeurIPS 2022,
// section 3.1), with the local search of a memetic algorithm.
//
// Each generation: parents by tournament, uniform crossover over layers, mutation of options and
// depth, repair (the least gain per cost leaves first), then exchanges of up to two layers while
// they improve. Survivors are the best of parents and children, at most a share of them per depth,
// so that depths whose weights still have to be found are not lost. When a population stands still
// it is drawn anew around its best.
//
// Exchanges and repair are guided by additive costs: the given ones where the constraint is
// additive, otherwise estimates from each option alone. Every step that a function constrains is
// confirmed by that function, so estimates decide what is tried and never what is accepted.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "espalier/search/problem.hpp"

namespace espalier::search {

struct EvolutionOptions {
  int population = 48;           ///< individuals; at least 2
  int max_generations = 400;     ///< at most so many generations in all
  int stagnation = 12;           ///< generations without a better best before a restart
  int restarts = 4;              ///< restarts in a row without a better best that end the search
  int elite = 4;                 ///< best individuals that survive whatever their depth
  int tournament = 3;            ///< individuals drawn for each parent
  double crossover_rate = 0.8;   ///< chance that a child has two parents
  double layer_mutations = 2.0;  ///< expected layers whose option is redrawn
  double depth_mutation = 0.3;   ///< chance that the depth moves
  int max_depth_step = 3;        ///< farthest such move
  double depth_share = 0.25;     ///< largest share of survivors with one depth
  double local_search = 1.0;     ///< chance that a child is improved by exchanges
  double depth_search = 0.3;     ///< chance that such exchanges may also move the depth
  int confirmations = 24;        ///< rejected proposals per local search under function constraints
  std::int64_t max_evaluations = 0;  ///< candidates costed before the search ends; 0: no limit
  int jobs = 1;                      ///< threads; the result does not depend on it
  std::uint64_t seed = 0;            ///< of every random choice
  std::vector<Candidate> initial;    ///< individuals to begin with, such as a known plan; repaired
  std::optional<double> bound;       ///< what no candidate exceeds; reaching it ends the search
  std::function<bool()> stop;        ///< asked between generations; true ends the search
};

/// The best individual after a generation.
struct EvolutionStep {
  int generation = 0;
  std::int64_t evaluations = 0;
  double objective = 0;

  bool operator==(const EvolutionStep&) const = default;
};

struct EvolutionResult {
  Solution best;
  std::int64_t evaluations = 0;  ///< distinct candidates whose costs were computed
  int generations = 0;
  double seconds = 0;                  ///< wall clock
  std::vector<EvolutionStep> history;  ///< one entry per generation, objective never falling
};

/// The best plan found. The same problem, options and seed give the same result. Errors: check();
/// check_feasible(); kUsage for options out of range or malformed initial candidates.
Result<EvolutionResult> solve_evolution(const Problem& problem,
                                        const EvolutionOptions& options = {});

}  // namespace espalier::search
