// What every source format shares: views of tensors become images or features, foreign layers,
// pools and sums become ops, scales and clips become quantised tensors, the last layer the head.
// A format brings its operators and the constants they read; it never writes to the graph itself.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "channel_line.hpp"
#include "diagnostics.hpp"
#include "espalier/ir/curve.hpp"
#include "espalier/ir/graph.hpp"
#include "view.hpp"

namespace espalier::import_detail {

// What to do next, where several refusals end alike.
inline constexpr std::string_view kDamagedNext = "the file is damaged, export it again";
inline constexpr std::string_view kInt8Next =
    "quantise with int8 or uint8 activations and symmetric int8 weights";

inline constexpr std::string_view kRepeatedNext =
    "only a product (Mul) by it may read what is repeated, and needs no Expand: it broadcasts";

/// Larger extents are damaged files, not networks for microcontrollers.
inline constexpr std::int64_t kMaxExtent = 1 << 20;
bool extent_in_range(std::int64_t extent);

/// Inputs and layers of more features than this are no networks for microcontrollers either.
inline constexpr std::int64_t kMaxFeatures = std::int64_t{1} << 24;

/// True for a positive finite number.
bool usable_scale(float scale);

/// Zeros before and after an axis.
struct Pads {
  int before = 0;
  int after = 0;
};

/// An int8 tensor of the graph as a foreign node sees it. Padding that no op has taken in yet is
/// not in the view's dimensions. Channels that a node takes out become an op where a layer reads
/// them, so that several such nodes are one.
struct Operand {
  ir::TensorId tensor = -1;
  View view;
  std::vector<Pads> pads;       ///< by axis of the view; empty: none
  bool lowest_pads = false;     ///< are the least integer, not zeros: nothing to a maximum
  std::vector<int> channels{};  ///< of the tensor, all that the view is of, in order; empty: all
  bool settled = false;         ///< of the input: the view counts in the tensor's order
  Dims repeated{};              ///< extents that a node repeats the view's to; empty: none
};

/// Which axes of a view are rows, columns and channels; -1 where there is none.
struct ImageAxes {
  int rows = -1;
  int columns = -1;
  int channels = -1;
  [[nodiscard]] std::size_t rank() const {
    return static_cast<std::size_t>(rows >= 0) + static_cast<std::size_t>(columns >= 0) +
           static_cast<std::size_t>(channels >= 0);
  }
};

/// Constants that a layer reads: integers with their scales and zero points, or floats.
/// Scales and zero points are one, or one a channel; no scales: integers in the unit of the
/// accumulator. No zero points: zeros.
struct Numbers {
  std::span<const std::int32_t> integers;
  std::span<const float> floats;
  std::span<const float> scales;
  std::span<const std::int32_t> zeros;

  [[nodiscard]] bool is_float() const { return integers.empty(); }
  [[nodiscard]] std::size_t count() const { return is_float() ? floats.size() : integers.size(); }
  [[nodiscard]] float scale(std::size_t channel) const {
    return scales.size() == 1 ? scales[0] : scales[channel];
  }
  [[nodiscard]] std::int32_t zero(std::size_t channel) const {
    return zeros.empty() ? 0 : zeros[zeros.size() == 1 ? 0 : channel];
  }
  /// Element i, of a channel, as a real number.
  [[nodiscard]] double real(std::size_t i, std::size_t channel) const;
};

/// A convolution or a fully connected layer with its weights in the file's order: the weight of
/// output o, row, column and input channel (within the group) is element o * out_step + row *
/// row_step + column * column_step + channel * channel_step. The features of a fully connected
/// layer are channels.
struct Layer {
  int out = 0;
  int in_per_group = 0;
  int groups = 1;
  ir::Window window;
  std::size_t out_step = 0;
  std::size_t row_step = 0;
  std::size_t column_step = 0;
  std::size_t channel_step = 1;
  Numbers weights;
  std::optional<Numbers> bias;  ///< one, or one an output; absent: zeros
};

/// Where the weights of an op or the head lie in the file: weight i of output o of the graph is
/// element o * out_step + offsets[i].
struct Origin {
  std::size_t out_step = 0;
  std::vector<std::size_t> offsets;
};

/// Makes the table of a function of one tensor for the quantisation of its output.
using MakeTable = std::function<ir::Lookup(const ir::Quantization& out)>;

/// An op that waits for the quantisation of its output.
struct Draft {
  Where node;
  ir::OpParams params;
  std::vector<ir::TensorId> inputs;
  ir::Shape shape;
  View view;
  Origin origin;              ///< of a convolution
  MakeTable table = nullptr;  ///< of a Lookup
  ir::HalfRounding rounding =
      ir::HalfRounding::kToEven;  ///< of what a table or a Concat is made from
  std::vector<double> slopes{};   ///< of a sum: factors of its second operand, one a channel
  std::vector<double> rests{};    ///< of a convolution: what its biases were rounded by
  /// Of a layer of nothing but numbers: what they do, in order.
  std::optional<std::vector<ChannelNumbers>> numbers{};
  Dims repeated{};                                        ///< of the operand that it becomes
  double low = -std::numeric_limits<double>::infinity();  ///< clip bounds, real values
  double high = std::numeric_limits<double>::infinity();

