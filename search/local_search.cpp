#include "local_search.hpp"

#include <algorithm>
#include <cmath>

namespace espalier::search {
namespace {

std::size_t index(int value) { return static_cast<std::size_t>(value); }

double rounding_tolerance(const Problem& problem) {
  double magnitude = 0;
  for (int depth = 0; depth <= problem.layers; ++depth) {
    if (!is_depth_available(problem, depth)) continue;
    magnitude = std::max(magnitude, std::abs(problem.bias_gain[index(depth)]));
  }
  for (int layer = 0; layer < problem.layers; ++layer) {
    double largest = 0;
    for (int option = 1; option <= problem.options; ++option) {
      if (!is_available(problem, layer, option)) continue;
      largest = std::max(largest, std::abs(problem.weight_gain[index(layer)][index(option)]));
    }
    magnitude += largest;
  }
  return 1e-14 * magnitude;
}

// A change of one layer's option, or of the depth (layer -1).
struct Move {
  int layer = -1;
  int target = 0;     ///< the new option or depth
  double gain = 0;    ///< change of the objective
  std::size_t costs;  ///< where its changes of cost begin
};

// One move, or two that do not touch each other.
struct Exchange {
  int first = -1;
  int second = -1;
  double gain = 0;

  bool operator==(const Exchange& other) const {
    return first == other.first && second == other.second;
  }
};

}  // namespace

// All moves from one candidate, best gain first, with their estimated changes of cost.
class LocalSearch::Neighbourhood {
 public:
  /// `prune`: whether the estimates are exact, so that a move that another of the same layer
  /// dominates, or that gains and saves nothing, can be left out.
  Neighbourhood(const Solution& solution, bool move_depth, bool prune, const Problem& problem,
                const CostEstimates& estimates)
      : problem_(problem), estimates_(estimates), candidate_(solution.candidate) {
    for (std::size_t c = 0; c < problem.constraints.size(); ++c) {
      slack_.push_back(problem.constraints[c].limit - solution.costs[c]);
    }
    const int deepest = move_depth ? estimates.depths().back() : candidate_.depth;
    for (int layer = problem.layers - deepest; layer < problem.layers; ++layer) {
      const std::size_t first = moves_.size();
      add_options(layer);
      if (prune) remove_dominated(first);
    }
    if (move_depth) add_depths();
    std::sort(moves_.begin(), moves_.end(), [](const Move& a, const Move& b) {
      if (a.gain != b.gain) return a.gain > b.gain;
      return a.layer != b.layer ? a.layer < b.layer : a.target < b.target;
    });
    most_saved_.assign(slack_.size(), 0);
    for (const Move& move : moves_) {
      for (std::size_t c = 0; c < slack_.size(); ++c) {
        most_saved_[c] = std::min(most_saved_[c], costs_[move.costs + c]);
      }
    }
  }

  // The most gain above `least` that the slack allows; first is -1 when there is none.
  [[nodiscard]] Exchange best(double least, const std::vector<Exchange>& rejected) const {
    Exchange best{-1, -1, least};
    const auto offer = [&](const Exchange& exchange) {
      if (std::find(rejected.begin(), rejected.end(), exchange) == rejected.end()) best = exchange;
    };
    for (int i = 0; i < size() && 2 * move(i).gain > best.gain; ++i) {
      if (move(i).gain > best.gain && allowed_alone(move(i)) && fits(move(i), nullptr)) {
        offer({i, -1, move(i).gain});
      }
      if (!some_partner_may_fit(move(i))) continue;
      for (int j = i + 1; j < size(); ++j) {
        const double gain = move(i).gain + move(j).gain;
        if (gain <= best.gain) break;
        if (allowed_together(move(i), move(j)) && fits(move(i), &move(j))) offer({i, j, gain});
      }
    }
    return best;
  }

  [[nodiscard]] Candidate apply(const Exchange& exchange) const {
    Candidate changed = candidate_;
    apply(move(exchange.first), changed);
    if (exchange.second >= 0) apply(move(exchange.second), changed);
    return changed;
  }

 private:
  [[nodiscard]] int size() const { return static_cast<int>(moves_.size()); }
  [[nodiscard]] const Move& move(int i) const { return moves_[index(i)]; }
  [[nodiscard]] int first_layer(int depth) const { return problem_.layers - depth; }

  void add_options(int layer) {
    const int current = candidate_.choice[index(layer)];
    const std::vector<double>& gains = problem_.weight_gain[index(layer)];
    for (int option = 0; option <= problem_.options; ++option) {
      if (option == current || !is_available(problem_, layer, option)) continue;
      moves_.push_back(
          {layer, option, gains[index(option)] - gains[index(current)], costs_.size()});
      for (std::size_t c = 0; c < slack_.size(); ++c) {
        costs_.push_back(estimates_.of_option(c, layer, option) -
                         estimates_.of_option(c, layer, current));
      }
    }
  }

