// espalier plan import|make|rotate|show: update plans by hand and for people.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <string>
#include <vector>

#include "command.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/cost/analytic_memory.hpp"
#include "espalier/cost/training_macs.hpp"
#include "espalier/data/classes.hpp"
#include "espalier/plan/plan_json.hpp"
#include "espalier/plan/published.hpp"
#include "espalier/support/file.hpp"
#include "espalier/version.hpp"

namespace espalier::cli {
namespace {

struct Options {
  CommonOptions common;
  std::string model;
  std::string plan;
  std::string published;
  std::string out;
  bool head_only = false;
  bool full = false;
  int bias = -1;
  int last = -1;
  std::string classes;
  bool as_published = false;
  HeadOptions head;
};

// SRAM of training on the device, all but the stack, stage by stage of the method.
struct Stages {
  Bytes full;     // everything trained, no pass but memory planning
  Bytes pruned;   // the plan, pruned and sliced
  Bytes planned;  // the plan, with all passes: what is deployed
  Bytes arena;    // of `planned`
  Bytes state;    // of `planned`
};

Result<Stages> stages_of(const plan::UpdatePlan& plan, const ir::Graph& graph) {
  const auto sram = [&](const plan::UpdatePlan& of, compiler::PassSet set) {
    compiler::CompileOptions options;
    options.passes = set;
    return compiler::compile(graph, of, options);
  };
  constexpr std::string_view kPruning[] = {"prune", "slice"};
  ESPALIER_TRY(const compiler::PassSet pruning, compiler::only(kPruning));
  ESPALIER_TRY(const compiler::Program full, sram(plan::full(graph), 0));
  ESPALIER_TRY(const compiler::Program pruned, sram(plan, pruning));
  ESPALIER_TRY(const compiler::Program all, sram(plan, compiler::kAllPasses));
  return Stages{full.sram_bytes(), pruned.sram_bytes(), all.sram_bytes(), all.arena_bytes(),
                Bytes{all.state.bytes}};
}

// What --classes says of the data: how many classes, or their names.
Result<std::vector<std::string>> classes_of(const std::string& text) {
  constexpr std::size_t kMost = 32767;
  std::vector<std::string> names;
  if (text.empty()) return names;
  const auto wrong = [&](std::string_view why) {
    return Error{
        ErrorKind::kUsage,
        fmt::format("--classes {}: {}; give their number, 2 to {}, or their names, such as "
                    "cat,dog",
                    text, why, kMost)};
  };
  if (text.find_first_not_of("0123456789") == std::string::npos) {
    const std::size_t count = text.size() > 5 ? kMost + 1 : std::stoul(text);
    if (count < 2 || count > kMost) return wrong("is no number of classes");
    return data::class_numbers(static_cast<int>(count));
  }
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    names.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  if (names.size() < 2) return wrong("names one class");
  for (auto name = names.begin(); name != names.end(); ++name) {
    if (name->empty()) return wrong("a name is missing");
    if (std::find(names.begin(), name, *name) != name) return wrong("a name stands there twice");
  }
  return names;
}

Status save(const Options& options, plan::UpdatePlan plan, const ir::Graph& graph) {
  const Bytes memory = cost::analytic_memory(plan, graph).bytes();
  plan.memory["analytic"] = memory;
  plan.tool_version = kVersion;
  Outputs outputs;
  outputs.add(options.out, plan::save_plan(options.out, plan));
  if (options.out != "-") {
    print(
        options.common,
        fmt::format("{}: biases of the last {} convs, weights of {}, {} extra memory (analytic)\n",
                    options.out, plan.bias_depth, plan.weights.size(), format_bytes(memory)));
  }
  write_report(outputs, options.common, plan::to_json(plan));
  const std::string model = shell_word(options.model);
  const std::string file = file_word(options.out, "PLAN");
  outputs.next(
      fmt::format("espalier train {} --plan {} --train DATA --test DATA, or espalier plan "
                  "show {} --model {}",
                  model, file, file, model));
  return outputs.status();
}

Status make(const Options& options) {
  const int chosen = (options.head_only ? 1 : 0) + (options.full ? 1 : 0) +
                     (options.bias >= 0 ? 1 : 0) + (options.last >= 0 ? 1 : 0);
  if (chosen != 1) {
    return Error{ErrorKind::kUsage, "give one of --head-only, --bias K, --last K, --full"};
  }
  ESPALIER_TRY(const ir::Graph graph, read_model(options.model));
  plan::UpdatePlan plan = options.full ? plan::full(graph) : plan::head_only(graph);
  if (options.bias >= 0) {
    ESPALIER_TRY(plan, plan::bias_only(graph, options.bias));
  } else if (options.last >= 0) {
    ESPALIER_TRY(plan, plan::last_k(graph, options.last));
  }
  ESPALIER_TRY(plan.classes, classes_of(options.classes));
  return save(options, std::move(plan), graph);
}

// --published takes the notation itself, which has braces, or the name of a file.
bool is_file_name(const std::string& text) { return text.find('{') == std::string::npos; }

Status import_published(const Options& options) {
  std::string text = options.published;
  std::string where = "--published";
  if (is_file_name(options.published)) {
    ESPALIER_TRY(text, read_file(options.published));
    where = options.published;
  }
  ESPALIER_TRY(const Json document, parse_json(text, where));
  ESPALIER_TRY(const ir::Graph graph, read_model(options.model));
  ESPALIER_TRY(plan::UpdatePlan plan, plan::from_published(graph, document, where));
  ESPALIER_TRY(plan.classes, classes_of(options.classes));
  return save(options, std::move(plan), graph);
}

Status rotate(const Options& options) {
  ESPALIER_TRY(const ir::Graph graph, read_model(options.model));
  ESPALIER_TRY(plan::UpdatePlan plan, plan::load_plan(options.plan, graph));
  const std::vector<plan::WeightUpdate> before = plan.weights;
  plan::add_rotation(plan, graph);
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (plan.weights[i].channels == before[i].channels) continue;
    spdlog::warn(
        "{}: conv {} begins with the channels of the largest norm, in place of those it has",
        options.plan, before[i].conv);
  }
  if (!plan::rotates(plan)) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: no conv trains a part of its channels, so none can take turns",
                             options.plan)};
  }
  // That was of the plan as it came.
  plan.measured = Json();
  plan.memory.clear();
  plan.predicted_gain.reset();
  plan.gain_metric.clear();
  plan.budget.reset();
  return save(options, std::move(plan), graph);
}

