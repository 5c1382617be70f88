#include "espalier/cost/additive_terms.hpp"

#include <algorithm>

#include "conv_memory.hpp"
#include "espalier/plan/update_plan.hpp"
#include "mac_parts.hpp"

namespace espalier::cost {
namespace {

// by_ratio[conv][option] = cost(conv, trained input channels of the option).
template <typename Cost>
std::vector<std::vector<std::int64_t>> by_ratio(const std::vector<ConvView>& views,
                                                std::span<const double> ratios, Cost cost) {
  std::vector<std::vector<std::int64_t>> rows;
  for (std::size_t i = 0; i < views.size(); ++i) {
    std::vector<std::int64_t>& row = rows.emplace_back(1, 0);
    for (const double ratio : ratios) {
      row.push_back(
          cost(static_cast<int>(i), plan::channel_count(views[i].conv->in_channels, ratio)));
    }
  }
  return rows;
}

}  // namespace

AdditiveTerms analytic_terms(const ir::Graph& graph, std::span<const double> ratios) {
  const std::vector<ConvView> views = conv_views(graph);
  AdditiveTerms terms;
  terms.base = head_memory_bits(graph);
  terms.by_depth.push_back(0);
  for (std::size_t depth = 1; depth <= views.size(); ++depth) {
    const std::size_t conv = views.size() - depth;
    const std::int64_t bits = conv_memory(static_cast<int>(conv), views[conv], 0).total_bits();
    terms.by_depth.push_back(terms.by_depth.back() + bits);
  }
  terms.by_ratio = by_ratio(views, ratios, [&](int conv, int channels) {
    const ConvMemory memory = conv_memory(conv, views[static_cast<std::size_t>(conv)], channels);
    return memory.weight_bits + memory.input_bits;
  });
  return terms;
}

AdditiveTerms mac_terms(const ir::Graph& graph, std::span<const double> ratios) {
  const std::vector<ConvView> views = conv_views(graph);
  const MacParts parts(graph);
  AdditiveTerms terms;
  terms.base = parts.forward() + parts.head();
  for (int depth = 0; depth <= static_cast<int>(views.size()); ++depth) {
    terms.by_depth.push_back(parts.input_gradient(depth));
  }
  terms.by_ratio = by_ratio(
      views, ratios, [&](int conv, int channels) { return parts.weight_gradient(conv, channels); });
  return terms;
}

std::vector<std::vector<bool>> available_ratios(const ir::Graph& graph,
                                                std::span<const double> ratios) {
  std::vector<std::vector<bool>> rows;
  for (const ConvView& view : conv_views(graph)) {
    std::vector<bool>& row = rows.emplace_back(1, true);
    int most = 0;
    for (const double ratio : ratios) {
      const int kept = plan::channel_count(view.conv->in_channels, ratio);
      row.push_back(kept > most);
      most = std::max(most, kept);
    }
  }
  return rows;
}

}  // namespace espalier::cost
