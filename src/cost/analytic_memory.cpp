#include "espalier/cost/analytic_memory.hpp"

#include "conv_memory.hpp"

namespace espalier::cost {

AnalyticMemory analytic_memory(const plan::UpdatePlan& plan, const ir::Graph& graph) {
  AnalyticMemory memory;
  memory.head_bits = head_memory_bits(graph);
  memory.total_bits = memory.head_bits;
  const std::vector<ConvView> views = conv_views(graph);
  const auto count = static_cast<int>(views.size());
  for (int conv = count - plan.bias_depth; conv < count; ++conv) {
    const auto channels = plan::trained_channels(plan, conv);
    const auto kept = static_cast<std::int64_t>(channels ? channels->size() : 0);
    memory.convs.push_back(conv_memory(conv, views[static_cast<std::size_t>(conv)], kept));
    memory.total_bits += memory.convs.back().total_bits();
  }
  return memory;
}

}  // namespace espalier::cost
