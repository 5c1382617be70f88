// The selection problem that every solver takes: how many of the last layers train their biases,
// and which option of weights each of them trains. Knows layers, gains and costs as numbers only,
// never a model.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "espalier/support/result.hpp"

namespace espalier::search {

/// One selection. choice[i] may differ from 0 only in the last `depth` layers.
struct Candidate {
  int depth = 0;                     ///< 0..layers
  std::vector<std::uint8_t> choice;  ///< [layer]: 0 frozen, r > 0 the r-th option

  bool operator==(const Candidate&) const = default;
};

/// cost = base + by_depth[depth] + sum over layers of by_option[layer][choice].
struct AdditiveCost {
  std::int64_t base = 0;
  std::vector<std::int64_t> by_depth;                ///< [0..layers], none below by_depth[0]
  std::vector<std::vector<std::int64_t>> by_option;  ///< [layer][0..options], [layer][0] = 0, >= 0

  bool operator==(const AdditiveCost&) const = default;
};

/// Any cost at all. Must be a pure function, and may be called from several threads at once.
using CostFunction = std::function<std::int64_t(const Candidate&)>;

/// cost(candidate) <= limit.
struct Constraint {
  std::string name;        ///< for messages, such as "analytic memory"
  std::int64_t limit = 0;  ///< inclusive
  std::variant<AdditiveCost, CostFunction> cost;
  std::string unit;  ///< for messages, such as "bits"
  /// How messages write a cost; when empty, as the number and its unit.
  std::function<std::string(std::int64_t)> format;
  /// Of a function: an additive cost, in any unit, that rises and falls much as it does. Searches
  /// may begin from it (search/stand_in.hpp); it decides nothing.
  std::optional<AdditiveCost> stand_in{};
};

/// Maximise bias_gain[depth] + sum over layers of weight_gain[layer][choice] under all constraints.
/// Gains may be negative and need not be monotone.
struct Problem {
  int layers = 0;
  int options = 0;                               ///< besides frozen; at most 255
  std::vector<double> bias_gain;                 ///< [0..layers]
  std::vector<std::vector<double>> weight_gain;  ///< [layer][0..options], [layer][0] = 0
  std::vector<std::vector<bool>> available;      ///< [layer][0..options]; empty: all are
  std::vector<bool> depth_available;             ///< [0..layers]; empty: all are. 0 always is
  std::vector<Constraint> constraints;
};

/// A candidate with the figures a solver claims for it.
struct Solution {
  Candidate candidate;
  double objective = 0;
  std::vector<std::int64_t> costs;  ///< by constraint

  bool operator==(const Solution&) const = default;
};

/// Depth 0, everything frozen.
Candidate empty_candidate(const Problem& problem);

/// True when the option of a layer may be chosen; option 0 always may.
bool is_available(const Problem& problem, int layer, int option);

/// True when the depth may be chosen.
bool is_depth_available(const Problem& problem, int depth);

/// True when no constraint is a function.
bool is_additive(const Problem& problem);

/// True when the candidate's depth and options are available and it satisfies every constraint.
bool is_feasible(const Problem& problem, const Candidate& candidate);

/// The objective, summed from the last layer to the first and the bias gain on top, so that equal
/// candidates have equal objectives to the last bit.
double objective(const Problem& problem, const Candidate& candidate);

/// The cost of a candidate under one constraint.
std::int64_t cost(const Constraint& constraint, const Candidate& candidate);

/// The candidate with its objective and costs.
Solution make_solution(const Problem& problem, Candidate candidate);

/// A cost as messages write it.
std::string format_cost(const Constraint& constraint, std::int64_t cost);

/// Whether the problem is well formed: sizes, finite gains, sound additive costs. kUsage lists
/// every violation.
Status check(const Problem& problem);

/// Whether any plan can be feasible: kInfeasible names each constraint that even the empty
/// candidate exceeds, with the smallest cost possible and the limit.
Status check_feasible(const Problem& problem);

}  // namespace espalier::search
