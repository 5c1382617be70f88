#include "espalier/study/believed_gains.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "espalier/cost/additive_terms.hpp"
#include "espalier/cost/analytic_memory.hpp"
#include "espalier/support/statistics.hpp"

namespace espalier::study {
namespace {

using contribution::Estimate;
using contribution::Profile;
using search::Candidate;
using selection::Metric;

// What the trials gained over the head alone with the same seed: means over seeds, by update.
std::vector<Observation> observe(const Profile& profile, Metric metric) {
  const auto score = [&](const contribution::Trial& trial) {
    return metric == Metric::kLoss ? -trial.loss : trial.accuracy;
  };
  std::map<std::uint64_t, double> head;
  for (const contribution::Trial& trial : profile.trials) {
    if (trial.spec.depth == 0 && !trial.diverged) head[trial.spec.seed] = score(trial);
  }
  struct Sum {
    double gain = 0;
    int trainings = 0;
    bool diverged = false;
  };
  std::map<std::pair<int, std::pair<int, double>>, Sum> updates;  // depth, conv, ratio
  for (const contribution::Trial& trial : profile.trials) {
    const auto base = head.find(trial.spec.seed);
    if (trial.spec.depth == 0 || base == head.end()) continue;
    Sum& sum = updates[{trial.spec.depth, {trial.spec.conv, trial.spec.ratio}}];
    if (trial.diverged) {
      sum.diverged = true;
      continue;
    }
    sum.gain += score(trial) - base->second;
    ++sum.trainings;
  }
  std::vector<Observation> observations;
  for (const auto& [update, sum] : updates) {
    if (sum.trainings == 0 || sum.diverged) continue;
    Candidate candidate{update.first, std::vector<std::uint8_t>(profile.weight.size(), 0)};
    const auto [conv, ratio] = update.second;
    if (conv >= 0) {
      const auto at = std::find(profile.ratios.begin(), profile.ratios.end(), ratio);
      if (at == profile.ratios.end()) continue;  // as summarise() does: no option stands for it
      candidate.choice[static_cast<std::size_t>(conv)] =
          static_cast<std::uint8_t>(at - profile.ratios.begin() + 1);
    }
    observations.push_back({std::move(candidate), sum.gain / sum.trainings, 0, sum.trainings});
  }
  return observations;
}

search::Problem problem_of(const ir::Graph& graph, const Profile& profile, Metric metric) {
  selection::SelectionOptions options;
  options.metric = metric;
  return selection::make_problem(graph, profile, Bytes{0}, options);
}

}  // namespace

BelievedGains::BelievedGains(const ir::Graph& graph, const Profile& profile, Metric metric)
    : graph_(graph),
      profile_(profile),
      metric_(metric),
      problem_(problem_of(graph, profile, metric)),
      model_(problem_, observe(profile, metric), Prior::kNothing) {}

Profile BelievedGains::profile() const {
  Profile believed = profile_;
  const search::Problem means = model_.mean_gains(problem_);
  const auto available = cost::available_ratios(graph_, profile_.ratios);
  const auto estimate_of = [&](contribution::Gain& gain) -> std::optional<Estimate>& {
    return metric_ == Metric::kLoss ? gain.loss : gain.accuracy;
  };
  const auto put = [&](contribution::Gain& gain, double mean, bool tell) {
    std::optional<Estimate>& estimate = estimate_of(gain);
    if (estimate) {
      estimate->mean = mean;
    } else if (tell && gain.diverged == 0) {
      estimate = Estimate{.mean = mean};
    }
  };
  std::size_t deepest = 0;  // that was measured: what is beyond it nothing tells
  for (std::size_t depth = 1; depth < believed.bias.size(); ++depth) {
    if (estimate_of(believed.bias[depth]).has_value()) deepest = depth;
  }
  for (std::size_t depth = 1; depth < believed.bias.size(); ++depth) {
    put(believed.bias[depth], means.bias_gain[depth], depth < deepest);
  }
  for (std::size_t conv = 0; conv < believed.weight.size(); ++conv) {
    std::vector<contribution::Gain>& row = believed.weight[conv];
    const bool some = std::any_of(row.begin(), row.end(),
                                  [&](auto& gain) { return estimate_of(gain).has_value(); });
    for (std::size_t r = 0; r < row.size(); ++r) {
      put(row[r], means.weight_gain[conv][r + 1], some && available[conv][r + 1]);
    }
  }
  return believed;
}

Confidence BelievedGains::confidence(const Candidate& candidate) const {
  if (!unsure_) unsure_.emplace(problem_, observe(profile_, metric_), Prior::kNothingOverHead);
  const auto memory = [&](const Candidate& c) {
    return cost::analytic_memory(selection::make_plan(graph_, profile_, c), graph_).bytes().count;
  };
  const auto above = [&](const Candidate& other) {
    const Prediction d = unsure_->compare(candidate, other);
    return d.deviation > 0 ? normal_cdf(d.mean / d.deviation) : d.mean > 0 ? 1.0 : 0.5;
  };
  const std::int64_t limit = memory(candidate);
  const Candidate head = search::empty_candidate(problem_);
  Confidence confidence{above(head), std::nullopt, std::nullopt};
  // All channels are the last option, where the profile has it.
  const bool whole = !profile_.ratios.empty() && profile_.ratios.back() == 1.0;
  std::optional<std::pair<double, Candidate>> biases;
  std::optional<std::pair<double, Candidate>> layers;
  const auto offer = [&](auto& best, const Candidate& c) {
    if (memory(c) > limit) return;
    const double mean = model_.predict(c).mean;
    if (!best || mean > best->first) best.emplace(mean, c);
  };
  Candidate last = head;
  bool known = whole;
  for (int depth = 1; depth <= problem_.layers; ++depth) {
    const int layer = problem_.layers - depth;
    known = known && search::is_available(problem_, layer, problem_.options);
    last.depth = depth;
    last.choice[static_cast<std::size_t>(layer)] = static_cast<std::uint8_t>(problem_.options);
    if (!search::is_depth_available(problem_, depth)) continue;
    offer(biases, Candidate{depth, head.choice});
    if (known) offer(layers, last);
  }
  if (biases) confidence.over_biases = Odds{biases->second.depth, above(biases->second)};
  if (layers) confidence.over_last_layers = Odds{layers->second.depth, above(layers->second)};
  return confidence;
}

Json to_json(const Confidence& confidence) {
  const auto odds = [](const std::optional<Odds>& o) {
    return o ? Json{{"depth", o->depth}, {"probability", o->probability}} : Json(nullptr);
  };
  return {{"over_head", confidence.over_head},
          {"over_biases", odds(confidence.over_biases)},
          {"over_last_layers", odds(confidence.over_last_layers)}};
}

}  // namespace espalier::study
