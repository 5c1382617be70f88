#include "neighbourhood.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <variant>

#include "espalier/cost/additive_terms.hpp"
#include "espalier/search/exact.hpp"
#include "espalier/search/problem.hpp"

namespace espalier::contribution {
namespace {

// Every halving of the intervals doubles the budgets: 1, 3, 7.
constexpr int kHalvings = 3;
// Convs that come next, of each budget.
constexpr std::size_t kRunnersUp = 3;
// Far more than problems of real networks need, and still a matter of moments.
constexpr std::size_t kMostStates = 200'000;

std::size_t index(int value) { return static_cast<std::size_t>(value); }

// What a ratio of a conv gains: as measured, else on the line between the measured ratios on either
// side, where no channels gain nothing; beyond the last of them as much as that one. Nothing when
// it diverged, or when no ratio has a gain.
std::optional<double> expected_gain(const std::vector<Gain>& row, const std::vector<double>& ratios,
                                    std::size_t at) {
  if (row[at].loss) return row[at].loss->mean;
  if (row[at].diverged > 0) return std::nullopt;
  std::optional<double> below;
  double below_ratio = 0;
  for (std::size_t r = 0; r < row.size(); ++r) {
    if (!row[r].loss) continue;
    const double gain = row[r].loss->mean;
    if (r > at) {
      const double along = (ratios[at] - below_ratio) / (ratios[r] - below_ratio);
      const double from = below.value_or(0.0);
      return from + (gain - from) * along;
    }
    below = gain;
    below_ratio = ratios[r];
  }
  return below;
}

class Finder {
 public:
  Finder(const ir::Graph& graph, const std::vector<TrialSpec>& trials, const Profile& profile)
      : profile_(profile), options_(profile.weight.size()) {
    for (const TrialSpec& spec : trials) {
      if (spec.conv < 0) {
        depths_.insert(spec.depth);
        continue;
      }
      const auto ratio = std::find(profile.ratios.begin(), profile.ratios.end(), spec.ratio);
      if (ratio == profile.ratios.end()) continue;
      options_[index(spec.conv)].insert(static_cast<int>(ratio - profile.ratios.begin()) + 1);
    }
    state_problem(graph);
  }

  Neighbourhood find() {
    if (!knows_anything()) return {};
    for (const std::int64_t budget : budgets()) {
      problem_.constraints[0].limit = budget;
      const auto solved = search::solve_exact(problem_, {.max_states = kMostStates});
      if (solved.ok()) add(solved->best.candidate);
    }
    return merged();
  }

 private:
  using Orders = std::map<Update, double>;

  void state_problem(const ir::Graph& graph) {
    problem_.layers = static_cast<int>(profile_.weight.size());
    problem_.options = static_cast<int>(profile_.ratios.size());
    for (int depth = 0; depth <= problem_.layers; ++depth) {
      const std::optional<Estimate>& gain = profile_.bias[index(depth)].loss;
      problem_.bias_gain.push_back(depth > 0 && gain ? gain->mean : 0.0);
      problem_.depth_available.push_back(depth == 0 || gain.has_value());
    }
    for (int conv = 0; conv < problem_.layers; ++conv) {
      std::vector<double>& gains = problem_.weight_gain.emplace_back(1, 0.0);
      std::vector<bool>& available = problem_.available.emplace_back(1, true);
      for (int option = 1; option <= problem_.options; ++option) {
        const std::optional<double> gain =
            expected_gain(profile_.weight[index(conv)], profile_.ratios, index(option - 1));
        gains.push_back(gain.value_or(0.0));
        // A ratio that is not listed trains nothing, or what a smaller one does.
        available.push_back(gain && options_[index(conv)].count(option) > 0);
      }
    }
    cost::AdditiveTerms terms = cost::analytic_terms(graph, profile_.ratios);
    problem_.constraints.push_back(
        {.name = "analytic memory",
         .limit = 0,
         .cost =
             search::AdditiveCost{terms.base, std::move(terms.by_depth), std::move(terms.by_ratio)},
         .unit = "bits",
         .format = nullptr});
  }