  // Whether `a` gains and saves at least as much as `b`; staying as it is counts as a move.
  [[nodiscard]] bool dominates(const Move* a, const Move& b) const {
    if ((a == nullptr ? 0.0 : a->gain) < b.gain) return false;
    for (std::size_t c = 0; c < slack_.size(); ++c) {
      if ((a == nullptr ? 0 : costs_[a->costs + c]) > costs_[b.costs + c]) return false;
    }
    return true;
  }

  // Of equal moves the first stays.
  void remove_dominated(std::size_t first) {
    std::size_t kept = first;
    for (std::size_t i = first; i < moves_.size(); ++i) {
      bool useless = dominates(nullptr, moves_[i]);
      for (std::size_t j = first; j < kept; ++j) useless |= dominates(&moves_[j], moves_[i]);
      for (std::size_t j = i + 1; j < moves_.size(); ++j) {
        useless |= dominates(&moves_[j], moves_[i]) && !dominates(&moves_[i], moves_[j]);
      }
      if (!useless) moves_[kept++] = moves_[i];
    }
    moves_.resize(kept);
  }

  [[nodiscard]] bool some_partner_may_fit(const Move& move) const {
    for (std::size_t c = 0; c < slack_.size(); ++c) {
      if (costs_[move.costs + c] + most_saved_[c] > slack_[c]) return false;
    }
    return true;
  }

  void add_depths() {
    for (const int depth : estimates_.depths()) {
      if (depth == candidate_.depth) continue;
      Move move{-1, depth, problem_.bias_gain[index(depth)], costs_.size()};
      move.gain -= problem_.bias_gain[index(candidate_.depth)];
      for (std::size_t c = 0; c < slack_.size(); ++c) {
        costs_.push_back(estimates_.of_depth(c, depth) - estimates_.of_depth(c, candidate_.depth));
      }
      for (int layer = first_layer(candidate_.depth); layer < first_layer(depth); ++layer) {
        const int lost = candidate_.choice[index(layer)];
        if (lost == 0) continue;
        move.gain -= problem_.weight_gain[index(layer)][index(lost)];
        for (std::size_t c = 0; c < slack_.size(); ++c) {
          costs_[move.costs + c] -= estimates_.of_option(c, layer, lost);
        }
      }
      moves_.push_back(move);
    }
  }

  [[nodiscard]] bool allowed_alone(const Move& move) const {
    return move.layer < 0 || move.layer >= first_layer(candidate_.depth);
  }

  // Moves of layers that only another depth reaches are waiting for that depth's move.
  [[nodiscard]] bool allowed_together(const Move& a, const Move& b) const {
    if (a.layer == b.layer) return false;
    if (a.layer < 0) return b.layer >= first_layer(a.target);
    if (b.layer < 0) return a.layer >= first_layer(b.target);
    return allowed_alone(a) && allowed_alone(b);
  }

  [[nodiscard]] bool fits(const Move& a, const Move* b) const {
    for (std::size_t c = 0; c < slack_.size(); ++c) {
      const std::int64_t cost = costs_[a.costs + c] + (b == nullptr ? 0 : costs_[b->costs + c]);
      if (cost > slack_[c]) return false;
    }
    return true;
  }

  void apply(const Move& move, Candidate& candidate) const {
    if (move.layer >= 0) {
      candidate.choice[index(move.layer)] = static_cast<std::uint8_t>(move.target);
      return;
    }
    candidate.depth = move.target;
    std::fill_n(candidate.choice.begin(), first_layer(move.target), std::uint8_t{0});
  }

