#include "espalier/contribution/analysis.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include "espalier/train/result_sanity.hpp"
#include "espalier/train/sample_store.hpp"
#include "espalier/trials/runner.hpp"
#include "espalier/trials/trial_times.hpp"
#include "espalier/version.hpp"
#include "neighbourhood.hpp"

namespace espalier::contribution {
namespace {

// Whether a conv is among those to measure.
bool measures(const AnalysisOptions& options, int conv) {
  return options.layers.empty() ||
         std::find(options.layers.begin(), options.layers.end(), conv) != options.layers.end();
}

// How many of that many trials a share is: one at least, where there are any.
std::size_t part_of(double share, std::size_t trials) {
  return static_cast<std::size_t>(std::ceil(std::max(0.0, share) * static_cast<double>(trials)));
}

// Input channels of the widest conv that is measured.
int widest_measured(const ir::Graph& graph, const AnalysisOptions& options) {
  const std::vector<int> convs = ir::conv_ops(graph);
  int widest = 0;
  for (std::size_t conv = 0; conv < convs.size(); ++conv) {
    if (!measures(options, static_cast<int>(conv))) continue;
    widest = std::max(widest, ir::conv(graph, convs[conv]).in_channels);
  }
  return widest;
}

}  // namespace

Status check(const ir::Graph& graph, const AnalysisOptions& options) {
  std::vector<std::string> problems;
  const auto conv_count = static_cast<int>(ir::conv_ops(graph).size());
  if (options.ratios.empty() || options.seeds.empty()) {
    problems.emplace_back("an analysis needs at least one ratio and one seed");
  }
  const int widest = widest_measured(graph, options);
  double previous = 0;
  for (const double ratio : options.ratios) {
    if (!(ratio > previous) || ratio > 1) {
      problems.push_back(fmt::format("ratio {} must ascend within (0, 1]", ratio));
    } else if (widest > 0 && plan::channel_count(widest, ratio) == 0) {
      problems.push_back(
          fmt::format("ratio {} trains no input channel of any layer to measure, of which the "
                      "widest has {}; give at least {:.3g}",
                      ratio, widest, std::ceil(1000.0 / widest) / 1000.0));
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
  if (!(options.share > 0 && options.share <= 1)) {
    problems.push_back(
        fmt::format("a share of {} of the trials must lie in (0, 1]", options.share));
  } else if (options.share < 1 && options.seconds) {
    problems.emplace_back("either a share of the trials or a time limits what is measured");
  }
  if (!problems.empty()) return Error{ErrorKind::kUsage, problems};
  return train::check(options.recipe);
}

namespace {

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

// The ratio that is measured before others but the largest.
double quarter_of(const AnalysisOptions& options) {
  return *std::min_element(options.ratios.begin(), options.ratios.end(), [](double a, double b) {
    return std::abs(a - 0.25) < std::abs(b - 0.25);
  });
}

// Trials of a seed in the order of what they tell.
enum TrialStage { kHead, kDepths, kFirstRatios, kOtherRatios };

TrialStage stage_of(const TrialSpec& spec, const AnalysisOptions& options) {
  if (spec.depth == 0) return kHead;
  if (spec.conv < 0) return kDepths;
  const bool first = spec.seed == options.seeds.front() &&
                     (spec.ratio == options.ratios.back() || spec.ratio == quarter_of(options));
  return first ? kFirstRatios : kOtherRatios;
}

// Whether a trial comes before all others, whatever they show.
bool is_settled(const TrialSpec& spec, const AnalysisOptions& options) {
  return spec.seed == options.seeds.front() && stage_of(spec, options) < kOtherRatios;
}

// All trials, or the share that is measured where nothing that is measured changes the order.
std::vector<TrialSpec> first_trials(const ir::Graph& graph, const AnalysisOptions& options) {
  std::vector<TrialSpec> trials = list_trials(graph, options);
  if (!(options.share < 1)) return trials;
  const std::size_t most = part_of(options.share, trials.size());
  Profile nothing;
  nothing.seeds = options.seeds;
  nothing.ratios = options.ratios;
  summarise(nothing, static_cast<int>(ir::conv_ops(graph).size()));
  trials = by_worth(graph, options, nothing);
  trials.resize(most);
  return trials;
}

// Trains what a profile is made of.
class Measurements {
 public:
  Measurements(const train::Network& network, const data::Samples& training,
               const data::Samples& validation, const AnalysisOptions& options, Profile& profile)
      : network_(network),
        training_(training),
        validation_(validation),
        options_(options),
        profile_(profile),
        graph_(network.graph()) {
    summarise(profile_, convs());
  }

  Status all() { return measure(list_trials(graph_, options_), true); }

  // In two batches: what is worth most whatever comes out, and what is after that.
  Status share(double share) {
    std::vector<TrialSpec> left = by_worth(graph_, options_, profile_);
    std::size_t room = part_of(share, left.size());
    const auto settled = std::partition_point(left.begin(), left.end(), [&](const TrialSpec& spec) {
      return is_settled(spec, options_);
    });
    left.resize(std::min(room, static_cast<std::size_t>(settled - left.begin())));
    ESPALIER_CHECK_OK(measure(left, true));
    room -= left.size();
    left = by_worth(graph_, options_, profile_);
    left.resize(std::min(room, left.size()));
    if (!left.empty()) ESPALIER_CHECK_OK(measure(left, true));
    in_canonical_order();
    return Ok{};
  }

  // What the store holds first, whatever came before it there: its order followed what was known by
  // then. Then in batches that take a quarter of the time left: each computes its prefixes anew.
  Status within(double limit) {
    constexpr double kOfTheStore = 0.1;
    const trials::TrialTimes times(network_, options_.recipe);
    const auto start = std::chrono::steady_clock::now();
    const auto elapsed = [&] {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    const double prefixes =
        times.whole_forward() * static_cast<double>(training_.size() + validation_.size());
    double slowness = 1;  // of what was measured against what was predicted
    if (const std::vector<TrialSpec> kept = stored(); !kept.empty()) {
      ESPALIER_CHECK_OK(measure(kept, false));
    }
    std::vector<TrialSpec> left = by_worth(graph_, options_, profile_);
    const std::size_t total = profile_.trials.size() + left.size();
    while (!left.empty()) {
      const bool first = profile_.trials.empty();
      const double room = limit - elapsed();
      std::vector<TrialSpec> batch;
      double predicted = prefixes / options_.jobs;
      for (const TrialSpec& spec : left) {
        const double more = times.seconds(trial_plan(graph_, spec), options_.recipe.epochs,
                                          training_.size(), validation_.size()) /
                            options_.jobs;
        const bool wave = batch.size() < static_cast<std::size_t>(options_.jobs);
        const double allowed = wave ? room : first ? 0 : room / 4;
        // The head is measured in any case: nothing can be said without it.
        if (!(first && batch.empty()) && (predicted + more) * slowness > allowed) break;
        predicted += more;
        batch.push_back(spec);
      }
      if (batch.empty()) break;
      const double before = elapsed();
      ESPALIER_CHECK_OK(measure(batch, false));
      // What takes no time comes from the store and tells nothing of what does not.
      const double measured = (elapsed() - before) / predicted;
      if (measured > kOfTheStore) slowness = measured;
      left = by_worth(graph_, options_, profile_);
      spdlog::info("analyze {}: {} of {} trials, {:.0f} s of {:.0f} s", graph_.name,
                   total - left.size(), total, elapsed(), limit);
    }
    in_canonical_order();
    return Ok{};
  }

 private:
  [[nodiscard]] int convs() const { return static_cast<int>(network_.convs().size()); }

  // Trials that the store holds, and the heads of their seeds, without which they say nothing: an
  // analysis that was stopped may have come to these last.
  [[nodiscard]] std::vector<TrialSpec> stored() const {
    std::vector<TrialSpec> kept;
    if (options_.store == nullptr) return kept;
    std::set<std::uint64_t> seeds;
    const std::vector<TrialSpec> all = list_trials(graph_, options_);
    for (const TrialSpec& spec : all) {
      const auto found = options_.store->find(trials::address_of(
          trials::inputs_json(graph_, trial_of(graph_, spec, options_), training_, validation_)));
      if (!found.ok() || !found->has_value()) continue;
      seeds.insert(spec.seed);
      if (spec.depth > 0) kept.push_back(spec);
    }
    std::copy_if(all.begin(), all.end(), std::back_inserter(kept), [&](const TrialSpec& spec) {
      return spec.depth == 0 && seeds.count(spec.seed) != 0;
    });
    return kept;
  }

  Status measure(const std::vector<TrialSpec>& specs, bool announce) {
    std::vector<trials::Trial> wanted;
    for (const TrialSpec& spec : specs) wanted.push_back(trial_of(graph_, spec, options_));
    ESPALIER_TRY(const auto results,
                 trials::run_trials(network_, training_, validation_, wanted,
                                    {.jobs = options_.jobs,
                                     .cache_limit = options_.cache_limit,
                                     .store = options_.store,
                                     .title = fmt::format("analyze {}", graph_.name),
                                     .announce = announce,
                                     .finish_running = options_.finish_running,
                                     .or_else = options_.or_else,
                                     .progress = options_.progress}));
    for (std::size_t i = 0; i < specs.size(); ++i) {
      if (specs[i].depth == 0) heads_[specs[i].seed] = results[i]->test;
    }
    for (std::size_t i = 0; i < specs.size(); ++i) {
      const train::TrainResult& result = *results[i];
      const bool ran_away =
          result.diverged || train::collapsed(result.test, heads_.at(specs[i].seed));
      profile_.trials.push_back({specs[i], result.test.accuracy, result.test.loss, ran_away});
      const bool head_only = specs[i].depth == 0;
      if (head_only && !result.diverged && !profile_.baseline) profile_.baseline = result.test;
    }
    summarise(profile_, convs());
    return Ok{};
  }

  // As if nothing had stopped it; seeds that were not begun are none of the profile's.
  void in_canonical_order() {
    std::vector<Trial> ordered;
    for (const TrialSpec& spec : list_trials(graph_, options_)) {
      const auto found = std::find_if(profile_.trials.begin(), profile_.trials.end(),
                                      [&](const Trial& trial) { return trial.spec == spec; });
      if (found != profile_.trials.end()) ordered.push_back(*found);
    }
    profile_.trials = std::move(ordered);
    std::erase_if(profile_.seeds, [&](std::uint64_t seed) { return heads_.count(seed) == 0; });
    summarise(profile_, convs());
  }

  const train::Network& network_;
  const data::Samples& training_;
  const data::Samples& validation_;
  const AnalysisOptions& options_;
  Profile& profile_;
  const ir::Graph& graph_;
  std::map<std::uint64_t, train::Evaluation> heads_;  // by seed
};

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
  trial.stochastic = options.stochastic;
  return trial;
}

std::vector<TrialSpec> list_trials(const ir::Graph& graph, const AnalysisOptions& options) {
  const std::vector<int> convs = ir::conv_ops(graph);
  const auto conv_count = static_cast<int>(convs.size());
  std::vector<TrialSpec> trials;
  for (const std::uint64_t seed : options.seeds) trials.push_back({0, -1, 0, seed});
  for (int conv = conv_count - 1; conv >= 0; --conv) {
    if (!measures(options, conv)) continue;
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
  for (const TrialSpec& spec : first_trials(network.graph(), options)) {
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

std::vector<TrialSpec> by_worth(const ir::Graph& graph, const AnalysisOptions& options,
                                const Profile& profile) {
  // The most that a conv's weights were seen to gain; nothing yet is as good as anything.
  const auto best = [&](int conv) {
    double most = -std::numeric_limits<double>::infinity();
    for (const Gain& gain : profile.weight[static_cast<std::size_t>(conv)]) {
      if (gain.loss) most = std::max(most, gain.loss->mean);
    }
    return most;
  };
  const std::vector<TrialSpec> all = list_trials(graph, options);
  const Neighbourhood near = neighbourhood(graph, all, profile);
  enum Group { kSettled, kNear, kOthers };
  const auto key = [&](const TrialSpec& spec) {
    const auto seed = std::find(options.seeds.begin(), options.seeds.end(), spec.seed);
    const auto round = seed - options.seeds.begin();
    const TrialStage stage = stage_of(spec, options);
    const bool settled = is_settled(spec, options);
    const auto standing = settled ? near.end() : near.find(update_of(spec));
    // What weights are measured against has an earlier stage than they, in the same ring or before.
    if (standing != near.end()) {
      return std::tuple(kNear, round, standing->second.ring, stage, standing->second.order);
    }
    double order = 0;
    if (stage == kDepths) {
      // 8, 16, ... before 4, 12, ... before the others.
      order = -std::min(3, std::countr_zero(static_cast<unsigned>(spec.depth)));
    } else if (stage == kOtherRatios) {
      order = -best(spec.conv);
    }
    return std::tuple(settled ? kSettled : kOthers, round, Ring::kChosen, stage, order);
  };
  std::vector<TrialSpec> left;
  for (const TrialSpec& spec : all) {
    const bool known = std::any_of(profile.trials.begin(), profile.trials.end(),
                                   [&](const Trial& trial) { return trial.spec == spec; });
    if (!known) left.push_back(spec);
  }
  std::stable_sort(left.begin(), left.end(),
                   [&](const TrialSpec& a, const TrialSpec& b) { return key(a) < key(b); });
  return left;
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
  profile.stochastic = options.stochastic;
  profile.seeds = options.seeds;
  profile.ratios = options.ratios;

  Measurements measurements(network, training, validation, options, profile);
  if (options.seconds) {
    ESPALIER_CHECK_OK(measurements.within(*options.seconds));
  } else if (options.share < 1) {
    ESPALIER_CHECK_OK(measurements.share(options.share));
  } else {
    ESPALIER_CHECK_OK(measurements.all());
  }
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
