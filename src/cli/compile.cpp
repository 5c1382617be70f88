// espalier compile MODEL --plan plan.json --out DIR: a self-contained folder of C99.
#include "espalier/compiler/compile.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <map>
#include <optional>

#include "command.hpp"
#include "espalier/codegen/cycle_model.hpp"
#include "espalier/codegen/packages.hpp"
#include "espalier/compiler/chrome_trace.hpp"
#include "espalier/compiler/latent.hpp"
#include "espalier/cost/device_profile.hpp"
#include "espalier/data/preprocess.hpp"
#include "espalier/device/fit.hpp"
#include "espalier/engine/calibrate.hpp"
#include "espalier/engine/emit_recorded.hpp"
#include "espalier/ir/input.hpp"
#include "espalier/plan/plan_json.hpp"
#include "espalier/support/file.hpp"
#include "espalier/support/folder.hpp"
#include "espalier/train/sample_store.hpp"
#include "espalier/train/session.hpp"
#include "espalier/trials/sets.hpp"
#include "espalier/trials/trial.hpp"
#include "espalier/version.hpp"

namespace espalier::cli {
namespace {

struct Options {
  CommonOptions common;
  HeadOptions head;
  std::string model;
  std::string plan;
  std::string out;
  std::string name;
  std::string target;
  std::string kernels = "auto";
  std::string device;
  std::string stack = "4KiB";
  std::string rounding = "stochastic";
  std::string arena = "own";
  std::string input = "resident";
  std::string sram;
  std::string replay;
  std::string preprocess;
  std::string training;
  std::string train_preprocess;  // of the data alone; empty: as `preprocess`
  std::string package;
  std::string emit_ir;
  std::string dump_passes;
  std::string trace;
  std::string problem;
  std::vector<std::string> disabled;
  std::string numerics = "device";
  int accumulate = 1;
  int gradient_bits = 8;
  std::optional<double> learning_rate;
  std::optional<int> clip;
};

// What came of it.
struct Compiled {
  const plan::UpdatePlan& plan;
  const compiler::Program& program;
  std::string target;
  codegen::FlashLayout constants;
  bool kept = false;             ///< the model's own classifier
  device::BesideProgram beside;  ///< of the firmware's SRAM

  [[nodiscard]] const ir::Graph& graph() const { return *program.graph.forward; }
  [[nodiscard]] std::int64_t sram_bytes() const {
    return program.sram_bytes().count + beside.pointer.count;
  }
};

// To an arena that the firmware gives.
Bytes pointer_of(const Options& options) {
  return Bytes{options.arena == "extern" ? codegen::kArenaPointerBytes : 0};
}

Status check_device(const Options& options, const Compiled& made) {
  ESPALIER_TRY(const Bytes stack, parse_size(options.stack, "--stack"));
  ESPALIER_TRY(const cost::DeviceProfile device, cost::find_device(options.device));
  if (!device::runs(device, codegen::target_named(made.target))) {
    return Error{ErrorKind::kInfeasible,
                 fmt::format("--target {}: {} has '{}' and does not run what that makes; {}",
                             made.target, device.name, device.isa,
                             device.target.empty() ? "use --target host, which is portable C"
                                                   : "leave --target out for " + device.target)};
  }
  return device::fits(made.program, Bytes{made.constants.bytes}, made.beside, device, stack);
}

std::vector<std::string> buffer_names(const compiler::Program& program) {
  std::vector<std::string> names;
  for (const compiler::ValueId id : program.arena.value_of_buffer) {
    names.push_back(compiler::value_name(program.graph, id));
  }
  return names;
}

// Where and when each value of the arena lives, in the steps of one training step.
Json arena_json(const compiler::Program& program) {
  const std::vector<std::string> names = buffer_names(program);
  Json values = Json::array();
  for (std::size_t i = 0; i < names.size(); ++i) {
    const compiler::BufferLifetime& buffer = program.arena.problem.buffers[i];
    values.push_back({{"name", names[i]},
                      {"offset", program.placement.offsets[i]},
                      {"bytes", buffer.bytes},
                      {"first_step", buffer.first},
                      {"last_step", buffer.last}});
  }
  return {{"steps", compiler::step_names(program)},
          {"backward_begin", program.graph.backward_begin},
          {"values", std::move(values)}};
}

// What runs again, and what that costs.
Json recomputed_json(const compiler::Program& program) {
  const ir::Graph& graph = *program.graph.forward;
  const auto name = [&](int op) { return graph.ops[static_cast<std::size_t>(op)].name; };
  Json all = Json::array();
  for (const compiler::Stretch& stretch : program.recomputed) {
    all.push_back({{"first", name(stretch.first)},
                   {"last", name(stretch.last)},
                   {"macs", compiler::macs(graph, stretch)}});
  }
  return all;
}

// What each step has to do, as far as cycles depend on it.
Json work_json(const compiler::TrainingGraph& graph) {
  Json list = Json::array();
  for (const codegen::Work& work : codegen::work_of(graph)) {
    Json row{{"form", work.form}};
    for (std::size_t i = 0; i < work.amounts.size(); ++i) {
      row[std::string(codegen::kAmountNames[i])] = work.amounts[i];
    }
    list.push_back(std::move(row));
  }
  return list;
}

Status write_text(const std::string& path, const std::string& text) {
  if (path == "-") {
    std::fputs(text.c_str(), stdout);
    return Ok{};
  }
  return write_file_atomic(path, text);
}

// What the compiler tells on its way: a row for each pass, and the graph behind it.
struct PassLog {
  Json rows = Json::array();
  std::map<std::string, std::string> dumps;  // by file name