  [[nodiscard]] Dims dims() const { return view.dims(); }
  [[nodiscard]] bool clipped() const;
  void clip(double lowest, double highest);
};

/// The window with rows and columns exchanged.
ir::Window turned(const ir::Window& window);

/// True for padding of the kernel's extent or more, which no op has.
bool reaches_over(const ir::Window& window);

/// Windows whose outputs are as many as strides fit the input, zeros added evenly; the odd one goes
/// below and right, or above and left.
void pad_same(ir::Window& window, int rows, int columns, bool odd_below);

class GraphBuilder {
 public:
  GraphBuilder(ir::Graph& graph, Diagnostics& diagnostics)
      : graph_(graph), diagnostics_(diagnostics) {}

  // ---- diagnostics ----
  /// Adds a diagnostic; for functions that return an optional, and for those that return a bool.
  std::nullopt_t refuse(const Where& node, std::string_view why, std::string_view next);
  bool fail(const Where& node, std::string_view why, std::string_view next);

  // ---- tensors ----
  [[nodiscard]] const ir::Tensor& tensor(ir::TensorId id) const { return graph_.tensor(id); }
  [[nodiscard]] ir::Graph& graph() { return graph_; }
  [[nodiscard]] bool has_input() const { return graph_.input >= 0; }
  /// Makes the network's input, once. Views of it count in the row-major order of `dims`; its shape
  /// is that in which it is first used, an image of `axes` if that says nothing. At most
  /// kMaxFeatures elements.
  ir::TensorId open_input(const std::string& name, const Dims& dims, ImageAxes axes,
                          const ir::Quantization& quantization, ir::InputElement element);
  /// An input that nothing has used gets its shape.
  void close_input();
  /// An operand as views of settled tensors count, with all channels of its tensor in their order;
  /// nullopt after a diagnostic, as where it is repeated.
  std::optional<Operand> settled(const Where& node, Operand x);
  /// The view in other dimensions of an operand whose channels come into the view's order first;
  /// nullopt, without a diagnostic, where there is none.
  std::optional<View> reshaped(const Where& node, Operand& x, const Dims& dims);
  /// Elements `indices` of an axis of the view, in this order; they have to be channels, each at
  /// most once. Writes nothing yet. nullopt after a diagnostic.
  std::optional<Operand> select(const Where& node, const Operand& x, std::size_t axis,
                                std::span<const std::int64_t> indices);

  // ---- ops; nullopt after a diagnostic ----
  std::optional<Draft> convolution(const Where& node, Layer layer, const Operand& x,
                                   ImageAxes axes);
  /// Of all features of a sample, in the order of the view.
  std::optional<Draft> fully_connected(const Where& node, const Layer& layer, const Operand& x);
  std::optional<Draft> add(const Where& node, const Operand& a, const Operand& b);
  /// Of two tensors of one shape, or of one with a number a channel of it, in either order. Such
  /// numbers may be repeated to that shape; nothing else but a function reads what is repeated.
  std::optional<Draft> multiply(const Where& node, const Operand& a, const Operand& b);
  /// Side by side along an axis of the views, which has to be that of the channels. What has
  /// another quantisation than the output is rounded to it on its own.
  std::optional<Draft> concat(const Where& node, std::span<const Operand> operands,
                              std::size_t axis, ir::HalfRounding rounding);
  /// A function of each value.
  std::optional<Draft> function(const Where& node, const Operand& x, MakeTable table);
  std::optional<Draft> function(const Where& node, const Operand& x, const ir::Curve& curve,
                                ir::HalfRounding rounding);
  /// x, below zero x times the slope of the channel. Exact: x above zero, and below zero behind a
  /// depthwise 1x1 convolution in the quantisation of the output, of which one is always zero,
  /// added.
  std::optional<Draft> leaky_channels(const Where& node, const Operand& x,
                                      std::span<const double> slopes);
  /// Zeros that the operand is padded with count in a mean, the window's padding does not; pads of
  /// a maximum are no zeros. Where it matters a border of zeros becomes a layer of its own.
  std::optional<Draft> average_pool(const Where& node, const ir::Window& window,
                                    ir::HalfRounding rounding, const Operand& x, ImageAxes axes);
  std::optional<Draft> max_pool(const Where& node, const ir::Window& window, const Operand& x,
                                ImageAxes axes);
  /// Of rows, columns or both: `axes` count from the batch, which is 0, or from behind.
  std::optional<Draft> mean(const Where& node, const Operand& x, const Dims& axes, bool keep,
                            ir::HalfRounding rounding);
  /// Likewise the maximum.
  std::optional<Draft> maximum(const Where& node, const Operand& x, const Dims& axes, bool keep);
  /// Averages the mean of whole rows or columns over what is left of the image; false where it
  /// cannot.
  bool extend_mean(Dims axes, bool keep, Draft& mean) const;
  std::optional<Draft> rescale(const Where& node, const Operand& x);
  /// Rows and columns of an image, its padding included; nullopt when it is none.
  std::optional<ir::Shape> extents(const Where& node, const Operand& x, ImageAxes axes);

