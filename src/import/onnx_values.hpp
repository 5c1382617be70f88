// What a name in an ONNX graph stands for while the graph is being lowered.
#pragma once

#include <limits>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "espalier/ir/graph.hpp"
#include "onnx_constant.hpp"

namespace espalier::onnx_detail {

/// A value about which a diagnostic was given; what reads it is not reported again.
struct Unknown {};

/// The network's input before its first QuantizeLinear or DequantizeLinear.
struct NetworkInput {};

/// A constant behind DequantizeLinear: real = (value - zero_point) * scale, per tensor (one scale)
/// or along `axis`.
struct QuantizedConstant {
  ConstantPtr values;
  std::vector<float> scales;
  std::vector<std::int32_t> zero_points;  ///< as many as scales
  int axis = 0;                           ///< within rank; meaningful with more than one scale

  [[nodiscard]] bool per_tensor() const { return scales.size() == 1; }
  /// Index of the scale of an element along the axis.
  [[nodiscard]] std::size_t scale_index(std::size_t along_axis) const {
    return per_tensor() ? 0 : along_axis;
  }
};

using QuantizedPtr = std::shared_ptr<const QuantizedConstant>;

/// A tensor of the graph, seen with the dimensions it has in ONNX (without the batch). Elements
/// count in ONNX order, channels first, whatever the dimensions say.
struct Activation {
  ir::TensorId tensor = -1;
  Dims dims;
  bool quantized = true;     ///< false behind DequantizeLinear
  bool is_unsigned = false;  ///< uint8 in the file
};

/// The float result of an op that waits for its QuantizeLinear. It is used once: the op is
/// written when it is quantised, and an op cannot have two quantisations.
struct Pending {
  ir::OpParams params;
  std::vector<ir::TensorId> inputs;
  ir::Shape shape;
  Dims dims;
  int node = -1;                                          ///< that computes it
  double low = -std::numeric_limits<double>::infinity();  ///< clip bounds, real values
  double high = std::numeric_limits<double>::infinity();
};

/// A Pending that was used.
struct Consumed {
  int node = -1;  ///< that computed it
};

/// The output of the head, through any change of view and quantisation.
struct Logits {
  Dims dims;           ///< without the batch
  bool final = false;  ///< behind Softmax
};

using Value = std::variant<Unknown, NetworkInput, ConstantPtr, QuantizedPtr, Activation,
                           std::unique_ptr<Pending>, Consumed, Logits>;

}  // namespace espalier::onnx_detail
