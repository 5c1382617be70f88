// Integer gradients: a training graph whose gradients of maps are int8 or int16 with a power of
// two.
#pragma once

#include "espalier/compiler/training_graph.hpp"
#include "espalier/support/result.hpp"

namespace espalier::compiler {

/// Makes integers of all gradients behind the classifier, as differentiate() left them. Sums of
/// gradients, masks and factors join the node whose result they take, so that each tensor is
/// rounded once. `gradient`: kInt8 or kInt16.
void narrow(TrainingGraph& graph, Element gradient);

/// Behind the passes, of the nodes that they left, so that what is frozen may be of any size:
/// kUsage for an op without integer gradients, and for maps too large for their sums.
Status check_narrow(const TrainingGraph& graph);

/// Behind the passes: numbers the exponents that are still needed.
void number_ranges(TrainingGraph& graph);

/// Bits of the magnitude of an integer gradient.
inline int gradient_bits(const TrainingGraph& graph) {
  return graph.gradient == Element::kInt16 ? 15 : 7;
}

/// Bits of the largest sum of one sample's gradients of a convolution's weights, or of its biases:
/// were every product as large as can be.
int sum_bits(const TrainingGraph& graph, int op, bool weights);

/// Places among the ranges.
inline constexpr int kSampleRange = 0;    ///< exponent of the sample
inline constexpr int kFeatureRange = 1;   ///< of the features' gradient: always 0
inline constexpr int kFirstAdaptive = 2;  ///< from here on gradients of maps, then sums

/// Ranges in all: of gradients, and with several samples an update of sums.
int range_count(const TrainingGraph& graph);
/// Place of the range of the sums of a convolution's weights, or of its biases.
int sum_range(const TrainingGraph& graph, int op, bool weights);

}  // namespace espalier::compiler
