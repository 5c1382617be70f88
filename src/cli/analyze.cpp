// espalier analyze MODEL: measures what each bias depth and each conv's weights contribute.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <system_error>

#include "command.hpp"
#include "espalier/contribution/analysis.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/file.hpp"
#include "espalier/version.hpp"

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
  std::optional<std::int64_t> limit_train;
  std::optional<std::int64_t> limit_val;
  bool estimate_only = false;
  bool fisher = false;
};

struct Sets {
  data::Samples training;
  data::Samples validation;
};

// What is taken when no limit is given, if there is as much.
constexpr std::int64_t kUsualTraining = 2000;
constexpr std::int64_t kUsualValidation = 1000;

// Samples of a dataset: as many as were asked for, otherwise up to the usual number.
Result<data::Samples> limited(const Options& options, const ir::Graph& graph, data::Dataset all,
                              std::optional<std::int64_t> asked, std::int64_t usual) {
  const std::int64_t limit = asked.value_or(all.size() > usual ? usual : 0);
  ESPALIER_TRY(data::Dataset kept,
               data::subset(std::move(all), options.data.subset_of(limit, options.common.seed)));
  return bind_samples(graph, std::move(kept), options.data);
}

// How many of `size` samples a single source sets aside. A third is enough; training comes first.
std::int64_t validation_share(const Options& options, std::int64_t size) {
  if (options.limit_val.value_or(0) > 0) return *options.limit_val;
  std::int64_t share = size / 3;
  if (!options.limit_val) share = std::min(share, kUsualValidation);
  return std::max<std::int64_t>(1, std::min(share, size - options.limit_train.value_or(0)));
}

// Training and validation samples: from two sources, or disjoint parts of one.
Result<Sets> load_sets(const Options& options, const ir::Graph& graph) {
  const std::uint64_t seed = options.common.seed;
  ESPALIER_TRY(data::Dataset all, load_selected(options.training, 0, options.data, seed));
  if (!options.validation.empty()) {
    ESPALIER_TRY(data::Dataset other, load_selected(options.validation, 0, options.data, seed));
    ESPALIER_TRY(other, with_classes(std::move(other), all.class_names, options.training));
    ESPALIER_TRY(data::Samples training,
                 limited(options, graph, std::move(all), options.limit_train, kUsualTraining));
    ESPALIER_TRY(data::Samples validation,
                 limited(options, graph, std::move(other), options.limit_val, kUsualValidation));
    return Sets{std::move(training), std::move(validation)};
  }
  const std::int64_t share = validation_share(options, all.size());
  ESPALIER_TRY(data::Split parts, data::split(std::move(all), share, seed));
  ESPALIER_TRY(data::Samples training, limited(options, graph, std::move(parts.train),
                                               options.limit_train, kUsualTraining));
  ESPALIER_TRY(data::Samples validation,
               bind_samples(graph, std::move(parts.validation), options.data));
  return Sets{std::move(training), std::move(validation)};
}

// What the options ask of a model and can be told before any data is read.
Status check_choice(const Options& options, const std::vector<int>& layers,
                    const ir::Graph& graph) {
  std::vector<std::string> problems;
  const auto convs = static_cast<int>(ir::conv_ops(graph).size());
  for (const int layer : layers) {
    if (layer < convs) continue;
    problems.push_back(fmt::format("--layers: conv {} does not exist; '{}' has convs 0 to {}",
                                   layer, graph.name, convs - 1));
  }
  for (const double ratio : options.ratios) {
    // The negated form also catches NaN.
    if (!(ratio > 0 && ratio <= 1)) {
      problems.push_back(
          fmt::format("--ratios: {} is out of range; give more than 0, at most 1", ratio));
    }
  }
  if (!problems.empty()) return Error{ErrorKind::kUsage, std::move(problems)};
  return Ok{};
}

std::string gain_text(const contribution::Gain& gain) {
  if (gain.seeds == 0) return "      -";
  if (!gain.accuracy) return "    div";
  return fmt::format("{:+7.2f}", gain.accuracy->mean * 100);
}