  void add(const compiler::PassReport& report, const compiler::TrainingGraph& training, bool dump) {
    const std::string name(report.name.empty() ? "differentiate" : report.name);
    const compiler::MemoryProblem problem = compiler::arena_problem(training).problem;
    const std::int64_t load = compiler::lower_bound(problem);
    spdlog::debug("{:<14} {:>5} nodes, {:>9} bytes at the peak, {:.0f} us", name, report.nodes,
                  load, report.seconds * 1e6);
    if (dump) {
      dumps[fmt::format("{:02}-{}.txt", rows.size(), name)] = compiler::to_text(training);
    }
    rows.push_back({{"pass", name},
                    {"nodes", report.nodes},
                    {"peak_load_bytes", load},
                    {"seconds", report.seconds}});
  }
};

// Such as 03-reorder.txt.
bool is_dump(std::string_view name) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return name.size() > 7 && digit(name[0]) && digit(name[1]) && name[2] == '-' &&
         name.ends_with(".txt");
}

// What --target says, otherwise the device's, otherwise this machine.
Result<std::string> target_name(const Options& options) {
  if (!options.target.empty()) return options.target;
  if (options.device.empty()) return std::string("host");
  ESPALIER_TRY(const cost::DeviceProfile device, cost::find_device(options.device));
  if (device.target.empty()) {
    spdlog::info("{} names no target: this is portable C with plain kernels, as for the host",
                 device.name);
    return std::string("host");
  }
  if (codegen::find_target(device.target) == nullptr) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: there is no target '{}'; name one of espalier compile --help",
                             device.name, device.target)};
  }
  return device.target;
}

// The row of the target, with the kernels of --kernels.
codegen::Target target_of(const Options& options, const std::string& name) {
  codegen::Target target = codegen::target_named(name);
  if (options.kernels == "plain") {
    target.overlays.clear();
    target.dot_product = false;
    target.load_dot = false;
  }
  if (options.kernels == "blocked" && target.overlays.empty()) target.overlays = {"blocked"};
  return target;
}

std::vector<std::string> target_names() {
  std::vector<std::string> names;
  for (const codegen::Target& target : codegen::targets()) names.push_back(target.name);
  return names;
}

// What --replay says; without C there is none.
Result<std::optional<Bytes>> given_replay(const Options& options) {
  if (options.replay.empty() || options.out.empty()) return std::optional<Bytes>();
  ESPALIER_TRY(const Bytes given, parse_size(options.replay, "--replay"));
  return std::optional(given);
}

