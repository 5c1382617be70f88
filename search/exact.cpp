#include "espalier/search/exact.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "additive_instance.hpp"
#include "lagrangian_bound.hpp"

namespace espalier::search {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

struct State {
  CostVector cost{};
  double gain = 0;
  double bound = 0;          ///< on the objective; at least what pruning asked for
  std::uint32_t parent = 0;  ///< index in the layer before
  std::uint8_t option = 0;   ///< taken by the layer's position
};

// How a state came to be, kept for every layer.
struct Trace {
  std::uint32_t parent = 0;
  std::uint8_t option = 0;
};

// Largest gain among states whose second cost is at most some value: a Fenwick tree over the
// distinct second costs.
class GainByCost {
 public:
  explicit GainByCost(const std::vector<State>& states) {
    for (const State& state : states) costs_.push_back(state.cost[1]);
    std::sort(costs_.begin(), costs_.end());
    costs_.erase(std::unique(costs_.begin(), costs_.end()), costs_.end());
    best_.assign(costs_.size() + 1, kNever);
  }

  // Whether no recorded state with at most this cost gains as much; records the state if so.
  bool improves(const State& state) {
    const auto at = std::lower_bound(costs_.begin(), costs_.end(), state.cost[1]);
    const auto rank = static_cast<std::size_t>(at - costs_.begin()) + 1;
    for (std::size_t i = rank; i > 0; i &= i - 1) {
      if (best_[i] >= state.gain) return false;
    }
    for (std::size_t i = rank; i < best_.size(); i += i & (~i + 1)) {
      best_[i] = std::max(best_[i], state.gain);
    }
    return true;
  }

 private:
  std::vector<std::int64_t> costs_;
  std::vector<double> best_;
};

class DynamicProgram {
 public:
  DynamicProgram(const Problem& problem, const AdditiveInstance& instance,
                 const LagrangianBound& bound)
      : problem_(problem), instance_(instance), bound_(bound) {}

  // One pass over the layers. With a beam only the most promising states survive: fast, and no
  // proof. False when a layer has more than max_states.
  bool run(std::size_t beam, std::size_t max_states) {
    traces_.clear();
    ranked_ = beam != 0;
    std::vector<State> states(1);
    std::vector<Trace> root(1);
    traces_.push_back(root);
    for (int position = 0;; ++position) {
      finish(states, position);
      find_depths(position + 1);
      if (depths_.empty()) return true;
      if (!expand(states, position, beam == 0 ? max_states : SIZE_MAX)) return false;
      remove_dominated(states);
      if (beam != 0) keep_best(states, beam);
      if (states.empty()) return true;
      survivors_ += static_cast<std::int64_t>(states.size());
      record(states);
    }
  }

  [[nodiscard]] const Candidate& best() const { return best_; }
  [[nodiscard]] std::int64_t survivors() const { return survivors_; }
  void reset_survivors() { survivors_ = 0; }

 private:
  // Closes the depth whose last layer stands at position - 1.
  void finish(const std::vector<State>& states, int depth) {
    const auto d = static_cast<std::size_t>(depth);
    if (!instance_.depth_possible[d]) return;
    for (std::size_t i = 0; i < states.size(); ++i) {
      if (!fits(states[i].cost, instance_.room[d])) continue;
      // The same additions in the same order as objective(), so equal to the last bit.
      const double value = states[i].gain + instance_.bias_gain[d];
      const std::int64_t cost = states[i].cost[0] - instance_.room[d][0];
      if (value > best_value_ ||
          (value == best_value_ &&
           (cost < best_cost_ || (cost == best_cost_ && depth < best_.depth)))) {
        best_value_ = value;
        best_cost_ = cost;
        best_ = backtrack(depth, i);
      }
    }
  }

  Candidate backtrack(int depth, std::size_t state) const {
    Candidate candidate = empty_candidate(problem_);
    candidate.depth = depth;
    for (int position = depth; position > 0; --position) {
      const Trace& trace = traces_[static_cast<std::size_t>(position)][state];
      candidate.choice[static_cast<std::size_t>(instance_.layers - position)] = trace.option;
      state = trace.parent;
    }
    return candidate;
  }

