// The int8 forward graph: typed tensors, ops in execution order, a float head behind them.
// A plain value: importers build it, verify() checks it, everything else reads it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "espalier/support/result.hpp"

namespace espalier::ir {

/// Extent of one sample, channels last in memory.
struct Shape {
  int height = 1;
  int width = 1;
  int channels = 1;

  [[nodiscard]] std::int64_t pixels() const { return std::int64_t{height} * width; }
  [[nodiscard]] std::int64_t elements() const { return pixels() * channels; }
  bool operator==(const Shape&) const = default;
};

/// real = scale * (q - zero_point), q int8.
struct Quantization {
  float scale = 1.0F;
  int zero_point = 0;
  bool operator==(const Quantization&) const = default;
};

using TensorId = int;

struct Tensor {
  std::string name;
  Shape shape;
  Quantization quantization;
};

/// A window sliding over height and width. Padding is in elements of the input. Taps of a dilated
/// window stand `dilation` inputs apart; pools have none.
struct Window {
  int kernel_h = 1;
  int kernel_w = 1;
  int stride_h = 1;
  int stride_w = 1;
  int pad_top = 0;
  int pad_left = 0;
  int pad_bottom = 0;
  int pad_right = 0;
  int dilation_h = 1;
  int dilation_w = 1;

  /// Inputs from the first to the last tap, both included.
  [[nodiscard]] std::int64_t extent_h() const {
    return (std::int64_t{kernel_h} - 1) * dilation_h + 1;
  }
  [[nodiscard]] std::int64_t extent_w() const {
    return (std::int64_t{kernel_w} - 1) * dilation_w + 1;
  }
  [[nodiscard]] bool dilated() const { return dilation_h != 1 || dilation_w != 1; }
};

/// Convolution. Weights are symmetric int8 (some quantisers use -128), per output channel scales;
/// the bias has scale input_scale * weight_scale. Also stands for fully connected layers inside the
/// body.
struct Conv2D {
  Window window;
  int in_channels = 1;
  int out_channels = 1;
  int groups = 1;
  std::vector<std::int8_t> weights;  ///< [out][kernel_h][kernel_w][in / groups]
  std::vector<float> weight_scales;  ///< [out]
  std::vector<std::int32_t> bias;    ///< [out]

  [[nodiscard]] bool depthwise() const { return groups == in_channels && groups > 1; }
  [[nodiscard]] bool pointwise() const {
    return window.kernel_h == 1 && window.kernel_w == 1 && window.stride_h == 1 &&
           window.stride_w == 1 && groups == 1;
  }
  [[nodiscard]] int in_per_group() const { return in_channels / groups; }
  /// Weights that belong to one input channel: the unit in which a plan selects weights.
  [[nodiscard]] std::int64_t weights_per_input_channel() const {
    return std::int64_t{window.kernel_h} * window.kernel_w * (out_channels / groups);
  }
};

struct Add {};

/// The second operand has the shape of the first, or is one number a channel (1x1xC): a gate.
struct Mul {};

/// Operands have one height and width and the quantisation of the output, so that nothing is
/// rounded; what has another is brought there first.
struct Concat {};

/// Output channel i is channel channels[i] of the input; no channel is taken twice.
struct Select {
  std::vector<int> channels;
};

/// How a mean of integers that ends in exactly one half is rounded.
enum class HalfRounding {
  kToEven,        ///< ONNX models, as the published simulation
  kAwayFromZero,  ///< TFLite models
};

/// Mean over the window; padding is not counted. A global pool has the kernel of its input's size.
/// Where its output has the input's quantisation it is the mean of integers, and cannot leave their
/// range; otherwise it is requantised as a convolution is, rounded once (see requantizes_mean).
struct AveragePool {
  Window window;
  HalfRounding rounding = HalfRounding::kToEven;  ///< where the quantisation is kept
};

/// Maximum over the window; padding never wins.
struct MaxPool {
  Window window;
};

struct Rescale {};

/// Any function of one int8 value, tabulated; element q + 128 belongs to the input q. It clamps by
/// itself. See curve.hpp for how tables are made.
struct Lookup {
  std::array<std::int8_t, 256> outputs{};
  /// Of the output by the input, both in int8 units; 0 where the output is cut off.
  std::array<float, 256> derivatives{};

