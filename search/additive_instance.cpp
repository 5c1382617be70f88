#include "additive_instance.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace espalier::search {
namespace {

Status check_supported(const Problem& problem) {
  if (problem.constraints.size() > kMaxExactConstraints) {
    return Error{ErrorKind::kUsage,
                 fmt::format("exact solver: {} constraints are given, at most {} are possible; use "
                             "the evolution solver",
                             problem.constraints.size(), kMaxExactConstraints)};
  }
  for (const Constraint& constraint : problem.constraints) {
    if (std::holds_alternative<AdditiveCost>(constraint.cost)) continue;
    return Error{ErrorKind::kUsage,
                 fmt::format("exact solver: the cost of '{}' is not a sum over layers, so there is "
                             "no proof of an optimum; use the evolution solver",
                             constraint.name)};
  }
  return Ok{};
}

// "No limit" is often written as the largest integer; differences from it must stay in range.
constexpr std::int64_t kLargestLimit = std::int64_t{1} << 61;

bool dominates(const Item& a, const Item& b) { return a.gain >= b.gain && fits(a.cost, b.cost); }

std::vector<Item> useful_items(const Problem& problem, int layer) {
  const auto row = static_cast<std::size_t>(layer);
  std::vector<Item> useful;
  for (int option = 1; option <= problem.options; ++option) {
    const auto column = static_cast<std::size_t>(option);
    const double gain = problem.weight_gain[row][column];
    if (!is_available(problem, layer, option) || gain <= 0) continue;
    Item item{static_cast<std::uint8_t>(option), gain, {}};
    for (std::size_t c = 0; c < problem.constraints.size(); ++c) {
      item.cost[c] = std::get<AdditiveCost>(problem.constraints[c].cost).by_option[row][column];
    }
    const auto dominates_item = [&](const Item& other) { return dominates(other, item); };
    if (std::any_of(useful.begin(), useful.end(), dominates_item)) continue;
    std::erase_if(useful, [&](const Item& other) { return dominates(item, other); });
    useful.push_back(item);
  }
  return useful;
}

}  // namespace

Result<AdditiveInstance> make_additive_instance(const Problem& problem) {
  ESPALIER_CHECK_OK(check_supported(problem));
  AdditiveInstance instance;
  instance.layers = problem.layers;
  double magnitude = 0;
  double largest_bias = 0;
  for (int layer = problem.layers - 1; layer >= 0; --layer) {
    std::vector<Item>& items = instance.items.emplace_back(useful_items(problem, layer));
    double largest = 0;
    for (const Item& item : items) largest = std::max(largest, item.gain);
    magnitude += largest;
  }
  for (int depth = 0; depth <= problem.layers; ++depth) {
    const auto d = static_cast<std::size_t>(depth);
    CostVector room{};
    for (std::size_t c = 0; c < problem.constraints.size(); ++c) {
      const Constraint& constraint = problem.constraints[c];
      const auto& terms = std::get<AdditiveCost>(constraint.cost);
      room[c] = std::clamp(constraint.limit, -kLargestLimit, kLargestLimit) - terms.base -
                terms.by_depth[d];
    }
    const bool available = is_depth_available(problem, depth);
    instance.room.push_back(room);
    instance.bias_gain.push_back(available ? problem.bias_gain[d] : 0);
    instance.depth_possible.push_back(available && fits({}, room));
    largest_bias = std::max(largest_bias, std::abs(instance.bias_gain.back()));
  }
  instance.tolerance = 1e-12 * (magnitude + largest_bias);
  return instance;
}

}  // namespace espalier::search
