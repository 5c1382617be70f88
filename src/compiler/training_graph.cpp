#include "espalier/compiler/training_graph.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace espalier::compiler {
namespace {

constexpr std::string_view kMnemonics[] = {
#define ESPALIER_TRAINING_OP(kind, mnemonic, description) mnemonic,
#include "espalier/compiler/training_ops.def"
#undef ESPALIER_TRAINING_OP
};

}  // namespace

std::string_view element_name(Element element) {
  switch (element) {
    case Element::kInt8:
      return "i8";
    case Element::kByteMask:
      return "mask8";
    case Element::kBitMask:
      return "mask1";
    case Element::kWinner2:
      return "winner2";
    case Element::kWinner4:
      return "winner4";
    case Element::kWinner8:
      return "winner8";
    case Element::kWinner16:
      return "winner16";
    case Element::kFloat32:
      return "f32";
    case Element::kInt16:
      return "i16";
    case Element::kInt32:
      return "i32";
    case Element::kBytes:
      return "bytes";
  }
  return "";
}

namespace {

std::string_view sink_name(Sink sink) {
  switch (sink) {
    case Sink::kStore:
      return "store";
    case Sink::kAdd:
      return "add";
    case Sink::kApply:
      return "apply";
  }
  return "";
}

bool is_of_operand(NodeKind kind) {
  return kind == NodeKind::kMaskScale || kind == NodeKind::kMulGradient ||
         kind == NodeKind::kConcatForward || kind == NodeKind::kConcatGradient;
}

bool makes_parameter_gradient(NodeKind kind) {
  return kind == NodeKind::kWeightGradient || kind == NodeKind::kBiasGradient ||
         kind == NodeKind::kHeadGradient || kind == NodeKind::kDepthwiseBackward;
}

}  // namespace

std::int64_t byte_size(Element element, std::int64_t elements) {
  switch (element) {
    case Element::kBitMask:
      return (elements + 7) / 8;
    case Element::kWinner2:
      return (elements + 3) / 4;
    case Element::kWinner4:
      return (elements + 1) / 2;
    case Element::kWinner16:
    case Element::kInt16:
      return elements * 2;
    case Element::kFloat32:
    case Element::kInt32:
      return elements * 4;
    case Element::kInt8:
    case Element::kByteMask:
    case Element::kWinner8:
    case Element::kBytes:
      return elements;
  }
  throw std::logic_error("unknown element");
}

std::string_view mnemonic(NodeKind kind) { return kMnemonics[static_cast<std::size_t>(kind)]; }

int trained_channel_count(const TrainingGraph& graph, const TrainedConv& trained) {
  if (!trained.weights) return 0;
  return trained.channels.empty() ? conv_of(*graph.forward, trained.op)->in_channels
                                  : static_cast<int>(trained.channels.size());
}

std::int64_t resident_weights(const TrainingGraph& graph, const TrainedConv& trained) {
  if (!trained.weights) return 0;
  const ir::Conv2D& conv = *conv_of(*graph.forward, trained.op);
  if (!trained.sliced) return static_cast<std::int64_t>(conv.weights.size());
  return conv.weights_per_input_channel() * static_cast<std::int64_t>(trained.channels.size());
}

std::vector<std::size_t> resident_positions(const TrainingGraph& graph, const TrainedConv& trained,
                                            std::int64_t turn) {
  const ir::Conv2D& conv = *conv_of(*graph.forward, trained.op);
  std::vector<std::size_t> positions(static_cast<std::size_t>(resident_weights(graph, trained)));
  if (!trained.sliced) {
    std::iota(positions.begin(), positions.end(), std::size_t{0});
    return positions;
  }
  const int taps = conv.window.kernel_h * conv.window.kernel_w;
  const std::vector<int>& channels = trained.channels_of(turn);
  std::size_t at = 0;
  if (is_plain_depthwise(conv)) {
    for (const int c : channels) {
      for (int tap = 0; tap < taps; ++tap) {
        positions[at++] = static_cast<std::size_t>(c * taps + tap);
      }
    }
    return positions;
  }
  for (int row = 0; row < conv.out_channels * taps; ++row) {
    for (const int c : channels) {
      positions[at++] = static_cast<std::size_t>(row * conv.in_channels + c);
    }
  }
  return positions;
}