  [[nodiscard]] std::int8_t output(std::int8_t q) const {
    return outputs[static_cast<std::size_t>(q + 128)];
  }
  [[nodiscard]] float derivative(std::int8_t q) const {
    return derivatives[static_cast<std::size_t>(q + 128)];
  }
};

namespace detail {
struct EndOfOps {};
using OpTuple = std::tuple<
#define ESPALIER_OP(type, mnemonic, inputs, description) type,
#include "espalier/ir/ops.def"
#undef ESPALIER_OP
    EndOfOps>;
template <std::size_t... I>
std::variant<std::tuple_element_t<I, OpTuple>...> without_end(std::index_sequence<I...>);
}  // namespace detail

/// In ops.def: two inputs or more.
inline constexpr int kVariadic = -1;

inline constexpr std::size_t kOpCount = std::tuple_size_v<detail::OpTuple> - 1;

/// The parameters of one op; the alternative is the op's kind, a row of ops.def.
using OpParams = decltype(detail::without_end(std::make_index_sequence<kOpCount>{}));

/// One node. Outputs are clamped to [clamp_low, clamp_high], which lies within [-128, 127] and
/// holds a folded ReLU or ReLU6; an output is masked in the gradient when its value before the
/// clamp lies outside.
struct Op {
  std::string name;
  OpParams params;
  std::vector<TensorId> inputs;
  TensorId output = -1;
  int clamp_low = -128;
  int clamp_high = 127;
};

/// Windows of pools have at most this many elements: a place in one fits 16 bits, and products of
/// a sum over one 64.
inline constexpr std::int64_t kMaxPoolElements = std::int64_t{1} << 16;

/// Mnemonic of an op as in ops.def.
std::string_view mnemonic(const OpParams& params);
/// Number of inputs of an op as in ops.def.
int input_count(const OpParams& params);

/// The classifier: float, on the dequantised features (q - zero_point) * scale, always trained.
struct Head {
  int features = 0;
  int classes = 0;
  std::vector<float> weights;  ///< [classes][features], features in the order of the tensor (HWC)
  std::vector<float> bias;     ///< [classes]
  std::vector<std::string> class_names;  ///< [classes], or empty when they are not known
};

/// Element type of the network's input in the model file.
enum class InputElement { kFloat, kInt8, kUint8 };

/// The network's input as the model file has it. The graph's own is int8 and channels last; element
/// (row, column, channel) is number row * strides[0] + column * strides[1] + channel * strides[2]
/// of a sample in the file's row-major order.
struct InputFormat {
  std::vector<std::int64_t> dims;         ///< without the batch; empty: those of the graph's input
  std::array<std::int64_t, 3> strides{};  ///< meaningless when dims is empty
  InputElement element = InputElement::kFloat;
  /// Real values of the file's input are `unit` times the graph's, a power of two (see input.hpp).
  float unit = 1.0F;
  bool operator==(const InputFormat&) const = default;
};

/// A network: body ops, then the head on tensor `features`.
struct Graph {
  std::string name;
  std::string sha256;  ///< of the model file; plans and profiles are tied to it
  std::vector<Tensor> tensors;
  std::vector<Op> ops;
  TensorId input = -1;
  TensorId features = -1;
  Head head;  ///< as pre-trained
  InputFormat input_format;
  /// Output channels whose weights no int8 holds, so that reading the file rounded them.
  int rounded_channels = 0;

  [[nodiscard]] const Tensor& tensor(TensorId id) const { return tensors[static_cast<size_t>(id)]; }
};

/// Positions in graph.ops of the convolutions, in execution order: element i is conv index i, the
/// number that plans, profiles and reports use.
std::vector<int> conv_ops(const Graph& graph);

/// The convolution with a conv index.
const Conv2D& conv(const Graph& graph, int op_position);

/// True for an average pool whose output has another quantisation than its input.
bool requantizes_mean(const Graph& graph, const Op& op);

/// True for a product with one number a channel of its first operand.
bool is_gate(const Graph& graph, const Op& op);

/// s_a * s_b / s_y of a product.
double product_factor(const Graph& graph, const Op& op);

/// True if outputs of an op can be cut off by its clamp, and gradients need a mask of them.
bool saturates(const Graph& graph, const Op& op);

/// Output shape of an op, or what is wrong with its parameters for these inputs.
Result<Shape> infer_shape(const OpParams& params, std::span<const Shape> inputs);

/// Multiply-accumulates of one forward evaluation of an op (0 for pools and element-wise ops).
std::int64_t forward_macs(const Op& op, const Graph& graph);

/// Checks every invariant of a graph: ids, order, shapes, quantisation, clamps, parameter sizes.
/// All violations are reported together. Importers end with it.
Status verify(const Graph& graph);

/// Readable text form, one line per tensor and op, weights as sizes and hashes; stable.
std::string to_text(const Graph& graph);

}  // namespace espalier::ir
