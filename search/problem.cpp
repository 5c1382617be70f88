#include "espalier/search/problem.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace espalier::search {
namespace {

constexpr int kMaxLayers = 4096;
constexpr int kMaxOptions = 255;
// So that no sum over all layers can leave 64 bits.
constexpr std::int64_t kMaxTerm = std::int64_t{1} << 48;

std::size_t index(int value) { return static_cast<std::size_t>(value); }

class Checker {
 public:
  explicit Checker(const Problem& problem) : problem_(problem) {}

  Status run() {
    if (problem_.layers < 0 || problem_.layers > kMaxLayers || problem_.options < 0 ||
        problem_.options > kMaxOptions) {
      return Error{ErrorKind::kUsage,
                   fmt::format("search problem: {} layers with {} options are out of range; at "
                               "most {} and {} are possible",
                               problem_.layers, problem_.options, kMaxLayers, kMaxOptions)};
    }
    layers_ = index(problem_.layers);
    options_ = index(problem_.options);
    check_sizes();
    if (problems_.empty()) check_gains();
    for (const Constraint& constraint : problem_.constraints) check_constraint(constraint);
    if (!problems_.empty()) return Error{ErrorKind::kUsage, problems_};
    return Ok{};
  }

 private:
  void problem(const std::string& text) { problems_.push_back("search problem: " + text); }

  template <typename T>
  void check_rows(const std::vector<std::vector<T>>& rows, const std::string& what) {
    if (rows.size() != layers_) {
      problem(fmt::format("{} has {} layers, must have {}", what, rows.size(), layers_));
      return;
    }
    for (std::size_t layer = 0; layer < layers_; ++layer) {
      if (rows[layer].size() != options_ + 1) {
        problem(fmt::format("{}[{}] has {} entries, must have {}", what, layer, rows[layer].size(),
                            options_ + 1));
      }
    }
  }

  void check_sizes() {
    if (problem_.bias_gain.size() != layers_ + 1) {
      problem(fmt::format("bias_gain has {} entries, must have {}", problem_.bias_gain.size(),
                          layers_ + 1));
    }
    check_rows(problem_.weight_gain, "weight_gain");
    if (!problem_.available.empty()) check_rows(problem_.available, "available");
    if (problem_.depth_available.empty()) return;
    if (problem_.depth_available.size() != layers_ + 1) {
      problem(fmt::format("depth_available has {} entries, must have {}",
                          problem_.depth_available.size(), layers_ + 1));
    } else if (!problem_.depth_available[0]) {
      problem("depth 0 must be available; it is what every other plan is measured against");
    }
  }

  void check_gains() {
    for (int depth = 0; depth <= problem_.layers; ++depth) {
      if (is_depth_available(problem_, depth) && !std::isfinite(problem_.bias_gain[index(depth)])) {
        problem(
            fmt::format("bias_gain[{}] is not a finite number; make the depth unavailable", depth));
      }
    }
    for (int layer = 0; layer < problem_.layers; ++layer) {
      const std::vector<double>& row = problem_.weight_gain[index(layer)];
      if (row[0] != 0) problem(fmt::format("weight_gain[{}][0] must be 0: frozen", layer));
      for (int option = 1; option <= problem_.options; ++option) {
        if (is_available(problem_, layer, option) && !std::isfinite(row[index(option)])) {
          problem(fmt::format("weight_gain[{}][{}] is not a finite number; make it unavailable",
                              layer, option));
        }
      }
    }
  }

  void check_constraint(const Constraint& constraint) {
    if (const auto* function = std::get_if<CostFunction>(&constraint.cost)) {
      if (!*function) problem(fmt::format("constraint '{}' has no cost function", constraint.name));
    } else {
      check_additive(constraint.name, std::get<AdditiveCost>(constraint.cost));
    }
    if (constraint.stand_in) {
      check_additive(constraint.name + ", stand-in", *constraint.stand_in);
    }
  }

  void check_additive(const std::string& name, const AdditiveCost& terms) {
    const std::size_t before = problems_.size();
    if (terms.by_depth.size() != layers_ + 1) {
      problem(fmt::format("constraint '{}': by_depth has {} entries, must have {}", name,
                          terms.by_depth.size(), layers_ + 1));
    }
    check_rows(terms.by_option, fmt::format("constraint '{}': by_option", name));
    if (problems_.size() == before) check_terms(name, terms);
  }