bool rotates(const TrainingGraph& graph) {
  return std::any_of(graph.trained.begin(), graph.trained.end(),
                     [](const TrainedConv& trained) { return trained.rotates(); });
}

bool is_forward(NodeKind kind) { return kind <= NodeKind::kHeadForward; }

bool trains_head(const Node& node) {
  return node.kind == NodeKind::kLossGradient || node.kind == NodeKind::kHeadGradient ||
         node.kind == NodeKind::kApplyHead;
}

bool reads_weights(NodeKind kind) {
  return kind == NodeKind::kConvForward || kind == NodeKind::kInputGradient ||
         kind == NodeKind::kDepthwiseBackward;
}

bool steps_weights(const Node& node) {
  return node.kind == NodeKind::kApplyWeights ||
         (node.sink == Sink::kApply &&
          (node.kind == NodeKind::kWeightGradient ||
           (node.kind == NodeKind::kDepthwiseBackward && node.inputs[1] >= 0)));
}

std::string op_name(const ir::Graph& graph, int op) {
  if (op < 0) return "head";
  if (conv_of(graph, op) == nullptr) return graph.ops[static_cast<std::size_t>(op)].name;
  int conv = 0;
  for (int i = 0; i < op; ++i) conv += conv_of(graph, i) != nullptr ? 1 : 0;
  return fmt::format("conv{}", conv);
}

namespace {

// Roles whose values' names tell their `part`; what else has one is made a second time.
bool numbered(Role role) {
  return role == Role::kActivation || role == Role::kGradient || role == Role::kScratch;
}

}  // namespace

std::string value_name(const TrainingGraph& graph, ValueId id) {
  const Value& v = graph.value(id);
  const auto tensor = [&] { return graph.forward->tensor(v.index).name; };
  const auto op = [&] {
    return op_name(*graph.forward, v.index) + (v.part > 0 && !numbered(v.role) ? ":again" : "");
  };
  switch (v.role) {
    case Role::kActivation:
      return v.part == 0 ? tensor() : fmt::format("{}:{}", tensor(), v.part);
    case Role::kSavedChannels:
      return "saved:" + op();
    case Role::kMask:
      return "mask:" + op();
    case Role::kWinners:
      return "winners:" + op();
    case Role::kGradient:
      return v.part == 0 ? "d:" + tensor() : fmt::format("d{}:{}", v.part, tensor());
    case Role::kScaledGradient:
      return "g:" + op();
    case Role::kWeightGradient:
      return "dW:" + op();
    case Role::kBiasGradient:
      return "dB:" + op();
    case Role::kHeadWeightGradient:
      return "dW:head";
    case Role::kHeadBiasGradient:
      return "dB:head";
    case Role::kLogitGradient:
      return "d:logits";
    case Role::kScratch:
      return fmt::format("scratch{}:{}", v.part, op());
    case Role::kRows:
      return "rows:" + op();
  }
  return "";
}

std::string node_name(const TrainingGraph& graph, const Node& node) {
  return fmt::format("{} {}", mnemonic(node.kind), op_name(*graph.forward, node.op));
}

