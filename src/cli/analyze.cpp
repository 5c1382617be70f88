// espalier analyze MODEL: measures what each bias depth and each conv's weights contribute.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <set>

#include "command.hpp"
#include "espalier/contribution/analysis.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/file.hpp"
#include "espalier/train/session.hpp"
#include "espalier/trials/sets.hpp"
#include "espalier/trials/store.hpp"
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
  std::string store;
  std::string layers;
  std::string cache_limit = "2GiB";
  std::string numerics = "simulation";
  std::string time;
  double share = 1;
  std::vector<double> ratios{0.125, 0.25, 0.5, 1.0};
  int seeds = 1;
  std::optional<std::int64_t> limit_train;
  std::optional<std::int64_t> limit_val;
  bool estimate_only = false;
  bool fisher = false;
};

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

// A gain as mean and standard error; grey, where somebody looks, when it is within two of these.
std::string gain_text(const contribution::Gain& gain, bool colour) {
  constexpr int kWidth = 19;
  std::string text = gain.seeds == 0 ? "-" : "diverged";
  bool noise = false;
  if (gain.seeds > 0 && gain.loss) {
    text = fmt::format("{:+.4f}", gain.loss->mean);
    if (const auto error = gain.loss->standard_error) {
      text += fmt::format(" +- {:.4f}", *error);
      noise = std::abs(gain.loss->mean) <= 2 * *error;
    }
  }
  text = fmt::format("{:>{}}", text, kWidth);
  return colour && noise ? "\x1b[2m" + text + "\x1b[0m" : text;
}

std::string table(const contribution::Profile& profile, bool colour) {
  std::string text = fmt::format("head only: {:.2f} %, loss {:.4f}\n\n",
                                 profile.baseline_accuracy.mean * 100, profile.baseline_loss.mean);
  text += "validation loss removed, nats";
  text += profile.seeds.size() > 1 ? ", mean and standard error over seeds\n"
                                   : "; with --seeds 2 or more also its standard error\n";
  text += fmt::format(" conv  depth{:>19}   weights on top, by ratio\n{:31}", "bias", "");
  for (const double ratio : profile.ratios) text += fmt::format("{:>19.3g}", ratio);
  text += '\n';
  const std::size_t convs = profile.weight.size();
  for (std::size_t conv = convs; conv-- > 0;) {
    const contribution::Gain& bias = profile.bias[convs - conv];
    if (bias.seeds == 0) continue;
    text += fmt::format("{:>5}  {:>5}{}", conv, convs - conv, gain_text(bias, colour));
    for (const contribution::Gain& gain : profile.weight[conv]) text += gain_text(gain, colour);
    text += '\n';
  }
  return text;
}

// Says so when training more did harm more often than not.
std::string warning_text(const contribution::Profile& profile, std::int64_t images) {
  int measured = 0;
  int worse = 0;
  const auto count = [&](const contribution::Gain& gain) {
    if (gain.seeds == 0) return;
    ++measured;
    worse += !gain.loss || gain.loss->mean < 0 ? 1 : 0;
  };
  for (std::size_t depth = 1; depth < profile.bias.size(); ++depth) count(profile.bias[depth]);
  for (const auto& row : profile.weight) {
    for (const contribution::Gain& gain : row) count(gain);
  }
  if (2 * worse <= measured) return "";
  return fmt::format(
      "\n{} of {} updates diverge or make the loss worse: the rate is too high (--lr {}; `espalier "
      "train --lr auto` finds one) or the images are too few ({})\n",
      worse, measured, profile.recipe.learning_rate, images);
}

// Escapes are for terminals that know them.
bool colours() {
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) != 0 && terminal != nullptr && std::string(terminal) != "dumb";
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

// What makes two analyses the same; everything else of a profile follows from it and the trials.
Json setting_of(const Json& profile) {
  Json setting;
  for (const char* key : {"model", "data", "recipe", "numerics", "rounding"}) {
    setting[key] = profile.value(key, Json());
  }
  return setting;
}

std::set<std::string> trials_of(const Json& profile) {
  std::set<std::string> trials;
  for (const Json& trial : profile.value("trials", Json::array())) {
    if (!trial.is_object()) continue;
    trials.insert(json_text({trial.value("depth", Json()), trial.value("conv", Json()),
                             trial.value("ratio", Json()), trial.value("seed", Json())}));
  }
  return trials;
}

// Whether the profile has everything that the other one has.
bool contains(const Json& profile, const Json& other) {
  const std::set<std::string> mine = trials_of(profile);
  const std::set<std::string> its = trials_of(other);
  return setting_of(profile) == setting_of(other) &&
         std::includes(mine.begin(), mine.end(), its.begin(), its.end());
}

