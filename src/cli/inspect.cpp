// espalier inspect MODEL: what a model holds and what training it would cost.
#include <fmt/format.h>

#include "command.hpp"
#include "espalier/cost/analytic_memory.hpp"
#include "espalier/cost/training_macs.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/ir/input.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/version.hpp"

namespace espalier::cli {
namespace {

struct Options {
  CommonOptions common;
  std::string model;
  bool ir = false;
};

const char* role(const ir::Conv2D& conv) {
  if (conv.depthwise()) return "depthwise";
  if (conv.pointwise()) return "pointwise";
  return conv.groups > 1 ? "grouped" : "full";
}

struct Extreme {
  const char* name;
  plan::UpdatePlan plan;
};

Status inspect(const Options& options) {
  ESPALIER_TRY(const ir::Graph graph, import_model(options.model));
  const ir::Tensor& input = graph.tensor(graph.input);
  Json convs = Json::array();
  std::string table = fmt::format(
      "{}  input {}x{}x{}  SHA-256 {:.12}\n\n{:>4}  {:<10} {:>6} {:>6} {:>5} {:>5} {:>7} {:>10} "
      "{:>8}  {}\n",
      graph.name, input.shape.height, input.shape.width, input.shape.channels, graph.sha256, "conv",
      "kind", "kernel", "stride", "in", "out", "map", "MACs", "weights", "name");
  std::int64_t total_macs = 0;
  std::int64_t total_weights = 0;
  int index = 0;
  for (const ir::Op& op : graph.ops) {
    const std::int64_t macs = ir::forward_macs(op, graph);
    total_macs += macs;
    const auto* conv = std::get_if<ir::Conv2D>(&op.params);
    if (conv == nullptr) continue;
    const ir::Shape& in = graph.tensor(op.inputs[0]).shape;
    const ir::Shape& out = graph.tensor(op.output).shape;
    const ir::Window& w = conv->window;
    total_weights += static_cast<std::int64_t>(conv->weights.size());
    table += fmt::format("{:>4}  {:<10} {:>6} {:>6} {:>5} {:>5} {:>7} {:>10} {:>8}  {}\n", index,
                         role(*conv), fmt::format("{}x{}", w.kernel_h, w.kernel_w),
                         fmt::format("{}x{}", w.stride_h, w.stride_w), in.channels, out.channels,
                         fmt::format("{}x{}", out.height, out.width), macs, conv->weights.size(),
                         op.name);
    convs.push_back({{"conv", index},
                     {"name", op.name},
                     {"kind", role(*conv)},
                     {"kernel", {w.kernel_h, w.kernel_w}},
                     {"stride", {w.stride_h, w.stride_w}},
                     {"padding", {w.pad_top, w.pad_left, w.pad_bottom, w.pad_right}},
                     {"groups", conv->groups},
                     {"in", {in.height, in.width, in.channels}},
                     {"out", {out.height, out.width, out.channels}},
                     {"macs", macs},
                     {"weights", conv->weights.size()}});
    ++index;
  }
  const Extreme extremes[] = {{"head only", plan::head_only(graph)},
                              {"all biases", *plan::bias_only(graph, index)},
                              {"everything", plan::full(graph)}};
  table += fmt::format("\n{} convs, {} ops, {:.2f} M MACs, {} weights; head {} -> {}\n\n", index,
                       graph.ops.size(), static_cast<double>(total_macs) / 1e6, total_weights,
                       graph.head.features, graph.head.classes);
  Json training = Json::array();
  for (const Extreme& extreme : extremes) {
    const Bytes memory = cost::analytic_memory(extreme.plan, graph).bytes();
    const std::int64_t macs = cost::training_macs(extreme.plan, graph).total();
    table +=
        fmt::format("training {:<11} {:>12} extra memory (analytic), {:>8.2f} M MACs a sample\n",
                    extreme.name, format_bytes(memory), static_cast<double>(macs) / 1e6);
    training.push_back(
        {{"update", extreme.name}, {"analytic_bytes", memory.count}, {"step_macs", macs}});
  }
  print(options.common, options.ir ? ir::to_text(graph) : table);
  Outputs outputs;
  write_report(outputs, options.common,
               {{"schema", "espalier.inspect/1"},
                {"tool_version", kVersion},
                {"model", {{"name", graph.name}, {"sha256", graph.sha256}}},
                {"input",
                 {{"shape", {input.shape.height, input.shape.width, input.shape.channels}},
                  {"scale", ir::file_input_quantization(graph).scale},
                  {"zero_point", input.quantization.zero_point}}},
                {"macs", total_macs},
                {"weights", total_weights},
                {"head", {{"features", graph.head.features}, {"classes", graph.head.classes}}},
                {"convs", std::move(convs)},
                {"training", std::move(training)}});
  outputs.next(
      fmt::format("espalier analyze {} --train DATA --out contributions.json", options.model));
  return outputs.status();
}

}  // namespace

Command add_inspect(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CommandApp* command = add_command(app, "inspect", "Show a model's layers and what training costs",
                                    options->common, "espalier.inspect/1");
  command->add_input("model", options->model, "int8 model, TFLite or ONNX")->required();
  command->add_flag("--ir", options->ir, "Print the graph as text");
  command->effective_if(
      "--ir", [options] { return !options->common.json_on_stdout() && !options->common.quiet; },
      "the text is printed on standard output, which --quiet and --json - keep free");
  command->footer(
      "Example:\n  espalier inspect model.onnx\n"
      "docs/models.md says which models are read, and how to make one.\n"
      "Next: espalier analyze, which measures what training each part gains");
  return {command, [options] { return inspect(*options); },
          std::shared_ptr<CommonOptions>(options, &options->common)};
}

}  // namespace espalier::cli
