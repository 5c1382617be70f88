// What the families of ONNX operators share while a graph is being lowered: the values that names
// stand for, constants, diagnostics, and the builder of the graph.
#pragma once

#include <onnx/onnx_pb.h>

#include <array>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "diagnostics.hpp"
#include "graph_builder.hpp"
#include "onnx/node.hpp"
#include "onnx/topology.hpp"
#include "onnx/values.hpp"

namespace espalier::onnx_detail {

using import_detail::along_channels;
using import_detail::Diagnostics;
using import_detail::GraphBuilder;
using import_detail::ImageAxes;
using import_detail::kDamagedNext;
using import_detail::kInt8Next;
using import_detail::Numbers;

inline constexpr std::string_view kQuantizeNext =
    "put a QuantizeLinear and a DequantizeLinear between the two nodes (ONNX Runtime's "
    "quantize_static with quant_format=QDQ does)";

/// int8 = uint8 - 128.
inline constexpr int kUnsignedShift = 128;

/// The batch of a network whose batch is free, in constants computed from shapes.
inline constexpr std::int32_t kFreeBatch = INT32_MIN;

/// Quantisation of an int8 tensor, and how the file has it.
struct Parameters {
  ir::Quantization quantization;
  bool is_unsigned = false;
};

class Context {
 public:
  Context(const onnx::ModelProto& file, std::int64_t opset, ir::Graph& result,
          Diagnostics& diagnostics);

  const onnx::ModelProto& file;
  const onnx::GraphProto& model;
  const std::int64_t opset;
  Diagnostics& diagnostics;
  GraphBuilder builder;
  Topology topology;

  // ---- the input ----
  std::string input_name;
  int input_type = 0;
  Dims input_dims;
  std::int64_t batch = 0;  ///< 0: free

  // ---- the classifier ----
  int head = -1;          ///< its node
  bool averages = false;  ///< there is none, averages of class maps are the scores
  int last_average = -1;  ///< the node that computes these
  [[nodiscard]] bool averages_end_at(const Node& node) const {
    return averages && node.index() > last_average;
  }
  [[nodiscard]] bool is_head(const Node& node) const { return node.index() == head; }

  // ---- values ----
  Value refuse(const Node& node, std::string_view why, std::string_view next);
  /// Keeps the result of a node.
  void define(std::string_view name, Value value);
  /// What a name stands for so far; nullptr when nothing.
  [[nodiscard]] const Value* find(const std::string& name) const;
  /// The value of an input; nullptr when there is none, after a diagnostic.
  Value* resolve(const Node& node, int input);
  /// A plain constant; nullptr after a diagnostic.
  const Constant* constant(const Node& node, int input, std::string_view role);
  /// A constant of integers, from an input or (in older opsets) an attribute; nullopt when there is
  /// neither. The bool is false after a diagnostic.
  std::optional<Dims> integers(const Node& node, int input, std::string_view attribute, bool& ok);
  /// A dequantised activation; nullopt after a diagnostic.
  std::optional<Activation> activation(const Node& node, int input);
  /// An activation, dequantised or not; nullopt after a diagnostic.
  std::optional<Activation> any_activation(const Node& node, int input);
  /// A dequantised activation or a function of one; nullopt after a diagnostic.
  std::optional<Mapped> mapped(const Node& node, int input);
  static Value mapping(const Activation& x, const ir::Curve& curve, const Node& node);
  /// Derivatives of a table in the metadata of an export; nullopt when there are none.
  [[nodiscard]] std::optional<std::array<float, 256>> derivatives(std::string_view output) const;
  /// What is in the way where a dequantised activation is needed.
  void report_not_activation(const Node& node, int input, const Value& value);
  /// Makes a value of a draft: quantised at once like the activation it comes from when that holds
  /// integers, otherwise waiting for its QuantizeLinear.
  Value result(const Node& node, std::optional<Draft> draft, const Activation& from);
  /// An activation as scores, behind a head that passes it on. Unknown after a diagnostic.
  Value averaged_scores(const import_detail::Where& where, const Activation& activation);
  /// Makes a value that waits for its QuantizeLinear; Unknown for nullopt.
  static Value waiting(std::optional<Draft> draft);
  /// Takes a waiting draft out of a value.
  static Draft take(Value& value);

 private:
  Value* find_initializer(const std::string& name);
  void report_undefined(const Node& node, const std::string& name);

