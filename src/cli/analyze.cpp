// espalier analyze MODEL: measures what each bias depth and each conv's weights contribute.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>

#include "command.hpp"
#include "espalier/contribution/analysis.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/support/bytes.hpp"

namespace espalier::cli {
namespace {

struct Options {
  CommonOptions common;
  DataOptions data;
  train::Recipe recipe{.epochs = 5};
  std::string model;
  std::string training;
  std::string validation;
  std::string out;
  std::string layers;
  std::string cache_limit = "2GiB";
  std::vector<double> ratios{0.125, 0.25, 0.5, 1.0};
  int seeds = 1;
  std::int64_t limit_train = 2000;
  std::int64_t limit_val = 1000;
  bool estimate_only = false;
};

struct Sets {
  data::Samples training;
  data::Samples validation;
};

// Training and validation samples: from two sources, or disjoint parts of one.
Result<Sets> load_sets(const Options& options, const ir::Graph& graph) {
  const std::uint64_t seed = options.common.seed;
  if (!options.validation.empty()) {
    ESPALIER_TRY(data::Samples training, load_samples(graph, options.training, options.limit_train,
                                                      options.data, seed));
    ESPALIER_TRY(data::Samples validation, load_samples(graph, options.validation,
                                                        options.limit_val, options.data, seed));
    return Sets{std::move(training), std::move(validation)};
  }
  ESPALIER_TRY(data::Dataset all, load_selected(options.training, 0, options.data, seed));
  std::int64_t validation_count = options.limit_val;
  std::int64_t training_count = options.limit_train;
  if (validation_count == 0 || validation_count + training_count > all.size()) {
    // Too few samples for the limits: a third is set aside.
    validation_count = std::max<std::int64_t>(1, all.size() / 3);
    training_count = 0;
    spdlog::info("{} samples: {} for validation, the others for training", all.size(),
                 validation_count);
  }
  ESPALIER_TRY(data::Split parts, data::split(std::move(all), validation_count, seed));
  data::SubsetOptions subset;
  subset.limit = training_count;
  subset.seed = seed;
  ESPALIER_TRY(data::Dataset kept, data::subset(std::move(parts.train), subset));
  ESPALIER_TRY(data::Samples training, bind_samples(graph, std::move(kept), options.data));
  ESPALIER_TRY(data::Samples validation,
               bind_samples(graph, std::move(parts.validation), options.data));
  return Sets{std::move(training), std::move(validation)};
}

std::string gain_text(const contribution::Gain& gain) {
  if (gain.seeds == 0) return "      -";
  if (!gain.accuracy) return "    div";
  return fmt::format("{:+7.2f}", gain.accuracy->mean * 100);
}

std::string table(const contribution::Profile& profile) {
  std::string text = fmt::format("head only: {:.2f} %, loss {:.4f}\n\n",
                                 profile.baseline_accuracy.mean * 100, profile.baseline_loss.mean);
  text += "gain in accuracy, points        bias   weights on top, by ratio\n conv  depth  "
          "                       ";
  for (const double ratio : profile.ratios) text += fmt::format("{:>8.3g}", ratio);
  text += '\n';
  const std::size_t convs = profile.weight.size();
  for (std::size_t conv = convs; conv-- > 0;) {
    const contribution::Gain& bias = profile.bias[convs - conv];
    if (bias.seeds == 0) continue;
    text += fmt::format("{:>5}  {:>5}                   {}", conv, convs - conv, gain_text(bias));
    for (const contribution::Gain& gain : profile.weight[conv]) text += " " + gain_text(gain);
    text += '\n';
  }
  return text;
}

std::string duration(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", std::ceil(seconds));
  if (seconds < 5400) return fmt::format("{:.0f} min", std::ceil(seconds / 60));
  return fmt::format("{:.1f} h", seconds / 3600);
}

Status run(const Options& options) {
  contribution::AnalysisOptions analysis;
  analysis.recipe = options.recipe;
  analysis.ratios = options.ratios;
  std::sort(analysis.ratios.begin(), analysis.ratios.end());
  analysis.seeds.clear();
  for (int i = 0; i < options.seeds; ++i) {
    analysis.seeds.push_back(options.common.seed + static_cast<std::uint64_t>(i));
  }
  if (!options.layers.empty()) {
    ESPALIER_TRY(analysis.layers, parse_int_list(options.layers, "--layers"));
  }
  analysis.jobs = options.common.job_count();
  ESPALIER_TRY(analysis.cache_limit, parse_bytes(options.cache_limit));
  ESPALIER_CHECK_OK(train::check(options.recipe));
  if (!options.estimate_only) {
    if (options.out.empty()) return Error{ErrorKind::kUsage, "--out is required"};
    analysis.journal = options.out + ".partial.jsonl";
    ESPALIER_CHECK_OK(check_outputs({options.out, options.common.json}));
  }
  analysis.progress = options.common.progress();

  ESPALIER_TRY(ir::Graph graph, import_model(options.model));
  ESPALIER_TRY(const Sets sets, load_sets(options, graph));
  if (sets.training.classes() != sets.validation.classes()) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("training data has {} classes, validation data {}; name sets of the "
                             "same task",
                             sets.training.classes(), sets.validation.classes())};
  }
  const train::Network network(std::move(graph));
  const contribution::AnalysisEstimate cost = contribution::estimate_cost(
      network, sets.training.size(), sets.validation.size(), analysis);
  spdlog::info("{} trainings of {} images, {} epochs: about {} on {} threads", cost.trials,
               sets.training.size(), options.recipe.epochs, duration(cost.seconds), analysis.jobs);
  if (options.estimate_only) {
    return write_report(options.common, {{"schema", "espalier.estimate/1"},
                                         {"trials", cost.trials},
                                         {"macs", cost.macs},
                                         {"seconds", cost.seconds}});
  }
  ESPALIER_TRY(const contribution::Profile profile,
               contribution::analyze(network, sets.training, sets.validation, analysis));
  const Json document = contribution::to_json(profile);
  ESPALIER_CHECK_OK(write_json(options.out, document));
  print(options.common, table(profile));
  return write_report(options.common, document);
}

}  // namespace

Command add_analyze(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  CLI::App* command = add_command(
      app, "analyze", "Measure the contribution of every bias depth and conv", o->common);
  command->add_option("model", o->model, "int8 model, ONNX")->required();
  command->add_option("--train", o->training, "cifar10:FILE[,FILE], idx:IMAGES,LABELS, folder:DIR")
      ->required();
  command->add_option("--val", o->validation,
                      "Validation data; without it, a part of --train is set aside");
  command->add_option("--out", o->out, "Where the contribution profile goes");
  command->add_option("--limit-train", o->limit_train, "Training samples; 0 = all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--limit-val", o->limit_val, "Validation samples; 0 = all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--seeds", o->seeds, "Trainings of each update, seeds --seed, --seed+1, ...")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--ratios", o->ratios, "Shares of input channels to measure")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--layers", o->layers, "Convs to measure, such as 18-41; default all");
  command->add_option("--cache-limit", o->cache_limit, "Memory for cached prefixes")
      ->capture_default_str();
  command->add_flag("--estimate", o->estimate_only, "Say how long it would take and stop");
  add_recipe_options(command, o->recipe);
  o->data.add_to(command);
  return {command, [o] { return run(*o); }, std::shared_ptr<CommonOptions>(o, &o->common)};
}

}  // namespace espalier::cli