std::string table(const contribution::Profile& profile) {
  std::string text = fmt::format("head only: {:.2f} %, loss {:.4f}\n\n",
                                 profile.baseline_accuracy.mean * 100, profile.baseline_loss.mean);
  text +=
      "gain in accuracy, points        bias   weights on top, by ratio\n conv  depth  "
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

// How well the Fisher scores would have ranked what was measured.
std::string correlation_text(const contribution::Profile& profile) {
  const contribution::RankCorrelations ranks = contribution::fisher_correlations(profile);
  const auto text = [](std::optional<double> value) {
    return value ? fmt::format("{:+.2f}", *value) : std::string("-");
  };
  return fmt::format(
      "\nrank correlation of the Fisher score with the gain in accuracy and in loss:\n"
      "  biases  {} {}\n  weights {} {}\n",
      text(ranks.bias_accuracy), text(ranks.bias_loss), text(ranks.weight_accuracy),
      text(ranks.weight_loss));
}

// The scores alone, where nothing has been measured yet.
std::string fisher_table(const contribution::FisherScores& scores,
                         const std::vector<double>& ratios, const std::vector<int>& layers) {
  std::string text =
      fmt::format("Fisher scores of {} samples\n conv  depth    biases   weights, by ratio\n{:24}",
                  scores.samples, "");
  for (const double ratio : ratios) text += fmt::format("{:>10.3g}", ratio);
  text += '\n';
  const std::size_t convs = scores.weight.size();
  for (std::size_t conv = convs; conv-- > 0;) {
    if (!layers.empty() &&
        std::find(layers.begin(), layers.end(), static_cast<int>(conv)) == layers.end()) {
      continue;
    }
    text += fmt::format("{:>5}  {:>5}  {:>10.3g}", conv, convs - conv, scores.bias[convs - conv]);
    for (const double score : scores.weight[conv]) text += fmt::format("{:>10.3g}", score);
    text += '\n';
  }
  return text;
}

std::string duration(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", std::ceil(seconds));
  if (seconds < 5400) return fmt::format("{:.0f} min", std::ceil(seconds / 60));
  return fmt::format("{:.1f} h", seconds / 3600);
}

// What makes two analyses the same; everything else of a profile follows from it.
Json identity_of(const Json& profile) {
  Json identity;
  for (const char* key : {"model", "data", "recipe", "seeds", "ratios"}) {
    identity[key] = profile.value(key, Json());
  }
  Json trials = Json::array();
  for (const Json& trial : profile.value("trials", Json::array())) {
    if (!trial.is_object()) continue;
    trials.push_back({trial.value("depth", Json()), trial.value("conv", Json()),
                      trial.value("ratio", Json()), trial.value("seed", Json())});
  }
  identity["trials"] = std::move(trials);
  return identity;
}

// Days of work may stand in a profile: one of other options is renamed, not replaced.
Status keep_other_analysis(const std::string& out, const Json& document) {
  const Result<Json> before = read_json(out, contribution::kProfileSchema);
  if (!before.ok() || identity_of(*before) == identity_of(document)) return Ok{};
  const std::filesystem::path path(out);
  const std::string digest = sha256_hex(json_text(identity_of(*before))).substr(0, 8);
  const std::filesystem::path kept =
      path.parent_path() /
      fmt::format("{}.other-options-{}{}", path.stem().string(), digest, path.extension().string());
  std::error_code error;
  std::filesystem::rename(path, kept, error);
  if (error) {
    return Error{ErrorKind::kCannotWrite,
                 fmt::format("{}: cannot be kept as {}: {}; choose another output path", out,
                             kept.string(), error.message())};
  }
  spdlog::warn("{} held an analysis of other options; it is kept as {}", out, kept.string());
  return Ok{};
}

Status write_profile(const Options& options, const std::string& out, const Json& document) {
  if (out != "-" && !options.common.force) ESPALIER_CHECK_OK(keep_other_analysis(out, document));
  return write_json(out, document);
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
  analysis.fisher = options.fisher;
  ESPALIER_TRY(analysis.cache_limit, parse_size(options.cache_limit, "--cache-limit"));
  ESPALIER_CHECK_OK(train::check(options.recipe));
  if (!options.estimate_only) {
    if (options.out.empty()) return Error{ErrorKind::kUsage, "--out is required"};
    if (options.out != "-") analysis.journal = options.out + ".partial.jsonl";
  }
  analysis.progress = options.common.progress();

  ESPALIER_TRY(ir::Graph graph, import_model(options.model));
  ESPALIER_CHECK_OK(check_choice(options, analysis.layers, graph));
  ESPALIER_TRY(const Sets sets, load_sets(options, graph));
  warn_of_data(sets.training, sets.validation);
  const train::Network network(std::move(graph));
  const contribution::AnalysisEstimate cost =
      contribution::estimate_cost(network, sets.training.size(), sets.validation.size(), analysis);
  spdlog::info("{} trainings of {} images, {} epochs: about {} on {} threads", cost.trials,
               sets.training.size(), options.recipe.epochs, duration(cost.seconds), analysis.jobs);
  if (options.estimate_only) {
    Json report{{"schema", "espalier.estimate/1"},
                {"tool_version", kVersion},
                {"trials", cost.trials},
                {"macs", cost.macs},
                {"seconds", cost.seconds}};
    if (options.fisher) {
      ESPALIER_TRY(const contribution::FisherScores scores,
                   contribution::early_scores(network, sets.training, analysis));
      report["fisher"] = {
          {"samples", scores.samples}, {"bias", scores.bias}, {"weight", scores.weight}};
      print(options.common, fisher_table(scores, analysis.ratios, analysis.layers));
    }
    return write_report(options.common, report);
  }
  ESPALIER_TRY(const contribution::Profile profile,
               contribution::analyze(network, sets.training, sets.validation, analysis));
  std::error_code ignored;
  if (profile.bias.front().diverged > 0) {
    // Another --lr makes another analysis, which these trials are no part of.
    std::filesystem::remove(analysis.journal, ignored);
    return Error{ErrorKind::kUsage,
                 fmt::format("training the head alone diverged, so there is nothing to measure "
                             "gains against; lower --lr (now {})",
                             options.recipe.learning_rate)};
  }
  const Json document = contribution::to_json(profile);
  Outputs outputs;
  const Status written = write_profile(options, options.out, document);
  outputs.add(options.out, written);
  if (written.ok()) std::filesystem::remove(analysis.journal, ignored);
  if (options.out != "-") {
    print(options.common,
          table(profile) + (profile.fisher ? correlation_text(profile) : std::string()));
  }
  if (!options.common.json.empty()) {
    outputs.add(options.common.json, write_profile(options, options.common.json, document));
  }
  outputs.next(fmt::format("espalier search {} --model {} --budget 100KiB --out plan.json",
                           options.out == "-" ? "PROFILE" : options.out, options.model));
  return outputs.status();
}

}  // namespace

