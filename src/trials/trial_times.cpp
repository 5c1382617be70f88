#include "espalier/trials/trial_times.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "espalier/cost/training_macs.hpp"
#include "espalier/train/session.hpp"

namespace espalier::trials {
namespace {

// The shortest of a few runs, which other work on the machine has slowed least. The first one warms
// caches and makes buffers; it is long enough to count where kernels are slow.
template <typename Body>
double seconds_of(const Body& body) {
  constexpr double kLong = 0.05;
  double best = HUGE_VAL;
  for (int run = 0; run < 4; ++run) {
    const auto start = std::chrono::steady_clock::now();
    body();
    best = std::min(
        best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    if (best > kLong) break;
  }
  return best;
}

}  // namespace

TrialMacs trial_macs(const ir::Graph& graph, const plan::UpdatePlan& plan) {
  const cost::TrainingMacs macs = cost::training_macs(plan, graph);
  std::int64_t prefix = 0;
  for (int op = 0; op < plan::training_cut(plan, graph); ++op) {
    prefix += ir::forward_macs(graph.ops[static_cast<std::size_t>(op)], graph);
  }
  return {static_cast<double>(macs.total() - prefix), static_cast<double>(macs.forward - prefix)};
}

TrialTimes::TrialTimes(const train::Network& network, const train::Recipe& recipe)
    : network_(network) {
  constexpr int kDepths = 8;  // besides the head alone
  const ir::Graph& graph = network.graph();
  const auto convs = static_cast<int>(network.convs().size());
  measure(plan::head_only(graph), recipe);
  int before = convs;
  for (int i = 1; i <= kDepths; ++i) {
    const int conv = convs - (convs * i + kDepths - 1) / kDepths;
    if (conv == before) continue;  // fewer convs than depths
    before = conv;
    plan::UpdatePlan plan = *plan::bias_only(graph, convs - conv);
    plan.weights.push_back(plan::make_weight_update(graph, conv, 1.0));
    measure(plan, recipe);
  }
  std::sort(step_.begin(), step_.end());
  std::sort(forward_.begin(), forward_.end());
}

void TrialTimes::measure(const plan::UpdatePlan& plan, const train::Recipe& recipe) {
  const ir::Graph& graph = network_.graph();
  train::Session session(network_, plan, graph.head);
  train::Workspace workspace(session);
  train::Workspace tests(session, train::Passes::kForward);
  train::Gradients gradients = session.make_gradients();
  const std::vector<int> labels(train::kChunk, 0);
  const double forward =
      seconds_of([&] { session.forward(tests, train::kChunk, false); }) / train::kChunk;
  const double chunk = seconds_of([&] {
                         session.forward(workspace, train::kChunk, true);
                         session.backward(workspace, labels, train::kChunk, gradients);
                       }) /
                       train::kChunk;
  // A rate of 0 moves nothing and costs the same.
  const double update =
      seconds_of([&] { static_cast<void>(session.update(gradients, 0.0F, recipe.qas)); });
  const TrialMacs macs = trial_macs(graph, plan);
  step_.emplace_back(macs.step, chunk + update / recipe.batch);
  forward_.emplace_back(macs.forward, forward);
}

// Straight lines between the measurements, in proportion behind the last one. The first is that of
// the head alone, below which there is no trial.
double TrialTimes::at(const Curve& curve, double macs) {
  const auto above = std::find_if(curve.begin(), curve.end(),
                                  [&](const auto& point) { return point.first >= macs; });
  if (above == curve.begin()) return curve.front().second;
  if (above == curve.end()) return curve.back().second * macs / curve.back().first;
  const auto below = above - 1;
  const double share = (macs - below->first) / (above->first - below->first);
  return below->second + share * (above->second - below->second);
}

double TrialTimes::seconds(const plan::UpdatePlan& plan, int epochs, std::int64_t training_samples,
                           std::int64_t validation_samples) const {
  const TrialMacs macs = trial_macs(network_.graph(), plan);
  return at(step_, macs.step) * static_cast<double>(training_samples) * epochs +
         at(forward_, macs.forward) * static_cast<double>(validation_samples);
}

}  // namespace espalier::trials
