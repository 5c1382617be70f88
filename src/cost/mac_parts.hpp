// Multiply-accumulates of the pieces of a training step.
#pragma once

#include "backward_reach.hpp"
#include "conv_view.hpp"

namespace espalier::cost {

class MacParts {
 public:
  explicit MacParts(const ir::Graph& graph)
      : graph_(graph),
        views_(conv_views(graph)),
        reaches_head_(reaches_head(graph)),
        deepest_ancestor_(deepest_ancestor(graph)) {}

  /// One pass through the head in any direction: output, input gradient or weight gradient.
  [[nodiscard]] std::int64_t head() const {
    return std::int64_t{graph_.head.features} * graph_.head.classes;
  }

  [[nodiscard]] std::int64_t forward() const {
    std::int64_t sum = head();
    for (const ir::Op& op : graph_.ops) sum += ir::forward_macs(op, graph_);
    return sum;
  }

  /// Input gradients when the last `depth` convs are trained. A conv's costs as much as its forward
  /// pass: every weight meets every output position once, whatever the stride.
  [[nodiscard]] std::int64_t input_gradient(int depth) const {
    const int first = static_cast<int>(views_.size()) - depth;
    bool any_trained = false;
    std::int64_t sum = 0;
    for (std::size_t conv = 0; conv < views_.size(); ++conv) {
      if (!reaches_head_[conv]) continue;
      any_trained |= static_cast<int>(conv) >= first;
      if (deepest_ancestor_[conv] >= first) sum += ir::forward_macs(*views_[conv].op, graph_);
    }
    return any_trained ? sum + head() : 0;
  }

  /// Weight gradient of `channels` input channels of one conv.
  [[nodiscard]] std::int64_t weight_gradient(int conv, std::int64_t channels) const {
    const auto index = static_cast<std::size_t>(conv);
    if (!reaches_head_[index]) return 0;
    return views_[index].weights(channels) * views_[index].output.pixels();
  }

 private:
  const ir::Graph& graph_;
  std::vector<ConvView> views_;
  std::vector<bool> reaches_head_;
  std::vector<int> deepest_ancestor_;
};

}  // namespace espalier::cost