// Of these what the firmware has to give: whole samples, at least one.
Result<Bytes> replay_memory(const Options& options, const compiler::Program& program) {
  ESPALIER_TRY(const std::optional<Bytes> given, given_replay(options));
  if (!given) return Bytes{0};
  ESPALIER_CHECK_OK(codegen::check_replay(program, *given));
  return Bytes{codegen::replay_layout(program, given->count).bytes};
}

// What --sram leaves for the program: steps write the replay memory, so that it lies there, too.
Result<Bytes> sram_of_program(const Options& options) {
  ESPALIER_TRY(const Bytes all, parse_size(options.sram, "--sram"));
  ESPALIER_TRY(const std::optional<Bytes> replay, given_replay(options));
  const std::int64_t taken = replay.value_or(Bytes{0}).count;
  const std::int64_t left = all.count - taken - pointer_of(options).count;
  if (taken == 0 || left > 0) return Bytes{std::max<std::int64_t>(left, 0)};
  return Error{
      ErrorKind::kInfeasible,
      fmt::format("--sram: of {} bytes --replay takes {} and leaves nothing to the program",
                  all.count, taken)};
}

// Why the program does not fit: --sram may have been shared.
Error with_shares(const Options& options, Error error) {
  const auto replay = given_replay(options);
  if (error.kind != ErrorKind::kInfeasible || options.sram.empty() || !replay.ok()) return error;
  if (replay->value_or(Bytes{0}).count > 0) {
    error.diagnostics.back() +=
        fmt::format(", the {} bytes of --replay taken off --sram", (*replay)->count);
  }
  if (pointer_of(options).count > 0) {
    error.diagnostics.back() += fmt::format(", the {} of a pointer to the arena taken off --sram",
                                            pointer_of(options).count);
  }
  return error;
}

// Tables of --preprocess, as training has them for pictures; none without.
Result<std::vector<codegen::PixelTable>> pixel_tables(const Options& options,
                                                      const ir::Graph& graph) {
  std::vector<codegen::PixelTable> tables;
  if (options.preprocess.empty()) return tables;
  ESPALIER_TRY(const data::Preprocess preprocess, data::parse_preprocess(options.preprocess));
  const ir::Shape& shape = graph.tensor(graph.input).shape;
  const ir::Quantization quantization = ir::file_input_quantization(graph);
  ESPALIER_TRY(const data::InputPipeline pipeline,
               data::make_pipeline(preprocess, shape.height, shape.width, shape.channels,
                                   quantization.scale, quantization.zero_point));
  for (int channel = 0; channel < shape.channels; ++channel) {
    tables.push_back(pipeline.table(channel));
  }
  return tables;
}

// The exponents that integer gradients start from: those that fit some of the training data, as it
// is trained on, or random inputs.
Status calibrate(const Options& options, const ir::Graph& graph, const plan::UpdatePlan& plan,
                 compiler::Program& program) {
  constexpr std::int64_t kMost = 16;
  if (options.training.empty()) {
    engine::calibrate(program);
    return Ok{};
  }
  const std::string& given =
      options.train_preprocess.empty() ? options.preprocess : options.train_preprocess;
  ESPALIER_TRY(trials::SetOptions sets,
               trials::set_options(given.empty() ? "auto" : given, "", true, options.common.seed));
  sets.names = plan.classes;
  ESPALIER_TRY(data::Dataset dataset, trials::open_selected(options.training, 0, sets));
  if (dataset.size() > kMost) {
    ESPALIER_TRY(dataset, trials::open_selected(options.training, kMost, sets));
  }
  if (!graph.head.class_names.empty()) {
    ESPALIER_TRY(dataset,
                 trials::with_classes(std::move(dataset), graph.head.class_names, options.plan));
  }
  ESPALIER_TRY(const data::Samples samples,
               trials::bind_samples(graph, std::move(dataset), sets.preprocess));
  if (samples.classes() != graph.head.classes) {
    return Error{
        ErrorKind::kUsage,
        fmt::format("--train {}: {} classes, but {} are compiled for; give other data or "
                    "--classes {}",
                    options.training, samples.classes(), graph.head.classes, samples.classes())};
  }
  const train::Network network(graph);
  ESPALIER_TRY(const auto store,
               train::SampleStore::from_samples(network, samples, options.common.job_count()));
  train::Recipe recipe;
  recipe.seed = options.common.seed;
  engine::calibrate(program, network, plan, *store, recipe);
  return Ok{};
}

