#include "logit_range.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "espalier/plan/update_plan.hpp"
#include "espalier/train/network.hpp"
#include "espalier/train/parallel.hpp"
#include "espalier/train/sample_store.hpp"
#include "espalier/train/session.hpp"

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
LogitRange range_of(const float* logits, int classes) {
  const auto [lowest, highest] = std::minmax_element(logits, logits + classes);
  const float difference = classes == 2 ? logits[1] - logits[0] : 0;
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
  const auto count = static_cast<std::size_t>(store->size());
  std::vector<LogitRange> found((count + train::kChunk - 1) / train::kChunk, kNone);
  train::Pool<train::Workspace> pool(
      [&] { return std::make_unique<train::Workspace>(session, train::Passes::kForward); });
  train::parallel_for(jobs, found.size(), [&](std::size_t chunk) {
    const auto workspace = pool.borrow();
    const std::size_t first = chunk * train::kChunk;
    std::vector<std::uint32_t> indices(std::min<std::size_t>(train::kChunk, count - first));
    std::iota(indices.begin(), indices.end(), static_cast<std::uint32_t>(first));
    store->lend(indices, *workspace);
    session.forward(*workspace, static_cast<int>(indices.size()), false);
    for (std::size_t s = 0; s < indices.size(); ++s) {
      const float* row =
          session.logits(*workspace) + s * static_cast<std::size_t>(session.logit_stride());
      cover(found[chunk], range_of(row, graph.head.classes));
    }
  });
  LogitRange all = kNone;
  for (const LogitRange& part : found) cover(all, part);
  return all;
}

}  // namespace espalier::cli
