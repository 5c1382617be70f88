#include "espalier/cost/inspection.hpp"

#include <utility>

#include "espalier/cost/analytic_memory.hpp"
#include "espalier/cost/training_macs.hpp"
#include "espalier/ir/input.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/version.hpp"

namespace espalier::cost {
namespace {

const char* role(const ir::Conv2D& conv) {
  if (conv.depthwise()) return "depthwise";
  if (conv.pointwise()) return "pointwise";
  return conv.groups > 1 ? "grouped" : "full";
}

Json conv_json(const ir::Op& op, const ir::Conv2D& conv, const ir::Graph& graph, int index) {
  const ir::Shape& in = graph.tensor(op.inputs[0]).shape;
  const ir::Shape& out = graph.tensor(op.output).shape;
  const ir::Window& w = conv.window;
  return {{"conv", index},
          {"name", op.name},
          {"kind", role(conv)},
          {"kernel", {w.kernel_h, w.kernel_w}},
          {"stride", {w.stride_h, w.stride_w}},
          {"padding", {w.pad_top, w.pad_left, w.pad_bottom, w.pad_right}},
          {"groups", conv.groups},
          {"in", {in.height, in.width, in.channels}},
          {"out", {out.height, out.width, out.channels}},
          {"macs", ir::forward_macs(op, graph)},
          {"weights", conv.weights.size()}};
}

}  // namespace

Json inspection(const ir::Graph& graph) {
  const ir::Tensor& input = graph.tensor(graph.input);
  Json convs = Json::array();
  std::int64_t macs = 0;
  std::int64_t weights = 0;
  for (const ir::Op& op : graph.ops) {
    macs += ir::forward_macs(op, graph);
    const auto* conv = std::get_if<ir::Conv2D>(&op.params);
    if (conv == nullptr) continue;
    weights += static_cast<std::int64_t>(conv->weights.size());
    convs.push_back(conv_json(op, *conv, graph, static_cast<int>(convs.size())));
  }
  const std::pair<const char*, plan::UpdatePlan> extremes[] = {
      {"head only", plan::head_only(graph)},
      {"all biases", *plan::bias_only(graph, static_cast<int>(convs.size()))},
      {"everything", plan::full(graph)}};
  Json training = Json::array();
  for (const auto& [name, plan] : extremes) {
    training.push_back({{"update", name},
                        {"analytic_bytes", analytic_memory(plan, graph).bytes().count},
                        {"step_macs", training_macs(plan, graph).total()}});
  }
  Json head{{"features", graph.head.features}, {"classes", graph.head.classes}};
  if (!graph.head.class_names.empty()) head["class_names"] = graph.head.class_names;
  return {{"schema", kInspectSchema},
          {"tool_version", kVersion},
          {"model", {{"name", graph.name}, {"sha256", graph.sha256}}},
          {"input",
           {{"shape", {input.shape.height, input.shape.width, input.shape.channels}},
            {"scale", ir::file_input_quantization(graph).scale},
            {"zero_point", input.quantization.zero_point}}},
          {"macs", macs},
          {"weights", weights},
          {"head", std::move(head)},
          {"convs", std::move(convs)},
          {"training", std::move(training)}};
}

}  // namespace espalier::cost