// Days of work may stand in a profile: one of other options is renamed, not replaced, unless all of
// it is in the new one.
Status keep_other_analysis(const std::string& out, const Json& document) {
  const Result<Json> before = read_json(out, contribution::kProfileSchema);
  if (!before.ok() || contains(document, *before)) return Ok{};
  std::string identity = json_text(setting_of(*before));
  for (const std::string& trial : trials_of(*before)) identity += trial;
  ESPALIER_TRY(const std::filesystem::path kept, keep_beside(out, identity));
  spdlog::warn("{} held an analysis of other options; it is kept as {}", out, kept.string());
  return Ok{};
}

Status write_profile(const Options& options, const std::string& out, const Json& document) {
  if (out != "-" && !options.common.force) ESPALIER_CHECK_OK(keep_other_analysis(out, document));
  return write_json(out, document);
}

// The library's options, from those that need no model.
Result<contribution::AnalysisOptions> analysis_options(const Options& options) {
  contribution::AnalysisOptions analysis;
  analysis.recipe = options.recipe;
  analysis.numerics = *trials::numerics_named(options.numerics);
  analysis.ratios = options.ratios;
  std::sort(analysis.ratios.begin(), analysis.ratios.end());
  if (options.common.seed + static_cast<std::uint64_t>(options.seeds) - 1 > kMaxSeed) {
    return Error{ErrorKind::kUsage,
                 fmt::format("--seed {}: the last of {} seeds would be above {}; begin lower",
                             options.common.seed, options.seeds, kMaxSeed)};
  }
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
  ESPALIER_CHECK_OK(check_recipe(options.recipe, options.numerics));
  if (!options.estimate_only) {
    if (options.out.empty()) return Error{ErrorKind::kUsage, "--out is required"};
  }
  if (!(options.share > 0 && options.share <= 1)) {
    return Error{ErrorKind::kUsage,
                 fmt::format("--share: {} is not above 0 and at most 1", options.share)};
  }
  analysis.share = options.share;
  if (!options.time.empty()) {
    analysis.seconds = seconds_of(options.time);
    if (!analysis.seconds) {
      return Error{ErrorKind::kUsage,
                   fmt::format("--time: '{}' is no time such as 90s, 15min or 2h", options.time)};
    }
  }
  if (!options.common.nested) {
    analysis.or_else = fmt::format("with --time 1s{} to make a profile of what is there",
                                   analysis.share < 1 ? " in place of --share" : "");
  }
  analysis.progress = options.common.progress();
  return analysis;
}

// Beside the profile; standard output has no place beside it.
std::string usual_store(const Options& options) {
  return options.out.empty() || options.out == "-" ? "" : options.out + ".trials";
}

// None for an estimate, which trains nothing.
Result<std::optional<trials::Store>> open_store(const Options& options) {
  if (options.estimate_only) return std::optional<trials::Store>();
  const std::string folder = options.store.empty() ? usual_store(options) : options.store;
  if (folder.empty()) return std::optional<trials::Store>();
  ESPALIER_TRY(trials::Store store, trials::Store::open(folder));
  return std::optional<trials::Store>(std::move(store));
}

Status report_estimate(const Options& options, const contribution::AnalysisOptions& analysis,
                       const train::Network& network, const data::Samples& training,
                       const contribution::AnalysisEstimate& cost) {
  Json report{{"schema", "espalier.estimate/1"},
              {"tool_version", kVersion},
              {"trials", cost.trials},
              {"macs", cost.macs},
              {"seconds", cost.seconds}};
  if (options.fisher) {
    ESPALIER_TRY(const contribution::FisherScores scores,
                 contribution::early_scores(network, training, analysis));
    report["fisher"] = {{"samples", scores.samples},
                        {"bias", scores.bias},
                        {"weight", scores.weight},
                        {"channel", scores.channel}};
    print(options.common, fisher_table(scores, analysis.ratios, analysis.layers));
  }
  return write_report(options.common, report, "the same without --estimate, with --out");
}