// What --lr and --clip say, otherwise the recipe that the plan was found with.
Result<train::Recipe> recipe_of(const Options& options, const plan::UpdatePlan& plan) {
  train::Recipe recipe;
  if (!plan.recipe.is_null()) {
    ESPALIER_TRY(recipe, train::recipe_from_json(plan.recipe, options.plan + ": recipe"));
  }
  if (!recipe.qas && !options.learning_rate && !options.out.empty()) {
    return Error{ErrorKind::kUsage,
                 fmt::format("{}: its recipe's rate of {} is for gradients without "
                             "quantisation-aware scaling, and the device always scales them; give "
                             "--lr",
                             options.plan, recipe.learning_rate)};
  }
  recipe.learning_rate = options.learning_rate.value_or(recipe.learning_rate);
  recipe.clip = options.clip.value_or(recipe.clip);
  ESPALIER_CHECK_OK(train::check(recipe));
  return recipe;
}

codegen::EmitOptions emit_options(const Options& options, const std::string& target,
                                  const train::Recipe& recipe) {
  codegen::EmitOptions emit;
  emit.name = options.name;
  emit.target = target_of(options, target);
  emit.package = options.package;
  emit.extern_arena = options.arena == "extern";
  emit.stochastic = options.rounding == "stochastic";
  emit.seed = static_cast<std::uint32_t>(options.common.seed);
  emit.learning_rate = static_cast<float>(recipe.learning_rate);
  emit.clip = recipe.clip;
  return emit;
}

// Says what the C has of the recipe that the plan was found with.
void tell_of_recipe(const Options& options, const plan::UpdatePlan& plan,
                    const train::Recipe& recipe, const codegen::EmitOptions& emit) {
  if (plan.recipe.is_null()) return;
  if (!options.learning_rate) {
    spdlog::info("learning rate {} of the plan's recipe; --lr gives another", emit.learning_rate);
  }
  if (!options.clip && emit.clip > 0) {
    spdlog::info("updates clipped at {}, as the plan's recipe; --clip gives another", emit.clip);
  }
  tell_of_updates(recipe, options.accumulate);
}

void write_listings(Outputs& outputs, const Options& options, const compiler::Program& program) {
  if (!options.emit_ir.empty()) {
    outputs.add(options.emit_ir, write_text(options.emit_ir, compiler::to_text(program.graph)));
  }
  if (!options.trace.empty()) {
    outputs.add(
        options.trace,
        write_text(options.trace,
                   compiler::chrome_trace(program.arena.problem, program.placement,
                                          buffer_names(program), compiler::step_names(program))));
  }
  if (!options.problem.empty()) {
    outputs.add(options.problem, write_text(options.problem, compiler::to_csv(program.arena.problem,
                                                                              buffer_names(program),
                                                                              &program.placement)));
  }
}

std::string recomputed_text(const compiler::Program& program) {
  std::int64_t macs = 0;
  for (const compiler::Stretch& stretch : program.recomputed) {
    macs += compiler::macs(*program.graph.forward, stretch);
  }
  if (program.recomputed.empty()) return "";
  return fmt::format("; to fit --sram, parts of the forward pass run again: {} MACs a step", macs);
}

std::string turns_text(const codegen::FlashLayout& constants) {
  if (constants.turn_bytes() == 0) return "";
  return fmt::format(", {} of these written when the turn changes", constants.turn_bytes());
}

std::string beside_text(const device::BesideProgram& beside) {
  std::string text;
  if (beside.pointer.count > 0) text += fmt::format(" + pointer {}", beside.pointer.count);
  if (beside.replay.count > 0) {
    text += fmt::format(", and {} of replay memory from the firmware", beside.replay.count);
  }
  return text;
}