  [[nodiscard]] const search::AdditiveCost& memory() const {
    return std::get<search::AdditiveCost>(problem_.constraints[0].cost);
  }

  [[nodiscard]] bool knows_anything() const {
    const auto known = [](const std::vector<bool>& row) {
      return std::find(row.begin() + 1, row.end(), true) != row.end();
    };
    return known(problem_.depth_available) ||
           std::any_of(problem_.available.begin(), problem_.available.end(), known);
  }

  // In bits, a geometric series between what the head alone takes and what everything takes.
  // Without these two: the one leaves nothing to choose, and the other chooses all that gains
  // anything.
  [[nodiscard]] std::vector<std::int64_t> budgets() const {
    std::int64_t most = memory().base;
    for (int depth = problem_.layers; depth > 0; --depth) {
      if (!search::is_depth_available(problem_, depth)) continue;
      most += memory().by_depth[index(depth)];
      break;
    }
    for (int conv = 0; conv < problem_.layers; ++conv) {
      std::int64_t largest = 0;
      for (int option = 1; option <= problem_.options; ++option) {
        if (!search::is_available(problem_, conv, option)) continue;
        largest = std::max(largest, memory().by_option[index(conv)][index(option)]);
      }
      most += largest;
    }
    // Square roots are the same to the bit everywhere, other roots are not.
    std::vector<double> marks{static_cast<double>(memory().base), static_cast<double>(most)};
    for (int i = 0; i < kHalvings; ++i) {
      std::vector<double> finer{marks.front()};
      for (std::size_t k = 1; k < marks.size(); ++k) {
        finer.push_back(std::sqrt(marks[k - 1] * marks[k]));
        finer.push_back(marks[k]);
      }
      marks = std::move(finer);
    }
    std::vector<std::int64_t> bits;
    for (std::size_t k = 1; k + 1 < marks.size(); ++k) {
      bits.push_back(static_cast<std::int64_t>(marks[k]));
    }
    return bits;
  }

  [[nodiscard]] Update weights(int conv, int option) const {
    return {problem_.layers - conv, conv, profile_.ratios[index(option - 1)]};
  }

  [[nodiscard]] bool diverged(int conv, int option) const {
    return profile_.weight[index(conv)][index(option - 1)].diverged > 0;
  }

  // The options listed on either side of one.
  [[nodiscard]] std::vector<int> options_beside(int conv, int option) const {
    std::vector<int> beside;
    for (const int other : beside_in(options_[index(conv)], option)) {
      if (!diverged(conv, other)) beside.push_back(other);
    }
    return beside;
  }

  static std::vector<int> beside_in(const std::set<int>& values, int value) {
    std::vector<int> beside;
    const auto at = values.lower_bound(value);
    if (at != values.begin()) beside.push_back(*std::prev(at));
    const auto next = values.upper_bound(value);
    if (next != values.end()) beside.push_back(*next);
    return beside;
  }

  // What is in more of the plans comes first.
  void add(const search::Candidate& plan) {
    Orders& chosen = ring(Ring::kChosen);
    Orders& beside = ring(Ring::kBeside);
    chosen[{plan.depth, -1, 0}] -= 1;
    for (const int depth : beside_in(depths_, plan.depth)) {
      if (profile_.bias[index(depth)].diverged == 0) beside[{depth, -1, 0}] -= 1;
    }
    for (int conv = 0; conv < problem_.layers; ++conv) {
      const int option = plan.choice[index(conv)];
      if (option == 0) continue;
      chosen[weights(conv, option)] -= 1;
      for (const int other : options_beside(conv, option)) beside[weights(conv, other)] -= 1;
    }
    add_runners_up(plan);
  }

