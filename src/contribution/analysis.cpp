#include "espalier/contribution/analysis.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <mutex>
#include <numeric>
#include <optional>
#include <set>
#include <sstream>

#include "espalier/support/file.hpp"
#include "espalier/support/interrupt.hpp"
#include "espalier/train/parallel.hpp"
#include "espalier/train/session.hpp"
#include "espalier/train/store_chain.hpp"
#include "espalier/train/trainer.hpp"
#include "espalier/version.hpp"
#include "trial_times.hpp"

namespace espalier::contribution {
namespace {

Status check(const ir::Graph& graph, const AnalysisOptions& options) {
  std::vector<std::string> problems;
  const auto conv_count = static_cast<int>(ir::conv_ops(graph).size());
  if (options.ratios.empty() || options.seeds.empty()) {
    problems.emplace_back("an analysis needs at least one ratio and one seed");
  }
  double previous = 0;
  for (const double ratio : options.ratios) {
    if (!(ratio > previous) || ratio > 1) {
      problems.push_back(fmt::format("ratio {} must ascend within (0, 1]", ratio));
    }
    previous = ratio;
  }
  for (const int layer : options.layers) {
    if (layer < 0 || layer >= conv_count) {
      problems.push_back(fmt::format("layer {} must lie in 0..{}", layer, conv_count - 1));
    }
  }
  if (std::set(options.seeds.begin(), options.seeds.end()).size() != options.seeds.size()) {
    problems.emplace_back("a seed is listed twice");
  }
  if (!problems.empty()) return Error{ErrorKind::kUsage, problems};
  return train::check(options.recipe);
}

// Finished trials, one JSON object a line behind a line that says what they belong to.
class Journal {
 public:
  Journal(std::filesystem::path path, std::string header)
      : path_(std::move(path)), header_(std::move(header)) {}

  /// Trials of an earlier run of the same analysis. A last line cut short by a crash is dropped.
  std::vector<Trial> load(const ir::Graph& graph) const {
    std::vector<Trial> trials;
    std::ifstream file(path_);
    std::string line;
    if (path_.empty() || !file || !std::getline(file, line)) return trials;
    if (line != header_) {
      spdlog::warn("{}: left by a different analysis; starting over", path_.string());
      return trials;
    }
    while (std::getline(file, line)) {
      const Result<Json> json = parse_json(line, path_.string());
      if (!json.ok()) break;
      const Result<Trial> trial = trial_from_json(*json, graph, path_.string());
      if (!trial.ok()) break;
      trials.push_back(*trial);
    }
    return trials;
  }

  /// Starts the file anew with the trials that are kept.
  Status open(const std::vector<Trial>& kept) {
    if (path_.empty()) return Ok{};
    std::string content = header_ + "\n";
    for (const Trial& trial : kept) content += json_text(trial_to_json(trial)) + "\n";
    ESPALIER_CHECK_OK(write_file_atomic(path_, content));
    file_.open(path_, std::ios::app);
    return Ok{};
  }

  void append(const Trial& trial) {
    if (file_.is_open()) file_ << json_text(trial_to_json(trial)) << std::endl;
  }