std::string to_text(const TrainingGraph& graph) {
  const auto typed = [&](ValueId id) {
    const Value& v = graph.value(id);
    std::string text =
        fmt::format("%{} {}[{}]", value_name(graph, id), element_name(v.element), v.elements);
    if (v.rows > 0) text += fmt::format(" of {} rows", v.rows);
    if (v.in_place_of >= 0) text += fmt::format(" over %{}", value_name(graph, v.in_place_of));
    return text;
  };
  std::string text =
      fmt::format("training_graph \"{}\" accumulate={}\n", graph.forward->name, graph.accumulate);
  for (const TrainedConv& t : graph.trained) {
    text += fmt::format("  train conv{}{}", t.conv, t.bias ? " bias" : "");
    if (t.weights) {
      text += fmt::format(" weights={}/{}{}", trained_channel_count(graph, t),
                          conv_of(*graph.forward, t.op)->in_channels, t.sliced ? " sliced" : "");
      if (t.rotates()) text += fmt::format(" in {} turns", t.next_channels.size() + 1);
    }
    text += '\n';
  }
  if (graph.input >= 0) text += fmt::format("  input {}\n", typed(graph.input));
  const auto lines = [&](const std::vector<Node>& nodes, int backward) {
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      const Node& node = nodes[i];
      if (static_cast<int>(i) == backward) text += "backward:\n";
      std::string line = "  ";
      bool first = true;
      for (const ValueId id : node.outputs) {
        if (id < 0) continue;
        line += (first ? "" : ", ") + typed(id);
        first = false;
      }
      if (!first) line += " = ";
      line += fmt::format("{} {}", mnemonic(node.kind), op_name(*graph.forward, node.op));
      if (is_of_operand(node.kind)) {
        line += fmt::format(".{}", node.operand);
      }
      line += '(';
      first = true;
      for (const ValueId id : node.inputs) {
        if (id < 0) continue;
        line += fmt::format("{}%{}", first ? "" : ", ", value_name(graph, id));
        first = false;
      }
      line += ')';
      if (makes_parameter_gradient(node.kind) && node.sink != Sink::kStore) {
        line += fmt::format(" {}", sink_name(node.sink));
      }
      if (node.scratch >= 0) line += fmt::format(" using {}", typed(node.scratch));
      if (node.chain >= 0) line += fmt::format(" in chain {}", node.chain);
      text += line + '\n';
    }
  };
  text += "forward:\n";
  lines(graph.nodes, graph.backward_begin);
  if (!graph.update.empty()) {
    text += "update:\n";
    lines(graph.update, -1);
  }
  return text;
}

Status verify(const TrainingGraph& graph) {
  std::vector<std::string> problems;
  const auto report = [&](std::size_t at, const std::string& text) {
    problems.push_back(fmt::format("training graph: node {} '{}': {}", at,
                                   node_name(graph, graph.nodes[at]), text));
  };
  constexpr int kNever = -1;
  std::vector<int> written(graph.values.size(), kNever);
  std::vector<int> last_read(graph.values.size(), kNever);
  std::vector<int> stepped(graph.forward->ops.size(), kNever);
  if (graph.input >= 0) written[static_cast<std::size_t>(graph.input)] = 0;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    for (const ValueId id : node.inputs) {
      if (id < 0) continue;
      if (written[static_cast<std::size_t>(id)] == kNever) {
        report(i, fmt::format("reads {} before it is written", value_name(graph, id)));
      }
      last_read[static_cast<std::size_t>(id)] = static_cast<int>(i);
    }
    for (const ValueId id : node.outputs) {
      if (id < 0) continue;
      if (written[static_cast<std::size_t>(id)] != kNever) {
        report(i, fmt::format("writes {} a second time", value_name(graph, id)));
      }
      written[static_cast<std::size_t>(id)] = static_cast<int>(i);
    }
    if (node.op >= 0 && reads_weights(node.kind) &&
        stepped[static_cast<std::size_t>(node.op)] != kNever) {
      report(i, "reads weights that were stepped before");
    }
    if (node.op >= 0 && steps_weights(node)) {
      stepped[static_cast<std::size_t>(node.op)] = static_cast<int>(i);
    }
  }
  for (std::size_t id = 0; id < graph.values.size(); ++id) {
    const ValueId over = graph.values[id].in_place_of;
    if (over < 0 || written[id] == kNever) continue;
    if (graph.values[id].bytes() != graph.value(over).bytes()) {
      report(static_cast<std::size_t>(written[id]),
             fmt::format("{} takes over {} of another size",
                         value_name(graph, static_cast<ValueId>(id)), value_name(graph, over)));
    }
    if (last_read[static_cast<std::size_t>(over)] > written[id]) {
      report(static_cast<std::size_t>(last_read[static_cast<std::size_t>(over)]),
             fmt::format("reads {}, which {} has overwritten", value_name(graph, over),
                         value_name(graph, static_cast<ValueId>(id))));
    }
  }
  if (!problems.empty()) return Error{ErrorKind::kInternal, problems};
  return Ok{};
}

}  // namespace espalier::compiler