  std::unordered_map<std::string, Value> values_;
  std::unordered_map<std::string, const onnx::TensorProto*> initializers_;
  std::unordered_set<std::string> reported_;  // names already said to be undefined
};

/// Axes of [N,C,L] and [N,C,H,W].
ImageAxes channels_first(std::size_t rank);
/// Axes of the images of a node of ONNX Runtime's own, which may be [N,H,W,C]; rank as above.
ImageAxes image_axes(const Node& node, std::size_t rank);

/// True for a constant, quantised or not.
bool is_constant(const Value& value);
/// Its dimensions; nullptr for other values.
const Dims* constant_dims(const Value& value);
/// Its elements; empty for other values. Valid as long as the value.
Numbers numbers(const Value& value);
/// Its elements as real numbers; empty for integers without a scale.
std::vector<double> real_elements(const Value& constant);

// ---- quantisation.cpp ----
/// Index of the scale and zero point of element i of a constant.
std::size_t scale_index(const QuantizedConstant& constant, std::size_t i);
/// Scale (input `scale`) and zero point (the input behind it) of an activation; nullopt after a
/// diagnostic.
std::optional<Parameters> activation_parameters(Context& context, const Node& node, int scale,
                                                bool unsigned_default);
/// Gives a table the quantisation that a DequantizeLinear of its output has, whether or not
/// anything reads that; false after a diagnostic.
bool finish_table(Context& context, const std::string& name);
/// Scale and zero point of constant `values`, from the same kind of inputs.
std::optional<QuantizedConstant> constant_parameters(Context& context, const Node& node, int scale,
                                                     ConstantPtr values);
/// The network's input as a tensor.
Value open_input(Context& context, const Node& node, const NetworkInput& input,
                 const Parameters& parameters, const std::string& name);
/// The integers of input `x` with scale and zero point in the inputs `scale` and behind it, as
/// operators on integers have them; nullopt after a diagnostic.
std::optional<Activation> integer_activation(Context& context, const Node& node, int x, int scale);

// ---- layers.cpp ----
/// Strides, pads and dilations of a Conv or pool of a spatial rank; kernel extents are left to the
/// caller. nullopt after a diagnostic.
std::optional<ir::Window> read_window(Context& context, const Node& node, std::size_t rank);
/// Applies auto_pad to an image of rows and columns.
void resolve_padding(const Node& node, const ir::Shape& image, ir::Window& window);
/// Convolution of x by weights, whatever notation they come from; Unknown after a diagnostic.
/// A draft, or Logits for the classifier.
Value convolve(Context& context, const Node& node, const Activation& x, const Value& weights,
               std::optional<Numbers> bias);
/// Product of x with a matrix, [out,in] when transposed, otherwise [in,out]; the same.
Value multiply(Context& context, const Node& node, const Activation& x, const Value& weights,
               bool transposed, std::optional<Numbers> bias);

// ---- elementwise.cpp ----
/// Adds a constant to what a layer computed, input `operand`; the layer's bias takes it in.
Value add_constant(Context& context, const Node& node, int operand, const Value& constant);
/// Likewise a product with a constant: one number, or one a channel.
Value multiply_constant(Context& context, const Node& node, int operand, const Value& constant);
/// Softmax, LogSoftmax and Sigmoid, which do not change which class wins, on floats or integers.
Value behind_classifier(Context& context, const Node& node);
/// Tensors side by side along the axis of a node; Unknown after a diagnostic, or a draft.
Value join(Context& context, const Node& node, std::span<const Activation> operands);

// ---- functions.cpp ----
/// Gather by the integers of an activation.
Value look_up(Context& context, const Node& node, const Constant& table, const Activation& index);

// ---- pools.cpp ----
/// The draft of a pool over the operand's whole image; nullopt after a diagnostic.
std::optional<Draft> pool_whole(Context& context, const Node& node, const Operand& x,
                                ImageAxes axes, bool average);
/// The draft of a pool as the node's attributes describe it.
std::optional<Draft> pool_window(Context& context, const Node& node, const Operand& x,
                                 bool average);

// ---- selections.cpp ----
/// Gather and Slice of an activation.
Value gather_channels(Context& context, const Node& node);
Value slice_channels(Context& context, const Node& node);

/// An operator and what lowers it.
struct Handler {
  std::string_view type;
  Value (*lower)(Context&, const Node&);
};

/// The operators of each family.
std::span<const Handler> quantisation_handlers();
std::span<const Handler> layer_handlers();
std::span<const Handler> integer_handlers();
std::span<const Handler> elementwise_handlers();
std::span<const Handler> function_handlers();
std::span<const Handler> pool_handlers();
std::span<const Handler> view_handlers();
std::span<const Handler> selection_handlers();
std::span<const Handler> constant_handlers();

}  // namespace espalier::onnx_detail
