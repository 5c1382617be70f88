// ONNX files to graphs: int8 networks in QDQ form, opset 13 or newer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "espalier/ir/graph.hpp"
#include "espalier/support/result.hpp"

namespace espalier {

/// Larger files are refused unread: no microcontroller holds such a network, and the bound keeps
/// the memory that a hostile file can claim in proportion.
inline constexpr std::int64_t kMaxOnnxFileBytes = std::int64_t{64} << 20;

/// Reads an ONNX file. See import_onnx_bytes for what is supported.
/// Errors: kMissingInput when the file cannot be opened, otherwise kBadInput.
Result<ir::Graph> import_onnx(const std::filesystem::path& path);

/// Reads an ONNX model from memory. `where` starts every diagnostic; the graph's name is `name` and
/// its sha256 that of `bytes`.
///
/// Supported are graphs whose activations run through QuantizeLinear/DequantizeLinear pairs, or
/// whose operators compute on integers, as ONNX Runtime's static quantiser writes both;
/// docs/models.md lists the operators. NCHW becomes NHWC. uint8 activations become int8 by moving
/// the zero point by 128; weights are as symmetric. The last Conv, Gemm or MatMul before the output
/// becomes the float head; a Softmax or ArgMax behind it is dropped, and so is the quantisation of
/// the logits.
///
/// Errors: kBadInput with every unsupported or damaged node, each named by index, name and type,
/// with the reason and what to do next.
Result<ir::Graph> import_onnx_bytes(std::string_view bytes, std::string_view where,
                                    std::string_view name);

}  // namespace espalier
