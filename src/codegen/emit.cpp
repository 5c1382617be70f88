#include "espalier/codegen/emit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "emission.hpp"
#include "espalier/plan/plan_json.hpp"
#include "espalier/support/file.hpp"
#include "espalier/version.hpp"

namespace espalier::codegen {
namespace {

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::string op_identifier(const ir::Graph& graph, int op) {
  if (op < 0) return "head";
  return compiler::conv_of(graph, op) != nullptr ? compiler::op_name(graph, op)
                                                 : fmt::format("op{}", op);
}

// Two programs of one name, from other plans or other options, must not be mixed: all files carry
// the hash of all their text.
void put_hash(std::map<std::string, std::string>& files) {
  std::string all;
  for (const auto& [name, text] : files) all += name + '\0' + text + '\0';
  const std::string hash = sha256_hex(all).substr(0, 16);
  for (auto& [name, text] : files) {
    for (std::size_t at = 0; (at = text.find(kHashPlaceholder, at)) != std::string::npos;) {
      text.replace(at, kHashPlaceholder.size(), hash);
    }
  }
}

std::string program_json(const Emission& c) {
  Json convs = Json::array();
  for (const compiler::TrainedConv& t : c.program.graph.trained) {
    convs.push_back({{"conv", t.conv},
                     {"bias", t.bias},
                     {"weight_channels", compiler::trained_channel_count(c.program.graph, t)}});
  }
  Json document{{"schema", kProgramSchema},
                {"tool_version", kVersion},
                {"name", c.name},
                {"model", {{"name", c.graph.name}, {"sha256", c.graph.sha256}}},
                {"plan_sha256", sha256_hex(c.plan_text)},
                {"program_hash", kHashPlaceholder},
                {"target", c.options.target.name},
                {"build", to_json(c.options.target)},
                {"sram_bytes", c.sram_bytes()},
                {"extern_arena", c.options.extern_arena},
                {"arena_bytes", c.program.arena_bytes().count},
                {"arena_lower_bound", c.program.placement.lower_bound},
                {"state_bytes", c.program.state.bytes},
                {"parameter_bytes", c.layout.bytes},
                {"input_bytes", c.input_shape().elements()},
                {"classes", c.classes()},
                {"class_names", c.graph.head.class_names},
                {"features", c.graph.head.features},
                {"convs", ir::conv_ops(c.graph).size()},
                {"accumulate", c.program.graph.accumulate},
                {"gradients", compiler::element_name(c.program.graph.gradient)},
                {"learning_rate", c.options.learning_rate},
                {"rounding", c.options.stochastic ? "stochastic" : "nearest"},
                {"seed", c.options.seed},
                {"kernel_macs", c.kernel_macs()},
                {"trained", std::move(convs)},
                {"recorded", to_json(c.options.recorded)}};
  if (c.options.clip > 0) document["clip"] = c.options.clip;
  if (!c.calls.turns.empty()) {
    document["turns"] = {{"convs", c.calls.turns.size()}, {"bytes", c.layout.turn_bytes()}};
  }
  if (c.replay.samples > 0) {
    document["replay"] = {{"bytes", c.replay.bytes},
                          {"samples", c.replay.samples},
                          {"latent_bytes", c.replay.latent_bytes}};
  }
  return json_text(document, 2) + "\n";
}

int epochs_of_head(const plan::UpdatePlan& plan) {
  const auto found = plan.recipe.find("head_epochs");
  return found != plan.recipe.end() && found->is_number_integer() ? found->get<int>() : 0;
}

}  // namespace

Emission::Emission(const compiler::Program& compiled, const plan::UpdatePlan& plan,
                   const EmitOptions& given)
    : program(compiled),
      graph(*compiled.graph.forward),
      options(given),
      name(given.name.empty() ? identifier(graph.name) : given.name),
      macro(upper(name)),
      layout(flash_layout(compiled)),
      calls(kernel_calls(compiled, layout)),
      plan_text(json_text(plan::to_json(plan), 2) + "\n"),
      head_epochs(epochs_of_head(plan)),
      replay(replay_layout(compiled, given.replay_bytes)) {}

std::string Emission::banner(std::string_view what) const {
  return fmt::format("/* {} - {}\n * Plan {}\n * Made by Espalier {}; do not edit. */\n", name,
                     what, plan_hash(), kVersion);
}

std::string Emission::plan_hash() const { return sha256_hex(plan_text).substr(0, 16); }

std::string Emission::hash_check(std::initializer_list<std::string_view> headers) const {
  std::string condition;
  for (const std::string_view header : headers) {
    condition += fmt::format("{}{}_{}HASH != 0x{}ull", condition.empty() ? "" : " || \\\n    ",
                             macro, header, kHashPlaceholder);
  }
  return fmt::format(
      "#if {}\n#error \"the files of {} come from different programs: compile its plan again and "
      "take all of them\"\n#endif\n\n",
      condition, name);
}

std::map<std::string, std::int64_t> Emission::kernel_macs() const {
  std::map<std::string, std::int64_t> macs;
  for (const auto* nodes : {&calls.nodes, &calls.update}) {
    for (const auto& node : *nodes) {
      for (const KernelCall& call : node) {
        macs[std::string(runtime::kernel_name(call.kernel))] += call.macs;
      }
    }
  }
  return macs;
}

std::vector<runtime::Kernel> Emission::kernels() const {
  std::map<std::string_view, runtime::Kernel> used;
  for (const auto* nodes : {&calls.nodes, &calls.update}) {
    for (const auto& node : *nodes) {
      for (const KernelCall& call : node) used[runtime::kernel_name(call.kernel)] = call.kernel;
    }
  }
  std::vector<runtime::Kernel> kernels;
  for (const auto& entry : used) kernels.push_back(entry.second);
  return kernels;
}

std::string float_literal(float value) {
  std::string text = fmt::format("{:.9g}", value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text + "f";
}

std::string item_name(const ir::Graph& graph, FlashRole role, int op) {
  const std::string_view suffix = flash_kind(role).suffix;
  if (!suffix.empty() && !suffix.starts_with('_')) return std::string(suffix);
  return op_identifier(graph, op) + std::string(suffix);
}

std::string item_name(const ir::Graph& graph, compiler::StateRole role, int op) {
  const std::string_view suffix = compiler::state_suffix(role);
  if (!suffix.starts_with('_')) return std::string(suffix);
  return op_identifier(graph, op) + std::string(suffix);
}

std::map<std::string, std::string> emit(const compiler::Program& program,
                                        const plan::UpdatePlan& plan, const EmitOptions& options) {
  const Emission c(program, plan, options);
  std::map<std::string, std::string> files;
  files[c.name + ".c"] = source_text(c);
  files[c.name + ".h"] = header_text(c);
  files[c.name + "_params.h"] = parameter_header_text(c);
  files[c.name + "_params.c"] = parameters_text(c);
  files[c.name + "_kernels.h"] = kernels_text(c);
  files["Makefile"] = makefile(options.target, c.name);
  files["README.md"] = readme_text(c);
  files["plan.json"] = c.plan_text;
  files["program.json"] = program_json(c);
  files.merge(package_files(c));
  put_hash(files);
  return files;
}

std::vector<std::string> file_names(const std::string& name) {
  if (name.empty() || name.find('/') != std::string::npos) return {};
  std::vector<std::string> names{"Makefile", "README.md", "plan.json", "program.json"};
  for (const char* suffix : {".c", ".h", "_params.h", "_params.c", "_kernels.h"}) {
    names.push_back(name + suffix);
  }
  return names;
}

}  // namespace espalier::codegen