  const Problem& problem_;
  const CostEstimates& estimates_;
  const Candidate& candidate_;
  std::vector<std::int64_t> slack_;
  std::vector<std::int64_t> most_saved_;  ///< by any one move, as a negative cost
  std::vector<Move> moves_;
  std::vector<std::int64_t> costs_;  ///< [move][constraint]
};

LocalSearch::LocalSearch(Evaluator& evaluator, const CostEstimates& estimates, int confirmations)
    : evaluator_(evaluator),
      estimates_(estimates),
      problem_(evaluator.problem()),
      confirmations_(confirmations),
      tolerance_(rounding_tolerance(problem_)) {}

// Sums are cheaper than remembering every intermediate candidate.
std::vector<std::int64_t> LocalSearch::costs_of(const Candidate& candidate) const {
  if (evaluator_.has_functions()) return evaluator_.costs(candidate);
  std::vector<std::int64_t> costs;
  for (const Constraint& constraint : problem_.constraints) {
    costs.push_back(cost(constraint, candidate));
  }
  return costs;
}

Solution LocalSearch::repair(Candidate candidate, Rng& rng, double noise) const {
  const std::vector<int>& depths = estimates_.depths();
  candidate.depth = *std::prev(std::upper_bound(depths.begin(), depths.end(), candidate.depth));
  std::fill_n(candidate.choice.begin(), problem_.layers - candidate.depth, std::uint8_t{0});
  // Ends at the latest with everything frozen, which is feasible at every depth in `depths`.
  for (;;) {
    const std::vector<std::int64_t> costs = costs_of(candidate);
    if (evaluator_.feasible(costs)) return evaluator_.evaluate(std::move(candidate));
    cheapen(candidate, costs, rng, noise);
  }
}

void LocalSearch::cheapen(Candidate& candidate, const std::vector<std::int64_t>& costs, Rng& rng,
                          double noise) const {
  int best_layer = -1;
  int best_option = 0;
  double best_loss = 0;
  for (int layer = problem_.layers - candidate.depth; layer < problem_.layers; ++layer) {
    const int current = candidate.choice[index(layer)];
    if (current == 0) continue;
    for (int option = 0; option <= problem_.options; ++option) {
      if (option == current || !is_available(problem_, layer, option)) continue;
      // The share of each excess that the exchange removes. One that costs more by any constraint
      // could be undone by the next, and repair would never end.
      double saved = 0;
      bool cheaper = true;
      for (std::size_t c = 0; c < costs.size(); ++c) {
        const std::int64_t less =
            estimates_.of_option(c, layer, current) - estimates_.of_option(c, layer, option);
        cheaper &= less >= 0;
        const std::int64_t excess = costs[c] - problem_.constraints[c].limit;
        if (excess <= 0) continue;
        saved += static_cast<double>(std::min(less, excess)) / static_cast<double>(excess);
      }
      // Dropping an option altogether must stay possible where estimates see no saving.
      if (option != 0 && (!cheaper || saved <= 0)) continue;
      const std::vector<double>& gains = problem_.weight_gain[index(layer)];
      const double lost = gains[index(current)] - gains[index(option)];
      const double loss = lost / std::max(saved, 1e-9) * (1.0 + noise * rng.uniform());
      if (best_layer >= 0 && loss >= best_loss) continue;
      best_layer = layer;
      best_option = option;
      best_loss = loss;
    }
  }
  candidate.choice[index(best_layer)] = static_cast<std::uint8_t>(best_option);
}

Solution LocalSearch::greedy(int depth, Rng& rng, double noise) const {
  struct Choice {
    int layer;
    int option;
    double rank;
  };
  std::vector<std::int64_t> slack;
  for (std::size_t c = 0; c < problem_.constraints.size(); ++c) {
    slack.push_back(problem_.constraints[c].limit - estimates_.of_depth(c, depth));
  }
  std::vector<Choice> choices;
  for (int layer = problem_.layers - depth; layer < problem_.layers; ++layer) {
    for (int option = 1; option <= problem_.options; ++option) {
      const double gain = problem_.weight_gain[index(layer)][index(option)];
      if (!is_available(problem_, layer, option) || gain <= 0) continue;
      double share = 1e-9;
      for (std::size_t c = 0; c < slack.size(); ++c) {
        share += static_cast<double>(estimates_.of_option(c, layer, option)) /
                 static_cast<double>(std::max<std::int64_t>(slack[c], 1));
      }
      choices.push_back({layer, option, gain / share * (1.0 + noise * rng.uniform())});
    }
  }
  std::sort(choices.begin(), choices.end(), [](const Choice& a, const Choice& b) {
    if (a.rank != b.rank) return a.rank > b.rank;
    return a.layer != b.layer ? a.layer < b.layer : a.option < b.option;
  });
  Candidate candidate = empty_candidate(problem_);
  candidate.depth = depth;
  for (const Choice& choice : choices) {
    if (candidate.choice[index(choice.layer)] != 0) continue;
    bool fits = true;
    for (std::size_t c = 0; c < slack.size(); ++c) {
      fits &= estimates_.of_option(c, choice.layer, choice.option) <= slack[c];
    }
    if (!fits) continue;
    candidate.choice[index(choice.layer)] = static_cast<std::uint8_t>(choice.option);
    for (std::size_t c = 0; c < slack.size(); ++c) {
      slack[c] -= estimates_.of_option(c, choice.layer, choice.option);
    }
  }
  return repair(std::move(candidate), rng, noise);
}

void LocalSearch::improve(Solution& solution, bool move_depth) const {
  int confirmations = confirmations_;
  while (improve_once(solution, move_depth, confirmations)) {
  }
  solution = evaluator_.evaluate(std::move(solution.candidate));
}

bool LocalSearch::improve_once(Solution& solution, bool move_depth, int& confirmations) const {
  const Neighbourhood neighbourhood(solution, move_depth, !evaluator_.has_functions(), problem_,
                                    estimates_);
  std::vector<Exchange> rejected;
  for (;;) {
    const Exchange exchange = neighbourhood.best(tolerance_, rejected);
    if (exchange.first < 0) return false;
    Solution changed;
    changed.candidate = neighbourhood.apply(exchange);
    changed.objective = objective(problem_, changed.candidate);
    changed.costs = costs_of(changed.candidate);
    if (changed.objective > solution.objective && evaluator_.feasible(changed.costs)) {
      solution = std::move(changed);
      return true;
    }
    if (--confirmations < 0) return false;
    rejected.push_back(exchange);
  }
}

}  // namespace espalier::search
