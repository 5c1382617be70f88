// TFLite files to graphs: fully integer-quantised networks, int8 or uint8 activations.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "espalier/ir/graph.hpp"
#include "espalier/support/result.hpp"

namespace espalier {

/// Larger files are refused unread: no microcontroller holds such a network.
inline constexpr std::int64_t kMaxTfliteFileBytes = std::int64_t{64} << 20;

/// Reads a TFLite file. See import_tflite_bytes for what is supported.
/// Errors: kMissingInput when the file cannot be opened, otherwise kBadInput.
Result<ir::Graph> import_tflite(const std::filesystem::path& path);

/// Reads a TFLite model from memory. `where` starts every diagnostic; the graph's name is `name`
/// and its sha256 that of `bytes`.
///
/// Supported are CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, ADD, AVERAGE_POOL_2D, MAX_POOL_2D,
/// MEAN over height and width, RELU and its kin, fused or not, QUANTIZE and DEQUANTIZE at the ends,
/// PAD in front of convolutions and maximum pools, and RESHAPE, SQUEEZE, EXPAND_DIMS and TRANSPOSE
/// as changes of view, with whatever computes their shapes. The input may be int8, uint8 or float
/// behind QUANTIZE. The last CONV_2D or FULLY_CONNECTED before the output becomes the float head;
/// SOFTMAX or LOGISTIC behind it is dropped, and a head of one output behind LOGISTIC becomes one
/// of two classes.
///
/// Errors: kBadInput with every unsupported or damaged operator, one line a kind, with the reason
/// and what to do next.
Result<ir::Graph> import_tflite_bytes(std::string_view bytes, std::string_view where,
                                      std::string_view name);

}  // namespace espalier
