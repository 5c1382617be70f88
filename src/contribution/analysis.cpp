#include "espalier/contribution/analysis.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <set>

#include "espalier/train/result_sanity.hpp"
#include "espalier/train/sample_store.hpp"
#include "espalier/trials/runner.hpp"
#include "espalier/trials/trial_times.hpp"
#include "espalier/version.hpp"

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

// Trains the head as the trials do, then scores everything else.
Result<FisherScores> scores_of(const train::Network& network, const data::Samples& training,
                               const AnalysisOptions& options) {
  trials::Trial head = trial_of(network.graph(), {.seed = options.seeds.front()}, options);
  ESPALIER_TRY(const trials::FinishedTrial trained,
               trials::run_trial(network, training, training, head,
                                 {.jobs = options.jobs, .cache_limit = options.cache_limit}, {}));
  if (trained.result.diverged) {
    return Error{ErrorKind::kUsage, "training the head alone diverged; lower --lr"};
  }
  const bool fit =
      train::affordable_cut(network, 0, training.size(), options.cache_limit.count) == 0;
  ESPALIER_TRY(const auto inputs,
               fit ? train::SampleStore::from_samples(network, training, options.jobs)
                   : train::SampleStore::on_demand(network, training, options.jobs));
  return fisher_scores(network, *inputs, trained.training.tuned_graph().head, options.ratios,
                       options.jobs);
}

}  // namespace

plan::UpdatePlan trial_plan(const ir::Graph& graph, const TrialSpec& spec) {
  plan::UpdatePlan plan = *plan::bias_only(graph, spec.depth);
  if (spec.conv >= 0)
    plan.weights.push_back(plan::make_weight_update(graph, spec.conv, spec.ratio));
  return plan;
}

trials::Trial trial_of(const ir::Graph& graph, const TrialSpec& spec,
                       const AnalysisOptions& options) {
  trials::Trial trial;
  trial.plan = trial_plan(graph, spec);
  trial.recipe = options.recipe;
  trial.recipe.seed = spec.seed;
  trial.numerics = options.numerics;
  return trial;
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
  const trials::TrialTimes times(network, options.recipe);
  AnalysisEstimate result;
  // Every prefix once, each continuing the one before it.
  result.seconds =
      times.whole_forward() * static_cast<double>(training_samples + validation_samples);
  for (const TrialSpec& spec : list_trials(network.graph(), options)) {
    const plan::UpdatePlan plan = trial_plan(network.graph(), spec);
    const trials::TrialMacs macs = trials::trial_macs(network.graph(), plan);
    ++result.trials;
    result.macs += macs.step * static_cast<double>(training_samples) * options.recipe.epochs +
                   macs.forward * static_cast<double>(validation_samples);
    result.seconds +=
        times.seconds(plan, options.recipe.epochs, training_samples, validation_samples);
  }
  result.seconds /= std::max(1, options.jobs);
  return result;
}

Result<FisherScores> early_scores(const train::Network& network, const data::Samples& training,
                                  const AnalysisOptions& options) {
  ESPALIER_CHECK_OK(check(network.graph(), options));
  return scores_of(network, training, options);
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
  profile.numerics = options.numerics;
  profile.seeds = options.seeds;
  profile.ratios = options.ratios;

  const std::vector<TrialSpec> specs = list_trials(graph, options);
  std::vector<trials::Trial> wanted;
  for (const TrialSpec& spec : specs) wanted.push_back(trial_of(graph, spec, options));
  ESPALIER_TRY(const auto results,
               trials::run_trials(network, training, validation, wanted,
                                  {.jobs = options.jobs,
                                   .cache_limit = options.cache_limit,
                                   .store = options.store,
                                   .title = fmt::format("analyze {}", graph.name),
                                   .finish_running = options.finish_running,
                                   .progress = options.progress}));
  std::map<std::uint64_t, const train::TrainResult*> heads;  // by seed
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (specs[i].depth == 0) heads[specs[i].seed] = &*results[i];
  }
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const train::TrainResult& result = *results[i];
    const bool ran_away =
        result.diverged || train::collapsed(result.test, heads.at(specs[i].seed)->test);
    profile.trials.push_back({specs[i], result.test.accuracy, result.test.loss, ran_away});
    const bool head_only = specs[i].depth == 0;
    if (head_only && !result.diverged && !profile.baseline) profile.baseline = result.test;
  }
  summarise(profile, static_cast<int>(network.convs().size()));
  if (options.fisher) {
    Result<FisherScores> scores = scores_of(network, training, options);
    if (!scores.ok() && scores.error().kind == ErrorKind::kInterrupted) return scores.error();
    if (scores.ok()) {
      profile.fisher = *std::move(scores);
    } else {
      spdlog::warn("no Fisher scores: {}", scores.error().message());
    }
  }
  return profile;
}

}  // namespace espalier::contribution
