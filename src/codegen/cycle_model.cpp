#include "espalier/codegen/cycle_model.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "cycle_sources.hpp"
#include "espalier/codegen/kernel_calls.hpp"
#include "espalier/compiler/kernel_choice.hpp"

namespace espalier::codegen {
namespace {

using compiler::Node;
using compiler::NodeKind;
using compiler::TrainingGraph;

std::int64_t elements(const TrainingGraph& graph, compiler::ValueId id) {
  return id < 0 ? 0 : graph.value(id).elements;
}

// Parameters that a node reads or steps.
std::int64_t weights_of(const TrainingGraph& graph, const Node& node) {
  const ir::Conv2D* conv = compiler::conv_of(*graph.forward, node.op);
  const compiler::TrainedConv* trained = graph.trained_conv(node.op);
  const ir::Head& head = graph.forward->head;
  switch (node.kind) {
    case NodeKind::kConvForward:
    case NodeKind::kInputGradient:
      return static_cast<std::int64_t>(conv->weights.size());
    case NodeKind::kWeightGradient:
    case NodeKind::kApplyWeights:
      return compiler::resident_weights(graph, *trained);
    case NodeKind::kDepthwiseBackward:
      return node.inputs[1] < 0 ? 0 : compiler::resident_weights(graph, *trained);
    case NodeKind::kBiasGradient:
      return conv->out_channels;
    case NodeKind::kHeadForward:
    case NodeKind::kHeadInputGradient:
    case NodeKind::kHeadGradient:
      return std::int64_t{head.features} * head.classes;
    default:
      return 0;
  }
}

// Weights of which some are trained, and lie apart from the others.
std::int64_t merged_of(const TrainingGraph& graph, const Node& node) {
  if (!compiler::reads_weights(node.kind)) return 0;
  const compiler::TrainedConv* trained = graph.trained_conv(node.op);
  if (trained == nullptr || !trained->sliced) return 0;
  return static_cast<std::int64_t>(compiler::conv_of(*graph.forward, node.op)->weights.size());
}

std::int64_t weight_macs_of(const TrainingGraph& graph, const Node& node) {
  if (node.kind != NodeKind::kDepthwiseBackward) return 0;
  const ir::Op& op = graph.forward->ops[static_cast<std::size_t>(node.op)];
  return node_macs(graph, node) - ir::forward_macs(op, *graph.forward);
}

// Loops of convolutions that are no matrix products differ with the window.
std::string form_of(const TrainingGraph& graph, const Node& node) {
  std::string form(runtime::kernel_name(compiler::kernel_of(graph, node)));
  const ir::Conv2D* conv = compiler::conv_of(*graph.forward, node.op);
  if (conv != nullptr && conv->pointwise() && node.kind == NodeKind::kWeightGradient &&
      compiler::is_integer(graph)) {
    const ir::Op& op = graph.forward->ops[static_cast<std::size_t>(node.op)];
    const ir::Shape& out = graph.forward->tensor(op.output).shape;
    return form + (std::int64_t{out.height} * out.width > kPixelsKept ? " large" : " small");
  }
  if (conv == nullptr || conv->pointwise() || node.kind == NodeKind::kBiasGradient ||
      node.kind == NodeKind::kSaveChannels || node.kind == NodeKind::kMaskScale) {
    return form;
  }
  const ir::Window& w = conv->window;
  return form + fmt::format(" {}x{}/{}", w.kernel_h, w.kernel_w, std::max(w.stride_h, w.stride_w));
}

}  // namespace

std::vector<Work> work_of(const TrainingGraph& graph) {
  std::vector<Work> work;
  work.reserve(graph.nodes.size());
  for (const Node& node : graph.nodes) {
    const std::int64_t weight_macs = weight_macs_of(graph, node);
    work.push_back(
        {form_of(graph, node),
         {node_macs(graph, node) - weight_macs, weight_macs, elements(graph, node.inputs[0]),
          elements(graph, node.outputs[0]), elements(graph, node.outputs[1]),
          weights_of(graph, node), merged_of(graph, node), 1}});
  }
  return work;
}

Result<CycleModel> cycle_model_from_json(const Json& document, std::string_view where) {
  CycleModel model;
  ESPALIER_TRY(model.target, json_field<std::string>(document, "target", where));
  ESPALIER_TRY(model.error, json_field<double>(document, "error", where));
  ESPALIER_TRY(const Json forms, json_field<Json>(document, "forms", where));
  for (const auto& [form, row] : forms.items()) {
    std::array<double, kAmountNames.size()>& cycles = model.forms[form];
    for (std::size_t i = 0; i < cycles.size(); ++i) {
      cycles[i] = row.value(std::string(kAmountNames[i]), 0.0);
      if (!(cycles[i] >= 0)) {
        return Error{ErrorKind::kBadInput, fmt::format("{}: '{}' of '{}' must not be negative",
                                                       where, kAmountNames[i], form)};
      }
    }
  }
  return model;
}

const std::vector<CycleModel>& shipped_cycle_models() {
  static const std::vector<CycleModel> models = [] {
    std::vector<CycleModel> list;
    for (const auto& [name, text] : cycle_sources()) {
      list.push_back(cycle_model_from_json(parse_json(text, name).value(), name).value());
    }
    return list;
  }();
  return models;
}

Result<CycleModel> find_cycle_model(std::string_view target) {
  std::vector<std::string_view> names;
  for (const CycleModel& model : shipped_cycle_models()) {
    if (model.target == target) return model;
    names.push_back(model.target);
  }
  return Error{ErrorKind::kUsage,
               fmt::format("the cycles of target '{}' were never measured; there "
                           "are those of {}",
                           target, fmt::join(names, ", "))};
}

Result<std::int64_t> step_cycles(const CycleModel& model, const compiler::TrainingGraph& graph) {
  double cycles = 0;
  std::set<std::string> unknown;
  for (const Work& work : work_of(graph)) {
    auto row = model.forms.find(work.form);
    const std::string_view kernel = std::string_view(work.form).substr(0, work.form.find(' '));
    if (row == model.forms.end()) row = model.forms.find(kernel);
    if (row == model.forms.end()) {
      unknown.emplace(kernel);
      continue;
    }
    for (std::size_t i = 0; i < work.amounts.size(); ++i) {
      cycles += row->second[i] * static_cast<double>(work.amounts[i]);
    }
  }
  if (!unknown.empty()) {
    return Error{
        ErrorKind::kUsage,
        fmt::format(
            "cycles on {} cannot be told: {} never measured there; bound MACs with "
            "--max-macs, or take other numerics or another target",
            model.target,
            fmt::format("{} {}", fmt::join(unknown, ", "), unknown.size() == 1 ? "was" : "were"))};
  }
  return std::llround(cycles);
}

}  // namespace espalier::codegen
