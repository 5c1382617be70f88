// Plans that need no search.
#include <fmt/format.h>

#include "espalier/plan/update_plan.hpp"

namespace espalier::plan {
namespace {

Status check_depth(const ir::Graph& graph, int depth) {
  const auto convs = static_cast<int>(ir::conv_ops(graph).size());
  if (depth >= 0 && depth <= convs) return Ok{};
  return Error{ErrorKind::kUsage, fmt::format("{}: cannot train the last {} convs; give a number "
                                              "from 0 to {}",
                                              graph.name, depth, convs)};
}

UpdatePlan with_biases(const ir::Graph& graph, int depth) {
  UpdatePlan plan;
  plan.model = graph.name;
  plan.model_sha256 = graph.sha256;
  plan.bias_depth = depth;
  return plan;
}

}  // namespace

WeightUpdate make_weight_update(const ir::Graph& graph, int conv, double ratio) {
  const int op = ir::conv_ops(graph)[static_cast<std::size_t>(conv)];
  return {conv, ratio, select_channels(ir::conv(graph, op), ratio), {}};
}

UpdatePlan head_only(const ir::Graph& graph) { return with_biases(graph, 0); }

Result<UpdatePlan> bias_only(const ir::Graph& graph, int depth) {
  ESPALIER_CHECK_OK(check_depth(graph, depth));
  return with_biases(graph, depth);
}

Result<UpdatePlan> last_k(const ir::Graph& graph, int depth) {
  ESPALIER_CHECK_OK(check_depth(graph, depth));
  UpdatePlan plan = with_biases(graph, depth);
  const auto convs = static_cast<int>(ir::conv_ops(graph).size());
  for (int conv = convs - depth; conv < convs; ++conv) {
    plan.weights.push_back(make_weight_update(graph, conv, 1.0));
  }
  return plan;
}

UpdatePlan full(const ir::Graph& graph) {
  return last_k(graph, static_cast<int>(ir::conv_ops(graph).size())).value();
}

}  // namespace espalier::plan