  void check_terms(const std::string& name, const AdditiveCost& terms) {
    const auto in_range = [](std::int64_t term) { return term >= -kMaxTerm && term <= kMaxTerm; };
    if (!in_range(terms.base)) problem(fmt::format("constraint '{}': base is too large", name));
    for (std::size_t depth = 0; depth <= layers_; ++depth) {
      if (!in_range(terms.by_depth[depth]) || terms.by_depth[depth] < terms.by_depth[0]) {
        problem(
            fmt::format("constraint '{}': by_depth[{}] = {} must lie between by_depth[0] and "
                        "2^48",
                        name, depth, terms.by_depth[depth]));
      }
    }
    for (std::size_t layer = 0; layer < layers_; ++layer) {
      for (std::size_t option = 0; option <= options_; ++option) {
        const std::int64_t term = terms.by_option[layer][option];
        if (!in_range(term) || term < 0 || (option == 0 && term != 0)) {
          problem(
              fmt::format("constraint '{}': by_option[{}][{}] = {} must lie between 0 and "
                          "2^48, and be 0 for option 0",
                          name, layer, option, term));
        }
      }
    }
  }

  const Problem& problem_;
  std::size_t layers_ = 0;
  std::size_t options_ = 0;
  std::vector<std::string> problems_;
};

std::int64_t additive_cost(const AdditiveCost& terms, const Candidate& candidate) {
  std::int64_t sum = terms.base + terms.by_depth[index(candidate.depth)];
  for (std::size_t layer = 0; layer < candidate.choice.size(); ++layer) {
    sum += terms.by_option[layer][candidate.choice[layer]];
  }
  return sum;
}

}  // namespace

Candidate empty_candidate(const Problem& problem) {
  return {0, std::vector<std::uint8_t>(index(problem.layers), 0)};
}

bool is_available(const Problem& problem, int layer, int option) {
  return option == 0 || problem.available.empty() || problem.available[index(layer)][index(option)];
}

bool is_depth_available(const Problem& problem, int depth) {
  return problem.depth_available.empty() || problem.depth_available[index(depth)];
}

bool is_additive(const Problem& problem) {
  return std::all_of(
      problem.constraints.begin(), problem.constraints.end(),
      [](const Constraint& c) { return std::holds_alternative<AdditiveCost>(c.cost); });
}

bool is_feasible(const Problem& problem, const Candidate& candidate) {
  if (!is_depth_available(problem, candidate.depth)) return false;
  for (int layer = 0; layer < problem.layers; ++layer) {
    if (!is_available(problem, layer, candidate.choice[index(layer)])) return false;
  }
  return std::all_of(problem.constraints.begin(), problem.constraints.end(),
                     [&](const Constraint& c) { return cost(c, candidate) <= c.limit; });
}

double objective(const Problem& problem, const Candidate& candidate) {
  double sum = 0;
  for (std::size_t layer = candidate.choice.size(); layer-- > 0;) {
    if (candidate.choice[layer] != 0) sum += problem.weight_gain[layer][candidate.choice[layer]];
  }
  return sum + problem.bias_gain[index(candidate.depth)];
}

std::int64_t cost(const Constraint& constraint, const Candidate& candidate) {
  if (const auto* terms = std::get_if<AdditiveCost>(&constraint.cost)) {
    return additive_cost(*terms, candidate);
  }
  return std::get<CostFunction>(constraint.cost)(candidate);
}

Solution make_solution(const Problem& problem, Candidate candidate) {
  Solution solution;
  solution.objective = objective(problem, candidate);
  for (const Constraint& constraint : problem.constraints) {
    solution.costs.push_back(cost(constraint, candidate));
  }
  solution.candidate = std::move(candidate);
  return solution;
}

std::string format_cost(const Constraint& constraint, std::int64_t cost) {
  if (constraint.format) return constraint.format(cost);
  return constraint.unit.empty() ? fmt::format("{}", cost)
                                 : fmt::format("{} {}", cost, constraint.unit);
}

Status check(const Problem& problem) { return Checker(problem).run(); }

Status check_feasible(const Problem& problem) {
  std::vector<std::string> exceeded;
  const Candidate empty = empty_candidate(problem);
  for (const Constraint& constraint : problem.constraints) {
    const std::int64_t smallest = cost(constraint, empty);
    if (smallest <= constraint.limit) continue;
    const std::string least = format_cost(constraint, smallest);
    exceeded.push_back(
        fmt::format("{}: the limit of {} cannot be met; training the head alone "
                    "takes {}, the smallest possible; allow at least that",
                    constraint.name, format_cost(constraint, constraint.limit), least));
  }
  if (!exceeded.empty()) return Error{ErrorKind::kInfeasible, exceeded};
  return Ok{};
}

}  // namespace espalier::search