std::string summary(const Options& options, const Compiled& made) {
  const compiler::Program& program = made.program;
  const double ratio =
      static_cast<double>(program.placement.peak) /
      static_cast<double>(std::max<std::int64_t>(1, program.placement.lower_bound));
  return fmt::format(
      "{}{} classes; SRAM {} = arena {} + state {}{}; arena is {:.3f} of its lower bound; "
      "constants {} of flash{}; the classifier starts {}{}\n",
      options.out.empty() ? "" : options.out + ": ", made.graph().head.classes, made.sram_bytes(),
      program.arena_bytes().count, program.state.bytes, beside_text(made.beside), ratio,
      made.constants.bytes, turns_text(made.constants), made.kept ? "as the model's own" : "anew",
      recomputed_text(program));
}

Json report(const Options& options, const Compiled& made, Json passes) {
  const compiler::Program& program = made.program;
  const ir::Graph& graph = made.graph();
  return {{"schema", "espalier.compile/1"},
          {"tool_version", kVersion},
          {"model", {{"name", graph.name}, {"sha256", graph.sha256}}},
          {"plan_sha256", plan::sha256_of(made.plan)},
          {"target", made.target},
          {"numerics", options.numerics},
          {"input", options.input},
          {"recomputed", recomputed_json(program)},
          {"accumulate", options.accumulate},
          {"classes", graph.head.classes},
          {"class_names", graph.head.class_names},
          {"head", made.kept ? "keep" : "fresh"},
          {"sram_bytes", made.sram_bytes()},
          {"replay_bytes", made.beside.replay.count},
          {"arena_bytes", program.arena_bytes().count},
          {"arena_lower_bound", program.placement.lower_bound},
          {"state_bytes", program.state.bytes},
          {"parameter_bytes", made.constants.bytes},
          {"turn_bytes", made.constants.turn_bytes()},
          {"passes", std::move(passes)},
          {"work", program.graph.chains.empty() ? work_json(program.graph) : Json(nullptr)},
          {"arena", arena_json(program)}};
}

Status run(const Options& options) {
  if (options.out.empty() && options.emit_ir.empty() && options.trace.empty() &&
      options.problem.empty() && options.dump_passes.empty() && options.common.json.empty()) {
    return Error{
        ErrorKind::kUsage,
        "nothing to write: give --out DIR, --emit-ir, --dump-passes, --trace, --problem or "
        "--json"};
  }
  if (!options.name.empty()) {
    const Status usable = codegen::check_name(options.name);
    if (!usable.ok()) return Error{usable.error().kind, "--name: " + usable.error().message()};
  }
  ESPALIER_TRY(const std::string target, target_name(options));
  compiler::CompileOptions compile;
  compile.accumulate = options.accumulate;
  compile.gradient =
      trials::gradient_element(*trials::numerics_named(options.numerics), options.gradient_bits);
  compile.fed = options.input == "rows";
  if (!options.sram.empty()) {
    ESPALIER_TRY(compile.sram, sram_of_program(options));
  }
  for (const std::string& name : options.disabled) {
    ESPALIER_TRY(compile.passes, compiler::without(compile.passes, name));
  }
  ESPALIER_TRY(ir::Graph graph, read_model(options.model));
  ESPALIER_TRY(const plan::UpdatePlan plan, plan::load_plan(options.plan, graph));
  if (plan::rotates(plan) && !options.package.empty()) {
    return Error{ErrorKind::kUsage,
                 fmt::format("--package: the channels of {} take turns, for which flash is written "
                             "at run time, and no package says where that lies; leave it out",
                             options.plan)};
  }
  ESPALIER_TRY(const train::Recipe recipe, recipe_of(options, plan));
  const ir::Head own = graph.head;
  ESPALIER_TRY(graph.head, options.head.make(graph, options.common.seed, options.plan,
                                             static_cast<int>(plan.classes.size()), plan.classes));
  const bool kept = graph.head.weights == own.weights;

  PassLog passes;
  compile.observer = [&](const compiler::PassReport& report,
                         const compiler::TrainingGraph& training) {
    passes.add(report, training, !options.dump_passes.empty());
  };
  Result<compiler::Program> compiled = compiler::compile(graph, plan, compile);
  Outputs outputs;
  // Also of a compilation that failed: they show how far it came.
  if (!options.dump_passes.empty()) {
    outputs.add(options.dump_passes, write_folder(options.dump_passes, passes.dumps, true));
  }
  if (!compiled.ok()) return with_shares(options, compiled.error());
  const compiler::Program& program = *compiled;
  Compiled made{
      plan, program, target, codegen::flash_layout(program), kept, {pointer_of(options), Bytes{0}}};
  ESPALIER_TRY(made.beside.replay, replay_memory(options, program));
  if (!options.device.empty()) ESPALIER_CHECK_OK(check_device(options, made));

  write_listings(outputs, options, program);
  if (!options.out.empty()) {
    ESPALIER_CHECK_OK(calibrate(options, graph, plan, *compiled));
    codegen::EmitOptions emit = emit_options(options, target, recipe);
    emit.replay_bytes = made.beside.replay.count;
    ESPALIER_TRY(emit.pixels, pixel_tables(options, graph));
    const auto files = engine::emit_recorded(program, plan, emit);
    outputs.add(options.out, write_folder(options.out, files, options.common.force));
    tell_of_recipe(options, plan, recipe, emit);
  }
  if (options.emit_ir != "-" && options.trace != "-" && options.problem != "-") {
    print(options.common, summary(options, made));
  }
  write_report(outputs, options.common, report(options, made, std::move(passes.rows)));
  if (!options.out.empty()) {
    outputs.next((target == "host" ? "make -C " : "espalier check ") + shell_word(options.out));
  }
  return outputs.status();
}

