#include "espalier/search/stand_in.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "espalier/search/exact.hpp"

namespace espalier::search {
namespace {

// By how much limits grow while the optimum under them is still feasible, and the largest ones.
constexpr double kStep = 1.12;
constexpr double kMost = 2.0;

// An additive constraint in the place of a function, from what training the head alone costs to
// what the anchor does.
struct Scale {
  std::size_t constraint;  // of the additive problem
  std::int64_t least;
  std::int64_t anchor;
};

std::int64_t largest(const AdditiveCost& cost) {
  std::int64_t sum = cost.base + *std::max_element(cost.by_depth.begin(), cost.by_depth.end());
  for (const auto& row : cost.by_option) sum += *std::max_element(row.begin(), row.end());
  return sum;
}

// The problem under stand-ins. Of constraints on the same cost one is enough, as long as each limit
// is kept; exact solvers take few.
class StandIn {
 public:
  StandIn(const Problem& problem, const Candidate& anchor) : problem_(problem) {
    problem_.constraints.clear();
    const Candidate empty = empty_candidate(problem);
    for (const Constraint& given : problem.constraints) {
      Constraint constraint = given;
      const bool function = std::holds_alternative<CostFunction>(given.cost);
      if (function) {
        if (!given.stand_in) {
          complete_ = false;
          return;
        }
        constraint.cost = *given.stand_in;
      }
      const auto& cost = std::get<AdditiveCost>(constraint.cost);
      const auto same = std::find_if(
          problem_.constraints.begin(), problem_.constraints.end(),
          [&](const Constraint& other) { return std::get<AdditiveCost>(other.cost) == cost; });
      const auto place = static_cast<std::size_t>(same - problem_.constraints.begin());
      if (function) {
        const std::int64_t least = search::cost(constraint, empty);
        const std::int64_t most = search::cost(constraint, anchor);
        scales_.push_back({place, least, most > least ? most : largest(cost)});
      }
      if (same == problem_.constraints.end()) {
        bounds_.push_back(function ? kNoBound : given.limit);
        problem_.constraints.push_back(std::move(constraint));
      } else if (!function) {
        bounds_[place] = std::min(bounds_[place], given.limit);
      }
    }
  }

  [[nodiscard]] bool complete() const { return complete_; }

  // The optimum with limits at this share of the way to the anchor's costs.
  std::optional<Candidate> solve(double share) {
    for (std::size_t c = 0; c < bounds_.size(); ++c) problem_.constraints[c].limit = bounds_[c];
    for (const Scale& scale : scales_) {
      const double way = share * static_cast<double>(scale.anchor - scale.least);
      std::int64_t& limit = problem_.constraints[scale.constraint].limit;
      limit = std::min<std::int64_t>(limit, scale.least + std::llround(way));
    }
    const Result<ExactResult> result = solve_exact(problem_);
    if (!result.ok()) return std::nullopt;
    return result->best.candidate;
  }

 private:
  static constexpr std::int64_t kNoBound = INT64_MAX;

  Problem problem_;
  std::vector<std::int64_t> bounds_;  // by constraint, of those that were additive
  std::vector<Scale> scales_;
  bool complete_ = true;
};

}  // namespace

std::vector<Candidate> stand_in_optima(const Problem& problem, const Candidate& anchor,
                                       int solves) {
  StandIn stand_in(problem, anchor);
  if (!stand_in.complete()) return {};
  std::optional<Candidate> beyond;
  std::optional<Candidate> within;
  double low = 0;
  double high = kMost;
  double share = 1;
  for (int i = 0; i < solves && share < kMost; ++i) {
    const std::optional<Candidate> optimum = stand_in.solve(share);
    if (!optimum) break;
    if (is_feasible(problem, *optimum)) {
      within = optimum;
      low = share;
      share = beyond ? (low + high) / 2 : share * kStep;
    } else {
      beyond = optimum;
      high = share;
      share = (low + high) / 2;
    }
  }
  std::vector<Candidate> found;
  if (beyond) found.push_back(*std::move(beyond));
  if (within) found.push_back(*std::move(within));
  return found;
}

}  // namespace espalier::search
