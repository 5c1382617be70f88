#include "logit_range.hpp"

#include <algorithm>
#include <limits>
#include <span>
#include <vector>

#include "espalier/plan/update_plan.hpp"
#include "espalier/train/network.hpp"
#include "espalier/train/sample_store.hpp"
#include "espalier/train/session.hpp"
#include "espalier/train/trainer.hpp"

namespace espalier::cli {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr LogitRange kNone{kInfinity, -kInfinity, kInfinity, -kInfinity};

void cover(LogitRange& range, const LogitRange& more) {
  range.lowest = std::min(range.lowest, more.lowest);
  range.highest = std::max(range.highest, more.highest);
  range.lowest_difference = std::min(range.lowest_difference, more.lowest_difference);
  range.highest_difference = std::max(range.highest_difference, more.highest_difference);
}

// Of one sample.
LogitRange range_of(std::span<const float> logits) {
  const auto [lowest, highest] = std::minmax_element(logits.begin(), logits.end());
  const float difference = logits.size() == 2 ? logits[1] - logits[0] : 0;
  return {*lowest, *highest, difference, difference};
}

}  // namespace

Result<LogitRange> logit_range(const ir::Graph& graph, const data::Samples& samples, int jobs,
                               Bytes limit) {
  const train::Network network(graph);
  const train::Session session(network, plan::head_only(graph), graph.head, 0);
  const bool fits = train::affordable_cut(network, 0, samples.size(), limit.count) >= 0;
  ESPALIER_TRY(const auto store, fits ? train::SampleStore::from_samples(network, samples, jobs)
                                      : train::SampleStore::on_demand(network, samples, jobs));
  std::vector<LogitRange> found(static_cast<std::size_t>(store->size()));
  train::visit_logits(
      session, *store, jobs,
      [&](std::size_t sample, std::span<const float> logits) { found[sample] = range_of(logits); });
  LogitRange all = kNone;
  for (const LogitRange& part : found) cover(all, part);
  return all;
}

}  // namespace espalier::cli
