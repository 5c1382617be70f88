// The published analytic model of training memory (Lin et al., "On-Device Training Under 256KB
// Memory", NeurIPS 2022), exact to the bit: what training needs beyond inference, at batch 1.
//
//   per conv with a trained bias      32 per bias, 1 per output element (the clamp mask)
//   per conv with trained weights     8 per trained weight, 8 per saved input element
//   always                            8 per input feature of the head
//
// Not counted, as in the published model: masks of residual additions, the places of the maxima of
// pools, head weights, buffers of the forward pass.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "espalier/ir/graph.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/support/bytes.hpp"

namespace espalier::cost {

/// Extra memory of one conv, in bits.
struct ConvMemory {
  int conv = -1;                 ///< conv index
  std::int64_t bias_bits = 0;    ///< the biases
  std::int64_t weight_bits = 0;  ///< the trained weights
  std::int64_t mask_bits = 0;    ///< one per output element
  std::int64_t input_bits = 0;   ///< the saved input channels

  [[nodiscard]] std::int64_t total_bits() const {
    return bias_bits + weight_bits + mask_bits + input_bits;
  }
  bool operator==(const ConvMemory&) const = default;
};

/// Extra memory of a plan, in bits.
struct AnalyticMemory {
  std::vector<ConvMemory> convs;  ///< those with a trained bias, ascending
  std::int64_t head_bits = 0;
  std::int64_t total_bits = 0;

  /// The total, rounded up to whole bytes.
  [[nodiscard]] Bytes bytes() const { return Bytes{(total_bits + 7) / 8}; }
};

/// Memory of a plan that is valid for the graph.
AnalyticMemory analytic_memory(const plan::UpdatePlan& plan, const ir::Graph& graph);

}  // namespace espalier::cost
