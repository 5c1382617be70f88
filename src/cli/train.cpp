// espalier train MODEL --plan plan.json: trains a plan and says what it reached.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "command.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/cost/analytic_memory.hpp"
#include "espalier/engine/device_trainer.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/plan/plan_json.hpp"
#include "espalier/train/result_sanity.hpp"
#include "espalier/train/sample_store.hpp"
#include "espalier/train/trainer.hpp"
#include "espalier/version.hpp"

namespace espalier::cli {
namespace {

struct Options {
  CommonOptions common;
  DataOptions data;
  train::Recipe recipe;
  std::string model;
  std::string plan;
  std::string training;
  std::string test;
  std::string exported;
  std::string head = "fresh";
  std::string cache_limit = "2GiB";
  std::int64_t limit_train = 0;
  std::int64_t limit_test = 0;
  bool test_every_epoch = false;
  std::string numerics = "simulation";
  std::string rounding = "stochastic";
  int accumulate = 1;
  [[nodiscard]] bool device() const { return numerics == "device"; }
};

// What the plan trains, without the channels.
Json updates_json(const plan::UpdatePlan& plan) {
  Json updates = Json::array();
  for (const plan::WeightUpdate& update : plan.weights) {
    updates.push_back({{"conv", update.conv}, {"ratio", update.ratio}});
  }
  return updates;
}

struct Sets {
  data::Samples training;
  data::Samples test;
};

// Both sets, of the same classes in the same order: the model's own when its classifier is kept and
// says their names, otherwise that of the training set.
Result<Sets> load_sets(const Options& options, const plan::UpdatePlan& plan,
                       const ir::Graph& graph) {
  const std::uint64_t seed = options.common.seed;
  ESPALIER_TRY(data::Dataset training,
               load_selected(options.training, options.limit_train, options.data, seed));
  ESPALIER_TRY(data::Dataset test,
               load_selected(options.test, options.limit_test, options.data, seed));
  if (!plan.classes.empty()) {
    const auto made_for =
        data::match_classes(plan.classes, options.plan, training.class_names, options.training);
    if (!made_for.ok()) return made_for.error();
  } else if (!plan.solver.empty()) {
    spdlog::warn("{} does not say which classes it was made for; take care that it was these",
                 options.plan);
  }
  if (options.head == "keep" && !graph.head.class_names.empty()) {
    ESPALIER_TRY(training,
                 with_classes(std::move(training), graph.head.class_names, options.model));
  }
  ESPALIER_TRY(test, with_classes(std::move(test), training.class_names, options.training));
  ESPALIER_TRY(data::Samples training_samples,
               bind_samples(graph, std::move(training), options.data));
  ESPALIER_TRY(data::Samples test_samples, bind_samples(graph, std::move(test), options.data));
  return Sets{std::move(training_samples), std::move(test_samples)};
}

Status run(const Options& options) {
  train::Recipe recipe = options.recipe;
  recipe.seed = options.common.seed;
  if (options.device()) {
    if (!recipe.qas) {
      return Error{ErrorKind::kUsage,
                   "--no-qas: the device always scales gradients; use --numerics simulation"};
    }
    recipe.batch = options.accumulate;  // so many samples make one update
  }
  ESPALIER_CHECK_OK(train::check(recipe));
  ESPALIER_TRY(const Bytes cache_limit, parse_size(options.cache_limit, "--cache-limit"));
  ESPALIER_CHECK_OK(check_export(options.model, options.exported));
  ESPALIER_TRY(ir::Graph graph, import_model(options.model));
  ESPALIER_TRY(const plan::UpdatePlan plan, plan::load_plan(options.plan, graph));
  ESPALIER_TRY(const Sets sets, load_sets(options, plan, graph));
  const auto& [training, test] = sets;
  ESPALIER_TRY(ir::Head head, starting_head(graph, options.head, training.classes(),
                                            options.common.seed, "the data"));
  head.class_names = training.dataset().class_names;
  std::vector<std::string> warnings = warn_of_data(training, test);

  const int jobs = options.common.job_count();
  if (options.device()) graph.head = std::move(head);
  const train::Network network(std::move(graph));
  std::optional<compiler::Program> program;
  if (options.device()) {
    compiler::CompileOptions compile;
    compile.accumulate = options.accumulate;
    ESPALIER_TRY(program, compiler::compile(network.graph(), plan, compile));
  }
  const int first = plan::first_trained_conv(plan, network.graph());
  const int wanted_cut = first < static_cast<int>(network.convs().size())
                             ? network.convs()[static_cast<std::size_t>(first)]
                             : static_cast<int>(network.graph().ops.size());
  int cut =
      train::affordable_cut(network, wanted_cut, training.size() + test.size(), cache_limit.count);
  if (program) cut = engine::device_cut(*program, cut);
  spdlog::debug("caching {} ops of the frozen prefix", cut);
  const auto prefix =
      [&](const data::Samples& samples) -> Result<std::shared_ptr<const train::SampleStore>> {
    ESPALIER_TRY(const auto store, train::SampleStore::from_samples(network, samples, jobs));
    return store->advance(network, cut, jobs);
  };
  ESPALIER_TRY(const auto training_store, prefix(training));
  ESPALIER_TRY(const auto test_store, prefix(test));

  Progress progress(options.common.progress(), fmt::format("train {}", network.graph().name),
                    static_cast<double>(training.size()) * recipe.epochs);
  Json epochs = Json::array();
  train::TrainOptions train_options;
  train_options.jobs = jobs;
  train_options.test_every_epoch = options.test_every_epoch;
  train_options.on_images = [&](std::int64_t n) { progress.advance(static_cast<double>(n)); };
  train_options.on_epoch = [&](int epoch, const train::EpochResult& e) {
    Json row{
        {"epoch", epoch + 1}, {"train_loss", e.train.loss}, {"train_accuracy", e.train.accuracy}};
    if (e.test) {
      row["test_loss"] = e.test->loss;
      row["test_accuracy"] = e.test->accuracy;
    }
    print(options.common, fmt::format("epoch {:>3}  loss {:.4f}  accuracy {:5.2f} %{}\n", epoch + 1,
                                      e.train.loss, e.train.accuracy * 100,
                                      e.test ? fmt::format("  test {:.4f}  {:5.2f} %", e.test->loss,
                                                           e.test->accuracy * 100)
                                             : ""));
    epochs.push_back(std::move(row));
  };
  std::optional<train::Session> session;
  std::optional<engine::Engine> engine;
  if (program) {
    engine.emplace(*program,
                   engine::EngineOptions{options.rounding == "stochastic",
                                         static_cast<std::uint32_t>(options.common.seed)});
  } else {
    session.emplace(network, plan, std::move(head), cut);
  }
  ESPALIER_TRY(const train::TrainResult result,
               program
                   ? engine::train(*engine, *program, network, plan, *training_store, *test_store,
                                   recipe, train_options)
                   : train::train(*session, *training_store, *test_store, recipe, train_options));

  const Bytes memory = cost::analytic_memory(plan, network.graph()).bytes();
  Json report{{"schema", "espalier.train/1"},
              {"tool_version", kVersion},
              {"model", {{"name", network.graph().name}, {"sha256", network.graph().sha256}}},
              {"plan",
               {{"sha256", plan::sha256_of(plan)},
                {"bias_depth", plan.bias_depth},
                {"weights", plan.weights.size()},
                {"updates", updates_json(plan)},
                {"analytic_bytes", memory.count}}},
              {"data", {{"train", training.identity_json()}, {"test", test.identity_json()}}},
              {"recipe", train::to_json(recipe)},
              {"head", options.head},
              {"numerics", options.numerics},
              {"diverged", result.diverged}};
  if (program) {
    report["rounding"] = options.rounding;
    report["sram_bytes"] = program->sram_bytes().count;
  }
  Json host{{"prefix_bytes", training_store->bytes() + test_store->bytes()}};
  if (session) host["workspace_bytes"] = train::Workspace(*session).bytes();
  report["host_memory"] = std::move(host);
  report["test_accuracy"] = result.diverged ? Json(nullptr) : Json(result.test.accuracy);
  report["test_loss"] = result.diverged ? Json(nullptr) : Json(result.test.loss);
  const data::ClassNames& names = test.dataset().class_names;
  if (!result.diverged) {
    report["test_balanced_accuracy"] = result.test.confusion.balanced_accuracy();
    report["test_classes"] = train::per_class_json(result.test.confusion, names);
    for (const std::string& doubt : train::doubts(result.test, names)) {
      spdlog::warn("{}", doubt);
      warnings.push_back(doubt);
    }
  }
  report["warnings"] = warnings;
  report["epochs"] = std::move(epochs);
  report["images_per_second"] = result.seconds > 0
                                    ? Json(static_cast<double>(result.images) / result.seconds)
                                    : Json(nullptr);
  if (result.diverged) {
    report["diverged_step"] = result.diverged_step;
    Outputs outputs;
    outputs.add({},
                Error{ErrorKind::kUsage,
                      fmt::format("training diverged at step {}: a loss or weight is no longer a "
                                  "usable number; lower --lr (now {}) or train fewer layers",
                                  result.diverged_step, recipe.learning_rate)});
    write_report(outputs, options.common, report);
    return outputs.status();
  }
  print(options.common,
        train::per_class_table(result.test.confusion, names) +
            fmt::format("test accuracy {:.2f} %  balanced {:.2f} %  loss {:.4f}  extra memory {} "
                        "(analytic)\n",
                        result.test.accuracy * 100, result.test.confusion.balanced_accuracy() * 100,
                        result.test.loss, format_bytes(memory)));
  Outputs outputs;
  if (!options.exported.empty()) {
    std::int64_t saturated = 0;
    const ir::Graph tuned = session ? session->tuned_graph(&saturated) : engine->tuned_graph();
    outputs.add(options.exported, export_model(tuned, options.model, options.exported));
    report["export"] = {{"saturated_weights", saturated}};
    if (saturated > 0) {
      spdlog::info("{} weights had left -127..127 and were saturated in {}", saturated,
                   options.exported);
    }
  }
  write_report(outputs, options.common, report);
  outputs.next(
      fmt::format("espalier compile {} --plan {} --out FOLDER", options.model, options.plan));
  return outputs.status();
}

}  // namespace

Command add_train(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  CommandApp* command = add_command(app, "train", "Train a plan and measure its accuracy",
                                    o->common, "espalier.train/1");
  command->add_input("model", o->model, "int8 model, TFLite or ONNX")->required();
  command->add_input("--plan", o->plan, "Update plan (espalier.plan/1)")->required();
  command->add_data("--train", o->training, kDataForms)->required();
  command->add_data("--test", o->test, "Data to measure accuracy on")->required();
  command->add_option("--limit-train", o->limit_train, "Training samples; 0 = all")
      ->check(at_least_0());
  command->add_option("--limit-test", o->limit_test, "Test samples; 0 = all")->check(at_least_0());
  command->add_option("--head", o->head, "fresh, or keep the model's classifier")
      ->check(one_of({"fresh", "keep"}))
      ->capture_default_str();
  command
      ->add_option("--numerics", o->numerics,
                   "simulation (fp32 master weights), or device (what the emitted C does)")
      ->check(one_of({"simulation", "device"}))
      ->capture_default_str();
  command
      ->add_option("--accumulate", o->accumulate,
                   "Device: samples whose gradients make one update (in place of --batch)")
      ->check(between(1, 65536))
      ->capture_default_str();
  command->add_option("--rounding", o->rounding, "Device: nearest or stochastic")
      ->check(one_of({"nearest", "stochastic"}))
      ->capture_default_str();
  command->add_output("--export", o->exported, onnx_format,
                      "Write the tuned model: .onnx, or .tflite when the model is");
  command->add_option("--cache-limit", o->cache_limit, "Memory for the cached frozen prefix")
      ->capture_default_str();
  command->add_flag("--test-every-epoch", o->test_every_epoch, "Also test after each epoch");
  add_recipe_options(command, o->recipe);
  o->data.add_to(command);
  const auto on_device = [o] { return o->device(); };
  command->effective_if("--accumulate", on_device, "add --numerics device");
  command->effective_if("--rounding", on_device, "add --numerics device");
  command->effective_if(
      "--batch", [o] { return !o->device(); },
      "a device takes one sample a step; --accumulate says how many make an "
      "update");
  command->effective_if(
      "--subset", [o] { return o->limit_train > 0 || o->limit_test > 0; },
      "it says how --limit-train and --limit-test take samples");
  command->footer(
      "Example:\n  espalier train model.onnx --plan plan.json --train cifar10:train.bin --test "
      "cifar10:test.bin \\\n    --json result.json --export tuned.onnx\n"
      "Before: espalier search, or espalier plan make. Next: espalier compile");
  return {command, [o] { return run(*o); }, std::shared_ptr<CommonOptions>(o, &o->common)};
}

}  // namespace espalier::cli