// What the program is to run on.
void add_target(CommandApp* command, Options& o) {
  std::string rows = "What to compile for; otherwise what --device is, or host:";
  for (const codegen::Target& target : codegen::targets()) {
    rows += fmt::format("\n{}: {}", target.name, target.description);
  }
  command->add_option("--target", o.target, rows)->check(one_of(target_names()));
  command
      ->add_option("--kernels", o.kernels,
                   "plain, blocked for registers, or auto: as the target says; same bits")
      ->check(one_of({"plain", "blocked", "auto"}))
      ->capture_default_str();
  command->add_input("--device", o.device,
                     "Device, by name or profile, whose SRAM and flash must suffice");
  command->add_option("--stack", o.stack, "SRAM set aside for the stack with --device")
      ->capture_default_str();
}

// How the program computes gradients, and where those of integers start.
void add_gradients(CommandApp* command, const std::shared_ptr<Options>& o) {
  command->add_option("--numerics", o->numerics, "device (gradients in float) or integer (in int8)")
      ->check(one_of({"device", "integer"}))
      ->capture_default_str();
  add_gradient_bits(command, o->gradient_bits);
  command->effective_if(
      "--gradient-bits", [o] { return o->numerics == "integer"; }, "add --numerics integer");
  command->add_data("--train", o->training,
                    "Integer numerics: data to find the exponents on that gradients start from, "
                    "preprocessed as --train-preprocess or --preprocess says, or as train does; "
                    "otherwise random inputs");
  command->effective_if(
      "--train", [o] { return o->numerics == "integer" && !o->out.empty(); },
      "it says where integer gradients start in the C sources; add --numerics integer and --out");
  command->reads([o] { return table_files(o->train_preprocess); });
  command->add_option("--train-preprocess", o->train_preprocess,
                      "How samples of --train become inputs, where no functions for pixels are "
                      "wanted, or others [as --preprocess]");
  command->effective_if(
      "--train-preprocess", [o] { return !o->training.empty(); },
      "it says how --train becomes inputs; add --train");
}

}  // namespace

