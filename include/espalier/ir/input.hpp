// The network's input between the model file and the graph: layout, quantisation and unit.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/ir/graph.hpp"

namespace espalier::ir {

/// Quantisation of the input in the real units of the model file: what preprocessing, datasets and
/// emitted code speak of.
Quantization file_input_quantization(const Graph& graph);

/// Dimensions of a sample of the model file, without the batch.
std::vector<std::int64_t> file_input_dims(const Graph& graph);

/// Of each element of the graph's input, channels last, its number in a sample of the model file.
std::vector<std::int64_t> file_input_order(const Graph& graph);

/// Divides the real values of the network's input by `factor`, a power of two: scales of the input
/// and of whatever merely carries it on are divided, scales of the weights that read it multiplied,
/// so that no forward value changes by a bit. False, and nothing is changed, where that is not
/// possible: a sum reads the input, or a scale would leave the range of float.
bool divide_input_unit(Graph& graph, float factor);

/// Brings the span of the input's real values (255 scales) to about 1. Quantisation-aware scaling
/// divides gradients by the square of the weight's scale, so that a network that reads raw pixels
/// (span 255) would move its first weights 65,025 times less than the same network written for
/// pixels from 0 to 1. Spans from 0.71 to 5.65, which hold the customary 0..1, -1..1 and
/// (pixel - mean) / deviation, stay as they are.
void normalize_input_unit(Graph& graph);

/// The graph in the real units of the model file.
Graph in_file_units(Graph graph);

}  // namespace espalier::ir
