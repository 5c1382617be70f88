// Turns the nodes of an ONNX graph into ops of an ir::Graph by evaluating them symbolically, in
// file order. Reads no files.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>

#include "diagnostics.hpp"
#include "espalier/ir/graph.hpp"

namespace espalier::onnx_detail {

/// Adds tensors, ops and head to `graph`. Everything that cannot be expressed goes to
/// `diagnostics`; the graph is complete only if there are none.
void lower(const onnx::ModelProto& file, std::int64_t opset, ir::Graph& graph,
           import_detail::Diagnostics& diagnostics);

/// Says of every operator that lower() does not know that it is not supported, and of nothing else:
/// for files whose whole form is refused.
void report_unknown_operators(const onnx::GraphProto& model,
                              import_detail::Diagnostics& diagnostics);

}  // namespace espalier::onnx_detail