Command add_compile(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  CommandApp* command = add_command(app, "compile", "Compile a plan to C that trains on the device",
                                    o->common, "espalier.compile/1");
  command->add_input("model", o->model, "int8 model, TFLite or ONNX")->required();
  command->add_input("--plan", o->plan, "Update plan (espalier.plan/1)")->required();
  command->add_output(
      "--out", o->out,
      [] { return folder_format("a new folder", [](std::string_view) { return false; }); },
      "Folder for the C sources; one that is not empty needs --force");
  command->add_option("--name", o->name,
                      "Prefix of files and symbols; otherwise made from the model's name");
  add_target(command, *o);
  o->head.add_to(command);
  command->add_option("--accumulate", o->accumulate, "Samples whose gradients make one update")
      ->check(between(1, 65536))
      ->capture_default_str();
  add_gradients(command, o);
  command
      ->add_option("--lr", o->learning_rate,
                   "Learning rate after reset, for a batch of 256 [that of the plan's recipe, or "
                   "0.1]")
      ->check(at_least_0());
  command
      ->add_option("--clip", o->clip,
                   "Largest change of a weight by one update, in int8 steps, and of a bias, in 32 "
                   "of its units; 0 = any [that of the plan's recipe, or 0]")
      ->check(CLI::Range(0, 127));
  command->add_option("--rounding", o->rounding, "Of int8 and int32 steps: nearest or stochastic")
      ->check(one_of({"nearest", "stochastic"}))
      ->capture_default_str();
  command
      ->add_option("--arena", o->arena,
                   "own, or extern: the firmware gives the memory, which programs may share")
      ->check(one_of({"own", "extern"}))
      ->capture_default_str();
  command->add_option(
      "--sram", o->sram,
      "All SRAM but the stack that there is: where the program needs more, parts of "
      "the forward pass run again in the backward pass instead of being kept");
  command
      ->add_option("--input", o->input,
                   "resident, or rows: it comes row by row, from a camera or a line, and has no "
                   "buffer")
      ->check(one_of({"resident", "rows"}))
      ->capture_default_str();
  command
      ->add_option(
          "--package", o->package,
          "Also write what makes the folder a package of a build system: esp-idf, arduino, "
          "zephyr or cmsis-pack")
      ->check(one_of(codegen::package_names()));
  command->reads([o] { return table_files(o->preprocess); });
  command->add_option("--preprocess", o->preprocess,
                      "As train has it (auto, mean=M:M:M,std=S:S:S, lut=FILE, identity): adds "
                      "functions that make inputs of a camera's pixels so");
  command->add_option("--replay", o->replay,
                      "Memory, given by the firmware in SRAM, for samples to replay: as the frozen "
                      "layers leave them, balanced over classes; --device and --sram count it");
  command->add_output(
      "--emit-ir", o->emit_ir, [] { return text_format("a training graph", "training_graph "); },
      "Write the training graph as text, or -");
  command->add_output(
      "--dump-passes", o->dump_passes,
      [] { return folder_format("a folder of training graphs", is_dump); },
      "Folder for the training graph after each pass");
  command->add_option("--disable-pass", o->disabled, "Leave out a pass; may be repeated");
  command->add_output(
      "--trace", o->trace,
      [] { return text_format("a Chrome trace", "{\"displayTimeUnit\": \"ns\""); },
      "Write arena occupancy as a Chrome trace, or -");
  command->add_output(
      "--problem", o->problem,
      [] { return text_format("a memory planning problem", "id,lower,upper,size"); },
      "Write the memory planning problem and its solution as CSV, or -");
  command->effective_if(
      "--stack", [o] { return !o->device.empty(); }, "add --device");
  for (const char* emitted : {"--seed", "--name", "--kernels", "--head", "--lr", "--clip",
                              "--rounding", "--arena", "--replay", "--preprocess", "--package"}) {
    command->effective_if(
        emitted, [o] { return !o->out.empty(); }, "it is a matter of the C sources; add --out");
  }
  command->footer(
      "Example:\n  espalier compile model.onnx --plan plan.json --target rv32imf --out firmware\n"
      "Before: espalier search, or espalier plan make. Next: espalier check");
  return {command, [o] { return run(*o); }, std::shared_ptr<CommonOptions>(o, &o->common)};
}

}  // namespace espalier::cli