Command add_analyze(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  const auto profile_file = [] { return json_format(contribution::kProfileSchema); };
  CommandApp* command =
      add_command(app, "analyze", "Measure the contribution of every bias depth and conv",
                  o->common, [o, profile_file] {
                    return o->estimate_only ? json_format("espalier.estimate/1") : profile_file();
                  });
  command->add_input("model", o->model, "int8 model, TFLite or ONNX")->required();
  command->add_data("--train", o->training, kDataForms)->required();
  command->add_data("--val", o->validation,
                    "Validation data; without it, a part of --train is set aside");
  command->add_output("--out", o->out, profile_file,
                      "Where the contribution profile goes, or -; required unless --estimate");
  command
      ->add_option("--limit-train", o->limit_train,
                   fmt::format("Training samples; 0 = all [up to {}]", kUsualTraining))
      ->check(at_least_0());
  command
      ->add_option("--limit-val", o->limit_val,
                   fmt::format("Validation samples; 0 = all, or a third of --train without --val "
                               "[up to {}]",
                               kUsualValidation))
      ->check(at_least_0());
  command->add_option("--seeds", o->seeds, "Trainings of each update, seeds --seed, --seed+1, ...")
      ->check(between(1, 1000))
      ->capture_default_str();
  command->add_option("--ratios", o->ratios, "Shares of input channels to measure")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--layers", o->layers, "Convs to measure, such as 18-41; default all");
  command->add_option("--cache-limit", o->cache_limit, "Memory for cached prefixes")
      ->capture_default_str();
  command->add_flag("--estimate", o->estimate_only, "Say how long it would take and stop");
  command->add_flag("--fisher", o->fisher,
                    "Also score every update by its gradients, in one pass; with --estimate, "
                    "without measuring any");
  add_recipe_options(command, o->recipe);
  o->data.add_to(command);
  const auto measures = [o] { return !o->estimate_only; };
  command->effective_if("--out", measures, "--estimate measures nothing; leave one of them out");
  command->effective_if("--cache-limit", measures, "--estimate caches nothing");
  command->footer(
      "Example:\n  espalier analyze model.onnx --train cifar10:train.bin --out contributions.json"
      "\nBefore: espalier inspect. Next: espalier search");
  return {command, [o] { return run(*o); }, std::shared_ptr<CommonOptions>(o, &o->common)};
}

}  // namespace espalier::cli