Json to_json(const cost::ConvMemory& m) {
  return {{"conv", m.conv},
          {"bias_bits", m.bias_bits},
          {"weight_bits", m.weight_bits},
          {"mask_bits", m.mask_bits},
          {"input_bits", m.input_bits},
          {"total_bits", m.total_bits()},
          {"total_bytes", static_cast<double>(m.total_bits()) / 8}};
}

// Such as `18 of 144`, and of channels that take turns `18 of 144 x8`.
std::string channels_text(const plan::UpdatePlan& plan, int conv, int in_channels) {
  const auto channels = plan::trained_channels(plan, conv);
  if (!channels) return "-";
  const std::int64_t turns = plan::turns(plan, conv);
  return fmt::format("{} of {}{}", channels->size(), in_channels,
                     turns > 1 ? fmt::format(" x{}", turns) : "");
}

Status show(const Options& options) {
  ESPALIER_TRY(ir::Graph graph, read_model(options.model));
  ESPALIER_TRY(const plan::UpdatePlan plan, plan::load_plan(options.plan, graph));
  if (options.as_published) {
    if (plan::rotates(plan)) {
      spdlog::warn("{}: its channels take turns, which the published notation does not hold",
                   options.plan);
    }
    Outputs outputs;
    const std::string path = options.common.json.empty() ? "-" : options.common.json;
    outputs.add(path, write_json(path, plan::to_published(plan)));
    return outputs.status();
  }
  ESPALIER_TRY(graph.head, options.head.make(graph, options.common.seed, options.plan,
                                             static_cast<int>(plan.classes.size())));
  const cost::AnalyticMemory memory = cost::analytic_memory(plan, graph);
  const cost::TrainingMacs macs = cost::training_macs(plan, graph);
  const std::vector<int> convs = ir::conv_ops(graph);
  std::string table = fmt::format(
      "{}: biases of the last {} of {} convs, weights of {}\n\n{:>4}  {:>13}  {:>9} "
      "{:>9} {:>9} {:>9} {:>10}\n",
      graph.name, plan.bias_depth, convs.size(), plan.weights.size(), "conv", "channels", "bias B",
      "weight B", "mask B", "input B", "total B");
  Json rows = Json::array();
  for (const cost::ConvMemory& conv : memory.convs) {
    const int in_channels = ir::conv(graph, convs[static_cast<std::size_t>(conv.conv)]).in_channels;
    table += fmt::format("{:>4}  {:>13}  {:>9} {:>9} {:>9.2f} {:>9} {:>10.2f}\n", conv.conv,
                         channels_text(plan, conv.conv, in_channels), conv.bias_bits / 8,
                         conv.weight_bits / 8, static_cast<double>(conv.mask_bits) / 8,
                         conv.input_bits / 8, static_cast<double>(conv.total_bits()) / 8);
    rows.push_back(to_json(conv));
  }
  table += fmt::format("{:>4}  {:>13}  {:>39}  {:>10}\n\n", "head", "", "", memory.head_bits / 8);
  table += fmt::format("extra memory {} ({} bits) analytic; {:.2f} M MACs a training step\n",
                       format_bytes(memory.bytes()), memory.total_bits,
                       static_cast<double>(macs.total()) / 1e6);
  const Result<Stages> stages = stages_of(plan, graph);
  Json planned(nullptr);
  if (stages.ok()) {
    const auto row = [&](std::string_view what, Bytes bytes, Bytes before) {
      const double reduction = static_cast<double>(before.count) / static_cast<double>(bytes.count);
      return fmt::format("  {:<44} {:>10}  {:>5.2f}x\n", what, bytes.count, reduction);
    };
    table += fmt::format(
        "SRAM of training on the device, {} classes, gradients in float, the input resident, all "
        "but the stack, bytes:\n",
        graph.head.classes);
    table += row("full update, no pass but memory planning", stages->full, stages->full);
    table += row("this plan, pruned and sliced", stages->pruned, stages->full);
    table += row("this plan, also reordered, in place, streamed", stages->planned, stages->pruned);
    table += fmt::format(
        "  in all {:.2f}x; planned {} = arena {} + state {}\n",
        static_cast<double>(stages->full.count) / static_cast<double>(stages->planned.count),
        stages->planned.count, stages->arena.count, stages->state.count);
    planned = {{"classes", graph.head.classes},        {"full_update_bytes", stages->full.count},
               {"pruned_bytes", stages->pruned.count}, {"planned_bytes", stages->planned.count},
               {"arena_bytes", stages->arena.count},   {"state_bytes", stages->state.count}};
  } else {
    table += fmt::format("cannot be compiled for a device: {}\n", stages.error().message());
  }
  print(options.common, table);
  return write_report(
      options.common,
      {{"schema", "espalier.plan_memory/1"},
       {"tool_version", kVersion},
       {"plan", plan::to_json(plan)},
       {"analytic_bits",
        {{"total", memory.total_bits}, {"head", memory.head_bits}, {"convs", std::move(rows)}}},
       {"analytic_bytes", memory.bytes().count},
       {"planned", std::move(planned)},
       {"step_macs",
        {{"forward", macs.forward},
         {"input_gradient", macs.input_gradient},
         {"weight_gradient", macs.weight_gradient},
         {"total", macs.total()}}}},
      fmt::format("espalier train {} --plan {} --train DATA --test DATA, or espalier compile {} "
                  "--plan {} --out FOLDER",
                  shell_word(options.model), shell_word(options.plan), shell_word(options.model),
                  shell_word(options.plan)));
}

}  // namespace