Status run(const Options& options) {
  ESPALIER_TRY(contribution::AnalysisOptions analysis, analysis_options(options));
  ESPALIER_TRY(const trials::SetOptions selection, options.data.sets(options.common.seed));
  ESPALIER_TRY(ir::Graph graph, read_model(options.model));
  ESPALIER_CHECK_OK(check_choice(options, analysis.layers, graph));
  ESPALIER_CHECK_OK(contribution::check(graph, analysis));
  const trials::SourceOptions sources{options.training, options.validation, options.limit_train,
                                      options.limit_val};
  ESPALIER_TRY(const trials::SampleSets sets, trials::load_sets(graph, sources, selection));
  // Whatever may be refused is, before anything is said of the time it takes.
  ESPALIER_TRY(const std::optional<trials::Store> store, open_store(options));
  if (store) analysis.store = &*store;
  std::vector<std::string> warnings = warn_of_data(sets.training, sets.validation);
  // Trainings are of a classifier for the data's classes, and so is their estimate.
  graph.head = train::fresh_head(graph.head.features, sets.training.classes(), options.common.seed);
  const train::Network network(std::move(graph));
  const contribution::AnalysisEstimate cost =
      contribution::estimate_cost(network, sets.training.size(), sets.validation.size(), analysis);
  spdlog::info("{} trainings of {} images, {} epochs: about {} on {} threads", cost.trials,
               sets.training.size(), options.recipe.epochs, duration(cost.seconds), analysis.jobs);
  if (options.estimate_only) {
    return report_estimate(options, analysis, network, sets.training, cost);
  }
  ESPALIER_TRY(const contribution::Profile profile,
               contribution::analyze(network, sets.training, sets.validation, analysis));
  if (profile.bias.front().diverged > 0) {
    return Error{ErrorKind::kUsage,
                 fmt::format("training the head alone diverged, so there is nothing to measure "
                             "gains against; lower --lr (now {})",
                             options.recipe.learning_rate)};
  }
  for (const std::string& doubt : contribution::baseline_doubts(profile)) {
    spdlog::warn("{}", doubt);
    warnings.push_back(doubt);
  }
  Json document = contribution::to_json(profile);
  if (!warnings.empty()) document["warnings"] = warnings;
  Outputs outputs;
  outputs.add(options.out, write_profile(options, options.out, document));
  if (options.out != "-") {
    print(options.common, table(profile, colours()) +
                              (profile.fisher ? correlation_text(profile) : std::string()) +
                              warning_text(profile, sets.training.size()));
  }
  if (!options.common.json.empty()) {
    outputs.add(options.common.json, write_profile(options, options.common.json, document));
  }
  outputs.next(fmt::format("espalier search {} --model {} --budget 100KiB --out plan.json",
                           file_word(options.out, "PROFILE"), shell_word(options.model)));
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
                   fmt::format("Training samples; 0 = all [up to {}]", trials::kUsualTraining))
      ->check(at_least_0());
  command
      ->add_option("--limit-val", o->limit_val,
                   fmt::format("Validation samples; 0 = all, or a third of --train without --val "
                               "[up to {}]",
                               trials::kUsualValidation))
      ->check(at_least_0());
  command->add_option("--seeds", o->seeds, "Trainings of each update, seeds --seed, --seed+1, ...")
      ->check(between(1, 1000))
      ->capture_default_str();
  command->add_option("--ratios", o->ratios, "Shares of input channels to measure")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--time", o->time,
                      "Measure what is worth most and stop after a time such as 15min; run again, "
                      "it goes on");
  command
      ->add_option("--share", o->share,
                   "Measure so much of all trials only, what is worth most first, such as 0.5")
      ->capture_default_str()
      ->excludes("--time");
  command->add_option("--layers", o->layers, "Convs to measure, such as 18-41; default all");
  command
      ->add_option("--cache-limit", o->cache_limit,
                   "Memory for samples at frozen prefixes, inputs included")
      ->capture_default_str();
  command->add_store(o->store,
                     "Folder of finished trials, taken from there and kept there [OUT.trials]",
                     [o] { return o->estimate_only ? "" : usual_store(*o); });
  command->add_flag("--estimate", o->estimate_only, "Say how long it would take and stop");
  command->add_flag("--fisher", o->fisher,
                    "Also score every update by its gradients, in one pass; with --estimate, "
                    "without measuring any");
  add_numerics(command, o->numerics);
  add_recipe_options(command, o->recipe);
  o->data.add_to(command);
  const auto measures = [o] { return !o->estimate_only; };
  command->effective_if(
      "--subset",
      [o] { return o->limit_train != 0 || (!o->validation.empty() && o->limit_val != 0); },
      "it says how limits take samples, and there is none");
  command->effective_if("--out", measures, "--estimate measures nothing; leave one of them out");
  command->effective_if("--cache-limit", measures, "--estimate caches nothing");
  command->effective_if("--time", measures, "--estimate says how long everything takes");
  command->effective_if("--share", measures, "--estimate says how long everything takes");
  command->effective_if("--store", measures, "--estimate trains nothing");
  command->footer(
      "Example:\n  espalier analyze model.onnx --train cifar10:train.bin --out contributions.json"
      "\nBefore: espalier inspect. Next: espalier search");
  return {command, [o] { return run(*o); }, std::shared_ptr<CommonOptions>(o, &o->common)};
}

}  // namespace espalier::cli