  /// Adds to the bias of a convolution that is not yet clipped.
  bool add_bias(const Where& node, const Numbers& bias, Draft& convolution);
  /// Scales and shifts the output channels of such a convolution.
  bool scale_channels(const Where& node, ChannelNumbers numbers, Draft& convolution);
  /// Scales and shifts the channels of a tensor: a depthwise 1x1 convolution, whose every output is
  /// what the file computes from the real values, rounded once: halves to even as floats are,
  /// otherwise up as integers. Refused where it is not.
  std::optional<Draft> scale_tensor(const Where& node, const Operand& x, ChannelNumbers numbers,
                                    ir::HalfRounding rounding);

  /// Writes the op. Clips become clamps.
  Operand finish(Draft draft, const ir::Quantization& quantization, const std::string& name);

  // ---- the head ----
  bool head_convolution(const Where& node, Layer layer, const Operand& x, ImageAxes axes);
  bool head_fully_connected(const Where& node, const Layer& layer, const Operand& x);
  bool add_head_bias(const Where& node, const Numbers& bias);
  /// The scores are a tensor of the body, averages of class maps: the head passes them on.
  bool head_identity(const Where& node, const Operand& x);
  /// A classifier of one output behind a sigmoid becomes one of two classes with the same scores.
  void split_logistic_head();

  /// Origins of all weights, by op and of the head.
  [[nodiscard]] const std::vector<Origin>& origins() const { return origins_; }
  [[nodiscard]] const Origin& head_origin() const { return head_origin_; }

 private:
  struct Image {
    ir::TensorId tensor = -1;
    bool turned = false;  ///< rows of the foreign image are columns of the tensor
  };
  ir::TensorId add_tensor(const std::string& name, const ir::Shape& shape,
                          const ir::Quantization& quantization, int lowest);
  void settle_input(const ir::Shape& shape, const std::array<std::int64_t, 3>& strides);
  std::optional<Image> image(const Where& node, Operand& x, ImageAxes axes);
  std::optional<Operand> on_settled_input(const Where& node, Operand x);
  [[nodiscard]] int channels_of(const Operand& x) const;
  [[nodiscard]] std::vector<int> composed(const Operand& x, std::span<const int> channels) const;
  Operand in_channel_order(Operand x) const;
  Operand written(Operand x);
  bool unpadded(const Where& node, const Operand& x);
  bool take_pads(const Where& node, const Operand& x, ImageAxes axes, ir::Window& window,
                 bool maximum = false);
  static View arranged(const ir::Shape& shape, bool turned, ImageAxes axes);
  std::optional<std::vector<std::size_t>> convolution_offsets(const Where& node, Layer& layer,
                                                              Operand x, ImageAxes axes,
                                                              Image& image);
  std::optional<std::vector<std::size_t>> feature_offsets(const Where& node, Layer& layer,
                                                          Operand& x);
  std::optional<Draft> make_conv(const Where& node, const Layer& layer,
                                 std::span<const std::size_t> offsets, ir::TensorId input);
  void shift_bias(Draft& draft, std::size_t channel, double units);
  bool place_head(const Where& node, const Layer& layer, std::span<const std::size_t> offsets,
                  ir::TensorId features);
  bool check_bias(const Where& node, const Numbers& bias, std::size_t out);
  bool claim(const Where& node, std::int64_t elements);
  std::optional<Draft> draft(const Where& node, ir::OpParams params,
                             std::vector<ir::TensorId> inputs);
  std::optional<Draft> per_channel(const Where& node, const Operand& x);
  using MakePool =
      std::function<std::optional<Draft>(const ir::Window&, const Operand&, const ImageAxes&)>;
  std::optional<Draft> reduce(const Where& node, Operand x, Dims axes, bool keep,
                              std::string_view verb, const MakePool& pool);
  std::optional<Operand> padded(const Where& node, const Operand& x, ImageAxes axes);
  ir::TensorId write(const std::string& op_name, ir::OpParams params,
                     std::vector<ir::TensorId> inputs, ir::TensorId output, int low, int high,
                     Origin origin = {});
  void fit_numbers(Draft& draft, const ir::Quantization& to, int low, int high);
  void scale_operand(const Draft& draft, const ir::Quantization& quantization,
                     ir::TensorId& operand);
  void requantise_operands(const Draft& draft, const ir::Quantization& quantization,
                           std::vector<ir::TensorId>& operands);
  std::optional<Draft> pool(const Where& node, ir::OpParams params, const Operand& x,
                            ImageAxes axes);

  ir::Graph& graph_;
  Diagnostics& diagnostics_;
  std::vector<int> lowest_;  ///< value that an element of a tensor has at least
  std::map<std::pair<ir::TensorId, std::vector<int>>, ir::TensorId> selections_;
  std::vector<Origin> origins_;
  Origin head_origin_;
  Dims input_dims_;
  ImageAxes input_axes_;
  bool input_settled_ = false;
  std::int64_t claimed_elements_ = 0;
};

}  // namespace espalier::import_detail
