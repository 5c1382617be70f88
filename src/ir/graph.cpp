#include "espalier/ir/graph.hpp"

#include <array>

namespace espalier::ir {
namespace {

struct Row {
  std::string_view mnemonic;
  int inputs;
};

constexpr std::array<Row, kOpCount> kRows{{
#define ESPALIER_OP(type, mnemonic, inputs, description) Row{mnemonic, inputs},
#include "espalier/ir/ops.def"
#undef ESPALIER_OP
}};

}  // namespace

std::string_view mnemonic(const OpParams& params) { return kRows[params.index()].mnemonic; }

int input_count(const OpParams& params) { return kRows[params.index()].inputs; }

bool requantizes_mean(const Graph& graph, const Op& op) {
  return std::holds_alternative<AveragePool>(op.params) &&
         !(graph.tensor(op.inputs[0]).quantization == graph.tensor(op.output).quantization);
}

bool is_gate(const Graph& graph, const Op& op) {
  return std::holds_alternative<Mul>(op.params) &&
         graph.tensor(op.inputs[0]).shape != graph.tensor(op.inputs[1]).shape;
}

double product_factor(const Graph& graph, const Op& op) {
  const auto scale = [&](TensorId id) {
    return static_cast<double>(graph.tensor(id).quantization.scale);
  };
  return scale(op.inputs[0]) * scale(op.inputs[1]) / scale(op.output);
}

bool saturates(const Graph& graph, const Op& op) {
  const bool keeps_range =
      std::holds_alternative<AveragePool>(op.params) ||
      std::holds_alternative<MaxPool>(op.params) || std::holds_alternative<Concat>(op.params) ||
      std::holds_alternative<Select>(op.params) || std::holds_alternative<Lookup>(op.params);
  return !keeps_range || requantizes_mean(graph, op);
}

std::vector<int> conv_ops(const Graph& graph) {
  std::vector<int> positions;
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    if (std::holds_alternative<Conv2D>(graph.ops[i].params)) {
      positions.push_back(static_cast<int>(i));
    }
  }
  return positions;
}

const Conv2D& conv(const Graph& graph, int op_position) {
  return std::get<Conv2D>(graph.ops[static_cast<std::size_t>(op_position)].params);
}

}  // namespace espalier::ir
