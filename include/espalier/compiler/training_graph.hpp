// The training graph: one training step as a list of typed operations over typed values, in the
// order in which they run. Differentiation makes it, passes rewrite it, the memory planner places
// its values, and the code generator and the host engine both follow it to the letter.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/ir/graph.hpp"
#include "espalier/support/result.hpp"

namespace espalier::compiler {

/// Type of a value's elements. Gradients are made as kFloat32; narrow() makes integers of them.
enum class Element : std::uint8_t {
  kInt8,
  kByteMask,
  kBitMask,
  kWinner2,  ///< a place in a window of at most 4 elements, in 2 bits
  kWinner4,
  kWinner8,
  kWinner16,
  kFloat32,
  kInt16,  ///< integer gradients
  kInt32,  ///< their sums
  kBytes,
};

/// `f32`, `mask1`.
std::string_view element_name(Element element);

/// Bytes of `elements` elements, bits rounded up to whole bytes.
std::int64_t byte_size(Element element, std::int64_t elements);

/// What a value is; Value::index says of which tensor or op.
enum class Role : std::uint8_t {
  kActivation,      ///< index: tensor of the forward graph
  kSavedChannels,   ///< index: op; the trained input channels of a convolution
  kMask,            ///< index: op
  kWinners,         ///< index: op; where in its window each maximum of a pool lies
  kGradient,        ///< index: tensor, `part` tells its contributions apart
  kScaledGradient,  ///< index: op; dL/dy * mask * factor of a convolution
  kWeightGradient,  ///< index: op
  kBiasGradient,    ///< index: op
  kHeadWeightGradient,
  kHeadBiasGradient,
  kLogitGradient,
  kScratch,  ///< index: op; temporary memory of one node or chain
  kRows,     ///< index: op that a chain begins with; its counters
};

using ValueId = int;

/// A value in the arena. Parameters, logits and sums of gradients live in SRAM across steps or in
/// flash; nodes imply them by their op.
struct Value {
  Role role = Role::kActivation;
  Element element = Element::kInt8;
  int index = -1;
  int part = 0;
  std::int64_t elements = 0;
  ValueId in_place_of = -1;  ///< the value whose memory this one takes over, or -1
  int range = -1;            ///< of an integer gradient: its place among the ranges
  int rows = 0;              ///< of a map of which only so many rows exist at a time; 0: all

  [[nodiscard]] std::int64_t bytes() const { return byte_size(element, elements); }
};

enum class NodeKind : std::uint8_t {
#define ESPALIER_TRAINING_OP(kind, mnemonic, description) kind,
#include "espalier/compiler/training_ops.def"
#undef ESPALIER_TRAINING_OP
};

std::string_view mnemonic(NodeKind kind);

/// What becomes of the gradient of a parameter.
enum class Sink : std::uint8_t {
  kStore,  ///< a value of its own, applied by a later node or by none
  kAdd,    ///< added to the sum over samples
  kApply,  ///< the parameter is stepped as soon as the gradient exists
};

/// One operation. training_ops.def documents inputs and outputs by position; absent ones are -1.
struct Node {
  NodeKind kind{};
  int op = -1;      ///< position in the forward graph; -1: head and loss
  int operand = 0;  ///< which input of `op`, where a node is of one
  Sink sink = Sink::kStore;
  std::array<ValueId, 3> inputs{-1, -1, -1};
  std::array<ValueId, 3> outputs{-1, -1, -1};
  ValueId scratch = -1;
  int scale_op = -1;     ///< the convolution for which the output is masked and scaled, too
  int chain = -1;        ///< index in TrainingGraph::chains, of a node that runs row by row
  int band_rows = 0;     ///< rows of output that such a node makes in a turn, at most
  int band_in_rows = 0;  ///< and reads
};

/// Consecutive forward nodes that run in turns, a few rows each (runtime/espalier_rows.h).
struct Chain {
  int first = 0;      ///< node
  int last = 0;       ///< node, inclusive
  ValueId rows = -1;  ///< how far each map has come
  bool fed = false;   ///< the network's input comes by rows
};

/// How the parameters of one convolution are trained.
struct TrainedConv {
  int op = -1;    ///< position in the forward graph
  int conv = -1;  ///< conv index
  bool bias = false;
  bool weights = false;
  std::vector<int> channels;  ///< trained input channels, ascending; empty when all are
  /// Sets that follow in turn, as many channels each, before `channels` comes again.
  std::vector<std::vector<int>> next_channels;
  bool sliced = false;  ///< SRAM holds the trained channels alone (the slice pass)

