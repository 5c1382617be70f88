// A program as the list of the kernels it calls: the one place that knows which kernel a node calls
// with which arguments. The code generator prints the list, the host engine binds it to functions.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "espalier/codegen/flash_layout.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/runtime/kernels.hpp"

namespace espalier::codegen {

/// A pointer that is null.
struct Null {};

/// Into the arena: the start of a value.
struct ArenaPointer {
  std::int64_t offset = 0;
  compiler::ItemType type{};  ///< anything but kRange
};

/// The first element of a constant, or the descriptor.
struct FlashPointer {
  FlashRole role{};
  int op = -1;
};

/// An element of a state item.
struct StatePointer {
  compiler::StateRole role{};
  int op = -1;
  int index = 0;
};

/// What changes from step to step: where the loss goes, the label, the step of SGD.
enum class Live : std::uint8_t { kLoss, kLabel, kSgd };

enum class StructType : std::uint8_t {
  kWeights,
  kRequantization,
  kWeightSink,
  kBiasSink,
  kGradientSink,   ///< esp_q_sink
  kParameterSink,  ///< esp_q_parameter_sink
};

struct Argument;

/// Of a node that runs row by row, in esp_band: where the rows of its operands and of its output
/// begin in their windows, and the first row of the output.
enum class BandField : std::uint8_t { kX, kOther, kY, kRow };

/// Into the arena: the rows of a turn.
struct BandPointer {
  ArenaPointer base;
  BandField field{};
  std::int64_t row_bytes = 1;  ///< of kRow; the others are in bytes
};

/// The descriptor of the rows of a turn, made from that of the whole.
struct BandDescriptor {
  FlashPointer whole;
};

/// So many for each row of a turn.
struct BandCount {
  std::int64_t per_row = 0;
};

/// A struct of the runtime made for the call and passed by address.
struct StructArgument {
  StructType type{};
  std::vector<Argument> fields;  ///< in the order of the struct
};

struct Argument {
  using Value = std::variant<Null, ArenaPointer, FlashPointer, StatePointer, Live, std::int64_t,
                             float, StructArgument, BandPointer, BandDescriptor, BandCount>;
  template <typename T>
  requires std::is_constructible_v<Value, T> Argument(T what)
      : value(std::move(what)) {}  // NOLINT: a list of arguments reads as one
  Value value;
};

/// Arguments stand in the order of the kernel's parameters (runtime/kernels.def).
struct KernelCall {
  runtime::Kernel kernel{};
  std::int64_t macs = 0;  ///< multiply-accumulates; 0 for element-wise work
  std::vector<Argument> arguments;
};

/// A state item that starts as a copy of a constant.
struct InitialValue {
  StatePointer to;
  FlashPointer from;
};

/// A convolution whose channels change with the turn.
struct ChannelTurns {
  int op = -1;
  bool sliced = false;     ///< its tensor is in flash, FlashRole::kTurnWeights
  std::int64_t count = 0;  ///< channels of a turn
  std::int64_t turns = 0;  ///< different ones
};

struct CallList {
  std::vector<std::vector<KernelCall>> nodes;   ///< by node of the training graph
  std::vector<std::vector<KernelCall>> update;  ///< by node of its update
  std::vector<InitialValue> reset;              ///< what does not start at zero
  std::vector<StatePointer> cleared;            ///< after an update
  std::vector<ChannelTurns> turns;              ///< in the order in which flash holds them
};

/// Multiply-accumulates of a node; 0 for element-wise work.
std::int64_t node_macs(const compiler::TrainingGraph& training, const compiler::Node& node);

/// `layout`: flash_layout() of the program.
CallList kernel_calls(const compiler::Program& program, const FlashLayout& layout);

}  // namespace espalier::codegen
