// What the families of TFLite operators share while a model is being lowered: the values that
// tensors stand for, constants, diagnostics, and the builder of the graph.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "diagnostics.hpp"
#include "graph_builder.hpp"
#include "tflite/schema_generated.h"

namespace espalier::tflite_detail {

using import_detail::Diagnostics;
using import_detail::Dims;
using import_detail::Draft;
using import_detail::GraphBuilder;
using import_detail::ImageAxes;
using import_detail::kDamagedNext;
using import_detail::kInt8Next;
using import_detail::Numbers;
using import_detail::Operand;
using import_detail::printable;
using import_detail::View;
using import_detail::Where;
using tflite::BuiltinOperator;
using tflite::TensorType;

/// Name of an operator or a type; its number when it has none here.
std::string operator_name(const tflite::Model& model, const tflite::Operator& op);
std::string type_name(TensorType type);
/// The operator, whichever of its two fields holds it.
BuiltinOperator operator_code(const tflite::Model& model, const tflite::Operator& op);
/// Zero point i of as many as there are scales; the first where the file has another number, 0
/// where it has none. Wherever a damaged file has them.
std::int64_t zero_point(const tflite::QuantizationParameters* quantization, std::size_t i = 0);

/// A value about which a diagnostic was given, or that nothing has computed.
struct Unknown {};
/// The float input before its QUANTIZE, through a view of the file's dimensions.
struct FloatInput {
  View view;
  std::vector<import_detail::Pads> pads;
};
/// An int8 tensor of the graph; floats where a DEQUANTIZE in the middle made them so.
struct Activation {
  Operand operand;
  bool is_float = false;
  bool rows = false;  ///< of one sample, where the file counts them as the batch
};
/// Extents of a sample as the file states them.
struct Stated {
  Dims dims;
  bool rows = false;  ///< a matrix of as many rows as the sample has positions
};
/// A tensor between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND, which spread a convolution's taps: as
/// it is outside, padded, and how far apart the taps stand.
struct Spread {
  Operand operand;
  int rows = 1;
  int columns = 1;
  bool convolved = false;
};
/// Constants of the file.
struct Stored {};
/// Arithmetic on shapes, for a RESHAPE whose result the file states anyway.
struct ShapeArithmetic {};
/// The output of the head.
struct Logits {
  View view;
  bool final = false;     ///< behind SOFTMAX or LOGISTIC
  bool logistic = false;  ///< behind LOGISTIC
};

using Value =
    std::variant<Unknown, FloatInput, Activation, Spread, Stored, ShapeArithmetic, Logits>;

class Context;

/// An operator and its position in the file.
struct Node {
  const tflite::Operator& op;
  int index;
  BuiltinOperator code;
  Where where;

  /// Tensor index of input i, -1 when it is absent.
  [[nodiscard]] int input(std::size_t i) const;
  [[nodiscard]] int output() const;
};

class Context {
 public:
  Context(const tflite::Model& model, ir::Graph& graph, Diagnostics& diagnostics);

  const tflite::Model& model;
  const tflite::SubGraph& subgraph;
  Diagnostics& diagnostics;
  GraphBuilder builder;
  int head = -1;          ///< index of the classifier's operator
  bool averages = false;  ///< there is none, averages of class maps are the scores
  int last_average = -1;  ///< the operator that computes these
  Dims input_dims;
  [[nodiscard]] bool is_head(const Node& node) const { return node.index == head; }

  Value refuse(const Node& node, std::string_view why, std::string_view next);
  [[nodiscard]] const tflite::Tensor& tensor(int index) const;
  [[nodiscard]] std::string tensor_name(int index) const;
  /// Extents, without checks of their sign.
  [[nodiscard]] Dims dims(int index) const;
  /// True when the file leaves extents behind the batch to the runtime: those stated are none.
  [[nodiscard]] bool shape_is_free(int index) const;
  /// Extents behind the batch, which has to be 1; nullopt after a diagnostic.
  std::optional<Dims> sample_dims(const Node& node, int index);
  /// The same of a tensor of `elements`, which may also be a matrix with a row for each position: a
  /// dense layer on a map is written so. nullopt after a diagnostic.
  std::optional<Stated> stated(const Node& node, int index, std::int64_t elements);
  /// Scale and zero point as int8; nullopt after a diagnostic.
  std::optional<ir::Quantization> quantization(const Node& node, int index);

  [[nodiscard]] const Value& value(int index) const;
  void define(int index, Value value);
  /// The activation in input i, if asked for a matrix of positions too; nullopt after a diagnostic.
  std::optional<Operand> activation(const Node& node, std::size_t i, bool rows = false);
  void report_not_activation(const Node& node, int index);

  /// Elements of a constant input of an integer type; nullptr after a diagnostic.
  const std::vector<std::int32_t>* integers(const Node& node, std::size_t i, std::string_view role);
  /// Weights or a bias with scales per tensor or along `axis`; nullopt after a diagnostic. Valid as
  /// long as the context.
  std::optional<Numbers> numbers(const Node& node, std::size_t i, std::string_view role, int axis);

  /// The operator that reads a tensor, when it is of this kind; nullptr otherwise.
  [[nodiscard]] const tflite::Operator* reader(int index, BuiltinOperator code) const;
  /// Writes a draft with the output's quantisation and the operator's own activation function.
  Value finish(const Node& node, std::optional<Draft> draft, tflite::Activation activation);
  /// The same between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND, where the file states other extents.
  Value finish_spread(const Node& node, std::optional<Draft> draft, tflite::Activation activation);
  /// An activation as scores, behind a head that passes it on.
  Value averaged_scores(const Where& where, const Value& activation);
  /// Output of the head in the dimensions that the file states.
  Value logits(const Node& node, bool placed, tflite::Activation activation);

 private:
  struct Parameters {
    std::vector<float> scales;
    std::vector<std::int32_t> zeros;
  };
  bool clip(const Node& node, Draft& draft, tflite::Activation activation);
  const std::vector<std::int32_t>* decode(const Node& node, int index, std::string_view role);

  std::vector<Value> values_;
  std::unordered_map<int, std::vector<std::int32_t>> constants_;
  std::unordered_map<int, Parameters> parameters_;
};

/// An operator and what lowers it.
struct Handler {
  BuiltinOperator code;
  Value (*lower)(Context&, const Node&);
};

/// The operators of each family.
std::span<const Handler> layer_handlers();
std::span<const Handler> pool_handlers();
std::span<const Handler> elementwise_handlers();
std::span<const Handler> function_handlers();
std::span<const Handler> view_handlers();
std::span<const Handler> selection_handlers();

/// Operators that compute the new shape of a RESHAPE, which the file states anyway.
Value shape_arithmetic(Context& context, const Node& node);

/// SOFTMAX, LOG_SOFTMAX and LOGISTIC, which do not change which class wins.
Value behind_classifier(Context& context, const Node& node);

/// Rows, columns and channels of an image of [H,W,C].
inline constexpr ImageAxes kChannelsLast{.rows = 0, .columns = 1, .channels = 2};

}  // namespace espalier::tflite_detail