  // The depths from `first` on that may still beat the best known plan.
  void find_depths(int first) {
    depths_.clear();
    for (int depth = first; depth <= instance_.layers; ++depth) {
      if (!instance_.depth_possible[static_cast<std::size_t>(depth)]) continue;
      if (bound_.at_depth(depth, 0, {}, 0.0) >= threshold()) depths_.push_back(depth);
    }
  }

  // Ties are kept: among equal objectives the cheaper plan wins.
  [[nodiscard]] double threshold() const { return best_value_ - instance_.tolerance; }

  bool expand(std::vector<State>& states, int position, std::size_t max_states) {
    std::vector<State> next;
    for (std::size_t i = 0; i < states.size(); ++i) {
      State child = states[i];
      child.parent = static_cast<std::uint32_t>(i);
      child.option = 0;
      push_if_promising(next, child, position + 1);
      for (const Item& item : instance_.items[static_cast<std::size_t>(position)]) {
        child.option = item.option;
        child.cost = sum(states[i].cost, item.cost);
        child.gain = states[i].gain + item.gain;
        push_if_promising(next, child, position + 1);
      }
      if (next.size() > max_states) return false;
    }
    states = std::move(next);
    return true;
  }

  void push_if_promising(std::vector<State>& states, State& state, int position) {
    state.bound = kNever;
    for (std::size_t i = 0; i < depths_.size(); ++i) {
      const int depth = depths_[i];
      if (!fits(state.cost, instance_.room[static_cast<std::size_t>(depth)])) continue;
      state.bound = std::max(state.bound, bound_.at_depth(depth, position, state.cost, state.gain));
      // Only a beam ranks states by the bound; without one, the first depth that can still win is
      // enough, and the next state most likely wins there too.
      if (!ranked_ && state.bound >= threshold()) {
        std::swap(depths_[i], depths_[0]);
        break;
      }
    }
    if (state.bound >= threshold()) states.push_back(state);
  }

  static void remove_dominated(std::vector<State>& states) {
    std::sort(states.begin(), states.end(), [](const State& a, const State& b) {
      if (a.cost[0] != b.cost[0]) return a.cost[0] < b.cost[0];
      if (a.cost[1] != b.cost[1]) return a.cost[1] < b.cost[1];
      if (a.gain != b.gain) return a.gain > b.gain;
      return a.parent != b.parent ? a.parent < b.parent : a.option < b.option;
    });
    // Whatever came before costs no more by the first constraint.
    GainByCost seen(states);
    std::erase_if(states, [&](const State& state) { return !seen.improves(state); });
  }

  static void keep_best(std::vector<State>& states, std::size_t count) {
    if (states.size() <= count) return;
    const auto nth = states.begin() + static_cast<std::ptrdiff_t>(count);
    std::nth_element(states.begin(), nth, states.end(), [](const State& a, const State& b) {
      return a.bound != b.bound ? a.bound > b.bound : a.cost < b.cost;
    });
    states.resize(count);
  }

  void record(const std::vector<State>& states) {
    std::vector<Trace>& traces = traces_.emplace_back();
    traces.reserve(states.size());
    for (const State& state : states) traces.push_back({state.parent, state.option});
  }

  const Problem& problem_;
  const AdditiveInstance& instance_;
  const LagrangianBound& bound_;
  std::vector<int> depths_;
  bool ranked_ = false;                     ///< whether bounds must be the largest over all depths
  std::vector<std::vector<Trace>> traces_;  ///< [position][state]
  Candidate best_;
  double best_value_ = kNever;
  std::int64_t best_cost_ = 0;
  std::int64_t survivors_ = 0;
};

}  // namespace

Result<ExactResult> solve_exact(const Problem& problem, const ExactOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  ESPALIER_CHECK_OK(check(problem));
  ESPALIER_TRY(const AdditiveInstance instance, make_additive_instance(problem));
  ESPALIER_CHECK_OK(check_feasible(problem));
  const LagrangianBound bound(instance, problem.constraints.size());
  DynamicProgram program(problem, instance, bound);
  program.run(std::max<std::size_t>(options.beam, 1), SIZE_MAX);
  program.reset_survivors();
  if (!program.run(0, options.max_states)) {
    return Error{ErrorKind::kUsage,
                 fmt::format("exact solver: more than {} states in one layer; use the evolution "
                             "solver or raise max_states",
                             options.max_states)};
  }
  ExactResult result;
  result.best = make_solution(problem, program.best());
  result.states = program.survivors();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace espalier::search
