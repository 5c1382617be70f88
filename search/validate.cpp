#include "espalier/search/validate.hpp"

#include <fmt/format.h>

#include <cmath>

namespace espalier::search {
namespace {

// Sums of the same gains in another order agree this closely, relative to their magnitudes.
constexpr double kSumTolerance = 1e-12;

class Validator {
 public:
  Validator(const Problem& problem, const Solution& solution)
      : problem_(problem), solution_(solution), candidate_(solution.candidate) {}

  Status run() {
    check_candidate();
    // A malformed candidate has no objective and no costs to compare with.
    if (problems_.empty()) {
      check_objective();
      check_costs();
    }
    if (!problems_.empty()) return Error{ErrorKind::kMismatch, problems_};
    return Ok{};
  }

 private:
  void problem(const std::string& text) { problems_.push_back("search solution: " + text); }

  void check_candidate() {
    if (candidate_.depth < 0 || candidate_.depth > problem_.layers) {
      problem(fmt::format("depth {} is not in 0..{}", candidate_.depth, problem_.layers));
    } else if (!is_depth_available(problem_, candidate_.depth)) {
      problem(fmt::format("depth {} is not available", candidate_.depth));
    }
    if (candidate_.choice.size() != static_cast<std::size_t>(problem_.layers)) {
      problem(fmt::format("{} choices for {} layers", candidate_.choice.size(), problem_.layers));
      return;
    }
    for (int layer = 0; layer < problem_.layers; ++layer) check_layer(layer);
  }

  void check_layer(int layer) {
    const int option = candidate_.choice[static_cast<std::size_t>(layer)];
    if (option == 0) return;
    if (option > problem_.options) {
      problem(fmt::format("layer {}: option {} is not in 0..{}", layer, option, problem_.options));
    } else if (!is_available(problem_, layer, option)) {
      problem(fmt::format("layer {}: option {} is not available", layer, option));
    }
    if (layer < problem_.layers - candidate_.depth) {
      problem(fmt::format("layer {}: option {} lies before the last {} layers", layer, option,
                          candidate_.depth));
    }
  }

  void check_objective() {
    double sum = problem_.bias_gain[static_cast<std::size_t>(candidate_.depth)];
    double magnitude = std::abs(sum);
    for (std::size_t layer = 0; layer < candidate_.choice.size(); ++layer) {
      const double gain = problem_.weight_gain[layer][candidate_.choice[layer]];
      sum += gain;
      magnitude += std::abs(gain);
    }
    // The negated form also catches NaN.
    if (!(std::abs(sum - solution_.objective) <= kSumTolerance * magnitude)) {
      problem(
          fmt::format("objective {} is claimed, the gains sum to {}", solution_.objective, sum));
    }
  }

  void check_costs() {
    if (solution_.costs.size() != problem_.constraints.size()) {
      problem(fmt::format("{} costs for {} constraints", solution_.costs.size(),
                          problem_.constraints.size()));
      return;
    }
    for (std::size_t i = 0; i < solution_.costs.size(); ++i) {
      const Constraint& constraint = problem_.constraints[i];
      const std::int64_t actual = cost(constraint, candidate_);
      if (actual != solution_.costs[i]) {
        problem(fmt::format("{}: {} is claimed, the candidate takes {}", constraint.name,
                            format_cost(constraint, solution_.costs[i]),
                            format_cost(constraint, actual)));
      }
      if (actual > constraint.limit) {
        problem(fmt::format("{}: {} exceeds the limit of {}", constraint.name,
                            format_cost(constraint, actual),
                            format_cost(constraint, constraint.limit)));
      }
    }
  }

  const Problem& problem_;
  const Solution& solution_;
  const Candidate& candidate_;
  std::vector<std::string> problems_;
};

}  // namespace

Status validate(const Problem& problem, const Solution& solution) {
  return Validator(problem, solution).run();
}

}  // namespace espalier::search