  // The convs that a plan leaves out and would lose least with, and the ratios on either side. What
  // gains nothing by itself is none of them.
  void add_runners_up(const search::Candidate& plan) {
    std::vector<std::tuple<double, int, int>> entries;  // lost, conv from the last on, option
    for (int conv = 0; conv < problem_.layers; ++conv) {
      if (plan.choice[index(conv)] != 0) continue;
      std::optional<std::pair<double, int>> best;
      for (int option = 1; option <= problem_.options; ++option) {
        if (!search::is_available(problem_, conv, option)) continue;
        if (problem_.weight_gain[index(conv)][index(option)] <= 0) continue;
        const std::optional<double> lost = lost_with(plan, conv, option);
        if (lost && (!best || *lost < best->first)) best.emplace(*lost, option);
      }
      if (best) entries.emplace_back(best->first, -conv, best->second);
    }
    std::sort(entries.begin(), entries.end());
    entries.resize(std::min(entries.size(), kRunnersUp));
    for (const auto& [lost, last, option] : entries) {
      const int conv = -last;
      offer(weights(conv, option), lost);
      for (const int other : options_beside(conv, option)) offer(weights(conv, other), lost);
    }
  }

  void offer(const Update& update, double lost) {
    const auto [at, is_new] = ring(Ring::kRunnerUp).emplace(update, lost);
    if (!is_new) at->second = std::min(at->second, lost);
  }

  // The gain that a plan loses when a conv that it leaves out comes in, with the biases as deep as
  // that needs, and one other conv gives way if memory wants it. Nothing when that does not do.
  [[nodiscard]] std::optional<double> lost_with(const search::Candidate& plan, int conv,
                                                int option) const {
    search::Candidate with = plan;
    with.choice[index(conv)] = static_cast<std::uint8_t>(option);
    with.depth = std::max(plan.depth, problem_.layers - conv);
    while (!search::is_depth_available(problem_, with.depth)) {
      if (++with.depth > problem_.layers) return std::nullopt;
    }
    const search::Constraint& constraint = problem_.constraints[0];
    const std::int64_t over = search::cost(constraint, with) - constraint.limit;
    const double lost = search::objective(problem_, plan) - search::objective(problem_, with);
    if (over <= 0) return lost;
    std::optional<double> least;
    for (int other = 0; other < problem_.layers; ++other) {
      const std::size_t now = plan.choice[index(other)];
      if (now == 0) continue;
      const std::vector<std::int64_t>& costs = memory().by_option[index(other)];
      const std::vector<double>& gains = problem_.weight_gain[index(other)];
      for (int less = 0; less <= problem_.options; ++less) {
        if (!search::is_available(problem_, other, less)) continue;
        if (costs[now] - costs[index(less)] < over) continue;
        const double all = lost + gains[now] - gains[index(less)];
        if (!least || all < *least) least = all;
      }
    }
    return least;
  }

  Orders& ring(Ring which) { return rings_[static_cast<std::size_t>(which)]; }

  // Each update in the first of its rings, and before it what it is measured against.
  [[nodiscard]] Neighbourhood merged() const {
    Neighbourhood found;
    for (std::size_t i = 0; i < rings_.size(); ++i) {
      const auto which = static_cast<Ring>(i);
      for (const auto& [update, order] : rings_[i]) found.emplace(update, Standing{which, order});
      for (const auto& [update, order] : rings_[i]) {
        if (update.conv >= 0) found.emplace(Update{update.depth, -1, 0}, Standing{which, 0});
        found.emplace(Update{0, -1, 0}, Standing{which, 0});
      }
    }
    return found;
  }

  const Profile& profile_;
  std::set<int> depths_;                ///< that are listed
  std::vector<std::set<int>> options_;  ///< [conv]: that are listed
  search::Problem problem_;
  std::array<Orders, 3> rings_;  ///< [Ring]
};

}  // namespace

Neighbourhood neighbourhood(const ir::Graph& graph, const std::vector<TrialSpec>& trials,
                            const Profile& profile) {
  return Finder(graph, trials, profile).find();
}

}  // namespace espalier::contribution
