// Turns the nodes of an ONNX graph into ops of an ir::Graph by evaluating them symbolically, in
// file order. Reads no files.
#pragma once

#include <onnx/onnx_pb.h>

#include "espalier/ir/graph.hpp"
#include "onnx_node.hpp"

namespace espalier::onnx_detail {

/// Adds tensors, ops and head to `graph`. Everything that cannot be expressed goes to
/// `diagnostics`; the graph is complete only if there are none.
void lower(const onnx::GraphProto& model, ir::Graph& graph, Diagnostics& diagnostics);

}  // namespace espalier::onnx_detail