 private:
  std::filesystem::path path_;
  std::string header_;
  std::ofstream file_;
};

// Trains the head as the trials do, then scores everything else.
Result<FisherScores> scores_of(const train::Network& network, const train::SampleStore& training,
                               int classes, const AnalysisOptions& options) {
  const ir::Graph& graph = network.graph();
  train::Recipe recipe = options.recipe;
  recipe.seed = options.seeds.front();
  train::Session session(network, plan::head_only(graph),
                         train::fresh_head(graph.head.features, classes, recipe.seed));
  const auto features = training.advance(network, session.cut(), options.jobs);
  ESPALIER_TRY(const train::TrainResult trained,
               train::train(session, *features, *features, recipe, {.jobs = options.jobs}));
  if (trained.diverged) {
    return Error{ErrorKind::kUsage, "training the head alone diverged; lower --lr"};
  }
  return fisher_scores(network, training, session.head(), options.ratios, options.jobs);
}

// What the progress line weighs each of the open trials with: seconds where anybody watches.
std::vector<double> progress_weights(const train::Network& network, const AnalysisOptions& options,
                                     const std::vector<TrialSpec>& trials,
                                     std::int64_t training_samples,
                                     std::int64_t validation_samples) {
  std::vector<double> weights(trials.size(), 1.0);
  if (!options.progress.enabled) return weights;
  const TrialTimes times(network, options);
  std::transform(trials.begin(), trials.end(), weights.begin(), [&](const TrialSpec& spec) {
    return times.seconds(spec, training_samples, validation_samples);
  });
  return weights;
}

Error interruption(std::size_t done, std::size_t wanted, const std::filesystem::path& journal) {
  return Error{ErrorKind::kInterrupted,
               fmt::format("interrupted after {} of {} trials{}", done, wanted,
                           journal.empty() ? ""
                                           : "; run the same command again to continue from " +
                                                 journal.string())};
}

std::string journal_header(const Profile& profile) {
  return json_text({{"schema", "espalier.journal/1"},
                    {"tool_version", profile.tool_version},
                    {"model", profile.model_sha256},
                    {"data", profile.data},
                    {"recipe", train::to_json(profile.recipe)}});
}

}  // namespace

plan::UpdatePlan trial_plan(const ir::Graph& graph, const TrialSpec& spec) {
  plan::UpdatePlan plan = *plan::bias_only(graph, spec.depth);
  if (spec.conv >= 0)
    plan.weights.push_back(plan::make_weight_update(graph, spec.conv, spec.ratio));
  return plan;
}

std::vector<TrialSpec> list_trials(const ir::Graph& graph, const AnalysisOptions& options) {
  const std::vector<int> convs = ir::conv_ops(graph);
  const auto conv_count = static_cast<int>(convs.size());
  std::vector<TrialSpec> trials;
  for (const std::uint64_t seed : options.seeds) trials.push_back({0, -1, 0, seed});
  for (int conv = conv_count - 1; conv >= 0; --conv) {
    if (!options.layers.empty() &&
        std::find(options.layers.begin(), options.layers.end(), conv) == options.layers.end()) {
      continue;
    }
    const int depth = conv_count - conv;
    for (const std::uint64_t seed : options.seeds) trials.push_back({depth, -1, 0, seed});
    int kept_before = 0;
    for (const double ratio : options.ratios) {
      const int kept = plan::channel_count(
          ir::conv(graph, convs[static_cast<std::size_t>(conv)]).in_channels, ratio);
      if (kept == kept_before) continue;
      kept_before = kept;
      for (const std::uint64_t seed : options.seeds) trials.push_back({depth, conv, ratio, seed});
    }
  }
  return trials;
}

AnalysisEstimate estimate_cost(const train::Network& network, std::int64_t training_samples,
                               std::int64_t validation_samples, const AnalysisOptions& options) {
  const TrialTimes times(network, options);
  AnalysisEstimate result;
  // Every prefix once, each continuing the one before it.
  result.seconds =
      times.whole_forward() * static_cast<double>(training_samples + validation_samples);
  for (const TrialSpec& spec : list_trials(network.graph(), options)) {
    const TrialMacs macs = trial_macs(network.graph(), spec);
    ++result.trials;
    result.macs += macs.step * static_cast<double>(training_samples) * options.recipe.epochs +
                   macs.forward * static_cast<double>(validation_samples);
    result.seconds += times.seconds(spec, training_samples, validation_samples);
  }
  result.seconds /= std::max(1, options.jobs);
  return result;
}

Result<FisherScores> early_scores(const train::Network& network, const data::Samples& training,
                                  const AnalysisOptions& options) {
  ESPALIER_CHECK_OK(check(network.graph(), options));
  ESPALIER_TRY(const auto store, train::SampleStore::from_samples(network, training, options.jobs));
  return scores_of(network, *store, training.classes(), options);
}

Result<Profile> analyze(const train::Network& network, const data::Samples& training,
                        const data::Samples& validation, const AnalysisOptions& options) {
  const ir::Graph& graph = network.graph();
  ESPALIER_CHECK_OK(check(graph, options));
  Profile profile;
  profile.model = graph.name;
  profile.model_sha256 = graph.sha256;
  profile.tool_version = kVersion;
  profile.data = {{"train", training.identity_json()},
                  {"validation", validation.identity_json()},
                  {"preprocess", data::to_json(training.pipeline().preprocess())}};
  profile.recipe = options.recipe;
  profile.recipe.seed = 0;
  profile.seeds = options.seeds;
  profile.ratios = options.ratios;

  // Deepest training first: cuts ascend, so each cached prefix continues the one before it, and the
  // longest trials start first.
  std::vector<TrialSpec> wanted = list_trials(graph, options);
  std::stable_sort(wanted.begin(), wanted.end(),
                   [](const TrialSpec& a, const TrialSpec& b) { return a.depth > b.depth; });
  std::vector<std::optional<Trial>> results(wanted.size());
  Journal journal(options.journal, journal_header(profile));
  std::vector<Trial> kept;
  for (const Trial& trial : journal.load(graph)) {
    const auto at = std::find(wanted.begin(), wanted.end(), trial.spec);
    if (at == wanted.end()) continue;
    auto& result = results[static_cast<std::size_t>(at - wanted.begin())];
    if (!result) kept.push_back(trial);
    result = trial;
  }
  ESPALIER_CHECK_OK(journal.open(kept));
  if (!kept.empty()) spdlog::info("{} of {} trials resumed", kept.size(), wanted.size());
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!results[i]) open.push_back(i);
  }

  if (!open.empty()) {
    ESPALIER_TRY(auto training_store,
                 train::SampleStore::from_samples(network, training, options.jobs));
    ESPALIER_TRY(auto validation_store,
                 train::SampleStore::from_samples(network, validation, options.jobs));
    train::StoreChain chain(network, {std::move(training_store), std::move(validation_store)},
                            options.cache_limit);
    std::vector<TrialSpec> specs;
    for (const std::size_t i : open) specs.push_back(wanted[i]);
    const std::vector<double> weights =
        progress_weights(network, options, specs, training.size(), validation.size());
    Progress progress(options.progress, fmt::format("analyze {}", graph.name),
                      std::accumulate(weights.begin(), weights.end(), 0.0));
    // With fewer trials than threads, the threads share each batch instead.
    const bool over_trials = open.size() >= static_cast<std::size_t>(options.jobs);
    const int jobs_inside = over_trials ? 1 : options.jobs;
    std::mutex mutex;
    std::size_t next = 0;
    std::optional<Error> failure;
    const int workers = over_trials ? options.jobs : 1;
    train::parallel_for(workers, static_cast<std::size_t>(workers), [&](std::size_t) {
      while (true) {
        std::size_t index = 0;
        double weight = 0;
        train::StoreChain::Stores stores;
        std::optional<train::Session> session;
        {
          const std::lock_guard lock(mutex);
          if (failure || next == open.size()) return;
          if (interrupted()) {
            failure.emplace(ErrorKind::kInterrupted, "interrupted");
            return;
          }
          weight = weights[next];
          index = open[next++];
          const plan::UpdatePlan plan = trial_plan(graph, wanted[index]);
          const int first = plan::first_trained_conv(plan, graph);
          const int cut = first < static_cast<int>(network.convs().size())
                              ? network.convs()[static_cast<std::size_t>(first)]
                              : static_cast<int>(graph.ops.size());
          stores = chain.at(cut, options.jobs);
          session.emplace(
              network, plan,
              train::fresh_head(graph.head.features, training.classes(), wanted[index].seed),
              stores.training->cut());
        }
        train::Recipe recipe = options.recipe;
        recipe.seed = wanted[index].seed;
        const Result<train::TrainResult> result = train::train(
            *session, *stores.training, *stores.validation, recipe, {.jobs = jobs_inside});
        const std::lock_guard lock(mutex);
        if (!result.ok()) {
          if (!failure) failure = result.error();
          return;
        }
        Trial trial{wanted[index], result->test.accuracy, result->test.loss, result->diverged};
        results[index] = trial;
        journal.append(trial);
        progress.advance(weight);
      }
    });
    if (failure) {
      if (failure->kind != ErrorKind::kInterrupted) return *failure;
      const auto open_still = std::count(results.begin(), results.end(), std::nullopt);
      return interruption(wanted.size() - static_cast<std::size_t>(open_still), wanted.size(),
                          options.journal);
    }
    spdlog::info("cached prefixes took up to {}", format_bytes(chain.most()));
  }

  // Canonical order: as listed.
  for (const TrialSpec& spec : list_trials(graph, options)) {
    const auto at = std::find(wanted.begin(), wanted.end(), spec) - wanted.begin();
    profile.trials.push_back(*results[static_cast<std::size_t>(at)]);
  }
  summarise(profile, static_cast<int>(network.convs().size()));
  if (options.fisher) {
    Result<FisherScores> scores = early_scores(network, training, options);
    if (!scores.ok() && scores.error().kind == ErrorKind::kInterrupted) {
      return interruption(wanted.size(), wanted.size(), options.journal);
    }
    if (scores.ok()) {
      profile.fisher = *std::move(scores);
    } else {
      spdlog::warn("no Fisher scores: {}", scores.error().message());
    }
  }
  return profile;
}

}  // namespace espalier::contribution