  [[nodiscard]] bool rotates() const { return !next_channels.empty(); }
  /// The channels that train in a turn, counted from 0.
  [[nodiscard]] const std::vector<int>& channels_of(std::int64_t turn) const {
    const auto set = static_cast<std::size_t>(turn) % (next_channels.size() + 1);
    return set == 0 ? channels : next_channels[set - 1];
  }
};

/// A training step of one network under one plan.
struct TrainingGraph {
  const ir::Graph* forward = nullptr;  ///< outlives the training graph
  int accumulate = 1;                  ///< samples whose gradients are added up before an update
  std::vector<TrainedConv> trained;    ///< ascending op
  std::vector<int> trained_of_op;      ///< by op: index in `trained`, or -1
  std::vector<Value> values;
  std::vector<Node> nodes;    ///< forward, loss, backward of one sample
  int backward_begin = 0;     ///< first node behind the forward pass
  std::vector<Node> update;   ///< every `accumulate` samples, when that is above 1
  std::vector<Chain> chains;  ///< in the order of their nodes
  ValueId input = -1;
  bool fed = false;  ///< the input is to come by rows, through the first chain
  /// What the first chain makes and writes over the rows of a resident input that have been read,
  /// or -1; the input begins so many bytes above it.
  ValueId input_over = -1;
  std::int64_t input_shift = 0;
  Element gradient = Element::kFloat32;  ///< of maps; integers behind narrow()
  int gradient_ranges = 0;               ///< of the sample, the features, all gradients of maps
  ValueId turn_room = -1;  ///< what a change of turn needs for a while, behind the last node; or -1

  [[nodiscard]] const Value& value(ValueId id) const {
    return values[static_cast<std::size_t>(id)];
  }
  [[nodiscard]] Value& value(ValueId id) { return values[static_cast<std::size_t>(id)]; }
  /// Null when nothing of the op is trained.
  [[nodiscard]] const TrainedConv* trained_conv(int op) const {
    const int i = op < 0 ? -1 : trained_of_op[static_cast<std::size_t>(op)];
    return i < 0 ? nullptr : &trained[static_cast<std::size_t>(i)];
  }
  /// The first value of an in-place chain: the owner of the memory.
  [[nodiscard]] ValueId buffer(ValueId id) const {
    while (value(id).in_place_of >= 0) id = value(id).in_place_of;
    return id;
  }
};

/// A depthwise convolution with one filter a channel, not dilated: the form that has kernels of its
/// own.
inline bool is_plain_depthwise(const ir::Conv2D& conv) {
  return conv.depthwise() && conv.out_channels == conv.in_channels && !conv.window.dilated();
}

/// The convolution of an op, or null.
inline const ir::Conv2D* conv_of(const ir::Graph& graph, int op) {
  return op < 0 ? nullptr
                : std::get_if<ir::Conv2D>(&graph.ops[static_cast<std::size_t>(op)].params);
}

/// A 1x1 convolution of stride 1 without padding: one matrix product.
inline bool is_pointwise(const ir::Graph& graph, int op) {
  const ir::Conv2D* conv = conv_of(graph, op);
  if (conv == nullptr || !conv->pointwise()) return false;
  const ir::Op& node = graph.ops[static_cast<std::size_t>(op)];
  return graph.tensor(node.inputs[0]).shape.pixels() == graph.tensor(node.output).shape.pixels();
}

/// True when the trained channels of a convolution can be kept apart from the others.
inline bool can_slice(const ir::Conv2D& conv) {
  return conv.groups == 1 || is_plain_depthwise(conv);
}

/// Input channels whose weights are trained.
int trained_channel_count(const TrainingGraph& graph, const TrainedConv& trained);

/// Weights of a convolution that SRAM holds: those of the trained channels when sliced, or all.
std::int64_t resident_weights(const TrainingGraph& graph, const TrainedConv& trained);

/// Where these stand in the whole tensor in a turn, in the order in which SRAM holds them.
std::vector<std::size_t> resident_positions(const TrainingGraph& graph, const TrainedConv& trained,
                                            std::int64_t turn = 0);

/// True when some convolution trains other channels in another turn.
bool rotates(const TrainingGraph& graph);

/// True for integer gradients.
inline bool is_integer(const TrainingGraph& graph) { return graph.gradient != Element::kFloat32; }

/// True for a node of the forward pass, wherever it stands.
bool is_forward(NodeKind kind);

/// True for what a step that trains the head alone runs behind the forward pass: the loss, the
/// gradient of the head's own parameters, their step.
bool trains_head(const Node& node);

/// True when a node reads, or steps, the weights of its op.
bool reads_weights(NodeKind kind);
bool steps_weights(const Node& node);

/// `mask:conv21`: stable, unique within a graph.
std::string value_name(const TrainingGraph& graph, ValueId id);
/// `conv21` or the name of the op.
std::string op_name(const ir::Graph& graph, int op);
/// `input_gradient conv21`.
std::string node_name(const TrainingGraph& graph, const Node& node);

/// Text form: a header, then a line per node with the types of what it makes. Stable.
std::string to_text(const TrainingGraph& graph);

/// Invariants: every value is written once and before it is read; what a value takes over in place
/// is read by nobody afterwards; weights are not read after they were stepped. kInternal lists all
/// violations.
Status verify(const TrainingGraph& graph);

}  // namespace espalier::compiler
