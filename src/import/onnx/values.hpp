// What a name in an ONNX graph stands for while the graph is being lowered.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "graph_builder.hpp"
#include "onnx/tensor.hpp"

namespace espalier::onnx_detail {

using import_detail::Draft;
using import_detail::Operand;
using import_detail::View;

/// A value about which a diagnostic was given; what reads it is not reported again.
struct Unknown {};

/// The network's input before its first quantisation, seen through a view of the file's dimensions.
struct NetworkInput {
  View view;
  std::vector<import_detail::Pads> pads;
};

/// A constant behind DequantizeLinear: real = (value - zero_point) * scale, per tensor (one scale)
/// or along `axis`.
struct QuantizedConstant {
  ConstantPtr values;
  std::vector<float> scales;
  std::vector<std::int32_t> zero_points;  ///< as many as scales
  int axis = 0;                           ///< within rank; meaningful with more than one scale

  [[nodiscard]] bool per_tensor() const { return scales.size() == 1; }
};

using QuantizedPtr = std::shared_ptr<const QuantizedConstant>;

/// A tensor of the graph.
struct Activation {
  Operand operand;
  bool quantized = true;     ///< integers; false behind DequantizeLinear
  bool is_unsigned = false;  ///< uint8 in the file
};

/// The float result of an op that waits for its QuantizeLinear. It is used once: the op is
/// written when it is quantised, and an op cannot have two quantisations.
using DraftPtr = std::unique_ptr<Draft>;

class Context;

/// A maximum pool of such a result: rounding is monotonic, so it is quantised first and pooled
/// then.
struct Pooled {
  Draft base;
  import_detail::Where node;
  std::function<std::optional<Draft>(Context&, const Operand&)> pool;
};
using PooledPtr = std::unique_ptr<Pooled>;

/// A real function of an activation, however many nodes compute it: quantised as a table.
struct Mapped {
  Activation x;
  ir::Curve curve;
  import_detail::Where node;
};
using MappedPtr = std::shared_ptr<const Mapped>;

/// A table of integers that waits for the scale and zero point in its DequantizeLinear.
struct Table {
  Draft draft;
  std::string output;
};
using TablePtr = std::unique_ptr<Table>;

/// A draft that was used.
struct Consumed {
  import_detail::Where node;          ///< that computed it
  std::optional<Activation> written;  ///< where it was quantised and nothing else happened to it
};

/// The output of the head, through any change of view and quantisation.
struct Logits {
  View view;
  bool final = false;     ///< behind Softmax or Sigmoid
  bool logistic = false;  ///< behind Sigmoid
};

using Value = std::variant<Unknown, NetworkInput, ConstantPtr, QuantizedPtr, Activation, DraftPtr,
                           PooledPtr, MappedPtr, TablePtr, Consumed, Logits>;

}  // namespace espalier::onnx_detail
