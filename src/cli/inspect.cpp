// espalier inspect MODEL: what a model holds and what training it would cost.
#include <fmt/format.h>

#include "command.hpp"
#include "espalier/cost/inspection.hpp"
#include "espalier/support/bytes.hpp"

namespace espalier::cli {
namespace {

struct Options {
  CommonOptions common;
  std::string model;
  bool ir = false;
};

std::string side_by_side(const Json& pair) {
  return fmt::format("{}x{}", pair[0].get<int>(), pair[1].get<int>());
}

// The document for people.
std::string table(const Json& document, const ir::Graph& graph) {
  const Json& shape = document["input"]["shape"];
  std::string text = fmt::format(
      "{}  input {}x{}x{}  SHA-256 {:.12}\n\n{:>4}  {:<10} {:>6} {:>6} {:>5} {:>5} {:>7} {:>10} "
      "{:>8}  {}\n",
      graph.name, shape[0].get<int>(), shape[1].get<int>(), shape[2].get<int>(), graph.sha256,
      "conv", "kind", "kernel", "stride", "in", "out", "map", "MACs", "weights", "name");
  for (const Json& conv : document["convs"]) {
    text += fmt::format("{:>4}  {:<10} {:>6} {:>6} {:>5} {:>5} {:>7} {:>10} {:>8}  {}\n",
                        conv["conv"].get<int>(), conv["kind"].get<std::string>(),
                        side_by_side(conv["kernel"]), side_by_side(conv["stride"]),
                        conv["in"][2].get<int>(), conv["out"][2].get<int>(),
                        side_by_side(conv["out"]), conv["macs"].get<std::int64_t>(),
                        conv["weights"].get<std::int64_t>(), conv["name"].get<std::string>());
  }
  text +=
      fmt::format("\n{} convs, {} ops, {:.2f} M MACs, {} weights; head {} -> {}\n\n",
                  document["convs"].size(), graph.ops.size(), document["macs"].get<double>() / 1e6,
                  document["weights"].get<std::int64_t>(), graph.head.features, graph.head.classes);
  for (const Json& extreme : document["training"]) {
    text +=
        fmt::format("training {:<11} {:>12} extra memory (analytic), {:>8.2f} M MACs a sample\n",
                    extreme["update"].get<std::string>(),
                    format_bytes(Bytes{extreme["analytic_bytes"].get<std::int64_t>()}),
                    extreme["step_macs"].get<double>() / 1e6);
  }
  return text;
}

Status inspect(const Options& options) {
  ESPALIER_TRY(const ir::Graph graph, read_model(options.model));
  const Json document = cost::inspection(graph);
  print(options.common, options.ir ? ir::to_text(graph) : table(document, graph));
  Outputs outputs;
  write_report(outputs, options.common, document);
  outputs.next(fmt::format("espalier analyze {} --train DATA --out contributions.json",
                           shell_word(options.model)));
  return outputs.status();
}

}  // namespace

Command add_inspect(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CommandApp* command = add_command(app, "inspect", "Show a model's layers and what training costs",
                                    options->common, cost::kInspectSchema);
  command->add_input("model", options->model, "int8 model, TFLite or ONNX")->required();
  command->add_flag("--ir", options->ir, "Print the graph as text");
  command->effective_if(
      "--ir", [options] { return !options->common.json_on_stdout() && !options->common.quiet; },
      "the text is printed on standard output, which --quiet and --json - keep free");
  command->effective_if(
      "--seed", [] { return false; }, "nothing is drawn at random");
  command->footer(
      "Example:\n  espalier inspect model.onnx\n"
      "docs/models.md says which models are read, and how to make one.\n"
      "Next: espalier analyze, which measures what training each part gains");
  return {command, [options] { return inspect(*options); },
          std::shared_ptr<CommonOptions>(options, &options->common)};
}

}  // namespace espalier::cli
