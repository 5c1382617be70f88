// Graphs to ONNX files in QDQ form, opset 13, as ONNX Runtime reads them.
#pragma once

#include <filesystem>
#include <string>

#include "espalier/ir/graph.hpp"
#include "espalier/support/result.hpp"

namespace espalier {

/// The graph as a serialised ONNX model (IR version 7, opset 13); equal graphs give equal bytes.
/// Input `input` float [N,C,H,W], output `logits` float [N,classes]. Convolutions are named convNN
/// by conv index; the head is a float Gemm on the flattened, dequantised features. A mean that
/// ends in one half is rounded to even by ONNX, whatever AveragePool::rounding says.
/// Errors: kBadInput when verify() refuses the graph.
Result<std::string> export_onnx_bytes(const ir::Graph& graph);

/// Writes export_onnx_bytes(graph) to a file, atomically. import_onnx reads it back as an
/// equivalent graph (names and the file's hash apart). Errors: kBadInput, kCannotWrite.
Status export_onnx(const ir::Graph& graph, const std::filesystem::path& path);

}  // namespace espalier