Command add_plan(CLI::App& app) {
  // The three forms share one set of options and flags.
  const auto o = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("plan", "Make, import and show update plans");
  command->require_subcommand(1);
  command->footer("Example:\n  espalier plan show plan.json --model model.onnx");

  const std::string_view schema = plan::kPlanSchema;
  const auto plan_file = [schema] { return json_format(schema); };
  CommandApp* make_command =
      add_command(*command, "make", "Make a plan by rule", o->common, schema);
  make_command->add_input("model", o->model, "int8 model, TFLite or ONNX")->required();
  make_command->add_flag("--head-only", o->head_only, "Train the head alone");
  make_command->add_option("--bias", o->bias, "Train the biases of the last K convs")
      ->check(at_least_0());
  make_command->add_option("--last", o->last, "Train biases and weights of the last K convs")
      ->check(at_least_0());
  make_command->add_flag("--full", o->full, "Train everything");
  const auto add_classes = [o](CommandApp* to) {
    to->add_option("--classes", o->classes,
                   "Classes of the data it is for, which `compile` and `plan show` then take: how "
                   "many, or their names, such as cat,dog");
  };
  add_classes(make_command);
  make_command->add_output("--out", o->out, plan_file, "Where the plan goes, or -")->required();
  make_command->footer("Example:\n  espalier plan make model.onnx --last 3 --out plan.json");

  CommandApp* import_command =
      add_command(*command, "import", "Read a plan in the published notation", o->common, schema);
  import_command->add_input("model", o->model, "int8 model, TFLite or ONNX")->required();
  import_command
      ->add_option("--published", o->published,
                   "The notation as JSON text, or a file that holds it")
      ->required();
  import_command->reads([o] {
    std::vector<std::filesystem::path> files;
    if (is_file_name(o->published)) files.emplace_back(o->published);
    return files;
  });
  add_classes(import_command);
  import_command->add_output("--out", o->out, plan_file, "Where the plan goes, or -")->required();
  import_command->footer(
      "Example:\n  espalier plan import model.onnx --out plan.json --published \\\n"
      "    '{\"n_bias_update\": 22, \"manual_weight_idx\": [21, 24], "
      "\"weight_update_ratio\": [1, 0.25]}'");

  CommandApp* rotate_command = add_command(
      *command, "rotate", "Let the channels of partly trained convs take turns", o->common, schema);
  rotate_command->add_input("plan", o->plan, "Update plan (espalier.plan/1)")->required();
  rotate_command->add_input("--model", o->model, "The model the plan is for")->required();
  rotate_command->add_output("--out", o->out, plan_file, "Where the plan goes, or -")->required();
  rotate_command->footer(
      "Another set of as many channels trains in each epoch, in descending norm, until the first\n"
      "comes again: more is trained in the same memory.\n"
      "Example:\n  espalier plan rotate plan.json --model model.onnx --out turns.json");

  CommandApp* show_command =
      add_command(*command, "show", "Show a plan and its memory, conv by conv", o->common, [o] {
        return o->as_published
                   ? text_format("a plan in the published notation", "{\n  \"n_bias_update\"")
                   : json_format("espalier.plan_memory/1");
      });
  show_command->add_input("plan", o->plan, "Update plan (espalier.plan/1)")->required();
  show_command->add_input("--model", o->model, "The model the plan is for")->required();
  o->head.add_classes(show_command);
  show_command->add_flag("--published", o->as_published,
                         "Print the plan in the published notation");
  show_command->effective_if(
      "--classes", [o] { return !o->as_published; }, "the published notation does not hold it");
  show_command->footer("Example:\n  espalier plan show plan.json --model model.onnx");

  for (CommandApp* each : {make_command, import_command, rotate_command, show_command}) {
    each->effective_if(
        "--seed", [] { return false; }, "nothing is drawn at random");
  }
  const auto run = [=] {
    if (make_command->parsed()) return make(*o);
    if (rotate_command->parsed()) return rotate(*o);
    return import_command->parsed() ? import_published(*o) : show(*o);
  };
  return {command, run, std::shared_ptr<CommonOptions>(o, &o->common)};
}

}  // namespace espalier::cli
